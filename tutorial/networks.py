"""The three networks, one builder each. Photos go in as float32 (n, size, size, 3), preprocessed; for two classes
out comes float32 (n, 1), the probability of the second in alphabetical order, for more (n, classes), one for each."""

import re
from pathlib import Path

import numpy as np

from tutorial.backend import keras, tf
from tutorial.command_line import RECIPES
from tutorial.imagenet import imagenet_weights
from tutorial.weights_file import About, load_weights
from tutorial.winograd import convolution

layers = keras.layers

TUTORIAL = RECIPES[0]
VGG16_BLOCKS = 5  # of convolutions


def _answer(classes: int) -> keras.layers.Layer:
    """The last layer: the sigmoid of the texts for two classes, a softmax for more; float32 in mixed precision too."""
    if classes == 2:
        return layers.Dense(1, activation="sigmoid", dtype="float32")
    return layers.Dense(classes, activation="softmax", dtype="float32")


def targets(labels: np.ndarray, classes: int) -> np.ndarray:
    """What a network should say of each photo, whose labels are 0, 1, ...: float32, (n,) for two classes, the
    probability of the second, and for more (n, classes), one for each."""
    labels = np.asarray(labels, np.float32)
    return labels if classes == 2 else np.eye(classes, dtype=np.float32)[np.int64(labels)]


def loss_function(classes: int, smoothing: float = 0.0) -> keras.losses.Loss:
    """The cross-entropy of :func:`targets` and what a network's last layer says, a mean over the photos.

    Args:
        classes: two or more.
        smoothing: share of every label that is spread over all classes, so that no answer has to be certain.
    """
    if classes == 2:
        return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)
    return keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)


def accuracy(targets: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """A metric for ``compile``: whether the class with the highest probability is the target's; of two that are
    mixed, the one there is more of."""
    if outputs.shape[-1] == 1:
        return keras.metrics.binary_accuracy(keras.ops.round(targets), outputs)
    return keras.metrics.categorical_accuracy(targets, outputs)


def small_convnet(image_size: int, classes: int = 2, recipe: str = TUTORIAL, dropout: float = 0.5) -> keras.Model:
    """Part 1's network.

    The texts': 1,212,513 parameters at 150 x 150 and two classes (Keras blog, 2016). Nearly all of them, 1,183,808,
    connect places of the photo to the dense layer, where they are free to learn the photos by heart. The improved
    recipe averages over the places instead, and spends its parameters on more, normalized convolutions.

    Args:
        image_size: pixels a side.
        classes: two or more.
        recipe: "tutorial" or "improved".
        dropout: share of the last features that each training step does without.
    """
    if recipe == TUTORIAL:
        body = [
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
        ]
    else:
        body = []
        for filters, size, stride in ((32, 5, 2), (64, 3, 1), (128, 3, 1), (256, 3, 1)):
            body += [
                layers.Conv2D(filters, size, stride, padding="same", use_bias=False),  # the normalization has one
                layers.BatchNormalization(momentum=0.9),
                layers.ReLU(),
                layers.MaxPooling2D(2),
            ]
        body[-1] = layers.GlobalAveragePooling2D()
    return keras.Sequential(
        [keras.Input((image_size, image_size, 3)), *body, layers.Dropout(dropout), _answer(classes)],
        name="small_convnet",
    )


def vgg16_base(image_size: int, imagenet: bool = True) -> keras.Model:
    """VGG16 (Simonyan & Zisserman, 2014) without its three dense layers: 14,714,688 parameters.

    Args:
        image_size: pixels a side, at least 32.
        imagenet: load the ImageNet weights; without them the network is there to be filled from a file.

    Returns:
        A model from (n, size, size, 3) to the bottleneck features, (n, h, w, 512): h and w are a 32nd of the size,
        rounded down.
    """
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(image_size, image_size, 3))
    if imagenet:
        base.set_weights(imagenet_weights())
    if not tf.config.list_physical_devices("GPU"):  # a GPU's own library does it already
        for layer in base.layers:
            if isinstance(layer, layers.Conv2D) and layer.kernel.shape[2] >= 256:
                layer.convolution_op = convolution  # which Keras calls for the layer's sums: the same, sooner
    return base


def averaging(base: keras.Model) -> keras.Model:
    """The base with its features averaged over their places: (n, 1, 1, 512)."""
    return keras.Model(base.input, layers.GlobalAveragePooling2D(keepdims=True)(base.output))


def looks(base: keras.Model, enlarged: int | None) -> list[keras.Model]:
    """The base, and with ``enlarged`` another with the same weights, for which photos are enlarged first.

    VGG16 learnt from photos of 224 x 224; in smaller ones everything is smaller than what it knows best.

    Args:
        base: with ``enlarged``, from :func:`averaging`, whose features have the same shape whatever the size.
        enlarged: pixels a side, bilinear.
    """
    photos = keras.Input(base.input_shape[1:])
    return [base] + [keras.Model(photos, _through(base.layers[1:], one)) for one in _seen(photos, enlarged)[1:]]


def _seen(photos: keras.KerasTensor, enlarged: int | None) -> list[keras.KerasTensor]:
    """What the network looks at: the photos, and with another size them enlarged."""
    if enlarged in (None, photos.shape[1]):
        return [photos]
    return [photos, layers.Resizing(enlarged, enlarged)(photos)]


