"""Many photos: predicted a batch at a time, as a table, and as copies in a folder for each class."""

import csv
import filecmp
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tutorial.cli import ProgressBar, TutorialError, escape
from tutorial.dataset import photo_kind
from tutorial.files import atomic_write
from tutorial.images import INFERENCE_BATCH, SUFFIXES, PhotoError, read_ahead, read_file

NOT_SURE = "not-sure"  # folder of the photos whose class is not sure, or that are out of distribution
COLUMNS = ["photo", "class", "probability", "sure", "out_of_distribution", "error"]


def predict_photos(
    model: Any, photos: Sequence[Any], read: Callable[[Any], bytes] = read_file
) -> Iterator[tuple[Any, Any, str, dict]]:
    """Read and predict photos, a batch at a time.

    Args:
        model: with ``image_size`` and ``describe``, such as predict.py's ``TrainedModel``.
        photos: paths of any number of them, or what else ``read`` takes.
        read: gives the bytes of a photo's file.

    Yields:
        Each photo, its pixels, uint8 (size, size, 3), and its prediction in words and as JSON. Where it cannot be read,
        the error replaces all three.
    """
    progress = ProgressBar("predicting", len(photos))
    for start in range(0, len(photos), 4 * INFERENCE_BATCH):
        batch = photos[start : start + 4 * INFERENCE_BATCH]
        images = [image for image, _ in read_ahead(batch, model.image_size, read)]
        good = [image for image in images if not isinstance(image, PhotoError)]
        described = iter(model.describe(good) if good else ())
        for photo, image in zip(batch, images, strict=True):
            bad = isinstance(image, PhotoError)
            text, known = (str(image), {"error": str(image)}) if bad else next(described)
            yield photo, image, text, known
        progress.update(start + len(batch))
    progress.close()


def no_formula(text: str) -> str:
    """Text for a cell of a CSV file, with a quote before what a spreadsheet would run as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def table_columns(class_names: list[str]) -> list[str]:
    """The columns of a table of predictions."""
    return [*COLUMNS[:3], *(f"probability of {name}" for name in class_names), *COLUMNS[3:]]


def table_row(photo: str | Path, known: dict) -> dict[str, Any]:
    """A photo's row by column, from its predictions by name, as ``--json`` prints them; text is escaped."""
    each = {f"probability of {name}": value for name, value in known.get("probabilities", {}).items()}
    row = {"photo": str(photo)} | {name: known[name] for name in COLUMNS if name in known} | each
    return {name: escape(value) if isinstance(value, str) else value for name, value in row.items()}


@contextmanager
def prediction_table(path: Path, class_names: list[str]) -> Iterator[Callable[[Path, dict], None]]:
    """Write a CSV file, whole: a row for each photo, a column for the probability of each class.

    Yields a function that adds the row of a photo from its predictions by name, as ``--json`` prints them. If the work
    is interrupted, the file has the rows so far.

    Raises:
        TutorialError: the file cannot be written, or is a photo or called like one: ``--csv a.jpg b.jpg`` is a slip.
    """
    if path.suffix.lower() in SUFFIXES or (path.is_file() and photo_kind(path)):
        raise TutorialError(f"{path} is a photo, or named like one, and not a table: use --csv table.csv.")
    stopped = None
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8-sig") as file:
        if path.exists():  # a folder, or open in a spreadsheet: found now and not after all predictions
            open(path, "rb+").close()
        writer = csv.DictWriter(file, table_columns(class_names))
        writer.writeheader()

        def add(photo: Path, known: dict) -> None:
            row = table_row(photo, known)
            writer.writerow({name: no_formula(one) if isinstance(one, str) else one for name, one in row.items()})

        try:
            yield add
        except BaseException as error:  # Ctrl-C, and the end of what reads the output, too
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                raise
            stopped = error
    if stopped:
        raise stopped


def sort_photo(photo: Path, known: dict, into: Path) -> None:
    """Copy a photo into the folder of its class, which is made where it is missing. No file is overwritten.

    Where the folder has another photo of its name, the copy gets a number; where it has this one, there is none.

    Args:
        photo: its file.
        known: its prediction, as ``--json`` prints it. If not sure, or out of distribution: to NOT_SURE.
        into: the folder of the folders.

    Raises:
        TutorialError: it cannot be copied, or the class's name, which comes from a weights file, would lead elsewhere.
    """
    name = known["class"]
    if name in ("..", NOT_SURE) or Path(name).name != name:
        raise TutorialError(f"{into} cannot have a folder for the class {name!r}: leave out --sort-into.")
    folder = into / (name if known["sure"] and not known["out_of_distribution"] else NOT_SURE)
    target = folder / photo.name
    try:
        for number in itertools.count(2):
            if not target.exists():
                break
            if filecmp.cmp(photo, target, shallow=False):
                return
            target = folder / f"{photo.stem}-{number}{photo.suffix}"
        with atomic_write(target) as temporary:
            shutil.copyfile(photo, temporary)
            times = photo.stat()
            os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
    except OSError as error:
        raise TutorialError(f"{photo} could not be copied to {folder} ({error.strerror or error}).") from None
