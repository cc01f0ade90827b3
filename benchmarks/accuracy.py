"""How good each recipe's models are: accuracy, ROC AUC, calibration; over several seeds, or cross-validated.

    python benchmarks/accuracy.py --data ../shared/datasets/calico_tabby --recipe improved
    python benchmarks/accuracy.py --data ../shared/datasets/calico_tabby --report accuracy.html
    python benchmarks/accuracy.py --data ../shared/datasets/calico_tabby --recipe improved --folds 5

Runs the parts as a reader does, each recipe and seed into a folder of its own below --runs, asks every model there
about the photos as they are, and writes one section of benchmarks/accuracy.md. A part whose weights file is already
there is not run again, so an interrupted benchmark goes on where it stopped. --folds is for few photos: training and
validation photos together are dealt into folds, copies of a photo into the same one, and each fold in turn validates.
"""

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that this script finds tutorial/
from folds import link_folds
from report import machine, spread, write_section
from report_page import Answers, Run, write_page

from tutorial.calibration import calibration_error, log_loss
from tutorial.command_line import PROJECT, RECIPES, TutorialError, parser, project_path, run, seed_number, whole_number
from tutorial.photos import PhotoFiles, find_photos, find_test, load_photos
from tutorial.weights_file import FILES, read_about
from tutorial.whole_file import written_whole

TABLE = project_path("benchmarks/accuracy.md")
HEADING = (
    "# Accuracy and calibration, by recipe\n\nWritten by `benchmarks/accuracy.py`, a section a data folder: mean and "
    "range. A row shows what was run so far;\na part that was run by hand into the folder of --runs counts too.\n"
)
COLUMNS = {  # of the table: whose score, and which
    "train accuracy": ("train", "accuracy"),
    "validation accuracy": ("validation", "accuracy"),
    **{score: ("validation", score) for score in ("balanced accuracy", "ROC AUC", "log loss", "ECE")},
    "test accuracy": ("test", "accuracy"),
}
TRAIN_ASKED = 400  # photos that were trained on, enough to see how much better they are known
folds_number = whole_number("number of folds (2 or more)", 2)
FIELDS = [one.name for one in fields(Answers)]
Place = tuple[int, Path, Path]  # seed or fold, folder of its weights, folder of its photos


def train_missing(data: Path, folder: Path, recipe: str, parts: list[int], seed: int) -> None:
    """Run the parts that have left no weights file in the folder yet.

    Part 2's features depend on no seed: those of another seed on the same photos, in a folder beside, are taken over.

    Raises:
        TutorialError: a part failed; it has said why.
    """
    for part, (name, command) in enumerate(FILES.values(), 1):
        if part in parts and not (folder / name).exists():
            flags = ["--data", data, "--weights-dir", folder, "--seed", seed, "--recipe", recipe]
            script = command.split()[1]
            for kept in folder.parent.glob("seed*/bottleneck_features_*.npz") if part == 2 else []:
                if not (folder / kept.name).exists():
                    folder.mkdir(parents=True, exist_ok=True)
                    shutil.copy(kept, folder)
            if subprocess.run([sys.executable, str(PROJECT / script), *map(str, flags)], check=False).returncode:
                raise TutorialError(f"{script} failed, see above; what was finished before is kept in {folder}.")
            # Part 3 has no more use for the frozen blocks' outputs, a gigabyte over some seeds; with the disk full,
            # later seeds would train otherwise than earlier ones.
            shutil.rmtree(folder / "frozen_blocks", ignore_errors=True)


@lru_cache(maxsize=1)  # all seeds and models ask about the same photos
def _photos(data: Path, image_size: int) -> dict[str, tuple[np.ndarray, PhotoFiles]]:
    train, validation = find_photos(data)
    files = {"train": train, "validation": validation, "test": find_test(data, train)}
    return {split: load_photos(found, image_size) for split, found in files.items() if found}


