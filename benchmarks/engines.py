"""The peers' own code paths, for benchmarks/speed.py to compare with ours.

Each follows its documentation's advice for CPUs, in float32, and imports its own packages alone. Beside the peers:
ours, and the rate of plain matrix multiplication. PyTorch and TensorFlow do not get on in one process.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

THREADS = 2
INFERENCE_BATCH, TRAINING_BATCH = 8, 16  # as in the tutorial
SIZE = 150  # of the photos that the networks are trained on
FROZEN = 24  # layers in VGG16's blocks 1 to 4, as PyTorch counts them
TOLERANCE = 1e-3  # of the largest feature: more than that is another network
Shape = tuple[int, int, int, int]
Predict = Callable[[np.ndarray], np.ndarray]  # from images, float32 (n, size, size, 3), to features (n, h, w, 512)


def keras(shape: Shape, folder: Path, jit_compile: bool = False) -> Predict:
    """Keras on TensorFlow."""
    from tutorial.imagenet_weights import imagenet_weights

    import keras

    network = keras.applications.VGG16(weights=imagenet_weights(), include_top=False, input_shape=shape[1:])
    network.compile(jit_compile=jit_compile)
    return network.predict_on_batch


def xla(shape: Shape, folder: Path) -> Predict:
    """Keras on TensorFlow, compiled by XLA."""
    return keras(shape, folder, jit_compile=True)


def ours(shape: Shape, folder: Path) -> Predict:
    """As parts 2 and 3 and predict.py use it."""
    from tutorial.backend import keras
    from tutorial.imagenet_weights import imagenet_weights
    from tutorial.vgg16 import use_winograd

    network = keras.applications.VGG16(weights=imagenet_weights(), include_top=False, input_shape=shape[1:])
    return use_winograd(network).predict_on_batch


def vgg16_blocks():  # noqa: ANN201  a torch.nn.Sequential
    """PyTorch's VGG16 without its top, with the weights of Keras's."""
    from tutorial.imagenet_weights import imagenet_weights, read_tensors

    import torch
    from torchvision.models import vgg

    network, tensors = vgg.make_layers(vgg.cfgs["D"]), read_tensors(imagenet_weights())
    layers = [layer for layer in network if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        for layer, kernel, bias in zip(layers, tensors[::2], tensors[1::2], strict=True):
            layer.weight.copy_(torch.tensor(kernel).permute(3, 2, 0, 1))
            layer.bias.copy_(torch.tensor(bias))
    return network


def pytorch(shape: Shape, folder: Path) -> Predict:
    """PyTorch in the channels-last layout, in which images come anyway."""
    import torch

    torch.set_num_threads(THREADS)
    network = vgg16_blocks().to(memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def predict(images: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(images).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()

    return predict


def onnx_file(shape: Shape, folder: Path) -> Path:
    """Where VGG16's blocks are as ONNX, for images of this shape."""
    return folder / f"vgg16-{shape[1]}.onnx"


def export(shape: Shape, folder: Path) -> None:
    """Write that file, by Keras."""
    from tutorial.imagenet_weights import imagenet_weights

    import keras
    import tensorflow as tf

    network = keras.applications.VGG16(weights=imagenet_weights(), include_top=False, input_shape=shape[1:])
    signature = [tf.TensorSpec(shape, tf.float32, name="images")]
    network.export(onnx_file(shape, folder), format="onnx", verbose=False, input_signature=signature)


def onnx_runtime_model(path: Path):  # noqa: ANN201  an onnxruntime.InferenceSession
    """A file in ONNX Runtime, whose optimizations are all on unless told otherwise."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def onnx_runtime(shape: Shape, folder: Path) -> Predict:
    """ONNX Runtime."""
    model = onnx_runtime_model(onnx_file(shape, folder))
    return lambda images: model.run(None, {"images": images})[0]


def openvino(shape: Shape, folder: Path) -> Predict:
    """OpenVINO, one stream on all threads: its hint for one request at a time."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(onnx_file(shape, folder), "CPU", settings)
    return lambda images: model(images)[0]


ENGINES = {
    "Keras": keras,  # first: the others have to give its features
    "XLA": xla,
    "PyTorch": pytorch,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
    "ours": ours,
}


def features(name: str, size: int, folder: Path, seconds: float) -> None:
    """Print an engine's photos/s, after a comparison of its features with plain Keras's."""
    images, expected = np.load(folder / f"images-{size}.npy"), folder / f"features-{size}.npy"
    predict = ENGINES[name](images.shape, folder)
    found = predict(images)
    if name == "Keras":
        np.save(expected, found)
    error = relative_error(found, np.load(expected))
    if error > TOLERANCE:
        sys.exit(f"{name} at {size} px: the features differ from Keras's by {error:.1e}")
    count, start = 0, time.monotonic()
    while not count or time.monotonic() - start < seconds:
        predict(images)
        count += len(images)
    print(f"{size} px: {count / (time.monotonic() - start):.3f} photos/s, error {error:.1e}")


