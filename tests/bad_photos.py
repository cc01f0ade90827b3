"""A corpus of bad and odd photo files: every one is either a picture or refused in a sentence."""

import io
import struct
import zlib
from pathlib import Path

from pictures import png_file
from report import FORMATS, encoded, picture

import numpy as np
from PIL import Image

PAGE = b"<!doctype html><html><body><h1>404</h1><script>alert(1)</script></body></html>"


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size for which it has no data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png_file((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10))))


def resized_claim(suffix: str, width: int, height: int) -> bytes:
    """A valid file whose header claims another size."""
    content = bytearray(encoded(picture(), suffix))
    if suffix == "png":
        return png_of_size(width, height)
    if suffix == "jpg":
        start = content.index(b"\xff\xc0") + 5
        content[start : start + 4] = struct.pack(">HH", height % 65536, width % 65536)
    elif suffix == "gif":
        content[6:10] = struct.pack("<HH", width % 65536, height % 65536)
    else:  # bmp
        content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def bad(folder: Path) -> list[Path]:
    """Files without a picture, whatever their suffix."""
    files: dict[str, bytes] = {}
    for suffix in FORMATS:
        files[f"page.{suffix}"] = PAGE
        files[f"empty.{suffix}"] = b""
        files[f"zeros.{suffix}"] = bytes(5000)
        for i in range(3):
            files[f"noise{i}.{suffix}"] = np.random.default_rng(i).bytes(3000)
        whole = encoded(picture(), suffix)
        for percent in range(10, 60, 10):
            files[f"cut{percent}.{suffix}"] = whole[: len(whole) * percent // 100]
    for suffix in ("png", "jpg", "gif", "bmp"):
        files[f"huge.{suffix}"] = resized_claim(suffix, 20_000, 20_000)
    for size in ((0, 0), (0, 9), (9, 0)):
        files[f"size{size[0]}x{size[1]}.png"] = png_of_size(*size)
        files[f"size{size[0]}x{size[1]}.bmp"] = resized_claim("bmp", *size)
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    files["bomb.png"] = bomb.getvalue()
    return _written(folder, files)


def odd(folder: Path) -> list[Path]:
    """Files with a picture, in odd forms."""
    files: dict[str, bytes] = {}
    photo = picture()
    for suffix in FORMATS:
        for other in FORMATS:
            files[f"{suffix} called.{other}"] = encoded(photo, suffix)
        files[f"pixel.{suffix}"] = encoded(Image.new("RGB", (1, 1), "red"), suffix)
        files[f"line.{suffix}"] = encoded(Image.new("RGB", (300, 1), "red"), suffix)
        files[f"trailing bytes.{suffix}"] = encoded(photo, suffix) + PAGE
    frames = {"save_all": True, "append_images": [photo.rotate(angle) for angle in (90, 180)]}
    for suffix in ("gif", "webp", "tif", "png"):
        files[f"frames.{suffix}"] = encoded(photo, suffix, **frames)
    gray = photo.convert("L")
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        image = (gray if mode == "I;16" else photo).convert(mode)
        files[f"mode {mode.replace(';', ' ')}.png"] = encoded(image, "png")
    for mode in ("CMYK", "F", "1", "L"):
        files[f"mode {mode}.tif"] = encoded((gray if mode == "F" else photo).convert(mode), "tif")
    for mode in ("CMYK", "YCbCr", "L"):
        files[f"mode {mode}.jpg"] = encoded(photo.convert(mode), "jpg")
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        files[f"turned {turn}.jpg"] = encoded(photo, "jpg", exif=exif)
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    files["long exif.jpg"] = encoded(photo, "jpg", exif=exif)
    files["broken exif.jpg"] = encoded(photo, "jpg", exif=b"Exif\0\0MM" + bytes(range(256)))
    for name in (
        "猫 кот قطة",
        "e\u0301",
        "🐈\u200d⬛",
        "a'b&c;$(d) `e`",
        "<b onclick=alert(1)>",
        "x" * 200,
        "-rf",
        "%s{0}",
    ):
        files[f"{name}.jpg"] = encoded(photo, "jpg")
    return _written(folder, files)


def unknown(folder: Path) -> list[Path]:
    """Damaged files, some of which still contain a picture: with bytes changed, or truncated near the end."""
    files: dict[str, bytes] = {}
    for suffix in FORMATS:
        whole = encoded(picture(), suffix)
        for percent in range(60, 100, 10):
            files[f"cut{percent}.{suffix}"] = whole[: len(whole) * percent // 100]
        rng = np.random.default_rng(1)
        for i in range(20):
            changed = np.frombuffer(whole, np.uint8).copy()
            positions = rng.integers(0, len(whole) if i % 2 else min(60, len(whole)), 1 + i // 4)
            changed[positions] ^= np.uint8(rng.integers(1, 256, len(positions)))
            files[f"flipped{i}.{suffix}"] = changed.tobytes()
    return _written(folder, files)


def _written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]
