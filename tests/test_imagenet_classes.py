"""predict.py --imagenet: the full VGG16 and its class list from a web server on loopback, and what goes wrong there.

The network is a stand-in of the real one's layout, nearly all zeros, so that its answers can be computed by hand.
"""

import hashlib
import json
import math
import os

import h5py
import numpy as np
import pytest
from conftest import PROJECT, run
from PIL import Image

from tutorial import imagenet_classes
from tutorial.backend import keras
from tutorial.imagenet import LAYERS

NETWORK, CLASSES = imagenet_classes.NETWORK[0], imagenet_classes.CLASSES[0]
NOWHERE = "http://127.0.0.1:9"  # the discard port, where nothing answers
SIZES = [64, 64, 128, 128, *[256] * 3, *[512] * 6]
DENSE = {"fc1": (7 * 7 * 512, 4096), "fc2": (4096, 4096), "predictions": (4096, 1000)}
GRASS, SKY, LIPS = 3, 5, 7  # classes
RED = 255 - 123.68  # what a red photo is to VGG16, less ImageNet's mean

# python -c PREDICT url md5-of-the-network md5-of-the-classes flags: what "python predict.py flags" does.
PREDICT = """
import sys
import predict
from tutorial import command_line, imagenet_classes
url, *checks = sys.argv[1:4]
for which, md5 in zip(("NETWORK", "CLASSES"), checks):
    name = getattr(imagenet_classes, which)[0]
    setattr(imagenet_classes, which, (name, f"{url}/{name}", md5))
sys.argv[1:4] = []
sys.exit(command_line.run(predict.main))
"""


def stand_in(path):
    """VGG16's file: whatever the photo, logit 3 for GRASS and 2 for SKY, and a hundredth of its redness for LIPS."""
    shapes = {}
    for layer, before, after in zip(LAYERS, [3, *SIZES], SIZES, strict=False):
        shapes[layer] = (3, 3, before, after)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([*shapes, *DENSE], "S")
        for layer, shape in {**shapes, **DENSE}.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = np.array([f"{layer}_W_1:0", f"{layer}_b_1:0"], "S")
            # In chunks, of which none but those with a number in them lie in the file.
            kernel = group.create_dataset(f"{layer}_W_1:0", shape, "f4", chunks=tuple(min(64, size) for size in shape))
            bias = group.create_dataset(f"{layer}_b_1:0", shape[-1:], "f4")
            if layer == "block1_conv1":
                kernel[1, 1, 2, 0] = 1  # blue, green, red
            elif layer in LAYERS:
                kernel[1, 1, 0, 0] = 1
            elif layer == "predictions":
                kernel[0, LIPS] = 0.01
                bias[GRASS], bias[SKY] = 3, 2
            else:
                kernel[0, 0] = 1


def class_list():
    names = [[f"n{i:08}", f"thing_{i}"] for i in range(1000)]
    for number, name in ((GRASS, "tall_green_grass"), (SKY, "sky"), (LIPS, "lips\x1b[31m_<b>")):
        names[number][1] = name
    return json.dumps({str(i): name for i, name in enumerate(names)})


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / NETWORK
    stand_in(path)
    assert path.stat().st_size < 5e6
    return path


@pytest.fixture
def served(place, network_file):
    """Both files where the server has them, and a red and a blue photo."""
    os.link(network_file, place / "served" / NETWORK)
    (place / "served" / CLASSES).write_text(class_list())
    Image.new("RGB", (30, 20), (255, 0, 0)).save(place / "red.png")
    Image.new("RGB", (20, 30), (0, 0, 255)).save(place / "blue.png")
    return place / "served"


def ask(place, url, *flags, **md5):
    """predict.py --imagenet; the files that are wanted are those on the server, unless ``md5`` says otherwise."""
    for which, name in (("network", NETWORK), ("classes", CLASSES)):
        md5[which] = md5.get(which) or hashlib.md5((place / "served" / name).read_bytes()).hexdigest()
    env = {"KERAS_HOME": str(place / "keras"), "PYTHONPATH": str(PROJECT)}
    return run("-c", PREDICT, url, md5["network"], md5["classes"], *flags, "--imagenet", env=env, folder=place)


