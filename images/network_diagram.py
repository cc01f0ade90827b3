"""The diagram of VGG16 with a top model on it, as parts 2 and 3 train it; numbers are read from the network."""

import math
import re
from dataclasses import dataclass

from fine_tuning_VGG16_pt2 import top_model
from page import INK, QUIET, SHOWN, WIDTH
from tutorial.backend import keras
from tutorial.plots import plt

from PIL import Image

layers = keras.layers

FROZEN, TRAINED = ("#a9c1d6", "#3d5a73", "frozen"), ("#f3ae6d", "#9a4500", "trained")  # fill, edge and word, the word
# Widths in pixels: the margin, the photo, each block, the output, the top model.
EDGE, PHOTO, BLOCK, GAP, TOP = 12, 82, 99, 78, 149
TALLEST = 92  # pixels: a slab as high as the photo
HEIGHT, LINE = 464, 17  # pixels: of the whole diagram, and of a line of text


@dataclass(frozen=True)
class Block:
    """One block of VGG16."""

    name: str  # "block 1"
    convolutions: list[tuple[int, int, int]]  # of each: height and width of the output, size of the kernel, filters
    pooled: int  # height and width after the block
    parameters: int
    trained: bool  # by part 3


@dataclass(frozen=True)
class Network:
    """What is drawn."""

    photo: int  # height and width in pixels
    blocks: list[Block]
    features: tuple[int, ...]  # the shape of block 5's output
    top: list[str]  # the top model's layers
    top_parameters: int


def _in_words(layer: keras.layers.Layer) -> str:
    """A layer of the top model: "Dense 256, relu"."""
    name = re.sub(r"2D$", "", type(layer).__name__)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()
    if isinstance(layer, layers.Dense):
        return f"{name} {layer.units}, {layer.activation.__name__}"
    return f"{name} {layer.rate:g}" if isinstance(layer, layers.Dropout) else name


def network(image_size: int, pooling: str, dropout: float) -> Network:
    """Build the network as part 3 does, without its weights, and read its layers.

    Args:
        image_size: height and width of a photo in pixels.
        pooling: see :func:`fine_tuning_VGG16_pt2.top_model`.
        dropout: the top model's.
    """
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(image_size, image_size, 3))
    for layer in base.layers:
        layer.trainable = layer.name.startswith("block5_")
    found: dict[str, list] = {}
    for layer in base.layers:
        if number := re.match(r"block(\d)_", layer.name):
            found.setdefault(f"block {number[1]}", []).append(layer)
    blocks = []
    for name, ones in found.items():
        convolutions = [one for one in ones if isinstance(one, layers.Conv2D)]
        blocks.append(
            Block(
                name,
                [(one.output.shape[1], one.kernel_size[0], one.filters) for one in convolutions],
                ones[-1].output.shape[1],
                sum(one.count_params() for one in ones),
                all(one.trainable for one in convolutions),
            )
        )
    features = (512,) if pooling else base.output_shape[1:]
    top = top_model((1, 1, 512) if pooling else features, 2, pooling, dropout)
    return Network(
        image_size,
        blocks,
        features,
        [_in_words(layer) for layer in top.layers],
        top.count_params(),
    )


def _write(axis: plt.Axes, x: float, y: float, text: str, **how: object) -> None:
    """Text, centered at x by default."""
    axis.text(x, y, text, **{"ha": "center", "va": "center", "fontsize": 9, "color": INK, **how})


def _slab(axis: plt.Axes, x: float, y: float, width: float, size: float, style: tuple[str, str, str]) -> None:
    """A layer's output, from the side; ``size`` is a fraction of the photo's."""
    height = TALLEST * math.sqrt(size)
    fill, edge, _ = style
    axis.add_patch(plt.Rectangle((x, y - height / 2), width, height, facecolor=fill, edgecolor=edge, linewidth=1))


