"""What data/prune.py finds: label errors, outliers and copies.

    python benchmarks/prune.py --datasets ../shared/datasets        writes benchmarks/prune.md, in about 10 minutes

Labels are swapped, or dogs are planted among the cats of one class: 2, 5 and 8% of the photos. Recall is the share of
them in the first 10% of the ranking; a random ranking has 10%.
"""

import hashlib
import io
import random
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

from photo_tools.duplicates import NEAR, fingerprint, near_pairs
from photo_tools.label_errors import out_of_fold_probabilities
from photo_tools.outliers import IMAGE_SIZE, outlier_scores, photo_features
from photo_tools.photo_folders import inspect_photos
from report import command, machine
from tutorial.cli import TutorialError, file_path, parser, positive_int, project_path, run
from tutorial.dataset import find_photos
from tutorial.files import atomic_write
from tutorial.images import open_photo

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

TABLE = project_path("benchmarks/prune.md")
FRACTIONS = (0.02, 0.05, 0.08)
FIRST = 0.10
CATS, DOGS = 500, 200  # of cats_vs_dogs: the first by name of train/cats and of validation/dogs


def spread(found: list[float]) -> str:
    """Mean and range in percent."""
    return f"{np.mean(found):.1%} ({min(found):.0%} to {max(found):.0%})"


def planted_recall(cats: np.ndarray, others: np.ndarray, fraction: float, seed: int) -> float:
    """The share of planted photos in the first 10% of the outlier ranking."""
    count = max(1, round(len(cats) * fraction / (1 - fraction)))
    planted = others[np.random.default_rng(seed).permutation(len(others))[:count]]
    scores = outlier_scores(np.concatenate([cats, planted]))
    first = np.argsort(-scores)[: round(FIRST * len(scores))]
    return float(np.mean(np.isin(np.arange(len(cats), len(scores)), first)))


def swapped_recall(features: np.ndarray, labels: np.ndarray, fraction: float, seed: int) -> tuple[float, float, float]:
    """The share of swapped labels in the first 10% of the ranking, among as many photos as are swapped, and among
    those for which the other class is predicted."""
    swapped = np.random.default_rng(seed).permutation(len(labels))[: round(fraction * len(labels))]
    given = labels.copy()
    given[swapped] = 1 - given[swapped]
    every = np.arange(len(labels))
    own = out_of_fold_probabilities(features, given, every)[every, given]
    ranked = np.argsort(own, kind="stable")
    firsts = ranked[: round(FIRST * len(labels))], ranked[: len(swapped)], np.flatnonzero(own < 0.5)
    return tuple(float(np.isin(swapped, first).mean()) for first in firsts)


def label_table(sets: dict[str, list[np.ndarray]], seeds: int) -> list[str]:
    """The recall of swapped labels, a row for each set of two classes."""
    lines = [
        "## Swapped labels",
        "",
        f"Mean of {seeds} seeds, lowest and highest in brackets: the share of swapped labels that are among the first "
        f"{FIRST:.0%} of the ranking, among its first photos, as many as were swapped, and among the photos for which "
        "the other class is predicted.",
        "",
        f"| photos | swapped | in the first {FIRST:.0%} | among as many | predicted |",
        "|---|---|---|---|---|",
    ]
    for name, features in sets.items():
        labels = np.repeat([0, 1], [len(one) for one in features])
        for fraction in FRACTIONS:
            found = [swapped_recall(np.concatenate(features), labels, fraction, seed) for seed in range(seeds)]
            cells = " | ".join(spread(one) for one in zip(*found, strict=True))
            lines.append(f"| {len(labels)}, {name} | {fraction:.0%} | {cells} |")
    return lines


def outlier_table(cats: dict[str, np.ndarray], dogs: np.ndarray, seeds: int) -> list[str]:
    """The recall of planted dogs, a row for each class."""
    lines = [
        f"## Dogs among cats, in the first {FIRST:.0%} of the outliers",
        "",
        f"Mean of {seeds} seeds, lowest and highest in brackets.",
        "",
        "| class | photos | " + " | ".join(f"{fraction:.0%} planted" for fraction in FRACTIONS) + " |",
        "|---|---|" + "---|" * len(FRACTIONS),
    ]
    for name, features in cats.items():
        cells = [spread([planted_recall(features, dogs, one, seed) for seed in range(seeds)]) for one in FRACTIONS]
        lines.append(f"| {name} | {len(features)} | {' | '.join(cells)} |")
    return lines


def jpeg(photo: Image.Image, quality: int) -> Image.Image:
    """The photo after one more compression."""
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=quality)
    return open_copy(buffer)


def open_copy(buffer: io.BytesIO) -> Image.Image:
    """A photo from memory."""
    return Image.open(buffer).convert("RGB")


