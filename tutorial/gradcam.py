"""Grad-CAM (R. Selvaraju et al., Grad-CAM, 2017): a heat map of the image regions that support a prediction.

Each channel of the last convolution's output is weighted by the mean gradient of the class's logit over the image; the
map is the positive part of the weighted sum. The logit and not the probability, whose gradient vanishes near 1.
"""

from collections.abc import Iterator

from tutorial.backend import keras, tf
from tutorial.images import PREPROCESSING
from tutorial.model_file import ModelInfo

import numpy as np

layers = keras.layers


def _in_order(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers in the order in which an image passes through them, those of nested models too."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _in_order(layer)
        elif not isinstance(layer, layers.InputLayer):
            yield layer


def grad_cam(network: keras.Model, inputs: np.ndarray, label: int) -> np.ndarray:
    """Heat maps for a class.

    Args:
        network: one layer after the other, a Dense layer the last, such as ``predict.load_network`` returns.
        inputs: float32 (n, size, size, 3), preprocessed.
        label: the class, 0, 1 ... A sigmoid's logit is that of the second of two classes, and its negative the first's.

    Returns:
        float32, (n, h, w), of the size of the last convolution's output, after its normalization and ReLU. The largest
        value of each map is 1; all are 0 where no region supports the class.
    """
    chain = list(_in_order(network))
    end = 1 + max(i for i, layer in enumerate(chain) if isinstance(layer, layers.Conv2D))
    while isinstance(chain[end], (layers.BatchNormalization, layers.ReLU)):
        end += 1
    activations = tf.convert_to_tensor(inputs)
    for layer in chain[:end]:
        activations = layer(activations)
    *between, last = chain[end:]
    with tf.GradientTape() as tape:
        tape.watch(activations)
        features = activations
        for layer in between:
            features = layer(features)
        logits = features @ last.kernel + last.bias
        if logits.shape[1] == 1:
            logits = tf.concat([-logits, logits], axis=1)
        logit = tf.reduce_sum(logits[:, label])  # of all images, none of which affects another's
    weights = tf.reduce_mean(tape.gradient(logit, activations), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * activations, axis=3)).numpy()
    most = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, most, out=np.zeros_like(maps), where=most > 0)


def heat_map(network: keras.Model, info: ModelInfo, image: np.ndarray, class_name: str) -> np.ndarray:
    """The heat map of a photo, uint8 (size, size, 3), for a class of a trained model: float32 (h, w) in 0..1.

    ``network`` may have a second output. Where the prediction is the mean of those for the photo and its horizontal
    flip, so is the map.
    """
    flip = info.settings.get("flip_tta")
    images = PREPROCESSING[info.preprocessing]([image, image[:, ::-1]] if flip else [image])
    maps = grad_cam(keras.Model(network.inputs, network.outputs[0]), images, info.class_names.index(class_name))
    return (maps[0] + maps[1][:, ::-1]) / 2 if flip else maps[0]
