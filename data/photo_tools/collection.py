"""The collected photos of one class: only real ones, none twice, and each in a table with its author and license."""

import csv
import hashlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

from tutorial.cli import TutorialError
from tutorial.dataset import find_photos
from tutorial.files import atomic_write
from tutorial.images import PhotoError, open_photo
from tutorial.prediction_files import no_formula

from PIL import Image

COLUMNS = ("file", "source_page", "author", "license", "license_url", "query", "sha256")
LONGEST = 1000  # characters of a cell or a URL: the longest of Wikimedia's have about 800
REFUSED_COLUMNS = ("photo", "reason")
# Formats that are kept, and the suffix of each. A short list: Pillow also reads formats that are programs (EPS).
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif", "BMP": ".bmp"}


@dataclass(frozen=True)
class FoundPhoto:
    """A photo that a search has found."""

    key: str  # "flickr-123": unique, and fit for a file name
    urls: tuple[str, ...]  # the file, best size first
    source_page: str  # for people: the photo with its author and license
    author: str
    license: str
    license_url: str
    query: str


def _plain(text: str) -> str:
    """Text for one cell: one line, not too long, no control characters, and no formula that a spreadsheet would run."""
    return no_formula(" ".join("".join(c if c.isprintable() else " " for c in text).split()))[:LONGEST]


class Table:
    """A CSV file that only grows. A row is on the disk when :meth:`add` returns; one truncated by a crash is removed.

    Raises:
        TutorialError: the file has other columns, or cannot be read or written.
    """

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path, self.columns = path, columns
        try:
            content = path.read_bytes() if path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]  # no cell has a line break, so a row is a line
            tail = content[len(whole) :]
            row = next(iter(self._parse(tail)), [])
            complete = len(row) == len(columns) and re.fullmatch("[0-9a-f]{64}", row[-1])
            ours = [b"flickr-", b"openverse-"] if whole else [self._line(columns)]  # how a line of collect.py begins
            if tail and not complete and any(tail.startswith(one) or one.startswith(tail) for one in ours):
                os.truncate(path, len(whole))
            elif tail:  # an editor left the last line without its end
                self._append(b"\n")
                whole = content
            first, *rows = self._parse(whole) or [list(columns)]
        except (OSError, csv.Error) as error:
            error = getattr(error, "strerror", None) or error
            raise TutorialError(f"{path} cannot be read or written ({error}).") from None
        if tuple(first) != columns:
            raise TutorialError(
                f"{path} does not begin with the columns {','.join(columns)}: put the original back, "
                "or move it away together with its photos."
            )
        self.rows = [dict(zip(columns, row, strict=True)) for row in rows if len(row) == len(columns)]

    @staticmethod
    def _parse(content: bytes) -> list[list[str]]:
        text = content.decode("utf-8-sig", "replace").replace("\0", "")
        return list(csv.reader(io.StringIO(text, newline="")))

    @staticmethod
    def _line(cells: tuple[str, ...]) -> bytes:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        return line.getvalue().encode("utf-8", "replace")

    def _append(self, line: bytes) -> None:
        with open(self.path, "ab", buffering=0) as file:
            file.write(line)
            os.fsync(file.fileno())

    def add(self, **cells: str) -> None:
        """Append a row: one cell for each column, see :func:`_plain`."""
        row = {name: _plain(cells[name]) for name in self.columns}
        line = self._line(tuple(row.values()))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            begun = self.path.exists() and self.path.stat().st_size
            self._append(line if begun else self._line(self.columns) + line)
        except OSError as error:
            raise TutorialError(f"{self.path} could not be written ({error.strerror or error}).") from None
        self.rows.append(row)


class Collection:
    """The photos in a folder, with ``attribution.csv``, and with ``refused.csv`` for those that were not kept.

    A photo without a row comes from a crash between the two: it gets its row when the search finds it again. A row
    without a photo comes from a reader who removed it: the photo is not fetched again.

    Raises:
        TutorialError: a table has other columns, or the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept = Table(folder / "attribution.csv", COLUMNS)
        self._refused = Table(folder / "refused.csv", REFUSED_COLUMNS)
        rows = self._kept.rows
        here = {path.relative_to(folder).as_posix(): path for path in find_photos(folder).photos}
        files = {row["file"] for row in rows}
        self.count = len(files & here.keys())  # photos with a row
        self.removed = len(files - here.keys())  # rows whose photo the reader took away
        self.without_row = {path.stem: path for name, path in here.items() if name not in files}
        self._keys = {Path(name).stem for name in files} | {row["photo"] for row in self._refused.rows}
        self._pages = {row["source_page"] for row in rows}
        self._digests = {row["sha256"] for row in rows}

    def knows(self, photo: FoundPhoto) -> bool:
        """Whether this photo was kept or refused before, here or under another source's key."""
        page = _plain(photo.source_page.rstrip("/"))
        return photo.key in self._keys or (page != "" and page in self._pages)

    def keep(self, photo: FoundPhoto, content: bytes) -> str | None:
        """Save a photo, then its row in the table.

        Returns:
            None, or the reason why it is not kept.

        Raises:
            TutorialError: the folder cannot be written to.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 in self._digests:
            return "the same file as another"
        try:
            with Image.open(io.BytesIO(content), formats=list(SUFFIXES)) as image:
                suffix = SUFFIXES.get(image.format or "", ".jpg")  # else it is MPO, a JPEG with two pictures
                path = self.folder / (photo.key + suffix)
        except Exception:  # each of Pillow's decoders raises errors of its own for broken data
            return "not a photo"
        try:
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)
                open_photo(temporary)
        except PhotoError:
            return "broken or truncated"
        self._kept.add(
            file=path.name,
            source_page=photo.source_page.rstrip("/"),
            author=photo.author,
            license=photo.license,
            license_url=photo.license_url,
            query=photo.query,
            sha256=sha256,
        )
        self.count += 1
        self.without_row.pop(photo.key, None)
        self._keys.add(photo.key)
        self._pages.add(self._kept.rows[-1]["source_page"])
        self._digests.add(sha256)
        return None

    def refuse(self, photo: FoundPhoto, reason: str) -> None:
        """Remember a photo that cannot be kept, so that it is not fetched again."""
        self._refused.add(photo=photo.key, reason=reason)
        self._keys.add(photo.key)
