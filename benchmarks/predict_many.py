"""Photos a second of tools/predict_many.py on this machine, with 1 and 2 workers, beside predict.py.

    python benchmarks/predict_many.py                       the small convnet, 2 rounds of 480 photos
    python benchmarks/predict_many.py --model fine_tuned_vgg16 --photos 64 --rounds 1

Writes benchmarks/predict_many.md. The models that came with the tutorial predict drawn cats of 640 x 480 pixels. The
rates, from the first parts or batch to the last, and the core seconds, which other work on the machine changes less,
are of the work itself, without the start.
"""

import os
import resource
import sys
import tempfile
from pathlib import Path

from drawing.drawn_cat import cat_number
from report import Clock, preamble, spread, write_section
from tutorial.cli import TutorialError, parser, positive_int, project_path, run
from tutorial.images import INFERENCE_BATCH
from tutorial.recipes import pretrained_dir

import ray
from PIL import Image

TABLE = project_path("benchmarks/predict_many.md")
HEADING = "# Predicting many photos\n\nWritten by `benchmarks/predict_many.py`.\n"
PARTS = 8  # of a run
CATS = 40  # drawn; links to them make the number of photos


def measure(folder: Path, weights: Path, photos: int, output: Path, workers: int) -> tuple[float, float]:
    """Photos a second, and core milliseconds a photo; ``workers`` 0 is predict.py."""
    if workers:
        size = photos // PARTS
        flags = ["--weights", weights, "--part-size", size, "--workers", workers, "--output", output]
        clock = Clock("tools/predict_many.py", folder, *flags)
        [(_, line)] = [one for one in clock.lines if "core seconds" in one[1]]
        written = sorted(path.stat().st_mtime for path in output.glob("part-*"))
        begin = 2 * workers - 1  # every worker has loaded its model then
        rate = size * (len(written) - 1 - begin) / (written[-1] - written[begin])
        return rate, 1000 * float(line.split()[3].replace(",", "")) / photos
    batch, used = 4 * INFERENCE_BATCH, [resource.getrusage(resource.RUSAGE_CHILDREN)]
    for few in (sorted(folder.iterdir())[:batch], [folder]):
        clock = Clock("predict.py", *few, "--weights", weights, "--json")
        used.append(resource.getrusage(resource.RUSAGE_CHILDREN))
    ready = clock.times("probability")[::batch]  # it prints a batch at once
    before, first, full = (one.ru_utime + one.ru_stime for one in used)
    seconds = (full - first) - (first - before)  # less a run of one batch: the start
    return batch * (len(ready) - 1) / (ready[-1] - ready[0]), 1000 * seconds / (photos - batch)


def main() -> None:
    """Measure and write the section of one model."""
    p = parser(__doc__)
    p.add_argument("--model", default="small_convnet", choices=["small_convnet", "fine_tuned_vgg16"])
    p.add_argument("--photos", type=positive_int, default=480)
    p.add_argument("--rounds", type=positive_int, default=2)
    args = p.parse_args()
    if args.photos % (4 * INFERENCE_BATCH) or args.photos < 8 * INFERENCE_BATCH:
        raise TutorialError(f"--photos must be a multiple of {4 * INFERENCE_BATCH} and at least {8 * INFERENCE_BATCH}.")
    weights = (pretrained_dir() / f"{args.model}.weights.h5").resolve()
    found: dict[int, list[tuple[float, float]]] = {0: [], 1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "photos")
        folder.mkdir()
        for i in range(CATS):
            cat = cat_number(0, "validation", ("calico", "tabby")[i % 2], i + 1)
            cat.resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{i:06}.jpg", quality=90)
        for i in range(CATS, args.photos):
            os.link(folder / f"{i % CATS:06}.jpg", folder / f"{i:06}.jpg")
        for repeat in range(args.rounds):
            for workers, values in found.items():
                values.append(measure(folder, weights, args.photos, Path(name, f"{repeat}-{workers}"), workers))
                print(workers, values[-1], flush=True)
    rows = []
    for workers, values in found.items():
        rates, costs = map(list, zip(*values, strict=True))
        hours = 1e8 * sum(costs) / len(costs) / 1000 / 3600
        label = f"{workers} worker{'s' * (workers > 1)}" if workers else "predict.py"
        rows.append(f"| {label} | {workers or 2} | {spread(rates, '.1f')} | {spread(costs, '.0f')} | {hours:,.0f} |")
    lines = [
        *preamble(after=f", ray {ray.__version__}"),
        "| | cores | photos/s | core ms a photo | core hours for 100 million photos |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"{args.photos} photos of 640 x 480 pixels, {PARTS} parts, rounds: {args.rounds}, in turn: mean and range, the "
        "start not included. A worker's network has one core, and other threads decode its photos; predict.py has "
        "both.",
    ]
    write_section(TABLE, HEADING, args.model, lines)


if __name__ == "__main__":
    sys.exit(run(main))
