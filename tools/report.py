"""Write report.html, one self-contained page with the results of training.

    python tools/report.py                                       of the models in weights/
    python tools/report.py --data photos --weights-dir weights/improved

The models side by side; for each its learning curves, reliability diagram, confusion matrix and most confident
mistakes, with Grad-CAM heat maps; and the files in the data folder that were left out.
"""

import base64
import html
import io
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # without its packages installed, tutorial/ prints the remedy

from predict import TrainedModel
from tools.compare import trained_models
from tutorial.calibration import calibration_error, log_loss, reliability
from tutorial.cli import ProgressBar, TutorialError, echo, escape, file_path, parser, project_path, run
from tutorial.dataset import Photos, load_images
from tutorial.files import atomic_write
from tutorial.images import PhotoError, data_url, open_photo, read_photo
from tutorial.model_file import FILES, TRAINED_ON, ModelInfo, WeightsFile
from tutorial.plots import draw_curves, draw_reliability, overlay, read_history
from tutorial.recipes import DEFAULT, weights_dir

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

MISTAKES = 12  # photos shown of each model
CLASSES = 20  # in a confusion matrix; of more, those with the most mistakes
LEFT_OUT = 100  # files that are named
THUMBNAIL = 150  # pixels, the longer side
SMALL = 16  # pixels: photos are decoded only to know which can be read
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # a browser holds the page to that
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1c1e; --quiet: #5c5c63; --rule: #d9d9de;
  --shade: 31, 119, 180; }
@media (prefers-color-scheme: dark) { :root { --paper: #17181b; --ink: #ececef; --quiet: #a6a6ae; --rule: #3a3b41;
  --shade: 78, 160, 220; } .svg { filter: invert(1) hue-rotate(180deg); } }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1, h2, h3 { line-height: 1.2; margin: 1.5rem 0 .6rem; }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--rule); padding-top: 1rem; }
figure h3 { margin: 0 0 .3rem; font-size: 1rem; }
p { max-width: 48rem; margin: .4rem 0; }
small, figcaption, .quiet { color: var(--quiet); font-size: .85rem; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .45rem; overflow-wrap: normal; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--rule); }
thead th { vertical-align: bottom; }
td { white-space: nowrap; }
td small { display: block; font-size: .75rem; }
.scores tr > :first-child { text-align: left; }
.confusion td { background: rgba(var(--shade), calc(var(--share) * .6)); min-width: 3rem; }
.confusion th { max-width: 10rem; overflow-wrap: break-word; } .confusion th:first-child { text-align: left; }
.figures { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
figure { margin: 0; min-width: 0; }
img { display: block; max-width: 100%; height: auto; }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; padding: 0;
  list-style: none; font-size: .85rem; line-height: 1.35; }
.photos div { display: grid; grid-template-columns: repeat(2, minmax(0, 150px)); gap: .4rem; margin-bottom: .3rem; }
.photos img { width: 100%; object-fit: contain; object-position: left bottom; }
@media (min-width: 36rem) { .photos img { aspect-ratio: 1; } }
.photos small { display: block; }
"""


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for one split's photos, not augmented."""

    probabilities: np.ndarray  # float64, (n, classes), calibrated
    labels: np.ndarray  # int, (n,)
    photos: list[str]  # below the split's folder, with forward slashes

    def labels_predicted(self) -> np.ndarray:
        """The most probable class of each photo: int, (n,)."""
        return self.probabilities.argmax(axis=1)


@dataclass(frozen=True)
class Run:
    """One trained network."""

    number: int  # its seed, or its fold
    weights: Path  # the history is in the same folder
    data: Path  # the folder of its photos
    info: ModelInfo
    predictions: dict[str, Predictions]  # to "validation", and perhaps "test"
    model: TrainedModel | None = None  # for heat maps


def photos_of(data: Path) -> dict[str, Photos]:
    """The photos of a data folder by split, see :func:`tutorial.dataset.load_images`; their pixels are not needed."""
    return {photos.folder.name: photos for photos in load_images(data, SMALL) if photos}


