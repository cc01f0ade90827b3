"""Split the collected photos into train/ and validation/.

    python data/split.py --data data --train 1000 --validation 300        of each class, as in the write-up
    python data/split.py --data data --train 0.8 --validation 0.2         or shares of each class

The split is random, the same for the same seed. Copies of a photo stay on one side: a network that was trained on a
photo predicts its copy correctly, and the validation accuracy would be too good. The collected photos stay where they
are; split.csv has the original and the author of each photo.
"""

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

from photo_tools.duplicates import near_groups
from photo_tools.install_split import install_split, refuse_foreign_files
from photo_tools.photo_folders import (
    ATTRIBUTION,
    COLLECTED,
    TRAIN,
    VALIDATION,
    Photo,
    inspect_photos,
    next_command,
    photo_files,
    read_csv,
    write_csv,
)
from photo_tools.splitting import amount, split_photos, wanted
from tutorial.cli import TutorialError, echo, file_path, parser, project_path, run, seed_number
from tutorial.dataset import class_folders

FROM_ATTRIBUTION = ["source_page", "author", "license", "license_url"]
COLUMNS = ["file", "split", "class", "collected", "sha256", *FROM_ATTRIBUTION]


def attributions(data: Path) -> dict[str, dict[str, str]]:
    """The rows of the classes' attribution.csv, by the photo's SHA-256."""
    found = {}
    for folder in class_folders(data / COLLECTED).values():
        table = folder / ATTRIBUTION
        if table.exists():
            found |= {row["sha256"].lower(): row for row in read_csv(table, {"sha256", *FROM_ATTRIBUTION})}
    return found


def usable(data: Path) -> list[Photo]:
    """The collected photos that can be read; the others are named and counted.

    Raises:
        TutorialError: there are fewer than two classes.
    """
    names = class_folders(data / COLLECTED)
    if len(names) < 2:
        listed = f" ({', '.join(names)})" if names else ""
        raise TutorialError(
            f"{data / COLLECTED} has {len(names)} class folders{listed}; at least two are needed: "
            "collect photos of another class, or use --data."
        )
    photos = inspect_photos(data, photo_files(data, COLLECTED))
    for photo in photos:
        if photo.error:
            echo(f"left out: {photo.file} {photo.error}")
    return [photo for photo in photos if not photo.error]


def main() -> None:
    """Split, then install both folders and the manifest."""
    p = parser(__doc__)
    data = project_path("data")
    text = "folder with collected/ (default: %(default)s)"
    p.add_argument("--data", type=file_path, metavar="DIR", default=data, help=text)
    text = "photos of each class, or a fraction (default: %(default)s)"
    p.add_argument("--train", type=amount, metavar="N", default=1000, help=text)
    p.add_argument("--validation", type=amount, metavar="N", default=300, help=text)
    p.add_argument("--seed", type=seed_number, metavar="N", default=0, help="same seed, same split (default: 0)")
    args = p.parse_args()
    if isinstance(args.train, float) and isinstance(args.validation, float) and args.train + args.validation > 1 + 1e-9:
        raise TutorialError(
            f"--train {args.train} and --validation {args.validation} add up to more than 1: use smaller fractions."
        )
    made = refuse_foreign_files(args.data)
    photos = usable(args.data)
    names = [photo.class_name for photo in photos]
    have = Counter(names)
    counts = {name: wanted(have[name], args.train, args.validation) for name in class_folders(args.data / COLLECTED)}
    groups = near_groups([photo.fingerprint for photo in photos])
    sides = split_photos(names, groups, counts, args.seed)

    credits, rows = attributions(args.data), []
    for split, side in zip((TRAIN, VALIDATION), sides, strict=True):
        number: Counter[str] = Counter()
        for i in side:
            photo, name = photos[i], names[i]
            number[name] += 1
            file = f"{split}/{name}/{name}{number[name]}{os.path.splitext(photo.file)[1]}"
            known = {"file": file, "split": split, "class": name, "collected": photo.file, "sha256": photo.sha256}
            credit = credits.get(photo.sha256, {})
            rows.append(known | {column: credit.get(column, "") for column in FROM_ATTRIBUTION})

    def build(folder: Path) -> None:
        for row in rows:
            new = folder / row["file"]
            new.parent.mkdir(parents=True, exist_ok=True)
            original = (args.data / row["collected"]).resolve()
            try:
                os.link(original, new)  # a hard link takes no space
            except OSError:  # another disk, or one without hard links
                shutil.copy2(original, new)
        write_csv(folder / "split.csv", COLUMNS, rows)

    install_split(args.data, build, made)
    for name, (train, validation) in counts.items():
        echo(f"{name}: {train} for train, {validation} for validation, {have[name] - train - validation} not used")
    copies = sum(len(group) - 1 for group in groups)
    both = sum(len({names[i] for i in group}) > 1 for group in groups)
    echo(
        f"{copies} copies were kept in the split of their original"
        + (f"; {both} photos are in both classes: prune them" if both else "")
    )
    echo(f"saved {args.data / TRAIN}, {args.data / VALIDATION} and {args.data / 'split.csv'}")
    echo(f"next: {next_command('fine_tuning_VGG16_pt1.py', args.data)}")


if __name__ == "__main__":
    sys.exit(run(main))
