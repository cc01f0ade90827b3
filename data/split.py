"""Deal the collected photos out to train/ and validation/.

    python data/split.py --data data --train 1000 --validation 300        so many of each class, as in the texts
    python data/split.py --data data --train 0.8 --validation 0.2         or so much of each class

Which photo goes where is drawn by lot, the same for the same seed. Copies of a photo stay on one side: a network
that has seen a photo in training answers for it from memory, and validation would look better than it is.
The collected photos stay where they are; split.csv says which of them each photo is, and whose.
"""

import os
import shutil
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that "python data/split.py" finds tutorial/
from tutorial.command_line import TutorialError, parser, project_path, run, seed_number
from tutorial.dataset.duplicates import near_groups
from tutorial.dataset.photo_folders import (
    ATTRIBUTION,
    COLLECTED,
    TRAIN,
    VALIDATION,
    Photo,
    look_at,
    next_command,
    photo_files,
    read_csv,
    write_csv,
)
from tutorial.dataset.put_in_place import put_in_place, refuse_foreign_files
from tutorial.dataset.splitting import amount, deal, wanted
from tutorial.photos import class_folders

FROM_ATTRIBUTION = ["source_page", "author", "licence", "licence_url"]
COLUMNS = ["file", "split", "class", "collected", "sha256", *FROM_ATTRIBUTION]


def attributions(data: Path) -> dict[str, dict[str, str]]:
    """What the attribution.csv of each class says, by the photo's SHA-256; nothing where there is none."""
    found = {}
    for name in class_folders(data / COLLECTED):
        table = data / COLLECTED / name / ATTRIBUTION
        if table.exists():
            found |= {row["sha256"].lower(): row for row in read_csv(table, {"sha256", *FROM_ATTRIBUTION})}
    return found


def usable(data: Path) -> list[Photo]:
    """The collected photos that can be read; the others are named and counted.

    Raises:
        TutorialError: there are not two classes, or one has no photos.
    """
    names = class_folders(data / COLLECTED)
    if len(names) != 2:
        listed = f" ({', '.join(names)})" if names else ""
        raise TutorialError(
            f"{data / COLLECTED} has {len(names)} class folders{listed}, "
            "and the tutorial tells exactly two classes apart: collect photos of two, or name another --data."
        )
    photos = look_at(data, photo_files(data, COLLECTED))
    for photo in photos:
        if photo.error:
            print(f"left out: {photo.file} {photo.error}")
    return [photo for photo in photos if not photo.error]


def main() -> None:
    """Deal out, then put both folders and the manifest in place."""
    p = parser(
        "Deal the collected photos out to train/ and validation/.", "python data/split.py --train 0.8 --validation 0.2"
    )
    data = project_path("data")
    text = "photos of each class, or a fraction (default: %(default)s, as in the texts)"
    p.add_argument(
        "--data", type=Path, metavar="DIR", default=data, help="folder with collected/ (default: %(default)s)"
    )
    p.add_argument("--train", type=amount, metavar="N", default=1000, help=text)
    p.add_argument("--validation", type=amount, metavar="N", default=300, help=text)
    p.add_argument("--seed", type=seed_number, metavar="N", default=0, help="same seed, same split (default: 0)")
    args = p.parse_args()
    if isinstance(args.train, float) and isinstance(args.validation, float) and args.train + args.validation > 1 + 1e-9:
        raise TutorialError(
            f"--train {args.train} and --validation {args.validation} are more than all: let them add up to 1."
        )
    refuse_foreign_files(args.data)
    photos = usable(args.data)
    names = [photo.class_name for photo in photos]
    have = Counter(names)
    counts = {name: wanted(have[name], args.train, args.validation) for name in class_folders(args.data / COLLECTED)}
    groups = near_groups([photo.fingerprint for photo in photos])
    sides = deal(names, groups, counts, args.seed)

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
                os.link(original, new)  # a second name for the same file: takes no space
            except OSError:  # another disk, or a disk that has no such thing
                shutil.copy2(original, new)
        write_csv(folder / "split.csv", COLUMNS, rows)

    put_in_place(args.data, build)
    for name, (train, validation) in counts.items():
        print(f"{name}: {train} for train, {validation} for validation, {have[name] - train - validation} not used")
    copies = sum(len(group) - 1 for group in groups)
    both = sum(len({names[i] for i in group}) > 1 for group in groups)
    print(
        f"{copies} copies were kept on the side of their photo"
        + (f"; {both} photos are in both classes: prune them" if both else "")
    )
    print(f"saved {args.data / TRAIN}, {args.data / VALIDATION} and {args.data / 'split.csv'}")
    print(f"next: {next_command('fine_tuning_VGG16_pt1.py', args.data)}")


if __name__ == "__main__":
    sys.exit(run(main))
