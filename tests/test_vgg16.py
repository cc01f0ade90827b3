"""The networks: sizes, and features against a network built from plain layers."""

from fine_tuning_VGG16_pt1 import batchnorm_convnet, small_convnet
from fine_tuning_VGG16_pt2 import top_model
from tutorial.backend import keras
from tutorial.imagenet_weights import imagenet_weights, read_tensors
from tutorial.training import TrainingProgress
from tutorial.vgg16 import use_winograd

import numpy as np
import pytest


def vgg16(size, weights=True):
    """The base as parts 2 and 3 have it."""
    weights = imagenet_weights() if weights else None
    return keras.applications.VGG16(weights=weights, include_top=False, input_shape=(size, size, 3))


def test_parameters_are_the_blog_posts():
    assert small_convnet(2).count_params() == 1_212_513
    assert batchnorm_convnet(2).count_params() == 391_649
    assert top_model((4, 4, 512), 2).count_params() == 2_097_665
    assert top_model((512,), 2).count_params() == 513


def test_base_is_vgg16_of_plain_layers_with_the_imagenet_weights():
    """VGG16 written out from the paper's table D, filled from the same 26 tensors; and the ones of part 2's base."""
    plain = keras.Sequential([keras.Input((64, 64, 3))])
    for filters, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            plain.add(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        plain.add(keras.layers.MaxPooling2D(2, 2))
    plain.set_weights(read_tensors(imagenet_weights()))
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    expected = plain.predict_on_batch(images)
    assert expected.std() > 0.01
    assert use_winograd(vgg16(64)).predict_on_batch(images) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_improved_top_model_is_scikit_learns_logistic_regression(classes):
    """Fitted by Keras to the end, with the penalty that part 2 computes from C, against scikit-learn's solver."""
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is in requirements-data.txt")
    rng, count, strength = np.random.default_rng(0), 90, 0.02
    labels = rng.integers(0, classes, count)
    averages = np.float32(rng.gamma(0.5, 1, (count, 64)) + 0.8 * np.eye(classes, 64)[labels])
    top = top_model((64,), classes, l2=1 / (2 * strength * count))
    loss = "binary_crossentropy" if classes == 2 else "sparse_categorical_crossentropy"
    top.compile(loss=loss, optimizer=keras.optimizers.Adam(0.01))
    steps = 400  # in one epoch, each with all photos
    top.fit(
        np.tile(averages, (steps, 1)), np.tile(np.float32(labels), steps), batch_size=count, shuffle=False, verbose=0
    )
    normalized = averages - averages.mean(1, keepdims=True)
    normalized /= np.sqrt((normalized**2).mean(1, keepdims=True) + 1e-3)
    expected = linear_model.LogisticRegression(C=strength, tol=1e-8, max_iter=9999).fit(normalized, labels)
    found = top.predict(averages, verbose=0)
    assert found == pytest.approx(expected.predict_proba(normalized)[:, 1 if classes == 2 else 0 :], abs=0.005)
    assert found.std() > 0.05


def test_mixed_precision_keeps_weights_and_predictions_in_float32():
    """What part 3 builds on a GPU with tensor cores, here on the processor; and what is built after its training."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        base = vgg16(32, weights=False)
        network = keras.Model(base.input, top_model(base.output_shape[1:], 2)(base.output))
        TrainingProgress().on_train_end()
        assert keras.layers.Dense(1).compute_dtype == "float32"
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert base.get_layer("block5_conv1").compute_dtype == "float16"
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network.predict_on_batch(np.ones((1, 32, 32, 3), np.float32)).dtype == np.float32
