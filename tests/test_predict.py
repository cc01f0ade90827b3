"""predict.py as run from the shell: the same predictions as the training's evaluation, one line for what fails."""

import json
import math
import shutil

import predict
from conftest import SMALL_PHOTOS, history, run
from fine_tuning_VGG16_pt1 import small_convnet
from fine_tuning_VGG16_pt2 import top_model
from tutorial import model_file, recipes
from tutorial.backend import keras
from tutorial.calibration import class_probabilities
from tutorial.images import read_photo
from tutorial.model_file import FILES, ModelInfo

import numpy as np
import pytest
from PIL import Image


def printed(done) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("model", FILES)
def test_probabilities_are_those_of_the_trainings_evaluation(trained, predictions, model):
    """From predict.py's JSON for the validation photos, odd ones included, the loss and the accuracy that the training
    process itself recorded after its last epoch."""
    losses, right = [], []
    for one in predictions[model]:
        true = "calico" if "/calico/" in one["photo"].replace("\\", "/") else "tabby"
        right.append(one["class"] == true)
        losses.append(-math.log(one["probability"] if right[-1] else 1 - one["probability"]))
        assert one["model"] == str(trained.weights / FILES[model][0])
    assert len(losses) == 17
    last = history(trained.weights, model)[-1]
    assert np.mean(losses) == pytest.approx(last["val_loss"], rel=1e-5, abs=1e-5)
    assert np.mean(right) == pytest.approx(last["val_accuracy"], abs=1e-5)


@pytest.mark.parametrize("model", FILES)
def test_each_probability_is_the_networks_output_for_the_photo_alone(trained, predictions, imagenet_file, model):
    """Photo by photo, against a network put together here and Keras's own predict on the loader's pixels."""
    weights, size = trained.weights / FILES[model][0], 150 if model == "small_convnet" else SMALL_PHOTOS
    if model == "small_convnet":
        network = small_convnet(2)
        network.load_weights(weights)
    else:
        base = keras.applications.VGG16(include_top=False, weights=imagenet_file, input_shape=(size, size, 3))
        top = top_model(base.output_shape[1:], 2)
        network = keras.Model(base.input, top(base.output))
        (top if model == "bottleneck_fc_model" else network).load_weights(weights)
    for one in predictions[model]:
        output = network.predict(read_photo(one["photo"], size)[None] * np.float32(1 / 255), verbose=0)[0, 0]
        assert one["probability"] == pytest.approx(max(output, 1 - output), abs=1e-5)
        assert one["class"] == ("tabby" if output >= 0.5 else "calico")


@pytest.mark.parametrize(
    ("outputs", "name", "probability"),
    [([6e-14], "a", 1.0), ([0.25], "a", 0.75), ([0.5], "a", 0.5), ([1.0], "b", 1.0), ([0.2, 0.5, 0.3], "b", 0.5)],
)
def test_the_probability_is_that_of_the_class_named(outputs, name, probability):
    info = ModelInfo("small_convnet", ["a", "b", "c"][: max(2, len(outputs))], 150, {}, {}, {}, 0.0)
    assert info.best_class(class_probabilities(np.float32([outputs]))[0]) == (name, pytest.approx(probability))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    good = Image.effect_noise((80, 60), 60)
    good.save(folder / "good one.png")
    (folder / "sub" / "deep").mkdir(parents=True)
    good.save(folder / "sub" / "deep" / "bottom.jpg")
    whole = (folder / "sub" / "deep" / "bottom.jpg").read_bytes()
    (folder / "sub" / "cut.jpg").write_bytes(whole[:200])
    (folder / "empty").mkdir()
    return folder


def test_good_photos_are_predicted_and_bad_ones_get_one_line_each(untrained, photos):
    weights = untrained.weights / "small_convnet.weights.h5"
    given = [photos / "missing.jpg", photos / "good one.png", photos / "sub", photos / "empty", "README.md"]
    done = run("predict.py", *given, "--weights", weights)
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert lines[0] == f"model: {weights}, small_convnet for calico or tabby, trained on 19 photos"
    assert len(lines) == 3
    for line, photo in zip(lines[1:], ["good one.png", "sub/deep/bottom.jpg"], strict=True):
        path, text = line.rsplit(": ", 1)
        assert path == str(photos / photo)
        name, percent = text.split()
        assert name in ("calico", "tabby") and 50 <= float(percent[1:-2]) <= 100 and percent.endswith("%)")
    errors = done.stderr.splitlines()
    assert len(errors) == 4
    for line, photo in zip(errors, ["missing.jpg", "cut.jpg", "empty", "README.md"], strict=True):
        assert line.startswith("error: ") and photo in line


