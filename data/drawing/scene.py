"""The surroundings of a drawn cat: the room behind it, objects in front of it, and the camera.

None depends on the class, so a background cannot reveal whether the cat is a calico or a tabby.
"""

import io

from drawing.fur import blurred, mixed, smooth_noise, step, strands

import numpy as np
from PIL import Image, ImageDraw


def _color(rng: np.random.Generator, gray: float = 0.6) -> np.ndarray:
    """A random color, float32 (3,). A share ``gray`` of them are nearly gray or beige, as in rooms."""
    light = rng.choice([rng.uniform(0.03, 0.3), rng.uniform(0.2, 0.8), rng.uniform(0.7, 0.98)], p=[0.3, 0.4, 0.3])
    strong = rng.uniform(0.0, 0.05) if rng.random() < gray else rng.uniform(0.05, 0.22)
    hue = rng.normal(0, 1, 3)
    color = np.clip(light + strong * (hue - hue.mean()) + np.array([0.03, 0.0, -0.03]), 0.02, 0.98)
    return color.astype(np.float32)


def _plain(rng: np.random.Generator, size: int) -> np.ndarray:
    """A wall, a carpet or a studio backdrop: one color with a gradient and grain."""
    shade = 1 + rng.uniform(0.05, 0.25) * smooth_noise(rng, size, rng.uniform(0.7, 3))
    shade = shade + rng.uniform(0, 0.12) * smooth_noise(rng, size, rng.uniform(30, size))
    return _color(rng) * shade[..., None]


def _blanket(rng: np.random.Generator, size: int) -> np.ndarray:
    """Cloth: checks, stripes, dots or a weave, wavy with folds."""
    turn = rng.uniform(0, np.pi)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    x = x + 14 * smooth_noise(rng, size, 3)
    y = y + 14 * smooth_noise(rng, size, 3)
    u, v = x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn)), y * np.float32(np.cos(turn))
    v = v - x * np.float32(np.sin(turn))
    per = np.float32(2 * np.pi / rng.uniform(6, 46))
    cloth = np.broadcast_to(_color(rng, 0.3), (size, size, 3))
    kind = rng.choice(["checks", "stripes", "dots", "weave", "flowers"])
    if kind in ("checks", "stripes"):
        cloth = mixed(cloth, _color(rng, 0.3), 0.8 * step(np.sin(u * per), 0.4))
        if kind == "checks":
            cloth = mixed(cloth, _color(rng, 0.3), 0.5 * step(np.sin(v * per), 0.4))
    elif kind == "dots":
        cloth = mixed(cloth, _color(rng, 0.3), step(np.sin(u * per) * np.sin(v * per) - 0.4, 0.2))
    elif kind == "flowers":
        for _ in range(3):
            cloth = mixed(cloth, _color(rng, 0.2), step(smooth_noise(rng, size, rng.uniform(6, 18)) - 0.6, 0.3))
    else:
        cloth = cloth * (1 + 0.18 * (np.sin(u * 1.6) * np.sin(v * 1.6)))[..., None]
    folds = smooth_noise(rng, size, rng.uniform(2, 5))
    return cloth * (1 + rng.uniform(0.08, 0.3) * folds)[..., None]


def _grass(rng: np.random.Generator, size: int) -> np.ndarray:
    """Blades of grass, or leaves and earth."""
    lean = smooth_noise(rng, size, 4) * np.float32(0.9)
    blades = strands(rng, np.sin(lean), np.cos(lean), rng.uniform(5, 14), rng.uniform(1, 2.2))
    green = np.array([rng.uniform(0.30, 0.50), rng.uniform(0.36, 0.52), rng.uniform(0.18, 0.32)], np.float32)
    earth = np.array([0.42, 0.34, 0.24], np.float32) * np.float32(rng.uniform(0.6, 1.3))
    meadow = mixed(np.broadcast_to(green, (size, size, 3)), earth, step(smooth_noise(rng, size, 4) - 0.5, 1.2))
    return meadow * (1 + 0.28 * blades)[..., None]


def _room(rng: np.random.Generator, size: int) -> np.ndarray:
    """A wall, a floor and some furniture, at the camera's angle."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    edge = rng.uniform(0.25, 0.8) * size + rng.normal(0, 0.12) * (x - size / 2)
    picture = _plain(rng, size)
    for _ in range(rng.integers(0, 6)):  # cupboards, doors, pictures, a window, cushions
        middle_x, middle_y, wide, tall = *rng.uniform(0, 1, 2), *rng.uniform(0.04, 0.35, 2)
        lean, round_ = rng.normal(0, 0.15), rng.choice([2, 8])
        dx, dy = x / size - np.float32(middle_x), y / size - np.float32(middle_y)
        thing = np.abs((dx + lean * dy) / wide) ** round_ + np.abs((dy - lean * dx) / tall) ** round_
        light = 1 + rng.uniform(0, 0.5) * np.clip(dx / wide, -1, 1)
        picture = mixed(picture, _color(rng) * light[..., None], step(1 - thing, 0.3))
    floor = (_blanket if rng.random() < 0.35 else _plain)(rng, size)
    if rng.random() < 0.25:  # boards or tiles
        per = rng.uniform(18, 60)
        gap = np.minimum((x + 0.6 * (y - edge) * rng.normal(0, 1)) % per, ((y - edge) * 1.6) % per if per > 35 else 9)
        floor = floor * (1 - 0.35 * (gap < 1.6))[..., None]
    return mixed(picture, floor, step(y - edge, 2.0))


def _bars(rng: np.random.Generator, size: int, per: float, width: float) -> np.ndarray:
    """The wires of a cage: a mask (size, size), 0 to 1."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    lean = rng.normal(0, 0.12)
    wires = step(width - np.abs((x + lean * y + rng.uniform(0, per)) % per - per / 2), 1.0)
    if rng.random() < 0.6:
        tall = per * rng.uniform(1, 4)
        wires = np.maximum(wires, step(width - np.abs((y - lean * x + rng.uniform(0, per)) % tall - tall / 2), 1.0))
    return wires


