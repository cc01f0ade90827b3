"""What a reader can get wrong: one sentence that names the folder or file and the remedy, exit status 2."""

import functools
import math
import os
import shutil
from hashlib import sha256

from conftest import PROJECT, edited, paint, run, run_part
from predict import TrainedModel
from tutorial.cli import TutorialError
from tutorial.recipes import parse_settings

import h5py
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def data(tmp_path):
    paint(tmp_path / "data" / "train", calico=1, tabby=1)
    paint(tmp_path / "data" / "validation", calico=1, tabby=1)
    return tmp_path / "data"


def test_a_fault_in_the_data_ends_a_part_with_one_sentence(data, tmp_path, sentence):
    """Each fault's own sentence is in test_images.py."""
    shutil.rmtree(data / "validation" / "tabby")
    line = sentence(run_part(1, data, tmp_path / "weights"))
    assert str(data / "validation") in line and "one class" in line
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [".lock"]


def test_part_3_without_part_2_says_what_to_run(data, tmp_path, sentence):
    line = sentence(run_part(3, data, tmp_path / "weights"))
    assert f"run first: python fine_tuning_VGG16_pt2.py --data {data} --weights-dir {tmp_path / 'weights'}" in line


def test_part_3_with_the_wrong_weights(trained, data, tmp_path, sentence):
    line = sentence(run_part(3, data, trained.weights, "--recipe", "improved"))
    assert "(original)" in line and "(improved)" in line and "pt2.py" in line and "--recipe improved" in line

    weights = tmp_path / "weights"
    weights.mkdir()
    shutil.copy(trained.weights / "small_convnet.weights.h5", weights / "bottleneck_fc_model.weights.h5")
    line = sentence(run_part(3, data, weights))
    assert "bottleneck_fc_model.weights.h5" in line and "small_convnet" in line and "pt2.py" in line

    (weights / "bottleneck_fc_model.weights.h5").unlink()
    with h5py.File(weights / "bottleneck_fc_model.weights.h5", "w") as file:  # like the blog post's own
        file["dense_1/kernel"] = np.zeros(3)
    line = sentence(run_part(3, data, weights))
    assert "was not saved by this version of the tutorial" in line and "pt2.py" in line

    shutil.copy(trained.weights / "bottleneck_fc_model.weights.h5", weights)
    for split in ("train", "validation"):
        (data / split / "tabby").rename(data / split / "zebra")
    line = sentence(run_part(3, data, weights))
    assert "tabby" in line and "zebra" in line and "pt2.py" in line


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_a_tensor(path):
    with edited(path) as (_, file):
        del file["layers"][next(iter(file["layers"]))]


def metadata(change):
    """A fault: the metadata with this change."""

    def spoil(path):
        with edited(path) as (info, _):
            info.update(change)

    return spoil


def of_an_earlier_version(path):
    content = path.read_bytes()
    path.write_bytes(content[content.index(b"\x89HDF") :])


def other_header(change):
    """A fault: another text in place of the metadata, with its checksum."""

    def spoil(path):
        content = path.read_bytes()
        rest = change.ljust(content.index(b"\x89HDF") - 65, b"\0") + content[content.index(b"\x89HDF") :]
        path.write_bytes(sha256(rest).hexdigest().encode() + b"\n" + rest)

    return spoil


def one_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def not_finite(path):
    with edited(path) as (_, file):
        file["layers/dense/vars/1"][3] = np.nan


WEIGHTS_FAULTS = {
    "a weight that is not a number": not_finite,
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: path.unlink() or path.mkdir(),
    "text": lambda path: path.write_text("hello"),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": half,
    "a tensor is missing": without_a_tensor,
    "one byte is another": one_byte,
    "of an earlier version": of_an_earlier_version,
    "metadata is no JSON": other_header(b"{"),
    "metadata is deep": other_header(b"[" * 1500),
    "settings are deep": metadata({"settings": functools.reduce(lambda inner, _: {"a": inner}, range(900), {})}),
    "metadata is something else": other_header(b"[1, 2, 3]"),
    "a number without end": metadata({"temperature": 10**400}),
    "for another size": metadata({"image_size": 64}),
    "of an unknown network": metadata({"settings": {"network": "transformer"}}),
    "of a later version": metadata({"new": 1}),
}


@pytest.mark.parametrize("fault", WEIGHTS_FAULTS)
def test_predict_with_bad_weights(untrained, data, tmp_path, sentence, fault):
    weights = tmp_path / "model.weights.h5"
    shutil.copy(untrained.weights / "small_convnet.weights.h5", weights)
    WEIGHTS_FAULTS[fault](weights)
    line = sentence(run("predict.py", data / "train" / "tabby", "--weights", weights))
    assert str(weights) in line and ("train" in line or "run" in line)


@pytest.mark.parametrize("flags", ["--epochs 0", "--epochs x", "--batch-size -1", "--seed -1", "--nix"])
def test_wrong_flags_are_named(flags):
    done = run("fine_tuning_VGG16_pt1.py", *flags.split())
    assert done.returncode == 2 and flags.split()[0] in done.stderr and "Traceback" not in done.stderr


