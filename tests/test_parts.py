"""The three parts: what stands on their pages, what they print, what they save, what they change."""

import ast
import json
import re

from conftest import EPOCHS, MODELS, PROJECT, SMALL_PHOTOS, draw, history, run
from report import tensors
from tutorial.files import TEMPORARY
from tutorial.imagenet_weights import LAYERS, read_tensors
from tutorial.model_file import FILES, WeightsFile

import numpy as np
import pytest
from PIL import Image


@pytest.mark.parametrize("part", [0, 1, 2])
def test_the_story_is_on_the_page(part):
    """The layers, compile, fit and the file's name; at most 130 lines, and predict.py at most 170."""
    page = (PROJECT / f"fine_tuning_VGG16_pt{part + 1}.py").read_text(encoding="utf-8")
    layers = ["layers.Conv2D(", "VGG16(weights=imagenet_weights(), include_top=False", 'startswith("block5_")'][part]
    for line in (layers, ".compile(", ".fit(", f'"{MODELS[part]}.weights.h5"', "RECIPES = {"):
        assert re.sub(r"\s", "", line) in re.sub(r"\s", "", page), line
    assert not re.search(r"recipe *==", page)
    assert len(page.splitlines()) <= 130
    assert len((PROJECT / "predict.py").read_text(encoding="utf-8").splitlines()) <= 170


def test_the_tutorials_modules_import_no_script():
    """At no depth: neither at the top of a module nor in a function."""
    scripts = {path.stem for folder in (".", "data", "tools") for path in (PROJECT / folder).glob("*.py")} | {"tools"}
    for path in (PROJECT / "tutorial").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & scripts, path


THIRD = """
import sys
import fine_tuning_VGG16_pt1, fine_tuning_VGG16_pt2, fine_tuning_VGG16_pt3
from tutorial.cli import run
scripts = fine_tuning_VGG16_pt1, fine_tuning_VGG16_pt2, fine_tuning_VGG16_pt3
for script, recipe in zip(scripts, eval(sys.argv.pop(1))):
    script.RECIPES["third"] = recipe
    assert run(script.main) == 0
"""


@pytest.mark.slow
def test_a_third_recipe_is_one_more_block(tmp_path):
    """One that mixes the others' settings: the parts train it, and predict.py reads what they saved."""
    draw(tmp_path / "data" / "train", calico=3, tabby=4)
    draw(tmp_path / "data" / "validation", calico=2, tabby=2)
    common = {"epochs": 1, "batch_size": 4, "dropout": 0.1, "learning_rate": 0.001, "class_weights": True}
    recipes = [
        common | {"network": "batchnorm_convnet", "optimizer": "rmsprop", "augmentation": {"mixup_alpha": 0.2}},
        common | {"optimizer": "adam", "C": 0.1, "preprocessing": "caffe", "image_size": 96}
        | {"pooling": "avg", "out_of_distribution": True},
        common | {"optimizer": "sgd", "momentum": 0.5, "augmentation": {"rotation_range": 9.0}, "cached_copies": 1},
    ]  # fmt: skip
    recipes[2]["steps"] = 3
    del recipes[2]["epochs"]  # 3 steps of 4 photos are 2 epochs of 7
    flags = ["--data", tmp_path / "data", "--recipe", "third", "--weights-dir", tmp_path / "weights"]
    done = run("-c", THIRD, recipes, *flags)
    assert done.returncode == 0, done.stderr
    for model, recipe in zip(MODELS, recipes, strict=True):
        weights = tmp_path / "weights" / f"{model}.weights.h5"
        info = WeightsFile(weights).info
        settings = json.loads(json.dumps(recipe))
        assert info.recipe == "third" and all(info.settings[name] == settings[name] for name in settings
                                              if name != "augmentation")  # fmt: skip
        assert settings.get("augmentation", {}).items() <= info.settings.get("augmentation", {}).items()
    assert info.settings["epochs"] == 2
    done = run("predict.py", tmp_path / "data" / "validation", "--weights", weights, "--json")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 4, done.stderr


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_part_prints_its_data_and_its_scores(trained, part):
    printed = trained.outputs[part]
    assert "train: 7 calico, 12 tabby" in printed
    assert "validation: 12 calico, 5 tabby" in printed  # 4 drawn ones and 8 odd ones
    assert "device: CPU" in printed or "device: GPU" in printed
    assert part != 2 or "VGG16 with top model: 15,239,489 parameters, 7,604,225 of them trained" in printed
    assert printed.count(" - val_loss: ") == EPOCHS[part]
    rows = history(trained.weights, MODELS[part])
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS[part] + 1))
    for prefix, name in (("", "train     "), ("val_", "validation")):
        accuracy, loss = ([row[prefix + what] for row in rows] for what in ("accuracy", "loss"))
        line = next(line for line in printed.splitlines() if line.startswith(f"{name}  last epoch"))
        assert f"last epoch: accuracy {accuracy[-1]:.3f}, loss {loss[-1]:.3f}" in line
        assert f"best: accuracy {max(accuracy):.3f}" in line and f"loss {min(loss):.3f} (" in line
    with Image.open(trained.weights / f"{MODELS[part]}.png") as plot:
        plot.load()
        assert plot.width > 600


