"""Photos in: which files there are, and the one loader that turns a file into pixels.

Training, evaluation and predict.py all read photos through :func:`read_photo`, so
the same file gives the same numbers everywhere.
"""

import os
import threading
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tutorial.command_line import ProgressLine, TutorialError, silent_libraries

# The texts' loader took the nearest pixel and threw the others away: sharp, but a 12-megapixel phone photo
# comes out as noise. Lanczos weighs all the pixels it replaces and is as sharp; a softer filter would cost part 2
# about a point of validation accuracy.
RESAMPLING = Image.Resampling.LANCZOS
AHEAD = 64  # photos that are decoded before they are asked for
LARGE = 20e6  # pixels of a photo that is decoded alone, so that memory stays small
MOST_UNREADABLE = 0.25  # of a split's files; beyond that, something is wrong with the folder
READERS = min(8, (os.cpu_count() or 1) + 1)  # Pillow decodes outside Python's lock, so threads help


_alone = threading.Lock()


class PhotoError(TutorialError):
    """A file that cannot be read as a photo."""


@dataclass(frozen=True)
class PhotoFiles:
    """The photo files of ``train``, ``validation`` or ``test``, sorted by class, then by name."""

    folder: Path
    class_names: tuple[str, ...]  # alphabetical: the network's outputs stand for them in this order
    paths: list[Path]
    labels: np.ndarray  # float32, (n,): 0.0 for the first class, 1.0 for the second ...

    def counts(self) -> dict[str, int]:
        """How many photos there are of each class."""
        return {name: int(np.sum(self.labels == label)) for label, name in enumerate(self.class_names)}

    def only(self, keep: list[int]) -> "PhotoFiles":
        """These photos alone, by their positions."""
        return PhotoFiles(self.folder, self.class_names, [self.paths[i] for i in keep], self.labels[keep])


def photo_suffixes() -> set[str]:
    """The file name endings that Pillow can read, lower case with the dot."""
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def files_below(folder: Path) -> list[Path]:
    """The files below ``folder``, to the bottom, that are photos by their names; hidden ones are left out."""
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


def _find_split(data: Path, split: str) -> PhotoFiles:
    folder = data / split
    if not folder.is_dir():
        raise TutorialError(
            f"there is no folder {folder}: put the photos into {data}/train/<class>/ and {data}/validation/<class>/, "
            "or name their folder with --data."
        )
    names = class_folders(folder)
    for name in names:
        if not name.isprintable():
            raise TutorialError(f"{folder} has a class folder {name!r}: give it a name of characters that can be seen.")
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
    return PhotoFiles(
        folder,
        tuple(names),
        [path for paths in per_class for path in paths],
        np.repeat(np.arange(len(names), dtype=np.float32), [len(paths) for paths in per_class]),
    )


def find_photos(data: Path) -> tuple[PhotoFiles, PhotoFiles]:
    """The training and validation photos of a data folder.

    Args:
        data: a folder with ``train/<class>/`` and ``validation/<class>/``, the same classes in both, two or more.

    Raises:
        TutorialError: a folder is missing or empty, there are fewer than two classes, or the two splits differ in them.
    """
    train, validation = _find_split(data, "train"), _find_split(data, "validation")
    _check_same_classes(train, validation)
    return train, validation


def find_test(data: Path, train: PhotoFiles) -> PhotoFiles | None:
    """The photos of ``test/<class>/``, which judge the model that is done and choose nothing; None without the folder.

    Raises:
        TutorialError: a class folder is empty, or the classes are not those of the training photos.
    """
    if not (data / "test").is_dir():
        return None
    test = _find_split(data, "test")
    _check_same_classes(train, test)
    return test


