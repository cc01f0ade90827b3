"""Augmentation, against a bilinear warp written out in NumPy and matrices worked out by hand."""

import numpy as np
import pytest

from tutorial.augmentation import Augmentation, warp
from tutorial.batches import PhotoBatches


def slow_warp(photo: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A view by definition: for each pixel, where it comes from, and the mix of the four pixels around there."""
    size = len(photo)
    middle = (size - 1) / 2
    view = np.empty((size, size, 3))
    for y in range(size):
        for x in range(size):
            u, v, _ = matrix @ [(x - middle) / size, (y - middle) / size, 1]
            u, v = np.clip([u * size + middle, v * size + middle], 0, size - 1)
            left, top = int(min(u, size - 2)), int(min(v, size - 2))
            a, b = u - left, v - top
            view[y, x] = (1 - b) * ((1 - a) * photo[top, left] + a * photo[top, left + 1]) + b * (
                (1 - a) * photo[top + 1, left] + a * photo[top + 1, left + 1]
            )
    return view


def test_warp_is_the_bilinear_warp_with_the_edges_carried_on():
    rng = np.random.default_rng(3)
    photos = rng.integers(0, 256, (6, 24, 24, 3)).astype(np.uint8)
    matrices = Augmentation(rotation=40, shift=0.2, shear=0.2, zoom=0.2, flip=True).matrices(6, rng)
    views = warp(photos, matrices)
    assert views.dtype == np.float32 and views.shape == photos.shape
    for photo, matrix, view in zip(photos, matrices, views, strict=True):
        # Beyond the edge TensorFlow clamps each of the four neighbours, the definition clamps the
        # point itself: the same thing up to the outermost half pixel.
        assert np.median(np.abs(view - slow_warp(photo, matrix))) < 0.01
        assert np.mean(np.abs(view - slow_warp(photo, matrix)) < 0.5) > 0.97


def test_no_augmentation_changes_nothing():
    photos = np.random.default_rng(0).integers(0, 256, (2, 15, 15, 3)).astype(np.uint8)
    views = warp(photos, Augmentation().matrices(2, np.random.default_rng(0)))
    assert views == pytest.approx(photos, abs=1e-3)


def test_a_mirrored_view_is_the_photo_mirrored():
    photos = np.random.default_rng(0).integers(0, 256, (40, 15, 15, 3)).astype(np.uint8)
    views = warp(photos, Augmentation(flip=True).matrices(40, np.random.default_rng(0)))
    mirrored = [np.allclose(view, photo[:, ::-1], atol=1e-3) for view, photo in zip(views, photos, strict=True)]
    plain = [np.allclose(view, photo, atol=1e-3) for view, photo in zip(views, photos, strict=True)]
    assert all(m != p for m, p in zip(mirrored, plain, strict=True))
    assert 10 <= sum(mirrored) <= 30


def test_shear_is_in_radians():
    """0.2 radians leans an upright edge by sin(0.2) = 0.199 pixels a pixel; 0.2 degrees would be 0.003."""
    matrices = Augmentation(shear=0.2).matrices(2000, np.random.default_rng(0))
    lean = -matrices[:, 1, 0]
    assert np.abs(lean).max() == pytest.approx(np.sin(0.2), abs=0.002)
    assert np.allclose(matrices[:, 0, 0], np.cos(np.arcsin(lean)))


def test_ranges_of_zoom_shift_and_rotation():
    rng = np.random.default_rng(0)
    zoom = Augmentation(zoom=0.2).matrices(2000, rng)
    assert zoom[:, 0, 0].min() == pytest.approx(0.8, abs=0.01) and zoom[:, 0, 0].max() == pytest.approx(1.2, abs=0.01)
    assert np.abs(np.corrcoef(zoom[:, 0, 0], zoom[:, 1, 1])[0, 1]) < 0.1  # width and height each on its own
    shift = Augmentation(shift=0.2).matrices(2000, rng)
    assert np.abs(shift[:, :2, 2]).max() == pytest.approx(0.2, abs=0.01)
    rotation = Augmentation(rotation=40).matrices(2000, rng)
    assert np.rad2deg(np.arctan2(rotation[:, 0, 1], rotation[:, 0, 0])).max() == pytest.approx(40, abs=0.5)


def numbered(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Photos that can be told apart by their gray level, and labels that say the same."""
    pixels = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 3)).copy()
    return pixels, np.arange(count, dtype=np.float32)


def test_training_batches_hold_every_photo_once_with_its_label():
    pixels, labels = numbered(19)
    batches = PhotoBatches(pixels, labels, 5, Augmentation(shear=0.2, zoom=0.2, flip=True), seed=1)
    orders = []
    for _ in range(2):
        seen = [batches[i] for i in range(len(batches))]
        assert [len(y) for _, y in seen] == [5, 5, 5, 4]
        for x, y in seen:
            assert x.dtype == np.float32
            assert x[:, 4, 4, 0] * 255 == pytest.approx(y, abs=0.01)  # an even photo stays even under any warp
        orders.append(np.concatenate([y for _, y in seen]).tolist())
        assert sorted(orders[-1]) == labels.tolist()
        batches.on_epoch_end()
    assert orders[0] != orders[1] and labels.tolist() not in orders


def test_validation_batches_are_in_order_and_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3)).astype(np.uint8)
    batches = PhotoBatches(pixels, np.arange(7, dtype=np.float32), 3)
    for _ in range(2):
        assert np.array_equal(np.concatenate([batches[i][0] for i in range(3)]), pixels * np.float32(1 / 255))
        assert np.concatenate([batches[i][1] for i in range(3)]).tolist() == list(range(7))
        batches.on_epoch_end()


def test_an_epoch_depends_on_seed_and_epoch_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)

    def second_batch(seed: int, epochs: int) -> np.ndarray:
        batches = PhotoBatches(pixels, np.zeros(6, np.float32), 3, Augmentation(zoom=0.2), seed)
        for _ in range(epochs):
            batches.on_epoch_end()
        return batches[1][0]

    assert np.array_equal(second_batch(1, 2), second_batch(1, 2))
    assert not np.array_equal(second_batch(1, 2), second_batch(1, 1))
    assert not np.array_equal(second_batch(1, 2), second_batch(2, 2))


def test_mixed_photos_and_labels_have_the_same_shares():
    """Each photo a class of its own, so that the mixed labels say how much of which photo a mixed photo must be."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), np.uint8)
    batches = PhotoBatches(pixels, np.eye(40, dtype=np.float32), 16, Augmentation(), seed=2, mix=0.4)
    order, own = batches.order, []
    for index in range(3):
        photos, labels = batches[index]
        assert labels == pytest.approx(batches[index][1]) and labels.sum(axis=1) == pytest.approx(1)
        assert photos == pytest.approx(np.einsum("bn,nhwc->bhwc", labels, pixels / 255), abs=1e-5)
        here = order[16 * index : 16 * (index + 1)]
        assert set(np.flatnonzero(labels.sum(axis=0))) == set(here)
        own += labels[np.arange(len(here)), here].tolist()
    assert 0.5 <= min(own) < 0.75 and 0.75 < np.mean(own) < 0.95  # Beta(0.4, 0.4): 0.86 on average, 1 for itself
    batches.on_epoch_end()
    assert sorted(batches[0][1].max(axis=1)) != pytest.approx(sorted(own[:16]))
