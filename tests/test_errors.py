"""What a reader can get wrong: one sentence that names the folder or file and the remedy, exit status 2."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest
from conftest import draw, run, run_part


@pytest.fixture
def data(tmp_path):
    draw(tmp_path / "data" / "train", calico=1, tabby=1)
    draw(tmp_path / "data" / "validation", calico=1, tabby=1)
    return tmp_path / "data"


def remove(*paths):
    for path in paths:
        shutil.rmtree(path)


def spoil(folder):
    for path in folder.iterdir():
        path.write_bytes(b"not a photo")


FOLDER_FAULTS = {
    "no data folder": (lambda d: remove(d), ["data/train", "--data"]),
    "no train": (lambda d: remove(d / "train"), ["data/train", "--data"]),
    "no validation": (lambda d: remove(d / "validation"), ["data/validation", "--data"]),
    "no class": (lambda d: remove(d / "train" / "calico", d / "train" / "tabby"), ["data/train", "two"]),
    "one class": (lambda d: remove(d / "train" / "tabby"), ["data/train", "one class", "calico", "two"]),
    "an empty third class": (lambda d: (d / "train" / "zebra").mkdir(), ["data/train/zebra", "no photos", "add"]),
    "other classes in test": (
        lambda d: shutil.copytree(d / "train" / "tabby", d / "test" / "a") and draw(d / "test", tabby=1),
        ["data/train", "data/test", "calico", "folder names"],
    ),
    "an empty class": (lambda d: (d / "train" / "tabby" / "tabby0.jpg").unlink(), ["train/tabby", "add"]),
    "other classes in validation": (
        lambda d: (d / "validation" / "tabby").rename(d / "validation" / "zebra"),
        ["data/train", "data/validation", "zebra", "tabby"],
    ),
}


@pytest.mark.parametrize("fault", FOLDER_FAULTS)
@pytest.mark.parametrize("part", [1, 2, 3])
def test_folders(data, tmp_path, sentence, part, fault):
    spoiled, named = FOLDER_FAULTS[fault]
    spoiled(data)
    line = sentence(run_part(part, data, tmp_path / "weights")).replace(os.sep, "/")
    for word in named:
        assert word in line
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("part", [1, 2])
def test_no_readable_photo(imagenet_file, data, tmp_path, sentence, part):
    spoil(data / "train" / "tabby")
    line = sentence(run_part(part, data, tmp_path / "weights")).replace(os.sep, "/")
    assert "train/tabby" in line and "replace" in line


def test_part_3_without_part_2_says_what_to_run(data, tmp_path, sentence):
    line = sentence(run_part(3, data, tmp_path / "weights"))
    assert f"run first: python fine_tuning_VGG16_pt2.py --data {data} --weights-dir {tmp_path / 'weights'}" in line


def test_part_3_with_the_wrong_weights(trained, data, tmp_path, sentence):
    line = sentence(run_part(3, data, trained.weights, "--recipe", "improved"))
    assert "(tutorial)" in line and "(improved)" in line and "pt2.py" in line and "--recipe improved" in line

    weights = tmp_path / "weights"
    weights.mkdir()
    shutil.copy(trained.weights / "small_convnet.weights.h5", weights / "bottleneck_fc_model.weights.h5")
    line = sentence(run_part(3, data, weights))
    assert "bottleneck_fc_model.weights.h5" in line and "small_convnet" in line and "pt2.py" in line

    shutil.copy(trained.weights / "bottleneck_fc_model.weights.h5", weights)
    for split in ("train", "validation"):
        (data / split / "tabby").rename(data / split / "zebra")
    line = sentence(run_part(3, data, weights))
    assert "tabby" in line and "zebra" in line and "pt2.py" in line


def without_about(path):
    with h5py.File(path, "r+") as file:
        del file.attrs["about"]


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_a_tensor(path):
    with h5py.File(path, "r+") as file:
        del file["layers"][next(iter(file["layers"]))]


def other_shape(path):
    with h5py.File(path, "r+") as file:
        about = json.loads(file.attrs["about"])
        file.attrs["about"] = json.dumps(about | {"image_size": 64})


def unknown_recipe(path):
    with h5py.File(path, "r+") as file:
        about = json.loads(file.attrs["about"])
        file.attrs["about"] = json.dumps(about | {"recipe": "of tomorrow"})


WEIGHTS_FAULTS = {
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: path.unlink() or path.mkdir(),
    "text": lambda path: path.write_text("hello"),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": half,
    "of another program": without_about,
    "about is no JSON": lambda path: h5py.File(path, "r+").attrs.__setitem__("about", "{"),
    "about is something else": lambda path: h5py.File(path, "r+").attrs.__setitem__("about", np.arange(3)),
    "a tensor is missing": without_a_tensor,
    "for another size": other_shape,
    "of a recipe to come": unknown_recipe,
}


@pytest.mark.parametrize("fault", WEIGHTS_FAULTS)
def test_predict_with_bad_weights(trained, data, tmp_path, sentence, fault):
    weights = tmp_path / "model.weights.h5"
    shutil.copy(trained.weights / "small_convnet.weights.h5", weights)
    WEIGHTS_FAULTS[fault](weights)
    line = sentence(run("predict.py", data / "train" / "tabby", "--weights", weights))
    assert str(weights) in line and ("train" in line or "run" in line)


@pytest.mark.parametrize("flags", ["--epochs 0", "--epochs x", "--batch-size -1", "--seed -1", "--nix"])
def test_wrong_flags_are_named(flags):
    done = run("fine_tuning_VGG16_pt1.py", *flags.split())
    assert done.returncode == 2 and flags.split()[0] in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("part", "given", "named"),
    [
        (1, "nix=1", ["'nix'", "dropout"]),
        (1, "weight_decay=1", ["tutorial", "'weight_decay'"]),  # the improved recipe has it
        (1, "flip=maybe", ["flip", "True or False"]),
        (1, "epochs=2.5", ["epochs", "whole number"]),
        (1, "epochs=0", ["epochs", "from 1"]),
        (1, "momentum=0.5", ["'momentum'", "dropout"]),  # part 3 has it
        (1, "zoom", ["zoom", "number"]),
        (1, "dropout=nan", ["dropout", "0 to 1"]),
        (1, "rotation=-5", ["rotation", "0 to 180"]),
        (3, "blocks=5", ["blocks", "1 to 4"]),
    ],
)
def test_settings_that_are_none(sentence, part, given, named):
    line = sentence(run(f"fine_tuning_VGG16_pt{part}.py", "--set", given))
    assert f"--set {given}: " in line and all(word in line for word in named)


def test_settings_that_do_not_go_together(data, sentence):
    flags = ["--recipe", "improved", "--set", "average_places=False"]
    assert "--set enlarged=150" in sentence(run("fine_tuning_VGG16_pt2.py", "--data", data, *flags))


@pytest.mark.parametrize("script", ["fine_tuning_VGG16_pt1.py", "fine_tuning_VGG16_pt2.py", "fine_tuning_VGG16_pt3.py"])
def test_help_shows_defaults_and_an_example(script):
    done = run(script, "--help")
    assert done.returncode == 0
    epochs = 50 if "pt2" in script else 30
    for default in (f"(tutorial: {epochs};", "(tutorial: 16;", "(default: data)", "(default: weights;", "(default: 0)"):
        assert default in " ".join(done.stdout.split())
    assert f"python {script} --data" in done.stdout


@pytest.mark.parametrize("script", ["fine_tuning_VGG16_pt1.py", "fine_tuning_VGG16_pt3.py", "predict.py"])
def test_a_python_without_the_packages(sentence, script):
    line = sentence(run("-S", script, "photo.jpg"))  # -S: without site-packages, as in a terminal without the venv
    assert "activate" in line and "make setup" in line


def test_a_weights_folder_that_is_a_file(data, tmp_path, sentence):
    (tmp_path / "weights").write_text("")
    assert str(tmp_path / "weights") in sentence(run_part(1, data, tmp_path / "weights", "--epochs", 1))
