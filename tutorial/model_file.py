"""The weights file of a trained model, which holds all that predict.py needs to know.

Weights only, in Keras's ``.weights.h5`` layout, never a pickled or whole model: reading one cannot run code. HDF5
leaves the beginning of a file to its writer (the "user block"). It holds, as text, the SHA-256 of all that follows and
the metadata as JSON, so that damage is found before HDF5's library, which can crash on it, reads the file.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

from tutorial.cli import TutorialError, escape
from tutorial.dataset import MAX_CLASSES, Photos, some
from tutorial.files import atomic_write
from tutorial.hdf5 import arrays_in, read_arrays
from tutorial.images import PREPROCESSING
from tutorial.out_of_distribution import Detector
from tutorial.recipes import DEFAULT, LIMITS, flattened, own_folders, pretrained_dir, weights_dir

import h5py
import numpy as np

DETECTOR = "out_of_distribution"  # a group
PREDICTIONS = "predictions"  # a group: of validation and test, the calibrated probabilities and the photos
TRAINED_ON = "training_photos"  # a dataset: the first 8 bytes of each training photo's SHA-256, uint64 (n,)
HEADER = re.compile(b"([0-9a-f]{64})\n([^\0]{1,8000000})\0+\x89HDF")  # SHA-256 of what follows it; JSON; padding; HDF5
MAX_BYTES = 2_000_000_000  # of a file; VGG16 has 60 million, trained for 1,000 classes with the blog's top 100 million
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
    temperature: float = 1.0  # for calibrated probabilities, see tutorial/calibration.py
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


class _Memory(BytesIO):
    """A file in memory that Keras takes for a weights file: a disk that fills up would crash HDF5's library."""

    def __str__(self) -> str:
        return "memory.weights.h5"


class WeightsFile:
    """A weights file, read into memory once, so that metadata and weights match even if the file is replaced.

    Raises:
        TutorialError: the file is missing, damaged, or was not saved by one of the parts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise TutorialError(f"there is no weights file {path}: run the parts in order, or name one with --weights.")
        try:
            if path.stat().st_size > MAX_BYTES:
                raise TutorialError(f"{path} is not a weights file: it is too large.")
            self.content = path.read_bytes()
        except OSError as error:
            raise TutorialError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None
        self.info = _parse(path, self.content)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Every array in the file by its path there. Raises TutorialError if HDF5's library cannot read it."""
        try:
            return read_arrays(self.content)
        except ValueError as error:
            raise self.damaged(error) from None

    def damaged(self, reason: object) -> TutorialError:
        """The error to raise."""
        return TutorialError(f"{self.path} is damaged: train it again ({reason}).")

    def load_weights(self, model) -> None:
        """Load the weights into a Keras model that was built as the part that saved them builds it.

        Raises:
            TutorialError: they do not fit, are not finite, or the file is damaged.
        """
        if not all(np.isfinite(array).all() for array in self.arrays.values()):
            raise self.damaged("some of its weights are not finite")
        try:
            model.load_weights(_hdf5(self.arrays))
        except MemoryError:
            raise
        except Exception as error:  # Keras raises errors of many kinds
            raise self.damaged((str(error).strip() or type(error).__name__).splitlines()[0]) from None

    def detector(self, features: int) -> Detector | None:
        """The out-of-distribution detector; None where there is none.

        Raises:
            TutorialError: it does not fit the classes, or a network with this number of features.
        """
        means, threshold = (self.arrays.get(f"{DETECTOR}/{name}") for name in ("class_means", "threshold"))
        if means is None or threshold is None:
            return None
        if means.shape != (len(self.info.class_names), features) or threshold.shape:
            raise self.damaged("its class means do not fit its network")
        return Detector(means, float(threshold))

    def check_held_out(self, splits: Sequence[Photos | None], command: str) -> None:
        """Refuse to go on from a model that was trained on photos which are now for validation or test, by content.

        Args:
            splits: the validation and test photos.
            command: that trains the model again.

        Raises:
            TutorialError: it was; or the file does not have its training photos.
        """
        if TRAINED_ON not in self.arrays:
            raise TutorialError(f"{self.path} does not have its training photos; run again first: {command}")
        trained_on = set(self.arrays[TRAINED_ON].ravel().tolist())
        for split in filter(None, splits):
            paths = zip(split.paths, split.digests, strict=True)
            same = [split.name(one) for one, digest in paths if _number(digest) in trained_on]
            if same:
                raise TutorialError(
                    f"{len(same)} of {len(split.paths)} photos in {split.folder} were training photos of {self.path} "
                    f"({some(same)}), so scores on them mean nothing; train it on the new split first: {command}"
                )

    def predictions(self, photos: Photos) -> np.ndarray:
        """The probabilities that the part computed for its validation or test photos, float64 (n, classes), calibrated.

        Raises:
            TutorialError: they are other photos now; or the file does not have them.
        """
        probabilities = self.arrays.get(f"{PREDICTIONS}/{photos.folder.name}")
        places = self.places(f"{PREDICTIONS}/{photos.folder.name}_photos", photos)
        if (
            probabilities is None
            or probabilities.shape != (1 + max(places), len(self.info.class_names))
            or not ((probabilities >= 0) & (probabilities <= 1)).all()
        ):
            raise self.damaged("its predictions do not fit its photos")
        return probabilities[places].astype(np.float64)

    def places(self, name: str, photos: Photos) -> list[int]:
        """Where each photo is in a dataset of photos, such as TRAINED_ON.

        Raises:
            TutorialError: they are not the same photos, or their classes have other numbers of photos.
        """
        places = {number: i for i, number in enumerate(self.arrays.get(name, np.empty(0)).ravel().tolist())}
        now = [_number(digest) for digest in photos.digests]
        if set(places) != set(now) or photos.counts() != self.info.photos.get(photos.folder.name):
            raise TutorialError(
                f"{self.path} was not made from the photos in {photos.folder}: train it again, or use "
                "--data with the folder of its photos."
            )
        return [places[number] for number in now]


