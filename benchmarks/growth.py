"""The cost of the three parts by the number of photos: seconds, peak memory, disk.

    python benchmarks/growth.py --data ../shared/datasets/cats_vs_dogs         about 40 minutes

Each size is the data folder's photos repeated under new names, four fifths of them for training. One epoch and one
cached copy of each photo, so that the time does not depend on settings. Needs Linux or macOS.
"""

import sys
import tempfile
from pathlib import Path

from report import Clock, linked_photos, machine, write_section
from tutorial.cli import PROJECT, file_path, parser, positive_int, project_path, run

TABLE = project_path("benchmarks/growth.md")
HEADING = (
    "# Cost by the number of photos\n\nWritten by `benchmarks/growth.py`: one epoch, part 3 with one cached copy\n"
    "of each photo, each part a process of its own, timed from its start to its end.\n"
)
SIZES = [500, 1000, 2000, 5000, 10000]
FLAGS = {1: [], 2: [], 3: ["--cached-copies", 1]}  # of each part, besides those that all have


def measure(data: Path, count: int) -> str:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        counts = {"train": count * 4 // 5 // 2, "validation": count // 5 // 2}
        photos, weights = linked_photos(data, Path(folder, "data"), counts), Path(folder, "weights")
        common = ["--data", photos, "--weights-dir", weights, "--epochs", 1]
        parts = [Clock(PROJECT / f"fine_tuning_VGG16_pt{part}.py", *common, *own) for part, own in FLAGS.items()]
        disk = [
            sum(path.stat().st_size for path in (weights / "activations").glob(f"{name}_*.npy")) / 1e6
            for name in ("bottleneck_features", "block4")
        ]
    cells = [f"{done.seconds:.0f} s, {done.memory:.2f} GB" for done in parts]
    return f"| {count:,} | {' | '.join(cells)} | {disk[0]:.0f} / {disk[1]:.0f} MB |"


def main() -> None:
    """Measure every size; the table grows with each."""
    p = parser(__doc__)
    p.add_argument("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--sizes", type=positive_int, nargs="+", metavar="N", default=SIZES, help="default: %(default)s")
    args = p.parse_args()
    lines = [
        f"{machine()};",
        f"`python benchmarks/growth.py --data {args.data.as_posix()}`",
        "",
        "| photos | part 1: time, peak memory | part 2 | part 3 | disk: features / block 4's activations |",
        "|---|---|---|---|---|",
    ]
    for count in args.sizes:
        lines.append(measure(args.data, count))
        write_section(TABLE, HEADING, args.data.name, lines)


if __name__ == "__main__":
    sys.exit(run(main))
