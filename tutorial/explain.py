"""Which places of a photo spoke for a class: Grad-CAM (R. Selvaraju et al., Grad-CAM, 2017).

The last convolution still knows where in the photo it sees something; the layers after it forget. Each of its channels
counts as much as the class's logit would grow if the channel were a little stronger everywhere, and a place is warm
where the channels that count are strong. The logit and not the probability, whose slope is nothing once it is near 1.
"""

from collections.abc import Iterator

import numpy as np

from tutorial.backend import keras, tf

layers = keras.layers


def _in_order(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers that a photo goes through one after the other, those of a network in the network too.

    Where the network looks twice, those of the look at the enlarged photo, in which places are finer.
    """
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from _in_order(layer)
        elif not isinstance(layer, (layers.InputLayer, layers.Average)):  # the average is that of both looks
            yield layer


def grad_cam(network: keras.Model, inputs: np.ndarray, label: int) -> np.ndarray:
    """Which places of photos spoke for a class.

    Args:
        network: from ``networks.load_network``, say: one layer after the other, a Dense layer the last.
        inputs: photos, float32 (n, size, size, 3), preprocessed.
        label: which class, 0, 1 ... A sigmoid's logit speaks for the second of two classes, and against the first.

    Returns:
        float32, (n, h, w): one number for each place of the last convolution's output, after its normalization and
        ReLU. 1 is the place of its photo that spoke most for the class, 0 one that did not; all are 0 where none did.
    """
    chain = list(_in_order(network))
    end = 1 + max(i for i, layer in enumerate(chain) if isinstance(layer, layers.Conv2D))
    while isinstance(chain[end], (layers.BatchNormalization, layers.ReLU)):
        end += 1
    seen = tf.convert_to_tensor(inputs)
    for layer in chain[:end]:
        seen = layer(seen)
    *between, last = chain[end:]
    with tf.GradientTape() as tape:
        tape.watch(seen)
        features = seen
        for layer in between:
            features = layer(features)
        logits = features @ last.kernel + last.bias
        if logits.shape[1] == 1:
            logits = tf.concat([-logits, logits], axis=1)
        logit = tf.reduce_sum(logits[:, label])  # of all photos, none of which has a say in another's
    weights = tf.reduce_mean(tape.gradient(logit, seen), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * seen, axis=3)).numpy()
    most = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, most, out=np.zeros_like(maps), where=most > 0)
