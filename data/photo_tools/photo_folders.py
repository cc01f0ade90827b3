"""The folders that photos pass through, and what is known about every photo in them.

DIR/collected/<class>/     as collected, with an attribution.csv each
DIR/pruned/<class>/        moved out by prune.py
DIR/train/<class>/, DIR/validation/<class>/, DIR/test/<class>/     what the parts train on, validate and test with
"""

import csv
import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from photo_tools import require_package
from photo_tools.duplicates import fingerprint
from tutorial.cli import ProgressBar, TutorialError, command_line, echo
from tutorial.dataset import class_folders, find_photos
from tutorial.images import READERS, PhotoError, decode_photo, read_file

import numpy as np

COLLECTED, TRAIN, VALIDATION, TEST, PRUNED = "collected", "train", "validation", "test", "pruned"
STAGES = (COLLECTED, TRAIN, VALIDATION, TEST)  # whose photos prune.py checks
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
        """The folder in DIR: collected, train, validation or test."""
        return self.file.split("/")[0]

    @property
    def class_name(self) -> str:
        """The folder in that, as ``class_folders`` names it."""
        return unicodedata.normalize("NFC", self.file.split("/")[1])


def photo_files(data: Path, stage: str) -> list[str]:
    """The photos of all classes of DIR/stage, below DIR, with forward slashes, in order."""
    paths = []
    for folder in class_folders(data / stage).values():
        found = find_photos(folder)
        paths += found.photos
        if found.left_out:
            echo(found.report(folder))
    return [path.relative_to(data).as_posix() for path in paths]


def _inspect(data: Path, file: str) -> Photo:
    path, content = data / file, b""
    try:
        content = read_file(path)
        photo = decode_photo(content, path)
        known = photo.width, photo.height, fingerprint(photo), ""
    except PhotoError as error:
        known = 0, 0, None, str(error).removeprefix(f"{path} ").rstrip(".")
    return Photo(file, hashlib.sha256(content).hexdigest(), len(content), *known)


def inspect_photos(data: Path, files: list[str]) -> list[Photo]:
    """Decode every photo completely, and get its size, SHA-256 and fingerprint; several threads.

    Raises:
        TutorialError: the ImageHash package is not installed.
    """
    require_package("imagehash", "ImageHash")
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
    return command_line("python", script, "--data", str(data), *more)