def counted(counts: dict[str, int]) -> str:
    """Counts in words: "113 calico, 113 tabby"."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def confusion(runs: list[Run]) -> np.ndarray:
    """Validation photos by true and predicted class, summed over the runs: int, (classes, classes)."""
    counts = np.zeros((len(runs[0].info.class_names),) * 2, int)
    for one in (trained.predictions["validation"] for trained in runs):
        np.add.at(counts, (one.labels, one.labels_predicted()), 1)
    return counts


def mistakes(runs: list[Run]) -> list[tuple[Run, str, int, int, float, int, int]]:
    """The validation photos that were classified wrongly, each once, the most confident prediction first.

    Returns:
        For each the run that was most confident, the photo, its label, the predicted label, the probability of that,
        how many runs were wrong about it, and how many were evaluated.
    """
    found: dict[str, list[tuple[Run, str, int, int, float]]] = {}
    for trained in runs:
        one = trained.predictions["validation"]
        rows = zip(one.photos, one.labels, one.labels_predicted(), one.probabilities.max(axis=1), strict=True)
        for photo, label, named, probability in rows:
            found.setdefault(photo, []).append((trained, photo, int(label), int(named), float(probability)))
    wrong = [([one for one in ones if one[2] != one[3]], len(ones)) for ones in found.values()]
    shown = [(*max(ones, key=lambda one: one[4]), len(ones), evaluated) for ones, evaluated in wrong if ones]
    return sorted(shown, key=lambda one: -one[4])


# ---- The page ----------------------------------------------------------------------------------


def text(value: object) -> str:
    """Escaped for HTML, in attributes too; file names may contain what no encoding can write."""
    return html.escape(escape(value))


def _photo(photo: Image.Image, alt: str) -> str:
    return f'<img class="jpe" src="{data_url(photo, quality=80)}" alt="{text(alt)}">'


def _chart(title: str, draw: Callable[[Axes], None], label: str, alt: str, caption: str) -> str:
    figure, file = Figure((3.7, 2.8), layout="constrained"), io.BytesIO()  # inches of 96 pixels
    axis = figure.subplots()
    draw(axis)
    axis.set_xlabel(label)
    figure.savefig(file, format="svg", transparent=True)
    source = f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
    picture = f'<img class="svg" src="{source}" alt="{text(alt)}">'
    return f"<figure><h3>{title}</h3>{picture}<figcaption>{caption}</figcaption></figure>"


def _table(name: str, header: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col">{text(one)}</th>' for one in header)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll"><table class="{name}"><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def _curves(runs: list[Run], each: str) -> str:
    """Accuracy and loss by epoch, two lines a run, from the CSV that the part has left."""
    try:
        histories = [read_history(one.weights.with_name(f"{one.info.model}.csv")) for one in runs]
    except TutorialError as error:
        return f"<p>No learning curves: {text(error)}</p>"
    charts, caption = [], "train: mean over an epoch, with dropout, in parts 1 and 3 on augmented photos" + each
    for what in ("accuracy", "loss"):

        def draw(axis: Axes, what: str = what) -> None:
            for history in histories:
                draw_curves(axis, history, what)
            axis.legend(handles=axis.get_lines()[:2])

        ends = [f"{one[what][-1]:.3f} in training, {one[f'val_{what}'][-1]:.3f} in validation" for one in histories]
        alt = f"{what} by epoch, at the end {'; '.join(ends)}"
        charts.append(_chart(what.capitalize(), draw, "epoch", alt, caption))
    return "".join(charts)


def _reliability(runs: list[Run], together: str) -> str:
    """Accuracy by confidence, all runs' predictions in the same bins."""
    ones = [trained.predictions["validation"] for trained in runs]
    bins = reliability(*(np.concatenate([getattr(one, name) for one in ones]) for name in ("probabilities", "labels")))
    alt = "accuracy by probability: " + ", ".join(f"{right:.2f} at {sure:.2f}" for sure, right, _ in bins)
    caption = "accuracy by confidence; perfect calibration is the diagonal" + together
    label = "mean confidence (labels: number of photos)"
    return _chart("Reliability", lambda axis: draw_reliability(axis, bins), label, alt, caption)


