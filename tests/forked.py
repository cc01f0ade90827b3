"""A forked process becomes a command. Without pytest, which a reader's process does not have and which takes time."""

import os
import runpy
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def become(command: list[str], folder: Path, output: list[str], limits: dict[str, int], env: dict[str, str]) -> None:
    """Be ``python command...`` from here on."""
    os.environ.update(env)
    for name, value in limits.items():
        import resource

        resource.setrlimit(getattr(resource, name), (value, value))
    os.chdir(folder)
    for number, path in enumerate([os.devnull, *output]):
        file = os.open(path, os.O_RDWR)
        os.dup2(file, number)
        os.close(file)
    code = command.pop(1) if command[0] == "-c" else ""
    sys.argv[:] = command
    if code:
        exec(code, {"__name__": "__main__"})
    else:
        others = [path for path in sys.path if Path(path).parent != PROJECT]  # not the folders of the tests
        sys.path[:] = [str(Path(folder, command[0]).parent), *others]
        runpy.run_path(command[0], run_name="__main__")
