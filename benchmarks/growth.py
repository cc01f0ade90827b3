"""The cost by the number of photos: the parts' time, peak memory and disk, and prune.py's search for near duplicates.

    python benchmarks/growth.py --data ../shared/datasets/cats_vs_dogs
    python benchmarks/growth.py --data ../shared/datasets/cats_vs_dogs --sizes 100000 --what duplicates

Each size is the data folder's photos under new names, four fifths of them for training, made small and encoded again,
so that no two files are equal. One epoch and one cached copy of each photo, and parts 2 and 3 at 32 x 32 pixels, to
save time: what is held in memory for each photo depends on neither. Each of ``--what`` has a table of its own on the
page. Needs Linux or macOS.
"""

import sys
import tempfile
from pathlib import Path

from photo_tools.photo_folders import inspect_photos
from report import Clock, preamble, write_section
from tutorial.cli import PROJECT, ProgressBar, file_path, parser, positive_int, project_path, run
from tutorial.dataset import class_folders, find_photos
from tutorial.images import open_photo

import numpy as np

TABLE = project_path("benchmarks/growth.md")
HEADING = (
    "# Cost by the number of photos\n\nWritten by `benchmarks/growth.py`: one epoch, parts 2 and 3 at 32 x 32 pixels, "
    "part 3 with one cached\ncopy of each photo; each part is a process of its own, from its start to its end.\n"
)
SIZES = [5000, 100000]
SMALL = ["--set", "image_size=32"]  # of part 2, and so of part 3: a twentieth of the time
PARTS = {"part 1": [], "part 2": SMALL, "part 3": ["--cached-copies", 1]}  # flags besides those that all have
CACHES = {"part 2": "bottleneck_features", "part 3": "block4"}
DUPLICATES = "duplicates"
SIDE = 150  # pixels, the longer side of each photo: 100,000 of them take 600 MB
SEARCH = """
import sys, time
import numpy as np
from photo_tools.duplicates import near_groups
prints = list(np.load(sys.argv[1]))
start = time.monotonic()
print("groups", len(near_groups(prints)), "seconds", time.monotonic() - start)
"""


def encoded_again(data: Path, folder: Path, count: int) -> Path:
    """A data folder of ``count`` photos, four fifths for training, as many of each class: those of ``data``, repeated.

    They are small JPEGs of a quality of 50 to 95, and differ in a comment.
    """
    progress, done = ProgressBar("encoding photos", count), 0
    for split, share in (("train", 4 / 5), ("validation", 1 / 5)):
        classes = class_folders(data / split)
        for name, photos_folder in classes.items():
            (folder / split / name).mkdir(parents=True)
            photos = find_photos(photos_folder).photos
            wanted = round(count * share / len(classes))
            for i, path in enumerate(photos[:wanted]):
                small = open_photo(path)
                small.thumbnail((SIDE, SIDE))
                for number in range(i, wanted, len(photos)):
                    quality = 95 - number // len(photos) % 46
                    small.save(folder / split / name / f"{number:06}.jpg", quality=quality, comment=f"{number}")
                    progress.update(done := done + 1)
    progress.close()
    return folder


def search(photos: Path) -> str:
    """Seconds and peak memory of the search for near duplicates, in a process of its own."""
    files = [path.relative_to(photos).as_posix() for path in find_photos(photos).photos]
    with tempfile.TemporaryDirectory() as folder:
        prints = Path(folder, "fingerprints.npy")
        np.save(prints, np.stack([photo.fingerprint for photo in inspect_photos(photos, files)]))
        done = Clock("-c", SEARCH, prints)
    words = done.lines[-1][1].split()
    return f"{float(words[3]):.0f} s, {done.memory:.2f} GB | {int(words[1]):,}"


def measure(photos: Path, weights: Path, part: str) -> str:
    """Time, peak memory and disk of one part; part 3 needs part 2's model."""
    common = ["--data", photos, "--weights-dir", weights, "--epochs", 1]
    done = Clock(PROJECT / f"fine_tuning_VGG16_pt{part[-1]}.py", *common, *PARTS[part])
    caches = (weights / "activations").glob(f"{CACHES[part]}_*.npy") if part in CACHES else []
    return f"{done.seconds:.0f} s, {done.memory:.2f} GB | {sum(path.stat().st_size for path in caches) / 1e6:.0f} MB"


def main() -> None:
    """Measure every size; the tables grow with each."""
    p = parser(__doc__)
    p.add_argument("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--sizes", type=positive_int, nargs="+", metavar="N", default=SIZES, help="default: %(default)s")
    what, text = [*PARTS, DUPLICATES], "what is measured, several times; part 3 needs part 2 (default: all)"
    p.add_argument("--what", choices=what, action="append", help=text)
    args = p.parse_args()
    last = {DUPLICATES: "groups"}
    tables = {
        name: [
            *preamble(),
            f"| photos | time, peak memory | {last.get(name, 'cache on disk')} |",
            "|---|---|---|",
        ]
        for name in args.what or what
    }
    for count in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            photos, weights = encoded_again(args.data, Path(folder, "data"), count), Path(folder, "weights")
            for name, lines in tables.items():
                found = search(photos) if name == DUPLICATES else measure(photos, weights, name)
                lines.append(f"| {count:,} | {found} |")
                write_section(TABLE, HEADING, f"{args.data.name}, {name}", lines)


if __name__ == "__main__":
    sys.exit(run(main))
