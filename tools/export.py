"""Export a trained model for other programs, as one that takes a photo's pixels and returns probabilities.

    python tools/export.py --to onnx              for ONNX Runtime: exported/fine_tuned_vgg16/model.onnx
    python tools/export.py --to litert            for phones: exported/fine_tuned_vgg16/model.tflite
    python tools/export.py --to savedmodel        for TensorFlow Serving: exported/fine_tuned_vgg16/1

Resizing, preprocessing, test-time augmentation and calibration are in the exported model. What remains for the other
program is to decode the photo, upright and in sRGB.
"""

import json
import sys
import zipfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.append(str(Path(__file__).resolve().parents[1]))  # without its packages installed, tutorial/ prints the remedy

from predict import load_network
from tutorial.backend import keras, tf
from tutorial.calibration import EPSILON
from tutorial.cli import TutorialError, echo, file_path, parser, run
from tutorial.files import atomic_write
from tutorial.images import PREPROCESSING
from tutorial.model_file import ModelInfo, WeightsFile, best_weights

import numpy as np

layers, ops = keras.layers, keras.ops
PHOTOS = tf.TensorSpec((None, None, None, 3), tf.uint8, name="photos")  # any number, of any one height and width
PACKAGES = {"savedmodel": [], "onnx": ["tf2onnx", "onnx"], "litert": []}  # that a format needs besides


