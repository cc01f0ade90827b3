"""Speed of the tutorial beside the blog post's code path, PyTorch and other engines.

    python benchmarks/speed.py --data ../shared/datasets/cats_vs_dogs                    about 40 minutes
    python benchmarks/speed.py --data ../shared/datasets/cats_vs_dogs --only features    one of its three sections

Needs requirements-peers.txt, and Linux for two threads for everyone. In each round every side runs once, in turn and in
a process of its own that is timed by the lines it prints: benchmarks/engines.py, benchmarks/blog_post.py, and the
tutorial's scripts as a reader runs them. benchmarks/speed.md is written after every round.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from engines import ENGINES, INFERENCE_BATCH, THREADS, TOLERANCE
from report import Clock, linked_photos, preamble, write_section
from tutorial.cli import PROJECT, TutorialError, file_path, parser, positive_int, project_path, run
from tutorial.dataset import find_images
from tutorial.imagenet_weights import imagenet_weights
from tutorial.images import PREPROCESSING, read_photo
from tutorial.recipes import pretrained_dir

import numpy as np

TABLE = project_path("benchmarks/speed.md")
HEADING = (
    "# Speed, beside the blog post's code path and other engines\n\nWritten by `benchmarks/speed.py` and "
    "`benchmarks/tricks.py`: medians and ranges of alternating runs, each a process of its own.\n"
)
PACKAGES = ("torch", "torchvision", "onnxruntime", "openvino")
EPOCHS = 30  # of part 3, over which its time is projected
COPIES = 4  # part 3's default
MEASURED = 2  # epochs of part 3 that are run, and copies that are cached
EPOCH_END = " - val_loss: "  # in the line that Keras prints at the end of an epoch
RATE = re.compile(r"([\d.]+) photos/s")
ANSWER = re.compile(r": .*?(\S+?)\?? \(([\d.]+)%\)")
Section = tuple[str, Callable[[], None]]  # what is measured, in words; and one round of it


def multiplications(size: int) -> float:
    """GFLOP for a photo of VGG16's blocks (a multiplication and an addition are two)."""
    total, channels = 0.0, 3
    for filters, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(layers):
            total, channels = total + 2 * 9 * size * size * channels * filters / 1e9, filters
        size //= 2
    return total


def engine(*arguments: object) -> Clock:
    """Run one code path of benchmarks/engines.py."""
    return Clock(PROJECT / "benchmarks/engines.py", *arguments)


def blog_post(*arguments: object) -> Clock:
    """Run one code path of benchmarks/blog_post.py."""
    return Clock(PROJECT / "benchmarks/blog_post.py", *arguments, "--imagenet", imagenet_weights())


class Speed:
    """The measurements: for each row of the table and each side, a list over the rounds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.values: dict[tuple[str, str], list[float]] = {}
        self.memory: dict[tuple[str, str], float] = {}

    def add(self, row: str, side: str, value: float, memory: float) -> None:
        """Add a value to a row; the memory is the process's peak, in GB."""
        self.values.setdefault((row, side), []).append(value)
        self.memory[row, side] = max(memory, self.memory.get((row, side), 0))
        print(f"{row}, {side}: {value:.2f}", flush=True)

    def table(self, sgemm: float) -> list[str]:
        """The rows: each side beside ours, and the share of the rate of a matrix multiplication, in GFLOP/s."""
        rows = list(dict.fromkeys(row for row, _ in self.values))
        lines = [
            "| | side | median (range) | ours is faster, times | share of sgemm | peak memory, GB |",
            "|---|---|---|---|---|---|",
        ]
        for row, side in sorted(self.values, key=lambda key: rows.index(key[0])):  # a stable sort
            values, ours = self.values[row, side], median(self.values[row, "ours"])
            middle = median(values)
            faster = ours / middle if "/s" in row else middle / ours
            share = f"{middle * multiplications(int(row.split()[0])) / sgemm:.0%}" if " px" in row else ""
            cells = [row, side, f"{middle:.2f} ({min(values):.2f}-{max(values):.2f})", f"{faster:.2f}", share]
            lines.append(f"| {' | '.join(cells)} | {self.memory[row, side]:.1f} |")
        return lines


