"""The visible surface of a drawn cat: for each pixel, its position on the coat and its brightness."""

from dataclasses import dataclass, fields

from drawing.cat_shape import Part, Pose

import numpy as np


@dataclass(frozen=True)
class Camera:
    """A camera: ``unit`` pixels per head radius, with the cat's (x, y) in the middle of the picture."""

    unit: float
    x: float
    y: float
    angle: float  # radians
    flip: bool

    def matrix(self) -> np.ndarray:
        """(2, 2): from the cat's lengths to pixels, rows x and y."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        return self.unit * np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if self.flip else 1.0, 1.0])

    def pixel(self, x: float, y: float, size: int) -> np.ndarray:
        """The pixel, (column, row), of a place on the cat."""
        return self.matrix() @ np.array([x - self.x, y - self.y]) + size / 2


def random_camera(rng: np.random.Generator, pose: Pose, size: int) -> Camera:
    """A camera on the whole cat or its front."""
    boxes = np.array([part.box() for part in pose.parts] + [(-1.1, -1.6, 1.1, 1.0)])
    (left, top), (right, bottom) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    angle, flip = pose.roll + rng.normal(0, 0.09), rng.random() < 0.5
    if rng.random() < 0.62:
        unit = size / max(right - left, bottom - top) * rng.uniform(0.62, 1.12)
        x, y = (left + right) / 2 + rng.normal(0, 0.35), (top + bottom) / 2 + rng.normal(0, 0.25)
    else:
        unit, x, y = size * rng.uniform(0.19, 0.28), rng.normal(0.25, 0.4), rng.normal(0.7, 0.35)
    return Camera(float(unit), float(x), float(y), float(angle), bool(flip))


@dataclass
class Surface:
    """The part of the cat at each pixel: arrays (size, size), float32 unless noted otherwise."""

    unit: float  # pixels a head radius
    inside: np.ndarray  # bool: on the cat
    along: np.ndarray  # head radii along the part
    across: np.ndarray  # -1 on the back to 1 on the belly, likewise across a limb
    white: np.ndarray  # tendency to white fur, about -1 to 1
    shade: np.ndarray  # 0 in the dark to about 1 in the light
    grow_x: np.ndarray  # the direction in which the hair grows, in pixels, not normalized
    grow_y: np.ndarray
    limb: np.ndarray  # bool
    face: np.ndarray  # bool: on the head
    face_x: np.ndarray  # head radii from the middle of the face, as the head is turned
    face_y: np.ndarray
    ear: np.ndarray  # 0 to 1: the bare inside of an ear


ARRAYS = [field for field in fields(Surface) if field.name != "unit"]


def surface(rng: np.random.Generator, pose: Pose, camera: Camera, size: int) -> Surface:
    """The surface of a cat, ``size`` pixels square; ``rng`` chooses the light and the head's proportions."""
    canvas = _Canvas(rng, camera, size)
    along = float(rng.uniform(0, 1))
    for part in pose.parts:
        canvas.at_part(part, along)
        if part.limb and not part.flat:
            along += part.length()  # rings continue through the joints
    canvas.at_head(rng, pose)
    for part in pose.over_head:
        canvas.at_part(part, along)
        along += part.length()
    return canvas.in_pixels()