def _confusion(runs: list[Run], together: str) -> str:
    """The confusion matrix, shaded by each row's shares, and the accuracy of each class."""
    counts, names, rows = confusion(runs), runs[0].info.class_names, []
    right, total = counts.diagonal(), counts.sum(axis=1)
    shown = sorted(np.argsort(right - total, kind="stable")[:CLASSES])
    for i in shown:
        cells = [f'<td style="--share:{counts[i, j] / total[i]:.3f}">{counts[i, j]}</td>' for j in shown]
        rows.append(f'<th scope="row">{text(names[i])}</th>{"".join(cells)}<th>{right[i] / total[i]:.1%}</th>')
    caption = f"the {CLASSES} classes of {len(names)} with the most mistakes; " * (len(names) > CLASSES)
    caption += f"rows: true class; columns: predicted class{together}"
    return f'{_table("confusion", ["", *(names[i] for i in shown), "accuracy"], rows)}<p class="quiet">{caption}</p>'


def _heat_map(model: TrainedModel, path: Path, named: str, photo: Image.Image) -> Image.Image:
    """A photo under Grad-CAM's heat map for a class."""
    from tutorial.gradcam import heat_map  # only now: TensorFlow takes seconds to load

    return overlay(photo, heat_map(model.network, model.info, read_photo(path, model.image_size), named))


def _mistakes(runs: list[Run], kind: str) -> str:
    """The most confident mistakes, with their photos and heat maps."""
    found, names, cards = mistakes(runs), runs[0].info.class_names, []
    if not found:
        return "<p>None: every validation photo was classified correctly.</p>"
    progress = ProgressBar("heat maps", len(found[:MISTAKES]))
    for trained, photo, label, named, probability, wrong, evaluated in found[:MISTAKES]:
        path = trained.data / "validation" / photo
        try:
            small = open_photo(path)
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            pictures = _photo(small, f"a photo of {names[label]}, predicted {names[named]}")
            if trained.model:
                pictures += _photo(_heat_map(trained.model, path, names[named], small), f"heat map for {names[named]}")
        except PhotoError:
            pictures = '<span class="quiet">cannot be shown</span>'
        often = f"<small>wrong with {wrong} of {evaluated} {kind}</small>" * (evaluated > 1)
        cards.append(
            f"<li><div>{pictures}</div><b>{text(names[named])}</b> {probability:.1%}, but is {text(names[label])}"
            f"<small>{text(path.name)}</small>{often}</li>"
        )
        progress.update(len(cards))
    progress.close()
    shown = f"{len(found)} photos were classified wrongly"
    shown += f"; the {MISTAKES} most confident predictions" * (len(found) > MISTAKES)
    shown += ". Beside each, Grad-CAM's heat map of the regions that support the prediction" * bool(runs[0].model)
    return f'<p>{shown}.</p><ul class="photos">{"".join(cards)}</ul>'


def _section(model: str, recipe: str, runs: list[Run], kind: str) -> str:
    """One recipe's model: curves, reliability, confusion matrix, mistakes."""
    each, together = f"; each of the {kind}" * (len(runs) > 1), f"; all {kind} together" * (len(runs) > 1)
    title = f"Part {list(FILES).index(model) + 1}: {model}, {recipe} recipe"
    return (
        f'<h2>{text(title)}</h2><div class="figures">{_curves(runs, each)}{_reliability(runs, together)}</div>'
        f"<h3>Confusion matrix</h3>{_confusion(runs, together)}"
        f"<h3>The most confident mistakes</h3>{_mistakes(runs, kind)}"
    )


def write_page(
    path: Path,
    title: str,
    above: list[str],
    table: tuple[list[str], list[list[str]]],
    below: list[str],
    runs: dict[tuple[str, str], list[Run]],
    kind: str = "",
    end: str = "",
) -> None:
    """Write the page.

    Args:
        path: of the page.
        title: its heading.
        above: paragraphs above the table: photos, machine, command.
        table: the header and the rows; a range in brackets goes on a line of its own.
        below: paragraphs below the table.
        runs: by model and recipe.
        kind: what several runs of a model differ in: "seeds" or "folds".
        end: HTML below the models.

    Raises:
        TutorialError: the page cannot be written.
    """
    cells = [[re.sub(r" (\(.*\))$", r"<small>\1</small>", text(one)) for one in row] for row in table[1]]
    rows = [f"<td>{'</td><td>'.join(row)}</td>" for row in cells]
    paragraphs = ["".join(f'<p class="quiet">{text(one)}</p>' for one in ones) for ones in (above, below)]
    sections = "\n".join(_section(*key, ones, kind) for key, ones in runs.items())
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body>\n<h1>{text(title)}</h1>\n{paragraphs[0]}"
        f'<p class="quiet">{date.today()}</p>\n{_table("scores", table[0], rows)}\n{paragraphs[1]}\n{sections}\n{end}'
        "</body></html>\n"
    )
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    echo(f"saved {path}")


