"""One drawn cat, from its pose to its photo.

First the position of each pixel on the cat's surface, then the color of the coat there, then the hair: each hair
carries the color of its root to its tip, so that every edge, between patches or between cat and room, looks like fur.
"""

from drawing.cat_shape import Pose, random_pose
from drawing.cat_surface import Camera, Surface, random_camera, surface
from drawing.fur import WHITE, blurred, calico_coat, mixed, step, strands, tabby_coat
from drawing.scene import background, foreground, photograph

import numpy as np
from PIL import Image, ImageDraw

SPLITS, CLASSES = ("train", "validation"), ("calico", "tabby")
COATS = {"calico": calico_coat, "tabby": tabby_coat}
IRISES = [(0.62, 0.68, 0.30), (0.45, 0.60, 0.36), (0.78, 0.66, 0.25), (0.75, 0.50, 0.18), (0.50, 0.66, 0.75)]


def _hair(rng: np.random.Generator, cat: Surface, length: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The strands, and the pixel (rows, columns) where the hair that covers each pixel has its root."""
    size = len(cat.inside)
    spread = max(2.0, 0.10 * cat.unit)  # smooths the directions, also across the outline
    gx, gy = (blurred(g * 0.25 + 0.5, spread) - 0.5 for g in (cat.grow_x, cat.grow_y))
    norm = np.hypot(gx, gy) + np.float32(1e-3)
    gx, gy = gx / norm, gy / norm
    thick, thin = max(1.6, 0.035 * cat.unit), max(1.1, 0.017 * cat.unit)
    locks = strands(rng, gx, gy, min(1.3 * length * cat.unit, 7 * thick), thick)
    fine = strands(rng, gx, gy, min(0.8 * length * cat.unit, 7 * thin), thin)
    hair = 0.75 * fine + 0.65 * locks
    pull = np.float32(length * cat.unit * 0.42) * hair + np.float32(0.35 * length * cat.unit)
    pull = np.where(cat.face, np.float32(0.6) * pull, pull)  # the hair of the face is shorter
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    rows = np.clip(rows - gy * pull, 0, size - 1).astype(np.int32)
    columns = np.clip(columns - gx * pull, 0, size - 1).astype(np.int32)
    return hair, rows, columns


def _features(rng: np.random.Generator, coat: np.ndarray, cat: Surface) -> None:
    """Paint eyes, nose, mouth and the bare inside of the ears into ``coat``."""
    rows, columns = np.flatnonzero(cat.face.any(1)), np.flatnonzero(cat.face.any(0))
    if not len(rows):
        return
    where = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    coat[where] = _face(rng, coat[where], cat, where)


def _face(rng: np.random.Generator, coat: np.ndarray, cat: Surface, where: tuple[slice, slice]) -> np.ndarray:
    """The coat in the window ``where`` with a face on it. Each shape is a field that is positive inside it."""
    pink = np.array([0.80, 0.56, 0.52], np.float32) * np.float32(rng.uniform(0.75, 1.1))
    coat = mixed(coat, pink, 0.75 * cat.ear[where])
    x, y = (np.where(cat.face[where], place[where], np.float32(9)) for place in (cat.face_x, cat.face_y))
    soft = np.float32(1.2 / cat.unit)
    # Nose and mouth
    wide = rng.uniform(0.11, 0.16)
    nose_y = rng.uniform(0.30, 0.38)
    nose = np.minimum(wide - 0.9 * (y - nose_y + 0.06) - np.abs(x), y - nose_y + 0.09) * 1.2
    color = pink if rng.random() < 0.7 else np.array([0.16, 0.13, 0.13], np.float32)
    coat = mixed(coat, (0.12, 0.09, 0.08), 0.6 * step(nose + 0.025, 2 * soft))
    coat = mixed(coat, color, step(nose, 2 * soft))
    line = np.abs(y - (nose_y + 0.13) - 0.16 * np.sqrt(np.clip(np.abs(x), 0, 0.26)) + 0.10 * (np.abs(x) > 0.2))
    mouth = np.minimum(0.022 - line, 0.26 - np.abs(x))
    mouth = np.maximum(mouth, np.minimum(0.018 - np.abs(x), 0.09 - np.abs(y - nose_y - 0.09)))
    coat = mixed(coat, (0.22, 0.15, 0.13), 0.7 * step(mouth, 2 * soft))
    # Eyes
    apart, eye_y = rng.uniform(0.37, 0.44), rng.uniform(-0.10, 0.0)
    wide, tall = rng.uniform(0.19, 0.25), rng.uniform(0.12, 0.21)
    shut = rng.random() < 0.07
    common = np.array(IRISES[rng.choice(5, p=[0.32, 0.2, 0.24, 0.14, 0.1])], np.float32)
    iris = np.clip(common + rng.normal(0, 0.05, 3), 0, 1) * rng.uniform(0.75, 1.15)
    pupil = rng.choice([0.045, 0.09, 0.15])
    glint = rng.uniform(-0.07, 0.07), -0.06
    for side in (-1, 1):
        ex, ey = (x - side * apart), (y - eye_y)
        ey = ey + 0.22 * side * ex  # the outer corners are higher
        almond = 1 - (ex / wide) ** 2 - np.abs(ey / np.where(ey < 0, tall, 0.85 * tall)) ** 1.7
        if shut:
            lid = np.minimum(0.03 - np.abs(ey + 0.5 * ex**2), wide - np.abs(ex))
            coat = mixed(coat, (0.12, 0.09, 0.08), 0.85 * step(lid, 2 * soft))
            continue
        far = np.hypot(ex, ey)
        coat = mixed(coat, (0.08, 0.06, 0.06), 0.9 * step(almond + 0.42, 0.25 + 4 * soft))
        ball = iris * np.clip(1.15 - 1.6 * far - 0.9 * (ey < -0.35 * tall), 0.35, 1.2)[..., None]
        coat = mixed(coat, ball, step(almond, 0.1 + 6 * soft))
        black = np.minimum(1 - (ex / pupil) ** 2 - (ey / (0.9 * tall)) ** 2, almond)
        coat = mixed(coat, (0.03, 0.03, 0.03), step(black, 0.3 + 8 * soft))
        coat = mixed(coat, (1, 1, 1), 0.9 * step(0.035 - np.hypot(ex - glint[0], ey - glint[1]), 2 * soft))
    return coat


def _whiskers(rng: np.random.Generator, camera: Camera, pose: Pose, size: int) -> np.ndarray:
    """A mask, 0 to 1, of long thin lines from the muzzle and above the eyes."""
    mask = Image.new("L", (2 * size, 2 * size))
    draw = ImageDraw.Draw(mask)
    c, s = np.cos(pose.tilt), np.sin(pose.tilt)
    shift = 0.42 * np.sin(pose.turn)
    for side in (-1, 1):
        for i in range(rng.integers(5, 9)):
            y = 0.42 + 0.05 * (i % 4)
            length, fall = rng.uniform(0.7, 1.5), rng.normal(0.15, 0.25)
            curve = [
                (side * (0.26 + length * t) + shift, y + fall * length * t + 0.25 * t * t) for t in (0, 0.35, 0.7, 1)
            ]
            line = [tuple(2 * camera.pixel(px * c - py * s, px * s + py * c, size)) for px, py in curve]
            draw.line(line, fill=int(rng.integers(110, 240)), width=max(1, round(camera.unit * 0.022)))
    return np.asarray(mask.resize((size, size), Image.Resampling.BOX), np.float32) / np.float32(255)


def draw_cat(kind: str, rng: np.random.Generator, size: int = 200) -> Image.Image:
    """One cat, RGB, ``size`` x ``size``; ``kind`` is "calico" or "tabby", and ``rng`` decides everything else."""
    place = background(rng, size)
    pose = random_pose(rng)
    camera = random_camera(rng, pose, size)
    cat = surface(rng, pose, camera, size)
    length = rng.choice([0.10, 0.16, 0.28], p=[0.45, 0.35, 0.20])  # of its hair, head radii
    hair, rows, columns = _hair(rng, cat, length)
    # Light the coat, then let each hair carry the result from its root to its tip.
    coat = COATS[kind](rng, cat, hair)
    coat = np.clip(coat, 0, 1) * (cat.shade * rng.uniform(1.05, 1.35))[..., None]
    coat = coat[rows, columns] * (1 + rng.uniform(0.07, 0.17) * hair)[..., None]
    inside = cat.inside.astype(np.float32)
    outline = blurred(inside[rows, columns], 0.7)
    coat = blurred(np.clip(coat, 0, 1), 0.5)
    _features(rng, coat, cat)
    if rng.random() < 0.16:  # a collar
        band = cat.inside & ~cat.face & ~cat.limb
        coat = mixed(coat, rng.uniform(0.05, 0.9, 3), 0.9 * (band & (np.abs(_below_head(camera, size)) < 0.10)))
    # The cat casts a shadow on what it sits on.
    shadow = blurred(np.roll(inside, int(0.06 * size), 0), 0.05 * size) * rng.uniform(0.1, 0.55)
    scene = mixed(place * (1 - shadow)[..., None], coat, outline)
    if not pose.over_head:
        white = WHITE * rng.uniform(0.8, 1.05)
        scene = mixed(scene, white, rng.uniform(0.35, 0.9) * _whiskers(rng, camera, pose, size))
    return photograph(rng, foreground(rng, scene))


def _below_head(camera: Camera, size: int) -> np.ndarray:
    """The distance of each pixel from a circle a little larger than the head, in head radii."""
    x, y = camera.pixel(0.05, 0.35, size)
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    return np.hypot(columns - np.float32(x), rows - np.float32(y)) / np.float32(camera.unit) - np.float32(0.95)


def cat_number(seed: int, split: str, name: str, i: int) -> Image.Image:
    """Cat ``i`` (from 1) of a class in a split: RGB, 200 x 200."""
    return draw_cat(name, np.random.default_rng([seed, SPLITS.index(split), CLASSES.index(name), i]))
