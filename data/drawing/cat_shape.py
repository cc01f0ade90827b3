"""The shape of a drawn cat: poses made of ellipses and limbs.

Lengths are in head radii, x to the right, y down, with the middle of the head at (0, 0).
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Part:
    """A limb from (x0, y0), r0 thick, to (x1, y1), r1 thick; or an ellipse, if ``flat`` is not 0.

    The ellipse's major axis runs from (x0, y0) to (x1, y1); ``flat`` is its minor radius.
    ``white`` is the tendency to white fur at its top and at its bottom.
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
        """Its bounding box: left, top, right, bottom."""
        r = max(self.r0, self.r1, self.flat)
        xs, ys = sorted((self.x0, self.x1)), sorted((self.y0, self.y1))
        return xs[0] - r, ys[0] - r, xs[1] + r, ys[1] + r

    def length(self) -> float:
        """The distance between its ends."""
        return float(np.hypot(self.x1 - self.x0, self.y1 - self.y0)) + 1e-6


@dataclass
class Pose:
    """The parts from back to front. The head, which is not a part, comes between ``parts`` and ``over_head``."""

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


POSES = [_sitting_front, _sitting_side, _standing, _lying, _on_its_side, _curled]
SHARES = np.array([0.24, 0.22, 0.16, 0.22, 0.08, 0.08])  # how common each pose is in photos


def random_pose(rng: np.random.Generator) -> Pose:
    """A pose, by how common it is in photos, with random proportions."""
    return POSES[rng.choice(len(POSES), p=SHARES / SHARES.sum())](rng)