# ---- The report of a folder of models ----------------------------------------------------------


def write_report(folder: Path, data: Path) -> None:
    """Write report.html into a folder of models, from their predictions for the validation and test photos.

    Raises:
        TutorialError: there is no model, or none that was trained on the photos in the data folder.
    """
    runs, others, photos = [], [], photos_of(data)
    for model in trained_models([folder]):
        try:
            found = saved_predictions(model.file, photos)
            runs.append(Run(model.info.settings.get("seed", 0), model.path, data, model.info, found, model))
        except TutorialError as error:
            others.append(str(error))
    if not runs:
        raise TutorialError(others[0])
    for other in others:
        echo(other)
    one = 100 / len(photos["validation"].paths)
    below = [
        "Train accuracy is that of the last epoch, in parts 1 and 3 on augmented photos. Log loss, calibration error "
        f"and all that follows are of the validation photos, of which one is {one:.2g} points"
        + ("; no setting was chosen on the test photos: report their accuracy." if "test" in photos else "."),
        *others,
    ]
    left_out = [text(one) for split in photos.values() for one in split.left_out]
    left_out[LEFT_OUT:] = [f"and {len(left_out) - LEFT_OUT} more"] * (len(left_out) > LEFT_OUT)
    end = "".join(f"<li>{one}</li>" for one in left_out)
    end = f"<h2>Left out of the data folder</h2>{f'<ul>{end}</ul>' if end else '<p>Nothing.</p>'}"
    above = [f"{split}: {counted(ones.counts())}" for split, ones in photos.items()]
    named = {(one.info.model, one.info.recipe): [one] for one in runs}
    title = f"Training report: {data.resolve().name}"
    write_page(folder / "report.html", title, above, _scores(runs), below, named, end=end)


def saved_predictions(file: WeightsFile, photos: dict[str, Photos]) -> dict[str, Predictions]:
    """The predictions that a part saved with its weights, for its validation and perhaps its test photos.

    Raises:
        TutorialError: the photos, of all splits, are not those that the part had.
    """
    file.places(TRAINED_ON, photos["train"])
    found = {}
    for split, ones in photos.items():
        if split != "train":
            names = [path.relative_to(ones.folder).as_posix() for path in ones.paths]
            found[split] = Predictions(file.predictions(ones), np.int64(ones.labels), names)
    return found


def _scores(runs: list[Run]) -> tuple[list[str], list[list[str]]]:
    """The models side by side: the header, and a row for each."""
    accuracies, rows = [f"{split} accuracy" for split in ("train", *runs[0].predictions)], []
    for one in runs:
        info, found = one.info, one.predictions
        photos = " + ".join(str(sum(counts.values())) for counts in info.photos.values())
        right = [float((ones.labels_predicted() == ones.labels).mean()) for ones in found.values()]
        both = found["validation"].probabilities, found["validation"].labels
        rows.append([
            info.model, *(f"{share:.1%}" for share in (info.scores.get("accuracy", np.nan), *right)),
            f"{log_loss(*both):.3f}", f"{calibration_error(*both):.3f}",
            info.recipe, f"{info.settings.get('epochs', '-')}", photos, f"{info.minutes:.1f}",
        ])  # fmt: skip
    return ["model", *accuracies, "log loss", "calibration error", "recipe", "epochs", "photos", "minutes"], rows


def main() -> None:
    """Write the report."""
    p = parser(__doc__)
    text = "folder with train/<class>/ and validation/<class>/, and perhaps test/<class>/ (default: %(default)s)"
    p.add_argument("--data", type=file_path, metavar="DIR", default=project_path("data"), help=text)
    text = "folder of the models, and of the report (default: %(default)s)"
    p.add_argument("--weights-dir", type=file_path, metavar="DIR", default=weights_dir(DEFAULT), help=text)
    args = p.parse_args()
    write_report(args.weights_dir, args.data)


if __name__ == "__main__":
    sys.exit(run(main))