def cropped(photo: Image.Image, share: float) -> Image.Image:
    """The photo, that share narrower at each of its four edges."""
    return ImageOps.crop(photo, round(share * min(photo.size)))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda photo: photo.resize((photo.width // 2, photo.height // 2)),
    "three times the size": lambda photo: photo.resize((photo.width * 3, photo.height * 3)),
    "JPEG quality 30": lambda photo: jpeg(photo, 30),
    "JPEG quality 10": lambda photo: jpeg(photo, 10),
    "flipped": ImageOps.mirror,
    "gray": lambda photo: photo.convert("L").convert("RGB"),
    "brightness x 1.3": lambda photo: ImageEnhance.Brightness(photo).enhance(1.3),
    "brightness x 0.7": lambda photo: ImageEnhance.Brightness(photo).enhance(0.7),
    "contrast x 1.4": lambda photo: ImageEnhance.Contrast(photo).enhance(1.4),
    "1% off each edge": lambda photo: cropped(photo, 0.01),
    "2% off each edge": lambda photo: cropped(photo, 0.02),
    "4% off each edge": lambda photo: cropped(photo, 0.04),
}


def copies_table(datasets: Path) -> list[str]:
    """How many copies are found, and how many pairs of different photos are taken for copies, by the threshold."""
    files = [path.relative_to(datasets).as_posix() for path in find_photos(datasets).photos]
    photos = inspect_photos(datasets, files)
    near = (12, 16, NEAR, 24, 28)
    pairs = near_pairs(np.stack([photo.fingerprint for photo in photos]), max(near)).tolist()
    same = sum(bits == 0 for _, _, bits in pairs)
    sample = random.Random(0).sample(range(len(photos)), 250)
    lines = [
        "## Copies found, by how many of the 128 bits may differ",
        "",
        f"{len(photos)} photos, {len(photos) * (len(photos) - 1) // 2:,} pairs; {same} pairs, the photos that "
        f"are in both sets, do not differ at all. Copies are made "
        f"of {len(sample)} photos. prune.py and split.py allow {NEAR} bits.",
        "",
        "| copy | " + " | ".join(map(str, near)) + " |",
        "|---|" + "---|" * len(near),
    ]
    for name, change in COPIES.items():
        bits = []
        for i in sample:
            copy = fingerprint(change(open_photo(datasets / photos[i].file)))
            bits.append(int(np.bitwise_count(photos[i].fingerprint ^ copy[:1]).sum(axis=1).min()))
        lines.append(f"| {name} | " + " | ".join(f"{np.mean(np.array(bits) <= limit):.1%}" for limit in near) + " |")
    wrong = [sum(bits <= limit for _, _, bits in pairs) - same for limit in near]
    others = sorted((bits, photos[i].file, photos[j].file) for i, j, bits in pairs if bits)[:3]
    nearest = "; ".join(f"{bits} bits, {Path(a).name} and {Path(b).name}" for bits, a, b in others)
    lines.append("| other pairs reported as copies | " + " | ".join(map(str, wrong)) + " |")
    return [*lines, "", f"The nearest of the other pairs: {nearest}."]


def main() -> None:
    """Measure, and write the tables."""
    p = parser(__doc__)
    datasets = project_path("../shared/datasets")
    text = "with calico_tabby/ and cats_vs_dogs/ (default: %(default)s)"
    p.add_argument("--datasets", type=file_path, metavar="DIR", default=datasets, help=text)
    p.add_argument("--seeds", type=positive_int, metavar="N", default=20, help="plantings (default: %(default)s)")
    args = p.parse_args()
    if not (args.datasets / "cats_vs_dogs").is_dir():
        raise TutorialError(f"there is no folder {args.datasets / 'cats_vs_dogs'}: name the photos' with --datasets.")
    with tempfile.TemporaryDirectory() as folder:

        def features(name: str, *splits: str, count: int | None = None) -> np.ndarray:
            paths = [path for split in splits for path in find_photos(args.datasets / split / name).photos][:count]
            digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
            return photo_features(paths, digests, Path(folder, "prune.npz"))

        coats = {name: features(name, "calico_tabby/train", "calico_tabby/validation") for name in ("calico", "tabby")}
        pets = {name: features(name, "cats_vs_dogs/train", "cats_vs_dogs/validation") for name in ("cats", "dogs")}
        dogs = features("dogs", "cats_vs_dogs/validation", count=DOGS)
        parts = [
            [
                "# data/prune.py",
                "",
                f"Written by {command()}. {machine()}, scikit-learn "
                f"{version('scikit-learn')}, ImageHash {version('ImageHash')}; {date.today()}. VGG16 at {IMAGE_SIZE} x "
                f"{IMAGE_SIZE}.",
            ],
            label_table({"calico / tabby": list(coats.values()), "cats / dogs": list(pets.values())}, args.seeds),
            outlier_table(coats | {"cats": pets["cats"][:CATS]}, dogs, args.seeds),
            copies_table(args.datasets),
        ]
    with atomic_write(TABLE) as temporary:
        temporary.write_text("\n\n".join("\n".join(lines) for lines in parts) + "\n", encoding="utf-8")
    print(f"wrote {TABLE}")


if __name__ == "__main__":
    sys.exit(run(main))
