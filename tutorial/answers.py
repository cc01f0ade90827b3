"""What a trained network says of photos: a probability for each class, and how like the training photos each is."""

from pathlib import Path

import numpy as np

from tutorial.backend import keras
from tutorial.calibration import calibrated, class_probabilities
from tutorial.command_line import TutorialError
from tutorial.explain import grad_cam
from tutorial.familiarity import Familiarity, familiarity
from tutorial.networks import load_network, with_features
from tutorial.photos import PREPROCESSING, PhotoFiles
from tutorial.weights_file import About, read_familiarity

PORTION = 8  # photos that go through the network at once: larger portions are no faster and take more memory


def ask(
    network: keras.Model, inputs: np.ndarray | list[np.ndarray], preprocessing: str, mirrored: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The network's answers, as it gives them: not calibrated.

    Args:
        network: from :func:`networks.with_features`.
        inputs: photos, uint8 (n, size, size, 3), or a list of n of them.
        preprocessing: a key of ``photos.PREPROCESSING``.
        mirrored: each answer is the mean of the photo's and its mirror image's.

    Returns:
        A probability for each class, float64 (n, classes), and the features, float32 (n, d), of the photo as it is.
    """
    probabilities, features = [], []
    for start in range(0, len(inputs), PORTION):
        photos = PREPROCESSING[preprocessing](inputs[start : start + PORTION])
        outputs, seen = network.predict_on_batch(photos)
        found = class_probabilities(outputs)
        if mirrored:
            found = (found + class_probabilities(network.predict_on_batch(photos[:, :, ::-1])[0])) / 2
        probabilities.append(found)
        features.append(seen)
    return np.concatenate(probabilities), np.concatenate(features)


def judge(
    network: keras.Model, sets: dict[str, tuple[np.ndarray, PhotoFiles]], preprocessing: str, mirrored: bool
) -> dict[str, np.ndarray]:
    """What a newly trained network answers for each set of photos that it was not trained on: see :func:`ask`.

    Args:
        network: from photo to probability.
        sets: the pixels, uint8 (n, size, size, 3), and files of "validation" and perhaps "test".
        preprocessing: a key of ``photos.PREPROCESSING``.
        mirrored: see :func:`ask`.
    """
    network = with_features(network)
    return {split: ask(network, pixels, preprocessing, mirrored)[0] for split, (pixels, _) in sets.items()}


def known_photos(network: keras.Model, pixels: np.ndarray, files: PhotoFiles, preprocessing: str) -> Familiarity:
    """What is familiar to a newly trained network: its training photos, uint8 (n, size, size, 3)."""
    return familiarity(ask(with_features(network), pixels, preprocessing, False)[1], files.labels)


class TrainedNetwork:
    """The network of a weights file, and what the file says of how to ask it."""

    def __init__(self, path: Path, about: About) -> None:
        self.about, self.plain = about, load_network(path, about)
        self.network = with_features(self.plain)
        self.familiarity: Familiarity | None = read_familiarity(path)
        width = self.network.outputs[1].shape[1]
        if self.familiarity and self.familiarity.centres.shape != (len(about.class_names), width):
            raise TutorialError(f"{path} is damaged: train it again (its centres are those of another network).")

    def answers(self, photos: np.ndarray | list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """What it says of photos, uint8 (n, size, size, 3), or a list of n of them.

        Returns:
            A calibrated probability for each class, float64 (n, classes), and for each photo, bool (n,), whether it is
            unlike anything trained on; False where the weights file does not know.
        """
        found, features = ask(self.network, photos, self.about.preprocessing, self.about.mirrored)
        unlike: np.ndarray = np.zeros(len(photos), bool)
        if self.familiarity:
            unlike = self.familiarity.distances(features) > self.familiarity.limit
        return calibrated(found, self.about.temperature, self.about.offsets), unlike

    def explanation(self, photo: np.ndarray, name: str) -> np.ndarray:
        """Which places of a photo, uint8 (size, size, 3), spoke for the class called ``name``.

        Returns:
            float32, (h, w), in 0..1, see :func:`explain.grad_cam`. Where the answer is the mean of those for the photo
            and its mirror image, so is this.
        """
        views = [photo, photo[:, ::-1]] if self.about.mirrored else [photo]
        label = self.about.class_names.index(name)
        maps = grad_cam(self.plain, PREPROCESSING[self.about.preprocessing](views), label)
        return (maps[0] + maps[1][:, ::-1]) / 2 if self.about.mirrored else maps[0]
