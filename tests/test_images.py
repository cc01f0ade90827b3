"""The loader, against Pillow used directly and hand-computed values; and data folders that it refuses."""

import shutil

from conftest import SHARED, draw, odd_photos
from tutorial.cli import TutorialError
from tutorial.images import PhotoError, caffe, files_below, load_images, open_photo, read_photo, rescale

import numpy as np
import pytest
from PIL import Image


def save(tmp_path, image, name="photo.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_plain_photo_is_pillows_own_reading(tmp_path):
    path = save(tmp_path, Image.fromarray(np.uint8(np.random.default_rng(1).integers(0, 256, (90, 120, 3)))), "a.jpg")
    expected = np.asarray(Image.open(path).convert("RGB").resize((150, 150), Image.Resampling.LANCZOS))
    photo = read_photo(path, 150)
    assert photo.dtype == np.uint8 and photo.shape == (150, 150, 3)
    assert np.array_equal(photo, expected)


def test_rescale_is_division_by_255():
    assert np.array_equal(rescale(np.uint8([0, 51, 255])), np.float32([0, 51, 255]) * np.float32(1 / 255))
    assert rescale(np.uint8([255])).dtype == np.float32


def test_caffe_is_keras_preprocessing_for_vgg16():
    from tutorial.backend import keras

    images = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)
    assert np.allclose(caffe(images), keras.applications.vgg16.preprocess_input(np.float32(images)), atol=1e-4)


def test_transparent_pixels_become_white(tmp_path):
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (200, 0, 0, 0))
    for name in ("a.png", "a.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        pixels = np.asarray(open_photo(save(tmp_path, image, name, **options)))
        assert pixels.tolist() == [[[200, 0, 0], [255, 255, 255]]]


def test_transparent_palette_color_becomes_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    path = save(tmp_path, image, "a.gif", transparency=1)
    assert np.asarray(open_photo(path)).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_half_transparent_gray_is_mixed_with_white(tmp_path):
    path = save(tmp_path, Image.new("LA", (1, 1), (100, 128)))
    assert np.asarray(open_photo(path))[0, 0] == pytest.approx([255 - (255 - 100) * 128 / 255] * 3, abs=1)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, name):
    path = save(tmp_path, Image.fromarray(np.uint16([[0, 256 * 128, 65535]])), name)
    assert np.asarray(open_photo(path))[0, :, 0].tolist() == [0, 128, 255]


def test_float_grayscale_in_0_to_1_is_scaled(tmp_path):
    path = save(tmp_path, Image.fromarray(np.float32([[0, 0.5, 1]])), "a.tif")
    assert np.asarray(open_photo(path))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(("tag", "corner"), enumerate(["tl", "tr", "br", "bl"] * 2, 1))
def test_exif_orientation(tmp_path, tag, corner):
    """The red corner of the stored picture belongs, by the EXIF standard, in this corner of the photo seen."""
    image = Image.new("RGB", (40, 20), "white")
    image.paste("red", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = tag
    seen = np.asarray(open_photo(save(tmp_path, image, exif=exif)))
    assert seen.shape[:2] == ((20, 40) if tag < 5 else (40, 20))
    y, x = (2 if corner[0] == "t" else -3), (2 if corner[1] == "l" else -3)
    assert seen[y, x].tolist() == [255, 0, 0]


def test_every_odd_photo_is_read(tmp_path):
    odd_photos(tmp_path)
    files = files_below(tmp_path)
    assert len(files) == 8
    for path in files:
        assert read_photo(path, 150).std() > 5, path  # a picture, not a blank


def test_what_is_not_a_photo_gets_one_line(tmp_path):
    whole = save(tmp_path, Image.effect_noise((200, 200), 50), "whole.jpg").read_bytes()
    bad = {
        "cut.jpg": whole[: len(whole) // 2],
        "empty.jpg": b"",
        "page.jpg": b"<html><body>not found</body></html>",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PhotoError, match=name) as error:
            read_photo(tmp_path / name, 150)
        assert "\n" not in str(error.value)
    with pytest.raises(PhotoError, match=r"missing\.jpg does not exist"):
        read_photo(tmp_path / "missing.jpg", 150)


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    path = save(tmp_path, Image.new("1", (20000, 20000)))
    with pytest.raises(PhotoError, match="too many pixels"):
        read_photo(path, 150)


def test_unreadable_photos_are_left_out_with_their_labels(tmp_path, capsys):
    for split in ("train", "validation"):
        for k, name in enumerate(("a", "b")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(3):
                Image.new("L", (5, 5), 100 * k + 10 * i).save(tmp_path / split / name / f"{i}.png")
    (tmp_path / "train" / "a" / "1.png").write_bytes(b"")
    (tmp_path / "train" / "b" / ".hidden.png").write_bytes(b"")
    (tmp_path / "train" / "b" / "notes.txt").write_text("")
    train, _, test = load_images(tmp_path, 4)
    assert test is None
    assert train.images[:, 0, 0, 0].tolist() == [0, 20, 100, 110, 120]
    assert train.labels.tolist() == [0, 0, 1, 1, 1]
    assert [path.name for path in train.paths] == ["0.png", "2.png", "0.png", "1.png", "2.png"]
    assert train.counts() == {"a": 2, "b": 3}
    printed = capsys.readouterr().out
    assert str(tmp_path / "train" / "a" / "1.png") in printed and "1 of 6 files" in printed


@pytest.mark.shared
def test_every_real_photo_is_read():
    train, validation, _ = load_images(SHARED / "calico_tabby", 150)
    files = files_below(SHARED / "calico_tabby" / "train") + files_below(SHARED / "calico_tabby" / "validation")
    assert len(train.images) + len(validation.images) == len(files)


def remove(*paths):
    for path in paths:
        shutil.rmtree(path)


FAULTS = {
    "no data folder": (lambda d: remove(d), ["data/train", "--data"]),
    "no train": (lambda d: remove(d / "train"), ["data/train", "--data"]),
    "no validation": (lambda d: remove(d / "validation"), ["data/validation", "--data"]),
    "no class": (lambda d: remove(d / "train" / "calico", d / "train" / "tabby"), ["data/train", "two"]),
    "one class": (lambda d: remove(d / "train" / "tabby"), ["data/train", "one class", "calico", "two"]),
    "an empty third class": (lambda d: (d / "train" / "zebra").mkdir(), ["data/train/zebra", "no photos", "add"]),
    "other classes in test": (
        lambda d: shutil.copytree(d / "train" / "tabby", d / "test" / "a") and draw(d / "test", tabby=1),
        ["data/train", "data/test", "calico", "folder names"],
    ),
    "an empty class": (lambda d: (d / "train" / "tabby" / "tabby0.jpg").unlink(), ["train/tabby", "add"]),
    "other classes in validation": (
        lambda d: (d / "validation" / "tabby").rename(d / "validation" / "zebra"),
        ["data/train", "data/validation", "zebra", "tabby"],
    ),
    "no readable photo": (
        lambda d: (d / "train" / "tabby" / "tabby0.jpg").write_bytes(b"not a photo"),
        ["train/tabby", "replace"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_data_folders_get_one_sentence(tmp_path, fault):
    """That a part ends with it, without a traceback, is in test_errors.py."""
    for split in ("train", "validation"):
        draw(tmp_path / "data" / split, calico=1, tabby=1)
    spoil, named = FAULTS[fault]
    spoil(tmp_path / "data")
    with pytest.raises(TutorialError) as error:
        load_images(tmp_path / "data", 32)
    sentence = str(error.value).replace("\\", "/")
    assert "\n" not in sentence and all(word in sentence for word in named), sentence
