"""Ablation: a recipe with one thing changed, on the validation photos.

    python benchmarks/ablation.py --data ../shared/datasets/calico_tabby
    python benchmarks/ablation.py --data ../shared/datasets/cats_vs_dogs --parts 1 3 --photos 200
    python benchmarks/ablation.py --data ../shared/datasets/cats_vs_dogs --recipe original

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

from report import linked_photos, preamble, spread, write_section
from tutorial.cli import PROJECT, file_path, parser, positive_int, project_path, run, seed_number
from tutorial.dataset import class_folders, find_photos
from tutorial.images import open_photo
from tutorial.model_file import FILES, WeightsFile

from PIL import Image

TABLE = project_path("benchmarks/ablation.md")
HEADING = (
    "# Ablation: a recipe with one change\n\nWritten by `benchmarks/ablation.py`: validation accuracy and log loss "
    "(improved recipe: of\ncalibrated predictions; original recipe: as Keras's fit computes it, without the 1e-7 by "
    "which benchmarks/accuracy.md\nclips probabilities), mean and range over seeds.\n"
)
MORE = {"rotation_range": 15.0, "shift_range": 0.1, "brightness": 0.1, "contrast": 0.2}  # of augmentation
NO_MORE = [f"augmentation.{name}=0" for name in (*MORE, "random_erasing", "mixup_alpha")]
NEAREST, FEW = "nearest", "few"  # changed photos
Row = tuple[list[str], str]  # settings that are changed; which photos, "" for those of --data
WHOLE: dict[str, Row] = {"the recipe": ([], "")}
CHANGES: dict[str, dict[int, dict[str, Row]]] = {  # of each recipe and part: what is changed, and how
    "improved": {
        1: WHOLE | {"the original recipe's augmentation": (NO_MORE, "")},
        2: WHOLE
        | {
            "a tenth of the regularization": (["C=0.6"], ""),
            "no regularization": (["C=0"], ""),
            "224 pixels": (["image_size=224"], ""),
            "192 pixels": (["image_size=192"], ""),
            "150 pixels": (["image_size=150"], ""),
            "the original top model": (["pooling=", "dropout=0.5"], ""),
            "1/255 instead of ImageNet preprocessing": (["preprocessing=rescale"], ""),
            "nearest-neighbor interpolation": ([], NEAREST),
            "a third of the photos of one class": ([], FEW),
            "a third of the photos of one class, no class weights": (["class_weights=False"], FEW),
        },
        3: WHOLE
        | {
            "rotation, shift, brightness and contrast, too": (
                [f"augmentation.{name}={value}" for name, value in MORE.items()],
                "",
            )
        },
    },
    "original": {  # what may explain the difference from the blog post's figures
        1: WHOLE
        | {
            "50 epochs, as in the blog post's code": (["epochs=50"], ""),
            "nearest-neighbor interpolation": ([], NEAREST),
        },
        2: WHOLE | {"nearest-neighbor interpolation": ([], NEAREST)},
        3: WHOLE
        | {
            "50 epochs, as in the blog post's code": (["epochs=50"], ""),
            "30 cached copies, which are new ones in every epoch": (["cached_copies=30"], ""),
            "nearest-neighbor interpolation": ([], NEAREST),
        },
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


def change_photos(data: Path, which: str, size: int, folder: Path) -> None:
    """Make the photos of a row: resized by nearest-neighbor, or fewer training photos of a class."""
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
                    small = open_photo(photo).resize((size, size), Image.Resampling.NEAREST)
                    small.save(there.with_suffix(".png"))


def trained(data: Path, folder: Path, recipe: str, part: int, seed: int, changes: list[str]) -> Path:
    """The weights file of one run; its history is the .csv of the same name. The run is made if it does not exist."""
    model, (name, command) = list(FILES.items())[part - 1]
    target = folder / f"seed{seed}_part{part}_{'_'.join(changes) or recipe}.h5"
    if not target.exists():
        work = folder / "work"  # of all seeds: the features do not depend on them
        script = PROJECT / command.split()[1]
        flags = ["--data", str(data), "--weights-dir", str(work), "--seed", str(seed), "--recipe", recipe]
        if part == 3:
            shutil.copy(trained(data, folder, recipe, 2, seed, []), work / FILES["bottleneck_fc_model"][0])
        sets = [word for change in changes for word in ("--set", change)]
        subprocess.run([sys.executable, str(script), *flags, *sets], check=True)
        (work / f"{model}.csv").replace(target.with_suffix(".csv"))
        (work / name).replace(target)
    return target


def row(title: str, weights: list[Path]) -> str:
    """A line of the table: mean and range over the seeds."""
    found, best = [WeightsFile(path).info for path in weights], []
    for path in weights:
        with open(path.with_suffix(".csv"), newline="") as file:
            best.append(max(float(one["val_accuracy"]) for one in csv.DictReader(file)))
    cells = [
        spread([one.scores["val_accuracy"] for one in found], ".3f"),
        spread(best, ".3f"),
        spread([one.scores["val_loss"] for one in found], ".3f"),
        spread([one.minutes for one in found], ".1f"),
    ]
    return f"| {title} | {len(found)} | {' | '.join(cells)} |"


def main() -> None:
    """Run what is missing and write the sections."""
    p = parser(__doc__)
    p.add_argument("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--recipe", choices=list(CHANGES), default="improved", help="default: %(default)s")
    p.add_argument("--parts", type=int, nargs="+", choices=[1, 2, 3], default=[1, 2, 3], help="default: 1 2 3")
    p.add_argument("--seeds", type=seed_number, nargs="+", metavar="N", default=[0, 1, 2], help="default: 0 1 2")
    p.add_argument("--photos", type=positive_int, metavar="N", help="only the first N of each class and split")
    runs = project_path("weights/ablation")
    p.add_argument(
        "--runs", type=file_path, metavar="DIR", default=runs, help="folder of the runs (default: %(default)s)"
    )
    args = p.parse_args()
    title = args.data.name
    if args.photos:
        title = f"{title}, {args.photos} photos a class"
    folder = args.runs / title.replace(", ", "_").replace(" ", "_") / args.recipe
    data = args.data
    if args.photos:
        counts = dict.fromkeys(("train", "validation"), args.photos)
        data = complete(folder / "photos", lambda temporary: linked_photos(args.data, temporary, counts))
    for part in args.parts:
        lines = [
            *preamble(),
            "| | seeds | validation accuracy | of the best epoch | log loss | minutes |",
            "|---|---|---|---|---|---|",
        ]
        size = 256 if args.recipe == "improved" and part > 1 else 150
        for change, (settings, which) in CHANGES[args.recipe][part].items():
            photos = data
            if which:
                there = folder / f"{which}{size}"
                photos = complete(there / "data", partial(change_photos, data, which, size))
            else:
                there = folder
            weights = [trained(photos, there, args.recipe, part, seed, settings) for seed in args.seeds]
            lines.append(row(change, weights))
            write_section(TABLE, HEADING, f"{title}, part {part}, {args.recipe} recipe", lines)


if __name__ == "__main__":
    sys.exit(run(main))
