"""What each change of the improved recipe brings: the recipe with one thing taken back, on the validation photos.

    python benchmarks/ablation.py --data ../shared/datasets/calico_tabby
    python benchmarks/ablation.py --data ../shared/datasets/cats_vs_dogs --parts 1 3 --photos 200

Each row is the part as a reader runs it, with one setting changed by --set, or on photos that were changed. Part 3
starts from the part 2 of its seed as the recipe has it. Writes one section of benchmarks/ablation.md a data folder and
part; runs that are in the folder of --runs are not repeated, so an interrupted benchmark goes on where it stopped.
"""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that this script finds tutorial/
from PIL import Image
from report import linked_photos, machine, spread, write_section

from tutorial.command_line import PROJECT, parser, positive_int, project_path, run, seed_number
from tutorial.photos import class_folders, files_below, open_photo
from tutorial.weights_file import FILES, read_about

TABLE = project_path("benchmarks/ablation.md")
HEADING = (
    "# What each change of the improved recipe brings\n\nWritten by `benchmarks/ablation.py`: validation accuracy and "
    "log loss of the answers, calibrated, as mean and range\nover seeds. A row is the improved recipe with one thing "
    "changed.\n"
)
PLAIN_VIEWS = ["rotation=0", "shift=0", "light=0", "contrast=0", "erase=0"]  # sheared, zoomed and mirrored alone
NEAREST, FEW = "nearest", "few"  # photos that were changed
SIZE = 150  # pixels a side
PART_2_DECIDES = "enlarged="  # a setting that part 3 takes over
Row = tuple[list[str], str]  # settings that are changed; which photos, "" for those of --data
WHOLE: dict[str, Row] = {"the improved recipe": ([], "")}
CHANGES: dict[int, dict[str, Row]] = {  # of each part: what is changed, and how
    1: WHOLE
    | {
        "views as in the texts": (PLAIN_VIEWS, ""),
        "no mixup": (["mix=0"], ""),
        "no weight decay": (["weight_decay=0"], ""),
    },
    # Cached features make this part cheap, so it says what everything brings.
    2: WHOLE
    | {
        "no weight decay": (["weight_decay=0"], ""),
        "no dropout": (["dropout=0"], ""),
        "labels smoothed by 0.1": (["smoothing=0.1"], ""),
        "steps that do not fade": (["fade=False"], ""),
        "weights of the last step, not averaged": (["average=0"], ""),
        "no mirror images": (["mirrored=False"], ""),
        "no second look, at enlarged photos": (["enlarged=150"], ""),
        "photos shrunk to the nearest pixel, aliased": ([], NEAREST),
        "a third of the photos of one class": ([], FEW),
        "a third of the photos of one class, no class weights": (["balance=False"], FEW),
        "no second look, and the texts' top: Flatten and 256": (["enlarged=150", "average_places=False"], ""),
        "the texts' 1/255 instead of VGG16's preprocessing": (["own_preprocessing=False"], ""),
    },
    3: WHOLE
    | {
        "views as in the texts": (PLAIN_VIEWS, ""),
        "no mirror images": (["mirrored=False"], ""),
        "no second look, at enlarged photos": (["enlarged=150"], ""),
        "blocks 4 and 5 trained": (["blocks=2"], ""),
    },
}


