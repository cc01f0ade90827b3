"""Shrunk models: what is in the files, that they predict as before; and the models that come with the tutorial."""

import json
import re
import shutil
import subprocess

from conftest import PROJECT, SHARED, draw, run, run_part
from report import tensors
from tutorial.imagenet_weights import read_tensors
from tutorial.model_file import WeightsFile

import numpy as np
import pytest

PRETRAINED = PROJECT / "weights" / "pretrained"
NAMES = ("small_convnet.weights.h5", "fine_tuned_vgg16.weights.h5")


def probabilities(*command):
    done = run("predict.py", *command, "--json")
    assert done.returncode in (0, 2), done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {one["photo"]: (one["class"], one["probability"]) for one in found if "class" in one}


@pytest.mark.parametrize("name", NAMES)
def test_a_shrunk_model_predicts_as_before(trained, predictions, tmp_path, name):
    done = run("tools/shrink_model.py", trained.weights / name, tmp_path / "small ones")
    assert done.returncode == 0, done.stderr
    small = tmp_path / "small ones" / name
    assert re.search(rf"saved .*{name}, [0-9.]+ MB instead of [0-9.]+ MB", done.stdout)
    after = probabilities(trained.data / "validation", "--weights", small)
    before = predictions[name.removesuffix(".weights.h5")]
    assert after.keys() == {one["photo"] for one in before} and len(before) > 10
    for one in before:
        name, probability = after[one["photo"]]
        assert probability == pytest.approx(one["probability"], abs=0.01)
        assert name == one["class"] or one["probability"] < 0.51


def test_a_shrunk_model_holds_only_what_was_trained(trained, tmp_path):
    """Block 5 and the original recipe's top model, 7,604,225 numbers of two bytes; none of ImageNet's."""
    assert run("tools/shrink_model.py", trained.weights / NAMES[1], tmp_path).returncode == 0
    held = tensors(tmp_path / NAMES[1])
    assert {one.dtype for one in held.values()} == {np.dtype(np.float16)}
    assert sum(one.size for one in held.values()) == 7_604_225
    assert (tmp_path / NAMES[1]).stat().st_size < 2 * 7_604_225 + 100_000
    full, part = WeightsFile(trained.weights / NAMES[1]).info, WeightsFile(tmp_path / NAMES[1]).info
    assert (
        part.half_precision
        and not full.half_precision
        and (part.scores, part.class_names) == (full.scores, full.class_names)
    )


def test_what_cannot_be_shrunk_gets_a_sentence(trained, tmp_path, sentence):
    top = trained.weights / "bottleneck_fc_model.weights.h5"
    assert str(top) in sentence(run("tools/shrink_model.py", top, tmp_path))
    improved = shutil.copy(trained.weights / NAMES[0], tmp_path)
    assert "would be overwritten" in sentence(run("tools/shrink_model.py", improved, trained.weights))


@pytest.mark.parametrize("part", [1, 2, 3])
def test_no_part_saves_where_the_tutorials_own_models_are(trained, sentence, part):
    before = {path: path.stat().st_mtime_ns for path in PRETRAINED.iterdir()}
    assert "come with the tutorial" in sentence(run_part(part, trained.data, PRETRAINED))
    assert {path: path.stat().st_mtime_ns for path in PRETRAINED.iterdir()} == before


def test_the_pretrained_files_are_small_and_hold_no_more_than_they_should(imagenet_file):
    assert sum(path.stat().st_size for path in PRETRAINED.iterdir()) < 25e6
    block5 = read_tensors(imagenet_file)[20:]
    held = tensors(PRETRAINED / NAMES[1])
    kernels = [one for one in held.values() if one.shape == (3, 3, 512, 512)]
    assert len(kernels) == 3
    for kernel in kernels:  # each is near one of ImageNet's, and not the same
        distances = [np.abs(kernel - one).mean() / np.abs(one).mean() for one in block5[::2]]
        assert 1e-4 < min(distances) < 0.5


@pytest.fixture(scope="module")
def fresh(tmp_path_factory, imagenet_file):
    """The project as it is after make setup: nothing trained."""
    folder = tmp_path_factory.mktemp("fresh") / "main"
    here = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )
    if not any(here):
        pytest.skip("not a git checkout")
    for name in filter(None, here):
        if not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    (folder / "weights" / imagenet_file.name).symlink_to(imagenet_file)
    draw(folder / "photos", calico=1, tabby=1)
    return folder


def test_a_photo_is_predicted_before_anything_is_trained(fresh):
    done = run(fresh / "predict.py", fresh / "photos", folder=fresh, env={"PYTHONPATH": str(fresh)})
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert (
        "pretrained" in first
        and "fine_tuned_vgg16 for calico or tabby" in first
        and "; it came with the tutorial" in first
    )
    assert len(lines) == 2 and all(re.search(r"(calico|tabby)\??:? \(\d+\.\d%\)", one) for one in lines)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_pretrained_models_are_about_as_accurate_as_their_model_card(name):
    """On every eighth validation photo; benchmarks/pretrained.py has them all."""
    photos = sorted((SHARED / "calico_tabby" / "validation").rglob("*.jpg"))[::8]
    found = probabilities(*photos, "--weights", PRETRAINED / name)
    right = [f"/{name}/" in photo.replace("\\", "/") for photo, (name, _) in found.items()]
    card = WeightsFile(PRETRAINED / name).info.scores["val_accuracy"]
    assert len(right) == 10 and np.mean(right) == pytest.approx(card, abs=0.2)
