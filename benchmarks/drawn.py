"""How well do models that saw only drawn cats do on photos of real ones?

    python benchmarks/drawn.py        writes benchmarks/drawn.md

For each seed it draws a set, trains on it, and asks about photos that were never trained on. Three models:
part 2 of the tutorial as it is; the same with VGG16's own preprocessing; and logistic regression
on the average of those features over the picture, which has 512 weights to learn in place of two million.
"""

import os
import platform
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tutorial.command_line import ProgressLine, parser, positive_int, project_path, run
from tutorial.drawing.drawn_cat import draw_cat
from tutorial.photos import RESAMPLING, find_photos, load_photos, rescale
from tutorial.whole_file import written_whole

# Settings
count = 200  # drawn cats of each class
seeds = 3  # sets drawn, and models trained on them
image_size = 150  # pixels a side, as in the parts
epochs, batch_size = 50, 16  # of the top models, as in part 2
penalty = 3000.0  # on the squared weights of the logistic regression; chosen on the real training photos
GUIDED = "train"  # the real photos whose scores were looked at while the drawing was worked on
UNTOUCHED = "validation"  # and those that were not

KINDS = ("calico", "tabby")
MODELS = (
    "1/255, 4 x 4 x 512 features, top model (part 2)",
    "VGG16's preprocessing, 4 x 4 x 512 features, top model",
    "VGG16's preprocessing, averaged features, logistic regression",
)


def drawn_set(seed: int, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Drawn cats as the networks see them: uint8 (2 * per_class, size, size, 3), and labels float32."""
    pixels = [
        np.asarray(draw_cat(kind, np.random.default_rng([seed, 0, k, i])).resize((image_size, image_size), RESAMPLING))
        for k, kind in enumerate(KINDS)
        for i in range(1, per_class + 1)
    ]
    return np.stack(pixels), np.repeat(np.float32([0, 1]), per_class)


def logistic_regression(features: np.ndarray, labels: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weights (c,) and bias by Newton's method: minimises the summed cross-entropy + penalty / 2 * |weights|^2."""
    inputs = np.column_stack([features, np.ones(len(features))])
    ridge = np.diag(np.r_[np.full(features.shape[1], penalty), 1e-6])
    solution = np.zeros(inputs.shape[1])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-inputs @ solution))
        slope = inputs.T @ (probability - labels) + ridge @ solution
        curve = inputs.T @ (inputs * (probability * (1 - probability))[:, None]) + ridge
        step = np.linalg.solve(curve, slope)
        solution -= step
        if np.abs(step).max() < 1e-9:
            break
    return solution[:-1], float(solution[-1])


def averaged(features: np.ndarray) -> np.ndarray:
    """float64 (n, c): (n, h, w, c) over the picture."""
    return features.mean((1, 2), dtype=np.float64)


