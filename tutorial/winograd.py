"""Winograd's minimal filtering: a 3 x 3 convolution with less than a third of the multiplications.

A tile of 3 x 3 outputs takes 81 multiplications for each pair of channels, or 25 when the tile and the kernel are
seen as polynomials that are multiplied value by value at 5 points each way: the same sums, grouped otherwise.
S. Winograd (1980); for networks: A. Lavin & S. Gray, Fast Algorithms for Convolutional Neural Networks (2015).
"""

from functools import cache

from tutorial.backend import tf

import numpy as np

TILE = 3  # outputs of a tile, each way
POINTS = (0, 1, -1, -0.5)  # where the polynomials are evaluated, and at infinity: small numbers, small rounding
VALUES = len(POINTS) + 1


def _evaluate(length: int) -> np.ndarray:
    """The matrix, float64 (5, length), from a polynomial's coefficients to its values at the points and infinity."""
    finite = [[point**power for power in range(length)] for point in POINTS]
    return np.array([*finite, [0] * (length - 1) + [1]], np.float64)


@cache
def _matrices(size: int) -> tuple[np.ndarray, np.ndarray]:
    """One axis: from its inputs, with zeros around them, to the values of all tiles, and from those to its outputs.

    Returns:
        float32 (5 * tiles, size) and (size, 5 * tiles), rows and columns in the order (value, tile).
    """
    tiles = -(-size // TILE)
    to_values, to_outputs = np.linalg.inv(_evaluate(VALUES)).T, _evaluate(TILE).T
    into, out = np.zeros((VALUES, tiles, size)), np.zeros((size, VALUES, tiles))
    for tile in range(tiles):
        first = tile * TILE
        for i in range(max(0, first - 1), min(size, first - 1 + VALUES)):  # a tile's inputs overlap the next tile's
            into[:, tile, i] = to_values[:, i - first + 1]
        for i in range(first, min(size, first + TILE)):
            out[i, :, tile] = to_outputs[i - first]
    return into.reshape(-1, size).astype(np.float32), out.reshape(size, -1).astype(np.float32)


def convolution(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """What ``tf.nn.conv2d`` gives with stride 1 and padding "SAME", up to float32 rounding; gradients too.

    It pays from about 256 channels; with fewer, the steps around the multiplications cost more than they spare.

    Args:
        inputs: float32 (n, height, width, channels).
        kernel: float32 (3, 3, channels, filters).

    Returns:
        float32 (n, height, width, filters).
    """
    height, width, channels = inputs.shape[1:]
    filters = kernel.shape[-1]
    (rows_into, rows_out), (columns_into, columns_out) = _matrices(height), _matrices(width)
    down, across = rows_out.shape[1] // VALUES, columns_out.shape[1] // VALUES  # tiles
    kernel_values = np.float32(np.kron(_evaluate(3), _evaluate(3))) @ tf.reshape(kernel, (9, -1))

    values = rows_into @ tf.reshape(inputs, (-1, height, width * channels))
    values = columns_into @ tf.reshape(values, (-1, VALUES * down, width, channels))
    values = tf.transpose(tf.reshape(values, (-1, VALUES, down, VALUES, across, channels)), (1, 3, 0, 2, 4, 5))
    # The convolution itself: one matrix product a value, over all tiles of all photos.
    values = tf.reshape(values, (VALUES**2, -1, channels)) @ tf.reshape(kernel_values, (VALUES**2, channels, filters))
    values = tf.transpose(tf.reshape(values, (VALUES, VALUES, -1, down, across, filters)), (2, 0, 3, 1, 4, 5))
    outputs = columns_out @ tf.reshape(values, (-1, VALUES * down, VALUES * across, filters))
    outputs = rows_out @ tf.reshape(outputs, (-1, VALUES * down, width * filters))
    return tf.reshape(outputs, (-1, height, width, filters))
