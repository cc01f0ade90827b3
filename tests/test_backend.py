"""Keras and TensorFlow as the tutorial loads them."""

import json

from conftest import history, run
from report import tensors

import numpy as np


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


def test_the_environment_and_old_settings_of_keras_change_nothing(trained, tmp_path):
    """Limits that end every fit early, and a keras.json with another epsilon, layout and precision."""
    settings = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1, "backend": "jax"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    env = {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "1", "KERAS_HOME": str(tmp_path)}
    flags = ["--epochs", 2, "--weights-dir", tmp_path, "--batch-size", 5]
    done = run("fine_tuning_VGG16_pt1.py", "--data", trained.data, *flags, env=env)
    assert done.returncode == 0, done.stderr
    first, again = (tensors(folder / "small_convnet.weights.h5") for folder in (trained.weights, tmp_path))
    assert len(history(tmp_path, "small_convnet")) == 2
    assert all(np.array_equal(first[key], again[key]) for key in first)


def test_settings_that_keras_refuses_get_a_sentence(tmp_path, sentence):
    (tmp_path / "keras.json").write_text('{"image_data_format": "tf"}')
    line = sentence(run("-c", "import tutorial.backend", env={"KERAS_HOME": str(tmp_path)}))
    assert "keras.json" in line and "remove it" in line
