"""What the benchmarks, and some tests, share: the machine, timed processes, folders of links, sections of a page."""

import io
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from tutorial.cli import PROJECT
from tutorial.dataset import class_folders, find_photos
from tutorial.files import atomic_write
from tutorial.hdf5 import arrays_in
from tutorial.model_file import PACKAGES

import h5py
import numpy as np
from PIL import Image


def machine() -> str:
    """The processor, as far as it is known, and the packages: "AMD EPYC, 2 cores; tensorflow 2.21.0, ..."."""
    text = Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    found = re.search(r"model name\s*: (.*)", text)
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores; {', '.join(f'{package} {version(package)}' for package in PACKAGES)}"


def preamble(before: str = "", after: str = "") -> list[str]:
    """The first lines of a section: the machine, with what belongs before and after it, and the command."""
    return [f"{before}{machine()}{after}.", command(), ""]


def command() -> str:
    """The command that is running, for its page."""
    return f"`{shlex.join(['python', f'benchmarks/{Path(sys.argv[0]).name}', *sys.argv[1:]])}`"


def spread(values: list[float], form: str) -> str:
    """Mean and range: "0.812 (0.800-0.838)"."""
    mean = format(sum(values) / len(values), form)
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}}-{max(values):{form}})"


def write_section(table: Path, heading: str, title: str, lines: list[str]) -> None:
    """Write the section ``title`` of a Markdown file, in place of the old one; print it."""
    written = "\n".join([f"## {title}", "", *lines]) + "\n"
    old = table.read_text(encoding="utf-8") if table.exists() else ""
    others = [f"## {part.strip()}\n" for part in old.split("\n## ")[1:] if not part.startswith(f"{title}\n")]
    with atomic_write(table) as temporary:
        temporary.write_text("\n".join([heading, *sorted([*others, written])]), encoding="utf-8")
    print(written)


class Clock:
    """A finished process: when it printed what, how long it took (s) and its peak memory (GB)."""

    def __init__(self, *command: object) -> None:
        start = time.monotonic()
        with tempfile.TemporaryFile("w+") as errors:
            arguments = [sys.executable, "-u", *map(str, command)]
            process = subprocess.Popen(arguments, cwd=PROJECT, stdout=subprocess.PIPE, stderr=errors, text=True)
            self.lines = [(time.monotonic() - start, line) for line in process.stdout]
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.seconds = time.monotonic() - start
            self.memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
            if process.returncode:
                errors.seek(0)
                raise SystemExit(f"{' '.join(arguments)} failed:\n{errors.read()}")

    def times(self, pattern: str) -> list[float]:
        """When the lines that match were printed."""
        return [when for when, line in self.lines if re.search(pattern, line)]

    def at(self, pattern: str) -> float:
        """When the last line that matches was printed."""
        return self.times(pattern)[-1]


def linked_photos(data: Path, folder: Path, counts: dict[str, int]) -> Path:
    """A data folder of links to the first photos of each class of ``data``, repeated where there are too few.

    Args:
        data: folder with train/ and validation/.
        folder: to be made.
        counts: photos of each class, by split.
    """
    for split, count in counts.items():
        for name, photos_folder in class_folders(data / split).items():
            (folder / split / name).mkdir(parents=True)
            photos = find_photos(photos_folder).photos
            for i in range(count):
                photo = photos[i % len(photos)]
                (folder / split / name / f"{i:05}{photo.suffix}").symlink_to(photo.resolve())
    return folder


def tensors(path: Path) -> dict[str, np.ndarray]:
    """Every array in an HDF5 file by its path in it."""
    with h5py.File(path) as file:
        return arrays_in(file)


FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF"}


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """Soft random colors, the same each time."""
    colors = np.random.default_rng(0).integers(0, 256, (6, 8, 3))
    return Image.fromarray(np.uint8(colors)).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, suffix: str, **options: object) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, FORMATS[suffix], **options)
    return file.getvalue()
