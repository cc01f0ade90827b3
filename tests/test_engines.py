"""benchmarks/engines.py: every engine that is installed computes plain Keras's features, each in its own process."""

import re
from importlib.util import find_spec

from conftest import draw, run
from engines import ENGINES, TOLERANCE, export, features, keras
from report import picture
from tutorial.images import caffe

import numpy as np
import pytest

pytestmark = pytest.mark.slow

PACKAGES = {"PyTorch": "torchvision", "ONNX Runtime": "onnxruntime", "OpenVINO": "openvino"}
SHAPE = (2, 64, 64, 3)
ALONE = {"KERAS_BACKEND": "tensorflow"}  # in a new Python: PyTorch and TensorFlow do not get on in one process


@pytest.fixture(scope="module")
def folder(imagenet_file, tmp_path_factory):
    """Images, and plain Keras's features of them."""
    folder, photo = tmp_path_factory.mktemp("engines"), np.asarray(picture(64, 64))
    images = np.ascontiguousarray(caffe([photo, photo[::-1]]))
    found = keras(SHAPE, folder)(images)
    assert np.abs(found - found[::-1]).max() > 0.1 * found.max()  # they tell photos apart
    np.save(folder / "images-64.npy", images)
    np.save(folder / "features-64.npy", found)
    if find_spec("tf2onnx"):
        export(SHAPE, folder)
    return folder


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "Keras"])
def test_the_features_are_plain_keras(folder, name):
    if not find_spec(PACKAGES.get(name, "keras")):
        pytest.skip(f"{PACKAGES[name]} is not installed")
    flags = ("--engine", name, "--folder", folder, "--size", 64, "--seconds", 0)
    done = run("benchmarks/engines.py", "features", *flags, env=ALONE)
    assert done.returncode == 0, done.stderr
    assert float(re.fullmatch(r"64 px: [\d.]+ photos/s, error (\S+)\n", done.stdout)[1]) < TOLERANCE


def test_other_features_are_refused(tmp_path, monkeypatch):
    for name in ("images-64", "features-64"):
        np.save(tmp_path / f"{name}.npy", np.ones((1, 2, 2, 512), np.float32))
    monkeypatch.setitem(ENGINES, "ours", lambda shape, folder: lambda images: images * np.float32(1.002))
    with pytest.raises(SystemExit, match=r"ours at 64 px: the features differ from Keras's by 2\.0e-03"):
        features("ours", 64, tmp_path, 0)


def test_pytorchs_network_is_part_1s(tmp_path):
    if not find_spec("torchvision"):
        pytest.skip("torchvision is not installed")
    for split in ("train", "validation"):
        draw(tmp_path / split, calico=2, tabby=2)
    done = run("benchmarks/engines.py", "train", 1, "--data", tmp_path, "--epochs", 1, env=ALONE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1,212,513 parameters\nepoch 1/1 - loss: 0.")  # as fine_tuning_VGG16_pt1.py prints
