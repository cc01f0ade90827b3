"""The dataset: which photos there are in the folders of a split and its classes, and loading them.

What is a photo is decided by content, not by name, and what is not used is reported. No photo may be both trained on
and evaluated.
"""

import os
import sys
import unicodedata
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile

from tutorial.cli import ProgressBar, TutorialError, echo, escape
from tutorial.disk_array import DiskArray
from tutorial.files import has_room
from tutorial.images import FORMATS, REMEDY, SUFFIXES, PhotoError, read_ahead, unread_format

import numpy as np
from PIL import Image

MAX_CLASSES = 1000
MAX_UNREADABLE = 0.25  # share of a split's photos; beyond that, something is wrong with the folder
# What systems put beside photos, in lower case; names that begin with a dot are passed over, too.
SYSTEM = {
    "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found",
    ".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini",
}  # fmt: skip


@dataclass(frozen=True)
class Photos:
    """The photos of ``train``, ``validation`` or ``test``, sorted by class, then by name."""

    folder: Path
    class_names: tuple[str, ...]  # alphabetical: the order of the network's outputs
    paths: list[Path]
    labels: np.ndarray  # float32, (n,): 0.0 for the first class, 1.0 for the second ...
    images: np.ndarray | DiskArray = field(default_factory=lambda: np.empty(0, np.uint8))  # (n, size, size, 3)
    digests: list[bytes] = field(default_factory=list)  # SHA-256 of each file, by load_images
    unusable: int = 0  # photos that were found and cannot be used
    left_out: list[str] = field(default_factory=list)  # what is not used and why, a sentence each

    def name(self, path: Path) -> str:
        """A photo as messages name it: train/calico/1.jpg."""
        return path.relative_to(self.folder.parent).as_posix()

    def counts(self) -> dict[str, int]:
        """How many photos there are of each class."""
        return {name: int(np.sum(self.labels == label)) for label, name in enumerate(self.class_names)}


# ---- Which photos there are --------------------------------------------------------------------


@dataclass
class Found:
    """The files below a folder."""

    photos: list[Path]
    left_out: list[tuple[Path, str]] = field(default_factory=list)  # photos that cannot be used: "HEIC photos", ...
    others: list[str] = field(default_factory=list)  # names of files that are no photos

    def report(self, folder: Path) -> str:
        """What is not used, in one line; "" if all is."""
        parts = [f"{count} {kind}" for kind, count in Counter(kind for _, kind in self.left_out).items()]
        if self.others:
            parts.append(f"not photos: {len(self.others)} ({some(self.others)})")
        return f"left out in {folder}: {'; '.join(parts)}" if parts else ""


def find_photos(folder: Path) -> Found:
    """The photos anywhere below a folder: by content, or by the suffix of a photo; no photos if it is no folder.

    Links are followed, also to folders; hidden files and those of the system are passed over.

    Raises:
        TutorialError: a folder may not be read.
    """

    def refuse(error: OSError) -> None:
        raise TutorialError(f"{error.filename} may not be read ({error.strerror}): check its permissions.")

    found, visited = Found([]), set()
    if not os.path.isdir(folder):
        return found
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        if (here := os.path.realpath(place)) in visited:  # a loop of links
            folders.clear()
            continue
        visited.add(here)
        folders[:] = sorted(name for name in folders if _is_visible(name))
        for name in sorted(filter(_is_visible, names)):
            path = Path(place, name)
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                found.photos.append(path)
            elif not os.path.exists(path):
                found.left_out.append((path, "broken links"))
            elif os.path.isfile(path):
                kind = photo_kind(path)
                if kind in REMEDY:
                    found.left_out.append((path, f"{kind} photos ({REMEDY[kind]})"))
                else:
                    (found.photos.append(path) if kind else found.others.append(name))
    return found


def expand_folders(paths: list[Path]) -> list[Path]:
    """Files and folders as photos, those that cannot be read too; standard error has the files that are no photos."""
    photos = []
    for path in paths:
        found = find_photos(path)
        photos += [*found.photos, *(photo for photo, _ in found.left_out)] or [path]
        if line := replace(found, left_out=[]).report(path):
            print(escape(line), file=sys.stderr)
    return photos


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in SYSTEM