def _through(some: list[keras.layers.Layer], tensor: keras.KerasTensor) -> keras.KerasTensor:
    for layer in some:
        tensor = layer(tensor)
    return tensor


def top_model(
    feature_shape: tuple[int, int, int], classes: int = 2, average_places: bool = False, dropout: float = 0.5
) -> keras.Model:
    """Part 2's classifier on the bottleneck features.

    The texts': 2,097,665 parameters on 4 x 4 x 512 features and two classes. The improved recipe averages over the
    4 x 4 places, since it does not matter where in the photo a cat is, and gives the 512 averages mean 0 and spread 1,
    since it does not matter how strong the photo's contrasts are: 513 parameters.

    Args:
        feature_shape: of one photo's features.
        classes: two or more.
        average_places: the improved recipe's.
        dropout: share of the last features that each training step does without.
    """
    body = [layers.Flatten(), layers.Dense(256, activation="relu")]
    if average_places:
        body = [layers.GlobalAveragePooling2D(), layers.LayerNormalization(center=False, scale=False)]
    return keras.Sequential(
        [keras.Input(feature_shape), *body, layers.Dropout(dropout), _answer(classes)], name="top_model"
    )


def with_top(base: keras.Model, top: keras.Model, enlarged: int | None = None) -> keras.Model:
    """The base and the top model on it as one network, from photo to probability.

    With ``enlarged``, the mean of what they say of the photo as it is and enlarged, see :func:`looks`.
    """
    answers = [top(_through(base.layers[1:], one)) for one in _seen(base.input, enlarged)[1:]]
    return keras.Model(base.input, _mean([top(base.output), *answers]), name="vgg16_with_top")


def _mean(answers: list[keras.KerasTensor]) -> keras.KerasTensor:
    return layers.Average(dtype="float32")(answers) if len(answers) > 1 else answers[0]


def freeze_first_blocks(base: keras.Model, trained: int = 1) -> None:
    """Leave only the last blocks of VGG16 trainable; to be followed by ``compile``.

    Args:
        base: from :func:`vgg16_base`.
        trained: how many blocks. Block 5 alone has 6 tensors, 7,079,424 parameters.
    """
    base.trainable = True  # the parent first: setting it sets every layer
    for layer in base.layers:
        number = re.match(r"block(\d)_", layer.name)  # the first layer, the input, has none
        layer.trainable = number is not None and int(number[1]) > VGG16_BLOCKS - trained


def split_after_first_blocks(base: keras.Model, top: keras.Model, trained: int = 1) -> tuple[keras.Model, keras.Model]:
    """What :func:`with_top` makes, as two networks over the same weights: the frozen blocks, and what is trained.

    Args:
        base: from :func:`vgg16_base` or :func:`averaging`.
        top: the top model.
        trained: how many of the blocks, 1 to 4.

    Returns:
        A model from photos (n, size, size, 3) to the last frozen block's output, and one from there to the probability.
    """
    between = base.get_layer(f"block{VGG16_BLOCKS - trained}_pool").output
    frozen = keras.Model(base.input, between, name="frozen_blocks")
    return frozen, keras.Model(between, top(base.output), name="trained_part")


def trained_alone(network: keras.Model, trained: int) -> keras.Model:
    """The last blocks of a network from :func:`with_top` and its top model, alone, over the same weights."""
    frozen = f"block{VGG16_BLOCKS - trained}_pool"
    blocks = [layer for layer in network.layers if layer.name.startswith("block") and layer.name > frozen]
    between = keras.Input(network.get_layer(frozen).output.shape[1:])
    return keras.Model(between, _through([*blocks, *network.get_layer("top_model").layers], between))


def with_features(network: keras.Model) -> keras.Model:
    """The same network with a second output: what it sees in the photo before it decides, float32 (n, d).

    VGG16's last features, or the convnet's, averaged over the places of the photo.
    """
    if any(layer.name == "block5_pool" for layer in network.layers):
        features = network.get_layer("block5_pool").output
    else:
        features = [layer.output for layer in network.layers if len(layer.output.shape) == 4][-1]
    return keras.Model(network.inputs, [network.outputs[0], layers.GlobalAveragePooling2D(dtype="float32")(features)])


def load_network(path: Path, about: About) -> keras.Model:
    """The network of a weights file, from photo to probability, whichever part saved it.

    Args:
        path: the weights file.
        about: what it says of itself, from ``weights_file.read_about``.

    Raises:
        TutorialError: the weights do not fit, or the ImageNet weights under a top model cannot be had.
    """
    classes = len(about.class_names)
    if about.model == "small_convnet":
        network = small_convnet(about.image_size, classes, about.recipe)
        load_weights(network, path)
        return network
    imagenet = about.compact or about.model == "bottleneck_fc_model"
    base = vgg16_base(about.image_size, imagenet)
    average_places = bool(about.settings.get("average_places"))
    if average_places:
        base = averaging(base)
    top = top_model(base.output_shape[1:], classes, average_places)
    network = with_top(base, top, int(about.settings.get("enlarged", about.image_size)))
    held = top if about.model == "bottleneck_fc_model" else network
    if about.compact:
        held = trained_alone(network, int(about.settings["blocks"]))
    load_weights(held, path)
    return network
