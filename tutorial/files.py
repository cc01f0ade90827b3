"""Files appear whole or not at all, large ones only where the disk has room, and one run at a time uses a folder."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from tutorial.cli import TutorialError, echo

RESERVE = 200e6  # bytes of disk that are left free
TEMPORARY = ".tmp-tutorial-"  # how the name of a file begins that is not complete yet
PROCESS = token_hex(4)  # this run's mark in those names, which its lock has, too
LOCK = ".lock"
_locks: dict[Path, BinaryIO] = {}  # open files: the system releases the lock however the process ends


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write to a temporary file and rename it, so that a reader sees the old file or the new one.

    Yields the path to write to, in the same folder (made if it is missing) and with the same suffix. On an error the
    old file stays as it was and the temporary one is removed.

    Raises:
        TutorialError: the folder cannot be made or written to, the disk is full, or the path is "" or a device.
    """
    if not path.name:
        raise TutorialError(f"{path} is a folder: name a file in it.")
    if path.parent == Path("/dev"):
        raise TutorialError(f"{path} is a device, which a file would replace: name a file in another folder.")
    temporary = path.with_name(f"{TEMPORARY}{PROCESS}-{token_hex(4)}-{path.name[-50:]}")  # names have a limit
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        with suppress(OSError):  # or a power failure could take the name; Windows opens no folders
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise TutorialError(f"{path} could not be written ({error.strerror or error}).") from error
    finally:
        with suppress(OSError):  # after an error it may be there
            temporary.unlink()


def lock(folder: Path) -> None:
    """Keep other runs out of a folder until this process ends, and remove the temporary files of runs that were killed.

    Raises:
        TutorialError: another run is using the folder, or it cannot be written to.
    """
    if folder.resolve() in _locks:  # by this process: a part that runs again in a notebook
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK, "a+b", buffering=0)  # noqa: SIM115, it stays open
        if not _acquire(file):
            raise TutorialError(f"another run is using {folder}: wait until it finishes, or name another folder.")
        file.seek(0)
        for before in re.findall("[0-9a-f]{8}", file.read(100_000).decode("ascii", "replace")):
            for path in folder.rglob(f"{TEMPORARY}{before}-*"):
                path.unlink(missing_ok=True)
        file.truncate(0)
        file.write(f"{PROCESS}\n".encode())
    except OSError as error:
        raise TutorialError(f"{folder} cannot be written to ({error.strerror}): name another folder.") from None
    _locks[folder.resolve()] = file


def _acquire(file: BinaryIO) -> bool:
    """Whether no other process has locked the file; this one has now."""
    file.seek(2**30)  # Windows locks a byte, here one that nobody reads or writes
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)  # else: there are no locks here
    return True


def has_room(folder: Path, needed: float, what: str, otherwise: str) -> bool:
    """Whether the disk has room for ``needed`` more bytes; prints how much is written, or why nothing is.

    Args:
        folder: need not exist yet.
        needed: bytes.
        what: is to be written, in the plural: "bottleneck features of 80 photos".
        otherwise: what happens instead where there is too little room.
    """
    existing = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.is_dir())
    free = shutil.disk_usage(existing).free
    if needed > free - RESERVE:
        echo(f"{what} need {_size(needed)} in {folder}, and {_size(free)} are free: {otherwise}")
        return False
    if needed >= 1e6:  # less is not worth a line
        echo(f"{what}: {_size(needed)} in {folder} ({_size(free)} free)")
    return True


def _size(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
