"""The improved recipe and more than two classes, from the shell; against plain Keras and NumPy."""

import json
import re
import sys
from pathlib import Path

import fine_tuning_VGG16_pt1
from conftest import history, paint, run, run_part
from predict import load_network
from tutorial import recipes
from tutorial.backend import keras
from tutorial.cli import TutorialError
from tutorial.dataset import Photos, load_images
from tutorial.evaluation import evaluate
from tutorial.imagenet_weights import LAYERS, imagenet_weights, read_tensors
from tutorial.images import read_photo
from tutorial.model_file import FILES, WeightsFile
from tutorial.training import accuracy, class_weights

import numpy as np
import pytest
from PIL import Image

NAMES = ["cornish", "devon", "<persian>"]  # the last comes first in alphabetical order


@pytest.fixture(scope="module")
def improved(tmp_path_factory):
    """The improved recipe on three unequal classes with test photos: (data, weights, what the parts printed)."""
    folder = tmp_path_factory.mktemp("improved")
    for split, counts in (("train", (2, 4, 3)), ("validation", (2, 1, 2)), ("test", (1, 2, 1))):
        paint(folder / "data" / split, **dict(zip(NAMES, counts, strict=True)))
    flags = ["--epochs", 2, "--recipe", "improved"]
    done = [run_part(part, folder / "data", folder / "weights", *flags) for part in (1, 2, 3)]
    assert not any(one.returncode for one in done), done
    return folder / "data", folder / "weights", [one.stdout for one in done]


def test_weights_files_hold_how_they_were_made(improved):
    _, weights, _ = improved
    for model, (name, _) in FILES.items():
        info = WeightsFile(weights / name).info
        assert info.class_names == sorted(NAMES) and info.recipe == "improved"
        assert info.settings.get("flip_tta", False) == (model == "small_convnet")
        assert info.photos["test"] == {"<persian>": 1, "cornish": 1, "devon": 2}
        assert info.preprocessing == ("rescale" if model == "small_convnet" else "caffe")
        assert 1 / 3 <= info.rejection_threshold <= 1
        assert (weights / f"{model}_reliability.png").stat().st_size > 1000


def plain_network(model, weights):
    """A function from preprocessed photos of any size to a probability for each class, put together here."""
    network = load_network(WeightsFile(weights))
    if model == "small_convnet":
        return lambda photos: network.predict(photos, verbose=0)
    vgg16 = [tensor for name in LAYERS for tensor in network.get_layer(name).get_weights()]
    if model == "bottleneck_fc_model":
        assert all(
            np.array_equal(one, other) for one, other in zip(vgg16, read_tensors(imagenet_weights()), strict=True)
        )
    plain = keras.applications.VGG16(include_top=False, weights=None)
    plain.set_weights(vgg16)
    kernel, bias = network.get_layer("top_model").get_weights()

    def predict(photos):
        averages = plain(photos).numpy().mean(axis=(1, 2))
        averages -= averages.mean(axis=1, keepdims=True)
        averages /= np.sqrt((averages**2).mean(axis=1, keepdims=True) + 1e-3)
        powers = np.exp(averages @ kernel + bias)
        return powers / powers.sum(axis=1, keepdims=True)

    return predict


@pytest.mark.parametrize("model", FILES)
def test_predict_is_the_calibrated_probability(improved, model):
    """Through plain Keras, the convnet's averaged over the photo and its flip, calibrated by hand."""
    data, folder, printed = improved
    weights = folder / FILES[model][0]
    info, plain = WeightsFile(weights).info, plain_network(model, weights)
    done = run("predict.py", data / "test", "--weights", weights, "--json", "--threshold", "0.5")
    assert done.returncode == 0, done.stderr
    losses, right = [], []
    for line in map(json.loads, done.stdout.splitlines()):
        photo = read_photo(line["photo"], info.image_size)[None]
        if model == "small_convnet":
            outputs = np.mean([plain(copy / np.float32(255))[0] for copy in (photo, photo[:, :, ::-1])], axis=0)
        else:
            outputs = plain(keras.applications.vgg16.preprocess_input(np.float32(photo)))[0]
        calibrated = np.float64(outputs) ** (1 / info.temperature)
        calibrated /= calibrated.sum()
        assert line["class"] == info.class_names[int(np.argmax(calibrated))]
        assert line["probability"] == pytest.approx(calibrated.max(), abs=1e-4)
        assert line["sure"] == (line["probability"] >= 0.5)
        true = next(i for i, name in enumerate(info.class_names) if f"/{name}/" in line["photo"].replace("\\", "/"))
        losses.append(-np.log(calibrated[true]))
        right.append(int(np.argmax(calibrated)) == true)
    assert len(losses) == 4
    assert info.scores["test_accuracy"] == pytest.approx(np.mean(right), abs=1e-6)
    assert info.scores["test_loss"] == pytest.approx(np.mean(losses), abs=1e-3)
    output = printed[list(FILES).index(model)]
    assert re.search(rf"test +predictions: accuracy {np.mean(right):.3f}, .* report this number", output)
    assert output.index("Epoch 2/2") < output.index("test        predictions")


