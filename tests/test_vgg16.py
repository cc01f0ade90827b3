"""The networks: sizes, names, what is frozen; and features against a network built from plain layers."""

import math

import numpy as np
import pytest
from PIL import Image

from tutorial.backend import keras
from tutorial.imagenet import LAYERS, imagenet_weights
from tutorial.vgg16 import averaging, freeze_first_blocks, looks, small_convnet, top_model, vgg16_base, with_top

STORED_SUM, STORED_STRONGEST, STORED_MAXIMUM = 706.114, 155, 9.40106  # of the ramp below


def count(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def test_small_convnet_has_the_texts_parameters():
    assert small_convnet(150).count_params() == 1_212_513


def test_top_model_has_the_texts_parameters():
    assert top_model((4, 4, 512)).count_params() == 2_097_665


@pytest.fixture(scope="module")
def fine_tuned():
    base = vgg16_base(150, imagenet=False)
    top = top_model(base.output_shape[1:])
    network = with_top(base, top)
    freeze_first_blocks(base)
    return base, top, network


def test_what_part_3_trains(fine_tuned):
    base, top, network = fine_tuned
    assert count(network.trainable_weights) == 9_177_089
    assert network.count_params() == 14_714_688 + 2_097_665
    assert [layer.name for layer in base.layers if layer.weights and layer.trainable] == [
        "block5_conv1",
        "block5_conv2",
        "block5_conv3",
    ]
    assert [layer.name for layer in base.layers if layer.weights and not layer.trainable] == LAYERS[:10]
    assert len(base.trainable_weights) == 6 and len(network.trainable_weights) == 10
    assert all(weight.trainable for weight in top.weights)


def test_more_blocks_can_be_trained():
    base = vgg16_base(32, imagenet=False)
    freeze_first_blocks(base, 3)
    assert [layer.name for layer in base.layers if layer.weights and layer.trainable] == LAYERS[4:]
    freeze_first_blocks(base, 1)
    assert count(base.trainable_weights) == 7_079_424


def test_base_is_vgg16_of_plain_layers_with_the_imagenet_weights():
    """VGG16 written out from the paper's table D, filled from the same 26 tensors."""
    plain = keras.Sequential([keras.Input((64, 64, 3))])
    for filters, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            plain.add(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        plain.add(keras.layers.MaxPooling2D(2, 2))
    plain.set_weights(imagenet_weights())
    photos = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    expected = plain.predict_on_batch(photos)
    assert expected.std() > 0.01
    assert vgg16_base(64).predict_on_batch(photos) == pytest.approx(expected, abs=1e-5)


def test_enlarged_photos_are_what_pillow_enlarges():
    photos = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    larger = np.empty((2, 96, 96, 3), np.float32)
    for photo, channel in np.ndindex(2, 3):
        one = Image.fromarray(photos[photo, :, :, channel])  # mode F
        larger[photo, :, :, channel] = np.asarray(one.resize((96, 96), Image.Resampling.BILINEAR))
    expected = vgg16_base(96).predict_on_batch(larger)
    assert expected.shape == (2, 3, 3, 512)
    base = averaging(vgg16_base(64))
    assert looks(base, None) == looks(base, 64) == [base]
    same, enlarged = looks(base, 96)
    averages = enlarged.predict_on_batch(photos)
    assert same is base and averages.shape == (2, 1, 1, 512)
    assert averages[:, 0, 0] == pytest.approx(expected.mean((1, 2)), abs=1e-4)


def test_with_enlarged_photos_an_answer_is_the_mean_of_two():
    """What plain calls say of the photos as they are and enlarged; the weights are in the network once."""
    base = averaging(vgg16_base(64))
    freeze_first_blocks(base)
    top = top_model((1, 1, 512), average_places=True)
    photos = np.random.default_rng(1).random((3, 64, 64, 3), np.float32)
    plain = keras.applications.VGG16(include_top=False, weights=None, input_shape=(96, 96, 3), pooling="avg")
    plain.set_weights(imagenet_weights())
    larger = keras.layers.Resizing(96, 96)(photos)
    one, other = top(base(photos)).numpy(), top(plain(larger)[:, None, None]).numpy()
    assert np.abs(one - other).max() > 1e-3
    network = with_top(base, top, 96)
    assert network.predict_on_batch(photos) == pytest.approx((one + other) / 2, abs=1e-5)
    assert len(network.trainable_weights) == 8
    assert with_top(base, top).predict_on_batch(photos) == pytest.approx(one, abs=1e-5)


def test_features_of_a_known_picture():
    """A color ramp, the same everywhere: its features with the real ImageNet weights, stored when first computed."""
    x, y = np.meshgrid(np.linspace(0, 1, 150), np.linspace(0, 1, 150))
    ramp = np.stack([x, y, 1 - x * y], -1)[None].astype(np.float32)
    features = vgg16_base(150).predict_on_batch(ramp)[0]
    assert features.shape == (4, 4, 512)
    assert float(features.sum()) == pytest.approx(STORED_SUM, rel=1e-4)
    assert int(features.mean(axis=(0, 1)).argmax()) == STORED_STRONGEST
    assert features[:, :, STORED_STRONGEST].max() == pytest.approx(STORED_MAXIMUM, rel=1e-4)
