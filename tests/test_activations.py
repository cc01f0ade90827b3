"""The cache of activations: equal to what the plain network computes, reused for the same photos and settings alone."""

import os
from pathlib import Path

from fine_tuning_VGG16_pt2 import top_model
from tutorial import files
from tutorial.activations import bottleneck_features, cached_activations
from tutorial.augmentation import AugmentedImages, Images, affine_matrices, affine_transform
from tutorial.backend import keras, tf
from tutorial.dataset import Photos
from tutorial.vgg16 import without_frozen_blocks

import numpy as np
import pytest

HALF = 2.0**-11  # the relative rounding of float16
SHEAR, ZOOM = 0.2, 0.2


@pytest.fixture(scope="module")
def base(imagenet_file):
    """VGG16 for 80 x 80: 5 x 5 after block 4, so that block 5's pooling drops a row and a column, as at 150."""
    return vgg16(imagenet_file)


@pytest.fixture(scope="module")
def plain(base):
    """The same with Keras's own convolutions: the cache changes those of the network that it gets."""
    plain = vgg16(None)
    plain.set_weights(base.get_weights())
    return plain


def vgg16(weights):
    base = keras.applications.VGG16(weights=weights, include_top=False, input_shape=(80, 80, 3))
    for layer in base.layers:
        layer.trainable = layer.name.startswith("block5_")
    return base


@pytest.fixture(scope="module")
def tiny():
    """In the place of VGG16, where only the cache is tested."""
    images = keras.Input((80, 80, 3))
    return keras.Model(images, keras.layers.Conv2D(512, 1)(keras.layers.MaxPooling2D(16, name="block4_pool")(images)))


@pytest.fixture
def photos():
    """19 training and 7 validation photos of soft colors, which were never files."""
    rng = np.random.default_rng(0)
    images = np.uint8(np.kron(rng.integers(0, 256, (26, 5, 5, 3)), np.ones((1, 16, 16, 1))))
    labels = np.float32(rng.integers(0, 2, 26))
    return [
        Photos(Path(split), ("a", "b"), [], labels[rows], images[rows])
        for split, rows in (("train", slice(19)), ("validation", slice(19, 26)))
    ]


@pytest.fixture
def sets(photos):
    return augmented(photos[0]), Images(photos[1], 5)


def augmented(train, seed=3, **augmentation):
    return AugmentedImages(train, 5, seed, **augmentation or {"shear_range": SHEAR, "zoom_range": ZOOM})


def with_top(base, top):
    """The whole network, and block 5 with the top alone."""
    whole = keras.Model(base.input, top(base.output))
    return whole, without_frozen_blocks(whole)


def changed_files(folder, work):
    """How many files in the folder are new or were written again."""
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()} if folder.exists() else {}
    result = work()
    return sum(before.get(path) != path.stat().st_mtime_ns for path in folder.iterdir()), result


@pytest.mark.parametrize("pooling", [None, "avg"])
def test_bottleneck_features_are_the_bases_output_for_each_photo(base, photos, tmp_path, pooling):
    """Photo by photo, against plain calls."""
    train, weights = photos[0], base.get_weights()
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(80, 80, 3), pooling=pooling)
    base.set_weights(weights)
    found = bottleneck_features(base, train, "caffe", tmp_path)
    assert found.shape == ((19, 512) if pooling else (19, 2, 2, 512)) and found.dtype == np.float32
    plain = keras.applications.VGG16(include_top=False, weights=None)
    plain.set_weights(weights)
    inputs = keras.applications.vgg16.preprocess_input(np.float32(train.images))
    for i in (0, 7, 8, 18):
        one = plain(inputs[i : i + 1]).numpy()[0]
        assert found[i] == pytest.approx(one.mean((0, 1)) if pooling else one, abs=1e-3)


