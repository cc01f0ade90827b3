"""HDF5 files from anywhere, read by a process of its own, under limits.

HDF5's library trusts what it reads: one changed byte can crash it, keep it busy for ever, or make it take gigabytes.
Run as a script, this module is that process: an HDF5 file comes in on standard input, its arrays go out.
"""

import json
import os
import subprocess
import sys
from io import BytesIO

import h5py
import numpy as np

MEMORY = 1_000_000_000  # bytes that the process may take, besides three times the file's size
SECONDS = 20  # of computing, where the system limits it; three times as long by the clock


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """All arrays of an HDF5 file, by their paths in it.

    Args:
        content: of the file. Arrays are numbers, stored as they are: not compressed, in chunks, or in another file.

    Raises:
        ValueError: the file is damaged, holds something else, or takes too much memory or time.
    """
    command = [sys.executable, "-P", __file__]  # -P: modules beside this one are not the process's
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads take memory
    try:
        done = subprocess.run(command, input=content, capture_output=True, env=os.environ | alone, timeout=3 * SECONDS)
    except subprocess.TimeoutExpired:
        raise ValueError("reading it takes too long") from None
    if done.stderr.startswith(b"Traceback"):  # it failed, not the file
        raise RuntimeError(done.stderr.decode(errors="replace"))
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() if done.returncode > 0 else []
        raise ValueError(lines[-1] if lines else "HDF5's library cannot read it")
    found, arrays = BytesIO(done.stdout), {}
    while name := found.readline():
        arrays[json.loads(name)] = np.lib.format.read_array(found, allow_pickle=False)
    return arrays


def arrays_in(file: h5py.File) -> dict[str, np.ndarray]:
    """All arrays of an open HDF5 file that is trusted, by their paths in it."""
    found: dict[str, np.ndarray] = {}

    def add(name: str, one: h5py.Group | h5py.Dataset) -> None:
        if isinstance(one, h5py.Dataset):
            found[name] = np.asarray(one[()])

    file.visititems(add)
    return found


def _check(group: h5py.Group, room: int, seen: list) -> int:
    """Refuse a group that holds more than plain arrays of ``room`` bytes in all; returns the bytes that are left."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name!r} is a link")  # perhaps to another file
        one = group[name]
        if one.id in seen:
            raise ValueError(f"{name!r} occurs twice")
        seen.append(one.id)
        if isinstance(one, h5py.Group):
            room = _check(one, room, seen)
        elif not isinstance(one, h5py.Dataset) or one.dtype.kind not in "fiub" or one.shape is None:
            raise ValueError(f"{name!r} is no array of numbers")
        elif one.chunks or one.is_virtual or one.external:
            raise ValueError(f"{name!r} is not stored in one piece")
        elif (room := room - one.nbytes) < 0:
            raise ValueError(f"{name!r} claims {one.size} numbers")
    return room


def _main() -> None:
    content = sys.stdin.buffer.read()
    try:
        import resource

        for what, most in (("AS", MEMORY + 3 * len(content)), ("CPU", SECONDS), ("CORE", 0)):
            resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (most, most))
    except (ImportError, OSError, ValueError):  # Windows has none; a system may have lower ones already
        pass

    try:
        with h5py.File(BytesIO(content)) as file:
            _check(file, len(content), [])
            arrays = arrays_in(file)
    except Exception as error:  # h5py raises errors of many kinds
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
    for name, array in arrays.items():
        one = BytesIO()  # into a buffered pipe, NumPy cannot write
        np.lib.format.write_array(one, array)
        sys.stdout.buffer.write(json.dumps(name).encode() + b"\n" + one.getvalue())


if __name__ == "__main__":
    _main()
