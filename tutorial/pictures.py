"""Pictures out: the augmentation sheet, the learning curves, an annotated prediction."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from tutorial.command_line import TutorialError
from tutorial.whole_file import written_whole

matplotlib.use("Agg")  # draws into files, so that a machine without a screen can run the parts
from matplotlib import pyplot as plt
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

Bins = list[tuple[float, float, int]]

TRAIN_COLOUR, VALIDATION_COLOUR = "#1f77b4", "#d95f02"  # told apart in grey and by the colour-blind


def save_jpeg(pixels: np.ndarray, path: Path) -> None:
    """Pixels, (height, width, 3) in 0..255, as a JPEG."""
    with written_whole(path) as beside:
        Image.fromarray(np.uint8(np.clip(pixels, 0, 255).round())).save(beside, "JPEG", quality=90)


def save_sheet(photos: np.ndarray, path: Path, columns: int = 7, gap: int = 6) -> None:
    """A contact sheet, PNG, of photos (n, size, size, 3) in 0..255, row by row."""
    size = photos.shape[1]
    rows = -(-len(photos) // columns)
    sheet = np.full((rows * (size + gap) + gap, columns * (size + gap) + gap, 3), 255, np.uint8)
    for i, photo in enumerate(photos):
        y, x = gap + i // columns * (size + gap), gap + i % columns * (size + gap)
        sheet[y : y + size, x : x + size] = np.clip(photo, 0, 255).round()
    with written_whole(path) as beside:
        Image.fromarray(sheet).save(beside, "PNG")


def _save_figure(figure, path: Path) -> None:
    with written_whole(path) as beside:
        figure.savefig(beside, dpi=110, facecolor="white", format=path.suffix.lstrip(".").lower())
    plt.close(figure)


def save_history_plot(history: dict[str, list[float]], title: str, path: Path) -> None:
    """Accuracy and loss by epoch, train and validation, as PNG."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    for axis, what in zip(axes, ("accuracy", "loss"), strict=True):
        draw_curves(axis, history, what)
        axis.set_xlabel("epoch")
        axis.set_title(what)
        axis.legend()
    _save_figure(figure, path)


def draw_curves(axis: plt.Axes, history: dict[str, list[float]], what: str) -> None:
    """One of "accuracy" and "loss" by epoch, train and validation."""
    epochs = range(1, len(history[what]) + 1)
    mark = "o" if len(epochs) == 1 else None
    # Whole lines where the axis ends at 1: clipped, one that lies on its end would be half as wide.
    axis.plot(epochs, history[what], marker=mark, clip_on=False, color=TRAIN_COLOUR, label="train")
    validation = history[f"val_{what}"]
    axis.plot(epochs, validation, "--", marker=mark, clip_on=False, color=VALIDATION_COLOUR, label="validation")
    axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axis.grid(alpha=0.3)
    if what == "accuracy":
        axis.set_ylim(top=1)


def save_reliability_plot(before: Bins, after: Bins, path: Path) -> None:
    """How often the answers are right against how sure they are, before and after calibration, as PNG.

    Args:
        before: from ``calibration.reliability``: for each bin (mean probability, share of right answers, photos).
        after: the same of the calibrated answers.
        path: where to save.
    """
    figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained", sharey=True)
    figure.suptitle("Reliability: of the validation photos that get 80 %, are 80 % right?")
    for axis, bins, title in zip(axes, (before, after), ("as the network says", "calibrated"), strict=True):
        sure, right, count = zip(*bins, strict=True)
        axis.plot([0, 1], [0, 1], color="grey", linewidth=1)
        axis.plot(sure, right, "o-", color=TRAIN_COLOUR)
        for x, y, n in zip(sure, right, count, strict=True):
            place = (4, -14) if y > 0.1 else (4, 7)  # beside the point, and within the frame wherever that is
            axis.annotate(f"{n}", (x, y), textcoords="offset points", xytext=place, ha="right", fontsize=8)
        axis.set_xlim(min(0.45, min(sure) - 0.05), 1.02)
        axis.set_ylim(-0.02, 1.05)
        axis.set_xlabel("mean probability of the class named (and photos)")
        axis.set_title(title)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share that is right")
    _save_figure(figure, path)


@dataclass(frozen=True)
class Answered:
    """A photo on the picture of answers."""

    photo: Image.Image
    answer: str  # "calico (98.7 %)"
    name: str  # of its file
    spoken_for: str = ""  # the class that ``places`` is about
    places: np.ndarray | None = None  # float (h, w) in 0..1 over the whole photo, from explain.grad_cam


def _short(text: str) -> str:
    return text if len(text) <= 36 else text[:16] + "..." + text[-17:]


def save_predictions(answers: list[Answered], path: Path) -> None:
    """Photos with the answer above and the file name below each, and beside each what spoke for it where that is known.

    Args:
        answers: the photos, for rows of up to four pictures.
        path: where to save; the format follows the ending (PNG, JPEG, PDF, SVG, WebP ...).
    """
    panels: list[tuple[Image.Image, str, str, np.ndarray | None]] = []
    for one in answers:
        panels.append((one.photo, one.answer, _short(one.name), None))
        if one.places is not None:
            panels.append((one.photo, "", f"warm: what spoke for {_short(one.spoken_for)}", one.places))
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    titles = ["\n".join(textwrap.wrap(above, 28)) for _, above, _, _ in panels]
    lines = 1 + max(title.count("\n") for title in titles)
    width, shape = max(3, 4 / columns), max(min(1, photo.height / photo.width) for photo, *_ in panels)
    size = columns * width, rows * (0.65 + 0.25 * lines + (width - 0.3) * shape)
    apart = ConstrainedLayoutEngine(h_pad=0.1)  # inches of white above and below each
    figure, axes = plt.subplots(rows, columns, figsize=size, layout=apart, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (photo, _, below, places), title in zip(axes.flat, panels, titles, strict=False):
        drawn = axis.imshow(photo)
        if places is not None:  # the loader squeezes the whole photo into its square, so the map is stretched back
            whole = drawn.get_extent()
            axis.imshow(places, "plasma", vmin=0, vmax=1, alpha=0.5, extent=whole, interpolation="bilinear")
        axis.set_title(title, fontsize=13, parse_math=False)
        axis.text(0.5, -0.03, below, transform=axis.transAxes, ha="center", va="top", fontsize=9.5, parse_math=False)
    _save_figure(figure, path)


def check_picture_name(path: Path) -> None:
    """Refuse a picture's file name before the work is done rather than after it.

    Raises:
        TutorialError: its ending is not that of a format that can be written.
    """
    endings = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lower().lstrip(".") not in endings:
        raise TutorialError(f"{path} does not end like a picture: use one of .{', .'.join(endings)}.")
