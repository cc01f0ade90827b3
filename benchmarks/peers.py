"""Speed of the tutorial beside its peers: other engines, PyTorch, the blog post's code path, ONNX Runtime.

    python benchmarks/peers.py --data ../shared/datasets/cats_vs_dogs                    about 15 minutes
    python benchmarks/peers.py --data ../shared/datasets/cats_vs_dogs --only features    one of its three sections

Needs requirements-peers.txt, and Linux for two threads for everyone. In each round every side runs once, in turn and in
a process of its own: benchmarks/engines.py, benchmarks/blog_post.py, and the tutorial's scripts as a reader runs them.
benchmarks/peers.md is written after every round.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from engines import ENGINES, INFERENCE_BATCH, THREADS, TOLERANCE
from report import Clock, command, linked_photos, machine, write_section
from speed import EPOCHS, MEASURED, Speed, multiplications
from tutorial.cli import PROJECT, TutorialError, file_path, parser, positive_int, project_path, run
from tutorial.dataset import find_images
from tutorial.imagenet_weights import imagenet_weights
from tutorial.images import PREPROCESSING, read_photo
from tutorial.recipes import pretrained_dir

import numpy as np

TABLE = project_path("benchmarks/peers.md")
HEADING = (
    "# Speed beside other engines\n\nWritten by `benchmarks/peers.py`: medians and ranges of alternating runs, each a "
    "process of its own, all on two threads.\n"
)
PACKAGES = ("torch", "torchvision", "onnxruntime", "openvino")
RATE = re.compile(r"(\d+) px: ([\d.]+) photos/s")
ANSWER = re.compile(r": .*?(\S+?)\?? \(([\d.]+)%\)")
Section = tuple[str, Callable[[], None]]  # what is measured, in words; and one round of it


def engine(*arguments: object) -> Clock:
    """Run one code path of benchmarks/engines.py."""
    return Clock(PROJECT / "benchmarks/engines.py", *arguments)


def features(speed: Speed, args: argparse.Namespace) -> Section:
    """Photos/s through VGG16's blocks, from pixels in memory to features in memory."""
    paths = (find_images(args.data)[1].paths * INFERENCE_BATCH)[:INFERENCE_BATCH]
    for size in args.sizes:
        images = PREPROCESSING["caffe"]([read_photo(path, size) for path in paths])
        np.save(speed.folder / f"images-{size}.npy", images)
    flags = ["--folder", speed.folder, "--sizes", *args.sizes]
    engine("export", *flags)

    def measure() -> None:
        for name in ENGINES:
            done = engine("features", "--engine", name, "--seconds", args.seconds, *flags)
            for size, rate in RATE.findall("".join(line for _, line in done.lines)):
                speed.add(f"{size} px, photos/s", name, float(rate), done.memory)

    text = f"batches of {INFERENCE_BATCH} for {args.seconds} s; every engine's features are plain Keras's up to"
    return f"VGG16's blocks, {text} {TOLERANCE} of the largest", measure


def training(speed: Speed, args: argparse.Namespace) -> Section:
    """Part 1's epoch, and part 3's 30 epochs: ours, the blog post's code path, PyTorch with torchvision's loading."""
    data = {}
    for part, photos in ((1, args.part1_photos), (3, args.part3_photos)):
        counts = {"train": photos, "validation": -(-photos * 2 // 5)}  # as in the blog post
        data[part] = linked_photos(args.data, speed.folder / f"part{part}", counts)
    speed.data = data[3]
    speed.ours(2)  # part 3 starts from its model

    def measure() -> None:
        speed.data = data[1]
        speed.part1()
        done = engine("train", 1, "--data", data[1], "--epochs", 3)
        speed.add("part 1, s an epoch", "PyTorch", (done.at("^epoch 3/") - done.at("^epoch 1/")) / 2, done.memory)
        speed.data = data[3]
        speed.part3()
        done = engine("train", 3, "--data", data[3], "--epochs", MEASURED)
        epoch = done.at("^epoch 2/") - done.at("^epoch 1/")
        speed.add("part 3, s an epoch", "PyTorch", epoch, done.memory)
        speed.add(f"part 3, minutes for {EPOCHS} epochs", "PyTorch", EPOCHS * epoch / 60, done.memory)

    return f"{args.part1_photos} training photos of each class in part 1, {args.part3_photos} in part 3", measure


def predicting(speed: Speed, args: argparse.Namespace) -> Section:
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

    return "`python predict.py photo.jpg`, from the start to the answer, with the models that came along", measure


SECTIONS = {"features": features, "training": training, "predict": predicting}


def table(speed: Speed, sgemm: float) -> list[str]:
    """The rows: each side beside ours."""
    rows = list(dict.fromkeys(row for row, _ in speed.values))
    lines = [
        "| | side | median (range) | ours is faster, times | share of sgemm | peak memory, GB |",
        "|---|---|---|---|---|---|",
    ]
    for row, side in sorted(speed.values, key=lambda key: rows.index(key[0])):  # a stable sort
        values, ours = speed.values[row, side], median(speed.values[row, "ours"])
        middle = median(values)
        faster = ours / middle if "/s" in row else middle / ours
        share = f"{middle * multiplications(int(row.split()[0]))[0] / sgemm:.0%}" if " px" in row else ""
        cells = [row, side, f"{middle:.2f} ({min(values):.2f}-{max(values):.2f})", f"{faster:.2f}", share]
        lines.append(f"| {' | '.join(cells)} | {speed.memory[row, side]:.1f} |")
    return lines


def main() -> None:
    """Measure and write the sections."""
    p = parser(__doc__)
    add, default = p.add_argument, "default: %(default)s"
    add("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    add("--only", choices=SECTIONS, help="one section")
    add("--rounds", type=positive_int, metavar="N", default=3, help=default)
    add("--sizes", type=positive_int, metavar="PIXELS", nargs="+", default=[150, 256], help="of VGG16's images")
    add("--seconds", type=positive_int, metavar="S", default=4, help=f"for each engine and size, {default}")
    add("--part1-photos", type=positive_int, metavar="N", default=120, help=f"of each class, {default}")
    add("--part3-photos", type=positive_int, metavar="N", default=16, help=f"of each class, {default}")
    args = p.parse_args()
    if missing := [name for name in PACKAGES if not find_spec(name)]:
        raise TutorialError(f"{' and '.join(missing)} missing: python -m pip install -r requirements-peers.txt")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_NUM_INTRAOP_THREADS": str(THREADS), "TF_CPP_MIN_LOG_LEVEL": "3"}
    find_images(args.data)
    imagenet_weights()
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    with tempfile.TemporaryDirectory() as folder:
        sections = {}
        for name in [args.only] if args.only else SECTIONS:
            speed = Speed(args.data, Path(folder))
            sections[name] = (speed, *SECTIONS[name](speed, args))
        rates = []
        for done in range(1, args.rounds + 1):
            rates.append(float(engine("sgemm").lines[-1][1]))
            for name, (speed, text, measure) in sections.items():
                measure()
                lines = [
                    f"{text}. {done} of {args.rounds} rounds, {THREADS} threads; {machine()}, {versions};",
                    command(),
                    "",
                    f"sgemm: {median(rates):.0f} GFLOP/s ({min(rates):.0f}-{max(rates):.0f}).",
                    "",
                    *table(speed, median(rates)),
                ]
                write_section(TABLE, HEADING, name, lines)


if __name__ == "__main__":
    sys.exit(run(main))
