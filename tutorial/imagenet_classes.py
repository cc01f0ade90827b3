"""What VGG16 as trained on ImageNet says of a photo: the best of the thousand classes that it knows.

Tabby is one of them and calico is not, nor are your classes likely to be: which is why the parts put a top of their own
on it. The full network has Keras's three dense layers, which the parts do without, and so is another, larger file.
"""

import json

import numpy as np

from tutorial.command_line import TutorialError, visible
from tutorial.imagenet import NotHere, keras_download, keras_place, say
from tutorial.photos import PREPROCESSING, VGG16

# Each file's name in Keras's cache, its address and its MD5, as Keras itself has them.
NETWORK = (
    "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
    "64373286793e3c8b2b4e3219cbf3544b",
)
CLASSES = (
    "imagenet_class_index.json",
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    "c2c37ea517e94d9795004a39431a14cb",
)
COUNT = 1000
PORTION = 8  # photos that go through the network at once


def _names() -> list[str]:
    """What the classes are called, in the order of the network's outputs."""
    path = keras_download(*CLASSES)
    try:
        listed = json.loads(path.read_text("utf-8"))
        return [visible(listed[str(i)][1].replace("_", " ")) for i in range(COUNT)]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        path.unlink()
        raise NotHere(f"it is no list of {COUNT} classes ({type(error).__name__}: {error})") from None


class FullVGG16:
    """The network with its dense layers, and what its classes are called; downloaded once, into Keras's cache.

    Raises:
        TutorialError: one of the two cannot be had.
    """

    def __init__(self) -> None:
        from tutorial.backend import keras

        wanted = CLASSES  # the small one first
        try:
            self.names = _names()
            wanted = NETWORK
            if not keras_place(NETWORK[0]).exists():
                say(f"fetching VGG16 with its dense layers, once: 553 MB, kept in {keras_place(NETWORK[0])}")
            path = keras_download(*NETWORK)
        except NotHere as why:
            raise TutorialError(
                f"ImageNet's own VGG16 cannot answer without {wanted[0]} ({why}): connect to the internet and try "
                f"again, or download {wanted[1]} on another machine and put the file at {keras_place(wanted[0])}; the "
                "models that you train do not need it."
            ) from None
        self.network = keras.applications.VGG16(weights=str(path))

    def best(self, photos: list[np.ndarray], count: int = 2) -> list[list[tuple[str, float]]]:
        """For each photo, uint8 (224, 224, 3), the classes with the highest probabilities, best first."""
        found = []
        for start in range(0, len(photos), PORTION):
            inputs = PREPROCESSING[VGG16](photos[start : start + PORTION])
            for probabilities in self.network.predict_on_batch(inputs):
                order = np.argsort(-probabilities, kind="stable")[:count]
                found.append([(self.names[i], float(probabilities[i])) for i in order])
        return found


class ImageNets:
    """VGG16 as trained on ImageNet, which knows a thousand classes and not yours."""

    name = "VGG16 as trained on ImageNet, for its 1,000 classes"
    image_size = 224  # of the photos that it learnt from

    def __init__(self) -> None:
        self.network: FullVGG16 | None = None

    def answers(self, photos: list[np.ndarray]) -> list[tuple[str, dict]]:
        """For each photo, uint8 (image_size, image_size, 3), the answer in words and for other programs."""
        if self.network is None:  # only now: a photo that cannot be read needs no network
            self.network = FullVGG16()
        found = []
        for best in self.network.best(photos):
            answer = ", ".join(f"{name} ({100 * sure:.1f} %)" for name, sure in best)
            top = [{"class": name, "probability": sure} for name, sure in best]
            found.append((answer, {"top": top, "model": self.name}))
        return found