class _Canvas:
    """A surface under construction: each part hides those behind it."""

    def __init__(self, rng: np.random.Generator, camera: Camera, size: int) -> None:
        self.camera, self.size = camera, size
        back = np.linalg.inv(camera.matrix()).astype(np.float32)
        rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) - np.float32(size / 2)
        self.x = back[0, 0] * columns + back[0, 1] * rows + np.float32(camera.x)  # head radii, for every pixel
        self.y = back[1, 0] * columns + back[1, 1] * rows + np.float32(camera.y)
        kinds = {field.name: bool if field.name in ("inside", "limb", "face") else np.float32 for field in ARRAYS}
        self.cat = Surface(unit=camera.unit, **{name: np.zeros((size, size), kind) for name, kind in kinds.items()})
        light = np.array([rng.normal(0, 0.6), -rng.uniform(0.1, 0.9), rng.uniform(0.5, 1.2)], np.float32)
        self.light = light / np.linalg.norm(light)
        self.everywhere = np.float32(rng.uniform(0.35, 0.65))  # how much of the light has no direction

    def window(self, left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        """The rows and columns that a box on the cat may cover."""
        corners = np.array([self.camera.pixel(x, y, self.size) for x in (left, right) for y in (top, bottom)])
        (x0, y0), (x1, y1) = np.clip(corners.min(0) - 1, 0, self.size), np.clip(corners.max(0) + 2, 0, self.size)
        return slice(int(y0), int(y1)), slice(int(x0), int(x1))

    def put(self, where: tuple[slice, slice], there: np.ndarray, **values: np.ndarray | float | bool) -> None:
        """Write values into the surface's arrays of these names, in the window, where ``there`` is true."""
        self.cat.inside[where] |= there
        for name, value in values.items():
            np.copyto(getattr(self.cat, name)[where], value, where=there, casting="same_kind")

    def lit(self, across_x: np.ndarray, across_y: np.ndarray, r2: np.ndarray) -> np.ndarray:
        """The brightness of something round, darker towards its outline, where r2 is 1."""
        towards = np.sqrt(np.clip(1 - r2, 0, 1))
        glow = np.clip(across_x * self.light[0] + across_y * self.light[1] + towards * self.light[2], 0, 1)
        return (self.everywhere + (1 - self.everywhere) * glow) * (0.62 + 0.38 * np.sqrt(towards))

    def at_part(self, part: Part, start: float) -> None:
        """Add a limb or an ellipse; ``start`` is where its rings begin."""
        where = self.window(*part.box())
        x, y = self.x[where] - np.float32(part.x0), self.y[where] - np.float32(part.y0)
        length = np.float32(part.length())
        ax, ay = np.float32((part.x1 - part.x0) / part.length()), np.float32((part.y1 - part.y0) / part.length())
        p, q = x * ax + y * ay, y * ax - x * ay  # along its axis, and across
        if part.flat:
            a, b = (p - np.float32(part.length() / 2)) / np.float32(part.length() / 2), q / np.float32(part.flat)
            across = b if abs(ax) > abs(ay) else a * np.float32(np.sign(ay))  # the back is above, however it lies
            across = across if ax >= 0 or abs(ay) > abs(ax) else -across
        else:
            t = np.clip(p / length, 0, 1)
            r = np.float32(part.r0) + np.float32(part.r1 - part.r0) * t
            a, b = (p - t * length) / r, q / r
            across = b
        r2 = a * a + b * b
        out_x, out_y = a * ax - b * ay, a * ay + b * ax  # away from the axis
        low = np.clip(out_y, -1, 1) if part.flat else 2 * t - 1  # from the top of an ellipse, or the start of a limb
        self.put(
            where,
            r2 < 1,
            along=p + np.float32(start),
            across=across,
            white=part.white[0] + (part.white[1] - part.white[0]) * (low + 1) / 2,
            shade=self.lit(out_x, out_y, r2) * np.float32(part.tone),
            grow_x=ax * (1 if part.limb or ax > 0.3 else 0.3) + out_x * r2,
            grow_y=ay * (1 if part.limb else 0.6) + out_y * r2 + np.float32(0.25),
            limb=part.limb,
            face=False,
            ear=0.0,
        )

    def at_head(self, rng: np.random.Generator, pose: Pose) -> None:
        """Add the head: a ball with cheeks and a chin, and behind it the ears, which move as it turns."""
        where = self.window(-1.5, -1.8, 1.5, 1.3)
        x, y = self.x[where], self.y[where]
        if not x.size:
            return
        c, s = np.float32(np.cos(pose.tilt)), np.float32(np.sin(pose.tilt))
        x, y = x * c + y * s, y * c - x * s
        shift = np.float32(0.42 * np.sin(pose.turn))  # of the face to the side
        narrow = np.float32(max(0.6, np.cos(pose.turn)))
        face = {"limb": False, "face": True, "face_x": (x - shift) / narrow, "face_y": y}
        tall, wide, spread = rng.uniform(0.95, 1.35), rng.uniform(0.85, 1.1), rng.uniform(0.50, 0.62)
        for side in (-1, 1):
            tip = np.array([side * (spread + 0.25) - 0.35 * shift, -0.55 - 0.85 * tall])
            root = np.array([side * spread * narrow - 0.5 * shift, -0.45])
            self.put(where, **self.ear(x, y, root, tip, side, wide), **face)
        deep = rng.uniform(0.86, 0.98)
        ball = x**2 + (y / deep) ** 2
        cheeks = [((x - side * 0.42) / 0.66) ** 2 + ((y - 0.28) / 0.56) ** 2 for side in (-1, 1)]
        chin = ((x - 1.15 * shift) / 0.46) ** 2 + ((y - 0.55) / 0.48) ** 2
        x, y = face["face_x"], face["face_y"]
        # White begins at the muzzle and climbs between the eyes as a blaze.
        blaze = 0.8 - 3.0 * np.abs(x) / (0.55 + 0.9 * np.clip(y + 0.5, 0, 2)) + 0.6 * y
        muzzle = 2.0 - 4.5 * np.hypot(x, 0.8 * (y - 0.58))
        straight = self.x[where] * c + self.y[where] * s
        self.put(
            where,
            np.minimum.reduce([ball, *cheeks, chin]) < 1,
            along=y,
            across=straight,
            white=np.clip(np.maximum(blaze, muzzle), -0.8, 1.2),
            shade=self.lit(straight * 0.9, y * 0.9, np.minimum(ball * 0.85, 1))
            * (1 - 0.10 * np.exp(-8 * (x**2 + y**2))),
            grow_x=x * c - (y - 0.35) * s,  # away from the nose
            grow_y=x * s + (y - 0.35) * c,
            ear=0.0,
            **face,
        )

    @staticmethod
    def ear(x: np.ndarray, y: np.ndarray, root: np.ndarray, tip: np.ndarray, side: int, wide: float) -> dict:
        """What :meth:`put` needs for an ear from (x, y) ``root`` to ``tip``: a round triangle with a bare inside."""
        ex, ey = (tip - root).astype(np.float32)
        reach = np.float32(np.hypot(*(tip - root)))
        px, py = x - np.float32(root[0]), y - np.float32(root[1])
        p, q = (px * ex + py * ey) / reach, (py * ex - px * ey) / reach
        t = np.clip(p / reach, 0, 1.05)
        half = np.float32(0.46 * wide) * np.sqrt(np.clip(1.02 - t, 0, 1)) * (1 - 0.35 * t)
        values = {"along": p, "across": q, "white": -0.7, "grow_x": ex / reach, "grow_y": ey / reach}
        values["shade"] = np.float32(0.85) + 0.12 * q * np.float32(side)
        values["ear"] = np.clip((0.74 - np.abs(q / (half + 1e-4))) * 5, 0, 1) * np.clip((0.86 - t) * 6, 0, 1)
        return {"there": (np.abs(q) < half) & (p > -0.2) & (t < 1), **values}

    def in_pixels(self) -> Surface:
        """The surface, with its directions rotated, and perhaps flipped, into the picture's frame."""
        m, cat = (self.camera.matrix() / self.camera.unit).astype(np.float32), self.cat
        grow_x, grow_y = cat.grow_x, cat.grow_y
        cat.grow_x, cat.grow_y = m[0, 0] * grow_x + m[0, 1] * grow_y, m[1, 0] * grow_x + m[1, 1] * grow_y
        return cat
