"""The shape of a drawn cat: poses made of ellipses and limbs, and what each pixel of a picture sees of them.

Lengths are in head radii, x to the right, y down, with the middle of the head at (0, 0).
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Part:
    """A limb from (x0, y0), r0 thick, to (x1, y1), r1 thick; or, where ``flat`` is given, an ellipse.

    An ellipse's longer axis runs from (x0, y0) to (x1, y1), and ``flat`` is its half width across.
    ``white`` says how readily white fur grows at its top and at its bottom.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    r0: float = 0.0
    r1: float = 0.0
    flat: float = 0.0
    white: tuple[float, float] = (0.0, 0.0)
    limb: bool = False  # ringed rather than striped along the back
    tone: float = 1.0  # far legs are darker

    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what it may cover."""
        r = max(self.r0, self.r1, self.flat)
        xs, ys = sorted((self.x0, self.x1)), sorted((self.y0, self.y1))
        return xs[0] - r, ys[0] - r, xs[1] + r, ys[1] + r


@dataclass
class Pose:
    """The parts from back to front; the head is drawn over those before ``over_head``, under those after."""

    parts: list[Part]
    turn: float = 0.0  # of the head to the side, radians, positive to the right
    tilt: float = 0.0  # of the head in the picture's plane, radians
    roll: float = 0.0  # of the whole cat
    over_head: list[Part] = field(default_factory=list)


def _oval(x: float, y: float, half: float, flat: float, angle: float = 0.0, **rest) -> Part:
    dx, dy = half * np.cos(angle), half * np.sin(angle)
    return Part(x - dx, y - dy, x + dx, y + dy, flat=flat, **rest)


def _chain(points: list[tuple[float, float]], r0: float, r1: float, **rest) -> list[Part]:
    """A bent limb: a tail, or a hind leg."""
    radii = np.linspace(r0, r1, len(points))
    return [
        Part(*a, *b, r0=ra, r1=rb, limb=True, **rest)
        for a, b, ra, rb in zip(points, points[1:], radii, radii[1:], strict=False)
    ]


def _tail(rng: np.random.Generator, x: float, y: float, heading: float, curl: float) -> list[Part]:
    points = [(x, y)]
    for _ in range(6):
        x, y = x + 0.5 * np.cos(heading), y + 0.5 * np.sin(heading)
        points.append((x, y))
        heading += curl + rng.normal(0, 0.12)
    return _chain(points, rng.uniform(0.24, 0.36), rng.uniform(0.15, 0.28), white=(-0.7, -0.7))


def _leg(x: float, y: float, foot_x: float, foot_y: float, tone: float = 1.0) -> list[Part]:
    return [
        Part(x, y, foot_x, foot_y - 0.15, 0.42, 0.27, white=(0.0, 0.95), limb=True, tone=tone),
        _oval(foot_x - 0.10, foot_y, 0.36, 0.22, white=(0.9, 1.1), limb=True, tone=tone),
    ]


BACK_TO_BELLY = (-0.75, 0.75)


def _sitting_front(rng: np.random.Generator) -> Pose:
    wide, tall = rng.uniform(0.95, 1.3), rng.uniform(3.1, 3.9)
    side = rng.choice([-1, 1])
    parts = _tail(rng, side * 1.0, tall - 0.1, 0.2 if side > 0 else np.pi - 0.2, side * rng.uniform(-0.5, 0.5))
    parts += [_oval(s * wide * 0.85, tall - 0.55, 0.85, 0.7, 1.3, white=(-0.5, 0.5)) for s in (-1, 1)]
    parts += [_oval(0, tall * 0.57, tall * 0.46, wide, np.pi / 2, white=(-0.3, 0.3))]
    parts += [_oval(0, tall * 0.42, 0.95, 0.72, np.pi / 2, white=(0.5, 0.9))]
    for s in (-1, 1):
        parts += _leg(s * 0.42, tall * 0.55, s * rng.uniform(0.35, 0.55), tall)
    return Pose(parts, turn=rng.normal(0, 0.35), tilt=rng.normal(0, 0.15))


def _sitting_side(rng: np.random.Generator) -> Pose:
    lean = rng.uniform(0.85, 1.15)
    parts = _tail(rng, 2.1, 3.3, rng.uniform(-0.3, 0.4), rng.uniform(-0.6, 0.3))
    parts += _leg(0.75, 1.9, 0.55, 3.55, 0.8)
    parts += [_oval(0.95, 1.95, 1.85, rng.uniform(0.95, 1.2), lean, white=BACK_TO_BELLY)]
    parts += [_oval(1.5, 2.85, 0.95, 0.85, 0.6, white=(-0.6, 0.4)), _oval(0.95, 3.6, 0.6, 0.22, white=(0.5, 1.0))]
    parts += [_oval(0.15, 1.3, 0.85, 0.6, 1.3, white=(0.4, 0.9))]
    parts += _leg(0.3, 1.8, rng.uniform(0.0, 0.3), 3.65)
    return Pose(parts, turn=rng.normal(-0.3, 0.45), tilt=rng.normal(0, 0.15))


def _standing(rng: np.random.Generator) -> Pose:
    long, tall = rng.uniform(3.6, 4.6), rng.uniform(3.1, 3.7)
    parts = _tail(rng, long - 0.2, 0.8, rng.uniform(-1.6, 0.5), rng.uniform(-0.3, 0.3))
    parts += _leg(1.5, 1.6, rng.uniform(1.2, 2.0), tall - 0.2, 0.75)
    parts += _leg(long - 0.9, 1.5, long - rng.uniform(0.6, 1.3), tall - 0.2, 0.75)
    parts += [_oval(0.5 + long / 2, 1.15, long / 2, rng.uniform(0.85, 1.1), 0.04, white=BACK_TO_BELLY)]
    parts += [Part(0.1, 0.3, 1.3, 1.0, 0.75, 0.95, white=(-0.2, 0.8))]
    parts += _leg(1.0, 1.5, rng.uniform(0.5, 1.1), tall)
    parts += [_oval(long - 0.4, 1.35, 0.8, 0.75, 1.2, white=(-0.6, 0.4))]
    parts += _leg(long - 0.4, 1.7, long - rng.uniform(0.0, 0.6), tall)
    return Pose(parts, turn=rng.normal(-0.3, 0.5), tilt=rng.normal(0, 0.15))


def _lying(rng: np.random.Generator) -> Pose:
    long = rng.uniform(3.2, 4.4)
    parts = _tail(rng, long - 0.1, 1.9, rng.uniform(-0.2, 0.6), rng.uniform(0.1, 0.7))
    parts += [_oval(0.2 + long / 2, 1.15, long / 2, rng.uniform(0.9, 1.25), 0.06, white=BACK_TO_BELLY)]
    parts += [_oval(long - 0.7, 1.45, 0.95, 0.8, 0.3, white=(-0.6, 0.3))]
    parts += [_oval(0.2, 1.05, 0.9, 0.8, 1.3, white=(0.4, 0.9))]
    parts += _leg(0.6, 1.7, -0.6, rng.uniform(1.9, 2.2)) + _leg(0.9, 1.8, rng.uniform(-0.3, 0.6), 2.15)
    return Pose(parts, turn=rng.normal(-0.1, 0.4), tilt=rng.normal(0, 0.2))


def _on_its_side(rng: np.random.Generator) -> Pose:
    parts = _tail(rng, 3.9, 0.9, rng.uniform(-0.6, 0.9), rng.uniform(-0.5, 0.5))
    parts += [_oval(2.2, 0.6, 2.1, rng.uniform(0.9, 1.2), 0.1, white=BACK_TO_BELLY)]
    parts += _leg(1.2, 1.0, rng.uniform(0.2, 1.4), rng.uniform(2.0, 2.6)) + _leg(1.5, 1.1, 2.2, 2.3)
    parts += _leg(3.4, 1.0, rng.uniform(3.0, 4.6), rng.uniform(2.0, 2.6))
    return Pose(parts, rng.normal(0, 0.4), tilt=rng.normal(0, 0.5), roll=rng.choice([0.0, 0.3, -0.4, 1.6, 2.8]))


def _curled(rng: np.random.Generator) -> Pose:
    parts = [_oval(1.4, 0.6, 1.95, rng.uniform(1.3, 1.6), 0.1, white=BACK_TO_BELLY)]
    parts += [_oval(2.4, 1.0, 1.0, 0.9, 0.8, white=(-0.6, 0.2))]
    parts += _leg(0.7, 1.4, -0.4, 1.6)
    tail = _chain([(3.0, 1.5), (2.2, 2.0), (1.4, 2.1), (0.6, 1.9), (0.1, 1.5)], 0.32, 0.22, white=(-0.7, -0.7))
    return Pose(parts, turn=rng.normal(0, 0.4), tilt=rng.normal(0.2, 0.3), over_head=tail)


POSES = [
    (0.24, _sitting_front),
    (0.22, _sitting_side),
    (0.16, _standing),
    (0.22, _lying),
    (0.08, _on_its_side),
    (0.08, _curled),
]


def random_pose(rng: np.random.Generator) -> Pose:
    """A pose by how common it is in photos, with proportions of its own."""
    shares = [share for share, _ in POSES]
    return POSES[rng.choice(len(POSES), p=np.array(shares) / sum(shares))][1](rng)


@dataclass(frozen=True)
class View:
    """Where the camera looks: ``unit`` pixels a head radius, the cat's (x, y) at the middle of the picture."""

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