RECIPES = {
    "original": {"epochs": 5, "dropout": 0.5, "pooling": "", "augmentation": {"rotation_range": 15.0}},
    "improved": {"pooling": "avg", "image_size": 256, "flip_tta": True, "epochs": 9, "cached_copies": 4},
}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("nix=1", ["'nix'", "dropout"]),
        ("flip_tta=maybe", ["flip_tta", "True or False"]),
        ("flip_tta=1", ["True or False"]),
        ("epochs=2.5", ["epochs", "a whole number"]),
        ("epochs=0", ["epochs", "from 1"]),
        ("epochs=__import__('os').getpid()", ["a whole number"]),
        ("dropout", ["dropout", "a number"]),
        ("dropout=nan", ["dropout", "0 to 1"]),
        ("dropout=(0.5,)", ["a number"]),
        ("rotation_range=5", ["'rotation_range'", "augmentation.rotation_range"]),
        ("augmentation.rotation_range=-5", ["0 to 180"]),
        ("augmentation=1", ["'augmentation'"]),
        ("pooling=max", ["'' or 'avg'"]),
        ("image_size=(224,)", ["a whole number"]),
        ("image_size=1025", ["from 32 to 1024"]),
    ],
)
def test_a_wrong_setting_gets_one_sentence(monkeypatch, given, named):
    monkeypatch.setattr("sys.argv", ["part", "--set", given])
    with pytest.raises(TutorialError) as error:
        parse_settings("", RECIPES)
    line = str(error.value)
    assert line.startswith(f"--set {given}: ") and all(word in line for word in named), line


def test_settings_are_the_recipes_and_the_flags(monkeypatch):
    """What a recipe does not name is off; a whole number serves where a fraction is meant."""
    flags = ["--epochs", "3", "--set", "dropout=0", "--set", "augmentation.rotation_range=20", "--set", "pooling=avg"]
    monkeypatch.setattr("sys.argv", ["part", *flags, "--set", "image_size=64"])
    _, settings = parse_settings("", RECIPES)
    assert vars(settings) == {
        "epochs": 3, "dropout": 0.0, "pooling": "avg", "augmentation": {"rotation_range": 20.0},
        "image_size": 64, "flip_tta": False, "cached_copies": 0,
    }  # fmt: skip
    assert type(settings.dropout) is float and RECIPES["original"]["augmentation"]["rotation_range"] == 15.0
    monkeypatch.setattr("sys.argv", ["part", "--recipe", "improved", "--cached-copies", "0"])
    args, settings = parse_settings("", RECIPES)
    assert (settings.augmentation, settings.image_size) == ({"rotation_range": 0.0}, 256)
    assert (settings.epochs, settings.dropout, settings.cached_copies) == (9, 0.0, 0)
    assert args.weights_dir.name == "improved"


@pytest.mark.parametrize("script", ["fine_tuning_VGG16_pt1.py", "fine_tuning_VGG16_pt2.py", "fine_tuning_VGG16_pt3.py"])
def test_help_shows_defaults_and_an_example(script):
    done = run(script, "--help")
    assert done.returncode == 0
    epochs = 50 if "pt2" in script else 30
    for default in (f"(original: {epochs}", "(original: 16,", "(default: data)", "(default: weights;", "(default: 0)"):
        assert default in " ".join(done.stdout.split())
    assert f"python {script} --data" in done.stdout


SCRIPTS = ["fine_tuning_VGG16_pt1.py", "fine_tuning_VGG16_pt3.py", "predict.py"]
SCRIPTS += [f"tools/{path.name}" for path in sorted((PROJECT / "tools").glob("[!_]*.py"))]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_python_without_the_packages(sentence, script):
    line = sentence(run("-S", script, "photo.jpg"))  # -S: without site-packages, as in a terminal without the venv
    assert "activate" in line and "make setup" in line


def test_a_weights_folder_that_is_a_file(data, tmp_path, sentence):
    (tmp_path / "weights").write_text("")
    assert str(tmp_path / "weights") in sentence(run_part(1, data, tmp_path / "weights", "--epochs", 1))


@pytest.mark.parametrize("script", ["predict.py", "tools/compare.py"])
def test_no_picture_is_saved_over_a_photo(untrained, tmp_path, sentence, script):
    """Under its own name or another one, and where --explain has its default."""
    photo, link = tmp_path / "explained.png", tmp_path / "link.png"
    Image.new("RGB", (60, 60), "orange").save(photo)
    before = photo.read_bytes()
    flags = [["--save", photo], ["--save", tmp_path / "." / "explained.png"]]
    if os.name == "posix":
        link.symlink_to(photo)
        flags.append(["--save", link])
    weights = ["--weights", untrained.weights / "small_convnet.weights.h5"]
    if script == "predict.py":
        flags.append(["--explain"])
    other = tmp_path / "other.jpg"  # "--save other.jpg photo.jpg" is a slip
    Image.new("RGB", (60, 60), "blue").save(other)
    for more in [*flags, ["--save", other]]:
        more = more + (weights if script == "predict.py" else ["--weights-dir", untrained.weights])
        assert "is not overwritten" in sentence(run(PROJECT / script, photo, *more, folder=tmp_path))
    assert photo.read_bytes() == before


def test_a_model_that_is_replaced_while_it_is_read(untrained, tmp_path):
    """Its words and its weights are of the same moment."""
    path = tmp_path / "small_convnet.weights.h5"
    shutil.copy(untrained.weights / path.name, path)
    model, photo = TrainedModel(path), [np.zeros((150, 150, 3), np.uint8)]
    with edited(path) as (info, file):  # another training, with the classes in the other order
        info["class_names"].reverse()
        file["layers/dense_1/vars/1"][:] += 3
    old, new = model.describe(photo)[0][1], TrainedModel(path).describe(photo)[0][1]
    logit = math.log(old["probability"] / (1 - old["probability"])) * (1 if old["class"] == "tabby" else -1) + 3
    changed = math.log(new["probability"] / (1 - new["probability"])) * (1 if new["class"] == "calico" else -1)
    assert changed == pytest.approx(logit, abs=1e-3)
