"""Fur: noise, strands of hair, and the two coats, as functions of each pixel's position on the cat.

Everything here works on whole pictures, float32 arrays (size, size), and draws random numbers only from the caller's
generator, so the same seed gives the same fur.
"""

from drawing.cat_surface import Surface

import numpy as np
from PIL import Image, ImageFilter

Color = tuple[float, float, float]  # red, green, blue, 0 to 1

# The hair colors of real cats: how common, then (light band, dark band) of a tabby, (dark, warm patch) of a calico.
TABBY_COLORS: list[tuple[float, Color, Color]] = [
    (0.38, (0.62, 0.50, 0.36), (0.17, 0.13, 0.10)),  # brown
    (0.20, (0.60, 0.58, 0.54), (0.19, 0.18, 0.18)),  # gray
    (0.12, (0.74, 0.74, 0.73), (0.22, 0.22, 0.23)),  # silver
    (0.08, (0.55, 0.53, 0.51), (0.34, 0.33, 0.34)),  # blue: dark gray on gray
    (0.17, (0.86, 0.64, 0.42), (0.68, 0.42, 0.22)),  # orange
    (0.05, (0.93, 0.80, 0.62), (0.80, 0.60, 0.40)),  # cream
]
CALICO_COLORS: list[tuple[float, Color, Color]] = [
    (0.48, (0.10, 0.09, 0.09), (0.76, 0.50, 0.28)),  # black and orange
    (0.20, (0.12, 0.11, 0.10), (0.86, 0.66, 0.44)),  # black and a paler orange
    (0.10, (0.15, 0.12, 0.10), (0.66, 0.42, 0.24)),  # pale black and orange
    (0.22, (0.42, 0.41, 0.43), (0.84, 0.68, 0.52)),  # dilute: gray and cream
]
WHITE = np.array([0.94, 0.92, 0.89], np.float32)


def smooth_noise(rng: np.random.Generator, size: int, cells: float) -> np.ndarray:
    """Smooth noise, float32 (size, size), with ``cells`` hills a side: mean about 0, standard deviation about 0.6."""
    cells = min(max(cells, 0.5), size)
    grid = rng.standard_normal((int(cells) + 4, int(cells) + 4), np.float32)
    x, y = rng.uniform(1, 2, 2)
    hills = Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC, box=(x, y, x + cells, y + cells))
    return np.asarray(hills)


def blurred(field: np.ndarray, radius: float) -> np.ndarray:
    """Gaussian blur of a field or picture, (size, size) or (size, size, 3), 0 to 1; ``radius`` in pixels."""
    if radius < 0.3:
        return field
    picture = Image.fromarray(np.uint8(np.clip(field, 0, 1) * 255 + 0.5))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(float(radius))), np.float32) / np.float32(255)


def step(field: np.ndarray, softness: float | np.floating) -> np.ndarray:
    """0 where the field is negative, 1 where it is positive, with a linear ramp ``softness`` wide between them."""
    return np.clip(field / softness + np.float32(0.5), 0, 1)


def mixed(first: np.ndarray, second: np.ndarray | Color, share: np.ndarray) -> np.ndarray:
    """Two pictures (or colors) blended; ``share``, (size, size), is the weight of the second."""
    first = np.asarray(first, np.float32)
    return first + (np.asarray(second, np.float32) - first) * np.asarray(share, np.float32)[..., None]


def strands(
    rng: np.random.Generator, along_x: np.ndarray, along_y: np.ndarray, length: float, width: float
) -> np.ndarray:
    """Hair by line integral convolution: each pixel averages noise along a short line in the direction of growth.

    Args:
        rng: for the noise.
        along_x: the direction of growth at each pixel; (along_x, along_y) is a unit vector.
        along_y: see ``along_x``.
        length: of a hair, pixels.
        width: of a lock of hair, pixels.

    Returns:
        float32 (size, size), mean 0, standard deviation 1.
    """
    size = len(along_x)
    noise = smooth_noise(rng, size, size / width)
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    hair = np.zeros_like(noise)
    for share in np.linspace(-1, 1, int(np.clip(1.7 * length / width, 4, 12)), dtype=np.float32):
        y = np.clip(rows + along_y * (share * length), 0, size - 1).astype(np.int32)
        x = np.clip(columns + along_x * (share * length), 0, size - 1).astype(np.int32)
        hair += noise.take(y * size + x)
    return (hair - hair.mean()) / (hair.std() + np.float32(1e-6))


