"""Files appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutorial.command_line import TutorialError


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