def photo_kind(path: Path) -> str:
    """The kind of photo by a file's first bytes: a key of REMEDY, a format that is read, or "" for no photo."""
    with suppress(Exception), Image.open(path, formats=FORMATS) as image:
        return image.format or ""
    with suppress(OSError), open(path, "rb") as file:
        return unread_format(file.read(32))
    return ""


def class_folders(folder: Path) -> dict[str, Path]:
    """The class folders in a folder, by name and in order; none if it does not exist.

    Names are in Unicode's composed form (NFC), since systems differ in how they write an accent.

    Raises:
        TutorialError: the folder may not be read, a link leads nowhere, two names look the same, or a name contains
            control characters.
    """
    found: dict[str, Path] = {}
    if not os.path.isdir(folder):
        return found
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise TutorialError(f"{folder} may not be read ({error.strerror}): check its permissions.") from None
    for path in filter(lambda path: _is_visible(path.name), entries):
        name = unicodedata.normalize("NFC", path.name)
        if path.is_symlink() and not path.exists():
            raise TutorialError(f"{path} is a link to something that does not exist: connect its disk, or remove it.")
        if not os.path.isdir(path):
            continue
        if name in found:
            raise TutorialError(
                f"{folder} has two class folders called {name}, one with composed and one with decomposed accents (NFC "
                "and NFD): put their photos into one."
            )
        if escape(name) != name:
            raise TutorialError(f"{folder} has a class folder {name!r}: rename it without non-printable characters.")
        found[name] = path
    return dict(sorted(found.items()))


def _find_split(data: Path, split: str) -> Photos:
    folder = data / split
    if not os.path.isdir(folder):
        raise TutorialError(
            f"there is no folder {folder}: put the photos into {data}/train/<class>/ and {data}/validation/<class>/, "
            "or name their folder with --data."
        )
    classes = class_folders(folder)
    if len(classes) < 2:
        there = f"has one class folder ({next(iter(classes))})" if classes else "has no class folders"
        raise TutorialError(
            f"{folder} {there}; at least two classes are needed: make one folder of photos for each class."
        )
    if len(classes) > MAX_CLASSES:
        raise TutorialError(f"{folder} has {len(classes)} classes, more than {MAX_CLASSES}: use fewer.")
    paths: list[Path] = []
    labels: list[float] = []
    left_out: list[str] = []
    unusable = 0
    for label, path in enumerate(classes.values()):
        found = find_photos(path)
        if line := found.report(path):
            echo(line)
            left_out.append(line)
        if not found.photos:
            there = "only photos that cannot be used, see above" if found.left_out else "no photos in it"
            raise TutorialError(f"{path} has {there}: add some, at least one for each class.")
        paths += found.photos
        labels += [float(label)] * len(found.photos)
        unusable += len(found.left_out)
    return Photos(folder, tuple(classes), paths, np.array(labels, np.float32), unusable=unusable, left_out=left_out)


def find_images(data: Path) -> list[Photos]:
    """The photos of a data folder, not decoded: training, validation, and test where there is a folder of that name.

    Args:
        data: a folder with ``train/<class>/``, ``validation/<class>/`` and perhaps ``test/<class>/``, the same two or
            more classes in each.

    Raises:
        TutorialError: a folder is missing or empty, there are fewer than two classes, or the splits differ in them.
    """
    train, *others = splits = [_find_split(data, name) for name in ("train", "validation")]
    test = class_folders(data / "test")
    if set(test) & set(train.class_names):
        splits.append(_find_split(data, "test"))
        others.append(splits[-1])
    elif os.path.lexists(data / "test"):
        echo(f"{data / 'test'} has no folders of these classes, so it is not used")
    for other in others:
        if train.class_names != other.class_names:
            raise TutorialError(
                f"{train.folder} has the classes {', '.join(train.class_names)} but {other.folder} has "
                f"{', '.join(other.class_names)}: give both the same folder names."
            )
    return splits


