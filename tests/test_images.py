"""The loader, against Pillow used directly and hand-computed values; and data folders that it refuses."""

import io
import shutil
import struct
import threading
import zlib

import pictures
from conftest import SHARED, draw, odd_photos, run
from tutorial.cli import TutorialError
from tutorial.dataset import find_photos, load_images
from tutorial.images import READERS, PhotoError, caffe, decode_photo, open_photo, read_ahead, read_photo, rescale

import numpy as np
import pytest
from PIL import Image, ImageCms


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


def test_a_transparent_gray_of_sixteen_bits_becomes_white(tmp_path):
    path = save(tmp_path, Image.fromarray(np.uint16([[0, 256 * 128, 65535]])), "a.png", transparency=0)
    assert np.asarray(open_photo(path))[0, :, 0].tolist() == [255, 128, 255]


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


@pytest.mark.parametrize(("tag", "corner"), list(enumerate(["tl", "tr", "br", "bl"] * 2, 1)))
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
    files = find_photos(tmp_path).photos
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


def test_photos_that_nobody_waits_for_are_not_read():
    """As after Ctrl-C, while 64 photos are to be read ahead."""
    started, go_on = [], threading.Event()

    def read(path):
        started.append(path)
        if path:
            go_on.wait(10)
        return b""

    photos = read_ahead(range(200), 150, read)
    assert isinstance(next(photos)[0], PhotoError)
    threading.Timer(1, go_on.set).start()
    photos.close()
    assert go_on.wait(10) and len(started) <= 2 + READERS


def png_of_zeros(width, height, bits, color):
    """A small file: the bits are of a channel, the color type is PNG's."""
    packer = zlib.compressobj(1)
    row = bytes(1 + width * bits * {0: 1, 2: 3, 4: 2, 6: 4}[color] // 8)
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return pictures.png_file((b"IHDR", header), (b"IDAT", pixels))


def scanned_again(times):
    """A progressive JPEG whose last pass over its pixels comes so many times more."""
    file = io.BytesIO()
    Image.new("L", (8000, 8000), 128).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    return content[:end] + content[last:end] * times + content[end:]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: png_of_zeros(13_000, 13_000, 16, 0), "too many pixels"),  # 4.5 GB before
        (lambda: png_of_zeros(13_000, 13_000, 8, 6), "too many pixels"),
        (lambda: png_of_zeros(7_700, 7_700, 16, 0), None),
        (lambda: scanned_again(200), "takes too long to decode"),
        (lambda: scanned_again(2), None),
        (lambda: scanned_again(2) + b"\xff\xda" * 200, None),  # such as a motion photo's video
    ],
)
def test_a_small_file_takes_neither_gigabytes_nor_long(tmp_path, content, words):
    path = tmp_path / "photo"
    path.write_bytes(content())
    code = "import sys; from tutorial.images import read_photo; print(read_photo(sys.argv[1], 50).shape)"
    done = run("-c", code, path, RLIMIT_DATA=1_300_000_000)
    assert (words in done.stderr) if words else (done.stdout == "(50, 50, 3)\n"), done.stderr


