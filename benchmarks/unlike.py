"""How many photos of other things a model flags as unlike its training photos, and how many of the right ones.

    python benchmarks/unlike.py --weights weights/improved/fine_tuned_vgg16.weights.h5 \\
        --known ../shared/datasets/calico_tabby/validation --others ../shared/datasets/cats_vs_dogs/validation/dogs

Beside the folders that are named it shows the model drawn cats and plain pictures: noise, blurred noise, one colour.
Writes benchmarks/unlike.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that this script finds tutorial/
import numpy as np
from PIL import Image
from report import machine, write_section

from tutorial.answers import TrainedNetwork
from tutorial.command_line import parser, project_path, run
from tutorial.drawing.drawn_cat import draw_cat
from tutorial.photos import RESAMPLING, PhotoError, files_below, read_many
from tutorial.weights_file import read_about

TABLE = project_path("benchmarks/unlike.md")
HEADING = (
    "# Photos that are unlike the training photos\n\nWritten by `benchmarks/unlike.py`: the share of pictures that a "
    "model of the improved recipe flags.\n"
)
COUNT = 100  # pictures of each kind that are made here


def made(size: int) -> dict[str, np.ndarray]:
    """Pictures that are no photos of anything, uint8 (COUNT, size, size, 3) of each kind."""
    rng = np.random.default_rng(0)
    few = [Image.fromarray(one) for one in rng.integers(0, 256, (COUNT, 9, 9, 3), np.uint8)]
    cats = [draw_cat(("calico", "tabby")[i % 2], np.random.default_rng(i)) for i in range(COUNT)]
    return {
        "drawn cats": np.stack([np.asarray(cat.resize((size, size), RESAMPLING)) for cat in cats]),
        "noise": rng.integers(0, 256, (COUNT, size, size, 3), np.uint8),
        "blurred noise": np.stack([np.asarray(one.resize((size, size), Image.Resampling.BICUBIC)) for one in few]),
        "one colour": np.broadcast_to(rng.integers(0, 256, (COUNT, 1, 1, 3), np.uint8), (COUNT, size, size, 3)),
    }


def main() -> None:
    """Ask each model and write the table."""
    p = parser(
        "Measure what is flagged as unlike.", "python benchmarks/unlike.py --weights FILE --known DIR --others DIR"
    )
    p.add_argument("--weights", type=Path, nargs="+", metavar="FILE", required=True, help="improved, of part 2 or 3")
    p.add_argument("--known", type=Path, metavar="DIR", required=True, help="photos of the model's own classes")
    p.add_argument("--others", type=Path, nargs="+", metavar="DIR", default=[], help="photos of something else")
    args = p.parse_args()
    rows: dict[str, list[str]] = {}
    for path in args.weights:
        about = read_about(path)
        network = TrainedNetwork(path, about)
        kinds = {
            f"{folder.parent.name}/{folder.name}": np.stack(
                [one for one in read_many(files_below(folder), about.image_size) if not isinstance(one, PhotoError)]
            )
            for folder in (args.known, *args.others)
        }
        for kind, pictures in (kinds | made(about.image_size)).items():
            flagged = network.answers(pictures)[1].mean()
            rows.setdefault(f"{kind} ({len(pictures)})", []).append(f"{flagged:.1%}")
    models = [read_about(path).model for path in args.weights]
    where = " ".join(folder.as_posix() for folder in args.others)
    lines = [
        f"{machine()}.",
        f"`python benchmarks/unlike.py --weights {' '.join(path.name for path in args.weights)} "
        f"--known {args.known.as_posix()} --others {where}`",
        "",
        f"| flagged | {' | '.join(models)} |",
        f"|---|{'---|' * len(models)}",
        *(f"| {kind} | {' | '.join(cells)} |" for kind, cells in rows.items()),
    ]
    write_section(TABLE, HEADING, " and ".join(read_about(args.weights[0]).class_names), lines)


if __name__ == "__main__":
    sys.exit(run(main))
