"""The chart of validation accuracy: the three models, both recipes, and the published figures."""

import re
import textwrap
from dataclasses import dataclass

from page import FONT, INK, WIDTH, plt
from tutorial.model_file import FILES
from tutorial.plots import TRAIN_COLOR, VALIDATION_COLOR

PUBLISHED = {  # validation accuracy by part: the write-up's, on photos of its own, and the blog post's
    ("calico", "tabby"): ["0.667", "", "0.717"],
    ("cats", "dogs"): ["0.79-0.81", "0.90-0.91", "0.94"],
}
MARKERS = {  # of a row: color, shape, label in the legend
    "published": ("#55555c", "D", "published (calico / tabby: other photos)"),
    "original": (TRAIN_COLOR, "o", "original recipe"),
    "improved": (VALIDATION_COLOR, "s", "improved recipe"),
}


@dataclass(frozen=True)
class Score:
    """An accuracy, and the range in which it lies."""

    text: str  # next to the marker
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class PhotoSet:
    """One section of benchmarks/accuracy.md."""

    classes: list[str]
    counts: dict[str, int]  # of "train" and "validation", all classes together
    scores: dict[tuple[str, str], Score]  # validation accuracy by model and recipe


def _score(cell: str) -> Score:
    """A table's cell: "0.812 (0.787-0.838)", "0.79-0.81" or "0.667"."""
    numbers = [float(number) for number in re.findall(r"\d\.\d+", cell)]
    if len(numbers) == 2:
        return Score(cell, sum(numbers) / 2, *numbers)
    return Score(cell.split()[0], numbers[0], min(numbers), max(numbers))


def _tables(text: str) -> list[list[dict[str, str]]]:
    """The rows of every Markdown table, each by the names in the table's first row."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", f"{text}\n", re.MULTILINE):
        header, _, *rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in block.splitlines()]
        found.append([dict(zip(header, row, strict=False)) for row in rows])
    return found


def read_accuracy(text: str) -> list[PhotoSet]:
    """The photo sets of benchmarks/accuracy.md that were run over seeds; not the drawn one, or those cross-validated.

    Rows of several seeds "together", an ensemble, are left out.
    """
    found = []
    for section in text.split("\n## ")[1:]:
        splits = {}
        for split in ("train", "validation"):
            counted = re.search(rf"^(?:.*; )?{split}: ([^;\n]*?)[;.]", section, re.MULTILINE)
            splits[split] = re.findall(r"(\d+) ([^,]+)", counted[1]) if counted else []
        scores = {}
        for row in (row for table in _tables(section) for row in table):
            if {"model", "recipe", "seeds", "validation accuracy"} <= set(row) and "together" not in row["seeds"]:
                scores[row["model"], row["recipe"]] = _score(row["validation accuracy"])
        if scores and splits["train"] and not section.startswith("drawn\n"):
            counts = {split: sum(int(count) for count, _ in ones) for split, ones in splits.items()}
            found.append(PhotoSet([name for _, name in splits["train"]], counts, scores))
    return found


def accuracy_figure(sets: list[PhotoSet], titles: dict[str, str]) -> plt.Figure:
    """A panel for each photo set, in it a group of rows for each model, in that a row for each recipe.

    Args:
        sets: from :func:`read_accuracy`.
        titles: of the models.
    """
    figure, axes = plt.subplots(1, len(sets), figsize=(WIDTH, 3.7), layout="constrained", sharey=True, squeeze=False)
    rows = {key: 4 * i + j for i, model in enumerate(titles) for j, key in enumerate((model, one) for one in MARKERS)}
    shown = {}
    for axis, photos in zip(axes[0], sets, strict=True):
        published = {
            (model, "published"): _score(text)
            for model, text in zip(FILES, PUBLISHED.get(tuple(photos.classes), []), strict=False)
            if text
        }
        for (model, kind), score in (photos.scores | published).items():
            (color, mark, name), y = MARKERS[kind], rows[model, kind]
            axis.plot([score.low, score.high], [y, y], color=color, linewidth=3, solid_capstyle="butt", alpha=0.5)
            shown[kind] = axis.plot(score.mean, y, mark, color=color, markersize=6, label=name)[0]
            left = score.low > 0.6
            axis.annotate(
                score.text,
                (score.low if left else score.high, y),
                textcoords="offset points",
                xytext=(-8, 0) if left else (8, 0),
                ha="right" if left else "left",
                va="center",
                fontsize=FONT,
                color=INK,
            )
        counts = f"{photos.counts['train']:,} training, {photos.counts['validation']} validation photos"
        axis.set_title(f"{' / '.join(photos.classes)}\n{counts}")
        axis.set_xlabel("validation accuracy")
        axis.set_xlim(0.5, 1)
        axis.set_ylim(4 * len(titles) - 1, -1)
        axis.set_yticks(
            [4 * i + 1 for i in range(len(titles))], [textwrap.fill(title, 23) for title in titles.values()]
        )
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", alpha=0.3)
        for i in range(1, len(titles)):
            axis.axhline(4 * i - 1, color="#cccccc", linewidth=0.8)
    figure.legend(handles=[shown[kind] for kind in MARKERS if kind in shown], loc="outside upper center", ncols=3)
    return figure