def save_weights(
    model,
    path: Path,
    info: ModelInfo,
    detector: Detector | None = None,
    digests: Sequence[bytes] = (),
    predictions: Sequence[tuple[Photos, np.ndarray]] = (),
) -> None:
    """Save a Keras model's weights with their metadata as one file, complete or not at all.

    Args:
        model: its weights are saved; in float16 where ``info`` says half precision.
        path: of the file.
        info: the metadata.
        detector: for out-of-distribution detection.
        digests: SHA-256 of the training photos.
        predictions: validation and test photos with their probabilities, float (n, classes).

    Raises:
        TutorialError: the folder cannot be written to.
    """
    memory = _Memory()
    model.save_weights(memory)
    with h5py.File(memory) as file:
        arrays = arrays_in(file)
    if info.half_precision:
        arrays = {name: array.astype(np.float16) for name, array in arrays.items()}
        assert all(np.isfinite(array).all() for array in arrays.values())  # float16 ends at 65504, beyond any weight
    if detector:
        arrays |= {f"{DETECTOR}/{name}": np.asarray(value) for name, value in asdict(detector).items()}
    if digests:
        arrays[TRAINED_ON] = _numbers(digests)
    for photos, probabilities in predictions:
        arrays[f"{PREDICTIONS}/{photos.folder.name}"] = probabilities
        arrays[f"{PREDICTIONS}/{photos.folder.name}_photos"] = _numbers(photos.digests)
    text = json.dumps(asdict(info)).encode()
    size = max(512, 1 << (len(text) + 65).bit_length())  # HDF5 looks for its beginning at 512, 1024, 2048 ...
    rest = text.ljust(size - 65, b"\0") + _hdf5(arrays).getvalue()
    with atomic_write(path) as temporary:
        temporary.write_bytes(sha256(rest).hexdigest().encode() + b"\n" + rest)


def _hdf5(arrays: dict[str, np.ndarray]) -> _Memory:
    memory = _Memory()
    with h5py.File(memory, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return memory


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")


def _numbers(digests: Sequence[bytes]) -> np.ndarray:
    return np.array([_number(digest) for digest in digests], np.uint64)


def training_command(path: Path) -> str:
    """The command that makes a file of a part, by its name and folder."""
    command = next((command for model, (_, command) in FILES.items() if path.name.startswith(model)), FIRST_COMMAND)
    improved = path.parent.resolve() == weights_dir("improved").resolve()
    return command + " --recipe improved" * improved


def _parse(path: Path, content: bytes) -> ModelInfo:
    """The metadata of a weights file of this content. Raises TutorialError, see :class:`WeightsFile`."""
    command = training_command(path)
    other = TutorialError(f"{path} was not saved by this version of the tutorial: train one with {command}.")
    if content.startswith(b"\x89HDF"):
        raise other
    header = HEADER.match(content)
    if not header or header[1] != sha256(memoryview(content)[65:]).hexdigest().encode():
        raise TutorialError(f"{path} is not a weights file or is damaged: train one with {command}.")
    try:
        info = ModelInfo(**json.loads(header[2]))
    except (TypeError, ValueError, RecursionError):  # other names, or no JSON
        raise other from None
    valid = False
    with suppress(RecursionError):  # of settings that are nested too deep
        valid = _is_valid(info)
    if not valid:
        raise TutorialError(f"{path} has invalid metadata: train it again.")
    if info.model not in FILES or info.preprocessing not in PREPROCESSING:
        raise TutorialError(
            f"{path} holds a {info.model!r} with {info.preprocessing!r} preprocessing, which this version does not "
            "support: train it again."
        )
    return info


def _is_valid(info: ModelInfo) -> bool:
    """Whether a part can have written it: the file may come from anywhere."""

    def all_are(values, *types: type) -> bool:
        return all(type(value) in types for value in values)

    tables = (info.settings, info.photos, info.scores, info.versions)
    if not all(isinstance(one, dict) for one in tables) or not isinstance(info.class_names, list):
        return False
    settings, numbers = dict(flattened(info.settings)), [info.temperature, info.rejection_threshold, info.minutes]
    least, most = LIMITS["image_size"]
    return (
        2 <= len(info.class_names) <= MAX_CLASSES
        and all(isinstance(name, str) and name and escape(name) == name for name in info.class_names)
        and len(set(info.class_names)) == len(info.class_names)
        and all_are(numbers, int, float)
        and all(abs(number) < 1e9 for number in numbers)  # false for NaN
        and info.temperature > 0
        and type(info.image_size) is int
        and least <= info.image_size <= most
        and all_are(settings.values(), int, float, bool, str)
        and all(isinstance(split, dict) and all_are(split.values(), int) for split in info.photos.values())
        and all_are(info.scores.values(), int, float)
        and all_are([info.model, info.preprocessing, info.recipe, *info.versions.values()], str)
    )


def best_weights() -> Path:
    """Your part 3's model, or 2's or 1's: the improved recipe's, the original's, another's; or a pretrained one."""
    own, *recipes = own_folders()
    models = [name for name, _ in reversed(FILES.values())]
    folders = [weights_dir("improved"), own, *recipes]
    for path in [*(folder / name for name in models for folder in folders), *(pretrained_dir() / n for n in models)]:
        if path.exists():
            return path
    raise TutorialError(f"there is no trained model in {own}: run {FIRST_COMMAND}, or name one with --weights.")
