"""Photos: which files there are, and the one loader that decodes them.

Training, evaluation and predict.py all read photos through :func:`read_photo`, so the same file gives the same pixels
everywhere.
"""

import os
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tutorial.cli import ProgressBar, TutorialError, echo, silent_libraries

import numpy as np
from PIL import Image, ImageOps

# The blog post's loader takes the nearest pixel and discards the others: sharp, but a 12-megapixel phone photo becomes
# noise. Lanczos averages over the pixels it replaces and is as sharp; a softer filter costs part 2 about a point of
# validation accuracy.
RESAMPLING = Image.Resampling.LANCZOS
INFERENCE_BATCH = 8  # photos at a time through a network: larger batches are no faster and take more memory
PREFETCH = 64  # photos that are decoded ahead
LARGE = 20e6  # pixels of a photo that is decoded alone, so that memory stays small
MAX_UNREADABLE = 0.25  # share of a split's files; beyond that, something is wrong with the folder
READERS = min(8, (os.cpu_count() or 1) + 1)  # threads: Pillow decodes outside Python's lock

_alone = threading.Lock()


class PhotoError(TutorialError):
    """A file that cannot be read as a photo."""


@dataclass(frozen=True)
class Photos:
    """The photos of ``train``, ``validation`` or ``test``, sorted by class, then by name."""

    folder: Path
    class_names: tuple[str, ...]  # alphabetical: the order of the network's outputs
    paths: list[Path]
    labels: np.ndarray  # float32, (n,): 0.0 for the first class, 1.0 for the second ...
    images: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))  # (n, size, size, 3), by load_images

    def counts(self) -> dict[str, int]:
        """How many photos there are of each class."""
        return {name: int(np.sum(self.labels == label)) for label, name in enumerate(self.class_names)}

    def only(self, keep: list[int]) -> "Photos":
        """These photos alone, by their positions; without their pixels."""
        return replace(
            self, paths=[self.paths[i] for i in keep], labels=self.labels[keep], images=np.empty(0, np.uint8)
        )


def photo_suffixes() -> set[str]:
    """The file suffixes that Pillow can read, lower case with the dot."""
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def files_below(folder: Path) -> list[Path]:
    """The files anywhere below ``folder`` that are photos by their suffix; hidden ones are left out."""
    suffixes = photo_suffixes()
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(place, name)
            for name in sorted(names)
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes
        ]
    return found


def class_folders(folder: Path) -> list[str]:
    """The names of the class folders in a folder, sorted; hidden ones are left out, and none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _find_split(data: Path, split: str) -> Photos:
    folder = data / split
    if not folder.is_dir():
        raise TutorialError(
            f"there is no folder {folder}: put the photos into {data}/train/<class>/ and {data}/validation/<class>/, "
            "or name their folder with --data."
        )
    names = class_folders(folder)
    for name in names:
        if not name.isprintable():
            raise TutorialError(
                f"{folder} has a class folder {name!r}: its name contains non-printable characters: rename it."
            )
    if len(names) < 2:
        found = f"has one class folder ({names[0]})" if names else "has no class folders"
        raise TutorialError(
            f"{folder} {found}, and the tutorial tells two or more classes apart: "
            "make one folder of photos for each of them."
        )
    per_class = [files_below(folder / name) for name in names]
    for name, paths in zip(names, per_class, strict=True):
        if not paths:
            raise TutorialError(f"{folder / name} has no photos in it: add some, at least one for each class.")
    labels = np.repeat(np.arange(len(names), dtype=np.float32), [len(paths) for paths in per_class])
    return Photos(folder, tuple(names), [path for paths in per_class for path in paths], labels)


def find_images(data: Path) -> list[Photos]:
    """The photos of a data folder, not decoded: training, validation, and test where there is a folder of that name.

    Args:
        data: a folder with ``train/<class>/``, ``validation/<class>/`` and perhaps ``test/<class>/``, the same two or
            more classes in each.

    Raises:
        TutorialError: a folder is missing or empty, there are fewer than two classes, or the splits differ in them.
    """
    names = ["train", "validation"] + ["test"] * (data / "test").is_dir()
    train, *others = splits = [_find_split(data, name) for name in names]
    for other in others:
        if train.class_names != other.class_names:
            raise TutorialError(
                f"{train.folder} has the classes {', '.join(train.class_names)} but {other.folder} has "
                f"{', '.join(other.class_names)}: give both the same folder names."
            )
    return splits


def load_images(data: Path, image_size: int) -> tuple[Photos, Photos, Photos | None]:
    """Find and decode the photos of a data folder; files that cannot be read are named, counted and left out.

    Args:
        data: see :func:`find_images`.
        image_size: height and width in pixels; photos are resized to a square, as in the blog post.

    Returns:
        Training, validation and test photos with their ``images``, uint8 (n, image_size, image_size, 3); None where
        there is no test folder. Test photos are for a model that is finished: they choose nothing.

    Raises:
        TutorialError: see :func:`find_images`; or no photo of a class, or too few of a split, can be read.
    """
    splits = find_images(data)
    for split in splits:
        echo(f"{split.folder}: {', '.join(f'{count} {name}' for name, count in split.counts().items())}")
    train, validation, *test = (_decode(split, image_size) for split in splits)
    return train, validation, test[0] if test else None


def _decode(photos: Photos, image_size: int) -> Photos:
    images = np.empty((len(photos.paths), image_size, image_size, 3), np.uint8)
    kept: list[int] = []
    progress = ProgressBar(f"reading {photos.folder.name}", len(photos.paths))
    for i, image in enumerate(read_many(photos.paths, image_size)):
        if isinstance(image, PhotoError):
            echo(f"left out: {image}")
        else:
            images[len(kept)] = image
            kept.append(i)
        progress.update(i + 1)
    progress.close()
    readable = photos.only(kept)
    for name, count in readable.counts().items():
        if count == 0:
            raise TutorialError(f"no photo in {photos.folder / name} can be read: replace them with photos that open.")
    left_out = len(photos.paths) - len(kept)
    if left_out > MAX_UNREADABLE * len(photos.paths):
        raise TutorialError(
            f"{left_out} of {len(photos.paths)} files in {photos.folder} cannot be read, more than "
            f"{MAX_UNREADABLE:.0%}: something is wrong with this folder, so remove or replace them."
        )
    if left_out:
        echo(f"{left_out} of {len(photos.paths)} files in {photos.folder} were left out")
    return replace(readable, images=images[: len(kept)])


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode as 8-bit RGB: 16-bit is scaled rather than clipped, transparency is laid on white."""
    if image.mode.startswith("I") or image.mode == "F":  # 16- and 32-bit grayscale
        levels = np.asarray(image, np.float64)
        top = 65535.0 if image.mode.startswith("I") else 1.0
        top = top if np.nanmax(levels) <= top else float(np.nanmax(levels))
        image = Image.fromarray(np.uint8(np.clip(np.nan_to_num(levels) * (255.0 / top), 0, 255).round()))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


