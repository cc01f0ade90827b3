"""The image size of part 2's improved recipe, by cross-validation over all photos: 80 or 800 cannot rank sizes.

    python benchmarks/image_size.py --data ../shared/datasets/calico_tabby

Training and validation photos together, in 5 folds with three seeds. The classifier is part 2's: logistic regression on
the global averages of VGG16's features, which are normalized per photo; scikit-learn trains it in seconds.
"""

import sys

from fine_tuning_VGG16_pt2 import RECIPES
from report import preamble, spread, write_section
from tutorial.activations import bottleneck_features
from tutorial.backend import keras
from tutorial.calibration import log_loss
from tutorial.cli import file_path, parser, positive_int, project_path, run
from tutorial.dataset import load_images
from tutorial.imagenet_weights import imagenet_weights

import numpy as np

TABLE = project_path("benchmarks/image_size.md")
HEADING = (
    "# Image size\n\nWritten by `benchmarks/image_size.py`: part 2's improved recipe by the size of the photos, "
    "cross-validated\nover training and validation photos together, not calibrated.\n"
)
C = RECIPES["improved"]["C"]
SEEDS = (0, 1, 2)


def cross_validated(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities of the classes for each photo, float64 (n, classes), from a classifier that has not seen it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    classifier = LogisticRegression(C=C, class_weight="balanced", max_iter=1000)
    return cross_val_predict(classifier, features, labels, cv=folds, method="predict_proba")


def main() -> None:
    """Measure every size; the table grows with each."""
    p = parser(__doc__)
    p.add_argument("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--sizes", type=positive_int, nargs="+", metavar="PIXELS", default=[150, 192, 224, 256])
    args = p.parse_args()
    cache = project_path("weights/image_size") / args.data.name / "activations"
    cache.mkdir(parents=True, exist_ok=True)
    rows = []
    for size in args.sizes:
        splits = load_images(args.data, size)[:2]
        base = keras.applications.VGG16(
            weights=imagenet_weights(), include_top=False, pooling="avg", input_shape=(size, size, 3)
        )
        features = np.concatenate([bottleneck_features(base, photos, "caffe", cache)[:] for photos in splits])
        features -= features.mean(axis=1, keepdims=True)
        features /= features.std(axis=1, keepdims=True)
        labels = np.concatenate([photos.labels for photos in splits]).astype(int)
        found = [cross_validated(features, labels, seed) for seed in SEEDS]
        accuracies = [float((one.argmax(axis=1) == labels).mean()) for one in found]
        losses = [log_loss(one, labels) for one in found]
        rows.append(f"| {size} | {spread(accuracies, '.3f')} | {spread(losses, '.3f')} |")
        lines = [
            *preamble(f"{len(labels):,} photos; "),
            "| pixels | accuracy | log loss |",
            "|---|---|---|",
            *rows,
        ]
        write_section(TABLE, HEADING, args.data.name, lines)


if __name__ == "__main__":
    sys.exit(run(main))