def features(speed: Speed, args: argparse.Namespace) -> Section:
    """Photos/s through VGG16's blocks, from pixels in memory to features in memory."""
    paths = (find_images(args.data)[1].paths * INFERENCE_BATCH)[:INFERENCE_BATCH]
    for size in args.sizes:
        images = PREPROCESSING["caffe"]([read_photo(path, size) for path in paths])
        np.save(speed.folder / f"images-{size}.npy", images)
        engine("export", "--folder", speed.folder, "--size", size)

    def measure() -> None:
        for size in args.sizes:
            for name in ENGINES:
                flags = ["--folder", speed.folder, "--size", size, "--seconds", args.seconds]
                done = engine("features", "--engine", name, *flags)
                speed.add(f"{size} px, photos/s", name, float(RATE.search(done.lines[-1][1])[1]), done.memory)

    text = f"batches of {INFERENCE_BATCH} for {args.seconds} s; every engine's features are plain Keras's up to"
    return f"VGG16's blocks, {text} {TOLERANCE} of the largest", measure


def parts(speed: Speed, args: argparse.Namespace) -> Section:
    """The three parts and ``predict.py``, original recipe: ours, the blog post's code path, PyTorch's in training."""
    counts = {"train": args.photos, "validation": -(-args.photos * 2 // 5)}  # as in the blog post
    data = linked_photos(args.data, speed.folder / "data", counts)
    number, weights = 2 * sum(counts.values()), speed.folder / "weights"
    photos = (find_images(data)[1].paths * 100)[:100]

    def ours(part: int, *flags: object) -> Clock:
        shutil.rmtree(weights / "activations", ignore_errors=True)
        script = PROJECT / f"fine_tuning_VGG16_pt{part}.py"
        return Clock(script, "--data", data, "--weights-dir", weights, *flags)

    def measure() -> None:
        row = "part 1, s an epoch"  # after the first
        for side, done in (
            ("blog post", blog_post(1, "--data", data, "--epochs", 3)),
            ("PyTorch", engine("train", 1, "--data", data, "--epochs", 3)),
        ):
            speed.add(row, side, (done.at("^epoch +3/") - done.at("^epoch +1/")) / 2, done.memory)
        done = ours(1, "--epochs", 3)
        first, _, last = done.times(EPOCH_END)
        speed.add(row, "ours", (last - first) / 2, done.memory)

        row = "part 2, photos/s"  # for the features, decoding included
        done = blog_post(2, "--data", data)
        speed.add(row, "blog post", number / (done.at("^end") - done.at("^start")), done.memory)
        done = ours(2)
        seconds = done.at("^bottleneck features of validation.* photos: ") - done.at("^device")
        speed.add(row, "ours", number / seconds, done.memory)

        row, whole = "part 3, s an epoch", f"part 3, minutes for {EPOCHS} epochs"
        for side, done in (
            ("blog post", blog_post(3, "--data", data, "--epochs", MEASURED)),
            ("PyTorch", engine("train", 3, "--data", data, "--epochs", MEASURED)),
        ):
            epoch = done.at("^epoch +2/") - done.at("^epoch +1/")
            speed.add(row, side, epoch, done.memory)
            speed.add(whole, side, EPOCHS * epoch / 60, done.memory)
        done = ours(3, "--epochs", MEASURED, "--cached-copies", MEASURED)
        (first, last), copies = done.times(EPOCH_END), done.at("activations of train, copy .* photos: ")
        copy = (copies - done.at("^block 4's activations for")) / MEASURED
        rest = first - copies  # the validation photos and the first epoch
        speed.add(row, "ours", last - first, done.memory)
        speed.add(whole, "ours", (COPIES * copy + rest + (EPOCHS - 1) * (last - first)) / 60, done.memory)

        for model, file in (("convnet", "small_convnet"), ("vgg16", "fine_tuned_vgg16")):
            row = f"predict.py, {file}, 100 photos, s"
            done = blog_post(model, *photos)
            speed.add(row, "blog post", done.seconds, done.memory)
            done = Clock(PROJECT / "predict.py", "--weights", weights / f"{file}.weights.h5", *photos)
            speed.add(row, "ours", done.seconds, done.memory)

    title = f"{args.photos} training photos of each class and {counts['validation']} validation photos; "
    return f"{title}part 3's {EPOCHS} epochs are projected from {MEASURED}", measure


def predict(speed: Speed, args: argparse.Namespace) -> Section:
    """Seconds from the command to the answer for one photo: predict.py, and ONNX Runtime on our export."""
    photo, models = find_images(args.data)[1].paths[0].resolve(), ("small_convnet", "fine_tuned_vgg16")
    weights = {name: pretrained_dir().resolve() / f"{name}.weights.h5" for name in models}
    for name, path in weights.items():
        Clock(PROJECT / "tools/export.py", "--to", "onnx", "--weights", path, "--output", speed.folder / name)

    def measure() -> None:
        keras = Clock("-c", "import keras")
        for name, path in weights.items():
            row, answers = f"{name}, s", []
            commands = {
                "ours": Clock(PROJECT / "predict.py", photo, "--weights", path),
                "ONNX Runtime": engine("predict", photo, "--onnx", speed.folder / name / "model.onnx"),
            }
            for side, done in commands.items():
                answers += ANSWER.findall(done.lines[-1][1])
                speed.add(row, side, done.at(re.escape(str(photo))), done.memory)
            speed.add(row, "import keras", keras.seconds, keras.memory)
            (first, percent), (second, other) = answers
            if first != second or abs(float(percent) - float(other)) > 0.5:
                raise SystemExit(f"ONNX Runtime's answer is not predict.py's: {answers}")

    return "`python predict.py photo.jpg`, from the command to the prediction, with the pretrained models", measure


SECTIONS = {"features": features, "parts": parts, "predict": predict}


def main() -> None:
    """Measure and write the sections."""
    p = parser(__doc__)
    add, default = p.add_argument, "default: %(default)s"
    add("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    add("--only", choices=SECTIONS, help="one section")
    add("--rounds", type=positive_int, metavar="N", default=3, help=default)
    add("--sizes", type=positive_int, metavar="PIXELS", nargs="+", default=[150, 256], help="of VGG16's images")
    add("--seconds", type=positive_int, metavar="S", default=4, help=f"for each engine and size, {default}")
    add("--photos", type=positive_int, metavar="N", default=60, help=f"for the parts, of each class, {default}")
    args = p.parse_args()
    if missing := [name for name in PACKAGES if not find_spec(name)]:
        raise TutorialError(f"{' and '.join(missing)} missing: python -m pip install -r requirements-peers.txt")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_NUM_INTRAOP_THREADS": str(THREADS), "TF_CPP_MIN_LOG_LEVEL": "3"}
    find_images(args.data)
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        sections = {}
        for name in [args.only] if args.only else SECTIONS:
            speed = Speed(Path(folder))
            sections[name] = (speed, *SECTIONS[name](speed, args))
        rates = []
        for done in range(1, args.rounds + 1):
            rates.append(float(engine("sgemm").lines[-1][1]))
            for name, (speed, text, measure) in sections.items():
                measure()
                lines = [
                    *preamble(f"{text}. {done} of {args.rounds} rounds, {THREADS} threads; ", after=f", {versions}"),
                    f"sgemm: {median(rates):.0f} GFLOP/s ({min(rates):.0f}-{max(rates):.0f}).",
                    "",
                    *speed.table(median(rates)),
                ]
                write_section(TABLE, HEADING, f"{args.data.name}, {name}", lines)


if __name__ == "__main__":
    sys.exit(run(main))
