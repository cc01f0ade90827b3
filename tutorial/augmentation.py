"""Augmentation: endless slightly different views of few photos.

A view is one affine warp (rotation, shift, shear, zoom, flip) about the photo's centre; what it
uncovers at the edges is filled with the nearest pixel. The ranges mean what they meant in the
texts, Keras 1's ``ImageDataGenerator``, shear in radians included. Beyond the texts, a view may
be lighter or darker, have more or less contrast, and lack a rectangle.
"""

from dataclasses import dataclass, fields
from types import SimpleNamespace

import numpy as np

from tutorial.backend import keras


@dataclass(frozen=True)
class Augmentation:
    """How far a view may differ from its photo; each amount is drawn evenly from its range."""

    rotation: float = 0.0  # degrees, either way
    shift: float = 0.0  # fraction of the width, and of the height, either way
    shear: float = 0.0  # radians, either way; later versions of Keras read the same 0.2 as degrees: invisible
    zoom: float = 0.0  # width and height each become 1 - zoom to 1 + zoom of what the photo shows
    flip: bool = False  # every other view is mirrored left to right
    light: float = 0.0  # fraction of the full range that is added to or taken from all pixels
    contrast: float = 0.0  # differences from the photo's mean become 1 - contrast to 1 + contrast of what they were
    erase: float = 0.0  # sides of a rectangle that every other view loses, fraction of the size: 0.1 to this

    def matrices(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw ``count`` warps: float64, (count, 3, 3), from a view's (x, y, 1) to its photo's, both from the centre.

        The order is that of Keras 1's ``ImageDataGenerator``: rotation, shift, shear, zoom, then the mirror.
        """
        theta = np.deg2rad(rng.uniform(-self.rotation, self.rotation, count))
        shift_x, shift_y = rng.uniform(-self.shift, self.shift, (2, count))
        shear = rng.uniform(-self.shear, self.shear, count)
        zoom_x, zoom_y = rng.uniform(1 - self.zoom, 1 + self.zoom, (2, count))
        mirror = np.where(rng.random(count) < (0.5 if self.flip else 0), -1.0, 1.0)
        zero, one = np.zeros(count), np.ones(count)

        def stack(*rows: list[np.ndarray]) -> np.ndarray:
            return np.moveaxis(np.array([*rows, [zero, zero, one]]), 2, 0)

        turned = stack([np.cos(theta), np.sin(theta), zero], [-np.sin(theta), np.cos(theta), zero])
        shifted = stack([one, zero, shift_x], [zero, one, shift_y])  # as a fraction: warp() knows the size
        sheared = stack([np.cos(shear), zero, zero], [-np.sin(shear), one, zero])
        zoomed = stack([zoom_x * mirror, zero, zero], [zero, zoom_y, zero])
        return turned @ shifted @ sheared @ zoomed

    def relight(self, views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Views with other light and contrast and without a rectangle: float32, (n, size, size, 3) in 0..255.

        Erasing is Zhong et al., Random Erasing Data Augmentation (2017), with the photo's mean as the colour.
        """
        if not (self.light or self.contrast or self.erase):
            return views
        (count, size), views = views.shape[:2], np.array(views)
        mean = views.mean(axis=(1, 2, 3), keepdims=True)
        if self.light or self.contrast:
            gain = rng.uniform(1 - self.contrast, 1 + self.contrast, (count, 1, 1, 1))
            added = rng.uniform(-self.light, self.light, (count, 1, 1, 1)) * 255
            views *= np.float32(gain)
            views += np.float32(mean * (1 - gain) + added)
            np.clip(views, 0, 255, out=views)
        if self.erase:
            sides = (rng.uniform(0.1, self.erase, (count, 2)) * size).astype(np.int64)
            corners = (rng.random((count, 2)) * (size - sides)).astype(np.int64)
            for i in np.flatnonzero(rng.random(count) < 0.5):
                (y, x), (height, width) = corners[i], sides[i]
                views[i, y : y + height, x : x + width] = mean[i]
        return views


def augmentation(settings: SimpleNamespace) -> Augmentation:
    """The amounts that a part's settings name."""
    return Augmentation(**{one.name: getattr(settings, one.name) for one in fields(Augmentation)})


def views_to_look_at(photo: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Views of one photo, rotated and shifted too, which the texts' training is not, so that the eye sees what a warp
    can do.

    Args:
        photo: any dtype, (size, size, 3).
        count: of views.
        seed: same seed, same views.

    Returns:
        float32, (count, size, size, 3), in the photo's range.
    """
    strong = Augmentation(rotation=40, shift=0.2, shear=0.2, zoom=0.2, flip=True)
    matrices = strong.matrices(count, np.random.default_rng(seed))
    return warp(np.repeat(photo[None], count, axis=0), matrices)


def warp(photos: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Views of photos: one affine warp each, bilinear, the edges' nearest pixel beyond them.

    Args:
        photos: any dtype, (n, size, size, 3).
        matrices: (n, 3, 3), from :meth:`Augmentation.matrices`.

    Returns:
        float32, the same shape and range.
    """
    size = photos.shape[1]
    middle = (size - 1) / 2
    to_pixels = np.array([[size, 0, middle], [0, size, middle], [0, 0, 1]])
    moves = to_pixels @ matrices @ np.linalg.inv(to_pixels)
    return keras.ops.convert_to_numpy(
        keras.ops.image.affine_transform(
            np.asarray(photos, np.float32),
            np.float32(moves.reshape(-1, 9)[:, :8]),
            interpolation="bilinear",
            fill_mode="nearest",
        )
    )
