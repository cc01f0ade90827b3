"""Keras and TensorFlow as the tutorial loads them."""

from conftest import run


def test_what_keras_is_loaded_without_can_be_loaded_after_it():
    """And garbage is collected again."""
    code = """
import gc, sys
from tutorial.backend import keras
assert gc.isenabled() and "sklearn" not in sys.modules
import matplotlib.pyplot, sklearn.metrics
assert sklearn.metrics.roc_auc_score([0, 1], [0.2, 0.7]) == 1 and matplotlib.pyplot.figure()
print(keras.backend.backend(), keras.config.image_data_format(), keras.config.floatx())
"""
    done = run("-c", code, env={"MPLBACKEND": "Agg"})
    assert done.stdout.split() == ["tensorflow", "channels_last", "float32"], done.stderr
