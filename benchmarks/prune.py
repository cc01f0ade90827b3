"""What data/prune.py finds: outliers, copies, and the time for 2,600 photos.

    python benchmarks/prune.py --datasets ../shared/datasets        writes benchmarks/prune.md, in about ten minutes

Dogs are planted among the cats of one class: 2, 5 and 8% of the photos. Recall is the share of them in the first 10% of
the ranking; a random ranking has 10%.
"""

import io
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

from photo_tools.duplicates import NEAR, fingerprint, near_pairs
from photo_tools.outliers import IMAGE_SIZE, outlier_scores, photo_features
from photo_tools.photo_folders import Photo, inspect_photos
from tutorial.cli import PROJECT, TutorialError, file_path, parser, positive_int, project_path, run
from tutorial.dataset import find_photos
from tutorial.files import atomic_write
from tutorial.images import open_photo

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

FRACTIONS = (0.02, 0.05, 0.08)
FIRST = 0.10
CATS, DOGS = 500, 200  # of cats_vs_dogs: the first by name of train/cats and of validation/dogs
SIZE = (800, 600)  # pixels, of the photos that are timed: Flickr's url_c and Openverse's photos are about as large


def recall(cats: np.ndarray, others: np.ndarray, fraction: float, seed: int) -> float:
    """The share of planted photos in the first 10% of the ranking."""
    count = max(1, round(len(cats) * fraction / (1 - fraction)))
    planted = others[np.random.default_rng(seed).permutation(len(others))[:count]]
    scores = outlier_scores(np.concatenate([cats, planted]))
    first = np.argsort(-scores)[: round(FIRST * len(scores))]
    return float(np.mean(np.isin(np.arange(len(cats), len(scores)), first)))


def outlier_table(datasets: Path, cache: Path, seeds: int) -> list[str]:
    """The recall of planted photos, a row for each class and kind of photo."""
    both = datasets / "calico_tabby"
    files = {
        name: find_photos(both / "train" / name).photos + find_photos(both / "validation" / name).photos
        for name in ("calico", "tabby")
    }
    files["cats"] = find_photos(datasets / "cats_vs_dogs" / "train" / "cats").photos[:CATS]
    files["dogs"] = find_photos(datasets / "cats_vs_dogs" / "validation" / "dogs").photos[:DOGS]
    features = {}
    start = time.monotonic()
    for name, paths in files.items():
        digests = [photo.sha256 for photo in inspected(datasets, paths)]
        features[name] = photo_features(paths, digests, cache)
    seconds, count = time.monotonic() - start, sum(map(len, files.values()))
    lines = [
        f"## Outliers in the first {FIRST:.0%} of the ranking",
        "",
        f"Mean of {seeds} seeds, lowest and highest in brackets. VGG16 at {IMAGE_SIZE} x {IMAGE_SIZE}; {count} photos "
        f"took {seconds:.0f} s, {count / seconds:.1f} a second, decoding included.",
        "",
        "| class | photos | planted | " + " | ".join(f"{fraction:.0%} planted" for fraction in FRACTIONS) + " |",
        "|---|---|---|" + "---|" * len(FRACTIONS),
    ]
    for name, other in (
        ("calico", "dogs"),
        ("tabby", "dogs"),
        ("cats", "dogs"),
        ("calico", "tabby"),
        ("tabby", "calico"),
    ):
        cells = []
        for fraction in FRACTIONS:
            found = [recall(features[name], features[other], fraction, seed) for seed in range(seeds)]
            cells.append(f"{np.mean(found):.0%} ({min(found):.0%} to {max(found):.0%})")
        lines.append(f"| {name} | {len(files[name])} | {other} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "The last two rows are the other coat, under the wrong class. The ranking is not made for them.",
    ]


def inspected(datasets: Path, paths: list[Path]) -> list[Photo]:
    """What prune.py knows about each photo."""
    return inspect_photos(datasets, [path.relative_to(datasets).as_posix() for path in paths])


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
    "1 % off each edge": lambda photo: cropped(photo, 0.01),
    "2 % off each edge": lambda photo: cropped(photo, 0.02),
    "4 % off each edge": lambda photo: cropped(photo, 0.04),
}


def copies_table(datasets: Path) -> list[str]:
    """How many copies are found, and how many pairs of different photos are taken for copies, by the threshold."""
    photos = inspected(datasets, find_photos(datasets).photos)
    near = (12, 16, NEAR, 24, 28)
    pairs = near_pairs(np.stack([photo.fingerprint for photo in photos]), max(near))
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


def time_table(datasets: Path, count: int) -> list[str]:
    """The time of one run without the ranking on so many photos, resized to the size of Flickr's."""
    sources = find_photos(datasets / "cats_vs_dogs").photos[:count]
    with tempfile.TemporaryDirectory() as folder:
        for i, path in enumerate(sources):
            new = Path(folder, "collected", ("calico", "tabby")[i % 2], f"{i}.jpg")
            new.parent.mkdir(parents=True, exist_ok=True)
            open_photo(path).resize(SIZE).save(new, quality=85)
        start = time.monotonic()
        command = [sys.executable, PROJECT / "data" / "prune.py", "--data", folder, "--no-ranking"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
    return [
        "## Time without the ranking",
        "",
        f"`data/prune.py --no-ranking`: {len(sources)} photos of {SIZE[0]} x {SIZE[1]} in {seconds:.0f} s.",
    ]


def hardware() -> str:
    """One line on the machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        name = platform.processor() or platform.machine()
    busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    packages = ", ".join(f"{package} {version(package)}" for package in ("tensorflow", "keras", "pillow", "ImageHash"))
    return f"{name}, {os.cpu_count()} cores{busy}; Python {platform.python_version()}, {packages}; {date.today()}."


def main() -> None:
    """Measure, and write the tables."""
    p = parser(__doc__)
    datasets, table = project_path("../shared/datasets"), project_path("benchmarks/prune.md")
    p.add_argument(
        "--datasets", type=file_path, metavar="DIR", default=datasets, help="with calico_tabby/ and cats_vs_dogs/"
    )
    p.add_argument("--table", type=file_path, metavar="FILE", default=table, help="to write (default: %(default)s)")
    p.add_argument("--cache", type=file_path, metavar="FILE", help="cache of VGG16's features, a .npz")
    p.add_argument("--seeds", type=positive_int, metavar="N", default=20, help="plantings (default: %(default)s)")
    p.add_argument(
        "--count", type=positive_int, metavar="N", default=2600, help="photos to time (default: %(default)s)"
    )
    args = p.parse_args()
    if not (args.datasets / "cats_vs_dogs").is_dir():
        raise TutorialError(f"there is no folder {args.datasets / 'cats_vs_dogs'}: name the photos' with --datasets.")
    with tempfile.TemporaryDirectory() as folder:
        parts = [
            ["# data/prune.py", "", f"Written by `python benchmarks/prune.py --seeds {args.seeds}`. {hardware()}"],
            outlier_table(args.datasets, args.cache or Path(folder, "cache.npz"), args.seeds),
            copies_table(args.datasets),
            time_table(args.datasets, args.count),
        ]
    with atomic_write(args.table) as temporary:
        temporary.write_text("\n\n".join("\n".join(lines) for lines in parts) + "\n", encoding="utf-8")
    print(f"wrote {args.table}")


if __name__ == "__main__":
    sys.exit(run(main))
