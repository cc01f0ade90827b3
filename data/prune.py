"""Find unreadable, duplicate, mislabeled and unusual photos; move the ones that you mark.

    python data/prune.py --data data                check; writes prune.html and prune.csv, moves nothing
    python data/prune.py --data data --apply        move the marked photos to data/pruned/, or to the other class
    python data/prune.py --data data --undo         move them all back

A search for "calico cat" also finds broken files, the same photo five times, tabbies, dogs, mugs and drawings.
Unreadable files, tiny photos and copies are certain. Label errors (by cross-validation) and outliers (by distance from
the class), both on VGG16's features, are suggestions to check. Nothing is ever deleted.
"""

import sys
from collections import Counter
from pathlib import Path

from photo_tools.contact_sheet import Section, write_contact_sheet
from photo_tools.duplicates import near_groups
from photo_tools.label_errors import out_of_fold_probabilities
from photo_tools.outliers import FEWEST, outlier_scores, photo_features
from photo_tools.photo_folders import (
    COLLECTED,
    PRUNED,
    STAGES,
    Photo,
    inspect_photos,
    next_command,
    photo_files,
    write_csv,
)
from photo_tools.pruned import MOVE, REMOVE, marks, move_back, move_out
from tutorial.cli import TutorialError, duration, echo, file_path, parser, project_path, run
from tutorial.files import atomic_write

import numpy as np

TINY = 75  # pixels, the shorter side: half of the networks' input
RANKED = 0.10  # share of each class shown as outliers, with nearly all photos of something else: benchmarks/prune.md
SHOWN = 1000  # photos in one section of the contact sheet; the table has all
CERTAIN = 0.95  # probability of another class from which moving the photo there is suggested
RANKED_A_SECOND = 5  # photos on two cores, for the estimate that is printed
COLUMNS = [
    "file", "class", "reasons", "predicted", "probability", "outlier score", "duplicate of", "suggestion", "mark",
]  # fmt: skip

# What can be wrong, most suspicious first: the sections of the contact sheet.
KINDS = [
    ("Unreadable files", "They cannot be decoded to the end; the parts would leave them out."),
    ("Tiny photos", f"The shorter side is under {TINY} pixels."),
    ("In two splits", "A photo that was trained on inflates the validation and test accuracy: mark one of them."),
    ("In two classes", "The same photo under both names: mark the wrong one, or both."),
    ("Duplicates", "The largest copy first. split.py keeps copies in one split, but counts each as a photo."),
    ("Possible label errors", "A classifier trained on the other photos predicts another class; most certain first."),
    ("Outliers", "The furthest from their class first. Most of them are correct: mark only those that are not."),
]
UNREADABLE, TINY_ONE, LEAK, BOTH, COPY, LABEL, OUTLIER, FINE = range(len(KINDS) + 1)
Row = dict[str, str | int]  # of the table, and its kind


def add(row: Row, kind: int, reason: str, suggestion: str = "") -> None:
    """Add one more reason to check a photo."""
    row["reasons"] = f"{row['reasons']}; {reason}" if row["reasons"] else reason
    row["kind"] = min(row["kind"], kind)
    row["suggestion"] = row["suggestion"] or suggestion


def copies(photos: list[Photo]) -> list[list[Photo]]:
    """The readable photos in groups of near duplicates, the best first: the largest."""
    readable = [photo for photo in photos if not photo.error]
    return [
        sorted((readable[i] for i in group), key=lambda p: (-p.width * p.height, -p.bytes, p.file))
        for group in near_groups([photo.fingerprint for photo in readable])
    ]