@contextmanager
def _decoding(image: Image.Image) -> Iterator[None]:
    """Large photos one at a time, and TIFFs, whose library writes warnings to the terminal past Python."""
    if image.format == "TIFF":
        with _alone, silent_libraries():
            yield
    elif image.width * image.height > LARGE:
        with _alone:
            yield
    else:
        yield


def open_photo(path: str | Path, image_size: int | None = None) -> Image.Image:
    """One photo, decoded completely, rotated upright by its EXIF orientation, as 8-bit RGB.

    Args:
        path: a file in any format that Pillow reads.
        image_size: height and width in pixels to which the photo is resized; its own size without.

    Raises:
        PhotoError: the file does not exist, is not a photo, is truncated, or is too large to be one.
    """
    if os.path.isdir(path):
        raise PhotoError(f"{path} is a folder with no photos in it.")
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe, which nobody may ever write to
        raise PhotoError(f"{path} is not a file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about odd EXIF and big photos, and reads them all the same
            with Image.open(path) as image, _decoding(image):
                image.load()  # Image.verify() would pass a truncated JPEG
                ImageOps.exif_transpose(image, in_place=True)
                photo = _to_rgb(image)
                return photo.resize((image_size, image_size), RESAMPLING) if image_size else photo
    except FileNotFoundError:
        raise PhotoError(f"{path} does not exist.") from None
    except PermissionError:
        raise PhotoError(f"{path} may not be read: check its permissions.") from None
    except Image.UnidentifiedImageError:
        raise PhotoError(f"{path} is not a photo that Pillow can read.") from None
    except Image.DecompressionBombError:
        raise PhotoError(f"{path} has too many pixels for a photo: save it smaller.") from None
    except Exception as error:  # each of Pillow's decoders raises errors of its own for broken data
        raise PhotoError(f"{path} is broken or truncated ({error}).") from None


def read_photo(path: str | Path, image_size: int) -> np.ndarray:
    """One photo as the networks get it, before preprocessing.

    Returns:
        uint8, (image_size, image_size, 3), RGB, 0 to 255.

    Raises:
        PhotoError: see :func:`open_photo`.
    """
    return np.asarray(open_photo(path, image_size))


def _read_or_error(path: Path, image_size: int) -> np.ndarray | PhotoError:
    try:
        return read_photo(path, image_size)
    except PhotoError as error:
        return error


def read_many(paths: list[Path], image_size: int) -> Iterator[np.ndarray | PhotoError]:
    """For each path in turn, :func:`read_photo`'s pixels or, in their place, its error; decoded by several threads."""
    with ThreadPoolExecutor(READERS) as pool:
        ahead: deque = deque()
        for path in paths:
            ahead.append(pool.submit(_read_or_error, path, image_size))
            if len(ahead) > PREFETCH:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def rescale(images: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """The blog post's preprocessing: 0..255 to float32 in 0..1. Any shape; a list of images becomes one array."""
    return np.asarray(images, np.float32) * np.float32(1 / 255)


def caffe(images: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """VGG16's own preprocessing, ImageNet's (Caffe): BGR less the channels' means, float32 in about -124..151.

    What ``keras.applications.vgg16.preprocess_input`` does, and what the ImageNet weights were trained on.
    """
    return np.asarray(images, np.float32)[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)


PREPROCESSING = {"rescale": rescale, "caffe": caffe}
