"""Bottleneck features: in step with their labels, kept, reused, and recomputed when the photos change."""

import shutil

import numpy as np
import pytest
from conftest import draw
from PIL import Image

from tutorial import whole_file
from tutorial.features import bottleneck_features
from tutorial.vgg16 import vgg16_base
from tutorial.images import find_images, read_photo


@pytest.fixture(scope="module")
def base():
    return vgg16_base(64)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    draw(folder / "train", calico=7, tabby=12)
    draw(folder / "validation", calico=1, tabby=1)
    return folder


def test_features_and_labels_line_up(base, drawn, tmp_path):
    """7 and 12 photos, 8 at a time; each row against its photo sent through the base alone."""
    train, _ = find_images(drawn)
    features, files = bottleneck_features(base, train, tmp_path / "features.npz")
    assert features.shape == (19, 2, 2, 512) and features.dtype == np.float32
    assert files.labels.tolist() == [0] * 7 + [1] * 12
    with np.load(tmp_path / "features.npz") as saved:
        assert np.array_equal(saved["features"], features)
        assert saved["labels"].tolist() == [0] * 7 + [1] * 12
        for row, label, name in zip(features, saved["labels"], saved["photos"], strict=True):
            assert name.startswith(("calico", "tabby")[int(label)])
            alone = base.predict_on_batch(read_photo(drawn / "train" / name, 64)[None] * np.float32(1 / 255))[0]
            assert row == pytest.approx(alone, abs=1e-4)


def test_the_same_photos_are_reused_and_changed_ones_noticed(base, drawn, tmp_path, capsys):
    data, kept = tmp_path / "data", tmp_path / "features.npz"
    shutil.copytree(drawn, data)

    def compute() -> tuple[np.ndarray, str]:
        features, _ = bottleneck_features(base, find_images(data)[0], kept)
        return features, capsys.readouterr().out

    first, printed = compute()
    assert "reusing" not in printed
    data = data.rename(tmp_path / "moved")  # the same photos elsewhere are still the same photos
    again, printed = compute()
    assert "reusing the features of 19 photos" in printed and np.array_equal(first, again)

    Image.new("RGB", (50, 50), "red").save(data / "train" / "tabby" / "tabby3.jpg")
    changed, printed = compute()
    assert "the photos have changed" in printed
    names = [path.name for path in find_images(data)[0].paths]
    differ = np.abs(changed - first).max(axis=(1, 2, 3)) > 1e-3
    assert [name for name, differs in zip(names, differ, strict=True) if differs] == ["tabby3.jpg"]

    (data / "train" / "tabby" / "tabby0.jpg").unlink()
    fewer, printed = compute()
    assert "the photos have changed" in printed and len(fewer) == 18

    shutil.move(data / "train" / "tabby" / "tabby1.jpg", data / "train" / "calico" / "tabby1.jpg")
    _, printed = compute()
    assert "the photos have changed" in printed  # the same pictures, but one of them has another label now

    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    repaired, printed = compute()
    assert "is damaged" in printed and len(repaired) == 18


def test_an_unreadable_photo_is_left_out_of_features_and_labels(base, drawn, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(drawn, data)
    (data / "train" / "calico" / "calico2.jpg").write_bytes(b"")
    for _ in range(2):  # computed, then reused
        features, files = bottleneck_features(base, find_images(data)[0], tmp_path / "features.npz")
        assert len(features) == len(files.paths) == 18
        assert files.counts() == {"calico": 6, "tabby": 12}


def test_too_little_disk_means_features_that_are_not_kept(base, drawn, tmp_path, capsys, monkeypatch):
    """The same features, and a sentence in the place of the file."""
    train, _ = find_images(drawn)
    monkeypatch.setattr(whole_file, "WORTH_SAYING", 150e3)  # of 19 photos x 2 x 2 x 512 x 4 bytes
    kept, _ = bottleneck_features(base, train, tmp_path / "kept.npz")
    said = capsys.readouterr().out
    assert "0 MB more" in said and "free)" in said
    monkeypatch.setattr(whole_file, "SPARE", 1e18)
    features, _ = bottleneck_features(base, train, tmp_path / "new" / "features.npz")
    said = capsys.readouterr().out
    assert "are free" in said and "compute them again" in said
    assert not (tmp_path / "new").exists() and np.array_equal(features, kept)
