"""How many views of each photo part 3 needs: its validation accuracy with few views that take turns, and with many.

    python benchmarks/views.py --data ../shared/datasets/calico_tabby
    python benchmarks/views.py --data ../shared/datasets/cats_vs_dogs --photos 200 --views 30 4 2

Runs part 2 once a seed and part 3 once a number of views, and writes one section of benchmarks/views.md. As many
views as epochs are what --views 0 is: a view of its own for every epoch. They come first, so that the smaller numbers
find theirs computed. A run whose history is there already is not repeated.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that this script finds tutorial/
from report import linked_photos, machine, spread, write_section

from tutorial.command_line import PROJECT, parser, positive_int, project_path, run, seed_number

TABLE = project_path("benchmarks/views.md")
HEADING = (
    "# How many views of each photo part 3 needs\n\nWritten by `benchmarks/views.py`, a section a data folder: "
    "validation after 30 epochs, as mean and range over\nseeds. As many views as epochs is what `--views 0` gives: a "
    "fresh view every epoch.\n"
)
EPOCHS = 30  # the texts', of part 3
LAST = 10  # epochs whose mean is less noisy than the last one alone


def run_missing(data: Path, folder: Path, views: list[int], seed: int) -> None:
    """The runs of one seed that have not been made yet; each leaves its history as views<N>.csv."""
    flags = ["--data", str(data), "--weights-dir", str(folder), "--seed", str(seed)]
    if not (folder / "bottleneck_fc_model.weights.h5").exists():
        subprocess.run([sys.executable, str(PROJECT / "fine_tuning_VGG16_pt2.py"), *flags], check=True)
    for number in views:
        if not (history := folder / f"views{number}.csv").exists():
            command = [str(PROJECT / "fine_tuning_VGG16_pt3.py"), *flags, "--epochs", str(EPOCHS)]
            subprocess.run([sys.executable, *command, "--views", str(number)], check=True)
            (folder / "fine_tuned_vgg16.csv").rename(history)


def last_epochs(history: Path) -> list[dict[str, float]]:
    """The last rows of a history."""
    with open(history, newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)][-LAST:]


def row(views: int, histories: list[Path]) -> str:
    """One number of views in the table."""
    found = [last_epochs(history) for history in histories]
    final = spread([rows[-1]["val_accuracy"] for rows in found], ".3f")
    late = spread([sum(one["val_accuracy"] for one in rows) / len(rows) for rows in found], ".3f")
    loss = spread([sum(one["val_loss"] for one in rows) / len(rows) for rows in found], ".2f")
    return f"| {views} | {len(found)} | {final} | {late} | {loss} |"


def section(folder: Path, views: list[int], flags: str) -> list[str]:
    """The table of the runs so far."""
    lines = [
        f"{machine()}.",
        f"`python benchmarks/views.py {flags}`",
        "",
        f"| views | seeds | last epoch: accuracy | last {LAST} epochs: accuracy | loss |",
        "|---|---|---|---|---|",
    ]
    return lines + [row(number, found) for number in views if (found := sorted(folder.glob(f"*/views{number}.csv")))]


def main() -> None:
    """Run part 3 with each number of views and write the section."""
    p = parser(
        "Measure how many views part 3 needs.", "python benchmarks/views.py --data ../shared/datasets/calico_tabby"
    )
    p.add_argument("--data", type=Path, metavar="DIR", required=True, help="folder with train/ and validation/")
    numbers, seeds, runs = [30, 4, 2, 1], [0, 1, 2], project_path("weights/views")
    p.add_argument("--views", type=positive_int, nargs="+", metavar="N", default=numbers, help="default: %(default)s")
    p.add_argument("--seeds", type=seed_number, nargs="+", metavar="N", default=seeds, help="default: %(default)s")
    p.add_argument("--runs", type=Path, metavar="DIR", default=runs, help="where runs are kept (default: %(default)s)")
    p.add_argument("--photos", type=positive_int, metavar="N", help="only the first N of each class and split")
    args = p.parse_args()
    title, flags, views = args.data.name, f"--data {args.data.as_posix()}", sorted(args.views, reverse=True)
    if args.photos:
        title, flags = f"{title}, {args.photos} photos a class", f"{flags} --photos {args.photos}"
    if views != sorted(numbers, reverse=True):
        flags += f" --views {' '.join(map(str, views))}"
    folder = args.runs / title.replace(", ", "_").replace(" ", "_")
    with tempfile.TemporaryDirectory() as links:
        data = args.data
        if args.photos:
            data = linked_photos(data, Path(links, "data"), dict.fromkeys(("train", "validation"), args.photos))
        for seed in args.seeds:
            run_missing(data, folder / f"seed{seed}", views, seed)
            write_section(TABLE, HEADING, title, section(folder, views, flags))


if __name__ == "__main__":
    sys.exit(run(main))