def load_images(data: Path, image_size: int, folder: Path | None = None) -> tuple[Photos, Photos, Photos | None]:
    """Find and decode the photos of a data folder; files that cannot be read are named, counted and left out.

    The decoded photos are in a file without a name, whose space is free again when the process ends, however it ends.

    Args:
        data: see :func:`find_images`.
        image_size: height and width in pixels; photos are resized to a square, as in the blog post.
        folder: where the decoded photos lie; without one, or where its disk has too little room, in memory.

    Returns:
        Training, validation and test photos with their ``images``, uint8 (n, image_size, image_size, 3); None where
        there is no test folder. Test photos only evaluate the finished model: no setting is chosen by them.

    Raises:
        TutorialError: see :func:`find_images`; or no photo of a class, or too few of a split, can be read; or the disk
            is full.
    """
    splits = find_images(data)
    for split in splits:
        echo(f"{split.folder}: {', '.join(f'{count} {name}' for name, count in split.counts().items())}")
    needed = sum(len(split.paths) for split in splits) * image_size**2 * 3
    if folder and not has_room(folder, needed, "decoded photos", "they are kept in memory"):
        folder = None
    train, validation, *test = splits = [_decode(split, image_size, folder) for split in splits]
    _check_copies(splits)
    return train, validation, test[0] if test else None


def _decode(photos: Photos, image_size: int, folder: Path | None) -> Photos:
    file = TemporaryFile(dir=folder) if folder else BytesIO()  # noqa: SIM115, it stays open
    kept: list[int] = []
    digests: list[bytes] = []
    left_out = list(photos.left_out)
    progress = ProgressBar(f"reading {photos.folder.name}", len(photos.paths))
    for i, (image, digest) in enumerate(read_ahead(photos.paths, image_size)):
        if isinstance(image, PhotoError):
            echo(f"left out: {image}")
            left_out.append(str(image))
        else:
            try:
                file.write(image.data)
                file.flush()
            except OSError as error:
                raise TutorialError(
                    f"the decoded photos could not be written to {folder} ({error.strerror}): make room on its disk."
                ) from None
            kept.append(i)
            digests.append(digest)
        progress.update(i + 1)
    progress.close()
    paths, labels = [photos.paths[i] for i in kept], photos.labels[kept]
    images = DiskArray(file, (len(kept), image_size, image_size, 3), "u1")
    readable = replace(photos, paths=paths, labels=labels, images=images, digests=digests, left_out=left_out)
    for name, count in readable.counts().items():
        if count == 0:
            raise TutorialError(f"no photo in {photos.folder / name} can be read: replace them with photos that open.")
    total = len(photos.paths) + photos.unusable
    unread = total - len(kept)
    if unread > MAX_UNREADABLE * total:
        raise TutorialError(
            f"{unread} of {total} files in {photos.folder} cannot be read, more than "
            f"{MAX_UNREADABLE:.0%}: something is wrong with this folder, so remove, convert or replace them."
        )
    if unread:
        echo(f"{unread} of {total} files in {photos.folder} were left out")
    return readable


def _check_copies(splits: list[Photos]) -> None:
    """Refuse photos that are trained on and evaluated, and report those that are in two classes, byte for byte."""
    for i, one in enumerate(splits):  # the first is the training photos
        first: dict[bytes, tuple[Path, float]] = {}
        both = []
        for path, digest, label in zip(one.paths, one.digests, one.labels, strict=True):
            known = first.setdefault(digest, (path, label))
            if known[1] != label:
                both.append(f"{one.name(path)} = {one.name(known[0])}")
        if both:
            echo(f"in two classes of {one.folder}: {len(both)} photos ({some(both)}): remove the wrong ones")
        for other in splits[i + 1 :]:
            pairs = zip(other.paths, other.digests, strict=True)
            same = [f"{other.name(path)} = {one.name(first[digest][0])}" for path, digest in pairs if digest in first]
            text = f"{len(same)} of {len(other.paths)} photos in {other.folder} are in {one.folder}, too ({some(same)})"
            if same and i == 0:
                raise TutorialError(
                    f"{text}: scores on photos that were trained on mean nothing, so remove them from one of the two, "
                    "or split the photos again with data/split.py."
                )
            if same:
                echo(f"{text}: remove them from one of the two")


def some(names: list[str]) -> str:
    """The first three of several names."""
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)
