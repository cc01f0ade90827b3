"""The three networks, one builder each. Photos go in as float32 (n, size, size, 3), rescaled to 0..1;
out comes float32 (n, 1), the probability of the second class in alphabetical order."""

from pathlib import Path

from tutorial.backend import keras, tf
from tutorial.imagenet import imagenet_weights
from tutorial.weights_file import About, load_weights
from tutorial.winograd import convolution

layers = keras.layers

LAST_BLOCK = "block5_"  # the layers of VGG16 that part 3 goes on training


def small_convnet(image_size: int) -> keras.Model:
    """Part 1's network: 1,212,513 parameters at 150 x 150 (Keras blog, 2016)."""
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid"),
        ],
        name="small_convnet",
    )


def vgg16_base(image_size: int, imagenet: bool = True) -> keras.Model:
    """VGG16 (Simonyan & Zisserman, 2014) without its three dense layers: 14,714,688 parameters.

    Args:
        image_size: pixels a side, at least 32.
        imagenet: load the ImageNet weights; without them the network is there to be filled from a file.

    Returns:
        A model from (n, size, size, 3) to the bottleneck features, (n, size // 32, size // 32, 512).
    """
    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(image_size, image_size, 3))
    if imagenet:
        base.set_weights(imagenet_weights())
    if not tf.config.list_physical_devices("GPU"):  # a GPU's own library does it already
        for layer in base.layers:
            if isinstance(layer, layers.Conv2D) and layer.kernel.shape[2] >= 256:
                layer.convolution_op = convolution  # which Keras calls for the layer's sums: the same, sooner
    return base


def top_model(feature_shape: tuple[int, int, int]) -> keras.Model:
    """Part 2's classifier on the bottleneck features: 2,097,665 parameters on 4 x 4 x 512 of them."""
    return keras.Sequential(
        [
            keras.Input(feature_shape),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid", dtype="float32"),  # also where mixed precision is on
        ],
        name="top_model",
    )


def with_top(base: keras.Model, top: keras.Model) -> keras.Model:
    """The base and the top model on it as one network, from photo to probability."""
    return keras.Sequential([keras.Input(base.input_shape[1:]), base, top], name="vgg16_with_top")


def freeze_up_to_last_block(base: keras.Model) -> None:
    """Leave only block 5 of VGG16 trainable: 6 tensors, 7,079,424 parameters. To be followed by ``compile``."""
    base.trainable = True  # the parent first: setting it sets every layer
    for layer in base.layers:
        layer.trainable = layer.name.startswith(LAST_BLOCK)
    assert len(base.trainable_weights) == 6  # three convolutions, a kernel and a bias each


def split_at_last_block(base: keras.Model) -> tuple[keras.Model, keras.Model]:
    """VGG16's base as two networks over the same weights: the frozen blocks 1 to 4, and block 5.

    Returns:
        A model from photos (n, size, size, 3) to block 4's output, (n, size // 16, size // 16, 512), and one from
        there to the bottleneck features, (n, size // 32, size // 32, 512).
    """
    between = base.get_layer("block4_pool").output
    return keras.Model(base.input, between, name="blocks_1_to_4"), keras.Model(between, base.output, name="block5")


def load_network(path: Path, about: About) -> keras.Model:
    """The network of a weights file, from photo to probability, whichever part saved it.

    Args:
        path: the weights file.
        about: what it says of itself, from ``weights_file.read_about``.

    Raises:
        TutorialError: the weights do not fit, or the ImageNet weights under a top model cannot be had.
    """
    if about.model == "small_convnet":
        network = small_convnet(about.image_size)
        load_weights(network, path)
        return network
    base = vgg16_base(about.image_size, imagenet=about.model == "bottleneck_fc_model")
    top = top_model(base.output_shape[1:])
    network = with_top(base, top)
    load_weights(top if about.model == "bottleneck_fc_model" else network, path)
    return network
