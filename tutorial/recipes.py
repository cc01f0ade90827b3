"""A part's flags, and the settings of its recipe as the flags change them."""

import argparse
import ast
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tutorial.cli import (
    TutorialError,
    command_line,
    file_path,
    number_type,
    parser,
    positive_int,
    project_path,
    seed_number,
)

Recipes = dict[str, dict[str, Any]]
DEFAULT = "original"
FLAGS = {  # settings that have a flag of their own
    "epochs": (positive_int, "passes over the training photos"),
    "batch_size": (positive_int, "photos in a training step"),
    "cached_copies": (
        number_type("whole number (0 or more)", 0),
        "augmented copies of each training photo whose activations are cached; 0: new ones in every epoch, as in the "
        "blog post",
    ),
}
LIMITS = {  # of settings that are not fractions, 0 to 1
    "epochs": (1, math.inf),
    "batch_size": (1, math.inf),
    "steps": (1, math.inf),
    "C": (0, math.inf),
    "cached_copies": (0, math.inf),
    "image_size": (32, 1024),  # pixels
    "rotation_range": (0, 180),
}


def weights_dir(recipe: str) -> Path:
    """Where a recipe's parts save by default: the original recipe's in ``weights``, the others in folders below it."""
    folder = project_path("weights")
    return folder if recipe == DEFAULT else folder / recipe


def pretrained_dir() -> Path:
    """The folder of the models that come with the tutorial; no part saves there."""
    return project_path("weights/pretrained")


def own_folders() -> list[Path]:
    """The folders in which the parts save by default: ``weights/``, then the recipes' folders in it."""
    own = weights_dir(DEFAULT)
    return [own, *sorted(set(own.glob("*/")) - {pretrained_dir()})]


def parse_settings(doc: str, recipes: Recipes) -> tuple[argparse.Namespace, SimpleNamespace]:
    """Parse a part's command line.

    Args:
        doc: the script's docstring, for ``--help``.
        recipes: the script's; every recipe is a dict of settings, of which those in a dict of their own (augmentation)
            are set by ``--set augmentation.zoom_range=0.3``.

    Returns:
        The flags, with ``begun``, ``time.monotonic()`` now; and the recipe's settings. A setting that only another
        recipe names is off: False, 0 or "".

    Raises:
        TutorialError: ``--set`` names no setting, or its value has the wrong type or is out of range; or the weights
            would overwrite those that come with the tutorial.
    """
    p = parser(doc)
    add = p.add_argument
    text = "folder with train/<class>/ and validation/<class>/, and perhaps test/<class>/ (default: %(default)s)"
    add("--data", type=file_path, metavar="DIR", default=project_path("data"), help=text)
    text = "which block of settings at the top of the script to use (default: %(default)s)"
    add("--recipe", choices=list(recipes), default=DEFAULT, help=text)
    for name, (kind, text) in FLAGS.items():
        if any(name in recipe for recipe in recipes.values()):
            values = ", ".join(f"{recipe}: {values[name]}" for recipe, values in recipes.items() if name in values)
            add(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=f"{text} ({values})")
    add("--seed", type=seed_number, metavar="N", default=0, help="same seed, same machine: same result (default: 0)")
    text = f"folder to save to (default: {weights_dir(DEFAULT)}; other recipes: {weights_dir('<recipe>')})"
    add("--weights-dir", type=file_path, metavar="DIR", help=text)
    add("--restart", action="store_true", help="discard an interrupted run")
    add("--report", action="store_true", help="end with report.html in that folder, see tools/report.py")
    text = "change one of the recipe's settings, such as --set dropout=0.4; may be repeated"
    add("--set", action="append", metavar="NAME=VALUE", default=[], help=text)
    args = p.parse_args()

    settings = _with_off(recipes[args.recipe], list(recipes.values()))
    for name in FLAGS:
        if getattr(args, name, None) is not None:
            settings[name] = getattr(args, name)
    for text in args.set:
        _change(settings, text, recipes)
    args.begun = time.monotonic()
    args.weights_dir = args.weights_dir or weights_dir(args.recipe)
    if args.weights_dir.resolve() == pretrained_dir().resolve():
        raise TutorialError(f"{args.weights_dir} holds the models that come with the tutorial: name another folder.")
    return args, SimpleNamespace(**settings)


def _with_off(recipe: dict[str, Any], recipes: list[dict[str, Any]]) -> dict[str, Any]:
    """The recipe's settings, and those that other recipes name, off."""
    settings: dict[str, Any] = {}
    for name, value in (item for one in recipes for item in one.items()):
        settings[name] = recipe.get(name, type(value)())
        if isinstance(value, dict):
            settings[name] = _with_off(settings[name], [one.get(name, {}) for one in recipes])
    return settings


def flattened(settings: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of every setting, "augmentation.zoom_range" for those in a dict of their own."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", one) for inner, one in flattened(value))
        else:
            yield name, value


def _change(settings: dict[str, Any], text: str, recipes: Recipes) -> None:
    """Apply one ``--set name=value``."""
    name, _, value = text.partition("=")
    known = dict(flattened(settings))
    if name not in known:
        raise TutorialError(f"--set {text}: there is no setting {name!r}; the settings are {', '.join(known)}.")
    default = known[name]
    given: Any = None
    *groups, last = name.split(".")
    with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        given = value if isinstance(default, str) else ast.literal_eval(value)
    if isinstance(default, str):
        choices = {dict(flattened(recipe)).get(name, "") for recipe in recipes.values()} | {default}
        valid, wanted = given in choices, " or ".join(sorted(map(repr, choices)))
    elif isinstance(default, bool):
        valid, wanted = isinstance(given, bool), "True or False"
    else:
        least, most = LIMITS.get(last, (0, 1))
        kinds = (int, float) if isinstance(default, float) else (int,)
        valid = type(given) in kinds and least <= given <= most
        given = type(default)(given) if valid else None
        wanted = "a number" if isinstance(default, float) else "a whole number"
        wanted += f" from {least}" + f" to {most}" * (most < math.inf)
    if not valid:
        raise TutorialError(f"--set {text}: {name} takes {wanted}.")
    for group in groups:
        settings = settings[group]
    settings[last] = given


def same_flags(args: argparse.Namespace) -> str:
    """The flags that the next part is to have, too: "" where they are the defaults."""
    given = [
        ("--data", args.data, project_path("data")),
        ("--recipe", args.recipe, DEFAULT),
        ("--weights-dir", args.weights_dir, weights_dir(args.recipe)),
        ("--seed", args.seed, 0),
    ]
    return "".join(f" {command_line(flag, str(value))}" for flag, value, default in given if value != default)
