"""What the three parts score on a folder of photos, over several seeds.

    python benchmarks/parts.py --data ../shared/datasets/calico_tabby

Runs the parts as a reader does, each seed into a folder of its own below --runs, and writes what all the runs
there scored as one section of benchmarks/parts.md. A part whose weights file is already there is not run
again, so an interrupted benchmark goes on where it stopped.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that this script finds tutorial/
from report import machine, spread, write_section

from tutorial.command_line import PROJECT, parser, project_path, run, seed_number
from tutorial.weights_file import FILES, About, read_about

TABLE = project_path("benchmarks/parts.md")
HEADING = (
    "# The three parts, measured\n\nWritten by `benchmarks/parts.py`, a section a data folder. A row shows the\n"
    "seeds and epochs that were run so far; a part that was run by hand into the folder of --runs counts too.\n"
)


def train_missing(data: Path, folder: Path, parts: list[int], seeds: list[int]) -> None:
    """Run the parts asked for that have not been run yet, each seed in a folder of its own."""
    for seed in seeds:
        for part, (name, command) in enumerate(FILES.values(), 1):
            if part in parts and not (folder / f"seed{seed}" / name).exists():
                script = PROJECT / command.split()[1]
                flags = ["--data", str(data), "--weights-dir", str(folder / f"seed{seed}"), "--seed", str(seed)]
                subprocess.run([sys.executable, str(script), *flags], check=True)


def scores(folder: Path) -> dict[str, list[About]]:
    """What the weights files of all runs say, for each model a list over the seeds."""
    return {
        model: [read_about(path) for path in sorted(folder.glob(f"*/{name}"))] for model, (name, _) in FILES.items()
    }


def section(data: Path, found: dict[str, list[About]]) -> list[str]:
    """The data folder's part of the table."""
    first = next(abouts[0] for abouts in found.values() if abouts)
    photos = ", ".join(f"{sum(counts.values())} {split}" for split, counts in first.photos.items())
    lines = [
        f"{photos} photos of {' and '.join(first.class_names)}; {machine()}.",
        f"`python benchmarks/parts.py --data {data.as_posix()}`",
        "",
        "| model | seeds | epochs | train accuracy | validation accuracy | minutes |",
        "|---|---|---|---|---|---|",
    ]
    for model, abouts in found.items():
        if abouts:
            seeds = ", ".join(str(about.settings["seed"]) for about in abouts)
            train = spread([about.scores["accuracy"] for about in abouts], ".3f")
            validation = spread([about.scores["val_accuracy"] for about in abouts], ".3f")
            minutes = spread([about.minutes for about in abouts], ".1f")
            epochs = abouts[0].settings["epochs"]
            lines.append(f"| {model} | {seeds} | {epochs} | {train} | {validation} | {minutes} |")
    return lines


def main() -> None:
    """Run the parts and write the section."""
    p = parser("Measure the three parts.", "python benchmarks/parts.py --data ../shared/datasets/calico_tabby")
    p.add_argument("--data", type=Path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--parts", type=int, nargs="+", choices=[1, 2, 3], default=[1, 2, 3], help="default: 1 2 3")
    p.add_argument("--seeds", type=seed_number, nargs="+", metavar="N", default=[0, 1, 2], help="default: 0 1 2")
    runs = project_path("weights/runs")
    p.add_argument("--runs", type=Path, metavar="DIR", default=runs, help="where runs are kept (default: %(default)s)")
    args = p.parse_args()
    folder = args.runs / args.data.name
    train_missing(args.data, folder, args.parts, args.seeds)
    write_section(TABLE, HEADING, args.data.name, section(args.data, scores(folder)))


if __name__ == "__main__":
    sys.exit(run(main))