def random_view(rng: np.random.Generator, pose: Pose, size: int) -> View:
    """The whole cat, its front, its face, or a close crop of its coat."""
    boxes = np.array([part.box() for part in pose.parts] + [(-1.1, -1.6, 1.1, 1.0)])
    left, top, right, bottom = *boxes[:, :2].min(0), *boxes[:, 2:].max(0)
    angle, flip = pose.roll + rng.normal(0, 0.09), rng.random() < 0.5
    kind = rng.choice(["whole", "front", "face", "crop"], p=[0.50, 0.26, 0.14, 0.10])
    if kind == "whole":
        unit = size / max(right - left, bottom - top) * rng.uniform(0.62, 1.12)
        x, y = (left + right) / 2 + rng.normal(0, 0.35), (top + bottom) / 2 + rng.normal(0, 0.25)
    elif kind == "front":
        unit, x, y = size * rng.uniform(0.19, 0.28), rng.normal(0.25, 0.4), rng.normal(0.7, 0.35)
    elif kind == "face":
        unit, x, y = size * rng.uniform(0.29, 0.46), rng.normal(0, 0.2), rng.normal(0.05, 0.15)
    else:
        unit, x, y = size * rng.uniform(0.20, 0.36), rng.uniform(0.2, right - 1.2), rng.uniform(0.8, bottom - 1.6)
    return View(float(unit), float(x), float(y), float(angle), bool(flip))


