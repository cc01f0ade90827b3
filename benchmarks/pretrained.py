"""How good the models in weights/pretrained are, as they lie there: on the photos that chose nothing of their weights.

    python benchmarks/pretrained.py --data ../shared/datasets/calico_tabby

Writes benchmarks/pretrained.md, which weights/README.md cites.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that this script finds tutorial/
import numpy as np
from accuracy import scores
from report import machine, write_section
from report_page import Answers

from tutorial.answers import TrainedNetwork
from tutorial.command_line import parser, pretrained_dir, project_path, run
from tutorial.photos import find_photos, load_photos
from tutorial.weights_file import read_about

TABLE = project_path("benchmarks/pretrained.md")
HEADING = (
    "# The models that come with the tutorial\n\nWritten by `benchmarks/pretrained.py`: the files in weights/pretrained"
    " as they are, float16 and all.\n"
)
SCORES = ("accuracy", "balanced accuracy", "ROC AUC", "log loss", "ECE")


def main() -> None:
    """Ask each model about the validation photos."""
    p = parser("Measure the models that come with the tutorial.", "python benchmarks/pretrained.py --data photos")
    p.add_argument("--data", type=Path, metavar="DIR", required=True, help="folder with train/ and validation/")
    args = p.parse_args()
    files = find_photos(args.data)[1]
    rows = []
    for path in sorted(pretrained_dir().glob("*.weights.h5"), reverse=True):
        about = read_about(path)
        pixels, used = load_photos(files, about.image_size)
        answers = TrainedNetwork(path, about).answers(pixels)[0]
        found = scores(Answers(answers, np.int64(used.labels), [photo.name for photo in used.paths]))
        unsure = (answers.max(axis=1) < about.unsure_below).mean()
        cells = [f"{found[name]:.3f}" for name in SCORES] + [f"{unsure:.1%}", f"{path.stat().st_size / 1e6:.1f}"]
        rows.append(f"| {about.model} | {about.recipe} | {about.settings['seed']} | {' | '.join(cells)} |")
    counts = ", ".join(f"{count} {name}" for name, count in used.counts().items())
    lines = [
        f"Validation: {counts}. {machine()}.",
        f"`python benchmarks/pretrained.py --data {args.data.as_posix()}`",
        "",
        f"| model | recipe | seed | {' | '.join(SCORES)} | not sure of | MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    write_section(TABLE, HEADING, args.data.name, lines)


if __name__ == "__main__":
    sys.exit(run(main))