def ask(number: int, weights: Path, data: Path) -> Run:
    """What the network of a weights file says of all photos, not augmented; kept beside it as .npz for the next time.

    Raises:
        TutorialError: the file is damaged, or its photos are not those in the data folder.
    """
    about = read_about(weights)
    kept, found = weights.with_name(f"{about.model}_answers.npz"), {}
    if kept.exists() and kept.stat().st_mtime_ns > weights.stat().st_mtime_ns:
        with np.load(kept) as file:
            for split in (one for one in ("train", "validation", "test") if f"{one}_{FIELDS[0]}" in file):
                probabilities, labels, photos = (file[f"{split}_{name}"] for name in FIELDS)
                found[split] = Answers(probabilities, labels, photos.tolist())
    if ("test" in found) != (data / "test").is_dir() or not found:
        sets = _photos(data, about.image_size)
        counts = {split: files.counts() for split, (_, files) in sets.items()}
        for split in ("train", "validation"):
            if counts[split] != about.photos[split]:
                raise TutorialError(
                    f"{weights} was made from {about.photos[split]} in {split}, and {data} has {counts[split]}: "
                    "remove its folder, or keep runs on other photos elsewhere with --runs."
                )
        from tutorial.answers import TrainedNetwork  # only now, since TensorFlow takes seconds to load

        print(f"asking {weights}", flush=True)
        network, found = TrainedNetwork(weights, about), {}
        for split, (pixels, files) in sets.items():
            if split == "train":
                some = np.arange(0, len(pixels), -(-len(pixels) // TRAIN_ASKED))
                pixels, files = pixels[some], files.only(some)
            names = [path.relative_to(files.folder).as_posix() for path in files.paths]
            found[split] = Answers(network.answers(pixels)[0], np.int64(files.labels), names)
        arrays = {f"{split}_{name}": getattr(one, name) for split, one in found.items() for name in FIELDS}
        with written_whole(kept) as beside:
            np.savez_compressed(beside, **arrays)
    return Run(number, weights, data, about, found)


def scores(answers: Answers) -> dict[str, float]:
    """Accuracy, balanced accuracy, ROC AUC (of more than two classes the mean of each against the rest), log loss
    (natural logarithm) and expected calibration error of one split's answers."""
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    probabilities, labels, named = answers.probabilities, answers.labels, answers.named()
    two = probabilities.shape[1] == 2
    return {
        "accuracy": float((named == labels).mean()),
        "balanced accuracy": float(balanced_accuracy_score(labels, named)),
        "ROC AUC": float(roc_auc_score(labels, probabilities[:, 1] if two else probabilities, multi_class="ovr")),
        "log loss": log_loss(probabilities, labels),
        "ECE": calibration_error(probabilities, labels),
    }


def averaged(runs: list[Run]) -> dict[str, Answers]:
    """What the runs' networks say together: the mean of their probabilities."""
    return {
        split: Answers(np.mean([one.answers[split].probabilities for one in runs], axis=0), first.labels, first.photos)
        for split, first in runs[0].answers.items()
    }


def table(runs: dict[tuple[str, str], list[Run]], kind: str) -> tuple[list[str], list[list[str]]]:
    """The header, and a row for each model and recipe, and for its seeds together as an ensemble.

    Without the test column where there are no test photos.
    """
    asked = next(iter(runs.values()))[0].answers
    columns = {name: where for name, where in COLUMNS.items() if where[0] in asked}
    rows = []
    for (model, recipe), ones in runs.items():
        numbers, minutes = ", ".join(str(one.number) for one in ones), [one.about.minutes for one in ones]
        epochs = " or ".join(map(str, sorted({one.about.settings["epochs"] for one in ones})))
        lines = [(numbers, [one.answers for one in ones], minutes)]
        if kind == "seeds" and len(ones) > 1:
            lines.append((f"{numbers} together", [averaged(ones)], [sum(minutes)]))
        for numbers, answers, minutes in lines:
            scored = [{split: scores(found) for split, found in one.items()} for one in answers]
            cells = [spread([one[split][score] for one in scored], ".3f") for split, score in columns.values()]
            rows.append([model, recipe, numbers, epochs, *cells, spread(minutes, ".1f")])
    return ["model", "recipe", kind, "epochs", *columns, "minutes"], rows


def all_runs(places: dict[str, list[Place]]) -> dict[tuple[str, str], list[Run]]:
    """Every model that has been trained, by model and recipe; the places are those of each recipe."""
    found = {}
    for model, (name, _) in FILES.items():
        for recipe, there in places.items():
            trained = [place for place in sorted(there) if (place[1] / name).exists()]
            if trained:
                found[model, recipe] = [ask(number, folder / name, data) for number, folder, data in trained]
    return found


def words(data: Path, runs: dict[tuple[str, str], list[Run]], folds: int | None) -> tuple[list[str], list[str]]:
    """What stands above the table (photos, machine, command), and below it (how to read it)."""
    first = next(iter(runs.values()))[0]
    names = first.about.class_names
    photos = {split: np.array([first.about.photos[split][name] for name in names]) for split in first.answers}
    if folds:
        photos = {f"train and validation together, in {folds} folds": photos["train"] + photos["validation"]}
    counted = [
        f"{split}: {', '.join(f'{count} {name}' for count, name in zip(counts, names, strict=True))}"
        for split, counts in photos.items()
    ]
    recipes = {recipe for _, recipe in runs}
    command = f"python benchmarks/accuracy.py --data {shlex.quote(data.as_posix())}"
    command += f" --recipe {min(recipes)}" * (len(recipes) == 1) + f" --folds {folds}" * bool(folds)
    below = [
        *['"Together" is the mean of the probabilities of all seeds\' models: an ensemble.'] * (not folds),
        *["Part 2's features are the same for all seeds; the first computes them, and takes the most minutes."]
        * (not folds),
        f"Photos were asked about as they are, not augmented; of those trained on, at most {TRAIN_ASKED}. Balanced "
        "accuracy, ROC AUC, log loss and ECE (expected calibration error) are of the validation photos.",
        'The validation photos chose how sure the improved recipe\'s models are and when they say "not sure", so their '
        "scores flatter a little" + ("; the test photos chose nothing." if "test" in photos else "."),
    ]
    if folds:
        below.append("Each fold is the validation set of models that saw neither its photos nor copies of them.")
    return [f"{'; '.join(counted)}.", f"{machine()}, scikit-learn {version('scikit-learn')}.", command], below


def main() -> None:
    """Run the parts, ask their models, write the section and the page."""
    example = "python benchmarks/accuracy.py --data ../shared/datasets/calico_tabby --recipe improved"
    p = parser("Measure accuracy and calibration of each recipe.", example)
    add, runs_folder = p.add_argument, project_path("weights/runs")
    add("--data", type=Path, metavar="DIR", required=True, help="folder with train/, validation/ and perhaps test/")
    add("--recipe", choices=RECIPES, nargs="+", default=list(RECIPES), help="to run (default: both)")
    add("--parts", type=int, nargs="+", choices=[1, 2, 3], default=[1, 2, 3], help="to run (default: 1 2 3)")
    add("--seeds", type=seed_number, nargs="+", metavar="N", default=[0, 1, 2], help="default: 0 1 2; folds: the first")
    add("--runs", type=Path, metavar="DIR", default=runs_folder, help="where runs are kept (default: %(default)s)")
    add("--folds", type=folds_number, metavar="K", help="cross-validate on the training and validation photos together")
    add("--report", type=Path, metavar="PAGE.html", help="write a page as well, with curves and mistakes")
    args = p.parse_args()
    if find_spec("sklearn") is None:
        raise TutorialError("the package scikit-learn is not installed: python -m pip install -r requirements-dev.txt")
    find_photos(args.data)  # says what is wrong with the folder, if something is
    title = Path(os.path.abspath(args.data)).name  # "." has a name, too
    folder, kind = args.runs / title, "seeds"
    if args.folds:
        folder, kind, title = folder / f"folds{args.folds}", "folds", f"{title}, {args.folds} folds"
        data_folders = link_folds(args.data, folder, args.folds)
        places = {
            recipe: [(fold, data.parent / recipe, data) for fold, data in enumerate(data_folders, 1)]
            for recipe in RECIPES
        }
        for recipe in args.recipe:
            for _, weights, data in places[recipe]:
                train_missing(data, weights, recipe, args.parts, args.seeds[0])
    else:
        for seed in args.seeds:
            for recipe in args.recipe:
                train_missing(args.data, folder / recipe / f"seed{seed}", recipe, args.parts, seed)
        places = {
            recipe: [
                (int(there.name[4:]), there, args.data)
                for there in (folder / recipe).glob("seed*")
                if there.name[4:].isdigit()
            ]
            for recipe in RECIPES
        }
    runs = all_runs(places)
    above, below = words(args.data, runs, args.folds)
    header, rows = table(runs, kind)
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    lines[1] = lines[1].replace(" ", "")
    write_section(TABLE, HEADING, title, [*above[:-1], f"`{above[-1]}`", "", *lines, "", *below])
    if args.report:
        write_page(args.report, title, above, (header, rows), below, runs, kind)
        print(f"wrote {args.report}")


if __name__ == "__main__":
    sys.exit(run(main))
