"""Shrink a trained model's weights file: float16, and of VGG16 only what was fine-tuned.

    python tools/shrink_model.py weights/improved/fine_tuned_vgg16.weights.h5 shrunk

Blocks 1 to 4 of the fine-tuned network are ImageNet's, which predict.py has anyway, and half precision is enough for
predictions. The models in ``weights/pretrained`` were made with it.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from predict import load_network
from tutorial.cli import TutorialError, echo, file_path, parser, run
from tutorial.files import atomic_write
from tutorial.model_file import FILES, read_detector, read_info, save_weights

import h5py
import numpy as np


def shrink(path: Path, folder: Path) -> Path:
    """Save the model of a weights file in half precision, under the same name in another folder.

    Args:
        path: from part 1 or 3; part 2's holds a top model only, and is small already.
        folder: is made where it is missing.

    Raises:
        TutorialError: the file is missing, damaged, of part 2 or shrunk already, or the folder cannot be written to.
    """
    info = read_info(path)
    if info.half_precision or info.model == "bottleneck_fc_model":
        raise TutorialError(f"{path} is small already: copy it as it is.")
    if folder.resolve() == path.parent.resolve():
        raise TutorialError(f"{path} would be overwritten: name another folder than {folder}.")
    model = load_network(path, info)

    from tutorial.vgg16 import with_features, without_frozen_blocks  # only now: TensorFlow takes seconds to load

    detector = read_detector(path, len(info.class_names), with_features(model).outputs[1].shape[1])
    if info.model == "fine_tuned_vgg16":
        model = without_frozen_blocks(model)
    target = folder / FILES[info.model][0]
    with tempfile.TemporaryDirectory() as temporary, atomic_write(target) as half:
        full = Path(temporary, target.name)
        save_weights(model, full, replace(info, half_precision=True), detector)
        with h5py.File(full) as old, h5py.File(half, "w") as new:
            new.attrs.update(old.attrs)
            old.visititems(lambda name, item: _copy(new, name, item))
    return target


def _copy(target: h5py.File, name: str, item: h5py.Group | h5py.Dataset) -> None:
    if isinstance(item, h5py.Group):
        target.require_group(name).attrs.update(item.attrs)
        return
    numbers = item[()]
    if numbers.dtype == np.float32 and name.startswith("layers/"):
        numbers = numbers.astype(np.float16)
        assert np.isfinite(numbers).all()  # float16 ends at 65504, far beyond any weight
    target.create_dataset(name, data=numbers)


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