def describe(photos: list[Photo], groups: list[list[Photo]], leaks_only: bool = False) -> dict[str, Row]:
    """What is certain about each photo: its row of the table, by its file.

    Args:
        photos: those that are compared with each other.
        groups: copies, from :func:`copies`.
        leaks_only: look for nothing but copies in two splits.
    """
    rows: dict[str, Row] = {
        p.file: dict.fromkeys(COLUMNS, "") | {"file": p.file, "class": p.class_name, "kind": FINE} for p in photos
    }
    for photo in [] if leaks_only else photos:
        if photo.error:
            add(rows[photo.file], UNREADABLE, f"unreadable: it {photo.error}", REMOVE)
        elif min(photo.width, photo.height) < TINY:
            add(rows[photo.file], TINY_ONE, f"tiny: {photo.width} x {photo.height}", REMOVE)
    for best, *others in groups:
        leak = len({photo.stage for photo in [best, *others]}) > 1
        both = len({photo.class_name for photo in [best, *others]}) > 1
        if not others or (leaks_only and not leak):
            continue
        for photo in [best, *others]:
            if leak:
                add(rows[photo.file], LEAK, "in two splits")
            if both:
                add(rows[photo.file], BOTH, "in two classes")
        add(rows[best.file], COPY, f"the best of {1 + len(others)} copies")
        for photo in others:
            copy = "exact duplicate" if photo.sha256 == best.sha256 else "near duplicate"
            # Which of two classes is right, or on which side a photo should stay, is for the reader to decide.
            add(rows[photo.file], COPY, copy, "" if leak or both else REMOVE)
            rows[photo.file]["duplicate of"] = best.file
    return rows


def rank(data: Path, groups: list[list[Photo]], rows: dict[str, Row]) -> None:
    """Find label errors, and outliers: the tenth of each class that differs most from the rest of it."""
    readable = [photo for group in groups for photo in group]
    number = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    echo(
        f"ranking {len(readable)} photos with VGG16: about {duration(len(readable) / RANKED_A_SECOND)} on two cores, "
        "less where features are cached (--no-ranking skips it)"
    )
    paths, digests = [data / photo.file for photo in readable], [photo.sha256 for photo in readable]
    features = photo_features(paths, digests, data / "prune.npz")
    names = np.array([photo.class_name for photo in readable])
    ranked = []  # classes
    for name in sorted(set(names.tolist())):
        here = np.flatnonzero(names == name)
        if (count := len(set(number[here].tolist()))) < FEWEST:
            echo(f"{name} has {count} photos, fewer than {FEWEST}: not ranked")
            continue
        ranked.append(name)
        scores = outlier_scores(features[here])
        for place, k in enumerate((-scores).argsort(kind="stable")):
            row = rows[readable[here[k]].file]
            row["outlier score"] = f"{scores[k]:.3f}"
            if place < round(RANKED * len(here)):
                add(row, OUTLIER, "outlier")
    if len(ranked) < 2:
        return
    inside = np.flatnonzero(np.isin(names, ranked))
    classes, labels = np.unique(names[inside], return_inverse=True)
    found = out_of_fold_probabilities(features[inside], labels, number[inside])
    for i, label, probabilities in zip(inside, labels, found, strict=True):
        row, best = rows[readable[i].file], probabilities.argmax()
        row["predicted"], row["probability"] = str(classes[best]), f"{probabilities[best]:.4f}"
        if best != label:
            move = f"{MOVE}{classes[best]}" if probabilities[best] >= CERTAIN else ""
            add(row, LABEL, f"predicted {classes[best]} ({probabilities[best]:.1%})", move)


def suspicion(row: Row) -> tuple:
    """The order of the table: by kind, copies after their best copy, then what is most certain first."""
    is_copy = LEAK <= row["kind"] <= COPY
    together = (row["duplicate of"] or row["file"], bool(row["duplicate of"])) if is_copy else ()
    score = row["probability"] if row["kind"] == LABEL else row["outlier score"]
    return row["kind"], together, -float(score or 0), row["file"]