def sgemm() -> float:
    """The machine's rate for float32 matrices of 3000 x 3000, by NumPy: GFLOP/s."""
    a, b = np.random.default_rng(0).random((2, 3000, 3000), np.float32)
    a @ b
    start = time.monotonic()
    a @ b
    return 2 * 3000**3 / 1e9 / (time.monotonic() - start)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest expected value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def training_network(part: int):  # noqa: ANN201  a torch.nn.Sequential
    """The network of part 1 or 3 in PyTorch, from images (n, 3, 150, 150) to logits (n, 1)."""
    from torch import nn

    if part == 3:
        blocks = vgg16_blocks()
        blocks[:FROZEN].requires_grad_(False)
        return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(8192, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 1))
    layers, channels = [], 3
    for filters in (32, 32, 64):
        layers += [nn.Conv2d(channels, filters, 3), nn.ReLU(), nn.MaxPool2d(2)]
        channels = filters
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(18496, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 1))


def train(part: int, data: Path, epochs: int) -> None:
    """Train it as the blog post does, with torchvision's photos; print a line an epoch."""
    import torch
    from torchvision import datasets
    from torchvision.transforms import v2

    torch.set_num_threads(THREADS)
    resize, scale = [v2.ToImage(), v2.Resize((SIZE, SIZE))], [v2.ToDtype(torch.float32, scale=True)]
    bilinear = v2.InterpolationMode.BILINEAR
    augment = [v2.RandomAffine(0, scale=(0.8, 1.2), shear=11.5, interpolation=bilinear), v2.RandomHorizontalFlip()]

    def loader(split: str, transforms: list, shuffle: bool) -> torch.utils.data.DataLoader:
        photos = datasets.ImageFolder(data / split, v2.Compose(transforms))
        how = {"shuffle": shuffle, "num_workers": THREADS, "persistent_workers": True}
        return torch.utils.data.DataLoader(photos, TRAINING_BATCH, **how)

    training, validation = loader("train", resize + augment + scale, True), loader("validation", resize + scale, False)
    network = training_network(part).to(memory_format=torch.channels_last)
    print(f"{sum(weight.numel() for weight in network.parameters()):,} parameters")
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.RMSprop(trained, 0.001, alpha=0.9) if part == 1 else torch.optim.SGD(trained, 1e-4, 0.9)
    loss_function = torch.nn.BCEWithLogitsLoss()

    def step(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, int]:
        logits = network(images.to(memory_format=torch.channels_last))[:, 0]
        return loss_function(logits, labels.float()), int(((logits > 0) == labels).sum())

    for epoch in range(1, epochs + 1):
        network.train()
        for batch in training:
            optimizer.zero_grad()
            loss, _ = step(*batch)
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.inference_mode():
            right = sum(step(*batch)[1] for batch in validation)
        accuracy = right / len(validation.dataset)
        print(f"epoch {epoch}/{epochs} - loss: {loss.item():.4f} - val_accuracy: {accuracy:.4f}", flush=True)


def predict(photo: Path, path: Path) -> None:
    """Print the class of a photo by our export in ONNX Runtime, as predict.py does."""
    from PIL import Image, ImageOps

    pixels = np.asarray(ImageOps.exif_transpose(Image.open(photo)).convert("RGB"))
    found = onnx_runtime_model(path).run(["probabilities"], {"photos": pixels[None]})[0][0]
    name = path.with_name("labels.txt").read_text().splitlines()[found.argmax()]
    print(f"{photo}: {name} ({found.max():.1%})")


def main() -> None:
    """Run one code path, in a process of its own."""
    p = argparse.ArgumentParser(description=__doc__)
    commands = p.add_subparsers(dest="command", required=True)
    commands.add_parser("sgemm")
    for command in ("features", "export"):
        add = commands.add_parser(command).add_argument
        add("--engine", choices=ENGINES)
        add("--size", type=int, required=True)
        add("--folder", type=Path, required=True, help="with images-SIZE.npy; the rest is written there")
        add("--seconds", type=float, default=5)
    add = commands.add_parser("train").add_argument
    add("part", type=int, choices=[1, 3])
    add("--data", type=Path, required=True)
    add("--epochs", type=int, required=True)
    add = commands.add_parser("predict").add_argument
    add("photo", type=Path)
    add("--onnx", type=Path, required=True)
    args = p.parse_args()
    if args.command == "sgemm":
        print(sgemm())
    elif args.command == "features":
        features(args.engine, args.size, args.folder, args.seconds)
    elif args.command == "export":
        export((INFERENCE_BATCH, args.size, args.size, 3), args.folder)
    elif args.command == "train":
        train(args.part, args.data, args.epochs)
    else:
        predict(args.photo, args.onnx)


if __name__ == "__main__":
    main()