def only_error(done):
    """Its one sentence, after what was said of a download."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(errors) == 1 and done.stderr.splitlines()[-1] == errors[0], done.stderr
    assert "Traceback" not in done.stderr
    return errors[0]


def by_hand(redness):
    powers = {GRASS: math.exp(3), SKY: math.exp(2), LIPS: math.exp(0.01 * redness)}
    return {name: power / (sum(powers.values()) + 997) for name, power in powers.items()}


def test_the_best_two_of_a_thousand(place, server, served):
    """Red photos have a logit of 1.3132 for LIPS, and so the other two a little less than they have in blue ones."""
    done = ask(place, server.url, "red.png", "blue.png", "nix.png", "--save", "picture.png")
    assert done.returncode == 2
    model, *lines = done.stdout.splitlines()
    assert model == "model: VGG16 as trained on ImageNet, for its 1,000 classes"
    for line, photo, redness in zip(lines, ("red.png", "blue.png"), (RED, 0), strict=True):
        grass, sky, _ = (100 * found for found in by_hand(redness).values())
        assert line == f"{photo}: tall green grass ({grass:.1f} %), sky ({sky:.1f} %)"
    assert "nix.png does not exist" in done.stderr and "553 MB" in done.stderr
    assert done.stderr.index("553 MB") < done.stderr.index(f"{server.url}/{NETWORK}")
    assert sorted(server.asked) == sorted([f"/{NETWORK}", f"/{CLASSES}"])
    with Image.open(place / "picture.png") as picture:
        assert picture.width > picture.height

    # From now on both lie in Keras's cache, and the server need not be there.
    done = ask(place, NOWHERE, "red.png", "blue.png", "--json")
    assert done.returncode == 0 and done.stderr == ""
    for line, photo, redness in zip(done.stdout.splitlines(), ("red.png", "blue.png"), (RED, 0), strict=True):
        said, expected = json.loads(line), by_hand(redness)
        assert set(said) == {"photo", "top", "model"} and said["photo"] == photo
        assert [one["class"] for one in said["top"]] == ["tall green grass", "sky"]
        assert [one["probability"] for one in said["top"]] == pytest.approx([expected[GRASS], expected[SKY]], abs=1e-6)


def test_a_classes_control_characters_are_written_out(place, server, served, network_file):
    (served / NETWORK).unlink()
    (served / NETWORK).write_bytes(network_file.read_bytes())
    with h5py.File(served / NETWORK, "r+") as file:
        file["predictions/predictions_W_1:0"][0, LIPS] = 0.05
    done = ask(place, server.url, "red.png", "--save", "picture.png")
    powers = math.exp(0.05 * RED), math.exp(3)
    first, second = (100 * power / (sum(powers) + math.exp(2) + 997) for power in powers)
    expected = f"red.png: lips\\x1b[31m <b> ({first:.1f} %), tall green grass ({second:.1f} %)"
    assert done.stdout.splitlines()[1] == expected
    assert "Glyph" not in done.stderr  # which the picture's font would lack


def test_nothing_can_be_reached(place, served):
    line = only_error(ask(place, NOWHERE, "red.png"))
    for words in (CLASSES, "URL fetch failure", "connect to the internet", str(place / "keras" / "models" / CLASSES)):
        assert words in line
    assert not (place / "keras" / "models" / CLASSES).exists()


@pytest.mark.parametrize(("page", "why"), [(None, "404"), ("Please log in.", "file hash does not match")])
def test_a_class_list_without_the_network(place, server, served, page, why):
    wanted = hashlib.md5((served / NETWORK).read_bytes()).hexdigest()
    (served / NETWORK).unlink()
    if page:
        (served / NETWORK).write_text(page)
    line = only_error(ask(place, server.url, "red.png", network=wanted))
    for words in (why, f"{server.url}/{NETWORK}", str(place / "keras" / "models" / NETWORK), "do not need it"):
        assert words in line
    assert sorted(path.name for path in (place / "keras" / "models").iterdir()) == [CLASSES]


@pytest.mark.parametrize(
    "text", ["<html>Please log in.</html>", "[1, 2]", '{"0": ["n1", "tench"]}', '{"0": 1}', b"\xff"]
)
def test_a_class_list_that_is_none(place, server, served, text):
    (served / CLASSES).write_bytes(text if isinstance(text, bytes) else text.encode())
    line = only_error(ask(place, server.url, "red.png"))
    assert CLASSES in line and "no list of 1000 classes" in line
    assert not (place / "keras" / "models" / CLASSES).exists()


def test_a_class_list_with_another_digest(place, server, served):
    line = only_error(ask(place, server.url, "red.png", classes="0" * 32))
    assert CLASSES in line and "file hash does not match" in line
    assert not list((place / "keras" / "models").iterdir())


def test_both_files_are_those_that_keras_itself_downloads(monkeypatch):
    from keras.src.utils import file_utils

    class Asked(Exception):
        pass

    def get_file(name, url, file_hash, **_):
        raise Asked(name, url, file_hash)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(Asked) as asked:
        keras.applications.VGG16(weights="imagenet")
    assert asked.value.args == imagenet_classes.NETWORK
    monkeypatch.setattr("keras.src.applications.imagenet_utils.CLASS_INDEX", None)
    with pytest.raises(Asked) as asked:
        keras.applications.vgg16.decode_predictions(np.zeros((1, 1000)))
    assert asked.value.args == imagenet_classes.CLASSES


@pytest.mark.parametrize("flags", [("--weights", "model.weights.h5"), ("--threshold", "0"), ("--explain",)])
def test_flags_of_the_trained_models_are_refused(sentence, flags):
    line = sentence(run("predict.py", "photo.jpg", "--imagenet", *flags))
    assert flags[0] in line and "--imagenet" in line