def made_whole(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, which ``make`` fills beside its place if it is not there yet, so that it is whole or absent."""
    if not folder.exists():
        beside = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(beside, ignore_errors=True)
        make(beside)
        beside.rename(folder)
    return folder


def change_photos(data: Path, which: str, folder: Path) -> None:
    """Make the photos of a row: shrunk to the nearest pixel, or fewer of the last class to train on."""
    for split in ("train", "validation"):
        names = class_folders(data / split)
        for name in names:
            (folder / split / name).mkdir(parents=True)
            photos = files_below(data / split / name)
            if which == FEW and split == "train" and name == names[-1]:
                photos = photos[::3]
            for photo in photos:
                there = folder / split / name / photo.name
                if which == FEW:
                    there.symlink_to(photo.resolve())
                else:
                    small = open_photo(photo).resize((SIZE, SIZE), Image.Resampling.NEAREST)
                    small.save(there.with_suffix(".png"))


def trained(data: Path, folder: Path, part: int, seed: int, changes: list[str]) -> Path:
    """The weights file of one run, with its history beside it as .csv; the run is made if it has not been yet."""
    model, (name, command) = list(FILES.items())[part - 1]
    kept = folder / f"seed{seed}_part{part}_{'_'.join(changes) or 'improved'}.h5"
    if not kept.exists():
        work = folder / "work"  # where all seeds find the features, which depend on none of them
        script = PROJECT / command.split()[1]
        flags = ["--data", str(data), "--weights-dir", str(work), "--seed", str(seed), "--recipe", "improved"]
        if part == 3:
            earlier = [change for change in changes if change.startswith(PART_2_DECIDES)]
            changes = [change for change in changes if change not in earlier]
            shutil.copy(trained(data, folder, 2, seed, earlier), work / FILES["bottleneck_fc_model"][0])
        sets = [word for change in changes for word in ("--set", change)]
        subprocess.run([sys.executable, str(script), *flags, *sets], check=True)
        (work / f"{model}.csv").replace(kept.with_suffix(".csv"))
        (work / name).replace(kept)
    return kept


def row(title: str, weights: list[Path]) -> str:
    """A line of the table: mean and range over the seeds."""
    found = [read_about(path).scores for path in weights]
    scores = ("val_accuracy", "val_loss", "val_calibration_error")
    cells = [spread([one[score] for one in found], ".3f") for score in scores]
    return f"| {title} | {len(found)} | {' | '.join(cells)} |"


def best_epochs(weights: list[Path]) -> str:
    """What it would bring to go back to the epoch with the least validation loss, in words."""
    last, best = [], []
    for path in weights:
        with open(path.with_suffix(".csv"), newline="") as file:
            epochs = [(float(one["val_loss"]), float(one["val_accuracy"])) for one in csv.DictReader(file)]
        last.append(epochs[-1][1])
        best.append(min(epochs)[1])
    return (
        f"Improved recipe's accuracy as it trained, uncalibrated: {spread(last, '.3f')} after the last epoch, "
        f"{spread(best, '.3f')} after the one with the least validation loss."
    )


def main() -> None:
    """Run what is missing and write the sections."""
    p = parser(
        "Measure what each change brings.", "python benchmarks/ablation.py --data ../shared/datasets/calico_tabby"
    )
    p.add_argument("--data", type=Path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--parts", type=int, nargs="+", choices=[1, 2, 3], default=[1, 2, 3], help="default: 1 2 3")
    p.add_argument("--seeds", type=seed_number, nargs="+", metavar="N", default=[0, 1, 2], help="default: 0 1 2")
    p.add_argument("--photos", type=positive_int, metavar="N", help="only the first N of each class and split")
    runs = project_path("weights/ablation")
    p.add_argument("--runs", type=Path, metavar="DIR", default=runs, help="where runs are kept (default: %(default)s)")
    args = p.parse_args()
    title, flags = args.data.name, f"--data {args.data.as_posix()}"
    if args.photos:
        title, flags = f"{title}, {args.photos} photos a class", f"{flags} --photos {args.photos}"
    folder = args.runs / title.replace(", ", "_").replace(" ", "_")
    data = args.data
    if args.photos:
        counts = dict.fromkeys(("train", "validation"), args.photos)
        data = made_whole(folder / "photos", lambda beside: linked_photos(args.data, beside, counts))
    for part in args.parts:
        lines = [
            f"{machine()}.",
            f"`python benchmarks/ablation.py {flags} --parts {part}`",
            "",
            "| the improved recipe with | seeds | validation accuracy | log loss | calibration error |",
            "|---|---|---|---|---|",
        ]
        best = ""
        for change, (settings, which) in CHANGES[part].items():
            photos = data
            if which:
                photos = made_whole(folder / which / "data", partial(change_photos, data, which))
            weights = [trained(photos, folder / which, part, seed, settings) for seed in args.seeds]
            lines.append(row(change, weights))
            best = best or best_epochs(weights)
            write_section(TABLE, HEADING, f"{title}, part {part}", [*lines, "", best])


if __name__ == "__main__":
    sys.exit(run(main))