def _draw_part(axis: plt.Axes, y: float, shape: Network, trained: list[bool], cat: Image.Image, cached: bool) -> None:
    """One part's network with its middle at ``y``.

    Args:
        axis: in pixels as shown.
        y: of the middle.
        shape: the network.
        trained: for each block whether the part trains it.
        cat: the photo.
        cached: whether the features are cached.
    """
    end, half = EDGE + PHOTO + BLOCK * len(shape.blocks) + GAP, 34
    axis.imshow(cat, extent=(EDGE, EDGE + 2 * half, y + half, y - half), interpolation="lanczos")
    axis.annotate(
        "",
        (end, y),
        (EDGE + 2 * half, y),
        arrowprops={"arrowstyle": "-|>", "color": QUIET, "shrinkA": 0, "shrinkB": 0},
        zorder=0,
    )
    for i, (block, is_trained) in enumerate(zip(shape.blocks, trained, strict=True)):
        style, middle = TRAINED if is_trained else FROZEN, EDGE + PHOTO + BLOCK * (i + 0.5)
        widths = [7 + filters / 36 for _, _, filters in block.convolutions]
        x = middle - (sum(widths) + 3 * len(widths) + 6) / 2
        for width, (size, _, _) in zip(widths, block.convolutions, strict=True):
            _slab(axis, x, y, width, size / shape.photo, style)
            x += width + 3
        _slab(axis, x, y, 6, block.pooled / shape.photo, ("white", style[1], ""))
        _write(axis, middle, y + TALLEST / 2 + 12, style[2], color=style[1], weight="bold")
    if cached:
        middle = end - GAP / 2
        axis.plot([middle] * 2, [y - 32, y + 32], color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        _write(axis, middle, y + TALLEST / 2 + 12, "cached", weight="bold")
    fill, edge, word = TRAINED
    height = LINE * len(shape.top) + 12
    axis.add_patch(plt.Rectangle((end, y - height / 2), TOP, height, facecolor=fill, edgecolor=edge, linewidth=1))
    for line, text in enumerate(shape.top):
        _write(axis, end + TOP / 2, y + LINE * (line - (len(shape.top) - 1) / 2), text)
    _write(axis, end + TOP / 2, y + TALLEST / 2 + 12, word, color=edge, weight="bold")


def network_figure(shape: Network, cat: Image.Image) -> plt.Figure:
    """The diagram: the blocks, and what parts 2 and 3 freeze and train of them."""
    figure = plt.figure(figsize=(WIDTH, HEIGHT / 96))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    total = sum(block.parameters for block in shape.blocks)
    frozen = sum(block.parameters for block in shape.blocks if not block.trained)

    columns = [(EDGE + 34, ["photo", f"{shape.photo} x {shape.photo}"], ["", ""])]
    for i, block in enumerate(shape.blocks):
        _, kernel, filters = block.convolutions[0]
        what = [f"{len(block.convolutions)} convolutions", f"of {kernel} x {kernel} pixels", f"{filters} filters"]
        out = [f"{block.pooled} x {block.pooled} x {filters}", f"{block.parameters:,}"]
        columns.append((EDGE + PHOTO + BLOCK * (i + 0.5), [block.name, *what, "max pooling"], out))
    end = EDGE + PHOTO + BLOCK * len(shape.blocks) + GAP
    features = "averages" if len(shape.features) == 1 else "features"
    out = " x ".join(map(str, shape.features)) if len(shape.features) == 1 else ""  # else: block 5's output
    columns.append((end - GAP / 2, [features], [out, ""]))
    columns.append((end + TOP / 2, ["top model"], ["a probability", f"{shape.top_parameters:,}"]))
    for x, above, below in columns:
        for line, text in enumerate(above):
            _write(axis, x, 20 + LINE * line, text, weight="bold" if line == 0 else "normal")
        for line, text in enumerate(below):
            _write(axis, x, HEIGHT - 36 + LINE * line, text)
    for line, text in enumerate(("output:", "parameters:")):
        _write(axis, EDGE, HEIGHT - 36 + LINE * line, text, ha="left", color=QUIET)

    two = (
        f"Part 2: VGG16 runs once over every photo; {total:,} parameters are frozen, {shape.top_parameters:,} trained."
    )
    three = f"Part 3: {frozen:,} parameters are frozen, {total - frozen + shape.top_parameters:,} trained."
    for y, text, trained, cached in (
        (180, two, [False] * len(shape.blocks), True),
        (342, three, [block.trained for block in shape.blocks], False),
    ):
        _write(axis, EDGE, y - TALLEST / 2 - 16, text, ha="left", weight="bold")
        _draw_part(axis, y, shape, trained, cat, cached)
    axis.set_xlim(0, SHOWN)
    axis.set_ylim(HEIGHT, 0)
    axis.set_aspect("auto")
    return figure