def right(said_tabby: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many calicos were called calico, and how many tabbies tabby: int (2,)."""
    return np.array([np.sum(said_tabby[labels == k] == k) for k in (0, 1)])


def measure(photos: Path, per_class: int, how_often: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Draw, train and ask.

    Returns:
        For each of the real splits, right answers, int (seeds, models, 2 classes), and photos, int (2 classes).
    """
    from tutorial.backend import keras
    from tutorial.networks import top_model, vgg16_base

    base = vgg16_base(image_size)
    preprocessings = (rescale, lambda pixels: keras.applications.vgg16.preprocess_input(np.float32(pixels)))

    def features(pixels: np.ndarray, what: str) -> list[np.ndarray]:
        found, progress = [], ProgressLine(what, 2 * len(pixels))
        for preprocess in preprocessings:
            batches = []
            for start in range(0, len(pixels), batch_size):
                batches.append(base.predict_on_batch(preprocess(pixels[start : start + batch_size])))
                progress.update(len(found) * len(pixels) + start)
            found.append(np.concatenate(batches))
        progress.clear()
        return found

    real = {}
    for files in find_photos(photos):
        pixels, files = load_photos(files, image_size)
        real[files.folder.name] = features(pixels, f"features of the real {files.folder.name} photos"), files.labels

    found = {split: np.zeros((how_often, len(MODELS), 2), int) for split in real}
    counts = {split: np.array([np.sum(labels == k) for k in (0, 1)]) for split, (_, labels) in real.items()}
    for seed in range(how_often):
        keras.utils.set_random_seed(seed)
        pixels, labels = drawn_set(seed, per_class)
        drawn = features(pixels, f"features of the drawn cats, seed {seed}")
        for m in (0, 1):
            top = top_model(drawn[m].shape[1:])
            top.compile(optimizer="rmsprop", loss="binary_crossentropy")
            top.fit(drawn[m], labels, batch_size=batch_size, epochs=epochs, verbose=0)
            for split, (inputs, truth) in real.items():
                found[split][seed, m] = right(np.asarray(top(inputs[m], training=False))[:, 0] >= 0.5, truth)
        mean, spread = averaged(drawn[1]).mean(0), averaged(drawn[1]).std(0) + 1e-3
        weights, bias = logistic_regression((averaged(drawn[1]) - mean) / spread, labels, penalty)
        for split, (inputs, truth) in real.items():
            answers = (averaged(inputs[1]) - mean) / spread @ weights + bias
            found[split][seed, 2] = right(answers >= 0, truth)
        for split in real:
            scores = ", ".join(f"{score:.1%}" for score in (found[split][seed] / counts[split]).mean(-1))
            print(f"seed {seed}, real {split} photos: balanced accuracy {scores}", flush=True)
    return {split: (found[split], counts[split]) for split in real}


def drawing_speed(cats: int = 60) -> float:
    """Cats drawn a second of one core's time."""
    start = time.process_time()
    drawn_set(10**6, cats // 2)
    return cats / (time.process_time() - start)


def table(
    found: dict[str, tuple[np.ndarray, np.ndarray]], speed: float, minutes: float, per_class: int, command: str
) -> str:
    """The result as Markdown."""
    guided, untouched = (int(found[split][1].sum()) for split in (GUIDED, UNTOUCHED))
    shares = {split: answers / counts for split, (answers, counts) in found.items()}
    both = (found[GUIDED][0] + found[UNTOUCHED][0]) / (found[GUIDED][1] + found[UNTOUCHED][1])
    how_often = len(both)

    def shown(values: np.ndarray) -> str:
        return f"{values.mean():.1%} ({values.min():.1%} to {values.max():.1%})"

    lines = [
        "# Trained on drawn cats, asked about real ones",
        "",
        f"| model | balanced accuracy, {untouched} photos never looked at | {guided} photos that guided the drawing "
        f"| all {guided + untouched} | calicos right, all | tabbies right, all |",
        "|---|---|---|---|---|---|",
    ]
    for m, name in enumerate(MODELS):
        cells = [shown(values[:, m].mean(-1)) for values in (shares[UNTOUCHED], shares[GUIDED], both)]
        cells += [f"{both[:, m, k].mean():.1%}" for k in range(2)]
        lines.append(f"| {' | '.join([name, *cells])} |")
    lines += [
        "",
        f"Mean and range over {how_often} seeds (0 to {how_often - 1}); each draws {per_class} + {per_class} cats and "
        "trains on nothing else. Balanced accuracy is the mean of the two classes' shares of right answers: 50 % is "
        "chance.",
        "",
        f"The real photos are shelter photos, labelled by hand: `train` ({guided}) and `validation` ({untouched}) of "
        f"`calico_tabby`. None was trained on. The scores on the {guided}, and a look at some of them, guided how the "
        "cats are drawn and which of the three models are shown, so that column flatters; the first one does not.",
        "",
        f"Drawing: {speed:.0f} cats a second of one core's time. The whole table: {minutes:.0f} minutes on "
        f"{os.cpu_count()} cores ({platform.machine()}), shared with other work, TensorFlow {version('tensorflow')}, "
        f"Keras {version('keras')}, NumPy {version('numpy')}, Pillow {version('pillow')}; {date.today()}.",
        "",
        f"    {command}",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and write the table."""
    p = parser(__doc__.splitlines()[0], "python benchmarks/drawn.py --photos ../shared/datasets/calico_tabby")
    default = project_path("../shared/datasets/calico_tabby")
    p.add_argument("--photos", type=Path, metavar="DIR", default=default, help="real photos (default: %(default)s)")
    p.add_argument("--count", type=positive_int, metavar="N", default=count, help="a class (default: %(default)s)")
    p.add_argument("--seeds", type=positive_int, metavar="N", default=seeds, help="sets drawn (default: %(default)s)")
    p.add_argument("--out", type=Path, metavar="FILE", default=project_path("benchmarks/drawn.md"), help="the table")
    args = p.parse_args()
    start = time.monotonic()
    speed = drawing_speed()
    found = measure(args.photos, args.count, args.seeds)
    command = f"python benchmarks/drawn.py --count {args.count} --seeds {args.seeds}"
    text = table(found, speed, (time.monotonic() - start) / 60, args.count, command)
    with written_whole(args.out) as beside:
        beside.write_text(text)
    print(text)


if __name__ == "__main__":
    sys.exit(run(main))
