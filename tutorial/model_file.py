"""The weights file of a trained model, which holds all that predict.py needs to know.

Weights only, in Keras's ``.weights.h5`` layout, never a pickled or whole model: reading one cannot run code. The
metadata is JSON in one HDF5 root attribute.
"""

import errno
import json
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tutorial.cli import TutorialError, escape
from tutorial.dataset import MAX_CLASSES, Photos, some
from tutorial.files import atomic_write
from tutorial.images import PREPROCESSING
from tutorial.out_of_distribution import Detector
from tutorial.recipes import DEFAULT, flattened

import h5py
import numpy as np

ATTRIBUTE, DETECTOR = "model_info", "out_of_distribution"  # a root attribute, and a group
TRAINED_ON = "training_photos"  # a dataset: the first 8 bytes of each training photo's SHA-256, uint64 (n,)
MAX_TEXT = 1_000_000  # characters of JSON; far more than a part writes
SMALL = 1_000_000  # numbers that any array may have
SIZES, MAX_SIZES = range(32, 1025), 8  # pixels, and input sizes
PACKAGES = ("tensorflow", "keras", "numpy", "pillow")  # whose versions a weights file names

# What each part saves, in the order of the parts, and the command that makes it.
FILES = {
    "small_convnet": ("small_convnet.weights.h5", "python fine_tuning_VGG16_pt1.py"),
    "bottleneck_fc_model": ("bottleneck_fc_model.weights.h5", "python fine_tuning_VGG16_pt2.py"),
    "fine_tuned_vgg16": ("fine_tuned_vgg16.weights.h5", "python fine_tuning_VGG16_pt3.py"),
}
FIRST_COMMAND = FILES["small_convnet"][1]


@dataclass(frozen=True)
class ModelInfo:
    """The metadata in a weights file."""

    model: str  # a key of FILES
    class_names: list[str]  # in order; of two classes the network gives the probability of the second
    image_size: int  # height and width in pixels
    settings: dict[str, Any]  # the recipe's, as the flags changed them, and the seed
    photos: dict[str, dict[str, int]]  # {"train": {class: count}, "validation": {class: count}, ...}
    scores: dict[str, float]  # accuracy, loss, val_accuracy, val_loss; test_accuracy, test_loss where there is a test
    minutes: float
    preprocessing: str = "rescale"  # a key of images.PREPROCESSING
    recipe: str = DEFAULT
    temperature: float = 1.0  # for calibrated probabilities, see tutorial/calibration.py, ...
    offsets: list[float] = field(default_factory=list)  # ... and one for each class
    rejection_threshold: float = 0.0  # a probability below which the prediction is reported as "not sure"
    half_precision: bool = False  # float16, and of VGG16 only block 5, see tools/shrink_model.py
    versions: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in PACKAGES})

    def best_class(self, probabilities: np.ndarray) -> tuple[str, float]:
        """The most probable class and its probability; ``probabilities`` is float (classes,).

        The write-up prints the sigmoid as it is, 6e-14 for a certain calico; a reader wants the probability of the
        class that is named.
        """
        best = int(np.argmax(probabilities))
        return self.class_names[best], float(probabilities[best])


def save_weights(
    model, path: Path, info: ModelInfo, detector: Detector | None = None, digests: Sequence[bytes] = ()
) -> None:
    """Save a Keras model's weights with their metadata as one file, complete or not at all.

    Args:
        model: its weights are saved.
        path: of the file.
        info: the metadata.
        detector: for out-of-distribution detection.
        digests: SHA-256 of the training photos.

    Raises:
        TutorialError: the folder cannot be written to.
    """
    own = model.optimizer.variables if model.compiled else []  # Keras saves them, too
    needed = 4 * sum(math.prod(variable.shape) for variable in [*model.variables, *own]) + 1e6  # float32
    with atomic_write(path) as temporary:
        # When a disk fills up in the middle, HDF5's library prints pages to the terminal.
        if shutil.disk_usage(temporary.parent).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        model.save_weights(temporary)
        with h5py.File(temporary, "r+") as file:
            file.attrs[ATTRIBUTE] = json.dumps(asdict(info))
            if detector:
                group = file.create_group(DETECTOR)
                for name, value in asdict(detector).items():
                    group[name] = value
            if digests:
                file[TRAINED_ON] = np.array([_number(digest) for digest in digests], np.uint64)


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")


def check_held_out(path: Path, splits: Sequence[Photos | None], command: str) -> None:
    """Refuse to go on from a model that was trained on photos which are now for validation or test, by their content.

    Args:
        path: of the model's weights file, whose contents :func:`load_weights` has checked.
        splits: the validation and test photos.
        command: that trains the model again.

    Raises:
        TutorialError: it was; or its file does not have its training photos.
    """
    try:
        with h5py.File(path) as file:
            trained_on = set(file[TRAINED_ON][()].tolist())
    except (KeyError, TypeError, AttributeError):
        raise TutorialError(f"{path} does not have its training photos; run again first: {command}") from None
    for split in filter(None, splits):
        paths = zip(split.paths, split.digests, strict=True)
        same = [split.name(one) for one, digest in paths if _number(digest) in trained_on]
        if same:
            raise TutorialError(
                f"{len(same)} of {len(split.paths)} photos in {split.folder} were training photos of {path} "
                f"({some(same)}), so scores on them mean nothing; train it on today's photos first: {command}"
            )


