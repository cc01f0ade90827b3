"""The diagram of VGG16 with a top model on it, as parts 2 and 3 train it; numbers are read from the network."""

import math
import re

from fine_tuning_VGG16_pt2 import top_model
from page import INK, QUIET, SHOWN, WIDTH, plt
from tutorial.backend import keras

from PIL import Image

layers = keras.layers

FROZEN, TRAINED = ("#a9c1d6", "#3d5a73", "frozen"), ("#f3ae6d", "#9a4500", "trained")  # fill, edge and word, the word
# Widths in pixels as shown: the margin, the photo, each block, the output, the top model.
EDGE, PHOTO, BLOCK, GAP, TOP = 12, 82, 99, 78, 149
TALLEST = 92  # pixels: a slab as high as the photo
HEIGHT, LINE = 464, 17  # pixels: of the whole diagram, and of a line of text
PARTS = (180, 342)  # pixels from the top: the middle of part 2's network, and of part 3's


def _in_words(layer: layers.Layer) -> str:
    """A layer of the top model: "Dense 256, relu"."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(layer).__name__.removesuffix("2D")).capitalize()
    if isinstance(layer, layers.Dense):
        return f"{name} {layer.units}, {layer.activation.__name__}"
    return f"{name} {layer.rate:g}" if isinstance(layer, layers.Dropout) else name


def _write(axis: plt.Axes, x: float, y: float, *lines: str, **how: object) -> None:
    """Lines of text below each other, centered at x unless ``ha`` is given, the first one's middle at y."""
    for i, text in enumerate(lines):
        axis.text(x, y + LINE * i, text, **{"ha": "center", "va": "center", "fontsize": 9, "color": INK, **how})


def network_figure(image_size: int, pooling: str, dropout: float, cat: Image.Image) -> plt.Figure:
    """The diagram: VGG16's blocks and the top model, and which of them parts 2 and 3 freeze and train.

    Args:
        image_size: height and width of a photo in pixels.
        pooling: "avg" for global average pooling, "" for none.
        dropout: the top model's, where it has one.
        cat: the photo.
    """
    shape = (image_size, image_size, 3)
    base = keras.applications.VGG16(weights=None, include_top=False, pooling=pooling or None, input_shape=shape)
    top = top_model(base.output_shape[1:], 2, dropout)
    blocks = [[layer for layer in base.layers if layer.name.startswith(f"block{n}_")] for n in range(1, 6)]
    parameters = [sum(layer.count_params() for layer in block) for block in blocks]
    end = EDGE + PHOTO + BLOCK * len(blocks) + GAP  # where the top model begins

    figure = plt.figure(figsize=(WIDTH, HEIGHT / 96))
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, SHOWN), ylim=(HEIGHT, 0))
    axis.axis("off")
    frozen, trained = sum(parameters), top.count_params()
    text = f"Part 2: VGG16 runs once over every photo; {frozen:,} parameters are frozen, {trained:,} trained."
    _draw_part(axis, PARTS[0], text, blocks, top, cat, 0)
    frozen, trained = frozen - parameters[-1], trained + parameters[-1]
    text = f"Part 3: blocks 1 to 4 run once over each copy; {frozen:,} parameters are frozen, {trained:,} trained."
    _draw_part(axis, PARTS[1], text, blocks, top, cat, 1)

    # The columns' texts, above and below
    below = HEIGHT - 36
    _write(axis, EDGE, below, "output:", "parameters:", ha="left", color=QUIET)
    columns = [(EDGE + 34, ["photo", f"{image_size} x {image_size}"], [])]
    for i, block in enumerate(blocks):
        *convolutions, pool = block
        kernel, filters = convolutions[0].kernel_size[0], convolutions[0].filters
        what = [f"{len(convolutions)} convolutions", f"of {kernel} x {kernel} pixels", f"{filters} filters"]
        out = " x ".join(map(str, pool.output.shape[1:]))
        x = EDGE + PHOTO + BLOCK * (i + 0.5)
        columns.append((x, [f"block {i + 1}", *what, "max pooling"], [out, f"{parameters[i]:,}"]))
    columns.append((end - GAP / 2, ["averages"] if pooling else ["features"], ["512"] if pooling else []))
    columns.append((end + TOP / 2, ["top model"], ["a probability", f"{top.count_params():,}"]))
    for x, (name, *above), outputs in columns:
        _write(axis, x, 20, name, weight="bold")
        _write(axis, x, 20 + LINE, *above)
        _write(axis, x, below, *outputs)
    axis.set_aspect("auto")
    return figure


def _draw_part(
    axis: plt.Axes, y: float, text: str, blocks: list, top: keras.Model, cat: Image.Image, trained: int
) -> None:
    """One part's network with its middle at ``y``; the last ``trained`` blocks are trained, the others cached."""
    end, half, words = EDGE + PHOTO + BLOCK * len(blocks) + GAP, 34, y + TALLEST / 2 + 12
    _write(axis, EDGE, y - TALLEST / 2 - 16, text, ha="left", weight="bold")
    axis.imshow(cat, extent=(EDGE, EDGE + 2 * half, y + half, y - half), interpolation="lanczos")
    arrow = {"arrowstyle": "-|>", "color": QUIET, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", (end, y), (EDGE + 2 * half, y), arrowprops=arrow, zorder=0)

    def box(x: float, width: float, height: float, fill: str, edge: str) -> None:
        axis.add_patch(plt.Rectangle((x, y - height / 2), width, height, facecolor=fill, edgecolor=edge, linewidth=1))

    for i, block in enumerate(blocks):
        fill, edge, word = TRAINED if i >= len(blocks) - trained else FROZEN
        slabs = [(7 + layer.filters / 36, layer, fill) for layer in block[:-1]] + [(6, block[-1], "white")]
        middle = EDGE + PHOTO + BLOCK * (i + 0.5)
        x = middle - (sum(width + 3 for width, _, _ in slabs) - 3) / 2
        for width, layer, color in slabs:  # each layer's output, from the side
            box(x, width, TALLEST * math.sqrt(layer.output.shape[1] / blocks[0][0].output.shape[1]), color, edge)
            x += width + 3
        _write(axis, middle, words, word, color=edge, weight="bold")
    cached = EDGE + PHOTO + BLOCK * (len(blocks) - trained) if trained else end - GAP / 2
    axis.plot([cached] * 2, [y - 32, y + 32], color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
    _write(axis, cached, y - 42, "cached", weight="bold")
    fill, edge, word = TRAINED
    box(end, TOP, LINE * len(top.layers) + 12, fill, edge)
    _write(axis, end + TOP / 2, y - LINE * (len(top.layers) - 1) / 2, *map(_in_words, top.layers))
    _write(axis, end + TOP / 2, words, word, color=edge, weight="bold")
