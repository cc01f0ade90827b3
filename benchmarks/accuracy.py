"""Accuracy, ROC AUC and calibration of each recipe's models, over several seeds or cross-validated.

    python benchmarks/accuracy.py --data ../shared/datasets/calico_tabby --recipe improved
    python benchmarks/accuracy.py --data ../shared/datasets/calico_tabby --report accuracy.html
    python benchmarks/accuracy.py --data ../shared/datasets/calico_tabby --recipe improved --folds 5

Runs the parts as a reader does, each recipe and seed in a folder of its own below --runs, and writes one section of
benchmarks/accuracy.md from the predictions that are saved with the weights. A part whose weights file exists is not run
again, so an interrupted benchmark resumes. --folds is for few photos: training and validation photos together are
split into folds by the seed, copies of a photo in the same one, and each fold in turn is the validation set.
"""

import os
import shlex
import shutil
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from folds import link_folds
from report import machine, spread, write_section
from tools.report import Predictions, Run, counted, photos_of, saved_predictions, write_page
from tutorial.calibration import calibration_error, log_loss
from tutorial.cli import (
    PROJECT,
    TutorialError,
    file_path,
    number_type,
    parser,
    project_path,
    run,
    seed_number,
)
from tutorial.dataset import find_images
from tutorial.model_file import FILES, WeightsFile

import numpy as np

TABLE = project_path("benchmarks/accuracy.md")
HEADING = (
    "# Accuracy and calibration, by recipe\n\nWritten by `benchmarks/accuracy.py`, a section a data folder: mean and "
    "range. A row shows what was run so far;\na part that was run by hand into the folder of --runs counts too.\n"
)
RECIPES = ["original", "improved"]
COLUMNS = {  # of the table: split and score
    "validation accuracy": ("validation", "accuracy"),
    **{score: ("validation", score) for score in ("balanced accuracy", "ROC AUC", "log loss", "ECE")},
    "test accuracy": ("test", "accuracy"),
}
folds_number = number_type("number of folds (2 or more)", 2)
cached_photos = lru_cache(maxsize=1)(photos_of)  # all models are evaluated on the same photos
Folders = tuple[int, Path, Path]  # seed or fold, folder of its weights, folder of its photos


def train_missing(data: Path, folder: Path, recipe: str, parts: list[int], seed: int) -> None:
    """Run the parts whose weights file is not in the folder.

    Part 2's bottleneck features do not depend on the seed: another seed's are copied.

    Raises:
        TutorialError: a part failed, see its message; or the folder has a run of another seed.
    """
    for part, (name, command) in enumerate(FILES.values(), 1):
        if part in parts and (folder / name).exists():
            other = WeightsFile(folder / name).info.settings.get("seed")
            if other != seed:
                raise TutorialError(f"{folder / name} is of seed {other}, not {seed}: name another folder with --runs.")
        if part in parts and not (folder / name).exists():
            flags = ["--data", data, "--weights-dir", folder, "--seed", seed, "--recipe", recipe]
            script = command.split()[1]
            for cache in folder.parent.glob("seed*/activations/bottleneck_features_*.npy") if part == 2 else []:
                if not (target := folder / "activations" / cache.name).exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(cache, target)
            if subprocess.run([sys.executable, str(PROJECT / script), *map(str, flags)], check=False).returncode:
                raise TutorialError(f"{script} failed, see above; what was finished before is kept in {folder}.")
            # Block 4's activations are no longer needed, a gigabyte over some seeds; with a full disk, later seeds
            # would train on new copies in every epoch.
            for cache in (folder / "activations").glob("block4_*.npy"):
                cache.unlink()


def read_run(number: int, weights: Path, data: Path) -> Run:
    """A weights file with its predictions for the validation and test photos.

    Raises:
        TutorialError: the file is damaged, or its photos are not those in the data folder.
    """
    file = WeightsFile(weights)
    try:
        found = saved_predictions(file, cached_photos(data))
    except TutorialError as error:
        raise TutorialError(f"{error} Or name another folder with --runs.") from None
    return Run(number, weights, data, file.info, found)


