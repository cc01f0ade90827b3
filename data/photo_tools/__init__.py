"""What the scripts in data/ share: finding and downloading photos, comparing, pruning and splitting them."""

import importlib
import importlib.util
import sys

if importlib.util.find_spec("tutorial") is None:
    print(
        "error: this Python does not have the tutorial's packages: activate the virtual environment (\". "
        '.venv/bin/activate", on Windows ".venv\\Scripts\\activate"), or make it first with "make setup".',
        file=sys.stderr,
    )
    sys.exit(2)

from tutorial.cli import TutorialError


def require_package(module: str, name: str) -> None:
    """Raise TutorialError if a package that only the data tools need is not installed."""
    try:
        importlib.import_module(module)
    except ImportError:
        raise TutorialError(f"the package {name} is not installed: run make data-tools first.") from None