def read_info(path: Path) -> ModelInfo:
    """The metadata of a weights file; the weights are not read.

    Raises:
        TutorialError: the file is missing, damaged, or was not saved by one of the parts.
    """
    if not path.is_file():
        raise TutorialError(f"there is no weights file {path}: run the parts in order, or name one with --weights.")
    try:
        with h5py.File(path) as file:
            text = file.attrs.get(ATTRIBUTE)
        if isinstance(text, str) and len(text) > MAX_TEXT:
            raise ValueError("too much text")
        values = json.loads(text) if isinstance(text, str) else None
    except (OSError, ValueError) as error:
        raise TutorialError(f"{path} is not a weights file or is damaged: train it again ({error}).") from None
    command = next((command for model, (_, command) in FILES.items() if path.name.startswith(model)), FIRST_COMMAND)
    names = {one.name for one in fields(ModelInfo)}
    needed = {one.name for one in fields(ModelInfo) if one.default is one.default_factory is MISSING}
    if not isinstance(values, dict) or not needed <= set(values) <= names:
        raise TutorialError(f"{path} was not saved by a part of this tutorial: train one with {command}.")
    info = ModelInfo(**values)
    if not _is_valid(info):
        raise TutorialError(f"{path} has invalid metadata: train it again.")
    if info.model not in FILES or info.preprocessing not in PREPROCESSING:
        raise TutorialError(
            f"{path} holds a {info.model!r} with {info.preprocessing!r} preprocessing, which this version does not "
            "know: train it again."
        )
    return info


def _is_valid(info: ModelInfo) -> bool:
    """Whether a part can have written it: the file may come from anywhere."""

    def all_are(values, *types: type) -> bool:
        return all(type(value) in types for value in values)

    tables = (info.settings, info.photos, info.scores, info.versions)
    if not all(isinstance(one, dict) for one in tables) or not all_are((info.class_names, info.offsets), list):
        return False
    settings, numbers = dict(flattened(info.settings)), [info.temperature, info.rejection_threshold, info.minutes]
    sizes = settings.pop("input_sizes", [])
    return (
        2 <= len(info.class_names) <= MAX_CLASSES
        and all(isinstance(name, str) and name and escape(name) == name for name in info.class_names)
        and len(set(info.class_names)) == len(info.class_names)
        and len(info.offsets) in (0, len(info.class_names))
        and all_are([*numbers, *info.offsets], int, float)
        and all(math.isfinite(number) for number in [*numbers, *info.offsets])
        and info.temperature > 0
        and isinstance(sizes, list)
        and len(sizes) <= MAX_SIZES
        and all(type(size) is int and size in SIZES for size in [info.image_size, *sizes])
        and all_are(settings.values(), int, float, bool, str)
        and all(isinstance(split, dict) and all_are(split.values(), int) for split in info.photos.values())
        and all_are(info.scores.values(), int, float)
        and all_are([info.model, info.preprocessing, info.recipe, *info.versions.values()], str)
    )


def check_contents(path: Path, most: int) -> None:
    """Refuse an HDF5 file that holds more than arrays of numbers of at most ``most`` each, before they are read.

    Links to other files would be followed, and an array may claim a size that no memory holds.

    Raises:
        ValueError: it holds something else.
    """

    def check(group: h5py.Group) -> None:
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name!r} is a link")
            one = group[name]
            if isinstance(one, h5py.Group):
                if one.id in seen:
                    raise ValueError(f"{name!r} is a group that occurs twice")
                seen.append(one.id)
                check(one)
            elif not isinstance(one, h5py.Dataset) or one.is_virtual or one.external or one.dtype.kind not in "fiub":
                raise ValueError(f"{name!r} is no array of numbers")
            elif one.size is None or one.size > most:
                raise ValueError(f"{name!r} claims {one.size} numbers")

    seen: list = []
    with h5py.File(path) as file:
        check(file)


def read_detector(path: Path, num_classes: int, features: int) -> Detector | None:
    """The file's out-of-distribution detector; None where it has none.

    Raises:
        TutorialError: it is damaged, or does not fit a network of so many classes and features.
    """
    with h5py.File(path) as file:
        if DETECTOR not in file:
            return None
        try:
            means, threshold = (file[DETECTOR][name][()] for name in ("class_means", "threshold"))
            if means.shape != (num_classes, features) or not np.isfinite(threshold):
                raise ValueError("its class means do not fit its network")
        except (OSError, KeyError, ValueError, AttributeError) as error:
            raise TutorialError(f"{path} is damaged: train it again ({error}).") from None
    return Detector(means, float(threshold))


def load_weights(model, path: Path, info: ModelInfo) -> None:
    """Load the file's weights into a Keras model that was built as the part that saved them builds it.

    Raises:
        TutorialError: they do not fit, the file is damaged, or it is no longer the one that ``info`` was read from.
    """
    try:
        check_contents(path, max(SMALL, *(math.prod(variable.shape) for variable in model.variables)))
        with tempfile.TemporaryDirectory() as folder:  # Keras reads only what is called .weights.h5
            renamed = Path(folder, "model.weights.h5")
            model.load_weights(path if path.name.endswith(".weights.h5") else shutil.copy(path, renamed))
        if not all(np.isfinite(variable).all() for variable in model.get_weights()):
            raise ValueError("some of its weights are not finite")
    except Exception as error:  # Keras and h5py raise errors of many kinds for a damaged file
        first_line = str(error).strip().splitlines()[0]
        raise TutorialError(f"{path} is damaged: train it again ({first_line}).") from None
    if repr(read_info(path)) != repr(info):
        raise TutorialError(f"{path} was replaced while it was being read: run the command again.")
