"""A weights file that explains itself.

Weights only, in Keras's ``.weights.h5`` layout, never a pickled or whole model: reading one cannot run
code. What a reader of the file needs to know travels inside it, as JSON in one HDF5 root attribute.
"""

import errno
import json
import math
import os
import shutil
from dataclasses import MISSING, asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np

from tutorial.command_line import RECIPES, TutorialError
from tutorial.familiarity import Familiarity
from tutorial.photos import PREPROCESSING, RESCALE
from tutorial.whole_file import written_whole

ATTRIBUTE, FAMILIARITY = "about", "familiarity"  # a root attribute, and a group beside the weights
MOST_TEXT, MOST_CLASSES = 1_000_000, 1000  # characters of JSON; far more than a part writes
SMALL = 1_000_000  # numbers that any array may have
SIZES = range(32, 1025)  # pixels a side
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
    class_names: list[str]  # in order; of two classes the network gives the probability of the second
    image_size: int  # pixels a side
    photos: dict[str, dict[str, int]]  # {"train": {class: count}, "validation": {class: count}, ...}
    settings: dict[str, float]  # epochs, batch size, seed ...
    scores: dict[str, float]  # accuracy, loss, val_accuracy, val_loss; test_accuracy, test_loss where there is a test
    minutes: float
    preprocessing: str = RESCALE  # a key of photos.PREPROCESSING
    recipe: str = RECIPES[0]
    mirrored: bool = False  # an answer is the mean of the photo's and its mirror image's
    temperature: float = 1.0  # by which the answers are calibrated, see tutorial/calibration.py, ...
    offsets: list[float] = field(default_factory=list)  # ... and one for each class
    unsure_below: float = 0.0  # a probability: a photo whose class has less is one that the model is not sure of
    compact: bool = False  # float16, and of VGG16 only the blocks that were trained, see tutorial/compact.py
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in PACKAGES})

    def answer(self, probabilities: np.ndarray) -> tuple[str, float]:
        """The class with the highest of the probabilities, float (classes,), and its probability.

        The write-up that this tutorial follows prints the sigmoid as it is, 6e-14 for a certain calico; what a reader
        wants is the probability of the class named.
        """
        best = int(np.argmax(probabilities))
        return self.class_names[best], float(probabilities[best])


def save_weights(network, path: Path, about: About, familiarity: Familiarity | None = None) -> None:
    """Save a Keras network's weights and what there is to say about them as one file, whole or not at all.

    Raises:
        TutorialError: the folder cannot be written to.
    """
    own = network.optimizer.variables if network.compiled else []  # Keras saves them, too
    needed = 4 * sum(math.prod(variable.shape) for variable in [*network.variables, *own]) + 1e6  # float32
    with written_whole(path) as beside:
        # HDF5's library, when a disk is full in the middle, has more to say than a reader wants to know.
        if shutil.disk_usage(beside.parent).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        network.save_weights(beside)
        with h5py.File(beside, "r+") as file:
            file.attrs[ATTRIBUTE] = json.dumps(asdict(about))
            if familiarity:
                group = file.create_group(FAMILIARITY)
                for name, value in asdict(familiarity).items():
                    group[name] = value


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
        if isinstance(text, str) and len(text) > MOST_TEXT:
            raise ValueError("too much text")
        said = json.loads(text) if isinstance(text, str) else None
    except (OSError, ValueError) as error:
        raise TutorialError(f"{path} is not a weights file or is damaged: train it again ({error}).") from None
    names = {one.name for one in fields(About)}
    needed = {one.name for one in fields(About) if one.default is one.default_factory is MISSING}
    if not isinstance(said, dict) or not needed <= set(said) <= names:
        raise TutorialError(
            f"{path} was not saved by a part of this tutorial: train one with {FILES['small_convnet'][1]}."
        )
    about = About(**said)
    if not _sound(about):
        raise TutorialError(f"{path} is damaged: train it again (what it says of itself makes no sense).")
    if about.model not in FILES or about.preprocessing not in PREPROCESSING or about.recipe not in RECIPES:
        raise TutorialError(
            f"{path} holds a {about.model!r} ({about.recipe!r}) with {about.preprocessing!r}, which this version does "
            "not know: train it again."
        )
    return about


