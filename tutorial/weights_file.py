"""A weights file that explains itself.

Weights only, in Keras's ``.weights.h5`` layout, never a pickled or whole model: reading one cannot run
code. What a reader of the file needs to know travels inside it, as JSON in one HDF5 root attribute.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path

import h5py

from tutorial.command_line import TutorialError
from tutorial.whole_file import written_whole

ATTRIBUTE = "about"
PREPROCESSING = "rescale 1/255"  # what photos.rescale does; a file made with another one is refused

PACKAGES = ("tensorflow", "keras", "numpy", "pillow")  # whose versions a weights file tells

# What each part saves, in the order of the parts, and the command that makes it.
FILES = {
    "small_convnet": ("small_convnet.weights.h5", "python fine_tuning_VGG16_pt1.py"),
    "bottleneck_fc_model": ("bottleneck_fc_model.weights.h5", "python fine_tuning_VGG16_pt2.py"),
    "fine_tuned_vgg16": ("fine_tuned_vgg16.weights.h5", "python fine_tuning_VGG16_pt3.py"),
}


def first_command() -> str:
    """The command to begin with."""
    return next(iter(FILES.values()))[1]


@dataclass(frozen=True)
class About:
    """What a weights file says of itself."""

    model: str  # a key of FILES
    class_names: list[str]  # in order: the network's answer is the probability of the second
    image_size: int  # pixels a side
    photos: dict[str, dict[str, int]]  # {"train": {class: count}, "validation": {class: count}}
    settings: dict[str, float]  # epochs, batch size, seed ...
    scores: dict[str, float]  # the last epoch's accuracy, loss, val_accuracy, val_loss
    minutes: float
    preprocessing: str = PREPROCESSING
    recipe: str = "tutorial"
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in PACKAGES})

    def answer(self, output: float) -> tuple[str, float]:
        """The class that the network's output, 0 to 1, stands for, and the probability of that class, 0.5 to 1.

        The output is the probability of the second class. The write-up that this tutorial follows prints it
        as it is, 6e-14 for a certain calico; what a reader wants is the probability of the class named.
        """
        output = float(output)
        return (self.class_names[1], output) if output >= 0.5 else (self.class_names[0], 1 - output)


def save_weights(network, path: Path, about: About) -> None:
    """Save a Keras network's weights and what there is to say about them as one file, whole or not at all.

    Raises:
        TutorialError: the folder cannot be written to.
    """
    with written_whole(path) as beside:
        network.save_weights(beside)
        with h5py.File(beside, "r+") as file:
            file.attrs[ATTRIBUTE] = json.dumps(asdict(about))


def read_about(path: Path) -> About:
    """What the weights file says of itself; the weights are not read.

    Raises:
        TutorialError: the file is missing, damaged, or was not saved by one of the parts.
    """
    if not path.is_file():
        raise TutorialError(f"there is no weights file {path}: run the parts in order, or name one with --weights.")
    try:
        with h5py.File(path) as file:
            text = file.attrs.get(ATTRIBUTE)
        said = json.loads(text) if isinstance(text, str) else None
    except (OSError, ValueError) as error:
        raise TutorialError(f"{path} is not a weights file or is damaged: train it again ({error}).") from None
    if not isinstance(said, dict) or set(said) != {one.name for one in fields(About)}:
        raise TutorialError(
            f"{path} was not saved by a part of this tutorial: train one with {FILES['small_convnet'][1]}."
        )
    about = About(**said)
    if about.model not in FILES or about.preprocessing != PREPROCESSING:
        raise TutorialError(
            f"{path} holds a {about.model!r} with {about.preprocessing!r}, which this version does not know: "
            "train it again."
        )
    return about


def load_weights(network, path: Path) -> None:
    """Fill a Keras network, built as the file's part builds it, with the weights of the file.

    Raises:
        TutorialError: they do not fit, or the file is damaged.
    """
    try:
        network.load_weights(path)
    except Exception as error:  # Keras and h5py raise errors of many kinds for a damaged file
        first_line = str(error).strip().splitlines()[0]
        raise TutorialError(f"{path} is damaged: train it again ({first_line}).") from None
