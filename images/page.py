"""What the README's pictures have in common: their width, their colours, and how they are saved."""

import io
from pathlib import Path

from PIL import Image

from tutorial.command_line import TutorialError
from tutorial.pictures import plt
from tutorial.whole_file import written_whole

SHOWN = 830  # pixels across, on GitHub's page
WIDTH = SHOWN / 96  # inches at a browser's 96 pixels: a font's size in the figure is its size on the page
FONT = 9.5  # points; nothing on a picture is smaller than 9
MOST = 150_000  # bytes of a file
INK, QUIET = "#1c1c1e", "#55555c"  # of writing
# For each ending, how many pixels of the file make one that is shown, and what to try until the file is small enough.
SAVING = {
    ".png": (2, [{"optimize": True}]),  # charts: sharp on screens with small pixels, too
    ".jpg": (1.5, [{"quality": quality} for quality in (90, 85, 80, 70, 60)]),
}

plt.rcParams.update({"font.size": FONT, "text.color": INK, "axes.titlesize": FONT + 1, "legend.fontsize": FONT})
plt.rcParams.update({f"figure.constrained_layout.{pad}": 0.1 for pad in ("w_pad", "h_pad")})  # inches of white around


def check_ending(path: Path) -> None:
    """Refuse a picture's file name before the work is done.

    Raises:
        TutorialError: its ending is not one of SAVING's.
    """
    if path.suffix.lower() not in SAVING:
        raise TutorialError(f"{path} does not end like a picture of the page: use {' or '.join(SAVING)}.")


def save_page(figure: plt.Figure, path: Path) -> None:
    """Save a figure on white, nothing in it transparent, in at most MOST bytes.

    Raises:
        TutorialError: it does not fit into them, or the folder cannot be written to.
    """
    sharpness, ways = SAVING[path.suffix.lower()]
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=96 * sharpness, facecolor="white", format="png")
    plt.close(figure)
    picture = Image.open(drawn).convert("RGB")
    if path.suffix.lower() == ".png":  # whose size is that of its colours, and a chart has few
        picture = picture.quantize(256, dither=Image.Dither.NONE)
    for way in ways:
        file = io.BytesIO()
        picture.save(file, "PNG" if path.suffix.lower() == ".png" else "JPEG", **way)
        if len(file.getvalue()) <= MOST:
            break
    else:
        raise TutorialError(f"{path} would take {len(file.getvalue()):,} bytes, more than {MOST:,}: save it as .jpg.")
    with written_whole(path) as beside:
        beside.write_bytes(file.getvalue())
