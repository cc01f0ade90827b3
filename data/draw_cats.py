"""Draw calico and tabby cats, for a reader who has no photos yet.

    python data/draw_cats.py --data data/drawn                  a set to run the parts on
    python data/draw_cats.py --sheet images/drawn_cats.jpg      some of them on one page

The cats are drawn, not photographed. They are worth training on because what varies between photographs varies here,
too: pose, camera, coat, hair, background, light, focus, noise. Each cat depends only on the seed, its split, its class
and its number: the same seed gives the same cats, however many are drawn.
"""

import sys
from pathlib import Path

from drawing.drawn_cat import CLASSES, SPLITS, cat_number
from tutorial.cli import (
    ProgressBar,
    TutorialError,
    echo,
    file_path,
    parser,
    positive_int,
    project_path,
    run,
    seed_number,
)
from tutorial.files import atomic_write

from PIL import Image

# Settings
train = 80  # training cats of each class: few, so that the parts finish in minutes
validation = 100  # validation cats of each class: fewer could not tell one model from the next
quality = 90  # of the JPEG files; the drawn camera has compressed the picture once already
sheet_columns, sheet_rows, sheet_cell = 8, 4, 125  # of the page: cats across, cats down, pixels each

DRAWN = b"drawn by data/draw_cats.py"  # the comment in its files, by which it knows them


def is_drawn(path: Path) -> bool:
    """Whether this script has drawn a file."""
    return DRAWN in path.read_bytes()[:200]


def draw_set(data: Path, counts: dict[str, int], seed: int) -> None:
    """Draw ``counts[split]`` cats of each class into ``data/<split>/<class>/``; those drawn before are removed."""
    cats = {
        data / split / name / f"{name}{i}.jpg": (split, name, i)
        for split in SPLITS
        for name in CLASSES
        for i in range(1, counts[split] + 1)
    }
    for path in cats:
        if path.exists() and not is_drawn(path):
            raise TutorialError(
                f"{path} was not drawn by this script and is not replaced: remove it, or name another folder."
            )
    progress = ProgressBar("drawing cats", len(cats))
    for done, (path, (split, name, i)) in enumerate(cats.items(), 1):
        with atomic_write(path) as temporary:
            cat_number(seed, split, name, i).save(temporary, "JPEG", quality=quality, comment=DRAWN)
        progress.update(done)
    progress.close()
    for folder in {path.parent for path in cats}:
        for path in folder.glob("*.jpg"):
            if path not in cats and is_drawn(path):
                path.unlink()
    each = f"{2 * counts['train']} training and {2 * counts['validation']} validation cats"
    echo(f"drew {each} in {data}: drawn, not photographed")


def draw_sheet(path: Path, seed: int) -> None:
    """One page of the first training cats: calicos in the upper half, tabbies in the lower."""
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise TutorialError(f"{path} has no suffix of a picture: use .jpg or .png.")
    page = Image.new("RGB", (sheet_columns * sheet_cell, sheet_rows * sheet_cell))
    for cell in range(sheet_columns * sheet_rows):
        row, column = divmod(cell, sheet_columns)
        half, i = divmod(cell, sheet_columns * sheet_rows // 2)
        cat = cat_number(seed, "train", CLASSES[half], i + 1)
        small = cat.resize((sheet_cell, sheet_cell), Image.Resampling.LANCZOS)
        page.paste(small, (column * sheet_cell, row * sheet_cell))
    with atomic_write(path) as temporary:
        page.save(temporary, quality=80)
    echo(f"saved {path}: calicos above, tabbies below")


def main() -> None:
    """Draw the set, or the page."""
    p = parser(__doc__)
    add, drawn = p.add_argument, project_path("data/drawn")
    add("--data", type=file_path, metavar="DIR", default=drawn, help="folder to draw into (default: %(default)s)")
    for name, default in (("train", train), ("validation", validation)):
        text = f"{name} cats of each class (default: %(default)s)"
        add(f"--{name}", type=positive_int, metavar="N", default=default, help=text)
    add("--seed", type=seed_number, metavar="N", default=0, help="same seed, same cats (default: 0)")
    add("--sheet", type=file_path, metavar="FILE", help="save one page of cats there instead of a set")
    args = p.parse_args()
    if args.sheet:
        draw_sheet(args.sheet, args.seed)
    else:
        draw_set(args.data, {"train": args.train, "validation": args.validation}, args.seed)


if __name__ == "__main__":
    sys.exit(run(main))
