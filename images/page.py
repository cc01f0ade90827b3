"""What the README's pictures share: their width, their colors, and how they are saved."""

import io
from pathlib import Path

from tutorial.cli import TutorialError
from tutorial.files import atomic_write

import matplotlib
from PIL import Image

matplotlib.use("Agg")  # draws into files, also on a machine without a screen
from matplotlib import pyplot as plt

SHOWN = 830  # pixels across, on GitHub's page
WIDTH = SHOWN / 96  # inches at a browser's 96 pixels: a font's size in the figure is its size on the page
FONT = 10.5  # points; nothing on a picture is smaller than 9
MOST = 150_000  # bytes of a file
INK, QUIET = "#1c1c1e", "#55555c"  # of writing
# For each suffix, how many pixels of the file make one that is shown, and what to try until the file is small enough.
SAVING = {
    ".png": (2, [{"optimize": True}]),  # charts: sharp on high-resolution screens, too
    ".jpg": (1.5, [{"quality": quality} for quality in (90, 85, 80, 70, 60)]),
}

plt.rcParams.update({"font.size": FONT, "text.color": INK, "axes.titlesize": FONT + 1, "legend.fontsize": FONT})
plt.rcParams.update({f"figure.constrained_layout.{pad}": 0.1 for pad in ("w_pad", "h_pad")})  # inches of white around


def check_suffix(path: Path) -> None:
    """Refuse a picture's file name before the work is done.

    Raises:
        TutorialError: its suffix is not one of SAVING's.
    """
    if path.suffix.lower() not in SAVING:
        raise TutorialError(f"{path} has no suffix of a picture for the page: use {' or '.join(SAVING)}.")


def save_page(figure: plt.Figure, path: Path) -> None:
    """Save a figure on white, nothing in it transparent; see :func:`save_picture`."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=96 * SAVING[path.suffix.lower()][0], facecolor="white", format="png")
    plt.close(figure)
    save_picture(Image.open(drawn).convert("RGB"), path)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Save a picture, RGB, in at most MOST bytes.

    Raises:
        TutorialError: it does not fit into them, or the folder cannot be written to.
    """
    attempts = SAVING[path.suffix.lower()][1]
    if path.suffix.lower() == ".png":  # a chart has few colors
        picture = picture.quantize(256, dither=Image.Dither.NONE)
    for options in attempts:
        file = io.BytesIO()
        picture.save(file, "PNG" if path.suffix.lower() == ".png" else "JPEG", **options)
        if len(file.getvalue()) <= MOST:
            break
    else:
        raise TutorialError(f"{path} would take {len(file.getvalue()):,} bytes, more than {MOST:,}: save it as .jpg.")
    with atomic_write(path) as temporary:
        temporary.write_bytes(file.getvalue())
