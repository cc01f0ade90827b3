"""Picture files put together byte by byte, which Pillow cannot write."""

import struct
import zlib

import numpy as np

SHORT, LONG = 3, 4  # TIFF's types


def tiff(*pages: tuple[dict[int, tuple[int, ...]], bytes]) -> bytes:
    """A little-endian, uncompressed TIFF: for each page its tags, which are SHORTs, and its pixels."""
    content = bytearray(b"II*\0\0\0\0\0")
    link = 4  # where the address of the next page's tags is written
    for tags, pixels in pages:
        strip = len(content)
        content += pixels + bytes(len(pixels) % 2)
        entries = []
        for tag, values in sorted({**tags, 273: (strip,), 279: (len(pixels),)}.items()):
            kind, form = (LONG, "I") if tag in (254, 273, 279) else (SHORT, "H")
            packed = struct.pack(f"<{len(values)}{form}", *values)
            if len(packed) > 4:
                place, packed = len(content), b""
                content += struct.pack(f"<{len(values)}{form}", *values)
                packed = struct.pack("<I", place)
            entries.append(struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0"))
        content[link : link + 4] = struct.pack("<I", len(content))
        content += struct.pack("<H", len(entries)) + b"".join(entries)
        link = len(content)
        content += bytes(4)
    return bytes(content)


def gray_tiff(pixels: np.ndarray, bits: int = 16, white_is_zero: bool = False, **more: int) -> bytes:
    """One page of grayscale, 16 bits a pixel or 12 packed ones; ``more`` tags as t339=2."""
    height, width = pixels.shape
    tags = {256: (width,), 257: (height,), 258: (bits,), 259: (1,), 262: (0 if white_is_zero else 1,), 277: (1,)}
    tags |= {278: (height,)} | {int(name[1:]): (value,) for name, value in more.items()}
    if bits == 12:
        first, second = pixels.reshape(-1, 2).T.astype(np.uint16)
        packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8)
        return tiff((tags, packed.tobytes()))
    return tiff((tags, pixels.astype("<i2" if more.get("t339") == 2 else "<u2").tobytes()))


def png(pixels: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A 16-bit PNG of (height, width) grayscale or (height, width, 3) colors, with further chunks after its header."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    return png_file((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)))


def png_file(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, (kind, data), and the last, IEND."""
    every = [*chunks, (b"IEND", b"")]
    written = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in every
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def exif(*tags: tuple[int, int, int, bytes]) -> bytes:
    """An EXIF block with these tags, (number, type, count, four bytes), and orientation 6 unless it is among them."""
    tags = tuple(sorted(tags if any(tag[0] == 274 for tag in tags) else [*tags, (274, SHORT, 1, b"\6\0\0\0")]))
    entries = b"".join(struct.pack("<HHI", number, kind, count) + value for number, kind, count, value in tags)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
