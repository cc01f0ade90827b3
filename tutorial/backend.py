"""Keras on TensorFlow, loaded without the start-up notices that TensorFlow writes whatever its log level."""

import ctypes
import gc
import os
import platform
import sys

from tutorial.cli import silent_libraries

os.environ["KERAS_BACKEND"] = "tensorflow"  # the parts are written for it; both must be set before the import
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # faster; TensorFlow's default only with AVX-512

# A step's large arrays are returned to the system at its end and requested again, page by page, at the next one. The C
# library of Linux keeps them instead when told to: no mapping of its own for a large array (M_MMAP_MAX), no trimming
# (M_TRIM_THRESHOLD), and one pool for all threads (M_ARENA_MAX). benchmarks/speed.md has what all this saves.
if platform.libc_ver()[0] == "glibc":
    for parameter, value in ((-4, 0), (-1, 2**31 - 1), (-8, 1)):
        ctypes.CDLL(None).mallopt(parameter, value)

gc.disable()  # the import makes tens of thousands of objects that stay: there is no garbage to find
hide_sklearn = "sklearn" not in sys.modules  # Keras would import it, where it is installed, for wrappers not used here
if hide_sklearn:
    sys.modules["sklearn"] = None  # type: ignore[assignment]
for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):  # they would end every fit early
    os.environ.pop(name, None)
try:
    with silent_libraries():  # the notices come from C++, before any Python setting reaches it
        import keras
        import tensorflow as tf
except (AssertionError, ValueError) as error:  # settings of an old version of Keras
    print(f"error: Keras cannot be loaded with the settings in its keras.json ({error}): remove it.", file=sys.stderr)
    sys.exit(2)
if hide_sklearn:
    del sys.modules["sklearn"]
gc.freeze()  # what exists now is not examined again
gc.enable()

tf.get_logger().setLevel("ERROR")  # its warnings are about speed where a network is called once
keras.config.set_image_data_format("channels_last")  # whatever is in the reader's ~/.keras/keras.json
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)

__all__ = ["keras", "tf"]
