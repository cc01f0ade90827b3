"""Ablation: the improved recipe without one of its changes, on the validation photos.

    python benchmarks/ablation.py --data ../shared/datasets/calico_tabby
    python benchmarks/ablation.py --data ../shared/datasets/cats_vs_dogs --parts 1 3 --photos 200

Each row is the part as a reader runs it, with settings changed by --set, or on changed photos. Part 3 starts from the
recipe's part 2 with the same seed. Writes one section of benchmarks/ablation.md for each data folder and part; runs in
the folder of --runs are not repeated, so an interrupted benchmark resumes.
"""

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from report import linked_photos, machine, spread, write_section
from tutorial.cli import PROJECT, file_path, parser, positive_int, project_path, run, seed_number
from tutorial.dataset import class_folders, find_photos
from tutorial.images import open_photo
from tutorial.model_file import FILES, read_info

from PIL import Image

TABLE = project_path("benchmarks/ablation.md")
HEADING = (
    "# Ablation of the improved recipe\n\nWritten by `benchmarks/ablation.py`: validation accuracy and log loss of "
    "the calibrated predictions, mean and range\nover seeds. A row is the improved recipe with one change.\n\n"
    "Label smoothing and fine-tuning of blocks 4 and 5, whose rows stand here, were no better on both sets; the "
    "settings were removed.\n"
)
PLAIN = [f"augmentation.{name}=0" for name in ("rotation_range", "shift_range", "brightness", "contrast")]
NEAREST, FEW = "nearest", "few"  # changed photos
SIZE = 150  # pixels
PART_2_DECIDES = "input_sizes="  # a setting that part 3 takes from part 2
Row = tuple[list[str], str]  # settings that are changed; which photos, "" for those of --data
WHOLE: dict[str, Row] = {"the improved recipe": ([], "")}
CHANGES: dict[int, dict[str, Row]] = {  # of each part: what is changed, and how
    1: WHOLE
    | {
        "the original recipe's augmentation": ([*PLAIN, "augmentation.random_erasing=0"], ""),
        "no mixup": (["augmentation.mixup_alpha=0"], ""),
        "no weight decay": (["weight_decay=0"], ""),
    },
    # Cached features make this part cheap, so everything is tried.
    2: WHOLE
    | {
        "no weight decay": (["weight_decay=0"], ""),
        "no dropout": (["dropout=0"], ""),
        "no cosine decay": (["cosine_decay=False"], ""),
        "no moving average of the weights": (["ema_momentum=0"], ""),
        "no flips": (["flip_tta=False"], ""),
        "one input size, 150": (["input_sizes=(150,)"], ""),
        "photos resized to the nearest pixel, aliased": ([], NEAREST),
        "a third of the photos of one class": ([], FEW),
        "a third of the photos of one class, no class weights": (["class_weights=False"], FEW),
        "one input size, and the original top model": (["input_sizes=(150,)", "pooling="], ""),
        "1/255 instead of ImageNet preprocessing": (["preprocessing=rescale"], ""),
    },
    3: WHOLE
    | {
        "the original recipe's augmentation": (PLAIN, ""),
        "no flips": (["flip_tta=False"], ""),
        "one input size, 150": (["input_sizes=(150,)"], ""),
    },
}


