"""The three parts as run from the shell: what they print, what they save, what they change."""

import numpy as np
import pytest
from conftest import MODELS, history, run_part, tensors
from PIL import Image

from tutorial.imagenet import LAYERS, imagenet_weights

EPOCHS = [2, 5, 1]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_part_tells_what_it_found_and_how_it_went(trained, part):
    printed = trained.outputs[part]
    assert "train: 7 calico, 12 tabby" in printed
    assert "validation: 12 calico, 5 tabby" in printed  # 4 drawn ones and 8 odd ones
    assert "device: CPU" in printed or "device: GPU" in printed
    assert f"epoch {EPOCHS[part]}/{EPOCHS[part]}" in printed and " left)" in printed
    rows = history(trained.weights, MODELS[part])
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS[part] + 1))
    for prefix, name in (("", "train     "), ("val_", "validation")):
        accuracy, loss = ([row[prefix + what] for row in rows] for what in ("accuracy", "loss"))
        line = next(line for line in printed.splitlines() if line.startswith(f"{name}  final"))
        assert f"final: accuracy {accuracy[-1]:.3f}, loss {loss[-1]:.3f}" in line
        assert f"best: accuracy {max(accuracy):.3f}" in line and f"loss {min(loss):.3f} (" in line
    with Image.open(trained.weights / f"{MODELS[part]}.png") as plot:
        plot.load()
        assert plot.width > 600


def test_a_part_ends_with_the_next_command(trained):
    places = f" --data {trained.data} --weights-dir {trained.weights}"
    last = [printed.strip().splitlines()[-1] for printed in trained.outputs]
    assert last[0] == f"next: python fine_tuning_VGG16_pt2.py{places}"
    assert last[1] == f"next: python fine_tuning_VGG16_pt3.py{places}"
    assert last[2].startswith("next: python predict.py ")


def test_part_1_saves_the_augmentation_preview(trained):
    views = sorted((trained.weights / "preview").iterdir())
    assert len(views) == 20
    pixels = [np.asarray(Image.open(view)) for view in views]
    assert all(view.shape == (150, 150, 3) for view in pixels)
    assert len({view.tobytes() for view in pixels}) == 20
    with Image.open(trained.weights / "preview.png") as sheet:
        assert sheet.width > 7 * 150 and sheet.height > 3 * 150


def test_part_3_changes_block_5_and_nothing_before_it(trained):
    """After an epoch: blocks 1 to 4 are ImageNet's to the bit, every tensor of block 5 and the top has moved."""
    after = tensors(trained.weights / "fine_tuned_vgg16.weights.h5")
    start = dict(zip([f"{layer}/{i}" for layer in LAYERS for i in (0, 1)], imagenet_weights(), strict=True))
    bits = {tensor.tobytes() for tensor in after.values()}
    for name, tensor in start.items():
        assert (tensor.tobytes() in bits) == (not name.startswith("block5_")), name
    shapes = {tensor.shape for tensor in after.values()}
    for name, tensor in tensors(trained.weights / "bottleneck_fc_model.weights.h5").items():
        if name.startswith("layers/"):  # and not the optimizer's, of which part 3 has its own
            assert tensor.shape in shapes and tensor.tobytes() not in bits, name


def test_the_saved_files_explain_themselves(trained):
    from tutorial.model_file import FILES, read_info

    for model, epochs in zip(MODELS, EPOCHS, strict=True):
        about = read_info(trained.weights / FILES[model][0])
        assert (about.model, about.class_names, about.image_size) == (model, ["calico", "tabby"], 150)
        assert about.photos == {"train": {"calico": 7, "tabby": 12}, "validation": {"calico": 12, "tabby": 5}}
        assert {"epochs": epochs, "batch_size": 5, "seed": 0}.items() <= about.settings.items()
        assert about.settings.get("views") == (1 if model == "fine_tuned_vgg16" else None)  # no more than epochs
        assert (about.recipe, about.preprocessing) == ("tutorial", "rescale 1/255")
        assert (about.temperature, about.offsets, about.unsure_below) == (1, [], 0)
        last = history(trained.weights, model)[-1]
        for name, value in about.scores.items():
            assert last[name] == pytest.approx(value, abs=1e-5)


def test_nothing_half_written_is_left(trained):
    assert not [
        path
        for path in trained.weights.rglob("*")
        if path.name.startswith(".writing") or path.name.endswith(".unfinished")
    ]


def test_part_2_says_that_it_reuses_the_features(trained):
    done = run_part(2, trained.data, trained.weights, "--epochs", 5)
    assert "reusing the features of 19 photos" in done.stdout and "reusing the features of 17 photos" in done.stdout
