"""Accuracy of the models in weights/pretrained on the validation photos.

    python benchmarks/pretrained.py --data ../shared/datasets/calico_tabby

Writes benchmarks/pretrained.md, which weights/README.md cites.
"""

import sys

from accuracy import scores
from predict import TrainedModel
from report import preamble, write_section
from tools.report import Predictions
from tutorial.cli import file_path, parser, project_path, run
from tutorial.dataset import load_images
from tutorial.recipes import pretrained_dir

import numpy as np

TABLE = project_path("benchmarks/pretrained.md")
HEADING = (
    "# The models that come with the tutorial\n\nWritten by `benchmarks/pretrained.py`: the files in weights/pretrained"
    " as they are, in half precision.\n"
)
SCORES = ("accuracy", "balanced accuracy", "ROC AUC", "log loss", "ECE")


def main() -> None:
    """Evaluate each model on the validation photos."""
    p = parser(__doc__)
    p.add_argument("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    args = p.parse_args()
    rows = []
    for path in sorted(pretrained_dir().glob("*.weights.h5"), reverse=True):
        model = TrainedModel(path)
        info = model.info
        used = load_images(args.data, info.image_size)[1]
        probabilities, _ = model.predict(used.images)
        found = scores(Predictions(probabilities, np.int64(used.labels), [photo.name for photo in used.paths]))
        unsure = (probabilities.max(axis=1) < info.rejection_threshold).mean()
        cells = [f"{found[name]:.3f}" for name in SCORES] + [f"{unsure:.1%}", f"{path.stat().st_size / 1e6:.1f}"]
        rows.append(f"| {info.model} | {info.recipe} | {info.settings['seed']} | {' | '.join(cells)} |")
    counts = ", ".join(f"{count} {name}" for name, count in used.counts().items())
    lines = [
        *preamble(f"Validation: {counts}. "),
        f"| model | recipe | seed | {' | '.join(SCORES)} | not sure | MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    write_section(TABLE, HEADING, args.data.name, lines)


if __name__ == "__main__":
    sys.exit(run(main))
