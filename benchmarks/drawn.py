"""Accuracy on photos of real cats of models that were trained on drawn cats alone.

    python benchmarks/drawn.py        writes benchmarks/drawn.md

For each seed it draws a set, trains on it, and evaluates on real photos. Three models: part 2 of the tutorial as it is;
the same with ImageNet preprocessing; and logistic regression on those features after global average pooling, with 512
weights instead of two million.
"""

import sys
import time
from datetime import date
from pathlib import Path

from drawing.drawn_cat import draw_cat
from report import command, machine
from tutorial.cli import ProgressBar, file_path, parser, positive_int, project_path, run
from tutorial.dataset import load_images
from tutorial.files import atomic_write
from tutorial.imagenet_weights import imagenet_weights
from tutorial.images import PREPROCESSING, RESAMPLING
from tutorial.vgg16 import use_winograd

import numpy as np
from sklearn.linear_model import LogisticRegression

# Settings
count = 200  # drawn cats of each class
seeds = 3  # sets drawn, and models trained on them
image_size = 150  # height and width in pixels, as in the parts
epochs, batch_size = 50, 16  # of the top models, as in part 2
C = 1 / 3000  # of the logistic regression, as scikit-learn has it; chosen on the real training photos
GUIDED = "train"  # the real photos whose scores guided the drawing
UNTOUCHED = "validation"  # and those that did not

CLASSES = ("calico", "tabby")
MODELS = (
    "1/255, 4 x 4 x 512 features, top model (part 2)",
    "ImageNet preprocessing, 4 x 4 x 512 features, top model",
    "ImageNet preprocessing, global average pooling, logistic regression",
)


