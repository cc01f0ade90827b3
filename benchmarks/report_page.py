"""The page that benchmarks/accuracy.py --report writes: one HTML file that holds everything it shows."""

import base64
import csv
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tutorial.calibration import reliability
from tutorial.files import atomic_write
from tutorial.images import PhotoError, open_photo
from tutorial.model_file import FILES, ModelInfo

import numpy as np

MISTAKES = 12  # photos shown of each model
THUMBNAIL = 120  # pixels, the longer side
LEFT, TOP, WIDTH, HEIGHT = 40, 10, 245, 170  # a chart's plot within its picture of 300 x 224
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # a browser holds the page to that
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1c1e; --quiet: #5c5c63; --rule: #d9d9de;
  --train: #1f77b4; --validation: #c24e00; --shade: 31, 119, 180; }
@media (prefers-color-scheme: dark) { :root { --paper: #17181b; --ink: #ececef; --quiet: #a6a6ae; --rule: #3a3b41;
  --train: #6cb6ec; --validation: #ff9a52; --shade: 78, 160, 220; } }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1, h2, h3 { line-height: 1.2; margin: 1.5rem 0 .6rem; }
h2 { margin-top: 2.5rem; border-top: 1px solid var(--rule); padding-top: 1rem; }
figure h3 { margin: 0 0 .5rem; font-size: 1rem; }
p { max-width: 48rem; margin: .4rem 0; }
small, figcaption, .quiet { color: var(--quiet); font-size: .85rem; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .45rem; overflow-wrap: normal; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--rule); }
thead th { vertical-align: bottom; }
td { white-space: nowrap; }
td small { display: block; font-size: .75rem; }
.scores tr > :nth-child(-n+2), .confusion th { text-align: left; }
.confusion td { background: rgba(var(--shade), calc(var(--share) * .6)); min-width: 4rem; }
.confusion th { max-width: 10rem; overflow-wrap: break-word; } .confusion small { color: inherit; }
.figures { display: grid; gap: 1.5rem; }
@media (min-width: 36rem) { .figures { grid-template-columns: 1fr 1fr; } }
@media (min-width: 68rem) { .figures { grid-template-columns: repeat(4, 1fr); } }
figure { margin: 0; min-width: 0; }
svg { display: block; width: 100%; max-width: 23rem; height: auto; }
svg text { fill: var(--quiet); font-size: 12px; text-anchor: middle; } svg .y { text-anchor: end; }
circle { fill: var(--train); }
polyline { fill: none; stroke-width: 1.5; stroke-linecap: round; stroke-linejoin: round; }
.train { stroke: var(--train); } .validation { stroke: var(--validation); stroke-dasharray: 5 3; }
.grid { stroke: var(--rule); } .ideal { stroke: var(--quiet); stroke-width: 1; }
b.train { color: var(--train); } b.validation { color: var(--validation); }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: 1rem; padding: 0;
  list-style: none; font-size: .85rem; line-height: 1.35; }
.photos img { display: block; width: 120px; height: 120px; margin-bottom: .3rem; object-fit: contain;
  object-position: left bottom; }
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
    predictions: dict[str, Predictions]  # to "train", "validation" and perhaps "test"


def text(value: object) -> str:
    """Escaped for HTML, in attributes too, and ASCII: file names may contain what no encoding can write."""
    value = str(value)
    errors = "xmlcharrefreplace" if value.isprintable() else "backslashreplace"
    return html.escape(value).encode("ascii", errors).decode()


def confusion(runs: list[Run]) -> np.ndarray:
    """Validation photos by true and predicted class, summed over the runs: int, (classes, classes)."""
    counts = np.zeros((len(runs[0].info.class_names),) * 2, int)
    for run in runs:
        np.add.at(counts, (run.predictions["validation"].labels, run.predictions["validation"].labels_predicted()), 1)
    return counts


def mistakes(runs: list[Run]) -> list[tuple[Path, int, int, float, int, int]]:
    """The validation photos that were classified wrongly, each once, the most confident prediction first.

    Returns:
        For each the file, its label, the predicted label, the highest probability of that, how many runs were wrong
        about it, and how many were evaluated.
    """
    found: dict[str, list] = {}
    for run in runs:
        predictions = run.predictions["validation"]
        for photo, label, named, row in zip(
            predictions.photos,
            predictions.labels,
            predictions.labels_predicted(),
            predictions.probabilities,
            strict=True,
        ):
            best, wrong, evaluated = found.get(photo, (None, 0, 0))
            if named != label and (best is None or row[named] > best[3]):
                best = (run.data / "validation" / photo, int(label), int(named), float(row[named]))
            found[photo] = [best, wrong + (named != label), evaluated + 1]
    wrong_ones = [(*best, int(wrong), evaluated) for best, wrong, evaluated in found.values() if best]
    return sorted(wrong_ones, key=lambda one: -one[3])


