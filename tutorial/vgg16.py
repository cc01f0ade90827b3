"""VGG16 with a top model on it, at one input size or several, in one piece or split where training begins."""

from collections.abc import Iterable

from tutorial.backend import keras, tf
from tutorial.winograd import convolution

layers = keras.layers


def use_winograd(base: keras.Model) -> keras.Model:
    """Let VGG16's wide layers compute their convolutions by Winograd's algorithm, unless there is a GPU.

    The same sums in less time (``benchmarks/speed.md``), equal up to float32 rounding.
    """
    if not tf.config.list_physical_devices("GPU"):  # cuDNN does it already
        for layer in base.layers:
            if isinstance(layer, layers.Conv2D) and layer.kernel.shape[2] >= 256:
                layer.convolution_op = convolution  # what Keras calls for the layer's sums
    return base


def feature_extractors(base: keras.Model, pooling: str, input_sizes: Iterable[int]) -> list[keras.Model]:
    """VGG16's convolutional base as one feature extractor for each input size; all share its weights.

    Args:
        base: ``keras.applications.VGG16`` without its top, for images (n, size, size, 3).
        pooling: "avg" for global average pooling, whose features have the same shape at every input size; "" for none.
        input_sizes: height and width in pixels to which the images are resized (bilinear) first; the base's own size
            goes without.

    Returns:
        Models from images (n, size, size, 3), float32, preprocessed, to features (n, h, w, 512), or (n, 1, 1, 512).
    """
    use_winograd(base)
    return [keras.Model(base.input, _features(base, pooling, size)) for size in input_sizes]


def _features(base: keras.Model, pooling: str, size: int) -> keras.KerasTensor:
    features = base.output
    if size != base.input_shape[1]:
        features = layers.Resizing(size, size)(base.input)
        for layer in base.layers[1:]:
            features = layer(features)
    return layers.GlobalAveragePooling2D(keepdims=True)(features) if pooling else features


def attach_top(base: keras.Model, top: keras.Model, pooling: str, input_sizes: Iterable[int]) -> keras.Model:
    """The base and the top model on it as one network, from images to probabilities.

    With several input sizes (multi-scale test-time augmentation) the prediction is the mean over them.

    Args:
        base: see :func:`feature_extractors`.
        top: part 2's top model.
        pooling: see :func:`feature_extractors`.
        input_sizes: see :func:`feature_extractors`.
    """
    outputs = [top(extractor.output) for extractor in feature_extractors(base, pooling, input_sizes)]
    mean = layers.Average(dtype="float32")(outputs) if len(outputs) > 1 else outputs[0]
    return keras.Model(base.input, mean, name="vgg16_with_top")


def split_at_block5(base: keras.Model, top: keras.Model, pooling: str) -> tuple[keras.Model, keras.Model]:
    """What :func:`attach_top` builds at the base's own input size, as two networks that share its weights.

    Returns:
        Blocks 1 to 4, from images (n, size, size, 3) to block 4's output (n, h, w, 512); and block 5 with the top
        model, from there to probabilities.
    """
    use_winograd(base)
    block4 = base.get_layer("block4_pool").output
    outputs = top(_features(base, pooling, base.input_shape[1]))
    return keras.Model(base.input, block4, name="blocks_1_to_4"), keras.Model(block4, outputs, name="block_5_and_top")


def without_frozen_blocks(network: keras.Model) -> keras.Model:
    """Block 5 and the top model of a network from :func:`attach_top`, over the same weights: all that part 3 trains."""
    block5 = [layer for layer in network.layers if layer.name.startswith("block5_")]
    inputs = outputs = keras.Input(network.get_layer("block4_pool").output.shape[1:])
    for layer in [*block5, *network.get_layer("top_model").layers]:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def with_features(network: keras.Model) -> keras.Model:
    """The same network with a second output: the features before its classifier, float32 (n, d).

    VGG16's last features, or the convnet's, by global average pooling.
    """
    if any(layer.name == "block5_pool" for layer in network.layers):
        features = network.get_layer("block5_pool").output
    else:
        features = [layer.output for layer in network.layers if len(layer.output.shape) == 4][-1]
    return keras.Model(network.inputs, [network.outputs[0], layers.GlobalAveragePooling2D(dtype="float32")(features)])