def test_bottleneck_features_are_reused_for_the_same_photos_and_settings(tiny, photos, tmp_path, capsys):
    train = photos[0]

    pooled = keras.Model(tiny.input, keras.layers.GlobalAveragePooling2D()(tiny.output))

    def compute(train, preprocessing="rescale", tiny=tiny):
        return bottleneck_features(tiny, train, preprocessing, tmp_path)[:], capsys.readouterr().out

    first, printed = compute(train)
    assert "reusing" not in printed
    written, (again, printed) = changed_files(tmp_path, lambda: compute(train))
    assert written == 0 and "reusing" in printed and np.array_equal(first, again)
    images = train.images.copy()
    images[3] = 255 - images[3]
    changed, printed = compute(Photos(train.folder, train.class_names, [], train.labels, images))
    assert "reusing" not in printed
    assert np.flatnonzero(np.abs(changed - first).max(axis=(1, 2, 3)) > 1e-3).tolist() == [3]
    other_labels = Photos(train.folder, train.class_names, [], 1 - train.labels, images)
    assert "reusing" not in compute(other_labels)[1]
    assert "reusing" not in compute(other_labels, "caffe")[1]
    assert compute(other_labels, "caffe", pooled)[0].shape == (19, 512)
    assert "reusing" not in compute(other_labels, "rescale", pooled)[1]  # the same shape with other settings
    features, _ = compute(other_labels, "caffe", pooled)
    [cache] = tmp_path.iterdir()  # outdated ones are removed
    whole, nan = cache.read_bytes(), np.float32(np.nan).tobytes()
    for damaged in (whole[:-1000], whole[:-1000] + bytes(1000), whole[:9000] + nan + whole[9004:], b""):
        cache.write_bytes(damaged)
        repaired, printed = compute(other_labels, "caffe", pooled)
        assert "is damaged" in printed and np.array_equal(repaired, features) and cache.read_bytes() == whole


def test_with_too_little_disk_nothing_is_cached(tiny, photos, sets, tmp_path, capsys, monkeypatch):
    kept = bottleneck_features(tiny, photos[0], "rescale", tmp_path / "kept")[:]
    monkeypatch.setattr(files, "RESERVE", 1e18)
    features = bottleneck_features(tiny, photos[0], "rescale", tmp_path / "new")
    assert "are free" in capsys.readouterr().out and np.array_equal(features[:], kept)
    assert cached_activations(tiny, *sets, 2, tmp_path / "new") is None
    assert "are free" in capsys.readouterr().out
    assert cached_activations(tiny, *sets, 0, tmp_path / "new") is None
    assert not (tmp_path / "new").exists()


def test_what_is_cached_needs_no_disk_and_outlasts_its_removal(tiny, sets, tmp_path, monkeypatch):
    """As by ``make clean`` in another terminal, where the system allows it."""
    first, _ = cached_activations(tiny, *sets, 2, tmp_path)
    monkeypatch.setattr(files, "RESERVE", 1e18)
    outdated = tmp_path / "block4_train_copy1-0.npy"
    outdated.touch()
    again, _ = cached_activations(tiny, *sets, 2, tmp_path)
    expected = first[0][0]
    assert not outdated.exists()
    if os.name == "posix":
        for path in tmp_path.iterdir():
            path.unlink()
    assert np.array_equal(again[0][0], expected)


def test_the_two_halves_are_the_whole(base):
    images = np.random.default_rng(1).random((3, 80, 80, 3), np.float32)
    top = top_model(base.output_shape[1:], 2)
    whole, trainable = with_top(base, top)
    frozen = keras.Model(base.input, base.get_layer("block4_pool").output)
    assert frozen.outputs[0].shape[1:3] == (5, 5)
    halves = trainable.predict_on_batch(frozen.predict_on_batch(images))
    assert halves == pytest.approx(whole.predict_on_batch(images), abs=1e-5)
    assert not frozen.trainable_weights
    own = {id(weight) for layer in base.layers if layer.name.startswith("block5_") for weight in layer.weights}
    assert {id(weight) for weight in trainable.trainable_weights} - {id(weight) for weight in top.weights} == own
    assert len(own) == 6


def identity(base):
    """In the place of a top model."""
    return keras.Sequential([keras.Input(base.output_shape[1:]), keras.layers.Identity()])


