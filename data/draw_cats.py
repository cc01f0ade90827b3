"""Draw a small set of calico and tabby cats, for a reader who has no photos yet.

    python data/draw_cats.py --data data/drawn

The cats are drawn, not photographed: they show that everything runs and what it prints, not how well
the models do on real cats. Same seed, same cats.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that "python data/draw_cats.py" finds tutorial/
from tutorial.command_line import parser, positive_int, project_path, run, seed_number
from tutorial.whole_file import written_whole

SIZE = 200  # pixels a side, drawn at twice that and shrunk


def _colour(rng: np.random.Generator, around: tuple[int, int, int], spread: int = 22) -> tuple[int, ...]:
    return tuple(int(np.clip(c + rng.integers(-spread, spread + 1), 0, 255)) for c in around)


def _coat(kind: str, rng: np.random.Generator) -> Image.Image:
    """A square of fur, twice SIZE: white with black and orange patches, or brown with darker stripes."""
    size = 2 * SIZE
    if kind == "calico":
        coat = Image.new("RGB", (size, size), _colour(rng, (236, 232, 226), 12))
        draw = ImageDraw.Draw(coat)
        for _ in range(rng.integers(9, 15)):
            x, y, w, h = *rng.integers(0, size, 2), *rng.integers(50, 120, 2)
            patch = (38, 34, 34) if rng.random() < 0.5 else (206, 122, 48)
            draw.ellipse([x - w, y - h, x + w * 0.4, y + h * 0.4], fill=_colour(rng, patch))
        return coat.filter(ImageFilter.GaussianBlur(3))
    base = _colour(rng, (150, 118, 84) if rng.random() < 0.7 else (140, 140, 138))
    coat = Image.new("RGB", (size, size), base)
    draw = ImageDraw.Draw(coat)
    step = int(rng.integers(22, 34))
    dark = tuple(c // 3 for c in base)
    for x in range(-size, 2 * size, step):
        wave = [(x + 12 * np.sin(y / 23 + x) + y * 0.25, y) for y in range(-10, size + 20, 10)]
        draw.line(wave, fill=dark, width=int(rng.integers(6, 13)), joint="curve")
    return coat.filter(ImageFilter.GaussianBlur(2))


def draw_cat(kind: str, rng: np.random.Generator) -> Image.Image:
    """One sitting cat, RGB, SIZE x SIZE.

    Args:
        kind: "calico" or "tabby".
        rng: where its pose, coat, light and background come from.
    """
    size = 2 * SIZE
    scale = rng.uniform(0.7, 1.1)
    x, y = size * rng.uniform(0.4, 0.6), size * rng.uniform(0.45, 0.6)

    def box(cx: float, cy: float, rx: float, ry: float) -> list[float]:
        return [x + scale * (cx - rx), y + scale * (cy - ry), x + scale * (cx + rx), y + scale * (cy + ry)]

    def points(*pairs: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x + scale * px, y + scale * py) for px, py in pairs]

    shape = Image.new("L", (size, size))
    draw = ImageDraw.Draw(shape)
    side = rng.choice([-1, 1])
    draw.line(points((60 * side, 130), (120 * side, 120), (135 * side, 60)), fill=255, width=int(26 * scale))
    draw.ellipse(box(0, 80, 80, 90), fill=255)
    draw.ellipse(box(0, -60, 68, 60), fill=255)
    for s in (-1, 1):
        draw.polygon(points((62 * s, -70), (56 * s, -140), (14 * s, -108)), fill=255)
        draw.rounded_rectangle(box(30 * s, 130, 18, 50), 20 * scale, fill=255)

    near, far = _colour(rng, (150, 140, 125), 60), _colour(rng, (120, 130, 130), 60)
    picture = Image.linear_gradient("L").resize((size, size)).convert("L")
    picture = Image.composite(Image.new("RGB", (size, size), near), Image.new("RGB", (size, size), far), picture)
    picture.paste(_coat(kind, rng), mask=shape)
    draw = ImageDraw.Draw(picture)
    iris = _colour(rng, (150, 170, 70), 30)
    for s in (-1, 1):
        draw.ellipse(box(27 * s, -68, 13, 12), fill=iris)
        draw.ellipse(box(27 * s, -68, 4, 11), fill=(15, 15, 15))
    draw.polygon(points((-8, -42), (8, -42), (0, -33)), fill=(205, 130, 130))

    turned = picture.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, fillcolor=far)
    small = np.asarray(turned.resize((SIZE, SIZE), Image.Resampling.LANCZOS), np.float64)
    light = rng.uniform(0.7, 1.25)
    return Image.fromarray(np.uint8(np.clip(small * light + rng.normal(0, 9, small.shape), 0, 255)))


def main() -> None:
    """Draw the set."""
    p = parser("Draw calico and tabby cats to try the parts on.", "python data/draw_cats.py --data data/drawn")
    drawn = project_path("data/drawn")
    p.add_argument("--data", type=Path, metavar="DIR", default=drawn, help="folder to draw into (default: %(default)s)")
    p.add_argument("--train", type=positive_int, metavar="N", default=40, help="a class (default: %(default)s)")
    p.add_argument("--validation", type=positive_int, metavar="N", default=20, help="a class (default: %(default)s)")
    p.add_argument("--seed", type=seed_number, metavar="N", default=0, help="same seed, same cats (default: 0)")
    args = p.parse_args()
    for s, (split, count) in enumerate((("train", args.train), ("validation", args.validation))):
        for k, kind in enumerate(("calico", "tabby")):
            for i in range(1, count + 1):
                cat = draw_cat(kind, np.random.default_rng([args.seed, s, k, i]))
                with written_whole(args.data / split / kind / f"{kind}{i}.jpg") as beside:
                    cat.save(beside, "JPEG", quality=85)
    counts = f"{2 * args.train} training and {2 * args.validation} validation cats"
    print(f"drew {counts} in {args.data}: drawn, not photographed")


if __name__ == "__main__":
    sys.exit(run(main))
