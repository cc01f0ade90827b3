"""Installing a split: train/, validation/ and split.csv are replaced together, and only an earlier split's.

The new ones are built in ``DIR/.splitting`` and renamed, train last: if a run is killed, both folders are old, both are
new, or one is missing, which the parts refuse. Running again repairs it.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from photo_tools.photo_folders import TRAIN, VALIDATION, read_csv
from tutorial.cli import TutorialError, echo
from tutorial.dataset import SYSTEM
from tutorial.images import PhotoError, read_file

BUILT, REPLACED, MANIFEST = ".splitting", ".replaced", "split.csv"


def _files(folder: Path) -> Iterator[Path]:
    """Every file in the train/ and validation/ of a folder, hidden ones too, but for those that systems make again."""
    for split in (TRAIN, VALIDATION):
        for path in (folder / split).rglob("*"):
            if (path.is_symlink() or not path.is_dir()) and path.name.lower() not in SYSTEM:
                yield path


def refuse_foreign_files(data: Path) -> set[str]:
    """Check that everything in train/ and validation/ was made by an earlier split, and is unchanged.

    Returns:
        The names of what the earlier split has made: train/calico/1.jpg.

    Raises:
        TutorialError: it was not.
    """
    manifest = data / MANIFEST
    if (data / BUILT / MANIFEST).exists() and not (data / BUILT / VALIDATION).exists():
        os.replace(data / BUILT / MANIFEST, manifest)  # a run was killed after it installed the folders
    rows = read_csv(manifest, {"file", "sha256"}) if manifest.exists() else []
    made = {(row["file"], row["sha256"]) for row in rows}
    for path in _files(data):
        digest = ""
        with suppress(PhotoError):  # a link to nothing, a pipe ...
            digest = hashlib.sha256(read_file(path)).hexdigest()
        if (path.relative_to(data).as_posix(), digest) not in made:
            raise TutorialError(
                f"{path} was not made by an earlier split and is not replaced: move {data / TRAIN} and "
                f"{data / VALIDATION} away, or use another folder with --data."
            )
    return {name for name, _ in made}


def install_split(data: Path, build: Callable[[Path], None], made: set[str]) -> None:
    """Build the new folders and the manifest, then install them by renaming.

    Args:
        data: DIR, which has passed :func:`refuse_foreign_files`.
        build: fills an empty folder with train/, validation/ and split.csv.
        made: from :func:`refuse_foreign_files`: all that may be deleted.

    Raises:
        TutorialError: the disk is full, or a folder cannot be written or renamed.
    """
    built, replaced = data / BUILT, data / REPLACED
    try:
        for left_over in (built, replaced):
            shutil.rmtree(left_over, ignore_errors=True)
            left_over.mkdir()
        try:
            build(built)
        except BaseException:  # too few photos, a full disk, Ctrl-C
            shutil.rmtree(built, ignore_errors=True)
            shutil.rmtree(replaced, ignore_errors=True)
            raise
        for split in (TRAIN, VALIDATION):
            if os.path.lexists(data / split):
                os.rename(data / split, replaced / split)
        for split in (VALIDATION, TRAIN):
            os.rename(built / split, data / split)
        os.replace(built / MANIFEST, data / MANIFEST)
        if any(path.relative_to(replaced).as_posix() not in made for path in _files(replaced)):  # added meanwhile
            kept = next(path for i in count(1) if not (path := data / f"replaced-{i}").exists())
            os.rename(replaced, kept)
            echo(f"{kept} has files that were added to {TRAIN}/ or {VALIDATION}/ meanwhile: look at them")
        for left_over in (built, replaced):
            shutil.rmtree(left_over, ignore_errors=True)
    except OSError as error:
        raise TutorialError(
            f"{data / TRAIN} and {data / VALIDATION} could not be replaced ({error}): close what uses them, "
            "make room, and run this again."
        ) from None
