"""The diagram of VGG16 with a top model on it, as parts 2 and 3 train it. Names and numbers are the network's own."""

import math
import re
from dataclasses import dataclass

from page import INK, QUIET, SHOWN, WIDTH
from PIL import Image

from tutorial.backend import keras
from tutorial.networks import averaging, freeze_first_blocks, top_model, vgg16_base
from tutorial.pictures import plt

layers = keras.layers

FROZEN, TRAINED = ("#a9c1d6", "#3d5a73", "frozen"), ("#f3ae6d", "#9a4500", "trained")  # fill, edge and word, the word
# Pixels across: the margin, the photo, each block, what comes out, the top model.
EDGE, PHOTO, BLOCK, GAP, TOP = 12, 82, 99, 78, 149
TALLEST = 92  # pixels: a slab as high as the photo
HEIGHT, LINE = 464, 17  # pixels: of the whole diagram, and of a line of writing


@dataclass(frozen=True)
class Block:
    """One block of VGG16."""

    name: str  # "block 1"
    convolutions: list[tuple[int, int, int]]  # of each: pixels a side of what comes out, the kernel's side, its filters
    pooled: int  # pixels a side after the block
    parameters: int
    trained: bool  # by part 3


@dataclass(frozen=True)
class Network:
    """What there is to draw."""

    photo: int  # pixels a side
    blocks: list[Block]
    features: tuple[int, ...]  # the shape of what comes out of the blocks
    top: list[str]  # the top model's layers
    top_parameters: int


def _in_words(layer: keras.layers.Layer) -> str:
    """A layer of the top model: "Dense 256, relu"."""
    name = re.sub(r"2D$", "", type(layer).__name__)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()
    if isinstance(layer, layers.Dense):
        return f"{name} {layer.units}, {layer.activation.__name__}"
    return f"{name} {layer.rate:g}" if isinstance(layer, layers.Dropout) else name


def network(image_size: int, average_places: bool, dropout: float, trained: int) -> Network:
    """Build the network as part 3 does, without its weights, and ask its layers.

    Args:
        image_size: pixels a side of a photo.
        average_places: see :func:`networks.top_model`.
        dropout: the top model's.
        trained: how many of the blocks part 3 trains.
    """
    base = vgg16_base(image_size, imagenet=False)
    if average_places:
        base = averaging(base)
    freeze_first_blocks(base, trained)
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
    top = top_model(base.output_shape[1:], 2, average_places, dropout)
    features = tuple(side for side in base.output_shape[1:] if side > 1)
    return Network(
        image_size,
        blocks,
        features,
        [_in_words(layer) for layer in top.layers],
        top.count_params(),
    )


def _write(axis: plt.Axes, x: float, y: float, text: str, **how: object) -> None:
    """Writing, in the middle of x unless ``how`` says otherwise."""
    axis.text(x, y, text, **{"ha": "center", "va": "center", "fontsize": 9, "color": INK, **how})


def _slab(axis: plt.Axes, x: float, y: float, width: float, size: float, look: tuple[str, str, str]) -> None:
    """A layer's output, seen from the side: the smaller, the less high; ``size`` is a share of the photo's."""
    height = TALLEST * math.sqrt(size)
    fill, edge, _ = look
    axis.add_patch(plt.Rectangle((x, y - height / 2), width, height, facecolor=fill, edgecolor=edge, linewidth=1))


def _draw_part(axis: plt.Axes, y: float, shape: Network, trained: list[bool], cat: Image.Image, kept: bool) -> None:
    """One part's network with its middle at ``y``.

    Args:
        axis: in pixels as shown.
        y: of the middle.
        shape: the network.
        trained: for each block whether the part trains it.
        cat: the photo.
        kept: whether the features are kept and the blocks are asked no more.
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
        look, middle = TRAINED if is_trained else FROZEN, EDGE + PHOTO + BLOCK * (i + 0.5)
        widths = [7 + filters / 36 for _, _, filters in block.convolutions]
        x = middle - (sum(widths) + 3 * len(widths) + 6) / 2
        for width, (size, _, _) in zip(widths, block.convolutions, strict=True):
            _slab(axis, x, y, width, size / shape.photo, look)
            x += width + 3
        _slab(axis, x, y, 6, block.pooled / shape.photo, ("white", look[1], ""))
        _write(axis, middle, y + TALLEST / 2 + 12, look[2], color=look[1], weight="bold")
    if kept:
        middle = end - GAP / 2
        axis.plot([middle] * 2, [y - 32, y + 32], color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        _write(axis, middle, y + TALLEST / 2 + 12, "kept", weight="bold")
    fill, edge, word = TRAINED
    height = LINE * len(shape.top) + 12
    axis.add_patch(plt.Rectangle((end, y - height / 2), TOP, height, facecolor=fill, edgecolor=edge, linewidth=1))
    for line, text in enumerate(shape.top):
        _write(axis, end + TOP / 2, y + LINE * (line - (len(shape.top) - 1) / 2), text)
    _write(axis, end + TOP / 2, y + TALLEST / 2 + 12, word, color=edge, weight="bold")


def network_figure(shape: Network, cat: Image.Image) -> plt.Figure:
    """The diagram: what the blocks are, and what parts 2 and 3 freeze and train of them."""
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
    out = " x ".join(map(str, shape.features)) if len(shape.features) == 1 else ""  # else: what comes out of block 5
    columns.append((end - GAP / 2, [features], [out, ""]))
    columns.append((end + TOP / 2, ["top model"], ["a probability", f"{shape.top_parameters:,}"]))
    for x, above, below in columns:
        for line, text in enumerate(above):
            _write(axis, x, 20 + LINE * line, text, weight="bold" if line == 0 else "normal")
        for line, text in enumerate(below):
            _write(axis, x, HEIGHT - 36 + LINE * line, text)
    for line, text in enumerate(("comes out:", "parameters:")):
        _write(axis, EDGE, HEIGHT - 36 + LINE * line, text, ha="left", color=QUIET)

    two = f"Part 2: VGG16 looks at every photo once; {total:,} parameters are frozen, {shape.top_parameters:,} trained."
    three = f"Part 3: {frozen:,} parameters are frozen, {total - frozen + shape.top_parameters:,} trained."
    for y, text, trained, kept in (
        (180, two, [False] * len(shape.blocks), True),
        (342, three, [block.trained for block in shape.blocks], False),
    ):
        _write(axis, EDGE, y - TALLEST / 2 - 16, text, ha="left", weight="bold")
        _draw_part(axis, y, shape, trained, cat, kept)
    axis.set_xlim(0, SHOWN)
    axis.set_ylim(HEIGHT, 0)
    axis.set_aspect("auto")
    return figure
