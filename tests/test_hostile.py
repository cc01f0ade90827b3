"""Hostile files: they run no code, take no memory, and cannot control the terminal."""

import os
import pickle
import shutil
import zipfile

from conftest import MODELS, edited, posix, run, run_part
from tutorial import hdf5
from tutorial.backend import keras
from tutorial.cli import TutorialError, escape
from tutorial.model_file import FILES, WeightsFile

import h5py
import numpy as np
import pytest

CONVNET = FILES["small_convnet"][0]


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mknod if hasattr(os, "mknod") else open, (str(self.marker),)


@pytest.fixture
def marker(tmp_path):
    """The file that code in a hostile file would make; first it is shown that it would."""
    path = tmp_path / "marker"
    pickle.loads(pickle.dumps(Bomb(path)))
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


def lambda_model(marker):
    """A whole model with a layer of Python code in it."""
    layer = keras.layers.Lambda(eval(f"lambda x: (open({str(marker)!r}, 'w'), x)[1]"))
    model = keras.Sequential([keras.Input((3,)), layer])
    marker.unlink(missing_ok=True)  # building it ran the code
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["model.h5", "model.keras", "object.npy", "pickle.h5"])
def test_no_code_in_a_weights_file_is_run(marker, tmp_path, photo, sentence, kind):
    path = tmp_path / kind
    if kind == "object.npy":
        np.save(path, np.array([Bomb(marker)], object), allow_pickle=True)
    elif kind == "pickle.h5":
        path.write_bytes(pickle.dumps(Bomb(marker)))
    else:
        lambda_model(marker).save(path)
        marker.unlink(missing_ok=True)
    assert path.stat().st_size > 0
    assert str(path) in sentence(run("predict.py", photo, "--weights", path))


def test_no_code_in_a_whole_model_with_our_metadata_is_run(marker, untrained, tmp_path, photo):
    """A convnet's weights file that also carries a model with Python code: the weights alone are read."""
    path = tmp_path / CONVNET
    shutil.copy(untrained.weights / CONVNET, path)
    lambda_model(marker).save(tmp_path / "model.keras")
    marker.unlink(missing_ok=True)
    with edited(path) as (_, file), zipfile.ZipFile(tmp_path / "model.keras") as model:
        file.attrs["model_config"] = model.read("config.json")
    assert run("predict.py", photo, "--weights", path).returncode == 0


@pytest.mark.slow
def test_no_code_in_caches_and_checkpoints_is_run(marker, trained, tmp_path):
    """They are computed again, and the run starts again. (Parts 2 and 3 have one cache and one checkpoint class.)"""
    weights = tmp_path / "weights"
    shutil.copytree(trained.weights, weights)
    bomb = np.array([Bomb(marker)] * 19, object)
    np.savez(weights / f"{MODELS[1]}.checkpoint.npz", metadata=bomb, arr_0=bomb)
    caches = sorted((weights / "activations").glob("bottleneck_features_*.npy"))
    assert len(caches) == 2
    for path in caches:
        np.save(path, bomb, allow_pickle=True)
    done = run_part(2, trained.data, weights, "--epochs", 1)
    assert done.returncode == 0 and done.stdout.count("is damaged") == 3, done.stderr