def test_a_cached_copy_is_the_plain_networks_activation(base, plain, sets, tmp_path):
    """Each photo's copy drawn again by hand and sent through the plain base, against block 5 on the cache."""
    train, validation = sets
    _, trainable = with_top(base, identity(base))
    cached, cached_validation = cached_activations(base, train, validation, 2, tmp_path)
    expected = []
    for copy in range(2):
        copies = []
        for first in (0, 8, 16):  # batches of 8 photos
            some = train.arrays[first : first + 8]
            rng = np.random.default_rng([3, copy, first])
            copies.append(affine_transform(some, affine_matrices(len(some), rng, 0, 0, SHEAR, ZOOM, False)))
        expected.append(plain.predict_on_batch(np.concatenate(copies) / np.float32(255)))
    assert np.abs(expected[0] - expected[1]).max() > 100 * HALF  # other copies, other features
    for epoch in range(3):
        order = cached.order
        assert sorted(order) == list(range(19))
        batches = [cached[i] for i in range(len(cached))]
        assert np.concatenate([labels for _, labels in batches]).tolist() == train.labels[order].tolist()
        features = trainable.predict_on_batch(np.concatenate([inputs for inputs, _ in batches]))
        wanted = expected[epoch % 2][order]
        assert np.abs(features - wanted).max() < 4 * HALF * wanted.max()
        cached.on_epoch_end()
    features = trainable.predict_on_batch(np.concatenate([cached_validation[i][0] for i in range(2)]))
    wanted = plain.predict_on_batch(validation.arrays / np.float32(255))
    assert np.abs(features - wanted).max() < 4 * HALF * wanted.max()


def test_gradients_behind_the_cache_are_the_plain_networks(base, plain, sets, tmp_path):
    train, validation = sets
    keras.utils.set_random_seed(0)  # of the top model's weights: float16 rounds some worse than others
    top = top_model(base.output_shape[1:], 2)
    (whole, _), (_, trainable) = with_top(plain, top), with_top(base, top)
    cached, _ = cached_activations(base, train, validation, 1, tmp_path)
    copies = [train.copies(np.arange(first, min(first + 8, 19)), 0, first) for first in (0, 8, 16)]
    inputs, labels = cached[0]

    def gradients(network, given):
        with tf.GradientTape() as tape:  # without dropout, which is random
            loss = tf.reduce_mean(keras.losses.binary_crossentropy(labels[:, None], network(given, training=False)))
        return tape.gradient(loss, [weight.value for weight in network.trainable_weights])

    ours, plain = gradients(trainable, inputs), gradients(whole, np.concatenate(copies)[cached.order[:5]])
    assert len(ours) == len(plain) == 10
    for one, other in zip(ours, plain, strict=True):
        size = np.linalg.norm(other.numpy())
        assert size > 0 and np.linalg.norm(one.numpy() - other.numpy()) < 0.02 * size


@pytest.mark.slow
def test_cached_activations_are_reused_for_the_same_photos_and_settings(tiny, photos, sets, tmp_path, capsys):
    train, validation = sets

    def cache(data, copies):
        written, _ = changed_files(tmp_path, lambda: cached_activations(tiny, data, validation, copies, tmp_path))
        return written, "reusing" in capsys.readouterr().out

    assert cache(train, 2) == (3, False)
    assert cache(train, 2) == (0, True)
    assert cache(train, 3) == (1, True)  # only the copy that was missing
    darker = Photos(train.photos.folder, ("a", "b"), [], train.labels, train.arrays // 2)
    for changed in (
        augmented(photos[0], seed=4),
        augmented(photos[0], seed=4, shear_range=SHEAR),
        augmented(darker, seed=4, shear_range=SHEAR),
        augmented(darker, seed=4, shear_range=SHEAR, brightness=0.1),
    ):
        assert cache(changed, 2) == (2, True)  # the validation photos are the same
        assert len(list(tmp_path.iterdir())) == 3  # outdated ones are removed
