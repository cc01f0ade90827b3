"""The share of photos of other things that a model reports as out of distribution, and of its own classes.

    python benchmarks/out_of_distribution.py --weights weights/improved/fine_tuned_vgg16.weights.h5 \\
        --known ../shared/datasets/calico_tabby/validation --others ../shared/datasets/cats_vs_dogs/validation/dogs

It adds drawn cats and simple images: noise, blurred noise, one color.
Writes benchmarks/out_of_distribution.md.
"""

import sys

from drawing.drawn_cat import draw_cat
from predict import TrainedModel
from report import preamble, write_section
from tutorial.cli import file_path, parser, project_path, run
from tutorial.dataset import find_photos
from tutorial.images import RESAMPLING, PhotoError, read_ahead
from tutorial.model_file import WeightsFile

import numpy as np
from PIL import Image

TABLE = project_path("benchmarks/out_of_distribution.md")
HEADING = (
    "# Out-of-distribution detection\n\nWritten by `benchmarks/out_of_distribution.py`: the share of pictures that a "
    "model of the improved recipe reports as out of distribution.\n"
)
COUNT = 100  # generated pictures of each kind


def generated(size: int) -> dict[str, np.ndarray]:
    """Generated pictures, uint8 (COUNT, size, size, 3) of each kind."""
    rng = np.random.default_rng(0)
    few = [Image.fromarray(one) for one in rng.integers(0, 256, (COUNT, 9, 9, 3), np.uint8)]
    cats = [draw_cat(("calico", "tabby")[i % 2], np.random.default_rng(i)) for i in range(COUNT)]
    return {
        "drawn cats": np.stack([np.asarray(cat.resize((size, size), RESAMPLING)) for cat in cats]),
        "noise": rng.integers(0, 256, (COUNT, size, size, 3), np.uint8),
        "blurred noise": np.stack([np.asarray(one.resize((size, size), Image.Resampling.BICUBIC)) for one in few]),
        "one color": np.broadcast_to(rng.integers(0, 256, (COUNT, 1, 1, 3), np.uint8), (COUNT, size, size, 3)),
    }


def main() -> None:
    """Evaluate each model and write the table."""
    p = parser(__doc__)
    p.add_argument(
        "--weights", type=file_path, nargs="+", metavar="FILE", required=True, help="improved, of part 2 or 3"
    )
    p.add_argument("--known", type=file_path, metavar="DIR", required=True, help="photos of the model's own classes")
    p.add_argument("--others", type=file_path, nargs="+", metavar="DIR", default=[], help="photos of something else")
    args = p.parse_args()
    rows: dict[str, list[str]] = {}
    for path in args.weights:
        model = TrainedModel(path)
        info = model.info
        kinds = {
            f"{folder.parent.name}/{folder.name}": np.stack(
                [
                    one
                    for one, _ in read_ahead(find_photos(folder).photos, info.image_size)
                    if not isinstance(one, PhotoError)
                ]
            )
            for folder in (args.known, *args.others)
        }
        for kind, pictures in (kinds | generated(info.image_size)).items():
            flagged = np.mean(model.predict(pictures)[1])
            rows.setdefault(f"{kind} ({len(pictures)})", []).append(f"{flagged:.1%}")
    models = [WeightsFile(path).info.model for path in args.weights]
    lines = [
        *preamble(),
        f"| flagged | {' | '.join(models)} |",
        f"|---|{'---|' * len(models)}",
        *(f"| {kind} | {' | '.join(cells)} |" for kind, cells in rows.items()),
    ]
    write_section(TABLE, HEADING, " and ".join(WeightsFile(args.weights[0]).info.class_names), lines)


if __name__ == "__main__":
    sys.exit(run(main))
