"""Files that someone made to harm: they run no code, take no memory, and cannot drive the terminal."""

import json
import os
import pickle
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from conftest import MODELS, run, run_part

from tutorial.backend import keras
from tutorial.cli import visible
from tutorial.model_file import FILES, read_info

CONVNET = FILES["small_convnet"][0]


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mknod if hasattr(os, "mknod") else open, (str(self.marker),)


@pytest.fixture
def marker(tmp_path):
    """Where the code in a bad file would leave its mark; checked in the end, and that it would have."""
    path = tmp_path / "marker"
    pickle.loads(pickle.dumps(Bomb(path)))
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


@pytest.fixture
def photo(trained):
    return next((trained.data / "validation" / "tabby").glob("*.jpg"))


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


def test_no_code_in_a_whole_model_with_our_mark_is_run(marker, trained, tmp_path, photo):
    """A convnet's weights file that also carries a model with Python code: the weights alone are read."""
    path = tmp_path / CONVNET
    shutil.copy(trained.weights / CONVNET, path)
    lambda_model(marker).save(tmp_path / "model.keras")
    marker.unlink(missing_ok=True)
    with h5py.File(path, "r+") as file, zipfile.ZipFile(tmp_path / "model.keras") as model:
        file.attrs["model_config"] = model.read("config.json")
    assert run("predict.py", photo, "--weights", path).returncode == 0


def test_no_code_in_kept_features_views_and_runs_is_run(marker, trained, tmp_path):
    """They are computed again, and the run begins anew."""
    weights = tmp_path / "weights"
    shutil.copytree(trained.weights, weights)
    bomb = np.array([Bomb(marker)] * 19, object)
    np.savez(weights / "bottleneck_features_train.npz", features=bomb, labels=bomb, photos=bomb, digests=bomb)
    for model in MODELS[1:]:
        with open(weights / f"{model}.unfinished", "wb") as file:
            np.savez(file, said=bomb)
    views = list((weights / "frozen_blocks").glob("*.npy"))
    assert len(views) == 2
    for path in views:
        np.save(path, bomb, allow_pickle=True)
    second = run_part(2, trained.data, weights, "--epochs", 1)
    assert second.returncode == 0 and second.stdout.count("is damaged") == 2
    third = run_part(3, trained.data, weights, "--epochs", 1)
    assert third.returncode == 0 and third.stdout.count("is damaged") == 3


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


def reference(file, folder):
    file.create_dataset("layers/dense_1/vars/1", data=file["layers"].ref, dtype=h5py.ref_dtype)


def cycle(file, folder):
    file["layers/again"] = file["layers"]


@pytest.mark.parametrize("change", [external, soft, stored_elsewhere, enormous, reference, cycle])
def test_arrays_that_are_elsewhere_or_enormous_are_refused(trained, tmp_path, photo, sentence, change):
    path = tmp_path / CONVNET
    shutil.copy(trained.weights / CONVNET, path)
    with h5py.File(path, "r+") as file:
        if "vars" in file["layers/dense_1"] and change is not cycle:
            del file["layers/dense_1/vars/1"]
        change(file, tmp_path)
    line = sentence(run("predict.py", photo, "--weights", path, memory=1_500_000_000))
    assert str(path) in line and "damaged" in line


@pytest.mark.parametrize(
    "said",
    [
        {"image_size": 10**6},
        {"image_size": "150"},
        {"class_names": ["calico", "\x1b]0;owned\x07"]},
        {"class_names": ["a"] * 2},
        {"class_names": "ab"},
        {"offsets": [1.0]},
        {"temperature": 0},
        {"temperature": float("nan")},
        {"settings": {"enlarged": 10**6}},
        {"settings": []},
        {"settings": {"epochs": [1]}},
        {"photos": []},
        {"photos": {"train": 5}},
        {"scores": {"accuracy": "1"}},
        {"model": ["small_convnet"]},
    ],
)
def test_what_a_file_says_of_itself_has_to_make_sense(trained, tmp_path, photo, sentence, said):
    path = tmp_path / CONVNET
    shutil.copy(trained.weights / CONVNET, path)
    with h5py.File(path, "r+") as file:
        file.attrs["about"] = json.dumps(json.loads(file.attrs["about"]) | said)
    with pytest.raises(Exception, match="damaged") as refused:
        read_info(path)
    assert str(refused.value).isprintable()


def test_names_cannot_drive_the_terminal(trained, tmp_path, sentence):
    """A photo's name with escape sequences and a line of its own is shown with them written out."""
    name = "\x1b[2J\x1b]0;owned\x07\n\u202egpj.jpg"
    photo = tmp_path / name
    shutil.copy(next((trained.data / "validation" / "tabby").glob("*.jpg")), photo)
    (tmp_path / f"not {name}").write_text("not a photo")
    done = run("predict.py", tmp_path, "--weights", trained.weights / CONVNET)
    shown = r"\x1b[2J\x1b]0;owned\x07\n\u202egpj.jpg"
    assert done.returncode == 2 and f"{shown}: " in done.stdout and f"not {shown} is not a photo" in done.stderr
    for one in (done.stdout, done.stderr):
        assert one.replace("\n", "").isprintable()
    assert len(done.stdout.splitlines()) == 2 and len(done.stderr.splitlines()) == 1
    folder = tmp_path / "data" / "train" / "a\x1b[31m"
    folder.mkdir(parents=True)
    line = sentence(run_part(1, tmp_path / "data", tmp_path / "weights"))
    assert "class folder" in line and r"a\x1b[31m" in line


def test_visible():
    assert visible("Zoë's cat 猫\t\n\r\x7f\x9b\u202e") == r"Zoë's cat 猫\t\n\r\x7f\x9b\u202e"
