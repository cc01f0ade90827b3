"""Arrays in files, read as they are needed, so that memory does not grow with the number of photos.

Decoded photos, bottleneck features and block 4's activations are such arrays.
"""

import math
from collections.abc import Iterator
from threading import Lock
from typing import BinaryIO

import numpy as np


class DiskArray:
    """An array in a file. Indexing its rows, as in NumPy, reads them into a new array; none of it stays in memory.

    Args:
        file: open for reading; a ``BytesIO`` where the disk has no room.
        shape: (n, ...), at least two axes.
        dtype: of the numbers.
        start: bytes in the file before them.
    """

    def __init__(self, file: BinaryIO, shape: tuple[int, ...], dtype: str, start: int = 0) -> None:
        self.file, self.shape, self.dtype, self.start = file, shape, np.dtype(dtype), start
        self.lock = Lock()  # two threads prepare batches

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        numbers = np.arange(len(self))[rows]
        found = np.empty((numbers.size, *self.shape[1:]), self.dtype)
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        with self.lock:
            for number, row in zip(numbers.ravel().tolist(), found, strict=True):
                self.file.seek(self.start + number * row_bytes)
                if self.file.readinto(row) != row_bytes:  # type: ignore[attr-defined]
                    raise OSError(f"row {number} is not in the file")
        return found.reshape(*numbers.shape, *self.shape[1:])


def blocks(array: np.ndarray | DiskArray, rows: int = 1000) -> Iterator[np.ndarray]:
    """An array's rows, ``rows`` at a time."""
    return (array[first : first + rows] for first in range(0, len(array), rows))
