"""Files appear whole or not at all, and large ones only where the disk has room for them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutorial.command_line import TutorialError

SPARE = 200e6  # bytes of disk that are left to others


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Write a file beside its place and rename it into it, so that a reader sees the old file or the new one.

    Yields the path to write to, in the same folder (made if it is missing) and with the same ending.
    On an error the old file stays as it was and the new one is removed.

    Raises:
        TutorialError: the folder cannot be made or written to, or the disk is full.
    """
    beside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=f"-{path.name}", dir=path.parent)
        os.close(handle)
        beside = Path(name)
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        beside.chmod(0o666 & ~_umask())  # mkstemp makes it private; the reader's own setting is meant
        os.replace(beside, path)
        beside = None
    except OSError as error:
        raise TutorialError(f"{path} could not be written ({error.strerror or error}).") from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def has_room(folder: Path, needed: float, what: str, otherwise: str) -> bool:
    """Whether the disk of ``folder`` has room for ``needed`` bytes more; says what will be kept, or why it won't.

    Args:
        folder: it need not exist yet.
        needed: bytes.
        what: is to be kept, in the plural: "the features of 80 photos".
        otherwise: what happens instead where there is too little room.
    """
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free - SPARE:
        print(f"{what} would take {_size(needed)} in {folder}, and {_size(free)} are free: {otherwise}")
        return False
    if needed:
        print(f"{what} are kept in {folder}: {_size(needed)} more ({_size(free)} free)", flush=True)
    return True


def _size(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