def test_unreadable_photos_are_left_out_with_their_labels(tmp_path, capsys):
    for split, add in (("train", 0), ("validation", 5)):
        for k, name in enumerate(("a", "b")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(3):
                Image.new("L", (5, 5), 100 * k + 10 * i + add).save(tmp_path / split / name / f"{i}.png")
    (tmp_path / "train" / "a" / "1.png").write_bytes(b"")
    (tmp_path / "train" / "b" / ".hidden.png").write_bytes(b"")
    (tmp_path / "train" / "b" / "notes.txt").write_text("")
    train, _, test = load_images(tmp_path, 4)
    assert test is None
    assert train.images[:][:, 0, 0, 0].tolist() == [0, 20, 100, 110, 120]
    assert train.labels.tolist() == [0, 0, 1, 1, 1]
    assert [path.name for path in train.paths] == ["0.png", "2.png", "0.png", "1.png", "2.png"]
    assert train.counts() == {"a": 2, "b": 3}
    printed = capsys.readouterr().out
    assert str(tmp_path / "train" / "a" / "1.png") in printed and "1 of 6 files" in printed


@pytest.mark.shared
def test_every_real_photo_is_read():
    train, validation, _ = load_images(SHARED / "calico_tabby", 150)
    files = (
        find_photos(SHARED / "calico_tabby" / "train").photos
        + find_photos(SHARED / "calico_tabby" / "validation").photos
    )
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


# ---- Pixels with their metadata ------------------------------------------------------------------


def decode(content, size=None):
    return np.asarray(decode_photo(content, "photo", size)).astype(int)


def jpeg(image, **options):
    image.save(out := io.BytesIO(), "JPEG", quality=95, subsampling=0, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def soft():
    """Soft random colors."""
    colors = np.uint8(np.random.default_rng(5).integers(0, 256, (5, 7, 3)))
    return Image.fromarray(colors).resize((48, 32), Image.Resampling.BICUBIC)


def swapped_profile():
    """sRGB's profile with red and blue exchanged: the names of their tags are."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = int.from_bytes(profile[128:132], "big")
    table = profile[132 : 132 + 12 * count]
    entries = [table[i : i + 12] for i in range(0, len(table), 12)]
    names = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ", b"rTRC": b"bTRC", b"bTRC": b"rTRC"}
    entries = [names.get(entry[:4], entry[:4]) + entry[4:] for entry in entries]
    return profile[:132] + b"".join(entries) + profile[132 + 12 * count :]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colors_are_converted_by_the_profile(soft, mode):
    """A photo stored with red and blue exchanged, and a profile that tells so, looks as before."""
    stored = Image.fromarray(np.asarray(soft)[:, :, ::-1]).convert(mode)
    stored.save(out := io.BytesIO(), "PNG", icc_profile=swapped_profile())
    expected = np.asarray(stored.convert("RGB")).astype(int)[:, :, ::-1]
    assert np.abs(decode(out.getvalue()) - expected).max() <= 3
    assert np.abs(decode(out.getvalue(), 24) - decode(png8(soft) if mode != "P" else png8(expected), 24)).max() <= 6


def png8(image):
    image = image if isinstance(image, Image.Image) else Image.fromarray(np.uint8(image))
    image.save(out := io.BytesIO(), "PNG")
    return out.getvalue()


def test_srgbs_own_profile_changes_no_bit_and_a_broken_one_is_ignored_with_a_word(soft, capsys):
    plain = decode(jpeg(soft))
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(jpeg(soft, icc_profile=own)), plain)
    assert capsys.readouterr().err == ""
    for broken in (b"no profile", own[:200], own.replace(b"RGB ", b"CMYK", 1)):
        assert np.array_equal(decode(jpeg(soft, icc_profile=broken)), plain)
        assert "photo: its color profile is damaged" in capsys.readouterr().err


def test_a_gray_photo_with_a_color_profile_stays_gray(soft):
    gray = soft.convert("L")
    seen = decode(jpeg(gray, icc_profile=swapped_profile()))
    assert np.abs(seen - decode(jpeg(gray))).max() <= 2


def test_lab_is_converted(soft):
    lab = ImageCms.profileToProfile(
        soft, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    lab.save(out := io.BytesIO(), "TIFF")
    assert np.abs(decode(out.getvalue()) - np.asarray(soft).astype(int)).mean() < 4


RAMP = np.linspace(0, 4095, 24).reshape(4, 6).round().astype(int)  # 12 bits


@pytest.mark.parametrize(
    "content",
    [
        pictures.gray_tiff(RAMP, bits=12),
        pictures.gray_tiff(RAMP, t281=4095),  # MaxSampleValue
        pictures.gray_tiff(RAMP << 4),
        pictures.gray_tiff((4095 - RAMP) << 4, white_is_zero=True),
        pictures.png(RAMP, (b"sBIT", b"\x0c")),
        pictures.png(RAMP << 4, (b"sBIT", b"\x0c")),  # as the standard wants it
        pictures.png(RAMP << 4),
    ],
)
def test_grays_of_12_and_16_bits_are_scaled_by_what_is_white(content):
    assert np.abs(decode(content)[:, :, 1] - RAMP / 4095 * 255).max() <= 1


def test_what_cannot_be_scaled_is_refused():
    with pytest.raises(PhotoError, match="has signed pixels: save it with 8 bits"):
        decode(pictures.gray_tiff(RAMP - 2000, t339=2))
    Image.fromarray(np.float32(RAMP - 2000)).save(out := io.BytesIO(), "TIFF")
    with pytest.raises(PhotoError, match="has negative pixels: save it with 8 bits"):
        decode(out.getvalue())
    colors = np.stack([RAMP] * 3, axis=2)
    with pytest.raises(PhotoError, match="has 12-bit colors in 16 bits: save it with 8 bits"):
        decode(pictures.png(colors, (b"sBIT", b"\x0c\x0c\x0c")))
    assert np.abs(decode(pictures.png(colors << 4, (b"sBIT", b"\x0c\x0c\x0c")))[:, :, 0] - RAMP / 4095 * 255).max() <= 1


def test_a_thumbnail_is_not_taken_for_the_photo():
    """As camera raw files have one first: the full picture is read, or the file is refused."""

    def page(width, value, kind):
        tags = {254: (kind,), 256: (width,), 257: (2,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (2,)}
        return tags, bytes([value]) * width * 2

    assert decode(pictures.tiff(page(4, 9, 1), page(40, 200, 0))).shape == (2, 40, 3)
    assert decode(pictures.tiff(page(4, 9, 0), page(40, 200, 0)))[0, 0, 0] == 9  # the first of several photos
    with pytest.raises(PhotoError, match="camera raw file, or has only a thumbnail"):
        decode(pictures.tiff(page(4, 9, 1)))


def test_no_odd_exif_tag_sinks_a_photo(soft):
    """Every type, with counts and values that make no sense, for tags that Pillow looks at; the photo is turned."""
    upright = np.rot90(decode(jpeg(soft)), -1)
    tried = 0
    for tag in (254, 256, 258, 259, 271, 274, 282, 283, 296, 306, 700, 33432, 34665, 34853, 36864, 37500, 40962, 40965):
        for kind in (0, *range(1, 14), 99):
            for count, value in (
                (0, bytes(4)),
                (1, b"\6\0\0\0"),
                (3, b"abc\0"),
                (2**31, b"\xff" * 4),
                (70000, b"\x08\0\0\0"),
            ):
                content = jpeg(soft, exif=pictures.exif((tag, kind, count, value)))
                seen = decode(content)
                tried += 1
                if tag == 274:  # the orientation itself is odd
                    assert sorted(seen.shape[:2]) == [32, 48]
                else:
                    assert np.array_equal(seen, upright), (tag, kind, count)
    assert tried == 18 * 15 * 5


def test_no_odd_png_or_jpeg_metadata_sinks_a_photo(soft):
    pixels = np.asarray(soft).astype(int) * 257
    plain = decode(pictures.png(pixels))
    for chunk in (
        (b"tEXt", b"\xff" * 99),
        (b"zTXt", b"a\0\0no zlib"),
        (b"iTXt", b"a\0\1\0\0\0x"),
        (b"eXIf", b"MM\0*\xff"),
    ):
        assert np.array_equal(decode(pictures.png(pixels, chunk)), plain), chunk
    bomb = b"a\0\0" + zlib.compress(bytes(200_000_000))
    assert np.array_equal(decode(pictures.png(pixels, (b"zTXt", bomb))), plain)
    turned = pictures.exif().removeprefix(b"Exif\0\0")
    assert np.array_equal(decode(pictures.png(pixels, (b"zTXt", bomb), (b"eXIf", turned))), np.rot90(plain, -1))
    damaged = bytearray(pictures.png(pixels, (b"tEXt", b"a\0b")))
    damaged[damaged.index(b"tEXt") + 4] ^= 1  # its checksum is wrong now
    assert np.array_equal(decode(bytes(damaged)), plain)
    whole = jpeg(soft)
    for segment in (b"\xff\xe1\0\x08Exif\0\0", b"\xff\xe2\0\x10MPF\0II*\0\xff\xff\xff\xff", b"\xff\xed\0\x06abcd"):
        assert np.array_equal(decode(whole[:2] + segment + whole[2:]), decode(whole)), segment
