"""Exported models, each run by its own runtime: the same probabilities as predict.py's."""

import json
import shutil
import zipfile

from conftest import edited, run
from exports import predictor
from predict import TrainedModel
from tools.demo import predict_photo
from tools.export import PACKAGES, export, metadata
from tutorial.backend import tf
from tutorial.images import RESAMPLING, open_photo
from tutorial.model_file import WeightsFile

import numpy as np
import onnxruntime
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

SIZES = [(150, 150), (40, 30), (149, 151), (97, 301), (301, 97), (640, 480), (480, 640), (200, 250), (200, 260), (7, 5),
         (1, 1), (151, 149), (800, 20), (1003, 751), (150, 900), (900, 150), (75, 75), (300, 300), (299, 450),
         (2, 600)]  # fmt: skip


@pytest.fixture(scope="module")
def calibrated(trained, tmp_path_factory):
    """The fine-tuned model with a temperature and test-time augmentation, which the original recipe does not have."""
    path = tmp_path_factory.mktemp("calibrated") / "fine_tuned_vgg16.weights.h5"
    shutil.copy(trained.weights / path.name, path)
    with edited(path) as (info, _):
        info["temperature"] = 1.7
        info["settings"]["flip_tta"] = True
    return path


@pytest.mark.parametrize("kind", PACKAGES)
@pytest.mark.parametrize("model", ["small_convnet", "calibrated"])
def test_the_probabilities_are_predicts(trained, calibrated, tmp_path, kind, model):
    weights = calibrated if model == "calibrated" else trained.weights / f"{model}.weights.h5"
    predict, known = predictor(kind, export(WeightsFile(weights), kind, tmp_path)), TrainedModel(weights)
    photo = open_photo(trained.data / "validation" / "tabby" / "tabby0.jpg")
    differences = []
    for size in SIZES:
        odd = photo.resize(size, Image.Resampling.BICUBIC)
        expected, _ = known.predict([np.asarray(odd.resize((known.info.image_size,) * 2, RESAMPLING))])
        found = predict(np.asarray(odd)[None])
        assert found.shape == (1, 2) and found.argmax() == expected.argmax()
        differences.append(np.abs(found - expected).max())
    assert max(differences) < 2e-3 and np.median(differences) < 1e-4, differences
    several = np.stack([np.asarray(photo), np.asarray(photo.rotate(90))])
    assert predict(several) == pytest.approx(np.concatenate([predict(one[None]) for one in several]), abs=1e-5)


def test_more_than_two_classes(trained, tmp_path):
    """Part 2's top model for three classes, trained here."""
    shutil.copytree(trained.data, tmp_path / "data")
    for split in ("train", "validation"):
        (tmp_path / "data" / split / "a=b").mkdir()
        for i in range(3):
            noise = Image.effect_noise((80, 60), 60 + i + 10 * len(split))
            noise.save(tmp_path / "data" / split / "a=b" / f"{i}.png")
    flags = ["--data", tmp_path / "data", "--weights-dir", tmp_path, "--epochs", 1]
    assert run("fine_tuning_VGG16_pt1.py", *flags).returncode == 0
    weights = tmp_path / "small_convnet.weights.h5"
    done = run("tools/export.py", "--to", "onnx", "--weights", weights, "--output", tmp_path / "exported")
    assert done.returncode == 0 and "for a=b or calico or tabby" in done.stdout, done.stderr
    photo = trained.data / "validation" / "tabby" / "tabby0.jpg"
    [one] = map(json.loads, run("predict.py", photo, "--weights", weights, "--json").stdout.splitlines())
    found = predictor("onnx", tmp_path / "exported" / "model.onnx")(np.asarray(Image.open(photo))[None])
    assert found[0] == pytest.approx(list(one["probabilities"].values()), abs=2e-3)
    [shown] = predict_photo([TrainedModel(weights)], photo.read_bytes(), photo.name)["models"]  # on the page, too
    assert shown["probabilities"] == pytest.approx(one["probabilities"], abs=1e-6) and len(shown["probabilities"]) == 3


def test_names_and_versions_travel_with_the_model(trained, tmp_path):
    file = WeightsFile(trained.weights / "small_convnet.weights.h5")
    known = metadata(file.info)
    assert known["class_names"] == '["calico", "tabby"]' and known["tensorflow_version"] == tf.__version__
    assert onnxruntime.InferenceSession(export(file, "onnx", tmp_path)).get_modelmeta().custom_metadata_map == known
    for number in ("1", "2"):  # TensorFlow Serving takes the highest, and none is overwritten
        path = export(file, "savedmodel", tmp_path)
        assert path == tmp_path / number and json.loads((path / "assets.extra" / "metadata.json").read_text()) == known
        assert (path / "assets.extra" / "labels.txt").read_text() == "calico\ntabby\n"
    with zipfile.ZipFile(export(file, "litert", tmp_path)) as archive:
        assert json.loads(archive.read("metadata.json")) == known
    assert (tmp_path / "labels.txt").read_text() == "calico\ntabby\n"
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2", "labels.txt", "model.onnx", "model.tflite"}


def test_a_missing_package_is_one_sentence(trained, tmp_path, sentence):
    weights = trained.weights / "small_convnet.weights.h5"
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['tf2onnx'] = None\n")
    flags = ["--to", "onnx", "--weights", weights, "--output", tmp_path]
    line = sentence(run("tools/export.py", *flags, env={"PYTHONPATH": str(tmp_path)}))
    assert "python -m pip install -r requirements-export.txt" in line and "tf2onnx" in line