def scores(predictions: Predictions) -> dict[str, float]:
    """Accuracy, balanced accuracy, ROC AUC (of more than two classes the mean of each against the rest), log loss
    (natural logarithm) and expected calibration error of one split's predictions."""
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    probabilities, labels = predictions.probabilities, predictions.labels
    named = predictions.labels_predicted()
    two = probabilities.shape[1] == 2
    return {
        "accuracy": float((named == labels).mean()),
        "balanced accuracy": float(balanced_accuracy_score(labels, named)),
        "ROC AUC": float(roc_auc_score(labels, probabilities[:, 1] if two else probabilities, multi_class="ovr")),
        "log loss": log_loss(probabilities, labels),
        "ECE": calibration_error(probabilities, labels),
    }


def ensemble(runs: list[Run]) -> dict[str, Predictions]:
    """The mean of the runs' probabilities."""
    return {
        split: Predictions(
            np.mean([one.predictions[split].probabilities for one in runs], axis=0), first.labels, first.photos
        )
        for split, first in runs[0].predictions.items()
    }


def all_folds(runs: list[Run]) -> dict[str, Predictions]:
    """The validation photos of all folds, each with the prediction of the model that was not trained on it."""
    found = [one.predictions["validation"] for one in runs]
    probabilities, labels = (
        np.concatenate([getattr(one, name) for one in found]) for name in ("probabilities", "labels")
    )
    return {"validation": Predictions(probabilities, labels, [photo for one in found for photo in one.photos])}


def table(runs: dict[tuple[str, str], list[Run]], kind: str) -> tuple[list[str], list[list[str]]]:
    """The header, and a row for each model and recipe, and for its seeds together as an ensemble or all folds' photos.

    Without the test column where there are no test photos.
    """
    evaluated = next(iter(runs.values()))[0].predictions
    columns = {name: where for name, where in COLUMNS.items() if where[0] in evaluated}
    rows = []
    for (model, recipe), ones in runs.items():
        numbers, minutes = ", ".join(str(one.number) for one in ones), [one.info.minutes for one in ones]
        epochs = " or ".join(map(str, sorted({one.info.settings["epochs"] for one in ones})))
        lines = [(numbers, [one.predictions for one in ones], minutes)]
        if len(ones) > 1:
            together = ensemble(ones) if kind == "seeds" else all_folds(ones)
            lines.append((f"{numbers} together", [together], [sum(minutes)]))
        for numbers, predictions, minutes in lines:
            scored = [{split: scores(found) for split, found in one.items()} for one in predictions]
            cells = [spread([one[split][score] for one in scored], ".3f") for split, score in columns.values()]
            rows.append([model, recipe, numbers, epochs, *cells, spread(minutes, ".1f")])
    return ["model", "recipe", kind, "epochs", *columns, "minutes"], rows


def all_runs(folders: dict[str, list[Folders]]) -> dict[tuple[str, str], list[Run]]:
    """Every model that has been trained, by model and recipe; ``folders`` are those of each recipe."""
    found = {}
    for model, (name, _) in FILES.items():
        for recipe, there in folders.items():
            trained = [one for one in sorted(there) if (one[1] / name).exists()]
            if trained:
                found[model, recipe] = [read_run(number, folder / name, data) for number, folder, data in trained]
    return found


