"""The parts' common flags, and how a part tells the reader about an error or its progress."""

import argparse
import io
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

RECIPES = ("tutorial", "improved")  # the texts' numbers; and what answers the limitations that they name
LIMITS = {  # of the settings that are no share, 0 to 1
    "epochs": (1, math.inf),
    "batch_size": (1, math.inf),
    "views": (0, math.inf),
    "blocks": (1, 4),
    "enlarged": (32, math.inf),
    "rotation": (0, 180),
}
Settings = dict[str, tuple]  # a part's settings: name: (its value in the first recipe, in the second)

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


def part_parser(description: str, example: str, settings: Settings) -> argparse.ArgumentParser:
    """The flags that all three parts take; :func:`part_settings` reads the settings from them."""
    data, weights = project_path("data"), project_path("weights")
    p = parser(description, example)
    p.set_defaults(settings=settings)
    add = p.add_argument
    text = "folder with train/<class>/ and validation/<class>/, and test/<class>/ if you like (default: %(default)s)"
    add("--data", type=Path, metavar="DIR", default=data, help=text)
    text = "the texts' numbers, or what answers their limitations (default: %(default)s)"
    add("--recipe", choices=RECIPES, default=RECIPES[0], help=text)
    for name, text in (("epochs", "passes over the training photos"), ("batch_size", "photos a training step")):
        help_text = f"{text} ({defaults(settings[name])})"
        add(f"--{name.replace('_', '-')}", type=positive_int, metavar="N", help=help_text)
    add("--seed", type=seed_number, metavar="N", default=0, help="same seed, same machine: same result (default: 0)")
    text = f"folder for everything the part saves (default: {weights}; improved: {weights / RECIPES[1]})"
    add("--weights-dir", type=Path, metavar="DIR", help=text)
    text = "begin anew, whatever an interrupted run has left"
    add("--restart", action="store_true", help=text)
    text = "change one of the recipe's settings, which the top of the script lists; may be given again"
    add("--set", action="append", metavar="NAME=VALUE", default=[], help=text)
    return p


def defaults(values: tuple) -> str:
    """A setting's values in words: "tutorial: 30; improved: 60"."""
    return "; ".join(f"{recipe}: {value}" for recipe, value in zip(RECIPES, values, strict=True))


def weights_dir(recipe: str) -> Path:
    """Where a recipe's parts save if nothing else is said: the texts' in ``weights``, the others below it."""
    folder = project_path("weights")
    return folder if recipe == RECIPES[0] else folder / recipe


def pretrained_dir() -> Path:
    """Where the models lie that come with the tutorial; no part saves there."""
    return project_path("weights/pretrained")


def part_settings(args: argparse.Namespace) -> SimpleNamespace:
    """The part's settings: those of the recipe, changed by the flags.

    Also fills in ``args.weights_dir``, and ``args.begun``, ``time.monotonic()`` now.

    Raises:
        TutorialError: ``--set`` names no setting, or its value is not of the setting's kind; or the weights are to go
            where the tutorial's own are.
    """
    column = RECIPES.index(args.recipe)
    chosen = {name: values[column] for name, values in args.settings.items()}
    flags = {name: given for name in args.settings if (given := getattr(args, name, None)) is not None}
    for text in args.set:
        name, _, value = text.partition("=")
        if chosen.get(name) is None:
            known = ", ".join(name for name, value in chosen.items() if value is not None)
            raise TutorialError(f"--set {text}: the {args.recipe} recipe has no setting {name!r}; it has {known}.")
        kind = type(next(one for one in args.settings[name] if one is not None))
        least, most = LIMITS.get(name, (0, 1))
        try:
            flags[name] = {"True": True, "False": False}[value] if kind is bool else kind(value)
            if not least <= flags[name] <= most:
                raise ValueError(value)
        except (ValueError, KeyError):
            wanted = f"{'a whole number' if kind is int else 'a number'} from {least}"
            wanted = "True or False" if kind is bool else wanted + f" to {most}" * (most < math.inf)
            raise TutorialError(f"--set {text}: {name} takes {wanted}.") from None
    args.begun = time.monotonic()
    if args.weights_dir is None:
        args.weights_dir = weights_dir(args.recipe)
    if args.weights_dir.resolve() == pretrained_dir().resolve():
        raise TutorialError(f"{args.weights_dir} holds the models that came with the tutorial: name another folder.")
    return SimpleNamespace(**{**chosen, **flags})


def same_choices(args: argparse.Namespace) -> str:
    """The flags that another part needs to go on where this one worked: "" where they are the defaults."""
    given = [
        ("--data", args.data, project_path("data")),
        ("--recipe", args.recipe, RECIPES[0]),
        ("--weights-dir", args.weights_dir, weights_dir(args.recipe)),
    ]
    return "".join(f" {flag} {shlex.quote(str(value))}" for flag, value, default in given if value != default)


def visible(text: object, kept: str = "\u200d") -> str:
    """The text with its control characters written out, so that no file's name or content can drive the terminal.

    Args:
        text: anything that ``str`` takes.
        kept: characters to leave; as it is, the one that joins emoji.
    """
    return "".join(one if one.isprintable() or one in kept else repr(one)[1:-1] for one in str(text))


class _Visible:
    """Standard output with control characters written out; :class:`ProgressLine` has the terminal itself."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(visible(text, "\n\t\u200d"))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def run(main: Callable[[], int | None], continues: bool = False) -> int:
    """Run a script's ``main`` and return its exit status: 2 with one sentence for a TutorialError, 130 for Ctrl-C.

    Args:
        main: the script's.
        continues: whether the same command goes on where it was stopped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name the terminal cannot show must not end the run
    sys.stdout = _Visible(sys.stdout)
    try:
        return main() or 0
    except TutorialError as error:
        sys.stdout.flush()
        print(f"error: {visible(error)}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the output, "head" say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        command = shlex.join(["python", *(word for word in sys.argv if word != "--restart")])
        how = f"; the same command continues: {command}" if continues else "."
        print(f"\nstopped{visible(how)}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(130)  # at once: Python would wait for threads that are still busy with a batch


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Keep off the terminal what libraries written in C say there, past Python: only the file descriptor stops it."""
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


class ProgressLine:
    """One line on a terminal that counts up and says how long it will still take; silent where output is a file."""

    def __init__(self, what: str, total: int, before: int = 0) -> None:
        self.what, self.total, self.before = what, total, before  # done by an earlier run
        self.start = self.shown = time.monotonic()
        self.terminal = sys.stdout.isatty()

    def update(self, done: int) -> None:
        """Show that ``done`` of ``total`` are finished, at most twice a second."""
        now = time.monotonic()
        if self.terminal and self.before < done < self.total and now - self.shown > 0.5:
            self.shown = now
            left = (now - self.start) / (done - self.before) * (self.total - done)
            line = f"{visible(self.what)}: {done} of {self.total}, {duration(left)} left"
            print(f"\r\x1b[K{line}", end="", flush=True, file=sys.__stdout__)

    def clear(self) -> None:
        """Remove the line, so that the next print starts on a clean one."""
        if self.terminal:
            print("\r\x1b[K", end="", flush=True, file=sys.__stdout__)