def _sound(about: About) -> bool:
    """Whether it can be what a part wrote: the file may come from anywhere."""
    names, numbers = about.class_names, [about.temperature, about.unsure_below, about.minutes]
    if not (isinstance(names, list) and 2 <= len(names) <= MOST_CLASSES and isinstance(about.offsets, list)):
        return False
    enlarged = about.settings.get("enlarged", SIZES[0]) if isinstance(about.settings, dict) else None
    sizes = [about.image_size, enlarged]
    return (
        all(isinstance(name, str) and name and name.isprintable() for name in names)
        and len(set(names)) == len(names)
        and len(about.offsets) in (0, len(names))
        and all(type(number) in (int, float) and math.isfinite(number) for number in [*numbers, *about.offsets])
        and about.temperature > 0
        and isinstance(about.settings, dict)
        and all(type(value) in (int, float, bool) for value in about.settings.values())
        and about.settings.get("blocks", 1) in (1, 2, 3, 4)
        and all(type(size) is int and size in SIZES for size in sizes)
        and all(isinstance(one, dict) for one in (about.photos, about.scores, about.versions))
        and all(isinstance(split, dict) for split in about.photos.values())
        and all(type(count) is int for split in about.photos.values() for count in split.values())
        and all(type(score) in (int, float) for score in about.scores.values())
        and all(isinstance(one, str) for one in (about.model, about.preprocessing, about.recipe))
    )


def check_contents(path: Path, most: int) -> None:
    """Refuse an HDF5 file that is more than numbers of its own, each array of at most so many, before reading it.

    Links to other files would be followed, and an array may claim a size that no memory holds.

    Raises:
        ValueError: it is something else.
    """

    def check(group: h5py.Group) -> None:
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name!r} is a link")
            one = group[name]
            if isinstance(one, h5py.Group):
                if one.id in seen:
                    raise ValueError(f"{name!r} is a group in two places")
                seen.append(one.id)
                check(one)
            elif not isinstance(one, h5py.Dataset) or one.is_virtual or one.external or one.dtype.kind not in "fiub":
                raise ValueError(f"{name!r} is no array of numbers")
            elif one.size is None or one.size > most:
                raise ValueError(f"{name!r} claims {one.size} numbers")

    seen: list = []
    with h5py.File(path) as file:
        check(file)


def read_familiarity(path: Path) -> Familiarity | None:
    """What the training photos looked like to the file's network; None where the file does not say.

    Raises:
        TutorialError: it is damaged.
    """
    with h5py.File(path) as file:
        if FAMILIARITY not in file:
            return None
        try:
            centres, limit = (file[FAMILIARITY][name][()] for name in ("centres", "limit"))
            if centres.ndim != 2 or not np.isfinite(limit):
                raise ValueError("the training photos' centres do not fit")
        except (OSError, KeyError, ValueError, AttributeError) as error:
            raise TutorialError(f"{path} is damaged: train it again ({error}).") from None
    return Familiarity(centres, float(limit))


def load_weights(network, path: Path) -> None:
    """Fill a Keras network, built as the file's part builds it, with the weights of the file.

    Raises:
        TutorialError: they do not fit, or the file is damaged.
    """
    try:
        check_contents(path, max(SMALL, *(math.prod(variable.shape) for variable in network.variables)))
        network.load_weights(path)
    except Exception as error:  # Keras and h5py raise errors of many kinds for a damaged file
        first_line = str(error).strip().splitlines()[0]
        raise TutorialError(f"{path} is damaged: train it again ({first_line}).") from None