def words(data: Path, runs: dict[tuple[str, str], list[Run]], folds: int | None) -> tuple[list[str], list[str]]:
    """The lines above the table (photos, machine, command), and below it (how to read it)."""
    first = next(iter(runs.values()))[0]
    names = first.info.class_names
    photos = {split: np.array([counts[name] for name in names]) for split, counts in first.info.photos.items()}
    if folds:
        photos = {f"train and validation together, in {folds} folds": photos["train"] + photos["validation"]}
    lines = [f"{split}: {counted(dict(zip(names, counts, strict=True)))}" for split, counts in photos.items()]
    recipes = {recipe for _, recipe in runs}
    command = f"python benchmarks/accuracy.py --data {shlex.quote(data.as_posix())}"
    parts = sorted({list(FILES).index(model) + 1 for model, _ in runs})
    command += f" --recipe {min(recipes)}" * (len(recipes) == 1)
    command += f" --parts {' '.join(map(str, parts))}" * (len(parts) < len(FILES)) + f" --folds {folds}" * bool(folds)
    seed = first.info.settings["seed"]  # of all folds
    command += f" --seeds {seed}" * bool(folds and seed)
    below = [
        "Balanced accuracy, ROC AUC, log loss and ECE (expected calibration error) are of the validation photos.",
        "Calibration and rejection threshold of the improved recipe were fitted on the validation photos, so their "
        "scores are a little too good" + ("; no setting was chosen on the test photos." if "test" in photos else "."),
    ]
    if folds:
        below = [
            '"Together" are the validation photos of all folds; ECE of few photos is mostly noise.',
            *below,
            "Each fold is the validation set of models that were trained on neither its photos nor copies of them.",
        ]
    else:
        below = [
            '"Together" is the mean of the probabilities of all seeds\' models: an ensemble.',
            "Part 2's features are the same for all seeds; the first computes them, and takes the most minutes.",
            *below,
        ]
    return [f"{'; '.join(lines)}.", f"{machine()}, scikit-learn {version('scikit-learn')}.", command], below


def main() -> None:
    """Run the parts, evaluate their models, write the section and the page."""
    p = parser(__doc__)
    add, runs_folder = p.add_argument, project_path("weights/runs")
    add(
        "--data",
        type=file_path,
        metavar="DIR",
        required=True,
        help="folder with train/, validation/ and perhaps test/",
    )
    add("--recipe", choices=RECIPES, nargs="+", default=RECIPES, help="to run (default: both)")
    add("--parts", type=int, nargs="+", choices=[1, 2, 3], default=[1, 2, 3], help="to run (default: 1 2 3)")
    add("--seeds", type=seed_number, nargs="+", metavar="N", default=[0, 1, 2], help="default: 0 1 2; folds: the first")
    add(
        "--runs",
        type=file_path,
        metavar="DIR",
        default=runs_folder,
        help="folder of the runs (default: %(default)s)",
    )
    add("--folds", type=folds_number, metavar="K", help="cross-validate on the training and validation photos together")
    add("--report", type=file_path, metavar="PAGE.html", help="write a page as well, with curves and mistakes")
    args = p.parse_args()
    if find_spec("sklearn") is None:
        raise TutorialError("the package scikit-learn is not installed: python -m pip install -r requirements-data.txt")
    find_images(args.data)  # raises if something is wrong with the folder
    title = Path(os.path.abspath(args.data)).name  # "." has a name, too
    folder, kind = args.runs / title, "seeds"
    if args.folds:
        folder, kind, title = folder / f"folds{args.folds}", "folds", f"{title}, {args.folds} folds"
        data_folders = link_folds(args.data, folder, args.folds, args.seeds[0])
        folders = {
            recipe: [(fold, data.parent / recipe, data) for fold, data in enumerate(data_folders, 1)]
            for recipe in RECIPES
        }
        for recipe in args.recipe:
            for _, weights, data in folders[recipe]:
                train_missing(data, weights, recipe, args.parts, args.seeds[0])
    else:
        for seed in args.seeds:
            for recipe in args.recipe:
                train_missing(args.data, folder / recipe / f"seed{seed}", recipe, args.parts, seed)
        folders = {
            recipe: [
                (int(there.name[4:]), there, args.data)
                for there in (folder / recipe).glob("seed*")
                if there.name[4:].isdigit()
            ]
            for recipe in RECIPES
        }
    runs = all_runs(folders)
    above, below = words(args.data, runs, args.folds)
    header, rows = table(runs, kind)
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    lines[1] = lines[1].replace(" ", "")
    write_section(TABLE, HEADING, title, [*above[:-1], f"`{above[-1]}`", "", *lines, "", *below])
    if args.report:
        write_page(args.report, title, above, (header, rows), below, runs, kind)


if __name__ == "__main__":
    sys.exit(run(main))
