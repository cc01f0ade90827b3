"""VGG16: its convolutions in less time, and parts of a network with a top model on it."""

from tutorial.backend import keras, tf
from tutorial.winograd import convolution

layers = keras.layers


def use_winograd(base: keras.Model) -> keras.Model:
    """Let VGG16's wide layers, where a network has them, compute their convolutions by Winograd's algorithm.

    The same sums in less time (``benchmarks/speed.md``), equal up to float32 rounding. On a GPU cuDNN does it already.
    """
    if not tf.config.list_physical_devices("GPU"):
        for layer in base.layers:
            if isinstance(layer, layers.Conv2D) and layer.name.startswith("block") and layer.filters >= 128:
                layer.convolution_op = convolution  # what Keras calls for the layer's sums
    return base


def without_frozen_blocks(network: keras.Model) -> keras.Model:
    """Block 5 and the top model of part 3's network, over the same weights: all that it trains.

    From block 4's output, float32 (n, h, w, 512), to what the network gives.
    """
    return keras.Model(network.get_layer("block4_pool").output, network.output)


def with_features(network: keras.Model) -> keras.Model:
    """The same network with a second output: the features before its classifier, float32 (n, d).

    VGG16's last features, or the convnet's, by global average pooling.
    """
    features = [layer.output for layer in network.layers if len(layer.output.shape) == 4][-1]
    return keras.Model(network.inputs, [network.outputs[0], layers.GlobalAveragePooling2D(dtype="float32")(features)])