def _ticks(low: float, high: float) -> np.ndarray:
    """ModelInfo five round numbers within the range: float, (n,)."""
    rough = (high - low) / 5
    step = next(one for one in 10.0 ** np.floor(np.log10(rough)) * np.array([1, 2, 5, 10]) if one >= rough)
    return np.arange(int(np.ceil(low / step - 1e-9)), high / step + 1e-9) * step


def chart(
    lines: list[tuple[str, Sequence[float], Sequence[float]]],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    x_label: str,
    alt: str,
    counts: Sequence[int] = (),
) -> str:
    """An inline SVG of lines, each its CSS class, x and y; what is not finite is left out.

    The alt text tells those who do not see it. With counts, the last line has a dot and a count at each point.
    """
    spans = x_range[1] - x_range[0], y_range[1] - y_range[0]

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - x_range[0]) / spans[0], (y - y_range[0]) / spans[1]
        return round(float(LEFT + WIDTH * across), 1), round(float(TOP + HEIGHT * (1 - up)), 1)

    parts = [f'<svg viewBox="0 0 300 224" role="img" aria-label="{text(alt)}">']
    for tick in _ticks(*y_range):
        y = place(x_range[0], tick)[1]
        parts.append(f'<path class="grid" d="M{LEFT} {y}h{WIDTH}"/><text class="y" x="{LEFT - 6}" y="{y + 4}">')
        parts.append(f"{tick:g}</text>")
    for tick in _ticks(*x_range):
        if x_label == "epoch" and tick % 1:
            continue
        parts.append(f'<text x="{place(tick, y_range[0])[0]}" y="{TOP + HEIGHT + 16}">{tick:g}</text>')
    parts.append(f'<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 38}">{text(x_label)}</text>')
    points = []
    for name, xs, ys in lines:
        points = [place(x, y) for x, y in zip(xs, ys, strict=True) if np.isfinite([x, y]).all()]
        there = " ".join(f"{x},{y}" for x, y in points + points[-1:])  # twice, so that one point alone is a dot
        parts.append(f'<polyline class="{name}" points="{there}"/>')
    for (x, y), count in zip(points, counts, strict=False):
        below = y + 16 if y < TOP + HEIGHT - 20 else y - 8
        parts.append(f'<circle cx="{x}" cy="{y}" r="3"/><text x="{x}" y="{below}">{count}</text>')
    return "".join([*parts, "</svg>"])


def _curves(runs: list[Run], what: str) -> str:
    """Accuracy or loss by epoch, two lines a run, from the CSV that the part has left."""
    lines, ends = [], []
    for run in runs:
        with open(run.weights.with_name(f"{run.info.model}.csv"), newline="") as file:
            rows = list(csv.DictReader(file))
        for name, column in (("train", what), ("validation", f"val_{what}")):
            lines.append((name, *([float(row[one]) for row in rows] for one in ("epoch", column))))
        ends.append(f"{float(rows[-1][what]):.3f} in training, {float(rows[-1][f'val_{what}']):.3f} in validation")
    last = max(max(epochs) for _, epochs, _ in lines)
    values = [y for _, _, ys in lines for y in ys if np.isfinite(y)]
    y_range = (min([0.4, *values]), 1.0) if what == "accuracy" else (0.0, 1.05 * max([0.1, *values]))
    return chart(lines, (1, max(last, 2)), y_range, "epoch", f"{what} by epoch, at the end {'; '.join(ends)}")


def _reliability(runs: list[Run]) -> str:
    """How often right against how sure, all runs' predictions in the same bins."""
    predictions = [run.predictions["validation"] for run in runs]
    both = [np.concatenate([getattr(one, name) for one in predictions]) for name in ("probabilities", "labels")]
    sure, right, counts = zip(*reliability(*both), strict=True)
    least = np.floor(10 / both[0].shape[1]) / 10  # the predicted class has at least its even share
    alt = "share right by probability: " + ", ".join(f"{y:.2f} at {x:.2f}" for x, y in zip(sure, right, strict=True))
    diagonal = ("ideal", (least, 1), (least, 1))
    return chart(
        [diagonal, ("train", sure, right)], (least, 1), (0, 1), "probability of the predicted class", alt, counts
    )


