"""A trained model as a small file, to give away: what differs from ImageNet's VGG16 alone, in float16.

    python -m tutorial.compact weights/improved/fine_tuned_vgg16.weights.h5 weights/pretrained

Blocks 1 to 4 of the fine-tuned network are as they were learnt on ImageNet, so there is no need to give them away
again; and half the digits of a weight are enough to answer with. This made the models in ``weights/pretrained``.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from tutorial.command_line import TutorialError, parser, run
from tutorial.weights_file import FILES, read_about, read_familiarity, save_weights
from tutorial.whole_file import written_whole


def compact(path: Path, folder: Path) -> Path:
    """Save the model of a weights file as a compact one of the same name in another folder.

    Args:
        path: from part 1 or 3; part 2's holds a top model alone, and is small already.
        folder: is made where it is missing.

    Raises:
        TutorialError: the file is missing, damaged, of part 2 or compact already, or the folder cannot be written to.
    """
    about = read_about(path)
    if about.compact or about.model == "bottleneck_fc_model":
        raise TutorialError(f"{path} is small already: copy it as it is.")
    if folder.resolve() == path.parent.resolve():
        raise TutorialError(f"{path} would take its own place: name another folder than {folder}.")

    from tutorial.networks import load_network, trained_alone  # only now, since TensorFlow takes seconds to load

    network = load_network(path, about)
    if about.model == "fine_tuned_vgg16":
        network = trained_alone(network, int(about.settings["blocks"]))
    about = replace(about, compact=True)
    there = folder / FILES[about.model][0]
    with tempfile.TemporaryDirectory() as whole, written_whole(there) as beside:
        full = Path(whole, there.name)
        save_weights(network, full, about, read_familiarity(path))
        with h5py.File(full) as source, h5py.File(beside, "w") as target:
            target.attrs.update(source.attrs)
            source.visititems(lambda name, item: _halve(target, name, item))
    return there


def _halve(target: h5py.File, name: str, item: h5py.Group | h5py.Dataset) -> None:
    if isinstance(item, h5py.Group):
        target.require_group(name).attrs.update(item.attrs)
    else:
        numbers = item[()]
        if numbers.dtype == np.float32 and name.startswith("layers/"):
            numbers = numbers.astype(np.float16)
            assert np.isfinite(numbers).all()  # float16 ends at 65504, far beyond any weight
        target.create_dataset(name, data=numbers)


def main() -> None:
    """Make one file."""
    p = parser(
        "Save a trained model as a small file.",
        "python -m tutorial.compact weights/improved/fine_tuned_vgg16.weights.h5 given_away",
    )
    p.add_argument("weights", type=Path, metavar="FILE", help="weights of part 1 or 3")
    p.add_argument("folder", type=Path, metavar="DIR", help="where to save it, under the same name")
    args = p.parse_args()
    there = compact(args.weights, args.folder)
    print(f"saved {there}, {there.stat().st_size / 1e6:.1f} MB instead of {args.weights.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(run(main))
