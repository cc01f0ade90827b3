"""What each change of the improved recipe brings: the recipe with one thing taken back, on the validation photos.

    python benchmarks/ablation.py --data ../shared/datasets/calico_tabby --parts 1 2 3

Each row is the part as a reader runs it, with one setting changed by --set. Part 3 starts from the part 2 of its seed
as the recipe has it. Writes one section of benchmarks/ablation.md a data folder and part; runs that are in the folder
of --runs are not repeated, so an interrupted benchmark goes on where it stopped.
"""

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that this script finds tutorial/
from report import machine, spread, write_section

from tutorial.command_line import PROJECT, parser, project_path, run, seed_number
from tutorial.weights_file import FILES, About, read_about

TABLE = project_path("benchmarks/ablation.md")
HEADING = (
    "# What each change of the improved recipe brings\n\nWritten by `benchmarks/ablation.py`: validation accuracy and "
    "log loss of the answers, calibrated, as mean and range\nover seeds. A row is the improved recipe with one thing "
    "changed.\n"
)
PLAIN_VIEWS = ["rotation=0", "shift=0", "light=0", "contrast=0", "erase=0"]  # sheared, zoomed and mirrored alone
CHANGES: dict[int, dict[str, list[str]]] = {  # of each part: what is changed, and how
    1: {
        "the improved recipe": [],
        "views as in the texts": PLAIN_VIEWS,
        "half the epochs": ["epochs=30"],
        "no weight decay": ["weight_decay=0"],
        "no dropout": ["dropout=0"],
        "labels smoothed by 0.1": ["smoothing=0.1"],
        "one view at prediction time": ["mirrored=False"],
        "weights of the last step, not averaged": ["average=0"],
    },
    2: {
        "the improved recipe": [],
        "no weight decay": ["weight_decay=0"],
        "no dropout": ["dropout=0"],
        "labels smoothed by 0.1": ["smoothing=0.1"],
        "weights of the last step, not averaged": ["average=0"],
        "no mirror images": ["mirrored=False"],
        "the texts' 1/255 instead of VGG16's preprocessing": ["own_preprocessing=False"],
    },
    3: {
        "the improved recipe": [],
        "views as in the texts": PLAIN_VIEWS,
        "no weight decay": ["weight_decay=0"],
        "labels smoothed by 0.1": ["smoothing=0.1"],
        "steps three times as large": ["learning_rate=1e-4"],
        "one view at prediction time": ["mirrored=False"],
        "weights of the last step, not averaged": ["average=0"],
    },
}


def trained(data: Path, folder: Path, part: int, seed: int, changes: list[str]) -> About:
    """What the weights file of one run says; the run is made if it has not been yet."""
    name, command = list(FILES.values())[part - 1]
    kept = folder / f"seed{seed}_part{part}_{'_'.join(changes) or 'improved'}.h5"
    if not kept.exists():
        work = folder / f"seed{seed}"  # where the features and views are shared
        script = PROJECT / command.split()[1]
        flags = ["--data", str(data), "--weights-dir", str(work), "--seed", str(seed), "--recipe", "improved"]
        sets = [word for change in changes for word in ("--set", change)]
        if part == 3:
            trained(data, folder, 2, seed, [])
            shutil.copy(folder / f"seed{seed}_part2_improved.h5", work / FILES["bottleneck_fc_model"][0])
        subprocess.run([sys.executable, str(script), *flags, *sets], check=True)
        (work / name).rename(kept)
    return read_about(kept)


def main() -> None:
    """Run what is missing and write the sections."""
    p = parser(
        "Measure what each change brings.", "python benchmarks/ablation.py --data ../shared/datasets/calico_tabby"
    )
    p.add_argument("--data", type=Path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--parts", type=int, nargs="+", choices=[1, 2, 3], default=[1, 2, 3], help="default: 1 2 3")
    p.add_argument("--seeds", type=seed_number, nargs="+", metavar="N", default=[0, 1, 2], help="default: 0 1 2")
    runs = project_path("weights/ablation")
    p.add_argument("--runs", type=Path, metavar="DIR", default=runs, help="where runs are kept (default: %(default)s)")
    args = p.parse_args()
    for part in args.parts:
        lines = [
            f"{machine()}.",
            f"`python benchmarks/ablation.py --data {args.data.as_posix()} --parts {part}`",
            "",
            "| the improved recipe with | seeds | validation accuracy | log loss | calibration error |",
            "|---|---|---|---|---|",
        ]
        for title, changes in CHANGES[part].items():
            abouts = [trained(args.data, args.runs / args.data.name, part, seed, changes) for seed in args.seeds]
            scores = [
                spread([about.scores[f"val_{score}"] for about in abouts], ".3f")
                for score in ("accuracy", "loss", "calibration_error")
            ]
            lines.append(f"| {title} | {len(abouts)} | {' | '.join(scores)} |")
            write_section(TABLE, HEADING, f"{args.data.name}, part {part}", lines)


if __name__ == "__main__":
    sys.exit(run(main))
