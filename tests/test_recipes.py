"""The improved recipe and more than two classes, from the shell; each against what plain Keras and NumPy say."""

import json
import re
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from conftest import history, paint, run, run_part
from PIL import Image

from tutorial import networks
from tutorial.backend import keras
from tutorial.imagenet import LAYERS, imagenet_weights
from tutorial.images import as_vgg16_learnt, find_images, find_test, read_photo
from tutorial.training import class_weights, fading_steps
from tutorial.model_file import FILES, read_info

NAMES = ["cornish", "devon", "<persian>"]  # the last comes first in alphabetical order


def three_parts(data, weights, *flags):
    done = [run_part(part, data, weights, "--epochs", 2, *flags) for part in (1, 2, 3)]
    for one in done:
        assert one.returncode == 0, one.stderr
    return [one.stdout for one in done]


@pytest.fixture(scope="module")
def improved(tmp_path_factory):
    """The improved recipe on three unequal classes with test photos: (data, weights, what the parts printed)."""
    folder = tmp_path_factory.mktemp("improved")
    for split, counts in (("train", (4, 7, 5)), ("validation", (3, 2, 4)), ("test", (2, 3, 2))):
        paint(folder / "data" / split, **dict(zip(NAMES, counts, strict=True)))
    printed = three_parts(folder / "data", folder / "weights", "--recipe", "improved")
    return folder / "data", folder / "weights", printed


def test_weights_files_say_how_they_were_made(improved):
    _, weights, _ = improved
    for model, (name, _) in FILES.items():
        about = read_info(weights / name)
        assert about.class_names == sorted(NAMES) and about.recipe == "improved" and about.mirrored
        assert about.photos["test"] == {"<persian>": 2, "cornish": 2, "devon": 3}
        assert about.preprocessing.startswith("rescale" if model == "small_convnet" else "vgg16")
        assert 1 / 3 <= about.unsure_below <= 1
        assert (weights / f"{model}_reliability.png").stat().st_size > 1000


def plain_look(model, weights):
    """What a network says of preprocessed photos of any size, put together here: a probability for each class."""
    network = networks.load_network(weights, read_info(weights))
    if model == "small_convnet":
        return lambda photos: network.predict(photos, verbose=0)
    tensors = [tensor for name in LAYERS for tensor in network.get_layer(name).get_weights()]
    if model == "bottleneck_fc_model":
        assert all(np.array_equal(one, other) for one, other in zip(tensors, imagenet_weights(), strict=True))
    plain = keras.applications.VGG16(include_top=False, weights=None)
    plain.set_weights(tensors)
    kernel, bias = network.get_layer("top_model").get_weights()

    def look(photos):
        averages = plain(photos).numpy().mean(axis=(1, 2))
        averages -= averages.mean(axis=1, keepdims=True)
        averages /= np.sqrt((averages**2).mean(axis=1, keepdims=True) + 1e-3)
        powers = np.exp(averages @ kernel + bias)
        return powers / powers.sum(axis=1, keepdims=True)

    return look


def enlarged(photo):
    """A preprocessed photo at the size that VGG16 learnt from, by Pillow."""
    channels = [Image.fromarray(photo[:, :, i]).resize((224, 224), Image.Resampling.BILINEAR) for i in range(3)]
    return np.stack([np.asarray(channel) for channel in channels], axis=2)


@pytest.mark.parametrize("model", FILES)
def test_predict_answers_as_the_network_and_the_file_say(improved, model):
    """Photo and mirror image, for VGG16 both enlarged too, through plain Keras, averaged, calibrated by hand."""
    data, folder, printed = improved
    weights = folder / FILES[model][0]
    about, look = read_info(weights), plain_look(model, weights)
    done = run("predict.py", data / "test", "--weights", weights, "--json", "--threshold", "0.5")
    assert done.returncode == 0, done.stderr
    losses, right = [], []
    for answer in map(json.loads, done.stdout.splitlines()):
        photo = read_photo(answer["photo"], 150)[None]
        inputs = photo / np.float32(255)
        if model != "small_convnet":
            inputs = keras.applications.vgg16.preprocess_input(np.float32(photo))
        views = [inputs, inputs[:, :, ::-1]]
        if model != "small_convnet":
            views += [enlarged(view[0])[None] for view in views]
        outputs = np.mean([look(view)[0] for view in views], axis=0)
        calibrated = np.float64(outputs) ** (1 / about.temperature) * np.exp(about.offsets)
        calibrated /= calibrated.sum()
        assert answer["class"] == about.class_names[int(np.argmax(calibrated))]
        assert answer["probability"] == pytest.approx(calibrated.max(), abs=1e-4)
        assert answer["sure"] == (answer["probability"] >= 0.5)
        true = next(i for i, name in enumerate(about.class_names) if f"/{name}/" in answer["photo"].replace("\\", "/"))
        losses.append(-np.log(calibrated[true]))
        right.append(int(np.argmax(calibrated)) == true)
    assert len(losses) == 7
    assert about.scores["test_accuracy"] == pytest.approx(np.mean(right), abs=1e-6)
    assert about.scores["test_loss"] == pytest.approx(np.mean(losses), abs=1e-3)
    said = printed[list(FILES).index(model)]
    assert re.search(rf"test +answers: accuracy {np.mean(right):.3f}, .* the number to quote", said)
    assert said.index("epoch 2/2") < said.index("test        answers")