def _cage(rng: np.random.Generator, size: int) -> np.ndarray:
    """The inside of a shelter's cage: dark behind its wires, or a metal wall with its glare."""
    if rng.random() < 0.5:
        dark = _plain(rng, size) * np.float32(rng.uniform(0.2, 0.8))
        wires = _bars(rng, size, rng.uniform(12, 34), rng.uniform(0.8, 1.8))
        back = mixed(dark, _color(rng), 0.9 * wires)
    else:
        steel = 0.55 + 0.22 * smooth_noise(rng, size, 2) + 0.05 * smooth_noise(rng, size, 40)
        back = np.array([1, 0.99, 0.95], np.float32) * steel[..., None]
    y = np.mgrid[0:size, 0:size][0].astype(np.float32)
    edge = rng.uniform(0.55, 1.1) * size
    return mixed(back, _blanket(rng, size), step(y - edge - 5 * smooth_noise(rng, size, 5), 3))


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A background: float32 (size, size, 3), about 0 to 1, often out of focus."""
    place = [_plain, _room, _room, _blanket, _blanket, _grass, _cage, _cage][rng.integers(8)](rng, size)
    if rng.random() < 0.10:  # a studio's white
        place = np.broadcast_to(np.float32(rng.uniform(0.9, 1)), place.shape)
    return blurred(place, rng.choice([0, 0.8, 2.0, 4.5], p=[0.3, 0.3, 0.25, 0.15]))


def foreground(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Sometimes adds an object in front of the cat: wires, an arm, the edge of a blanket, a toy."""
    size = len(picture)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    what = rng.random()
    if what < 0.07:
        wires = _bars(rng, size, rng.uniform(24, 70), rng.uniform(1.0, 3.2))
        return mixed(picture, _color(rng, 0.8), blurred(0.9 * wires, rng.uniform(0.3, 1.2)))
    if what < 0.12:  # an arm
        skin = np.array([0.80, 0.58, 0.46], np.float32) * np.float32(rng.uniform(0.5, 1.15))
        at, lean = rng.uniform(0.1, 0.9), rng.normal(0, 0.7)
        reach = np.abs(x - at - lean * (1 - y)) / rng.uniform(0.11, 0.22)
        round_ = np.maximum(reach, (1 - y) / rng.uniform(0.2, 0.45))
        arm = step(1 - reach**2 * 0.6 - np.clip(round_, 0, 2) ** 4 * 0.5, 0.08)
        return mixed(picture, skin * (1.05 - 0.35 * np.clip(reach, 0, 1) ** 2)[..., None], arm)
    if what < 0.22:
        edge = rng.uniform(0.78, 0.97) + 0.05 * smooth_noise(rng, size, 3) + rng.normal(0, 0.1) * (x - 0.5)
        return mixed(picture, _blanket(rng, size), step(y - edge, 0.02))
    if what < 0.28:
        far = np.hypot(x - rng.uniform(0, 1), (y - rng.uniform(0.7, 1.05)) * rng.uniform(0.7, 1.5))
        ball = rng.uniform(0.05, 0.15)
        return mixed(
            picture, _color(rng, 0.1) * (1.1 - 0.5 * (far / ball).clip(0, 1))[..., None], step(ball - far, 0.01)
        )
    return picture


def photograph(rng: np.random.Generator, scene: np.ndarray) -> Image.Image:
    """A scene, float32 (size, size, 3), as a cheap camera shows it: light, color cast, contrast, focus, noise, JPEG."""
    size = len(scene)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    way = rng.normal(0, 0.16, 2)
    light = 1 + np.float32(way[0]) * x + np.float32(way[1]) * y - np.float32(rng.uniform(0, 0.16)) * (x * x + y * y)
    warm, green = rng.normal(0.02, 0.06), rng.normal(0, 0.012)
    cast = np.array([1 + warm, 1 + green, 1 - warm], np.float32)
    picture = np.clip(scene, 0, None) * light[..., None] * cast * np.float32(rng.uniform(0.68, 1.28))
    gray = picture.mean(2, keepdims=True)
    picture = gray + (picture - gray) * np.float32(rng.uniform(0.7, 1.3))
    dark, bright = np.quantile(picture[::5, ::5], [0.02, 0.98])  # a camera stretches the contrast
    levels = (picture - dark) / (bright - dark + np.float32(0.1))
    picture = np.clip(picture + (levels - picture) * np.float32(rng.uniform(0.3, 1.0)), 0, 1)
    picture = picture ** np.float32(rng.uniform(0.6, 1.1))
    picture = blurred(picture, rng.choice([0, 0.5, 0.9, 1.5], p=[0.5, 0.3, 0.15, 0.05]))
    grain = np.float32(rng.choice([0.004, 0.012, 0.03])) * rng.standard_normal(picture.shape, np.float32)
    image = Image.fromarray(np.uint8(np.clip(picture + grain, 0, 1) * 255 + 0.5))
    if rng.random() < 0.04:  # a shelter's caption
        ImageDraw.Draw(image).text((size * rng.uniform(0.05, 0.6), size * 0.9), f"Cat No. {rng.integers(10, 999)}")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(35, 92)))
    return Image.open(file).convert("RGB")
