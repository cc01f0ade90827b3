"""Shrink a trained model's weights file: float16, and of VGG16 only what was fine-tuned.

    python tools/shrink_model.py weights/improved/fine_tuned_vgg16.weights.h5 shrunk

Blocks 1 to 4 of the fine-tuned network are ImageNet's, which predict.py has anyway, and half precision is enough for
predictions. The models in ``weights/pretrained`` were made with it.
"""

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # without its packages installed, tutorial/ prints the remedy

from predict import load_network
from tutorial.cli import TutorialError, echo, file_path, parser, run
from tutorial.model_file import FILES, WeightsFile, save_weights


def shrink(path: Path, folder: Path) -> Path:
    """Save the model of a weights file in half precision, under the same name in another folder.

    Args:
        path: from part 1 or 3; part 2's holds a top model only, and is small already.
        folder: is made where it is missing.

    Raises:
        TutorialError: the file is missing, damaged, of part 2 or shrunk already; or the folder has a model that is not
            shrunk, or cannot be written to.
    """
    file = WeightsFile(path)
    info = file.info
    if info.half_precision or info.model == "bottleneck_fc_model":
        raise TutorialError(f"{path} cannot be shrunk further: copy it instead.")
    target = folder / FILES[info.model][0]
    if target.exists():
        shrunk = False
        with suppress(TutorialError):  # of another version, or damaged
            shrunk = WeightsFile(target).info.half_precision
        if not shrunk:
            raise TutorialError(f"{target} would be overwritten: remove it, or name another folder.")
    model = load_network(file)

    from tutorial.vgg16 import with_features, without_frozen_blocks  # only now: TensorFlow takes seconds to load

    detector = file.detector(with_features(model).outputs[1].shape[1])
    if info.model == "fine_tuned_vgg16":
        model = without_frozen_blocks(model)
    save_weights(model, target, replace(info, half_precision=True), detector)
    return target


def main() -> None:
    """Shrink one file."""
    p = parser(__doc__)
    p.add_argument("weights", type=file_path, metavar="FILE", help="weights of part 1 or 3")
    p.add_argument("folder", type=file_path, metavar="DIR", help="where to save it, under the same name")
    args = p.parse_args()
    target = shrink(args.weights, args.folder)
    sizes = [path.stat().st_size / 1e6 for path in (target, args.weights)]
    echo(f"saved {target}, {sizes[0]:.1f} MB instead of {sizes[1]:.1f} MB")


if __name__ == "__main__":
    sys.exit(run(main))