@dataclass
class Surface:
    """What each pixel sees of the cat: arrays of (size, size), float32 unless told otherwise."""

    unit: float  # pixels a head radius
    inside: np.ndarray  # bool: on the cat
    along: np.ndarray  # head radii along the part
    across: np.ndarray  # -1 on the back to 1 on the belly, likewise across a limb
    white: np.ndarray  # how readily white fur grows here, about -1 to 1
    shade: np.ndarray  # 0 in the dark to about 1 in the light
    grow_x: np.ndarray  # the direction in which the hair grows, in pixels, not normalised
    grow_y: np.ndarray
    limb: np.ndarray  # bool
    face: np.ndarray  # bool: on the head
    face_x: np.ndarray  # head radii from the middle of the face, as the head is turned
    face_y: np.ndarray
    ear: np.ndarray  # 0 to 1: the bare inside of an ear


def surface(rng: np.random.Generator, pose: Pose, view: View, size: int) -> Surface:
    """Look at a pose: the parts from back to front, lit from one side.

    Args:
        rng: where the light and the cat's proportions come from.
        pose: the cat.
        view: the camera.
        size: pixels a side.
    """
    to_pixels = view.matrix()
    back = np.float32(np.linalg.inv(to_pixels))
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) - np.float32(size / 2)
    xs = back[0, 0] * columns + back[0, 1] * rows + np.float32(view.x)
    ys = back[1, 0] * columns + back[1, 1] * rows + np.float32(view.y)
    zero = np.zeros((size, size), np.float32)
    no = np.zeros((size, size), bool)
    cat = Surface(view.unit, no, *(zero.copy() for _ in range(6)), no.copy(), no.copy(), *(zero.copy() for _ in "xye"))
    cat.inside = no.copy()
    light = np.float32([rng.normal(0, 0.6), -rng.uniform(0.1, 0.9), rng.uniform(0.5, 1.2)])
    light /= np.linalg.norm(light)
    dull = np.float32(rng.uniform(0.35, 0.65))  # how much light comes from everywhere

    def window(left: float, top: float, right: float, bottom: float) -> tuple[slice, slice]:
        corners = np.array([view.pixel(x, y, size) for x in (left, right) for y in (top, bottom)])
        (x0, y0), (x1, y1) = np.clip(corners.min(0) - 1, 0, size), np.clip(corners.max(0) + 2, 0, size)
        return slice(int(y0), int(y1)), slice(int(x0), int(x1))

    def put(where: tuple[slice, slice], there: np.ndarray, **values: np.ndarray) -> None:
        cat.inside[where] |= there
        for name, value in values.items():
            np.copyto(getattr(cat, name)[where], value, where=there)

    def lit(nx: np.ndarray, ny: np.ndarray, r2: np.ndarray) -> np.ndarray:
        nz = np.sqrt(np.clip(1 - r2, 0, 1))
        glow = np.clip(nx * light[0] + ny * light[1] + nz * light[2], 0, 1)
        return (dull + (1 - dull) * glow) * (0.62 + 0.38 * np.sqrt(nz))

    def paint(part: Part, start: float) -> None:
        where = window(*part.box())
        x, y = xs[where] - np.float32(part.x0), ys[where] - np.float32(part.y0)
        if x.size == 0:
            return
        dx, dy = part.x1 - part.x0, part.y1 - part.y0
        length = float(np.hypot(dx, dy)) + 1e-6
        ax, ay = np.float32(dx / length), np.float32(dy / length)
        p, q = x * ax + y * ay, y * ax - x * ay  # along and across, head radii
        if part.flat:
            a, b = (p - np.float32(length / 2)) / np.float32(length / 2), q / np.float32(part.flat)
            across = b if abs(ax) > abs(ay) else a * np.float32(np.sign(ay))
            across = across if ax >= 0 or abs(ay) > abs(ax) else -across
        else:
            t = np.clip(p / np.float32(length), 0, 1)
            r = np.float32(part.r0) + np.float32(part.r1 - part.r0) * t
            a, b = (p - t * np.float32(length)) / r, q / r
            across = b
        r2 = a * a + b * b
        nx, ny = a * ax - b * ay, a * ay + b * ax
        low = np.clip(ny, -1, 1) if part.flat else 2 * t - 1  # from the top of an ellipse, or the start of a limb
        white = part.white[0] + (part.white[1] - part.white[0]) * (low + 1) / 2
        put(
            where,
            r2 < 1,
            along=p + np.float32(start),
            across=across,
            white=white,
            shade=lit(nx, ny, r2) * np.float32(part.tone),
            grow_x=ax * (1 if part.limb or ax > 0.3 else 0.3) + nx * r2,
            grow_y=ay * (1 if part.limb else 0.6) + ny * r2 + np.float32(0.25),
            limb=np.full(r2.shape, part.limb),
            face=np.zeros(r2.shape, bool),
            ear=np.zeros(r2.shape, np.float32),
        )

    start = float(rng.uniform(0, 1))
    for part in pose.parts:
        paint(part, start)
        if part.limb and not part.flat:
            start += float(np.hypot(part.x1 - part.x0, part.y1 - part.y0))  # rings go on through the joints

    # The head: a ball with cheeks, and ears behind it that move as it turns.
    where = window(-1.5, -1.8, 1.5, 1.3)
    x, y = xs[where], ys[where]
    if x.size:
        c, s = np.float32(np.cos(pose.tilt)), np.float32(np.sin(pose.tilt))
        x, y = x * c + y * s, y * c - x * s
        shift = np.float32(0.42 * np.sin(pose.turn))
        narrow = np.float32(max(0.6, np.cos(pose.turn)))
        face_x, face_y = (x - shift) / narrow, y
        tall, wide = rng.uniform(0.95, 1.35), rng.uniform(0.85, 1.1)
        spread = rng.uniform(0.50, 0.62)
        for side in (-1, 1):
            tip = np.array([side * (spread + 0.25) - 0.35 * shift, -0.55 - 0.85 * tall])
            mid = np.array([side * spread * narrow - 0.5 * shift, -0.45])
            ex, ey = tip - mid
            reach = np.hypot(ex, ey)
            px, py = x - np.float32(mid[0]), y - np.float32(mid[1])
            p = (px * np.float32(ex) + py * np.float32(ey)) / np.float32(reach)
            q = (py * np.float32(ex) - px * np.float32(ey)) / np.float32(reach)
            t = np.clip(p / np.float32(reach), 0, 1.05)
            half = np.float32(0.46 * wide) * np.sqrt(np.clip(1.02 - t, 0, 1)) * (1 - 0.35 * t)
            bare = np.clip((0.74 - np.abs(q / (half + 1e-4))) * 5, 0, 1) * np.clip((0.86 - t) * 6, 0, 1)
            put(
                where,
                (np.abs(q) < half) & (p > -0.2) & (t < 1),
                along=p,
                across=q,
                white=-0.7 + 0 * p,
                shade=np.float32(0.85) + 0.12 * q * np.float32(side),
                grow_x=np.full(p.shape, np.float32(ex / reach)),
                grow_y=np.full(p.shape, np.float32(ey / reach)),
                limb=np.zeros(p.shape, bool),
                face=np.ones(p.shape, bool),
                face_x=face_x,
                face_y=face_y,
                ear=bare,
            )
        round_ = rng.uniform(0.86, 0.98)
        r2 = (x / 1.0) ** 2 + (y / round_) ** 2
        for side in (-1, 1):
            r2 = np.minimum(r2, ((x - side * 0.42) / 0.66) ** 2 + ((y - 0.28) / 0.56) ** 2)
        chin = ((x - 1.15 * shift) / 0.46) ** 2 + ((y - 0.55) / 0.48) ** 2
        r2 = np.minimum(r2, chin)
        ball = x**2 + (y / round_) ** 2
        blaze = 0.9 - 3.0 * np.abs(face_x) / (0.55 + 0.9 * np.clip(face_y + 0.5, 0, 2)) + 0.6 * face_y
        white = np.maximum(blaze - 0.1, 2.0 - 4.5 * np.hypot(face_x, 0.8 * (face_y - 0.58)))
        shade = lit(x * 0.9, y * 0.9, np.minimum(ball * 0.85, 1)) * (1 - 0.10 * np.exp(-8 * (face_x**2 + face_y**2)))
        put(
            where,
            r2 < 1,
            along=y,
            across=x,
            white=np.clip(white, -0.8, 1.2),
            shade=shade,
            grow_x=face_x * c - (face_y - 0.35) * s,
            grow_y=face_x * s + (face_y - 0.35) * c,
            limb=np.zeros(x.shape, bool),
            face=np.ones(x.shape, bool),
            face_x=face_x,
            face_y=face_y,
            ear=np.zeros(x.shape, np.float32),
        )
    for part in pose.over_head:
        paint(part, start)
        start += float(np.hypot(part.x1 - part.x0, part.y1 - part.y0))

    # Directions were in the cat's own frame; the picture's is turned and perhaps mirrored.
    m = np.float32(to_pixels / view.unit)
    cat.grow_x, cat.grow_y = m[0, 0] * cat.grow_x + m[0, 1] * cat.grow_y, m[1, 0] * cat.grow_x + m[1, 1] * cat.grow_y
    return cat