def _pick(rng: np.random.Generator, table: list[tuple[float, Color, Color]]) -> tuple[np.ndarray, np.ndarray]:
    """A random pair of colors, weighted by how common they are, with a little variation."""
    shares = np.array([row[0] for row in table])
    _, first, second = table[rng.choice(len(table), p=shares / shares.sum())]
    light = rng.uniform(0.88, 1.12)
    tint = rng.normal(0, 0.015, (2, 3))
    pair = np.clip(np.array([first, second]) * light + tint, 0.03, 0.97).astype(np.float32)
    return pair[0], pair[1]


def _white_parts(rng: np.random.Generator, cat: Surface, share: float, patchy: float) -> np.ndarray:
    """White fur, 0 to 1. White spreads upward from the belly, paws, chest and muzzle."""
    size = len(cat.inside)
    field = cat.white + patchy * (
        smooth_noise(rng, size, rng.uniform(0.45, 0.9) * size / cat.unit)
        + 0.3 * smooth_noise(rng, size, 2.2 * size / cat.unit)
    )
    level = np.quantile(field[cat.inside][::7], 1 - share) if cat.inside.any() else 0.0
    return step(field - np.float32(level), 0.10)


def _stripes(rng: np.random.Generator, cat: Surface) -> np.ndarray:
    """The dark part of a tabby's pattern, 0 to 1: mackerel, blotched, spotted or ticked, with the M on the forehead."""
    size = len(cat.inside)
    hills = smooth_noise(rng, size, 1.1 * size / cat.unit)
    fine = smooth_noise(rng, size, 2.6 * size / cat.unit)
    kind = rng.choice(["mackerel", "blotched", "spotted", "ticked"], p=[0.48, 0.24, 0.14, 0.14])
    turn = np.float32(2 * np.pi)
    if kind == "blotched":  # swirls: contour lines of smooth noise along the body
        body = np.sin(turn * (rng.uniform(0.45, 0.75) * cat.along + rng.uniform(0.5, 0.9) * hills) + 2.2 * cat.across)
    elif kind == "spotted":
        per = rng.uniform(1.5, 2.3)
        body = np.sin(turn * (per * cat.along + 0.3 * hills)) + np.sin(turn * (0.9 * cat.across + 0.4 * fine)) - 0.35
    else:  # narrow bands around the body, broken in places
        per = rng.uniform(1.3, 2.4)
        body = np.sin(turn * (per * cat.along + 0.28 * hills + 0.10 * fine + 0.12 * cat.across)) + 0.7 * fine
    limbs = np.sin(turn * (rng.uniform(1.2, 1.9) * cat.along + 0.15 * hills)) + 0.2  # rings on legs and tail
    pattern = np.where(cat.limb, limbs, body)
    pattern = np.maximum(pattern, 1.5 - 5 * np.abs(cat.across + 0.92) - 3 * cat.limb)  # the line along the back
    dark = step(pattern - np.float32(rng.uniform(-0.3, 0.35)), rng.uniform(0.4, 1.1))
    dark = dark * (1 - 0.7 * step(cat.across - 0.55, 0.5) * ~cat.limb)  # the belly is paler
    if kind == "ticked":
        dark = dark * np.where(cat.limb, 0.7, rng.uniform(0.05, 0.3))
    # The face: the M, lines over the crown, lines from the eyes over the cheeks, pale eye rings.
    x, y = np.abs(cat.face_x), cat.face_y
    wave = 0.12 * fine
    crown = np.cos(turn * (x / (0.30 - 0.10 * y) + 0.5 * wave)) * step(-0.22 - y, 0.15)
    brow = 1.4 - 14 * np.abs(y + 0.34 - 0.35 * (x - 0.30) + 0.5 * np.abs(x - 0.28))
    brow = np.where((x > 0.08) & (x < 0.6), brow, -1)
    cheek = np.sin(turn * 2.6 * (y - 0.30 * x + wave) + 0.6) * step(x - 0.48, 0.12) * step(y + 0.12, 0.1)
    lines = step(np.maximum(np.maximum(crown, brow), cheek) - 0.15, 0.7)
    rings = np.exp(-30 * ((x - 0.42) ** 2 + 1.4 * (y + 0.05) ** 2))
    face = np.clip(lines * rng.uniform(0.7, 1.0) - 0.9 * rings, 0, 1) * step(0.55 - y, 0.2)
    return np.where(cat.face, face, dark)


