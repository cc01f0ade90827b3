"""Augmentation, against a bilinear transform written out in NumPy and hand-computed matrices."""

from tutorial.augmentation import AugmentedImages, Images, affine_matrices, affine_transform, color_transform, one_hot
from tutorial.dataset import Photos

import numpy as np
import pytest


def matrices(count, seed=0, rotation=0.0, shift=0.0, shear=0.0, zoom=0.0, flip=False):
    return affine_matrices(count, np.random.default_rng(seed), rotation, shift, shear, zoom, flip)


def slow_transform(photo, matrix):
    """By definition: for each pixel, its source, interpolated between the four pixels around it."""
    size = len(photo)
    middle = (size - 1) / 2
    copy = np.empty((size, size, 3))
    for y in range(size):
        for x in range(size):
            u, v, _ = matrix @ [(x - middle) / size, (y - middle) / size, 1]
            u, v = np.clip([u * size + middle, v * size + middle], 0, size - 1)
            left, top = int(min(u, size - 2)), int(min(v, size - 2))
            a, b = u - left, v - top
            copy[y, x] = (1 - b) * ((1 - a) * photo[top, left] + a * photo[top, left + 1]) + b * (
                (1 - a) * photo[top + 1, left] + a * photo[top + 1, left + 1]
            )
    return copy


def test_the_transform_is_bilinear_and_repeats_the_edges():
    photos = np.random.default_rng(3).integers(0, 256, (6, 24, 24, 3)).astype(np.uint8)
    drawn = matrices(6, 3, rotation=40, shift=0.2, shear=0.2, zoom=0.2, flip=True)
    copies = affine_transform(photos, drawn)
    assert copies.dtype == np.float32 and copies.shape == photos.shape
    for photo, matrix, copy in zip(photos, drawn, copies, strict=True):
        # Beyond the edge TensorFlow clamps each of the four neighbors, the definition clamps the
        # point itself: the same up to the outermost half pixel.
        difference = np.abs(copy - slow_transform(photo, matrix))
        assert np.median(difference) < 0.01 and np.mean(difference < 0.5) > 0.97


def test_no_augmentation_changes_nothing():
    photos = np.random.default_rng(0).integers(0, 256, (2, 15, 15, 3)).astype(np.uint8)
    assert affine_transform(photos, matrices(2)) == pytest.approx(photos, abs=1e-3)
    assert color_transform(photos, np.random.default_rng(0), 0, 0, 0) is photos


def test_half_of_the_copies_are_flipped():
    photos = np.random.default_rng(0).integers(0, 256, (40, 15, 15, 3)).astype(np.uint8)
    copies = affine_transform(photos, matrices(40, flip=True))
    flipped = [np.allclose(copy, photo[:, ::-1], atol=1e-3) for copy, photo in zip(copies, photos, strict=True)]
    plain = [np.allclose(copy, photo, atol=1e-3) for copy, photo in zip(copies, photos, strict=True)]
    assert all(f != p for f, p in zip(flipped, plain, strict=True))
    assert 10 <= sum(flipped) <= 30


def test_shear_is_in_radians():
    """0.2 radians leans an upright edge by sin(0.2) = 0.199 pixels a pixel; 0.2 degrees would be 0.003."""
    drawn = matrices(2000, shear=0.2)
    lean = -drawn[:, 1, 0]
    assert np.abs(lean).max() == pytest.approx(np.sin(0.2), abs=0.002)
    assert np.allclose(drawn[:, 0, 0], np.cos(np.arcsin(lean)))


def test_ranges_of_zoom_shift_and_rotation():
    zoom = matrices(2000, zoom=0.2)
    assert zoom[:, 0, 0].min() == pytest.approx(0.8, abs=0.01) and zoom[:, 0, 0].max() == pytest.approx(1.2, abs=0.01)
    assert np.abs(np.corrcoef(zoom[:, 0, 0], zoom[:, 1, 1])[0, 1]) < 0.1  # width and height are independent
    assert np.abs(matrices(2000, shift=0.2)[:, :2, 2]).max() == pytest.approx(0.2, abs=0.01)
    rotation = matrices(2000, rotation=40)
    assert np.rad2deg(np.arctan2(rotation[:, 0, 1], rotation[:, 0, 0])).max() == pytest.approx(40, abs=0.5)


