"""Runs that are killed, stopped, doubled or short of disk: real processes, signals and file systems.

A run that was killed must end with the bits of one that was not.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

from conftest import EPOCHS, MODELS, Command, history, part_command, posix, run_part, wait_for
from report import tensors
from tutorial.augmentation import Features
from tutorial.backend import keras
from tutorial.checkpoint import Checkpoint
from tutorial.cli import TutorialError
from tutorial.dataset import Photos
from tutorial.files import TEMPORARY

import numpy as np
import pytest
from PIL import Image


def epochs_done(folder: Path, model: str, least: int) -> Callable[[], bool]:
    """Whether so many epochs are saved."""

    def happened() -> bool:
        try:
            with np.load(folder / f"{model}.checkpoint.npz") as file:
                return len(json.loads(str(file["metadata"]))["history"]["loss"]) >= least
        except FileNotFoundError:
            return False

    return happened


def debris(folder: Path) -> list[str]:
    names = [path.name for path in folder.rglob("*")]
    return [name for name in names if name.startswith(TEMPORARY) or name.endswith(".checkpoint.npz")]


@pytest.mark.parametrize("part", [1, *(pytest.param(part, marks=pytest.mark.slow) for part in (2, 3))])
def test_a_killed_part_resumes_and_ends_with_the_same_bits(trained, tmp_path, part):
    """Killed in a pass through VGG16, which is repeated, and before the last epoch; then not."""
    model = MODELS[part - 1]
    flags = ["--epochs", EPOCHS[part - 1]]
    moments = [epochs_done(tmp_path, model, EPOCHS[part - 1] - 1)]
    if part == 3:
        shutil.copy(trained.weights / "bottleneck_fc_model.weights.h5", tmp_path)
    if part > 1:  # the cache of the training photos is being written
        moments.insert(0, lambda: any((tmp_path / "activations").glob(f"{TEMPORARY}*_train*")))
    for happened in moments:
        process = Command(*part_command(part, trained.data, tmp_path, *flags))
        wait_for(process, happened)
        process.kill()
        process.communicate()
        assert not (tmp_path / f"{model}.weights.h5").exists()
    done = run_part(part, trained.data, tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert f"resuming the interrupted run in {tmp_path / model}.checkpoint.npz" in done.stdout
    first, again = (tensors(folder / f"{model}.weights.h5") for folder in (trained.weights, tmp_path))
    assert first.keys() == again.keys()
    assert all(np.array_equal(first[key], again[key]) for key in first)
    assert not debris(tmp_path)


@pytest.mark.slow
def test_batch_normalization_and_a_decaying_learning_rate_are_resumed_too(trained, tmp_path):
    """Killed once, against a run that was not."""
    flags = ["--recipe", "improved", "--epochs", 3]
    assert run_part(1, trained.data, tmp_path / "whole", *flags).returncode == 0
    process = Command(*part_command(1, trained.data, tmp_path / "cut", *flags))
    wait_for(process, epochs_done(tmp_path / "cut", MODELS[0], 2))
    process.kill()
    process.communicate()
    assert run_part(1, trained.data, tmp_path / "cut", *flags).returncode == 0
    first, again = (tensors(tmp_path / name / f"{MODELS[0]}.weights.h5") for name in ("whole", "cut"))
    assert all(np.array_equal(first[key], again[key]) for key in first)


@posix
def test_two_at_once_ctrl_c_other_settings_and_restart(trained, tmp_path, sentence):
    weights = tmp_path / "weights"
    process = Command(*part_command(1, trained.data, weights, "--epochs", 500))
    wait_for(process, epochs_done(weights, MODELS[0], 1))

    line = sentence(run_part(1, trained.data, weights, "--epochs", 500))
    assert "another run is using" in line and str(weights) in line and "another folder" in line

    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    command = " ".join(["python", *part_command(1, trained.data, weights, "--epochs", 500)])
    assert process.poll() == 130 and printed.strip() == f"stopped; the same command resumes: {command}"
    kept = (weights / f"{MODELS[0]}.checkpoint.npz").read_bytes()

    data = tmp_path / "data"
    shutil.copytree(trained.data, data)
    Image.new("RGB", (60, 60), "red").save(data / "train" / "calico" / "calico0.jpg")
    line = sentence(run_part(1, data, weights, "--epochs", 1))
    for word in (f"{MODELS[0]}.checkpoint.npz", "epochs (500, now 1)", "training photos", "--restart"):
        assert word in line
    assert "validation photos" not in line and "seed" not in line
    assert (weights / f"{MODELS[0]}.checkpoint.npz").read_bytes() == kept

    done = run_part(1, data, weights, "--epochs", 1, "--restart")
    assert done.returncode == 0 and len(history(weights, MODELS[0])) == 1 and "resuming" not in done.stdout
    assert not debris(weights)


def test_with_a_damaged_checkpoint_a_run_starts_again(trained, tmp_path):
    """And the temporary files of the run that had the lock are removed, but not those of another program."""
    whole = (trained.weights / "bottleneck_fc_model.weights.h5").read_bytes()
    for folder in (tmp_path, tmp_path / "preview"):
        folder.mkdir(exist_ok=True)
        for mark in ("0123abcd", "4567abcd"):
            (folder / f"{TEMPORARY}{mark}-x-a.png").write_bytes(whole[:100])
    (tmp_path / ".lock").write_text("0123abcd\n")
    damaged = tmp_path / f"{MODELS[0]}.checkpoint.npz"
    np.savez(damaged, metadata="{}")
    directory = damaged.read_bytes().rindex(b"PK\1\2")
    with open(damaged, "rb+") as file:  # the method by which it is compressed, which becomes one that there is not
        file.seek(directory + 10)
        file.write(b"\x55")
    done = run_part(1, trained.data, tmp_path, "--epochs", 2)
    assert done.returncode == 0 and "is damaged: starting again" in done.stdout
    assert debris(tmp_path) == [f"{TEMPORARY}4567abcd-x-a.png"] * 2


def test_a_loss_that_is_not_finite_stops_the_run_and_overwrites_nothing(trained, tmp_path, sentence):
    shutil.copy(trained.weights / "bottleneck_fc_model.weights.h5", tmp_path)
    shutil.copytree(trained.weights / "activations", tmp_path / "activations")
    [cache] = (tmp_path / "activations").glob("bottleneck_features_train*.npy")
    content = BytesIO()
    np.save(content, np.full_like(np.load(cache), 3e38))  # sums of these are beyond float32
    cache.write_bytes(content.getvalue() + sha256(content.getvalue()).digest())
    weights = tmp_path / "bottleneck_fc_model.weights.h5"
    before = weights.read_bytes()
    done = run_part(2, trained.data, tmp_path, "--epochs", 5)
    assert all(f"reusing the bottleneck features of {split}" in done.stdout for split in ("train", "validation"))
    line = sentence(done)
    assert "the loss is nan in epoch 1" in line and "learning_rate" in line
    assert weights.read_bytes() == before and not debris(tmp_path)


def test_a_model_that_predicts_one_class_gets_a_warning(trained, tmp_path):
    """One class's training photos are ten times the other's, and an epoch is not enough to learn more."""
    for split, counts in (("train", {"a": 1, "b": 12}), ("validation", {"a": 2, "b": 2})):
        for name, count in counts.items():
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                color = (i, 90 + (name == "b"), 90 + (split == "train"))  # no two photos are the same
                Image.new("RGB", (60, 60), color).save(tmp_path / split / name / f"{i}.png")
    done = run_part(1, tmp_path, tmp_path / "weights", "--epochs", 1)
    assert done.returncode == 0 and "the model predicts b for every validation photo" in done.stdout


@pytest.fixture
def disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system in memory with the options given; skips where that is not allowed."""
    point = tmp_path / "disk"
    point.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("file systems cannot be mounted here")
        return point

    yield mount
    if os.path.ismount(point):
        subprocess.run(["umount", str(point)], check=True)


