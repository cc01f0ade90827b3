"""The one loader that decodes photos.

Training, evaluation and predict.py all read photos through :func:`decode_photo`, so the same file gives the same pixels
everywhere. What a file's name or metadata claims does not matter: its content decides.
"""

import hashlib
import os
import re
import stat
import sys
import threading
import warnings
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from tutorial.cli import TutorialError, escape, silent_libraries

import numpy as np
from PIL import ExifTags, Image, ImageCms

# The blog post's loader takes the nearest pixel and discards the others: sharp, but a 12-megapixel phone photo becomes
# noise. Lanczos averages over the pixels it replaces and is as sharp; a softer filter costs part 2 about a point of
# validation accuracy.
RESAMPLING = Image.Resampling.LANCZOS
INFERENCE_BATCH = 8  # photos at a time through a network: larger batches are no faster and take more memory
PREFETCH = 64  # photos that are decoded ahead
LARGE = 20e6  # pixels of a photo that is decoded alone, so that memory stays small
MAX_BYTES = 500_000_000  # of a photo's file
MAX_PIXELS = 60e6  # of a photo with transparency or 16 bits, which takes 16 bytes a pixel; others: Pillow's 179 million
SCAN = re.compile(rb"\xff\xda\0[\x08\x0a\x0c\x0e]")  # the header of a JPEG's scan, of one to four colors
MAX_SCANS = 4e9  # pixels times passes over them in a progressive JPEG, five seconds; a camera's 50 million have 10
READERS = min(8, (os.cpu_count() or 1) + 1)  # threads: Pillow decodes outside Python's lock

