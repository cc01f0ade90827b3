"""Winograd's convolution is the plain one: outputs and gradients, against TensorFlow's own in float64."""

from tutorial.backend import keras, tf
from tutorial.vgg16 import use_winograd
from tutorial.winograd import convolution

import numpy as np
import pytest


def both(convolve, inputs: np.ndarray, kernel: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Outputs, and the gradients of their weighted sum by inputs and kernel."""
    inputs, kernel = tf.constant(inputs), tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch([inputs, kernel])
        outputs = convolve(inputs, kernel)
        total = tf.reduce_sum(outputs * weights)
    return [array.numpy() for array in (outputs, *tape.gradient(total, [inputs, kernel]))]


def plain(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(inputs, kernel, 1, "SAME")


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (2, 3), (4, 9), (9, 9), (14, 5), (18, 18)], ids=lambda size: str(size)
)
def test_outputs_and_gradients_are_the_plain_convolutions(height, width):
    rng = np.random.default_rng(height * width)
    inputs = np.maximum(rng.normal(size=(3, height, width, 64)), 0)
    kernel, weights = rng.normal(size=(3, 3, 64, 32)), rng.normal(size=(3, height, width, 32))
    exact = both(plain, inputs, kernel, weights)
    got = both(convolution, *(array.astype(np.float32) for array in (inputs, kernel, weights)))
    for ours, wanted in zip(got, exact, strict=True):
        assert ours.shape == wanted.shape and ours.dtype == np.float32
        assert np.abs(ours - wanted).max() < 2e-5 * np.abs(wanted).max()


def test_one_kernel_entry_shifts_the_image():
    """By hand: a kernel that is 1 at one place shifts the image by one pixel, with zero padding."""
    picture = np.arange(1, 26, dtype=np.float32).reshape(1, 5, 5, 1)
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[0, 2] = 1  # above, to the right
    wanted = np.zeros((5, 5))
    wanted[1:, :4] = picture[0, :4, 1:, 0]
    assert convolution(tf.constant(picture), tf.constant(kernel))[0, :, :, 0].numpy() == pytest.approx(wanted, abs=1e-4)


def test_vgg16s_features_and_gradients_are_the_plain_networks(imagenet_file):
    """All 13 layers of Keras's own VGG16, with the ImageNet weights."""
    ours, other = (
        keras.applications.VGG16(include_top=False, weights=imagenet_file, input_shape=(75, 75, 3)) for _ in "12"
    )
    use_winograd(ours)
    assert any(layer.convolution_op is convolution for layer in ours.layers if hasattr(layer, "convolution_op"))
    errors = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        images = np.kron(rng.random((1, 15, 15, 3)), np.ones((1, 5, 5, 1))).astype(np.float32)
        results = []
        for network in (ours, other):
            with tf.GradientTape() as tape:
                features = network(images)
                total = tf.reduce_sum(features**2)
            kernels = [network.get_layer(f"block{block}_conv1").kernel.value for block in (1, 4, 5)]
            results.append([features, *tape.gradient(total, kernels)])
        pairs = zip(*results, strict=True)
        errors.append([np.abs(mine - plain_one).max() / np.abs(plain_one).max() for mine, plain_one in pairs])
    # The median, and images one by one: with some, rounding switches a unit that is all but zero, and by 3e-4 then
    assert np.median(errors, axis=0).max() < 1e-5