def test_a_full_disk_is_a_sentence_and_leaves_what_was_there(trained, disk, sentence):
    """Room for the preview and the plots, not for the weights."""
    weights = disk("size=3m")
    old = weights / "small_convnet.weights.h5"
    old.write_bytes(b"old")
    done = run_part(1, trained.data, weights, "--epochs", 2)
    assert "there is no checkpoint of this epoch to resume from" in done.stdout
    line = sentence(done)
    assert str(old) in line and "could not be written" in line
    assert old.read_bytes() == b"old" and not debris(weights)


@pytest.mark.parametrize("part", [1, 2, 3])
def test_a_folder_that_may_not_be_written_to(trained, disk, sentence, part):
    weights = disk("size=20m")
    if part == 3:
        shutil.copy(trained.weights / "bottleneck_fc_model.weights.h5", weights)
    before = sorted(weights.iterdir())
    subprocess.run(["mount", "-o", "remount,ro", str(weights)], check=True)
    assert str(weights) in sentence(run_part(part, trained.data, weights, "--epochs", 1))
    assert sorted(weights.iterdir()) == before


def test_a_checkpoint_belongs_to_its_photos_and_to_part_2s_model(tmp_path):
    """Each of the three digests alone makes another run of it."""
    args = SimpleNamespace(recipe="original", seed=0, restart=False, begun=time.monotonic())
    labels = Photos(tmp_path, ("a", "b"), [], np.float32([0, 1, 0, 1]))

    def features(value):
        return Features(np.full((4, 3), value, np.float32), labels, 2)

    def checkpoint(train, validation, top):
        data = features(train), features(validation), [np.float32([top])]
        return Checkpoint(tmp_path / "a.weights.h5", args, SimpleNamespace(epochs=3), *data)

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(loss="binary_crossentropy", optimizer="sgd", metrics=["accuracy"])
    model.fit(features(1), validation_data=features(2), verbose=0, callbacks=[checkpoint(1, 2, 3)])
    assert checkpoint(1, 2, 3).epochs_done == 1
    kept = (tmp_path / "a.checkpoint.npz").read_bytes()
    (tmp_path / "a.checkpoint.npz").write_bytes(kept[: len(kept) // 2])
    assert checkpoint(1, 2, 3).epochs_done == 0  # cut off
    (tmp_path / "a.checkpoint.npz").write_bytes(kept)
    others = {"training photos": (9, 2, 3), "validation photos": (1, 9, 3), "part 2's model": (1, 2, 9)}
    for name, values in others.items():
        with pytest.raises(TutorialError, match=rf"from a run with different {name}\. Use the same"):
            checkpoint(*values)