# Formats of photos; Pillow also reads formats that are programs (EPS), documents or video. HEIC needs pillow-heif.
FORMATS = ["AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"]
with suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()
SUFFIXES = {suffix for suffix, kind in Image.registered_extensions().items() if kind in [*FORMATS, "MPO"]}
FORMATS = [kind for kind in FORMATS if kind in Image.OPEN]
REMEDY = {  # what can be done about photos in formats that are not read
    "HEIC": "install pillow-heif, or convert them to JPEG",
    "JPEG XL": "convert them to JPEG",
    "camera raw": "export them as JPEG",
}
SMALLER = "make it smaller with an image editor."
HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}  # ISO 23008-12
RAW = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb")  # Fujifilm, Olympus, Panasonic, Sigma
ORIENTATIONS = {  # EXIF's tag 274, and what turns such a photo upright
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
SRGB = ImageCms.createProfile("sRGB")
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()

_alone = threading.Lock()

warnings.filterwarnings("ignore", module=r"PIL\b")  # about odd EXIF and large photos, which are read all the same


class PhotoError(TutorialError):
    """A file that cannot be read as a photo."""


def read_file(path: str | Path) -> bytes:
    """The bytes of a file that may be a photo.

    Raises:
        PhotoError: it does not exist, is no regular file, may not be read, or is too large.
    """
    try:
        info = os.stat(path)
        if stat.S_ISDIR(info.st_mode):
            raise PhotoError(f"{path} is a folder with no photos in it.")
        if not stat.S_ISREG(info.st_mode):  # a pipe, which nobody may ever write to
            raise PhotoError(f"{path} is not a file.")
        if info.st_size > MAX_BYTES:
            raise PhotoError(f"{path} has {info.st_size / 1e6:,.0f} MB, too large for a photo: remove it.")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        link = os.path.islink(path)
        raise PhotoError(f"{path} {'is a link to a file that does' if link else 'does'} not exist.") from None
    except PermissionError:
        raise PhotoError(f"{path} may not be read: check its permissions.") from None
    except (OSError, ValueError) as error:
        raise PhotoError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from None


def unread_format(head: bytes) -> str:
    """The format of a photo that is not read, a key of REMEDY, by its file's first 32 bytes; "" for others."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in HEIC and "HEIF" not in FORMATS:
        return "HEIC"
    if head.startswith(b"\xff\x0a") or head[4:12] == b"JXL \r\n\x87\n":
        return "JPEG XL"
    return "camera raw" if brand == b"crx " or head.startswith(RAW) else ""


def decode_photo(content: bytes, path: str | Path, image_size: int | None = None) -> Image.Image:
    """A photo from the bytes of its file: decoded completely, upright, in 8-bit sRGB, transparency on white.

    Args:
        content: from :func:`read_file`.
        path: of the file, for errors.
        image_size: height and width in pixels to which the photo is resized; its own size without.

    Raises:
        PhotoError: it is not a photo, is truncated, has too many pixels or pixels of an unknown meaning.
    """
    try:
        try:
            return _decode(content, path, image_size)
        except Exception as error:
            if isinstance(error, PhotoError | Image.DecompressionBombError):
                raise
            for keep in (True, False):
                with suppress(Exception):
                    return _decode(_without_metadata(content, keep), path, image_size)
            raise
    except PhotoError as error:
        raise PhotoError(f"{path} {error}") from None
    except Image.UnidentifiedImageError:
        if kind := unread_format(content[:32]):
            raise PhotoError(f"{path} is a photo in {kind} format: {REMEDY[kind].replace('them', 'it')}.") from None
        raise PhotoError(f"{path} is not a photo that Pillow can read.") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise PhotoError(f"{path} has too many pixels, more than {most:.0f} million: {SMALLER}") from None
    except Exception as error:  # each of Pillow's decoders raises errors of its own for broken data
        raise PhotoError(f"{path} is broken or truncated ({error}).") from None


def _decode(content: bytes, path: str | Path, image_size: int | None) -> Image.Image:
    with Image.open(BytesIO(content), formats=FORMATS) as image, _decoding(image):
        _go_to_full_size(image)
        pixels = image.width * image.height
        if pixels > MAX_PIXELS and (image.has_transparency_data or image.mode[0] in "IF"):
            raise PhotoError(f"has too many pixels, more than {MAX_PIXELS / 1e6:.0f} million: {SMALLER}")
        if image.format in ("JPEG", "MPO") and len(SCAN.findall(content)) * pixels > MAX_SCANS:
            raise PhotoError(f"takes too long to decode: {SMALLER}")
        orientation, profile = _orientation(image), image.info.get("icc_profile")
        image.load()  # Image.verify() would pass a truncated JPEG
        photo = _to_8_bits(image, content)
        if orientation in ORIENTATIONS and image.format != "TIFF":  # Pillow turns TIFFs itself
            photo = photo.transpose(ORIENTATIONS[orientation])
        if image_size:
            photo = photo.resize((image_size, image_size), RESAMPLING)
        return _to_srgb(photo, profile, path)


def _without_metadata(content: bytes, keep: bool) -> bytes:
    """A PNG or JPEG with nothing but what its pixels need, for a photo whose metadata Pillow cannot read.

    With ``keep``, EXIF and the color profile stay as well. Raises ValueError for other formats.
    """
    if content.startswith(b"\x89PNG"):
        place, kept = 8, [content[:8]]
        while kind := content[place + 4 : place + 8]:
            end = place + 12 + int.from_bytes(content[place : place + 4], "big")
            if kind[:1].isupper() or kind == b"tRNS" or (keep and kind in (b"eXIf", b"iCCP")):
                kept.append(content[place:end])
            place = end
        return b"".join(kept)
    if content.startswith(b"\xff\xd8"):
        place, kept = 2, [content[:2]]
        while (marker := content[place + 1]) != 0xDA and content[place] == 0xFF:  # the scan begins with 0xDA
            end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
            if marker not in (*range(0xE3 if keep else 0xE1, 0xEE), 0xEF, 0xFE):  # APP14, Adobe's colors, always stays
                kept.append(content[place:end])
            place = end
        return b"".join([*kept, content[place:]])
    raise ValueError


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


def _go_to_full_size(image: Image.Image) -> None:
    """Go to a TIFF's first page that is no thumbnail."""
    page = 0
    while image.format == "TIFF" and _tag(image, "NewSubfileType")[0] & 1:
        page += 1
        try:
            image.seek(page)
        except EOFError:
            raise PhotoError("is a camera raw file, or has only a thumbnail: export it as JPEG.") from None


def _tag(image: Any, name: str) -> tuple[int, ...]:
    """The whole numbers of a TIFF's tag; (0,) where it has none."""
    values = image.tag_v2.get(ExifTags.Base[name], 0)
    values = values if isinstance(values, tuple) else (values,)
    return tuple(value for value in values if isinstance(value, int)) or (0,)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8, read whatever is wrong with other tags; 1 where there is none."""
    exif = (image.info.get("exif") or b"").removeprefix(b"Exif\0\0")
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"
    start = int.from_bytes(exif[4:8], order)
    for place in range(start + 2, start + 2 + 12 * int.from_bytes(exif[start : start + 2], order), 12):
        tag, kind = (int.from_bytes(exif[place + i : place + i + 2], order) for i in (0, 2))
        if tag == 274:
            return int.from_bytes(exif[place + 8 : place + 8 + {1: 1, 3: 2, 4: 4}.get(kind, 0)], order)
    with suppress(Exception):  # in other metadata, such as XMP
        return int(image.getexif().get(274, 1))
    return 1


def _to_8_bits(image: Image.Image, content: bytes) -> Image.Image:
    """Any Pillow mode as L, RGB, CMYK or LAB: more bits are scaled, not clipped, and transparency is laid on white."""
    bits, inverted = 16, False
    if image.format == "TIFF":
        if 2 in _tag(image, "SampleFormat"):
            raise PhotoError("has signed pixels: save it with 8 bits.")
        bits = max(_tag(image, "MaxSampleValue")).bit_length() or max(_tag(image, "BitsPerSample"))
        inverted = _tag(image, "PhotometricInterpretation") == (0,)  # white is zero
    elif image.format == "PNG":
        bits = _significant_bits(content)
    if image.mode.startswith("I") or image.mode == "F":  # grayscale of more than 8 bits
        levels = np.nan_to_num(np.array(image, np.float64), copy=False)
        if levels.min() < 0:
            raise PhotoError("has negative pixels: save it with 8 bits.")
        white = [1.0] if image.mode == "F" else [2.0**bits - 1] * (bits < 16) + [65535.0]
        top = next((level for level in white if levels.max() <= level), levels.max())
        if isinstance(clear := image.info.get("transparency"), int):  # a PNG's transparent gray
            levels[levels == clear] = top
        levels *= 255.0 / top
        np.clip(levels, 0, 255, out=levels).round(out=levels)
        image = Image.fromarray(np.uint8(255 - levels if inverted else levels))
    elif 8 < bits < 16 and np.max(image.convert("RGB").getextrema()) <= 2**bits - 1 >> 8:
        raise PhotoError(f"has {bits}-bit colors in 16 bits: save it with 8 bits.")
    if image.has_transparency_data:
        gray, image = image.mode == "LA", image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("L" if gray else "RGB")
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _significant_bits(png: bytes) -> int:
    """The bits of a PNG's grays or colors, by its sBIT chunk if it has one."""
    place, bits = 8, png[24]
    while (kind := png[place + 4 : place + 8]) not in (b"IDAT", b""):
        length = int.from_bytes(png[place : place + 4], "big")
        if kind == b"sBIT":
            bits = max(png[place + 8 : place + 8 + length - (png[25] >= 4)])  # the last one is the transparency's
        place += 12 + length
    return bits


def _to_srgb(photo: Image.Image, profile: bytes | None, path: str | Path) -> Image.Image:
    """The photo as RGB, its colors by its color profile if it has one."""
    if photo.mode == "LAB":
        profile = profile or LAB
    try:
        transform, mode = _color_transform(profile, photo.mode) if profile else (None, "RGB")
        if transform:
            return transform.apply(photo.convert(mode) if photo.mode != mode else photo)
    except Exception:  # broken profiles raise errors of many kinds
        print(f"{escape(path)}: its color profile is damaged, or of another kind, and is ignored", file=sys.stderr)
    return photo if photo.mode == "RGB" else photo.convert("RGB")


@lru_cache(16)
def _color_transform(profile: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, str]:
    """From a profile's colors to sRGB's, and the mode that it takes; None where the profile is sRGB itself."""
    opened = ImageCms.ImageCmsProfile(BytesIO(profile))
    own = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK", "Lab": "LAB"}[opened.profile.xcolor_space.strip()]
    if own != mode and (own, mode) != ("RGB", "L"):
        raise ValueError("a profile of another kind")
    transform = ImageCms.buildTransform(opened, SRGB, own, "RGB", ImageCms.Intent.PERCEPTUAL)
    if own == "RGB":
        colors = np.stack(np.meshgrid(*[np.linspace(0, 255, 18, dtype=np.uint8)] * 3), axis=-1).reshape(1, -1, 3)
        found = np.asarray(transform.apply(Image.fromarray(colors)), np.int16)
        if np.abs(found - colors).max() <= 2:
            return None, own
    return transform, own


def open_photo(path: str | Path, image_size: int | None = None) -> Image.Image:
    """One photo from a file: see :func:`read_file` and :func:`decode_photo`."""
    return decode_photo(read_file(path), path, image_size)


def read_photo(path: str | Path, image_size: int) -> np.ndarray:
    """One photo as the networks get it, before preprocessing.

    Returns:
        uint8, (image_size, image_size, 3), sRGB, 0 to 255.

    Raises:
        PhotoError: see :func:`read_file` and :func:`decode_photo`.
    """
    return np.asarray(open_photo(path, image_size))


def _read_or_error(path: str | Path, image_size: int, read: Callable) -> tuple[np.ndarray | PhotoError, bytes]:
    try:
        content = read(path)
        return np.asarray(decode_photo(content, path, image_size)), hashlib.sha256(content).digest()
    except PhotoError as error:
        return error, b""


def read_ahead(
    paths: Sequence[str | Path], image_size: int, read: Callable[[Any], bytes] = read_file
) -> Iterator[tuple[np.ndarray | PhotoError, bytes]]:
    """For each path in turn, its pixels or its error, and the file's SHA-256; decoded by several threads.

    ``read`` gives the bytes of a file, as :func:`read_file` does.
    """
    pool, ahead = ThreadPoolExecutor(READERS), deque[Future]()
    try:
        for path in paths:
            ahead.append(pool.submit(_read_or_error, path, image_size, read))
            if len(ahead) > PREFETCH:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for the photos ahead


def data_url(picture: Image.Image, quality: int) -> str:
    """A picture as a JPEG that stands in a web page."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


def rescale(images: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """The blog post's preprocessing: 0..255 to float32 in 0..1. Any shape; a list of images becomes one array."""
    return np.asarray(images, np.float32) * np.float32(1 / 255)


def caffe(images: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """VGG16's own preprocessing, ImageNet's (Caffe): BGR less the channels' means, float32 in about -124..151.

    What ``keras.applications.vgg16.preprocess_input`` does, and what the ImageNet weights were trained on.
    """
    return np.asarray(images, np.float32)[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)


PREPROCESSING = {"rescale": rescale, "caffe": caffe}