def _confusion(runs: list[Run]) -> str:
    """The confusion matrix as a table, shaded by each row's shares."""
    counts, names = confusion(runs), [text(name) for name in runs[0].info.class_names]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = []
    for name, row in zip(names, counts, strict=True):
        shares = row / max(row.sum(), 1)
        cells = "".join(
            f'<td style="--share:{share:.3f}">{count}<small>{share:.0%}</small></td>'
            for count, share in zip(row, shares, strict=True)
        )
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table class="confusion"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(rows)}'
        "</tbody></table></div>"
    )


def _photos(runs: list[Run], kind: str) -> str:
    """The most confident mistakes, with their photos."""
    found, names = mistakes(runs), runs[0].info.class_names
    if not found:
        return "<p>None: every validation photo was classified correctly.</p>"
    cards = []
    for path, label, named, probability, wrong, evaluated in found[:MISTAKES]:
        try:
            photo = open_photo(path)
            photo.thumbnail((THUMBNAIL, THUMBNAIL))
            buffer = io.BytesIO()
            photo.save(buffer, "JPEG", quality=80)
            source = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
            alt = f"a photo of {names[label]}, predicted {names[named]}"
            picture = f'<img src="{source}" width="{photo.width}" height="{photo.height}" alt="{text(alt)}">'
        except PhotoError:
            picture = '<span class="quiet">cannot be shown</span>'
        often = f"<small>wrong with {wrong} of {evaluated} {kind}</small>" if evaluated > 1 else ""
        cards.append(
            f"<li>{picture}<b>{text(names[named])}</b> {probability:.1%}<br>but is {text(names[label])}"
            f"<small>{text(path.name)}</small>{often}</li>"
        )
    shown = f"{len(found)} photos were classified wrongly"
    shown += f"; the {MISTAKES} most confident predictions:" if len(found) > MISTAKES else ":"
    return f'<p>{shown}</p><ul class="photos">{"".join(cards)}</ul>'


def _section(model: str, recipe: str, runs: list[Run], kind: str) -> str:
    """One recipe's model: curves, confusion matrix, reliability, mistakes."""
    curves = (
        f'<b class="train">training</b> and <b class="validation">validation (dashed)</b> for each of the {kind}; in '
        "training before each step and with dropout, in parts 1 and 3 on augmented photos"
    )
    reliable = (
        "accuracy by probability, with the number of photos; on the straight line, eight in ten photos with 80% are "
        "classified correctly"
    )
    figures = [
        ("Accuracy", _curves(runs, "accuracy"), curves),
        ("Loss", _curves(runs, "loss"), curves),
        ("Reliability", _reliability(runs), f"{reliable}; all {kind} together"),
        ("Confusion matrix", _confusion(runs), f"rows: true class, columns: predicted class; all {kind} together"),
    ]
    shown = "".join(f"<figure><h3>{a}</h3>{b}<figcaption>{c}</figcaption></figure>" for a, b, c in figures)
    title = f"Part {list(FILES).index(model) + 1}: {model}, {recipe} recipe"
    return (
        f'<section><h2>{text(title)}</h2><div class="figures">{shown}</div><h3>The most confident mistakes</h3>'
        f"{_photos(runs, kind)}</section>"
    )


def _scores(header: list[str], rows: list[list[str]]) -> str:
    """The table; a range goes on a line of its own."""

    def cell(value: str) -> str:
        mean, bracket, rest = value.partition(" (")
        return f"<td>{text(mean)}<small>({text(rest)}</small></td>" if bracket else f"<td>{text(value)}</td>"

    head = "".join(f'<th scope="col">{text(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="scores"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def write_page(
    path: Path,
    title: str,
    above: list[str],
    table: tuple[list[str], list[list[str]]],
    below: list[str],
    runs: dict[tuple[str, str], list[Run]],
    kind: str,
) -> None:
    """Write the page.

    Args:
        path: of the page.
        title: its heading.
        above: paragraphs above the table: photos, machine, command.
        table: the header and the rows.
        below: paragraphs below the table.
        runs: by model and recipe.
        kind: what runs differ in: "seeds" or "folds".

    Raises:
        TutorialError: the page cannot be written.
    """
    paragraphs = ["".join(f'<p class="quiet">{text(one)}</p>' for one in ones) for ones in (above, below)]
    sections = "\n".join(_section(*key, ones, kind) for key, ones in runs.items())
    with atomic_write(path) as temporary:
        temporary.write_text(
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{text(title)}</title><style>{STYLE}</style></head><body>\n<h1>{text(title)}</h1>\n"
            f'{paragraphs[0]}<p class="quiet">{date.today()}</p>\n{_scores(*table)}\n{paragraphs[1]}\n{sections}\n'
            "</body></html>\n"
        )
