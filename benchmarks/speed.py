"""Speed of the tutorial and of the blog post's own code path, in turn.

    python benchmarks/speed.py --data ../shared/datasets/cats_vs_dogs          about 40 minutes
    python benchmarks/speed.py --data ../shared/datasets/cats_vs_dogs --quick  under 10 minutes, on fewer photos

Every figure is the median of several rounds in which the two alternate (ABAB), each as a process of its own that is
timed by the lines it prints: benchmarks/blog_post.py, and the tutorial's scripts as a reader runs them. Needs Linux or
macOS (wait4, for a process's peak memory).
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from report import Clock, command, linked_photos, machine, write_section
from tutorial.cli import PROJECT, file_path, parser, positive_int, project_path, run
from tutorial.dataset import find_photos
from tutorial.imagenet_weights import KERAS_FILE

import numpy as np

TABLE = project_path("benchmarks/speed.md")
HEADING = (
    "# Speed, compared with the blog post's own code path\n\nWritten by `benchmarks/speed.py` and "
    "`benchmarks/tricks.py`: medians and ranges of alternating runs, each a process of its own.\n"
)
EPOCHS = 30  # of part 3, over which its time is projected
COPIES = 4  # part 3's default
MEASURED = 2  # epochs of part 3 that are run, and copies that are cached
EPOCH_END = " - val_loss: "  # in the line that Keras prints at the end of an epoch
QUICK = {"train": 80, "validation": 40}  # photos of each class


def multiplications(size: int) -> tuple[float, float]:
    """GFLOP for a photo of VGG16's base and of one layer of its block 5 (a multiplication and an addition are two)."""
    total, last, channels = 0.0, 0.0, 3
    for filters, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(layers):
            last = 2 * 9 * size * size * channels * filters / 1e9
            total, channels = total + last, filters
        size //= 2
    return total, last


def sgemm() -> float:
    """The machine's rate for float32 matrices of 3000 x 3000, by NumPy: GFLOP/s."""
    a, b = np.random.default_rng(0).random((2, 3000, 3000), np.float32)
    a @ b
    start = time.monotonic()
    a @ b
    return 2 * 3000**3 / 1e9 / (time.monotonic() - start)