def complete(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, which ``make`` fills under another name if it does not exist, so that it is complete or absent."""
    if not folder.exists():
        temporary = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(temporary, ignore_errors=True)
        make(temporary)
        temporary.rename(folder)
    return folder


def change_photos(data: Path, which: str, folder: Path) -> None:
    """Make the photos of a row: resized to the nearest pixel, or fewer training photos of the last class."""
    for split in ("train", "validation"):
        classes = class_folders(data / split)
        for name, photos_folder in classes.items():
            (folder / split / name).mkdir(parents=True)
            photos = find_photos(photos_folder).photos
            if which == FEW and split == "train" and name == max(classes):
                photos = photos[::3]
            for photo in photos:
                there = folder / split / name / photo.name
                if which == FEW:
                    there.symlink_to(photo.resolve())
                else:
                    small = open_photo(photo).resize((SIZE, SIZE), Image.Resampling.NEAREST)
                    small.save(there.with_suffix(".png"))


def trained(data: Path, folder: Path, part: int, seed: int, changes: list[str]) -> Path:
    """The weights file of one run; its history is the .csv of the same name. The run is made if it does not exist."""
    model, (name, command) = list(FILES.items())[part - 1]
    target = folder / f"seed{seed}_part{part}_{'_'.join(changes) or 'improved'}.h5"
    if not target.exists():
        work = folder / "work"  # of all seeds: the features do not depend on them
        script = PROJECT / command.split()[1]
        flags = ["--data", str(data), "--weights-dir", str(work), "--seed", str(seed), "--recipe", "improved"]
        if part == 3:
            earlier = [change for change in changes if change.startswith(PART_2_DECIDES)]
            changes = [change for change in changes if change not in earlier]
            shutil.copy(trained(data, folder, 2, seed, earlier), work / FILES["bottleneck_fc_model"][0])
        sets = [word for change in changes for word in ("--set", change)]
        subprocess.run([sys.executable, str(script), *flags, *sets], check=True)
        (work / f"{model}.csv").replace(target.with_suffix(".csv"))
        (work / name).replace(target)
    return target


def row(title: str, weights: list[Path]) -> str:
    """A line of the table: mean and range over the seeds."""
    found = [read_info(path).scores for path in weights]
    scores = ("val_accuracy", "val_loss", "val_calibration_error")
    cells = [spread([one[score] for one in found], ".3f") for score in scores]
    return f"| {title} | {len(found)} | {' | '.join(cells)} |"


def best_epochs(weights: list[Path]) -> str:
    """The accuracy of the last epoch and of the one with the smallest validation loss."""
    last, best = [], []
    for path in weights:
        with open(path.with_suffix(".csv"), newline="") as file:
            epochs = [(float(one["val_loss"]), float(one["val_accuracy"])) for one in csv.DictReader(file)]
        last.append(epochs[-1][1])
        best.append(min(epochs)[1])
    return (
        f"Improved recipe's accuracy, not calibrated, one input size: {spread(last, '.3f')} after the last epoch, "
        f"{spread(best, '.3f')} after the one with the smallest validation loss."
    )


def main() -> None:
    """Run what is missing and write the sections."""
    p = parser(__doc__)
    p.add_argument("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--parts", type=int, nargs="+", choices=[1, 2, 3], default=[1, 2, 3], help="default: 1 2 3")
    p.add_argument("--seeds", type=seed_number, nargs="+", metavar="N", default=[0, 1, 2], help="default: 0 1 2")
    p.add_argument("--photos", type=positive_int, metavar="N", help="only the first N of each class and split")
    runs = project_path("weights/ablation")
    p.add_argument(
        "--runs", type=file_path, metavar="DIR", default=runs, help="folder of the runs (default: %(default)s)"
    )
    args = p.parse_args()
    title, flags = args.data.name, f"--data {args.data.as_posix()}"
    if args.photos:
        title, flags = f"{title}, {args.photos} photos a class", f"{flags} --photos {args.photos}"
    folder = args.runs / title.replace(", ", "_").replace(" ", "_")
    data = args.data
    if args.photos:
        counts = dict.fromkeys(("train", "validation"), args.photos)
        data = complete(folder / "photos", lambda temporary: linked_photos(args.data, temporary, counts))
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
                photos = complete(folder / which / "data", partial(change_photos, data, which))
            weights = [trained(photos, folder / which, part, seed, settings) for seed in args.seeds]
            lines.append(row(change, weights))
            best = best or best_epochs(weights)
            write_section(TABLE, HEADING, f"{title}, part {part}", [*lines, "", best])


if __name__ == "__main__":
    sys.exit(run(main))
