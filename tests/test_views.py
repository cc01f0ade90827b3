"""Part 3's shortcut: kept outputs of the frozen blocks are what the plain network computes, and are reused rightly."""

import numpy as np
import pytest

from tutorial import whole_file
from tutorial.augmentation import Augmentation, warp
from tutorial.backend import keras, tf
from tutorial.batches import PhotoBatches
from tutorial.vgg16 import freeze_first_blocks, split_after_first_blocks, top_model, vgg16_base, with_top
from tutorial.views import kept_views

AUGMENTATION = Augmentation(shear=0.2, zoom=0.2, flip=True)
HALF = 2.0**-11  # the relative rounding of float16


@pytest.fixture(scope="module")
def base():
    base = vgg16_base(80)  # 5 x 5 after block 4, so that block 5's pooling drops a row and a column, as at 150
    freeze_first_blocks(base)
    return base


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (26, 5, 5, 3))
    pixels = np.uint8(np.kron(colors, np.ones((1, 16, 16, 1))))
    labels = np.float32(rng.integers(0, 2, 26))
    training = PhotoBatches(pixels[:19], labels[:19], 5, AUGMENTATION, seed=3)
    return training, PhotoBatches(pixels[19:], labels[19:], 5)


def features_alone(base):
    """In the place of a top model: what goes in comes out."""
    return keras.Sequential([keras.Input(base.output_shape[1:]), keras.layers.Identity()])


@pytest.mark.parametrize(("trained", "places"), [(1, 5), (2, 10), (4, 40)])
def test_the_two_halves_are_the_whole(base, trained, places):
    photos = np.random.default_rng(1).random((3, 80, 80, 3), np.float32)
    top = top_model(base.output_shape[1:])
    frozen, last = split_after_first_blocks(base, top, trained)
    assert frozen.outputs[0].shape[1:3] == (places, places)
    halves = last.predict_on_batch(frozen.predict_on_batch(photos))
    assert halves == pytest.approx(with_top(base, top).predict_on_batch(photos), abs=1e-5)
    assert not frozen.trainable_weights
    own = {id(weight) for layer in base.layers if layer.name.startswith("block5_") for weight in layer.weights}
    assert {id(weight) for weight in last.trainable_weights} - {id(weight) for weight in top.weights} == own
    assert len(own) == 6


def test_a_kept_view_is_what_the_plain_network_sees(base, sets, tmp_path):
    """Each photo's view drawn again by hand and sent through the plain base, against block 5 on what was kept."""
    training, validation = sets
    frozen, last = split_after_first_blocks(base, features_alone(base))
    kept, kept_validation = kept_views(frozen, training, validation, 3, tmp_path)
    expected = []
    for number in range(3):
        views = []
        for first in (0, 8, 16):  # portions of 8 photos
            some = training.arrays[first : first + 8]
            views.append(warp(some, AUGMENTATION.matrices(len(some), np.random.default_rng([3, number, first]))))
        expected.append(base.predict_on_batch(np.concatenate(views) / np.float32(255)))
    assert np.abs(expected[0] - expected[1]).max() > 100 * HALF  # other views, other features
    for epoch in range(5):
        order = kept.order
        assert sorted(order) == list(range(19))
        got = [kept[i] for i in range(len(kept))]
        assert np.concatenate([labels for _, labels in got]).tolist() == training.labels[order].tolist()
        features = last.predict_on_batch(np.concatenate([inputs for inputs, _ in got]))
        wanted = expected[epoch % 3][order]
        assert np.abs(features - wanted).max() < 4 * HALF * wanted.max()
        kept.on_epoch_end()
    features = last.predict_on_batch(np.concatenate([kept_validation[i][0] for i in range(2)]))
    wanted = base.predict_on_batch(validation.arrays / np.float32(255))
    assert np.abs(features - wanted).max() < 4 * HALF * wanted.max()


def test_gradients_behind_the_kept_outputs_are_the_plain_networks(base, sets, tmp_path):
    training, validation = sets
    top = top_model(base.output_shape[1:])
    frozen, behind = split_after_first_blocks(base, top)
    whole = with_top(base, top)
    kept, _ = kept_views(frozen, training, validation, 1, tmp_path)
    photos = np.concatenate([training.view(np.arange(f, min(f + 8, 19)), 0, f) for f in (0, 8, 16)])[kept.order[:5]]
    inputs, labels = kept[0]

    def gradients(network, given):
        with tf.GradientTape() as tape:  # without dropout, which draws anew each time
            loss = tf.reduce_mean(keras.losses.binary_crossentropy(labels[:, None], network(given, training=False)))
        return tape.gradient(loss, [weight.value for weight in network.trainable_weights])

    ours, plain = gradients(behind, inputs), gradients(whole, photos)
    assert len(ours) == len(plain) == 10
    for one, other in zip(ours, plain, strict=True):
        size = np.linalg.norm(other.numpy())
        assert size > 0 and np.linalg.norm(one.numpy() - other.numpy()) < 0.02 * size


def test_outputs_are_reused_for_the_same_photos_and_settings_alone(base, sets, tmp_path, capsys):
    training, validation = sets
    frozen, _ = split_after_first_blocks(base, features_alone(base))

    def keep(training: PhotoBatches, views: int) -> tuple[int, str]:
        before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        kept_views(frozen, training, validation, views, tmp_path)
        after = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        return sum(before.get(path) != when for path, when in after.items()), capsys.readouterr().out

    written, said = keep(training, 2)
    assert written == 3 and "reusing" not in said and "MB more" in said
    written, said = keep(training, 2)
    assert written == 0 and "reusing" in said and "more" not in said
    written, said = keep(training, 3)
    assert written == 1 and "reusing" in said  # only the view that was missing
    weaker = Augmentation(shear=0.2)
    for changed in (
        PhotoBatches(training.arrays, training.labels, 5, AUGMENTATION, seed=4),
        PhotoBatches(training.arrays, training.labels, 5, weaker, seed=4),
        PhotoBatches(training.arrays // 2, training.labels, 5, weaker, seed=4),
    ):
        written, _ = keep(changed, 2)
        assert written == 2  # the validation photos are still the same
        assert len(list(tmp_path.iterdir())) == 3  # and what nobody will read again is gone


def test_too_little_disk_means_fresh_views(base, sets, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(whole_file, "SPARE", 1e18)
    training, validation = sets
    frozen, _ = split_after_first_blocks(base, features_alone(base))
    assert kept_views(frozen, training, validation, 2, tmp_path) is None
    said = capsys.readouterr().out
    assert "are free" in said and "fresh view every epoch" in said
    assert not list(tmp_path.iterdir())
    assert kept_views(frozen, training, validation, 0, tmp_path) is None


def test_mixed_precision_keeps_weights_and_answers_in_float32():
    """What part 3 builds on a GPU with tensor cores, here on the processor."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        base = vgg16_base(32, imagenet=False)
        network = with_top(base, top_model(base.output_shape[1:]))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert base.get_layer("block5_conv1").compute_dtype == "float16"
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network.predict_on_batch(np.ones((1, 32, 32, 3), np.float32)).dtype == np.float32
