"""The folders that photos pass through, and what is known about every photo in them.

DIR/collected/<class>/     as collected, with an attribution.csv each
DIR/pruned/<class>/        moved out by prune.py
DIR/train/<class>/ and DIR/validation/<class>/     what the parts train on and validate with
"""

import csv
import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from photo_tools.duplicates import fingerprint, require_imagehash
from tutorial.cli import ProgressBar, TutorialError
from tutorial.images import READERS, PhotoError, class_folders, files_below, open_photo

import numpy as np

COLLECTED, TRAIN, VALIDATION, PRUNED = "collected", "train", "validation", "pruned"
ATTRIBUTION = "attribution.csv"


@dataclass(frozen=True)
class Photo:
    """What is known about a photo file."""

    file: str  # below DIR, with forward slashes: collected/calico/a.jpg
    sha256: str = ""  # of the file's bytes
    bytes: int = 0
    width: int = 0  # pixels, upright; 0 if it cannot be read
    height: int = 0
    fingerprint: np.ndarray | None = None  # see duplicates.fingerprint; None if it cannot be read
    error: str = ""  # why it cannot be read

    @property
    def stage(self) -> str:
        """The folder in DIR: collected, train or validation."""
        return self.file.split("/")[0]

    @property
    def class_name(self) -> str:
        """The folder in that."""
        return self.file.split("/")[1]


def photo_files(data: Path, stage: str) -> list[str]:
    """The photos of all classes of DIR/stage, below DIR, with forward slashes, in order."""
    found = [path for name in class_folders(data / stage) for path in files_below(data / stage / name)]
    return [path.relative_to(data).as_posix() for path in found]


def _inspect(data: Path, file: str) -> Photo:
    path = data / file
    try:
        content = path.read_bytes()
    except OSError as error:
        return Photo(file, error=f"may not be read ({error.strerror})")
    sha256, size = hashlib.sha256(content).hexdigest(), len(content)
    del content
    try:
        photo = open_photo(path)
    except PhotoError as error:
        return Photo(file, sha256, size, error=str(error).removeprefix(f"{path} ").rstrip("."))
    return Photo(file, sha256, size, photo.width, photo.height, fingerprint(photo))


def inspect_photos(data: Path, files: list[str]) -> list[Photo]:
    """Decode every photo completely, and get its size, SHA-256 and fingerprint; several threads.

    Raises:
        TutorialError: the ImageHash package is not installed.
    """
    require_imagehash()
    progress = ProgressBar("reading photos", len(files))
    photos = []
    with ThreadPoolExecutor(READERS) as pool:
        for photo in pool.map(lambda file: _inspect(data, file), files):
            photos.append(photo)
            progress.update(len(photos))
    progress.close()
    return photos


def read_csv(path: Path, columns: set[str]) -> list[dict[str, str]]:
    """The rows of a CSV file, as Python or a spreadsheet wrote it: commas, semicolons or tabs, with or without a BOM.

    Args:
        path: the file.
        columns: those it must have; it may have others.

    Raises:
        TutorialError: it is missing, is no such table, or may not be read.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            head = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=head.count)
            reader = csv.DictReader(file, delimiter=delimiter, restval="")
            names, rows = reader.fieldnames or [], list(reader)
    except FileNotFoundError:
        raise TutorialError(f"there is no file {path}.") from None
    except (OSError, csv.Error) as error:
        raise TutorialError(f"{path} cannot be read as a table: restore or remove it ({error}).") from None
    missing = sorted(columns - set(names))
    if missing:
        raise TutorialError(f"{path} has no column {', '.join(missing)}: restore or remove it.")
    return rows


def write_csv(path: Path, columns: list[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write a table: UTF-8, with the byte-order mark by which spreadsheets know it. For use in ``atomic_write``."""
    with open(path, "w", encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def next_command(script: str, data: Path, *more: str) -> str:
    """The next command for this folder, ready to paste."""
    return " ".join(["python", script, "--data", shlex.quote(os.fspath(data)), *more])