class Resize(layers.Layer):
    """What Pillow's ``resize((size, size), LANCZOS)`` gives for photos of any size, up to a rare rounding by one.

    From uint8 (n, height, width, 3) to float32 (n, size, size, 3), whole numbers 0 to 255. TensorFlow's own Lanczos
    resizing can be exported neither to ONNX nor to LiteRT, and does not round between its two passes as Pillow does.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def compute_output_shape(self, shape: tuple) -> tuple:  # noqa: D102
        return (shape[0], self.size, self.size, 3)

    def weights_of(self, length: tf.Tensor) -> tf.Tensor:
        """Along one axis, the share of each of ``length`` pixels in each pixel of the result: (size, length)."""
        length = tf.cast(length, tf.float32)
        scale = length / self.size
        stretch = tf.maximum(scale, 1.0)
        center = (tf.range(self.size, dtype=tf.float32)[:, None] + 0.5) * scale
        pixel = tf.range(length)[None]
        within = (pixel >= tf.floor(center - 3 * stretch + 0.5)) & (pixel < tf.floor(center + 3 * stretch + 0.5))
        distance = (pixel + 0.5 - center) / stretch
        share = tf.where(within & (tf.abs(distance) < 3), _sinc(distance) * _sinc(distance / 3), 0.0)
        return share / tf.reduce_sum(share, axis=1, keepdims=True)

    def call(self, photos: tf.Tensor) -> tf.Tensor:  # noqa: D102
        height, width = tf.shape(photos)[1], tf.shape(photos)[2]
        photos = tf.cast(photos, tf.float32)

        def rows(images: tf.Tensor) -> tf.Tensor:
            return _round(tf.einsum("yh,nhwc->nywc", self.weights_of(height), images))

        def columns(images: tf.Tensor) -> tf.Tensor:
            return _round(tf.einsum("xw,nhwc->nhxc", self.weights_of(width), images))

        # Pillow 13 begins with the rows where that spares it much work
        tall = (height > self.size) & (height - self.size > 2 * (width - self.size))
        resized = tf.cond(tall, lambda: columns(rows(photos)), lambda: rows(columns(photos)))
        return tf.ensure_shape(resized, (None, self.size, self.size, 3))


def _sinc(x: tf.Tensor) -> tf.Tensor:
    x = x * np.float32(np.pi)
    return tf.where(x == 0, 1.0, tf.sin(x) / tf.where(x == 0, 1.0, x))


def _round(x: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(tf.floor(x + 0.5), 0.0, 255.0)


def serving_model(file: WeightsFile) -> keras.Model:
    """The model of a weights file with all that predict.py does around it.

    From photos, uint8 (n, height, width, 3) of any height and width, sRGB, to calibrated probabilities, float32
    (n, classes), in the order of the class names.

    Raises:
        TutorialError: see :func:`predict.load_network`.
    """
    info, network = file.info, load_network(file)
    photos = keras.Input((None, None, 3), dtype="uint8", name="photos")
    images = Resize(info.image_size)(photos)
    if info.preprocessing == "caffe":
        images = images[..., ::-1]
    zero, one = PREPROCESSING[info.preprocessing](np.float32([[0, 0, 0], [1, 1, 1]]))  # linear, channel by channel
    images = layers.Rescaling(one - zero, zero)(images)
    outputs = network(images)
    if info.settings.get("flip_tta"):
        outputs = (outputs + network(images[:, :, ::-1])) / 2
    if len(info.class_names) == 2:
        outputs = ops.concatenate([1 - outputs, outputs], axis=1)
    if info.temperature != 1:
        outputs = ops.softmax(ops.log(ops.clip(outputs, EPSILON, 1)) / info.temperature)
    return keras.Model(photos, {"probabilities": outputs})


def metadata(info: ModelInfo) -> dict[str, str]:
    """What a program may want to know about the model, by name."""
    known = {name: value for name, value in asdict(info).items() if name not in ("half_precision", "versions")}
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in known.items()}
    return texts | {f"{name}_version": number for name, number in info.versions.items()}


def export(file: WeightsFile, kind: str, folder: Path) -> Path:
    """Write one export, whole, and ``labels.txt``, a class a line.

    Args:
        file: of the model.
        kind: a key of PACKAGES.
        folder: is made where it is missing.

    Returns:
        The file, or for "savedmodel" the folder, whose name is the next version number as TensorFlow Serving wants it.

    Raises:
        TutorialError: a package is missing, the weights file is damaged, or the folder cannot be written to.
    """
    if missing := [name for name in PACKAGES[kind] if not find_spec(name)]:
        raise TutorialError(
            f"--to {kind} needs {' and '.join(missing)}: python -m pip install -r requirements-export.txt"
        )
    model, known = serving_model(file), metadata(file.info)
    labels = "".join(f"{name}\n" for name in file.info.class_names)
    with atomic_write(folder / "labels.txt") as temporary:
        temporary.write_text(labels, encoding="utf-8")
    if kind == "savedmodel":
        version = 1 + max((int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()), default=0)
        with TemporaryDirectory(dir=folder) as temporary:
            written = Path(temporary, "model")
            model.export(written, verbose=False, input_signature=[PHOTOS])
            extra = written / "assets.extra"  # where TensorFlow keeps what is not its own
            extra.mkdir()
            (extra / "labels.txt").write_text(labels, encoding="utf-8")
            (extra / "metadata.json").write_text(json.dumps(known, indent=1), encoding="utf-8")
            return written.rename(folder / str(version))
    target = folder / {"onnx": "model.onnx", "litert": "model.tflite"}[kind]
    with atomic_write(target) as temporary:
        model.export(temporary, format=kind, verbose=False, input_signature=[PHOTOS])
        if kind == "onnx":
            import onnx

            written = onnx.load(temporary)
            onnx.helper.set_model_props(written, known)
            onnx.save(written, temporary)
        else:
            with zipfile.ZipFile(temporary, "a") as archive:  # after the model, as LiteRT's metadata are
                archive.writestr("labels.txt", labels)
                archive.writestr("metadata.json", json.dumps(known, indent=1))
    return target


def megabytes(path: Path) -> float:
    """The size of a file, or of all files in a folder, in MB."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files) / 1e6


def main() -> None:
    """Export one model."""
    p = parser(__doc__)
    p.add_argument("--to", choices=PACKAGES, required=True, help="format")
    text = "weights of one part (default: the model that predict.py uses)"
    p.add_argument("--weights", type=file_path, metavar="FILE", help=text)
    p.add_argument("--output", type=file_path, metavar="DIR", help="output folder (default: exported/<model>)")
    args = p.parse_args()
    file = WeightsFile(args.weights or best_weights())
    target = export(file, args.to, args.output or Path("exported", file.info.model))
    echo(f"saved {target}, {megabytes(target):.1f} MB: {file.info.model} for {' or '.join(file.info.class_names)}")


if __name__ == "__main__":
    sys.exit(run(main))