def test_a_part_ends_with_the_next_command(trained):
    folders = f" --data {trained.data} --weights-dir {trained.weights}"
    last = [printed.strip().splitlines()[-1] for printed in trained.outputs]
    assert last[0] == f"next: python fine_tuning_VGG16_pt2.py{folders}"
    assert last[1] == f"next: python fine_tuning_VGG16_pt3.py{folders}"
    assert last[2].startswith("next: python predict.py ")


def test_part_1_saves_the_augmentation_preview(trained):
    copies = sorted((trained.weights / "preview").iterdir())
    assert len(copies) == 20
    pixels = [np.asarray(Image.open(copy)) for copy in copies]
    assert all(copy.shape == (150, 150, 3) for copy in pixels)
    assert len({copy.tobytes() for copy in pixels}) == 20
    with Image.open(trained.weights / "preview.png") as sheet:
        assert sheet.width > 7 * 150 and sheet.height > 3 * 150


def test_part_3_changes_block_5_and_nothing_before_it(trained, imagenet_file):
    """After an epoch: blocks 1 to 4 are ImageNet's to the bit, every tensor of block 5 and the top has moved."""
    after = tensors(trained.weights / "fine_tuned_vgg16.weights.h5")
    names = [f"{layer}/{i}" for layer in LAYERS for i in (0, 1)]
    start = dict(zip(names, read_tensors(imagenet_file), strict=True))
    bits = {tensor.tobytes() for tensor in after.values()}
    for name, tensor in start.items():
        assert (tensor.tobytes() in bits) == (not name.startswith("block5_")), name
    shapes = {tensor.shape for tensor in after.values()}
    for name, tensor in tensors(trained.weights / "bottleneck_fc_model.weights.h5").items():
        if name.startswith("layers/"):  # and not the optimizer's, of which part 3 has its own
            assert tensor.shape in shapes and tensor.tobytes() not in bits, name


def test_the_saved_files_explain_themselves(trained):
    for model, epochs in zip(MODELS, EPOCHS, strict=True):
        info = WeightsFile(trained.weights / FILES[model][0]).info
        assert (info.model, info.class_names) == (model, ["calico", "tabby"])
        assert info.image_size == (150 if model == "small_convnet" else SMALL_PHOTOS)
        assert info.photos == {"train": {"calico": 7, "tabby": 12}, "validation": {"calico": 12, "tabby": 5}}
        assert {"epochs": epochs, "batch_size": 5, "seed": 0}.items() <= info.settings.items()
        assert info.settings.get("cached_copies") == (2 if model == "fine_tuned_vgg16" else None)  # no more than epochs
        assert (info.recipe, info.preprocessing) == ("original", "rescale")
        assert (info.temperature, info.rejection_threshold) == (1, 0)
        last = history(trained.weights, model)[-1]
        for name, value in info.scores.items():
            assert last[name] == pytest.approx(value, abs=1e-5)


def test_nothing_temporary_is_left(trained):
    names = [path.name for path in trained.weights.rglob("*")]
    assert not [name for name in names if name.startswith(TEMPORARY) or name.endswith(".checkpoint.npz")]