def drawn_set(seed: int, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Drawn cats at the networks' input size: uint8 (2 * per_class, size, size, 3), and labels float32."""
    pixels = [
        np.asarray(draw_cat(name, np.random.default_rng([seed, 0, k, i])).resize((image_size, image_size), RESAMPLING))
        for k, name in enumerate(CLASSES)
        for i in range(1, per_class + 1)
    ]
    return np.stack(pixels), np.repeat(np.float32([0, 1]), per_class)


def pooled(features: np.ndarray) -> np.ndarray:
    """Global average pooling: (n, h, w, c) to float64 (n, c)."""
    return features.mean((1, 2), dtype=np.float64)


def right(predicted_tabby: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many calicos and how many tabbies are classified correctly: int (2,)."""
    return np.array([np.sum(predicted_tabby[labels == k] == k) for k in (0, 1)])


def measure(photos: Path, per_class: int, how_often: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Draw, train and evaluate.

    Returns:
        For each of the real splits, correct predictions, int (seeds, models, 2 classes), and photos, int (2 classes).
    """
    from fine_tuning_VGG16_pt2 import top_model
    from tutorial.backend import keras

    shape = (image_size, image_size, 3)
    base = use_winograd(keras.applications.VGG16(weights=imagenet_weights(), include_top=False, input_shape=shape))

    def features(pixels: np.ndarray, what: str) -> list[np.ndarray]:
        found, progress = [], ProgressBar(what, 2 * len(pixels))
        for preprocess in PREPROCESSING.values():
            batches = []
            for start in range(0, len(pixels), batch_size):
                batches.append(base.predict_on_batch(preprocess(pixels[start : start + batch_size])))
                progress.update(len(found) * len(pixels) + start)
            found.append(np.concatenate(batches))
        progress.close()
        return found

    real = {}
    for split in load_images(photos, image_size)[:2]:
        real[split.folder.name] = (
            features(split.images, f"features of the real {split.folder.name} photos"),
            split.labels,
        )

    found = {split: np.zeros((how_often, len(MODELS), 2), int) for split in real}
    counts = {split: np.array([np.sum(labels == k) for k in (0, 1)]) for split, (_, labels) in real.items()}
    for seed in range(how_often):
        keras.utils.set_random_seed(seed)
        pixels, labels = drawn_set(seed, per_class)
        drawn = features(pixels, f"features of the drawn cats, seed {seed}")
        for m in (0, 1):
            top = top_model(drawn[m].shape[1:], 2)
            top.compile(optimizer="rmsprop", loss="binary_crossentropy")
            top.fit(drawn[m], labels, batch_size=batch_size, epochs=epochs, verbose=0)
            for split, (inputs, truth) in real.items():
                found[split][seed, m] = right(np.asarray(top(inputs[m], training=False))[:, 0] >= 0.5, truth)
        mean, spread = pooled(drawn[1]).mean(0), pooled(drawn[1]).std(0) + 1e-3
        linear = LogisticRegression(C=C, max_iter=1000).fit((pooled(drawn[1]) - mean) / spread, labels)
        for split, (inputs, truth) in real.items():
            found[split][seed, 2] = right(linear.predict((pooled(inputs[1]) - mean) / spread), truth)
        for split in real:
            scores = ", ".join(f"{score:.1%}" for score in (found[split][seed] / counts[split]).mean(-1))
            print(f"seed {seed}, real {split} photos: balanced accuracy {scores}", flush=True)
    return {split: (found[split], counts[split]) for split in real}


def drawing_speed(cats: int = 60) -> float:
    """Cats drawn a second of one core's time."""
    start = time.process_time()
    drawn_set(10**6, cats // 2)
    return cats / (time.process_time() - start)


def table(found: dict[str, tuple[np.ndarray, np.ndarray]], speed: float, minutes: float, per_class: int) -> str:
    """The result as Markdown."""
    guided, untouched = (int(found[split][1].sum()) for split in (GUIDED, UNTOUCHED))
    shares = {split: correct / counts for split, (correct, counts) in found.items()}
    both = (found[GUIDED][0] + found[UNTOUCHED][0]) / (found[GUIDED][1] + found[UNTOUCHED][1])
    how_often = len(both)

    def shown(values: np.ndarray) -> str:
        return f"{values.mean():.1%} ({values.min():.1%} to {values.max():.1%})"

    lines = [
        "# Trained on drawn cats, evaluated on real ones",
        "",
        f"| model | balanced accuracy, {untouched} photos not used | {guided} photos that guided the drawing "
        f"| all {guided + untouched} | calicos, all | tabbies, all |",
        "|---|---|---|---|---|---|",
    ]
    for m, name in enumerate(MODELS):
        cells = [shown(values[:, m].mean(-1)) for values in (shares[UNTOUCHED], shares[GUIDED], both)]
        cells += [f"{both[:, m, k].mean():.1%}" for k in range(2)]
        lines.append(f"| {' | '.join([name, *cells])} |")
    lines += [
        "",
        f"Mean and range over {how_often} seeds (0 to {how_often - 1}); each draws {per_class} + {per_class} cats and "
        "trains on nothing else. Balanced accuracy is the mean of the two classes' accuracies: 50% is chance.",
        "",
        f"The real photos are shelter photos, labeled by hand: `train` ({guided}) and `validation` ({untouched}) of "
        f"`calico_tabby`. None was trained on. The scores on the {guided} guided how the cats are drawn and "
        "which of the three models are shown, so that column is a little too good; the first one is not.",
        "",
        f"Drawing: {speed:.0f} cats a second of one core's time. The whole table: {minutes:.0f} minutes on "
        f"{machine()}; {date.today()}.",
        "",
        command(),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and write the table."""
    p = parser(__doc__)
    default = project_path("../shared/datasets/calico_tabby")
    p.add_argument(
        "--photos", type=file_path, metavar="DIR", default=default, help="real photos (default: %(default)s)"
    )
    p.add_argument("--count", type=positive_int, metavar="N", default=count, help="a class (default: %(default)s)")
    p.add_argument("--seeds", type=positive_int, metavar="N", default=seeds, help="sets drawn (default: %(default)s)")
    p.add_argument(
        "--out", type=file_path, metavar="FILE", default=project_path("benchmarks/drawn.md"), help="the table"
    )
    args = p.parse_args()
    start = time.monotonic()
    speed = drawing_speed()
    found = measure(args.photos, args.count, args.seeds)
    text = table(found, speed, (time.monotonic() - start) / 60, args.count)
    with atomic_write(args.out) as temporary:
        temporary.write_text(text)
    print(text)


if __name__ == "__main__":
    sys.exit(run(main))
