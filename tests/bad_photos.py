"""A corpus of bad and odd photo files, made anew each time: every one is either a picture or refused in a sentence."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF"}
PAGE = b"<!doctype html><html><body><h1>404</h1><script>alert(1)</script></body></html>"


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """Soft random colors, the same each time."""
    colors = np.random.default_rng(0).integers(0, 256, (6, 8, 3))
    return Image.fromarray(np.uint8(colors)).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, ending: str, **options: object) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, FORMATS[ending], **options)
    return file.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and has next to no data for it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    )


def resized_claim(ending: str, width: int, height: int) -> bytes:
    """A whole file whose header then claims another size."""
    content = bytearray(encoded(picture(), ending))
    if ending == "png":
        return png_of_size(width, height)
    if ending == "jpg":
        start = content.index(b"\xff\xc0") + 5
        content[start : start + 4] = struct.pack(">HH", height % 65536, width % 65536)
    elif ending == "gif":
        content[6:10] = struct.pack("<HH", width % 65536, height % 65536)
    else:  # bmp
        content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def bad(folder: Path) -> list[Path]:
    """Files that hold no picture, whatever they are called."""
    files: dict[str, bytes] = {}
    for ending in FORMATS:
        files[f"page.{ending}"] = PAGE
        files[f"empty.{ending}"] = b""
        files[f"zeros.{ending}"] = bytes(5000)
        for i in range(3):
            files[f"noise{i}.{ending}"] = np.random.default_rng(i).bytes(3000)
        whole = encoded(picture(), ending)
        for percent in range(10, 60, 10):
            files[f"cut{percent}.{ending}"] = whole[: len(whole) * percent // 100]
    for ending in ("png", "jpg", "gif", "bmp"):
        files[f"huge.{ending}"] = resized_claim(ending, 20_000, 20_000)
    for size in ((0, 0), (0, 9), (9, 0)):
        files[f"size{size[0]}x{size[1]}.png"] = png_of_size(*size)
        files[f"size{size[0]}x{size[1]}.bmp"] = resized_claim("bmp", *size)
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    files["bomb.png"] = bomb.getvalue()
    return _written(folder, files)


def odd(folder: Path) -> list[Path]:
    """Files that hold a picture, if an odd one."""
    files: dict[str, bytes] = {}
    photo = picture()
    for ending in FORMATS:
        for other in FORMATS:
            files[f"{ending} called.{other}"] = encoded(photo, ending)
        files[f"pixel.{ending}"] = encoded(Image.new("RGB", (1, 1), "red"), ending)
        files[f"line.{ending}"] = encoded(Image.new("RGB", (300, 1), "red"), ending)
        files[f"more after it.{ending}"] = encoded(photo, ending) + PAGE
    frames = {"save_all": True, "append_images": [photo.rotate(angle) for angle in (90, 180)]}
    for ending in ("gif", "webp", "tif", "png"):
        files[f"frames.{ending}"] = encoded(photo, ending, **frames)
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
    """Files of which some hold a picture still: with bytes changed, or cut short near the end."""
    files: dict[str, bytes] = {}
    for ending in FORMATS:
        whole = encoded(picture(), ending)
        for percent in range(60, 100, 10):
            files[f"cut{percent}.{ending}"] = whole[: len(whole) * percent // 100]
        rng = np.random.default_rng(1)
        for i in range(20):
            changed = np.frombuffer(whole, np.uint8).copy()
            places = rng.integers(0, len(whole) if i % 2 else min(60, len(whole)), 1 + i // 4)
            changed[places] ^= np.uint8(rng.integers(1, 256, len(places)))
            files[f"flipped{i}.{ending}"] = changed.tobytes()
    return _written(folder, files)


def _written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]