def external(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = np.ones(64)
    file["layers/dense_1/vars/1"] = h5py.ExternalLink("other.h5", "x")


def soft(file, folder):
    file["layers/dense_1/vars/1"] = h5py.SoftLink("/layers/dense/vars/1")


def stored_elsewhere(file, folder):
    (folder / "raw").write_bytes(bytes(8))
    file.create_dataset("layers/dense_1/vars/1", (1,), "f4", external=[(str(folder / "raw"), 0, 8)])


def enormous(file, folder):
    file.create_dataset("layers/dense_1/vars/1", (2**40,), "f4", chunks=(2**10,))


def one_chunk_of_gigabytes(file, folder):
    file.create_dataset("layers/dense_1/vars/1", (1,), "f4", chunks=(2**29,), maxshape=(None,), compression="gzip")


def reference(file, folder):
    file.create_dataset("layers/dense_1/vars/1", data=file["layers"].ref, dtype=h5py.ref_dtype)


def cycle(file, folder):
    file["layers/again"] = file["layers"]


@pytest.mark.parametrize(
    "change", [external, soft, stored_elsewhere, enormous, one_chunk_of_gigabytes, reference, cycle]
)
def test_arrays_that_are_elsewhere_or_enormous_are_refused(untrained, tmp_path, photo, sentence, change):
    path = tmp_path / CONVNET
    shutil.copy(untrained.weights / CONVNET, path)
    with edited(path) as (_, file):
        if "vars" in file["layers/dense_1"] and change is not cycle:
            del file["layers/dense_1/vars/1"]
        change(file, tmp_path)
    line = sentence(run("predict.py", photo, "--weights", path, RLIMIT_DATA=1_500_000_000))
    assert str(path) in line and "damaged" in line


@pytest.mark.parametrize(
    "change",
    [
        {"image_size": 10**6},
        {"image_size": "150"},
        {"class_names": ["calico", "\x1b]0;owned\x07"]},
        {"class_names": ["a"] * 2},
        {"class_names": "ab"},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"image_size": 1025},
        {"settings": {"image_size": [256]}},
        {"settings": {"augmentation": {"zoom_range": [1]}}},
        {"settings": []},
        {"settings": {"epochs": [1]}},
        {"photos": []},
        {"photos": {"train": 5}},
        {"scores": {"accuracy": "1"}},
        {"model": ["small_convnet"]},
    ],
)
def test_invalid_metadata_is_refused(untrained, tmp_path, change):
    path = tmp_path / CONVNET
    shutil.copy(untrained.weights / CONVNET, path)
    with edited(path) as (info, _):
        info.update(change)
    with pytest.raises(TutorialError, match="has invalid metadata") as refused:
        WeightsFile(path)
    assert str(refused.value).isprintable()


def test_names_cannot_control_the_terminal(untrained, tmp_path, sentence):
    """Control characters in a photo's name are escaped."""
    name = "\x1b[2J\x1b]0;owned\x07\n\u202egpj.jpg"
    photo = tmp_path / name
    shutil.copy(next((untrained.data / "validation" / "tabby").glob("*.jpg")), photo)
    (tmp_path / f"not {name}").write_text("not a photo")
    done = run("predict.py", tmp_path, "--weights", untrained.weights / CONVNET)
    shown = r"\x1b[2J\x1b]0;owned\x07\n\u202egpj.jpg"
    assert done.returncode == 2 and f"{shown}: " in done.stdout and f"not {shown} is not a photo" in done.stderr
    for one in (done.stdout, done.stderr):
        assert one.replace("\n", "").isprintable()
    assert len(done.stdout.splitlines()) == 2 and len(done.stderr.splitlines()) == 1
    folder = tmp_path / "data" / "train" / "a\x1b[31m"
    folder.mkdir(parents=True)
    line = sentence(run_part(1, tmp_path / "data", tmp_path / "weights"))
    assert "class folder" in line and r"a\x1b[31m" in line


def test_escape():
    assert escape("Zoë's cat 猫\t\n\r\x7f\x9b\u202e") == r"Zoë's cat 猫\t\n\r\x7f\x9b\u202e"


@posix
def test_large_images_take_little_more_memory_than_one():
    """At 1,024 x 1,024 pixels, a layer of 40 channels takes 0.17 GB for each; several arrays lie beside each other."""
    code = """if True:
        import resource, sys
        import numpy as np
        from tutorial.backend import keras
        from tutorial.evaluation import predict
        from tutorial.vgg16 import with_features
        layers = [keras.layers.Conv2D(40, 1), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
        network = with_features(keras.Sequential([keras.Input((1024, 1024, 3)), *layers]))
        images = np.zeros((16, 1024, 1024, 3), np.uint8)
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        predict(network, images[:1])
        before = peak()
        assert predict(network, images)[0].shape == (16, 2)
        print(peak() - before)"""
    done = run("-c", code)
    assert done.returncode == 0 and int(done.stdout.split()[-1]) < 1e9, done.stdout + done.stderr


def test_when_the_reading_process_fails_the_file_is_not_blamed(tmp_path, monkeypatch):
    (tmp_path / "reader.py").write_text("import no_such_module")
    monkeypatch.setattr(hdf5, "__file__", str(tmp_path / "reader.py"))
    with pytest.raises(RuntimeError, match="no_such_module"):
        hdf5.read_arrays(b"")
