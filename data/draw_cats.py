"""Draw calico and tabby cats, for a reader who has no photos yet.

    python data/draw_cats.py --data data/drawn                      a set to run the parts on
    python data/draw_cats.py --sheet images/drawn_cats.jpg          a look at some of them on one page

The cats are drawn, not photographed. What makes them worth training on is that what varies between
photographs varies here: pose, view, coat, hair, place, light, focus, noise. Each cat depends on the seed, its
split, its class and its number alone: same seed, same cats, however many are drawn.

    tutorial/drawing/cat_shape.py   poses and proportions
    tutorial/drawing/cat_surface.py what each pixel sees of them
    tutorial/drawing/fur.py         strands of hair, and the two coats
    tutorial/drawing/scene.py       the room, what is in front of the cat, and the camera
    tutorial/drawing/drawn_cat.py   one cat, from its pose to its photograph
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that "python data/draw_cats.py" finds tutorial/
import tutorial  # noqa: F401  (first: where the packages are missing, it says so)

# isort: split
import numpy as np
from PIL import Image

from tutorial.command_line import ProgressLine, TutorialError, parser, positive_int, project_path, run, seed_number
from tutorial.drawing.drawn_cat import draw_cat
from tutorial.whole_file import written_whole

__all__ = ["draw_cat"]

# Settings
train = 60  # cats of each class to train on: few, so that the parts are through in minutes
validation = 20  # and to validate with
quality = 90  # of the JPEG files; the camera that is drawn too has been through JPEG already
sheet_columns, sheet_rows, sheet_cell = 8, 4, 125  # of the page: cats across, cats down, pixels each

SPLITS, KINDS = ("train", "validation"), ("calico", "tabby")


def cat_number(seed: int, split: str, kind: str, i: int) -> Image.Image:
    """Cat ``i`` (from 1) of a class in a split: RGB, 200 x 200."""
    return draw_cat(kind, np.random.default_rng([seed, SPLITS.index(split), KINDS.index(kind), i]))


def draw_set(data: Path, counts: dict[str, int], seed: int) -> None:
    """Draw ``counts[split]`` cats of each class into ``data/<split>/<class>/``."""
    cats = [(split, kind, i) for split in SPLITS for kind in KINDS for i in range(1, counts[split] + 1)]
    progress = ProgressLine("drawing cats", len(cats))
    for done, (split, kind, i) in enumerate(cats, 1):
        with written_whole(data / split / kind / f"{kind}{i}.jpg") as beside:
            cat_number(seed, split, kind, i).save(beside, "JPEG", quality=quality)
        progress.update(done)
    progress.clear()
    each = f"{2 * counts['train']} training and {2 * counts['validation']} validation cats"
    print(f"drew {each} in {data}: drawn, not photographed")


def draw_sheet(path: Path, seed: int) -> None:
    """One page of the first training cats: calicos in its upper half, tabbies in its lower."""
    if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise TutorialError(f"{path} does not end like a picture: use .jpg or .png.")
    page = Image.new("RGB", (sheet_columns * sheet_cell, sheet_rows * sheet_cell))
    for place in range(sheet_columns * sheet_rows):
        row, column = divmod(place, sheet_columns)
        half, i = divmod(place, sheet_columns * sheet_rows // 2)
        cat = cat_number(seed, "train", KINDS[half], i + 1)
        page.paste(
            cat.resize((sheet_cell, sheet_cell), Image.Resampling.LANCZOS), (column * sheet_cell, row * sheet_cell)
        )
    with written_whole(path) as beside:
        page.save(beside, quality=80)
    print(f"saved {path}: calicos above, tabbies below")


def main() -> None:
    """Draw the set, or the page."""
    p = parser("Draw calico and tabby cats to try the parts on.", "python data/draw_cats.py --data data/drawn")
    drawn = project_path("data/drawn")
    p.add_argument("--data", type=Path, metavar="DIR", default=drawn, help="folder to draw into (default: %(default)s)")
    p.add_argument("--train", type=positive_int, metavar="N", default=train, help="a class (default: %(default)s)")
    p.add_argument(
        "--validation", type=positive_int, metavar="N", default=validation, help="a class (default: %(default)s)"
    )
    p.add_argument("--seed", type=seed_number, metavar="N", default=0, help="same seed, same cats (default: 0)")
    p.add_argument("--sheet", type=Path, metavar="FILE", help="save one page of cats there, and draw no set")
    args = p.parse_args()
    if args.sheet:
        draw_sheet(args.sheet, args.seed)
    else:
        draw_set(args.data, {"train": args.train, "validation": args.validation}, args.seed)


if __name__ == "__main__":
    sys.exit(run(main))