def test_test_photos_choose_nothing():
    """With and without them: the same calibration and threshold. (``fit`` does not get them.)"""
    rng = np.random.default_rng(0)
    validation, test = (Photos(Path(name), ("a", "b"), [], np.float32([0, 1] * 9)) for name in ("validation", "test"))
    found = {"validation": rng.dirichlet([2, 2], 18), "test": rng.dirichlet([1, 9], 18)}
    both = [evaluate(lambda photos: found[photos.folder.name], validation, more, True) for more in (test, None)]
    assert "test_accuracy" in both[0].scores and "test_accuracy" not in both[1].scores
    for name in ("temperature", "threshold"):
        assert getattr(both[0], name) == getattr(both[1], name), name


def test_out_of_distribution_photos_are_reported(improved, tmp_path):
    """Noise, to a network that was trained on soft colors."""
    noise = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8)).save(noise)
    data, weights, _ = improved
    done = run("predict.py", noise, data / "train" / "devon", "--weights", weights / FILES["fine_tuned_vgg16"][0])
    lines = done.stdout.splitlines()[1:]
    assert "; out of distribution" in lines[0]
    assert sum("; out of distribution" in line for line in lines[1:]) <= 2
    done = run("predict.py", noise, "--weights", weights / FILES["small_convnet"][0])
    assert done.returncode == 0 and "noise.png: " in done.stdout and "; out" not in done.stdout  # it has no detector


@pytest.mark.slow
def test_ten_classes(tmp_path):
    names = [f"kind{i}" for i in range(10)]
    for split, count in (("train", 2), ("validation", 1)):
        paint(tmp_path / "data" / split, **dict.fromkeys(names, count))
    assert run_part(2, tmp_path / "data", tmp_path / "weights", "--epochs", 2).returncode == 0
    weights = tmp_path / "weights" / FILES["bottleneck_fc_model"][0]
    done = run("predict.py", tmp_path / "data" / "validation", "--weights", weights, "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    right = [f"/{one['class']}/" in one["photo"].replace("\\", "/") for one in found]
    assert len(found) == 10 and all(0.1 <= one["probability"] <= 1 for one in found)
    last = history(tmp_path / "weights", "bottleneck_fc_model")[-1]
    assert np.mean(right) == pytest.approx(last["val_accuracy"], abs=1e-6)
    losses = [-np.log(one["probability"]) for one, ok in zip(found, right, strict=True) if ok]
    assert sum(losses) / 10 <= last["val_loss"] + 1e-4


def test_class_weights_give_each_class_the_same_weight_in_all(improved):
    train, _, test = load_images(improved[0], 32)
    weights = class_weights(train)
    assert [weights[i] * count for i, count in enumerate(train.counts().values())] == pytest.approx([9 / 3] * 3)
    assert test.counts() == {"<persian>": 1, "cornish": 1, "devon": 2}


def test_the_accuracy_of_blended_photos_is_that_of_the_larger_share():
    two = accuracy(np.float32([0.8, 0.3, 1, 0.6]), np.float32([[0.9], [0.2], [0.4], [0.7]]))
    assert np.ravel(two).tolist() == [1, 1, 0, 1]
    three = accuracy(np.float32([[0.6, 0, 0.4], [0, 1, 0]]), np.float32([[0.5, 0.2, 0.3], [0.5, 0.4, 0.1]]))
    assert np.ravel(three).tolist() == [1, 0]


def test_part_1s_learning_rate_decays_to_zero_in_the_last_step(improved, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(keras.Model, "fit", lambda model, *_, **__: compiled.append(model.optimizer) or sys.exit())
    flags = ["--recipe", "improved", "--epochs", "4", "--batch-size", "4"]  # 9 photos: 3 steps in an epoch
    command = ["pt1", "--data", str(improved[0]), "--weights-dir", str(tmp_path), *flags]
    for constant in ([], ["--set", "cosine_decay=False"]):
        monkeypatch.setattr(sys, "argv", [*command, *constant])
        with pytest.raises(SystemExit):
            fine_tuning_VGG16_pt1.main()
    decaying, constant = compiled
    assert [float(decaying._learning_rate(step)) for step in (0, 6, 12)] == pytest.approx([0.001, 0.0005, 0])
    assert float(constant.learning_rate) == pytest.approx(0.001)


def test_an_old_file_of_the_improved_recipe_names_that_recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "project_path", lambda name: tmp_path / name)
    for folder, flag in (("weights", ""), ("weights/improved", " --recipe improved")):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "fine_tuned_vgg16.weights.h5"
        path.write_bytes(b"\x89HDF")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(TutorialError, match=rf"train one with python fine_tuning_VGG16_pt3\.py{flag}\.$"):
            WeightsFile(path.relative_to(tmp_path))
