"""Installing a split: train/, validation/ and split.csv are replaced together, and only an earlier split's.

The new ones are built in ``DIR/.splitting`` and renamed, train last: if a run is killed, both folders are old, both are
new, or one is missing, which the parts refuse. Running again repairs it.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from photo_tools.photo_folders import TRAIN, VALIDATION, read_csv
from tutorial.cli import TutorialError
from tutorial.images import PhotoError, read_file

BUILT, REPLACED, MANIFEST = ".splitting", ".replaced", "split.csv"
WRITTEN_BY_WINDOWS = {"Thumbs.db", "desktop.ini"}


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, n) for n in names if not n.startswith(".") and n not in WRITTEN_BY_WINDOWS)


def refuse_foreign_files(data: Path) -> None:
    """Check that everything in train/ and validation/ was made by an earlier split, and is unchanged.

    Raises:
        TutorialError: it was not.
    """
    manifest = data / MANIFEST
    if (data / BUILT / MANIFEST).exists() and not (data / BUILT / VALIDATION).exists():
        os.replace(data / BUILT / MANIFEST, manifest)  # a run was killed after it installed the folders
    rows = read_csv(manifest, {"file", "sha256"}) if manifest.exists() else []
    made = {(row["file"], row["sha256"]) for row in rows}
    for split in (TRAIN, VALIDATION):
        for path in _files(data / split):
            digest = ""
            with suppress(PhotoError):  # a link to nothing, a pipe ...
                digest = hashlib.sha256(read_file(path)).hexdigest()
            if (path.relative_to(data).as_posix(), digest) not in made:
                raise TutorialError(
                    f"{path} was not made by split.py, and is not replaced: move {data / TRAIN} and "
                    f"{data / VALIDATION} away, or name another --data."
                )


def install_split(data: Path, build: Callable[[Path], None]) -> None:
    """Build the new folders and the manifest, then install them by renaming.

    Args:
        data: DIR, which has passed :func:`refuse_foreign_files`.
        build: fills an empty folder with train/, validation/ and split.csv.

    Raises:
        TutorialError: the disk is full, or a folder cannot be written or renamed.
    """
    built, replaced = data / BUILT, data / REPLACED
    try:
        for left_over in (built, replaced):
            shutil.rmtree(left_over, ignore_errors=True)
            left_over.mkdir()
        build(built)
        for split in (TRAIN, VALIDATION):
            if os.path.lexists(data / split):
                os.rename(data / split, replaced / split)
        for split in (VALIDATION, TRAIN):
            os.rename(built / split, data / split)
        os.replace(built / MANIFEST, data / MANIFEST)
        for left_over in (built, replaced):
            shutil.rmtree(left_over)
    except OSError as error:
        raise TutorialError(
            f"{data / TRAIN} and {data / VALIDATION} could not be replaced ({error}): close what uses them, "
            "make room, and run this again."
        ) from None
