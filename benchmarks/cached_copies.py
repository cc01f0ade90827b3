"""Part 3's validation accuracy by the number of cached augmented copies of each photo.

    python benchmarks/cached_copies.py --data ../shared/datasets/calico_tabby
    python benchmarks/cached_copies.py --data ../shared/datasets/cats_vs_dogs --photos 200 --cached-copies 30 4 2

Runs part 2 once for each seed and part 3 once for each number of copies, and writes one section of
benchmarks/cached_copies.md. As many copies as epochs are what --cached-copies 0 is: new copies in every epoch. They
come first, so that the smaller numbers find theirs in the cache. A run whose history exists is not repeated.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

from report import command, linked_photos, machine, spread, write_section
from tutorial.cli import PROJECT, file_path, parser, positive_int, project_path, run, seed_number

TABLE = project_path("benchmarks/cached_copies.md")
HEADING = (
    "# Cached augmented copies of each photo\n\nWritten by `benchmarks/cached_copies.py`, a section a data folder: "
    "validation after 30 epochs, as mean and range over\nseeds. As many copies as epochs is what `--cached-copies 0` "
    "gives: new copies in every epoch.\n"
)
EPOCHS = 30  # the original recipe's, of part 3
LAST = 10  # epochs whose mean is less noisy than the last one alone


def run_missing(data: Path, folder: Path, copies: list[int], seed: int) -> None:
    """The runs of one seed that have not been made yet; each leaves its history as copies<N>.csv."""
    flags = ["--data", str(data), "--weights-dir", str(folder), "--seed", str(seed)]
    if not (folder / "bottleneck_fc_model.weights.h5").exists():
        subprocess.run([sys.executable, str(PROJECT / "fine_tuning_VGG16_pt2.py"), *flags], check=True)
    for number in copies:
        if not (history := folder / f"copies{number}.csv").exists():
            command = [str(PROJECT / "fine_tuning_VGG16_pt3.py"), *flags, "--epochs", str(EPOCHS)]
            subprocess.run([sys.executable, *command, "--cached-copies", str(number)], check=True)
            (folder / "fine_tuned_vgg16.csv").rename(history)


def last_epochs(history: Path) -> list[dict[str, float]]:
    """The last rows of a history."""
    with open(history, newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)][-LAST:]


def row(copies: int, histories: list[Path]) -> str:
    """One row of the table."""
    found = [last_epochs(history) for history in histories]
    final = spread([rows[-1]["val_accuracy"] for rows in found], ".3f")
    late = spread([sum(one["val_accuracy"] for one in rows) / len(rows) for rows in found], ".3f")
    loss = spread([sum(one["val_loss"] for one in rows) / len(rows) for rows in found], ".2f")
    return f"| {copies} | {len(found)} | {final} | {late} | {loss} |"


def section(folder: Path, copies: list[int]) -> list[str]:
    """The table of the runs so far."""
    lines = [
        f"{machine()}.",
        command(),
        "",
        f"| copies | seeds | last epoch: accuracy | last {LAST} epochs: accuracy | loss |",
        "|---|---|---|---|---|",
    ]
    return lines + [row(number, found) for number in copies if (found := sorted(folder.glob(f"*/copies{number}.csv")))]


def main() -> None:
    """Run part 3 with each number of copies and write the section."""
    p = parser(__doc__)
    p.add_argument("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    numbers, seeds, runs = [30, 4, 2, 1], [0, 1, 2], project_path("weights/cached_copies")
    p.add_argument(
        "--cached-copies", type=positive_int, nargs="+", metavar="N", default=numbers, help="default: %(default)s"
    )
    p.add_argument("--seeds", type=seed_number, nargs="+", metavar="N", default=seeds, help="default: %(default)s")
    p.add_argument(
        "--runs", type=file_path, metavar="DIR", default=runs, help="folder of the runs (default: %(default)s)"
    )
    p.add_argument("--photos", type=positive_int, metavar="N", help="only the first N of each class and split")
    args = p.parse_args()
    title, copies = args.data.name, sorted(args.cached_copies, reverse=True)
    if args.photos:
        title = f"{title}, {args.photos} photos a class"
    folder = args.runs / title.replace(", ", "_").replace(" ", "_")
    with tempfile.TemporaryDirectory() as links:
        data = args.data
        if args.photos:
            data = linked_photos(data, Path(links, "data"), dict.fromkeys(("train", "validation"), args.photos))
        for seed in args.seeds:
            run_missing(data, folder / f"seed{seed}", copies, seed)
            write_section(TABLE, HEADING, title, section(folder, copies))


if __name__ == "__main__":
    sys.exit(run(main))