def test_json_has_one_object_a_line_and_nothing_else(untrained, photos):
    weights = untrained.weights / "small_convnet.weights.h5"
    done = run("predict.py", "--json", photos, "--weights", weights)
    assert done.returncode == 2 and done.stderr == ""
    found = printed(done)
    known = {"photo", "class", "probability", "probabilities", "model", "sure", "out_of_distribution"}
    assert [set(one) for one in found] == [known, {"photo", "error"}, known]
    assert "cut.jpg" in found[1]["photo"] and "cut.jpg" in found[1]["error"]


def test_only_bad_photos_need_no_network(untrained, photos, monkeypatch, capsys):
    monkeypatch.setattr(predict, "load_network", None)
    flags = [photos / "sub" / "cut.jpg", "--weights", untrained.weights / "small_convnet.weights.h5"]
    monkeypatch.setattr("sys.argv", ["predict.py", *map(str, flags)])
    assert predict.main() == 2 and "cut.jpg" in capsys.readouterr().err


def test_below_the_threshold_it_is_not_sure(untrained, photos):
    weights = untrained.weights / "small_convnet.weights.h5"
    done = run("predict.py", photos / "good one.png", "--weights", weights, "--threshold", "1")
    assert done.returncode == 0 and "not sure: " in done.stdout
    found = printed(run("predict.py", photos / "good one.png", "--weights", weights, "--json", "--threshold", "0"))
    assert found[0]["sure"] is True
    done = run("predict.py", photos / "good one.png", "--threshold", "80")
    assert done.returncode == 2 and "--threshold" in done.stderr and "Traceback" not in done.stderr


def test_the_picture_shows_the_photo(untrained, photos, tmp_path):
    red = tmp_path / "red.png"
    Image.new("RGB", (400, 300), "red").save(red)
    picture = tmp_path / "pictures" / "prediction.png"
    weights = untrained.weights / "small_convnet.weights.h5"
    done = run("predict.py", red, "--weights", weights, "--save", picture)
    assert done.returncode == 0, done.stderr
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert (pixels == [255, 0, 0]).all(-1).mean() > 0.4  # the photo
    assert (pixels < 100).all(-1).sum() > 200  # the writing
    for name in ("prediction.xyz", "prediction.webp", "prediction.pgf"):  # the second may be a photo
        done = run("predict.py", red, "--weights", weights, "--save", tmp_path / name)
        assert done.returncode == 2 and name in done.stderr and ".png" in done.stderr


def test_the_best_model_present_is_the_default(tmp_path, monkeypatch):
    backup = tmp_path / "weights" / "backup"
    folders = {"backup": backup, "original": tmp_path / "weights", "improved": tmp_path / "weights" / "improved"}
    given = tmp_path / "weights" / "pretrained"
    monkeypatch.setattr(recipes, "project_path", lambda name: tmp_path / name)
    for folder in (backup, folders["improved"], given):
        folder.mkdir(parents=True)
    with pytest.raises(model_file.TutorialError, match="no trained model"):
        model_file.best_weights()
    for name in ("small_convnet.weights.h5", "fine_tuned_vgg16.weights.h5"):
        (given / name).touch()
        assert model_file.best_weights() == given / name
    for name in ("small_convnet.weights.h5", "bottleneck_fc_model.weights.h5", "fine_tuned_vgg16.weights.h5"):
        for folder in folders.values():
            (folder / name).touch()
            assert model_file.best_weights() == folder / name


def test_compare_refuses_a_bad_photo_before_it_prints(untrained, sentence):
    flags = "--weights-dir", untrained.weights, "--save", "a.png"
    assert "--save a.png needs a photo" in sentence(run("tools/compare.py", *flags))
    done = run("tools/compare.py", "nix.jpg", "--weights-dir", untrained.weights)
    assert "nix.jpg" in sentence(done) and done.stdout == ""


@pytest.mark.parametrize("name", ["best.h5", "best"])
def test_a_weights_file_may_have_another_name(trained, predictions, tmp_path, name):
    shutil.copy(trained.weights / "small_convnet.weights.h5", tmp_path / name)
    one = predictions["small_convnet"][0]
    done = run("predict.py", one["photo"], "--weights", tmp_path / name, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["class"] == one["class"], done.stderr


def test_compare_prints_the_models(trained, predictions):
    photo = trained.data / "validation" / "tabby" / "tabby0.jpg"
    done = run("tools/compare.py", photo, "--weights-dir", trained.weights)
    assert done.returncode == 0, done.stderr
    table = done.stdout.splitlines()
    assert [line.split()[0] for line in table[1:4]] == list(FILES)
    for line, model in zip(table[1:4], FILES, strict=True):
        assert f"{history(trained.weights, model)[-1]['val_accuracy']:.1%}" in line
        [alone] = [one for one in predictions[model] if one["photo"] == str(photo)]
        assert line.endswith(f"{alone['class']} ({alone['probability']:.1%})")
