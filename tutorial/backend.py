"""Keras on TensorFlow, loaded without the start-up notices that TensorFlow writes whatever its log level."""

import ctypes
import gc
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tutorial.cli import silent_libraries

os.environ["KERAS_BACKEND"] = "tensorflow"  # the parts are written for it; both must be set before the import
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A step's large arrays go back to the system at its end and come anew, page by page, at the next one: a tenth of part
# 1's time. Linux's C library keeps them instead when told to: no mapping of its own for a large array (M_MMAP_MAX), no
# trimming (M_TRIM_THRESHOLD), and one pool for all threads (M_ARENA_MAX).
if platform.libc_ver()[0] == "glibc":
    for parameter, value in ((-4, 0), (-1, 2**31 - 1), (-8, 1)):
        ctypes.CDLL(None).mallopt(parameter, value)


@contextmanager
def _quick_start() -> Iterator[None]:
    """Imports in here are faster, by a third and more.

    Tens of thousands of objects come and stay, so looking for garbage among them finds none; and Keras would load two
    large packages, where they are installed, for wrappers and pictures that nothing here uses.
    """
    unused = [name for name in ("sklearn", "matplotlib") if name not in sys.modules]
    collected = gc.isenabled()
    gc.disable()
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]  # None: to be taken as not installed
    try:
        yield
    finally:
        for name in unused:
            del sys.modules[name]
        if collected:
            gc.enable()
        gc.freeze()  # what is there now is not looked at again


with _quick_start(), silent_libraries():  # the notices come from C++, before any Python setting reaches it
    import keras
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")  # its warnings are about speed where a network is asked once
keras.config.set_image_data_format("channels_last")  # whatever the reader's ~/.keras/keras.json says
keras.config.set_floatx("float32")

__all__ = ["keras", "tf"]
