"""Grad-CAM against gradients by hand, and the picture that predict.py --explain draws of it."""

import json

from conftest import PROJECT, run
from fine_tuning_VGG16_pt1 import batchnorm_convnet, small_convnet
from fine_tuning_VGG16_pt2 import top_model
from predict import TrainedModel
from tutorial.backend import keras
from tutorial.gradcam import grad_cam, heat_map
from tutorial.imagenet_weights import LAYERS
from tutorial.images import PREPROCESSING
from tutorial.model_file import ModelInfo, save_weights

import numpy as np
import pytest
from PIL import Image

layers = keras.layers


def two_spots(output, kernel, bias):
    """A network with a red and a green channel and this output layer; and a photo, red at one pixel and green, half as
    strong, at two."""
    network = keras.Sequential(
        [keras.Input((4, 4, 3)), layers.Conv2D(2, 1), layers.MaxPooling2D(2), layers.Flatten(), output]
    )
    colors = np.eye(3, 2, dtype=np.float32)[None, None]
    kernel = np.tile(np.float32(kernel), (4, 1))  # the same in all four quarters
    network.set_weights([colors, np.zeros(2, np.float32), kernel, np.float32(bias)])
    photo = np.zeros((4, 4, 3), np.float32)
    photo[0, 1] = 1, 0, 0
    photo[2, 0] = photo[3, 2] = 0, 0.5, 0
    return network, photo


def only(**pixels):
    found = np.zeros((4, 4))
    for pixel, value in pixels.items():
        found[int(pixel[1]), int(pixel[2])] = value
    return found


@pytest.mark.parametrize("bias", [0, 50])  # whose probability is 1 in float32
def test_of_two_classes_red_supports_the_second_and_green_the_first(bias):
    """The logit is the sum of the four quarters' largest reds, less that of the greens."""
    network, photo = two_spots(layers.Dense(1, activation="sigmoid"), [[1], [-1]], [bias])
    assert network.predict_on_batch(photo[None])[0, 0] == (1 if bias else 0.5)
    both = np.stack([photo, photo[:, ::-1]])
    second, first = grad_cam(network, both, 1), grad_cam(network, both, 0)
    assert second.dtype == np.float32 and second.shape == (2, 4, 4)
    assert second[0] == pytest.approx(only(p01=1)) and second[1] == pytest.approx(only(p02=1))
    assert first[0] == pytest.approx(only(p20=1, p32=1)) and first[1] == pytest.approx(only(p23=1, p31=1))


def test_of_three_classes_each_has_its_own_map():
    """Logits: red + green; green - red; -red - green, which nothing supports."""
    network, photo = two_spots(layers.Dense(3, activation="softmax"), [[1, -1, -1], [1, 1, -1]], [0, 50, 0])
    maps = [grad_cam(network, photo[None], label)[0] for label in range(3)]
    assert maps[0] == pytest.approx(only(p01=1, p20=0.5, p32=0.5))
    assert maps[1] == pytest.approx(only(p20=1, p32=1))
    assert maps[2] == pytest.approx(only())