def tabby_coat(rng: np.random.Generator, cat: Surface, hair: np.ndarray) -> np.ndarray:
    """A tabby's colors, before lighting: float32 (size, size, 3), 0 to 1.

    ``hair`` is from :func:`strands`: each hair of a tabby has light and dark bands.
    """
    size = len(hair)
    light, dark = _pick(rng, TABBY_COLORS)
    amount = _stripes(rng, cat) * rng.uniform(0.65, 1.0)
    ticking = rng.uniform(0.05, 0.16)
    amount = np.clip(amount + ticking * hair + rng.uniform(0.0, 0.18), 0, 1)
    warm = np.array([1.07, 0.98, 0.86], np.float32) if rng.random() < 0.5 else np.array([1, 1, 1], np.float32)
    patches = step(smooth_noise(rng, size, 0.8 * size / cat.unit), 1.2)[..., None]
    coat = mixed(np.broadcast_to(light, (size, size, 3)) * (1 + (warm - 1) * patches), dark, amount)
    pale = np.clip(cat.white - 0.55, 0, 1) * rng.uniform(0.3, 0.9)  # chin, muzzle, belly: paler in every tabby
    coat = mixed(coat, 0.45 * light + 0.55 * WHITE, np.clip(pale, 0, 0.9))
    if rng.random() < 0.20:  # tabby with white
        white = WHITE * np.float32(rng.uniform(0.93, 1.03))
        coat = mixed(coat, white, _white_parts(rng, cat, rng.uniform(0.04, 0.38), 0.18))
    return coat


def calico_coat(rng: np.random.Generator, cat: Surface, hair: np.ndarray) -> np.ndarray:
    """A calico's colors, before lighting: float32 (size, size, 3), 0 to 1.

    ``hair`` is from :func:`strands`.
    """
    size = len(hair)
    black, orange = _pick(rng, CALICO_COLORS)
    brindle = rng.choice([0.15, 0.45, 0.9], p=[0.75, 0.20, 0.05])  # clean patches to tortoiseshell
    field = smooth_noise(rng, size, rng.uniform(0.6, 1.1) * size / cat.unit)
    field = field + brindle * smooth_noise(rng, size, 3.0 * size / cat.unit) + 0.25 * brindle * hair
    if rng.random() < 0.5:  # the two halves of the face often differ
        field = field + np.where(cat.face, rng.choice([-0.7, 0.7]) * np.sign(cat.face_x), 0).astype(np.float32)
    level = np.quantile(field[cat.inside][::7], rng.uniform(0.35, 0.72)) if cat.inside.any() else 0.0
    share = step(field - np.float32(level), 0.12 + 0.1 * brindle)
    stripes = _stripes(rng, cat)[..., None]
    warm = orange * (1 - rng.uniform(0.1, 0.4) * stripes)  # orange hair always shows some tabby stripes
    cold = np.broadcast_to(black, warm.shape)
    if rng.random() < 0.10:  # "caliby": the dark patches are tabby too
        cold = black + (np.array([0.50, 0.42, 0.33], np.float32) - black) * (0.8 * (1 - stripes))
    coat = cold + (warm - cold) * share[..., None]
    low, high = (0.08, 0.45) if brindle > 0.5 else (0.25, 0.88)
    white = WHITE * np.float32(rng.uniform(0.93, 1.04))
    return mixed(coat, white, _white_parts(rng, cat, rng.uniform(low, high), rng.uniform(0.3, 0.75)))