def test_brightness_contrast_and_erasing():
    """Contrast leaves an image's mean and brightness its differences; an erased rectangle has the image's mean."""
    photos = np.float32(np.random.default_rng(0).uniform(100, 150, (200, 10, 10, 3)))
    rng = np.random.default_rng(1)
    means, spreads = (lambda images: images.mean((1, 2, 3))), (lambda images: images.std((1, 2, 3)))
    contrast = color_transform(photos, rng, 0, 0.2, 0)
    assert means(contrast) == pytest.approx(means(photos), abs=0.01)
    gains = spreads(contrast) / spreads(photos)
    assert gains.min() == pytest.approx(0.8, abs=0.02) and gains.max() == pytest.approx(1.2, abs=0.02)
    brightness = color_transform(photos, rng, 0.1, 0, 0)
    assert spreads(brightness) == pytest.approx(spreads(photos), rel=1e-3)
    assert np.abs(means(brightness) - means(photos)).max() == pytest.approx(25.5, abs=1)
    erased = (color_transform(photos, rng, 0, 0, 0.5) != photos).all(-1)
    assert 0.3 < erased.any((1, 2)).mean() < 0.7
    assert erased.sum((1, 2)).max() <= 25 and {int(one) for one in erased.sum((1, 2))} >= {0, 4, 9}
    assert np.array_equal(color_transform(photos, rng, 0, 0, 0.05), photos)  # smaller than a pixel


def photos(images, labels, classes=2):
    """Photos that were never files."""
    names = tuple(map(str, range(classes)))
    return Photos(None, names, [], np.float32(labels), np.asarray(images, np.uint8))


def numbered(count):
    """Photos with their label as gray level."""
    gray = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 3))
    return photos(gray, np.arange(count))


def test_training_batches_hold_every_photo_once_with_its_label():
    data = AugmentedImages(numbered(19), 5, seed=1, shear_range=0.2, zoom_range=0.2, horizontal_flip=True)
    orders = []
    for _ in range(2):
        seen = [data[i] for i in range(len(data))]
        assert [len(y) for _, y in seen] == [5, 5, 5, 4]
        for x, y in seen:
            assert x.dtype == np.float32
            assert x[:, 4, 4, 0] * 255 == pytest.approx(y, abs=0.01)  # an even photo stays even
        orders.append(np.concatenate([y for _, y in seen]).tolist())
        assert sorted(orders[-1]) == list(range(19))
        data.on_epoch_end()
    assert orders[0] != orders[1] and list(range(19)) not in orders


def test_validation_batches_are_in_order_and_not_augmented():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3)).astype(np.uint8)
    data = Images(photos(pixels, range(7)), 3)
    for _ in range(2):
        assert np.array_equal(np.concatenate([data[i][0] for i in range(3)]), pixels * np.float32(1 / 255))
        assert np.concatenate([data[i][1] for i in range(3)]).tolist() == list(range(7))
        data.on_epoch_end()


def test_an_epoch_depends_on_seed_and_epoch_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)

    def second_batch(seed, epochs, resumed=False):
        data = AugmentedImages(photos(pixels, [0] * 6), 3, seed, zoom_range=0.2)
        for _ in range(0 if resumed else epochs):
            data.on_epoch_end()
        if resumed:
            data.set_epoch(epochs)
        return data[1][0]

    assert np.array_equal(second_batch(1, 2), second_batch(1, 2, resumed=True))
    assert not np.array_equal(second_batch(1, 2), second_batch(1, 1))
    assert not np.array_equal(second_batch(1, 2), second_batch(2, 2))


def test_mixup_blends_photos_and_labels_by_the_same_shares():
    """Each photo is a class of its own, so that a blended label has the share of each photo."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), np.uint8)
    data = AugmentedImages(photos(pixels, range(40), classes=40), 16, seed=2, mixup_alpha=0.4)
    order, own = data.order, []
    for index in range(3):
        images, labels = data[index]
        assert labels == pytest.approx(data[index][1]) and labels.sum(axis=1) == pytest.approx(1)
        assert images == pytest.approx(np.einsum("bn,nhwc->bhwc", labels, pixels / 255), abs=1e-5)
        rows = order[16 * index : 16 * (index + 1)]
        assert set(np.flatnonzero(labels.sum(axis=0))) == set(rows)
        own += labels[np.arange(len(rows)), rows].tolist()
    assert 0.5 <= min(own) < 0.75 and 0.75 < np.mean(own) < 0.95  # Beta(0.4, 0.4): 0.86 on average, 1 for itself
    data.on_epoch_end()
    assert sorted(data[0][1].max(axis=1)) != pytest.approx(sorted(own[:16]))


def test_one_hot_labels():
    assert one_hot(np.float32([0, 2]), 3).tolist() == [[1, 0, 0], [0, 0, 1]] and one_hot([1, 0], 2).tolist() == [1, 0]