class Speed:
    """The measurements: for each row of the table and each side, a list over the rounds."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.data, self.folder = data.resolve(), folder
        self.train, self.validation = (len(find_photos(data / split).photos) for split in QUICK)
        self.base, self.layer = multiplications(150)
        self.imagenet = (project_path("weights") / KERAS_FILE).resolve()
        self.values: dict[tuple[str, str], list[float]] = {}
        self.memory: dict[tuple[str, str], float] = {}

    def add(self, row: str, side: str, value: float, memory: float) -> None:
        """Add a value to a row."""
        self.values.setdefault((row, side), []).append(value)
        self.memory[row, side] = max(memory, self.memory.get((row, side), 0))
        print(f"{row}, {side}: {value:.2f}", flush=True)

    def blog_post(self, *arguments: object) -> Clock:
        """Run the blog post's code path."""
        return Clock(PROJECT / "benchmarks/blog_post.py", *arguments, "--imagenet", self.imagenet)

    def ours(self, part: int, *flags: object) -> Clock:
        """Run a part of the tutorial."""
        folders = ["--data", self.data, "--weights-dir", self.folder / "weights"]
        return Clock(PROJECT / f"fine_tuning_VGG16_pt{part}.py", *folders, *flags)

    def part1(self) -> None:
        """Seconds an epoch, after the first."""
        row = "part 1, s an epoch"
        done = self.blog_post(1, "--data", self.data, "--epochs", 3)
        self.add(row, "blog post", (done.at("^epoch +3/") - done.at("^epoch +1/")) / 2, done.memory)
        done = self.ours(1, "--epochs", 3)
        ends = done.times(EPOCH_END)
        self.add(row, "ours", (ends[2] - ends[0]) / 2, done.memory)

    def part2(self) -> None:
        """Photos a second for the features, decoding included."""
        row, photos = "part 2, photos/s", self.train + self.validation
        done = self.blog_post(2, "--data", self.data)
        self.add(row, "blog post", photos / (done.at("^end") - done.at("^start")), done.memory)
        shutil.rmtree(self.folder / "weights/activations", ignore_errors=True)
        done = self.ours(2)
        self.add(
            row,
            "ours",
            photos / (done.at("^bottleneck features of validation.* photos: ") - done.at("^device")),
            done.memory,
        )

    def part3(self) -> None:
        """Seconds an epoch after the first, and the whole part."""
        row, whole = "part 3, s an epoch", f"part 3, minutes for {EPOCHS} epochs"
        done = self.blog_post(3, "--data", self.data, "--epochs", MEASURED)
        epoch = done.at("^epoch +2/") - done.at("^epoch +1/")
        self.add(row, "blog post", epoch, done.memory)
        self.add(whole, "blog post", EPOCHS * epoch / 60, done.memory)
        shutil.rmtree(self.folder / "weights/activations", ignore_errors=True)
        done = self.ours(3, "--epochs", MEASURED, "--cached-copies", MEASURED)
        ends, copies = done.times(EPOCH_END), done.at("activations of train, copy .* photos: ")
        epoch = ends[1] - ends[0]
        copy = (copies - done.at("^block 4's activations for")) / MEASURED
        rest = ends[0] - copies  # the validation photos and the first epoch
        self.add(row, "ours", epoch, done.memory)
        self.add(whole, "ours", (COPIES * copy + rest + (EPOCHS - 1) * epoch) / 60, done.memory)

    def predict(self) -> None:
        """From the start to the predictions, for one photo and for a hundred; and ``import keras`` alone."""
        keras = Clock("-c", "import keras")
        photos = (find_photos(self.data / "validation").photos * 2)[:100]
        for model, weights in (("convnet", "small_convnet"), ("vgg16", "fine_tuned_vgg16")):
            for count in (1, len(photos)):
                row = f"predict.py, {model}, {count} photo{'s' * (count > 1)}, s"
                done = self.blog_post(model, *photos[:count])
                self.add(row, "blog post", done.seconds, done.memory)
                path = self.folder / f"weights/{weights}.weights.h5"
                done = Clock(PROJECT / "predict.py", "--weights", path, *photos[:count])
                self.add(row, "ours", done.seconds, done.memory)
                self.add(row, "import keras", keras.seconds, keras.memory)

    def lines(self, rates: list[float]) -> list[str]:
        """The table."""
        rate = median(rates)
        sgemm = f"sgemm: {rate:.0f} GFLOP/s ({min(rates):.0f}-{max(rates):.0f})"
        out = [
            f"{sgemm}; VGG16's base: {self.base:.1f} GFLOP a photo.",
            "",
            "| | blog post | ours | times faster | peak memory, GB: blog post / ours |",
            "|---|---|---|---|---|",
        ]
        for row in dict.fromkeys(row for row, _ in self.values):
            blog_post, ours = self.values[row, "blog post"], self.values[row, "ours"]
            faster = median(blog_post) / median(ours)
            cells = [f"{median(side):.2f} ({min(side):.2f}-{max(side):.2f})" for side in (blog_post, ours)]
            memory = " / ".join(f"{self.memory[row, side]:.1f}" for side in ("blog post", "ours"))
            out.append(f"| {row} | {' | '.join(cells)} | {1 / faster if '/s' in row else faster:.2f} | {memory} |")
        out.append("")
        for side in ("blog post", "ours"):
            share = median(self.values["part 2, photos/s", side]) * self.base / rate
            out.append(f"- part 2, {side}: {share:.0%} of the sgemm rate")
        # An epoch: block 5 forward, the gradients of its three layers' filters and of two layers' inputs.
        work = 8 * self.layer * self.train + 3 * self.layer * self.validation
        share = work / median(self.values["part 3, s an epoch", "ours"]) / rate
        out.append(f"- part 3, ours: {share:.0%} of it, counting block 5 alone")
        frozen = self.base - 3 * self.layer
        share = (work + frozen * (self.train + self.validation)) / median(
            self.values["part 3, s an epoch", "blog post"]
        )
        out.append(f"- part 3, blog post: {share / rate:.0%} of it")
        for row, side in self.values:
            if side == "import keras":
                ratio = median(self.values[row, "ours"]) / median(self.values[row, side])
                out.append(f"- {row.removesuffix(', s')}: {ratio:.2f} times `import keras` alone")
        return out


def main() -> None:
    """Measure and write the section."""
    p = parser(__doc__)
    p.add_argument("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--rounds", type=positive_int, metavar="N", default=3, help="default: %(default)s")
    p.add_argument("--quick", action="store_true", help="on fewer photos")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        speed = Speed(linked_photos(args.data, Path(folder, "data"), QUICK) if args.quick else args.data, Path(folder))
        rates = []
        for _ in range(args.rounds):
            rates.append(sgemm())
            speed.part1()
            speed.part2()
            speed.part3()
            speed.predict()
        lines = [
            f"{speed.train} training and {speed.validation} validation photos, {args.rounds} rounds; {machine()};",
            command(),
            "",
            *speed.lines(rates),
        ]
        write_section(TABLE, HEADING, f"{args.data.name}{', quick' if args.quick else ''}", lines)


if __name__ == "__main__":
    sys.exit(run(main))
