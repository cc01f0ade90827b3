"""Files by path or by URL of object storage, such as ``s3://bucket/photo.jpg``, as Ray Data reads them: by PyArrow."""

import os
import posixpath
import shutil
from functools import lru_cache
from pathlib import Path

from tutorial.cli import TutorialError
from tutorial.files import atomic_write
from tutorial.images import MAX_BYTES, PhotoError, read_file

from pyarrow import ArrowException, fs


@lru_cache
def _bucket(url: str) -> tuple[fs.FileSystem, str]:
    """The file system of a URL without a path, and where it is there; a connection stays open."""
    return fs.FileSystem.from_uri(url)


def locate(name: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or URL, and the path there. Raises TutorialError if the URL leads nowhere."""
    scheme, found, rest = name.partition("://")
    if not found:
        return fs.LocalFileSystem(), os.path.abspath(name)
    bucket, _, path = rest.partition("/")
    try:
        filesystem, base = _bucket(f"{scheme}://{bucket}/")
    except (ArrowException, OSError, ImportError, ValueError) as error:
        raise TutorialError(f"{name} cannot be reached ({error}): check the address and your credentials.") from None
    return filesystem, posixpath.join(base, path)


def read_anywhere(name: str) -> bytes:
    """The bytes of a file that may be a photo, by its path or URL. Raises PhotoError, see ``images.read_file``."""
    if "://" not in name:
        return read_file(name)
    try:
        filesystem, path = locate(name)
        with filesystem.open_input_file(path) as file:
            if file.size() > MAX_BYTES:
                raise PhotoError(f"{name} has {file.size() / 1e6:,.0f} MB, more than any photo: remove it.")
            return file.read()
    except FileNotFoundError:
        raise PhotoError(f"{name} does not exist.") from None
    except OSError as error:
        raise PhotoError(f"{name} cannot be read ({error}).") from None
    except TutorialError as error:  # of locate
        raise PhotoError(str(error)) from None


def save_anywhere(made: Path, name: str) -> None:
    """Copy a file to a path or URL, whole or not at all. Raises TutorialError if it cannot be written."""
    filesystem, path = locate(name)
    if isinstance(filesystem, fs.LocalFileSystem):
        with atomic_write(Path(path)) as temporary:
            shutil.copyfile(made, temporary)
        return
    try:
        with filesystem.open_output_stream(path) as file:  # object storage shows a file when it is complete
            file.write(made.read_bytes())
    except OSError as error:
        raise TutorialError(f"{name} could not be written ({error}).") from None
