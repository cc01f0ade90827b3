"""Several GPUs, as far as they can be tested without one: two logical CPU devices that share every batch."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

from conftest import MODELS, PROJECT, draw, history, part_command, run, wait_for
from report import tensors
from test_checkpoint import debris, epochs_done
from tutorial import augmentation, devices
from tutorial.augmentation import Features
from tutorial.dataset import Photos

import numpy as np
import pytest

# Runs a part on two logical CPU devices, as if they were GPUs; cached activations, which need no GPU, are used.
DRIVER = """
import runpy, sys
from tutorial import devices
from tutorial.backend import tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
devices.gpus = lambda: ["CPU:0", "CPU:1"]
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ON_TWO = ["-c", DRIVER]
AS_GPUS = {"TF_ENABLE_ONEDNN_OPTS": "0"}  # oneDNN, which GPUs do not use, refuses a share of no photos
USED = "2 of 2 GPUs are used, with equal shares of each batch of 4 photos"
# Without dropout: each device draws the random numbers of its own share, so they differ from those of one device.
COMMON = ["--batch-size", 4, "--epochs", 2, "--set", "dropout=0.0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """16 training photos; 9 for validation: the last is a batch of its own, of which the second device gets nothing."""
    folder = tmp_path_factory.mktemp("devices") / "data"
    draw(folder / "train", calico=7, tabby=9)
    draw(folder / "validation", calico=4, tabby=5)
    return folder


def train(part: int, data: Path, weights: Path, *flags: object, two: bool = False) -> str:
    done = run(*ON_TWO * two, *part_command(part, data, weights, *flags), env=AS_GPUS)
    assert done.returncode == 0, done.stderr
    assert (USED in done.stdout) == two
    return done.stdout


def compare(part: int, data: Path, weights: Path, *flags: object) -> list[str]:
    """Run a part on one device and on two: the same history within 1e-4 and weights within 1e-3; what they printed."""
    model, folders = MODELS[part - 1], [weights / "one", weights / "two"]
    with ThreadPoolExecutor() as pool:
        printed = list(pool.map(lambda folder: train(part, data, folder, *flags, two=folder.name == "two"), folders))
    rows = [[list(row.values()) for row in history(folder, model)] for folder in folders]
    assert len(rows[0]) == 2
    np.testing.assert_allclose(*rows, rtol=0, atol=1e-4)
    first, second = (tensors(folder / f"{model}.weights.h5") for folder in folders)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=0, atol=1e-3, err_msg=name)
    return printed


# The improved recipe takes smaller steps here: Adam's first ones have the full length whatever the gradient's, so that
# its sign, where it is all but zero, is a matter of rounding.
@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--recipe", "improved", "--set", "learning_rate=0.00005"]])
def test_part_1_on_two_devices_is_part_1_on_one(data, tmp_path, flags):
    """With batch normalization over both devices' photos and class weights, too."""
    compare(1, data, tmp_path, *COMMON, *flags)


@pytest.mark.slow
def test_part_3_on_two_devices_is_part_3_on_one(data, tmp_path):
    """With cached activations, which one device computes; each folder has its own."""
    train(2, data, tmp_path / "one", *COMMON)
    (tmp_path / "two").mkdir()
    shutil.copy(tmp_path / "one" / "bottleneck_fc_model.weights.h5", tmp_path / "two")
    _, printed = compare(3, data, tmp_path, *COMMON)
    assert "block 4's activations of train, copy 2 of 2" in printed
    one, two = (sorted((tmp_path / name / "activations").glob("block4_*")) for name in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two] and len(one) == 3
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))


@pytest.mark.slow
def test_a_run_on_two_devices_that_was_killed_ends_with_the_same_bits(data, tmp_path, sentence):
    """With dropout and batch normalization; 17 photos, so that the last batch is filled up."""
    draw(tmp_path / "data" / "train", calico=8, tabby=9)
    shutil.copytree(data / "validation", tmp_path / "data" / "validation")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    flags = ["--recipe", "improved", "--batch-size", 4, "--epochs", 2]
    train(1, tmp_path / "data", whole, *flags, two=True)
    command = part_command(1, tmp_path / "data", cut, *flags)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    env = {**os.environ, **AS_GPUS}
    process = subprocess.Popen([sys.executable, *ON_TWO, *command], cwd=PROJECT, env=env, text=True, **pipes)
    wait_for(process, epochs_done(cut, MODELS[0], 1))
    process.kill()
    process.communicate()
    assert "from a run with different devices (2, now 1). Use the same" in sentence(run(*command))
    assert "resuming the interrupted run" in train(1, tmp_path / "data", cut, *flags, two=True) and not debris(cut)
    assert history(whole, MODELS[0]) == history(cut, MODELS[0])
    first, again = (tensors(folder / f"{MODELS[0]}.weights.h5") for folder in (whole, cut))
    assert first.keys() == again.keys() and all(np.array_equal(first[key], again[key]) for key in first)
    assert all(np.isfinite(value).all() for value in first.values())


@pytest.mark.parametrize(
    ("names", "batch_size", "used"), [(0, 16, None), (1, 16, None), (3, 16, 2), (4, 16, 4), (3, 5, None)]
)
def test_no_more_gpus_are_used_than_divide_the_batch(monkeypatch, capsys, names, batch_size, used):
    gpus, chosen = [f"GPU:{i}" for i in range(names)], []
    tf = SimpleNamespace(MirroredStrategy=lambda gpus: gpus, experimental_set_strategy=chosen.append)
    monkeypatch.setattr(devices, "gpus", lambda: gpus)
    monkeypatch.setattr(devices, "tf", SimpleNamespace(distribute=tf))
    devices.share_batches(batch_size)
    assert chosen == ([gpus[:used]] if used else [])
    assert capsys.readouterr().out.startswith(f"{used or 1} of {names} GPUs are used" if names > 1 else "")


def test_the_last_batch_of_an_epoch_gives_every_gpu_the_same_number_of_photos(monkeypatch, tmp_path):
    """4 GPUs, batches of 8: 8, 8, 5 photos and the epoch's first 3; for validation 5."""
    photos = Photos(tmp_path, ("a", "b"), [], np.float32([0, 1, 1] * 7))
    inputs = np.arange(21.0)
    monkeypatch.setattr(augmentation, "replicas", lambda: 4)
    data, validation = Features(inputs, photos, 8, seed=0), Features(inputs, photos, 8)
    for epoch in (0, 1):
        data.set_epoch(epoch)
        batches = [data[i] for i in range(len(data))]
        shown = np.concatenate([batch for batch, _ in batches])
        assert [len(batch) for batch, _ in batches] == [8, 8, 8]
        assert sorted(shown[:21]) == list(inputs) and list(shown[21:]) == list(shown[:3])
        for batch, labels in batches:
            np.testing.assert_array_equal(labels, photos.labels[batch.astype(int)])
    assert [len(validation[i][0]) for i in range(len(validation))] == [8, 8, 5]
