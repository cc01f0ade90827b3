"""The parts' common flags, and how a part tells the reader about an error or its progress."""

import argparse
import math
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


class TutorialError(Exception):
    """Something the reader can put right: one sentence that names the file or setting and the remedy."""


def project_path(name: str) -> Path:
    """A path in the project's folder, written relative to the current folder where that is possible."""
    try:
        return Path(os.path.relpath(PROJECT / name))
    except ValueError:  # Windows: the project lies on another drive
        return PROJECT / name


def whole_number(name: str, least: int, most: float = math.inf) -> Callable[[str], int]:
    """An argparse type: a whole number within limits. It raises ValueError otherwise, which argparse reports."""

    def convert(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError(text)
        return number

    convert.__name__ = name  # argparse: "invalid <name> value"
    return convert


positive_int = whole_number("whole number (1 or more)", 1)
count_or_zero = whole_number("whole number (0 or more)", 0)
seed_number = whole_number("seed (0 to 4294967295)", 0, 2**32 - 1)  # NumPy's range


def parser(description: str, example: str) -> argparse.ArgumentParser:
    """An argument parser whose ``--help`` ends with one example."""
    return argparse.ArgumentParser(
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def part_parser(description: str, example: str, epochs: int, batch_size: int) -> argparse.ArgumentParser:
    """The flags that all three parts take."""
    data, weights = project_path("data"), project_path("weights")
    p = parser(description, example)
    for flag, of, default, text in (
        ("--data", Path, data, "folder with train/<class>/ and validation/<class>/"),
        ("--epochs", positive_int, epochs, "passes over the training photos"),
        ("--batch-size", positive_int, batch_size, "photos a training step"),
        ("--seed", seed_number, 0, "same seed, same machine: same result"),
        ("--weights-dir", Path, weights, "folder for everything the part saves"),
    ):
        unit = "DIR" if of is Path else "N"
        p.add_argument(flag, type=of, metavar=unit, default=default, help=f"{text} (default: %(default)s)")
    return p


def same_folders(args: argparse.Namespace) -> str:
    """The folder flags that another part needs to go on where this one worked: "" where they are the defaults."""
    given = [("--data", args.data, "data"), ("--weights-dir", args.weights_dir, "weights")]
    return "".join(f" {flag} {shlex.quote(str(path))}" for flag, path, name in given if path != project_path(name))


def run(main: Callable[[], int | None]) -> int:
    """Run a script's ``main`` and return its exit status: 2 with one sentence for a TutorialError, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a file name the terminal cannot show must not end the run
    try:
        return main() or 0
    except TutorialError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the output, "head" say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("\nstopped.", file=sys.stderr)
        return 130


def duration(seconds: float) -> str:
    """Seconds in words: "8 s", "3 min" or "1 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class ProgressLine:
    """One line on a terminal that counts up and says how long it will still take; silent where output is a file."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.start = self.shown = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def update(self, done: int) -> None:
        """Show that ``done`` of ``total`` are finished, at most twice a second."""
        now = time.monotonic()
        if self.terminal and 0 < done < self.total and now - self.shown > 0.5:
            self.shown = now
            left = (now - self.start) / done * (self.total - done)
            print(f"\r\x1b[K{self.what}: {done} of {self.total}, {duration(left)} left", end="", flush=True)

    def clear(self) -> None:
        """Remove the line, so that the next print starts on a clean one."""
        if self.terminal:
            print("\r\x1b[K", end="", flush=True)
