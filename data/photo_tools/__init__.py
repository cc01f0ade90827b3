"""What the scripts in data/ share: finding and downloading photos, comparing, pruning and splitting them."""

import importlib
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # without its packages installed, tutorial/ prints the remedy

from tutorial.cli import TutorialError

INSTALL = 'run "make data-tools", or "python -m pip install -r requirements-data.txt"'


def require_package(module: str, name: str) -> None:
    """Raise TutorialError if a package that only the data tools need is not installed."""
    try:
        importlib.import_module(module)
    except ImportError:
        raise TutorialError(f"the package {name} is not installed: {INSTALL}.") from None
