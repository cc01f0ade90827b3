"""What every script shares: one-sentence errors, flags, printed lines and the progress bar."""

import argparse
import errno
import io
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

JOINERS = "\u200c\u200d"  # Persian and other scripts, and emoji, are written with them
PROJECT = Path(__file__).resolve().parent.parent


class TutorialError(Exception):
    """Something the reader can put right: one sentence that names the file or setting and the remedy."""


def project_path(name: str) -> Path:
    """A path in the project's folder, relative to the current folder where that is possible."""
    try:
        return Path(os.path.relpath(PROJECT / name))
    except ValueError:  # Windows: the project is on another drive
        return PROJECT / name


def number_type(
    name: str, least: float, most: float = math.inf, kind: Callable[[str], float] = int
) -> Callable[[str], float]:
    """An argparse type: a number within limits. It raises ValueError otherwise, which argparse reports."""

    def convert(text: str) -> float:
        number = kind(text)
        if not least <= number <= most:
            raise ValueError(text)
        return number

    convert.__name__ = name  # argparse: "invalid <name> value"
    return convert


positive_int = number_type("whole number (1 or more)", 1)
seed_number = number_type("seed (0 to 4294967295)", 0, 2**32 - 1)  # NumPy's range
probability = number_type("probability (0 to 1)", 0, 1, float)


def file_path(text: str) -> Path:
    """An argparse type: a path; ``~`` is the home folder, which not every shell replaces after an equals sign."""
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise ValueError(text)
    return Path(path)


file_path.__name__ = "path (~ must be followed by / or a user's name)"


def parser(doc: str | None) -> argparse.ArgumentParser:
    """An argument parser whose ``--help`` begins with the script's docstring, examples included."""
    return argparse.ArgumentParser(
        description=(doc or "").replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def escape(text: object) -> str:
    """The text with its control characters escaped, so that no file name or file content can drive the terminal."""
    return "".join(one if one.isprintable() or one in JOINERS else repr(one)[1:-1] for one in str(text))


def echo(text: object) -> None:
    """Print one line that may contain names from outside: escaped, and at once."""
    print(escape(text), flush=True)


def run(main: Callable[[], int | None], resumable: bool = False) -> int:
    """Run a script's ``main`` and return its exit status: 2 with one sentence for a TutorialError, 130 for Ctrl-C.

    Args:
        main: the script's.
        resumable: whether the same command resumes what was interrupted.
    """
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.default_int_handler(number, frame)

    before = signal.getsignal(signal.SIGINT)
    ours = before in (signal.SIG_DFL, signal.default_int_handler)  # by tutorial/__init__.py; in a notebook
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    errors = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")  # a file name the terminal cannot show must not end the run
    try:
        try:
            status = main() or 0
            sys.stdout.flush()
            return status
        finally:
            if ProgressBar.current:  # it hides the cursor
                ProgressBar.current.close()
    except TutorialError as error:
        if interrupted:  # which made another error of it
            return _stopped(resumable)
        sys.stdout.flush()
        print(f"error: {escape(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno is None:
            raise
        what, remedy = f"{error.filename} cannot be read or written", "check its disk"
        nowhere = os.open(os.devnull, os.O_WRONLY)  # for what Python flushes again at its end
        if not error.filename:
            what, remedy = "the output could not be written", "make room"
            os.dup2(nowhere, sys.stdout.fileno())
        if error.errno == errno.EPIPE:  # the reader of the output, such as "head", has ended
            return 1
        try:
            print(f"error: {escape(what)} ({error.strerror}): {remedy}.", file=sys.stderr)
        except OSError:  # on a terminal that is gone
            os.dup2(nowhere, sys.stderr.fileno())
        return 2
    except (KeyboardInterrupt, Exception) as error:
        if interrupted or isinstance(error, KeyboardInterrupt):  # TensorFlow's C++ code can turn it into a TypeError
            return _stopped(resumable)
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":  # TensorFlow's
            raise
        remedy = "close other programs; to train, use a smaller --batch-size"
        print(f"error: there is not enough memory: {remedy}.", file=sys.stderr)
        return 2
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
        for stream, error_handler in zip(streams, errors, strict=True):
            with suppress(OSError):
                stream.reconfigure(errors=error_handler)


def _stopped(resumable: bool) -> int:
    command = command_line("python", *(word for word in sys.argv if word != "--restart"))
    how = f"; the same command resumes: {command}" if resumable else "."
    print(f"\nstopped{escape(how)}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    if "ipykernel" not in sys.modules:  # in a notebook the process is not ours
        os._exit(130)  # at once: Python would wait for threads that are still busy with a batch
    return 130


def command_line(*words: str) -> str:
    """A command as one types it in this system's shell."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Silence C and C++ libraries, which write to the terminal past Python: only the file descriptor stops them."""
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def duration(seconds: float) -> str:
    """Seconds in words: "8 s", "3 min" or "1 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class ProgressBar:
    """A progress bar with the time left, for what takes longer than a second; none where the output is a file, or while
    there is another.

    Args:
        description: what is counted.
        total: steps in all.
        done: steps that an earlier run has done.
    """

    current: "ProgressBar | None" = None

    def __init__(self, description: str, total: int, done: int = 0) -> None:
        self.bar, self.shown = None, time.monotonic() + 0.75
        if sys.stdout.isatty() and not (ProgressBar.current and ProgressBar.current.bar):
            from rich import progress, table

            last = table.Column(no_wrap=True, ratio=1)  # cut off where the terminal is narrow
            columns = progress.BarColumn(10), progress.MofNCompleteColumn(), progress.TimeRemainingColumn(compact=True)
            text = progress.TextColumn("left: {task.description}", markup=False, table_column=last)
            self.bar = progress.Progress(
                *columns, text, transient=True, auto_refresh=False, expand=True, speed_estimate_period=3600
            )
            ProgressBar.current = self
            self.task = self.bar.add_task(escape(description), total=total, completed=done)

    def update(self, done: int) -> None:
        """Show that ``done`` steps are finished, at most four times a second."""
        if self.bar:
            now = time.monotonic()
            self.bar.update(self.task, completed=done)
            if now - self.shown > 0.25:
                self.bar.start()
                self.bar.refresh()
                self.shown = now

    def close(self) -> None:
        """Remove the bar."""
        if self.bar:
            self.bar.stop()
            self.bar = None
