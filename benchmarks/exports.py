"""Size, speed and accuracy of the exported models, beside predict.py's own.

    python benchmarks/exports.py        writes benchmarks/exports.md

The fine-tuned model that came with the tutorial is exported in each format, and predicts drawn cats of several sizes:
one photo at a time, the formats in turn. Each runs in its own runtime, on as many threads as there are cores.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from drawing.drawn_cat import cat_number
from predict import TrainedModel
from report import preamble, write_section
from tools.export import PACKAGES, export, megabytes
from tutorial.backend import tf
from tutorial.cli import parser, project_path, run
from tutorial.images import RESAMPLING
from tutorial.model_file import WeightsFile
from tutorial.recipes import pretrained_dir

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

TABLE = project_path("benchmarks/exports.md")
HEADING = "# Exported models\n\nWritten by `benchmarks/exports.py`.\n"
SIZES = [(640, 480), (480, 640), (225, 300), (1280, 960), (97, 301)]  # width and height of the photos
CATS = 8  # drawn cats, each in all sizes
RUNTIMES = {  # where the exported model runs, and its size
    "savedmodel": f"TensorFlow {version('tensorflow')}",
    "onnx": f"ONNX Runtime {version('onnxruntime')}",
    "litert": f"LiteRT {version('ai-edge-litert')}",
}


def predictor(kind: str, path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from photos, uint8 (n, h, w, 3), to probabilities, float32 (n, classes), by the format's runtime."""
    if kind == "savedmodel":
        served = tf.saved_model.load(path).signatures["serving_default"]
        return lambda photos: served(photos=tf.constant(photos))["probabilities"].numpy()
    if kind == "onnx":
        session = onnxruntime.InferenceSession(path)
        return lambda photos: session.run(["probabilities"], {"photos": photos})[0]
    interpreter = Interpreter(str(path), num_threads=os.cpu_count())
    [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()

    def predict(photos: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(taken["index"], photos.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], photos)
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])

    return predict


def main() -> None:
    """Measure and write the table."""
    parser(__doc__).parse_args()
    weights = pretrained_dir() / "fine_tuned_vgg16.weights.h5"
    model = TrainedModel(weights)
    size = model.image_size

    def own(photos: np.ndarray) -> np.ndarray:
        resized = [np.asarray(Image.fromarray(photo).resize((size, size), RESAMPLING)) for photo in photos]
        return model.predict(resized)[0]

    cats = [cat_number(0, "validation", ("calico", "tabby")[i % 2], i + 1) for i in range(CATS)]
    photos = [np.asarray(cat.resize(one, Image.Resampling.BICUBIC))[None] for cat in cats for one in SIZES]
    with tempfile.TemporaryDirectory() as folder:
        predictors, sizes = {"predict.py's own": own}, {"predict.py's own": megabytes(weights)}
        for kind in PACKAGES:
            path = export(WeightsFile(weights), kind, Path(folder))
            sizes[kind] = megabytes(path)
            predictors[kind] = predictor(kind, path)
        found = {kind: [] for kind in predictors}
        seconds = {kind: [] for kind in predictors}
        for photo in [photos[0], *photos]:  # the first is for warming up
            for kind, predict in predictors.items():
                start = time.perf_counter()
                found[kind].append(predict(photo)[0])
                seconds[kind].append(time.perf_counter() - start)
    expected, rows = np.array(found["predict.py's own"]), []
    for kind in predictors:
        differences = np.abs(np.array(found[kind]) - expected).max(axis=1)
        same = np.mean(np.argmax(found[kind], axis=1) == expected.argmax(axis=1))
        times = 1000 * np.array(seconds[kind][1:])
        middle, low, high = np.quantile(times, [0.5, 0.1, 0.9])
        runtime, time_taken = RUNTIMES.get(kind, "Keras, Winograd"), f"{middle:.0f} ({low:.0f}-{high:.0f})"
        cells = [kind, runtime, f"{sizes[kind]:.1f}", time_taken, f"{same:.0%}"]
        rows.append(f"| {' | '.join([*cells, f'{np.median(differences):.0e}', f'{differences.max():.0e}'])} |")
    shapes = ", ".join(f"{width} x {height}" for width, height in SIZES)
    lines = [
        *preamble(),
        "| format | runtime | MB | ms a photo | same class | median difference | largest |",
        "|---|---|---|---|---|---|---|",
        *rows,
        "",
        f"{len(photos)} drawn cats of {shapes} pixels, decoded before, one at a time. "
        "ms: median, and the 10th and 90th percentile, resizing included. Difference: of the probabilities from "
        "predict.py's. Larger ones come from a pixel that is rounded otherwise when the photo is resized. Keras writes "
        "the variables of a SavedModel twice.",
    ]
    write_section(TABLE, HEADING, weights.name, lines)


if __name__ == "__main__":
    sys.exit(run(main))