def pooled(seen):
    n, height, width, channels = seen.shape
    return seen[:, : height // 2 * 2, : width // 2 * 2].reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


def logits(model, recipe, weights, seen):
    """The layers after the last convolution in NumPy, float64: seen (n, h, w, c) to a logit for each unit."""
    kernel, bias = weights[-2:]
    if recipe == "original":
        flat = pooled(seen).reshape(len(seen), -1)
        return np.maximum(flat @ weights[-4] + weights[-3], 0) @ kernel + bias
    if model == "small_convnet":
        return seen.mean((1, 2)) @ kernel + bias
    averages = pooled(seen).mean((1, 2))
    averages -= averages.mean(1, keepdims=True)
    return averages / np.sqrt((averages**2).mean(1, keepdims=True) + 1e-3) @ kernel + bias


@pytest.mark.parametrize("classes", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("recipe", ["original", "improved"])
@pytest.mark.parametrize("model", ["small_convnet", "fine_tuned_vgg16"])  # part 2's network is part 3's
def test_every_network_against_finite_differences(imagenet_file, tmp_path, model, recipe, classes):
    """How the logit, computed by hand, changes as each channel of the last convolution's output is changed a little."""
    size, improved = 64, recipe == "improved"
    keras.utils.set_random_seed(0)  # among other top models is one with a unit so near 0 that rounding switches it
    if model == "small_convnet":
        saved = (batchnorm_convnet if improved else small_convnet)(classes, image_size=size)
        rng = np.random.default_rng(0)
        for one in saved.layers:
            if isinstance(one, layers.BatchNormalization):  # one that does something
                one.set_weights([np.float32(rng.uniform(0.2, 1, old.shape)) for old in one.get_weights()])
    else:
        pooling, shape = "avg" if improved else None, (size, size, 3)
        base = keras.applications.VGG16(weights=imagenet_file, include_top=False, pooling=pooling, input_shape=shape)
        top = top_model(base.output_shape[1:], classes)
        top.set_weights([keras.random.normal(one.shape, stddev=0.05) for one in top.weights])  # zeros support nothing
        saved = keras.Model(base.input, top(base.output))
    preprocessing = "caffe" if improved and model != "small_convnet" else "rescale"
    settings = {"network": "batchnorm_convnet" if improved else "small_convnet", "flip_tta": improved}
    settings["pooling"] = "avg" if improved else ""
    names = ["a", "b", "c"][:classes]
    info = ModelInfo(model, names, size, settings, {}, {}, 0.0, preprocessing, recipe)
    save_weights(saved, tmp_path / "model.weights.h5", info)
    trained = TrainedModel(tmp_path / "model.weights.h5")

    photo = np.asarray(Image.effect_noise((9, 9), 90).resize((size, size)))[:, :, None]
    photo = np.clip(photo + np.arange(0, 192, 3).reshape(-1, 1, 1) * [1, 0, -1], 0, 255).astype(np.uint8)
    network = keras.Model(trained.network.inputs, trained.network.outputs[0])
    images = PREPROCESSING[preprocessing]([photo, photo[:, ::-1]])
    weights = [one.astype(np.float64) for one in network.get_weights()[-4:]]
    plain = network
    if model == "small_convnet":
        last = [one for one in network.layers if isinstance(one, layers.ReLU if improved else layers.Conv2D)][-1]
    else:
        plain = keras.applications.VGG16(include_top=False, weights=None)  # for images of any size
        plain.set_weights([one for name in LAYERS for one in network.get_layer(name).get_weights()])
        last = plain.get_layer("block5_conv3")
    seen = np.float64(keras.Model(plain.inputs, last.output).predict_on_batch(images))
    assert (seen >= 0).all() and seen.std() > 0
    found = logits(model, recipe, weights, seen)
    powers = np.exp(np.hstack([np.zeros((2, 1)), found]) if classes == 2 else found)
    expected = (powers / powers.sum(1, keepdims=True))[:, 1 if classes == 2 else 0 :]
    assert network.predict_on_batch(images) == pytest.approx(expected, abs=1e-4)  # the layers by hand are the network's

    step = 1e-5 * seen.max()
    more, less = (
        [logits(model, recipe, weights, seen + s * one) for one in np.eye(seen.shape[3])] for s in (step, -step)
    )
    slopes = (np.array(more) - np.array(less)) / (2 * step)  # (channels, 2, units)
    for label, name in enumerate(names):
        slope = slopes[:, :, label] if classes == 3 else slopes[:, :, 0] * (1 if label else -1)
        maps = np.maximum(np.einsum("nhwc,cn->nhw", seen, slope), 0)
        maps /= np.maximum(maps.max((1, 2), keepdims=True), 1e-30)
        assert grad_cam(network, images, label) == pytest.approx(maps, abs=5e-3)
        mean = (maps[0] + maps[1][:, ::-1]) / 2 if improved else maps[0]
        assert heat_map(trained.network, info, photo, name) == pytest.approx(mean, abs=5e-3)


@pytest.fixture(scope="module")
def sees_red(tmp_path_factory):
    """A convnet's weights file that predicts tabby for what is red, and keeps its position."""
    network = small_convnet(2)
    weights = [np.zeros_like(one) for one in network.get_weights()]
    for kernel in weights[0:6:2]:
        kernel[1, 1, 0, 0] = 1
    weights[6][::64, 0] = 1  # the first of 64 channels at each position
    weights[8][0] = 1
    network.set_weights(weights)
    path = tmp_path_factory.mktemp("weights") / "small_convnet.weights.h5"
    save_weights(
        network, path, ModelInfo("small_convnet", ["calico", "tabby"], 150, {"network": "small_convnet"}, {}, {}, 0.0)
    )
    return path


def stretches(mask):
    """Where a one-dimensional mask is true: (first, end) of each stretch."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask, [0]])))
    return list(zip(edges[::2], edges[1::2], strict=True))


def near(pixels, color):
    return (np.abs(np.int64(pixels) - color) < 12).all(-1)


RED = np.array([255, 0, 0])
COLD, WARM = np.array([13, 8, 135]), np.array([240, 249, 33])  # the two ends of matplotlib's plasma


def test_the_picture_shows_each_photo_and_its_heat_map(sees_red, tmp_path):
    """Black photos, 3 : 2, with a red patch, high up on the right or left; one is rotated by its EXIF tag."""
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[30:90, 200:280] = 255, 0, 0
    Image.fromarray(pixels).save(tmp_path / "right.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    left = Image.fromarray(pixels[:, ::-1])
    left.rotate(90, expand=True).save(tmp_path / "left.png", exif=exif)
    command = [PROJECT / "predict.py", "right.png", "left.png", "--weights", sees_red, "--explain"]
    done = run(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "right.png: tabby (" in done.stdout and "saved explained.png, with 2 of 2 photos" in done.stderr
    picture = np.asarray(Image.open(tmp_path / "explained.png").convert("RGB"))
    red = stretches(near(picture, RED).any(0))
    cold = stretches(near(picture, COLD // 2).sum(0) > 20)
    assert len(red) == 2
    maps = [(cold[0][0], next(end for _, end in cold if end > red[0][1] and end < red[1][0])), (red[1][1], cold[-1][1])]
    for (first, end), patch, x in zip(maps, red, (240, 60), strict=True):
        assert patch[1] <= first  # photo first, then its map
        here = picture[:, first:end]
        rows = np.flatnonzero(near(here, COLD // 2).any(1))
        columns = np.flatnonzero(near(here, COLD // 2).any(0))
        top, height = rows[0], rows[-1] - rows[0] + 1
        width = columns[-1] - columns[0] + 1
        assert width / height == pytest.approx(1.5, abs=0.03)
        assert (patch[1] - patch[0]) / width == pytest.approx(80 / 300, abs=0.02)  # both panels have the same size
        ys, xs = np.nonzero(near(here, (WARM + RED) // 2))
        assert len(ys) > 0.01 * width * height
        assert (xs.mean() - columns[0]) / width == pytest.approx(x / 300, abs=0.05)
        assert (ys.mean() - top) / height == pytest.approx(60 / 200, abs=0.05)


def test_json_and_a_name_for_the_picture(sees_red, tmp_path):
    Image.new("RGB", (60, 40), "red").save(tmp_path / "red.png")
    flags = "--weights", sees_red, "--json", "--explain", "--save", "why.jpg"
    done = run(PROJECT / "predict.py", "red.png", *flags, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["class"] for line in done.stdout.splitlines()] == ["tabby"]
    with Image.open(tmp_path / "why.jpg") as picture:
        assert picture.width > 1.5 * picture.height
    assert not (tmp_path / "explained.png").exists()


def test_wrong_names_get_a_sentence(sees_red, tmp_path, sentence):
    Image.new("RGB", (60, 40), "red").save(tmp_path / "red.png")
    command = [PROJECT / "predict.py", "--explain", "--weights", sees_red]
    line = sentence(run(*command, "red.png", "--save", "why.xyz", folder=tmp_path))
    assert "why.xyz" in line and ".png" in line
    assert "nix.png" in sentence(run(*command, "nix.png", folder=tmp_path))
    assert "nix.h5" in sentence(run(*command, "red.png", "--weights", "nix.h5", folder=tmp_path))
    (tmp_path / "file").touch()
    assert "why.png" in sentence(run(*command, "red.png", "--save", "file/why.png", folder=tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "red.png"]