def check(data: Path, ranking: bool) -> None:
    """Check every photo; write the table and the contact sheet."""
    table, page = data / "prune.csv", data / "prune.html"
    kept = marks(table) if table.exists() else {}  # the reader's marks so far
    collected, split = photo_files(data, COLLECTED), [file for stage in STAGES[1:] for file in photo_files(data, stage)]
    if not collected + split:
        raise TutorialError(f"{data / COLLECTED} has no photos in class folders: collect some, or use --data.")
    photos = inspect_photos(data, collected or split)
    groups = copies(photos)
    rows = describe(photos, groups)
    if ranking:
        rank(data, groups, rows)
    if collected and split:  # copies of the collected ones: only leaks are new
        inspected = inspect_photos(data, split)
        leaks = describe(inspected, copies(inspected), leaks_only=True)
        rows |= {file: row for file, row in leaks.items() if row["kind"] == LEAK}
    for file, row in rows.items():
        row["mark"] = kept.get(file, "")

    ordered = sorted(rows.values(), key=suspicion)
    of_kind = [[i for i, row in enumerate(ordered) if row["kind"] == kind] for kind in range(len(KINDS))]
    with atomic_write(table) as temporary:
        write_csv(temporary, COLUMNS, ordered)
    sections = [Section(*words, found[:SHOWN]) for words, found in zip(KINDS, of_kind, strict=True)]
    write_contact_sheet(page, data, f"Photos to check in {data}", ordered, COLUMNS, sections)
    counts = [f"{len(found)} {title.lower()}" for (title, _), found in zip(KINDS, of_kind, strict=True)]
    echo(f"{len(photos)} photos: {', '.join(counts)}")
    echo(f"open {page}, mark photos and save prune.csv; or edit the mark column of {table}")
    echo(f"then: {next_command('data/prune.py', data, '--apply')}")
    echo(f"next: {following(data)}")


def following(data: Path) -> str:
    """The command that comes next: the split, by the write-up's counts where every class has enough photos, else by
    shares; or part 1, where the photos are split already."""
    counts = Counter(Photo(file).class_name for file in photo_files(data, COLLECTED))
    if not counts:
        return next_command("fine_tuning_VGG16_pt1.py", data)
    few = min(counts.values()) < 1300
    return next_command("data/split.py", data, *(["--train", "0.8", "--validation", "0.2"] if few else []))


def apply(data: Path, table: Path) -> None:
    """Move what is marked."""
    marked = {file: mark for file, mark in marks(table).items() if mark}
    if not marked:
        echo(f"nothing is marked in {table}, so nothing was moved")
        echo(f"next: {following(data)}")
        return
    moved = move_out(data, marked, table)
    out = sum(mark == REMOVE for mark in marked.values())
    already = f"; {len(marked) - moved} were moved before" if moved < len(marked) else ""
    where = f"{out} to {data / PRUNED}, {len(marked) - out} to another class"
    echo(f"moved {moved} of {len(marked)} marked photos{already} ({where})")
    echo(f"undo: {next_command('data/prune.py', data, '--undo')}")
    echo(f"next: {following(data)}")


def undo(data: Path) -> None:
    """Move everything back."""
    moved, stay = move_back(data)
    echo(f"moved {moved} photos back")
    if stay:
        raise TutorialError(
            f"{len(stay)} photos could not be moved back, such as {data / stay[0]}, because other files have their "
            "names: move those files away and run this again."
        )
    echo(f"next: {next_command('data/prune.py', data)}")


def main() -> None:
    """Check, apply or undo."""
    p = parser(__doc__)
    text = "folder with collected/<class>/, or train/<class>/, validation/<class>/ ... (default: %(default)s)"
    p.add_argument("--data", type=file_path, metavar="DIR", default=project_path("data"), help=text)
    p.add_argument("--no-ranking", action="store_true", help="skip label errors and outliers, which take minutes")
    do = p.add_mutually_exclusive_group()
    text = "move the photos marked in CSV (default: DIR/prune.csv) to DIR/pruned/<class>/, or to another class"
    do.add_argument("--apply", nargs="?", type=file_path, const=Path(), metavar="CSV", help=text)
    do.add_argument("--undo", action="store_true", help="move everything back that --apply has moved")
    args = p.parse_args()
    if args.undo:
        undo(args.data)
    elif args.apply is not None:
        apply(args.data, args.data / "prune.csv" if args.apply == Path() else args.apply)
    else:
        check(args.data, not args.no_ranking)


if __name__ == "__main__":
    sys.exit(run(main))