def test_test_photos_choose_nothing(improved, tmp_path):
    """The same training without a test folder: the same weights, calibration and threshold."""
    data, weights, _ = improved
    (tmp_path / "data").mkdir()
    for split in ("train", "validation"):
        (tmp_path / "data" / split).symlink_to(data / split)
    done = run_part(2, tmp_path / "data", tmp_path / "weights", "--epochs", 2, "--recipe", "improved")
    assert done.returncode == 0, done.stderr
    name = FILES["bottleneck_fc_model"][0]
    with_test, without = read_info(weights / name), read_info(tmp_path / "weights" / name)
    for one in ("temperature", "offsets", "unsure_below"):
        assert getattr(with_test, one) == getattr(without, one), one
    tensors = []
    for folder in (weights, tmp_path / "weights"):
        with h5py.File(folder / name) as file:
            found = {}
            file["layers"].visititems(
                lambda key, item, found=found: found.update({key: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
            tensors.append(found)
    assert tensors[0].keys() == tensors[1].keys() and tensors[0]
    assert all(np.array_equal(tensors[0][key], tensors[1][key]) for key in tensors[0])


def test_what_is_unlike_the_training_photos_is_said(improved, tmp_path):
    """Noise, to a network that has seen soft colors."""
    from PIL import Image

    noise = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8)).save(noise)
    data, weights, _ = improved
    done = run("predict.py", noise, data / "train" / "devon", "--weights", weights / FILES["fine_tuned_vgg16"][0])
    lines = done.stdout.splitlines()[1:]
    assert lines[0].endswith("; unlike any training photo")
    assert sum("unlike" in line for line in lines[1:]) <= 2
    done = run("predict.py", noise, "--weights", weights / FILES["small_convnet"][0])
    assert done.returncode == 0 and "noise.png: " in done.stdout and "; unlike" not in done.stdout  # it cannot tell


def test_ten_classes(tmp_path):
    names = [f"kind{i}" for i in range(10)]
    for split, count in (("train", 2), ("validation", 1)):
        paint(tmp_path / "data" / split, **dict.fromkeys(names, count))
    three_parts(tmp_path / "data", tmp_path / "weights")
    for model in ("small_convnet", "fine_tuned_vgg16"):
        weights = tmp_path / "weights" / FILES[model][0]
        done = run("predict.py", tmp_path / "data" / "validation", "--weights", weights, "--json")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        right = [f"/{one['class']}/" in one["photo"].replace("\\", "/") for one in found]
        assert len(found) == 10 and all(0.1 <= one["probability"] <= 1 for one in found)
        last = history(tmp_path / "weights", model)[-1]
        assert np.mean(right) == pytest.approx(last["val_accuracy"], abs=1e-6)
        losses = [-np.log(one["probability"]) for one, ok in zip(found, right, strict=True) if ok]
        assert sum(losses) / 10 <= last["val_loss"] + 1e-4


def test_vgg16s_own_preprocessing_is_keras():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)
    assert np.allclose(
        as_vgg16_learnt(pixels), keras.applications.vgg16.preprocess_input(np.float32(pixels)), atol=1e-4
    )


def test_classes_count_the_same_in_all(improved):
    train, _ = find_images(improved[0])
    weights = class_weights(train)
    assert [weights[i] * count for i, count in enumerate(train.counts().values())] == pytest.approx([16 / 3] * 3)
    assert find_test(improved[0], train).counts() == {"<persian>": 2, "cornish": 2, "devon": 3}


def test_label_smoothing_by_hand():
    """0.1 over three classes: the right one is to get 0.9 + 0.1 / 3."""
    outputs = np.float32([[0.7, 0.2, 0.1]])
    wanted = -(0.9 + 0.1 / 3) * np.log(0.7) - 0.1 / 3 * (np.log(0.2) + np.log(0.1))
    first = networks.targets(np.float32([0]), 3)
    assert first.tolist() == [[1, 0, 0]] and networks.targets([1, 0], 2).tolist() == [1, 0]
    assert float(networks.loss_function(3, 0.1)(first, outputs)) == pytest.approx(wanted, abs=1e-5)
    assert float(networks.loss_function(3)(first, outputs)) == pytest.approx(-np.log(0.7), abs=1e-5)
    assert float(networks.loss_function(2)(np.float32([[1]]), np.float32([[0.7]]))) == pytest.approx(
        -np.log(0.7), abs=1e-5
    )


def test_the_accuracy_of_mixed_photos_is_that_of_the_larger_share():
    two = networks.accuracy(np.float32([0.8, 0.3, 1, 0.6]), np.float32([[0.9], [0.2], [0.4], [0.7]]))
    assert np.ravel(two).tolist() == [1, 1, 0, 1]
    three = networks.accuracy(np.float32([[0.6, 0, 0.4], [0, 1, 0]]), np.float32([[0.5, 0.2, 0.3], [0.5, 0.4, 0.1]]))
    assert np.ravel(three).tolist() == [1, 0]


def test_steps_grow_for_an_epoch_and_fade_to_nothing():
    settings = SimpleNamespace(learning_rate=0.01, weight_decay=0.1, average=0.99, fade=True, epochs=5, batch_size=10)
    optimizer = fading_steps(settings, photos=95)
    rates = [float(optimizer._learning_rate(step)) for step in range(51)]
    assert rates[0] == 0 and rates[5] == pytest.approx(0.005) and rates[10] == pytest.approx(0.01)
    assert rates[30] == pytest.approx(0.005) and rates[50] == pytest.approx(0, abs=1e-9)
    assert max(rates) == rates[10]
    settings.fade = False
    assert float(fading_steps(settings, photos=95).learning_rate) == pytest.approx(0.01)
