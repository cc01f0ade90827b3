"""A part's history; contact sheets, learning curves, reliability diagrams, annotated predictions."""

import csv
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutorial.cli import TutorialError, escape
from tutorial.files import atomic_write
from tutorial.model_file import training_command

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # not pyplot, which opens windows, and in a notebook shows what it draws
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from PIL import Image

Bins = list[tuple[float, float, int]]

PICTURES = (".jpg", ".jpeg", ".png", ".pdf", ".svg")  # what --save writes
MADE_BY = b"Matplotlib"  # in the first bytes of its PNGs, and in our JPEGs
TRAIN_COLOR, VALIDATION_COLOR = "#1f77b4", "#d95f02"  # different in gray and for the color-blind


def save_contact_sheet(photos: np.ndarray, path: Path) -> None:
    """A contact sheet, PNG, of photos (n, size, size, 3) in 0..255, row by row."""
    size, columns, gap = photos.shape[1], 7, 6
    rows = -(-len(photos) // columns)
    sheet = np.full((rows * (size + gap) + gap, columns * (size + gap) + gap, 3), 255, np.uint8)
    for i, photo in enumerate(photos):
        y, x = gap + i // columns * (size + gap), gap + i % columns * (size + gap)
        sheet[y : y + size, x : x + size] = np.clip(photo, 0, 255).round()
    with atomic_write(path) as temporary:
        Image.fromarray(sheet).save(temporary, "PNG")


def _save_figure(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        kind = path.suffix.lstrip(".").lower()
        marked: dict[str, Any] = {"pil_kwargs": {"comment": MADE_BY}} if kind in ("jpg", "jpeg") else {}
        figure.savefig(temporary, dpi=110, facecolor="white", format=kind, **marked)


def save_history(history: dict[str, list[float]], path: Path) -> None:
    """The history as CSV: epoch, accuracy, loss, val_accuracy, val_loss."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *history])
        for epoch, row in enumerate(zip(*history.values(), strict=True), 1):
            writer.writerow([epoch, *(f"{value:.6f}" for value in row)])


def read_history(path: Path) -> dict[str, list[float]]:
    """A part's history by name, from its CSV: one number for each epoch.

    Raises:
        TutorialError: the file is missing or damaged.
    """
    command = training_command(path)
    if not path.exists():
        raise TutorialError(f"there is no {path}: run {command} first, or name its folder with --weights-dir.")
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        if not {"accuracy", "loss", "val_accuracy", "val_loss"} <= set(rows[0]):
            raise ValueError
        return {name: [float(row[name]) for row in rows] for name in rows[0]}
    except (ValueError, IndexError, TypeError):
        raise TutorialError(f"{path} is not as the part has written it: run {command} again.") from None


def save_history_plot(history: dict[str, list[float]], title: str, path: Path) -> None:
    """Accuracy and loss by epoch, train and validation, as PNG."""
    figure = Figure((9, 3.6), layout="constrained")
    figure.suptitle(title)
    for axis, what in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        draw_curves(axis, history, what)
        axis.set_xlabel("epoch")
        axis.set_title(what)
        axis.legend()
    _save_figure(figure, path)


def draw_curves(axis: Axes, history: dict[str, list[float]], what: str) -> None:
    """One of "accuracy" and "loss" by epoch, train and validation."""
    epochs = range(1, len(history[what]) + 1)
    mark = "o" if len(epochs) == 1 else None
    # Not clipped: a line along the end of the axis, at 1, would be half as wide.
    axis.plot(epochs, history[what], marker=mark, clip_on=False, color=TRAIN_COLOR, label="train")
    validation = history[f"val_{what}"]
    axis.plot(epochs, validation, "--", marker=mark, clip_on=False, color=VALIDATION_COLOR, label="validation")
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axis.grid(alpha=0.3)
    if what == "accuracy":
        axis.set_ylim(top=1)


def save_reliability_plot(before: Bins, after: Bins, path: Path) -> None:
    """Accuracy by confidence, before and after calibration, as PNG.

    Args:
        before: from ``calibration.reliability``: mean confidence, accuracy and number of photos of each bin.
        after: the same, calibrated.
        path: where to save.
    """
    figure = Figure((8, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    figure.suptitle("Reliability: of the validation photos that get 80%, are 80% classified correctly?")
    for axis, bins, title in zip(axes, (before, after), ("uncalibrated", "calibrated"), strict=True):
        draw_reliability(axis, bins)
        axis.set_title(title)
    axes[0].set_ylabel("accuracy")
    _save_figure(figure, path)


def draw_reliability(axis: Axes, bins: Bins) -> None:
    """Accuracy by confidence, with the number of photos at each point."""
    confidence, accuracy, count = zip(*bins, strict=True)
    axis.plot([0, 1], [0, 1], color="gray", linewidth=1)
    axis.plot(confidence, accuracy, "o-", color=TRAIN_COLOR)
    for x, y, n in zip(confidence, accuracy, count, strict=True):
        place = (4, -14) if y > 0.1 else (4, 7)  # next to the point, inside the frame
        axis.annotate(f"{n}", (x, y), textcoords="offset points", xytext=place, ha="right", fontsize=9)
    axis.set_xlim(min(0.45, min(confidence) - 0.05), 1.02)
    axis.set_ylim(-0.02, 1.05)
    axis.set_xlabel("mean confidence (labels: number of photos)")
    axis.grid(alpha=0.3)


@dataclass(frozen=True)
class Prediction:
    """A photo with its prediction, for :func:`save_predictions`."""

    photo: Image.Image
    text: str  # "calico (98.7%)"
    file_name: str
    class_name: str = ""  # the class that the heat map explains
    heat_map: np.ndarray | None = None  # float (h, w) in 0..1 over the whole photo, from gradcam.heat_map


def overlay(photo: Image.Image, regions: np.ndarray) -> Image.Image:
    """A photo, RGB, under a heat map of it, float (h, w) in 0..1, of any size."""
    colors = Image.fromarray(np.uint8(255 * colormaps["plasma"](regions)[..., :3]))
    return Image.blend(photo, colors.resize(photo.size, Image.Resampling.BILINEAR), 0.5)


def _shorten(text: str) -> str:
    text = escape(text)
    return text if len(text) <= 36 else text[:16] + "..." + text[-17:]


def save_predictions(predictions: list[Prediction], path: Path) -> None:
    """Photos with the prediction above and the file name below, each followed by its heat map if it has one.

    Args:
        predictions: the photos, for rows of up to four pictures.
        path: where to save; the format follows the suffix, one of PICTURES.
    """
    panels: list[tuple[Image.Image, str, str]] = []
    for one in predictions:
        panels.append((one.photo, escape(one.text), _shorten(one.file_name)))
        if one.heat_map is not None:
            seen = overlay(one.photo, one.heat_map)
            panels.append((seen, "", f"Grad-CAM heat map for {_shorten(one.class_name)}"))
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    lines = [above.replace("%), ", "%)\n").splitlines() for _, above, _ in panels]  # a line for each of two classes
    titles = ["\n".join("\n".join(textwrap.wrap(line, 28)) for line in above) for above in lines]
    high = 1 + max(title.count("\n") for title in titles)
    width, shape = max(3, 4 / columns), max(min(1, photo.height / photo.width) for photo, *_ in panels)
    size = columns * width, rows * (0.65 + 0.25 * high + (width - 0.3) * shape)
    spacing = ConstrainedLayoutEngine(h_pad=0.1)  # inches of white above and below each
    figure = Figure(size, layout=spacing)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (photo, _, below), title in zip(axes.flat, panels, titles, strict=False):
        axis.imshow(photo)
        axis.set_title(title, fontsize=13, parse_math=False)
        axis.text(0.5, -0.03, below, transform=axis.transAxes, ha="center", va="top", fontsize=9.5, parse_math=False)
    _save_figure(figure, path)


def check_picture_name(path: Path, photos: list[Path]) -> None:
    """Refuse a picture's file name before the work is done rather than after it.

    Raises:
        TutorialError: its suffix is not that of a format that can be written, or it is a photo, one of these or not.
    """
    if any(path.exists() and photo.exists() and path.samefile(photo) for photo in photos):
        raise TutorialError(f"{path} is one of the photos and is not overwritten: name another picture with --save.")
    picture = path.suffix.lower() in PICTURES[:3] and path.is_file()
    if picture and MADE_BY not in path.read_bytes()[:300]:  # "--save a.jpg b.jpg" is a slip
        raise TutorialError(f"{path} exists, was not saved by --save, and is not overwritten: name another picture.")
    if path.suffix.lower() not in PICTURES:
        raise TutorialError(f"{path} does not have the suffix of a picture format: use one of {', '.join(PICTURES)}.")