def _check_same_classes(train: PhotoFiles, other: PhotoFiles) -> None:
    if train.class_names != other.class_names:
        raise TutorialError(
            f"{train.folder} has the classes {', '.join(train.class_names)} but {other.folder} has "
            f"{', '.join(other.class_names)}: give both the same folder names."
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode as 8-bit RGB: 16-bit is scaled rather than clipped, transparency is laid on white."""
    if image.mode.startswith("I") or image.mode == "F":  # 16- and 32-bit greyscale
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
    """Large photos one at a time, and TIFFs, about which its library complains on the terminal itself, past Python."""
    if image.format == "TIFF":
        with _alone, silent_libraries():
            yield
    elif image.width * image.height > LARGE:
        with _alone:
            yield
    else:
        yield


def open_photo(path: str | Path, image_size: int | None = None) -> Image.Image:
    """One photo, decoded to the last byte, turned upright by its EXIF tag, as 8-bit RGB.

    Args:
        path: a file in any format that Pillow reads.
        image_size: pixels a side of the square into which the photo is squeezed; its own size without.

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
        raise PhotoError(f"{path} is broken or cut short ({error}).") from None


def read_photo(path: str | Path, image_size: int) -> np.ndarray:
    """One photo as the networks see it, before rescaling.

    Args:
        path: a file in any format that Pillow reads.
        image_size: height and width of the result in pixels; the photo is squeezed into the square, as in the texts.

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
            if len(ahead) > AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def readable_photos(files: PhotoFiles, image_size: int) -> Iterator[tuple[int, np.ndarray]]:
    """Read a split photo by photo; files that cannot be read are named, counted and left out.

    Yields:
        Which of the files it is and its pixels, uint8, (image_size, image_size, 3).

    Raises:
        TutorialError: no photo of a class can be read, or more than MOST_UNREADABLE of all files cannot.
    """
    kept: list[int] = []
    progress = ProgressLine(f"reading {files.folder}", len(files.paths))
    for i, photo in enumerate(read_many(files.paths, image_size)):
        if isinstance(photo, PhotoError):
            progress.clear()
            print(f"left out: {photo}")
        else:
            kept.append(i)
            yield i, photo
        progress.update(i + 1)
    progress.clear()
    for name, count in files.only(kept).counts().items():
        if count == 0:
            raise TutorialError(f"no photo in {files.folder / name} can be read: replace them with photos that open.")
    left_out = len(files.paths) - len(kept)
    if left_out > MOST_UNREADABLE * len(files.paths):
        raise TutorialError(
            f"{left_out} of {len(files.paths)} files in {files.folder} cannot be read, more than "
            f"{MOST_UNREADABLE:.0%}: something went wrong with this folder, so remove or replace them."
        )
    if left_out:
        print(f"{left_out} of {len(files.paths)} files in {files.folder} were left out")


def load_photos(files: PhotoFiles, image_size: int) -> tuple[np.ndarray, PhotoFiles]:
    """Read a whole split into memory, see :func:`readable_photos`.

    Returns:
        The pixels, uint8, (n, image_size, image_size, 3), and the files they came from, in the same order.

    Raises:
        TutorialError: no photo of a class can be read.
    """
    pixels = np.empty((len(files.paths), image_size, image_size, 3), np.uint8)
    kept: list[int] = []
    for i, photo in readable_photos(files, image_size):
        pixels[len(kept)] = photo
        kept.append(i)
    return pixels[: len(kept)], files.only(kept)


def rescale(pixels: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """The texts' preprocessing: 0..255 as float32 in 0..1. Any shape; a list of photos becomes one array."""
    return np.asarray(pixels, np.float32) * np.float32(1 / 255)


def as_vgg16_learnt(pixels: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """VGG16's own preprocessing: blue, green, red, less ImageNet's mean of each, as float32 in about -124..151.

    What ``keras.applications.vgg16.preprocess_input`` does, and what the ImageNet weights were trained on.
    """
    return np.asarray(pixels, np.float32)[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)


# What a weights file may say that its photos went through.
PREPROCESSING = {"rescale 1/255": rescale, "vgg16: BGR, mean subtracted": as_vgg16_learnt}
RESCALE, VGG16 = PREPROCESSING
