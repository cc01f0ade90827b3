"""Files appear whole or not at all, large ones only where the disk has room for them, and one run's at a time."""

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tutorial.command_line import TutorialError

SPARE = 200e6  # bytes of disk that are left to others
WORTH_SAYING = 1e6  # bytes: less goes without a line
WRITING = ".writing-"  # how the name of a file begins that is not whole yet
UNFINISHED = ".unfinished"  # how the name of one ends that an interrupted run goes on with
LOCK = ".lock"
_held: list[BinaryIO] = []  # the lock's open file: the system takes the lock back however the process ends


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
        handle, name = tempfile.mkstemp(prefix=WRITING, suffix=f"-{path.name}", dir=path.parent)
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


@contextmanager
def continued(path: Path, header: bytes, portion: int) -> Iterator[tuple[BinaryIO, int]]:
    """Write a large file portion by portion; one that an interrupted run left goes on after its last whole portion.

    Args:
        path: the unfinished file. What it is for must be in its name; to rename or remove it is the caller's part.
        header: its first bytes.
        portion: bytes of each portion but the last, which may be smaller.

    Yields:
        The file, opened where the next portion belongs, and how many portions it holds already.

    Raises:
        TutorialError: the folder cannot be written to, or the disk is full; nothing is left then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        done = max(0, path.stat().st_size - len(header)) // portion
        with open(path, "rb+") as file:
            file.write(header)
            file.truncate(len(header) + done * portion)
            file.seek(0, os.SEEK_END)
            yield file, done
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise TutorialError(f"{path} could not be written ({error.strerror or error}).") from error


def hold(folder: Path) -> None:
    """Keep other runs out of a folder until this process ends, and sweep up what killed ones left half written.

    Raises:
        TutorialError: another run is at work there, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK, "ab")  # noqa: SIM115, it stays open
    except OSError as error:
        raise TutorialError(f"{folder} cannot be written to ({error.strerror}): name another --weights-dir.") from None
    if not _locked(file):
        raise TutorialError(f"another run is at work in {folder}: wait for its end, or give another --weights-dir.")
    _held.append(file)
    for path in folder.rglob(f"{WRITING}*"):
        if next(above for above in path.parents if (above / LOCK).exists()) == folder:  # and not below it, in another's
            path.unlink(missing_ok=True)


def _locked(file: BinaryIO) -> bool:
    """Whether no other process has locked the file; this one has now."""
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
    if needed >= WORTH_SAYING:
        print(f"{what} are kept in {folder}: {_size(needed)} more ({_size(free)} free)", flush=True)
    return True


def _size(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
