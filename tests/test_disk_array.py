"""Arrays in files: what NumPy gives for the same rows, from several threads at once, and in little memory."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from conftest import paint, run
from tutorial import dataset, files
from tutorial.augmentation import AugmentedImages, digest
from tutorial.cli import TutorialError
from tutorial.dataset import Photos, load_images
from tutorial.disk_array import DiskArray, blocks

import numpy as np
import pytest


@pytest.fixture(params=["file", "memory"])
def both(request, tmp_path):
    """The same numbers in a file, after a few other bytes, and as NumPy's array."""
    plain = np.random.default_rng(0).integers(0, 2**15, (50, 4, 3)).astype("<u2")
    content = b"header" + plain.tobytes() + b"end"
    (tmp_path / "file").write_bytes(content)
    file = open(tmp_path / "file", "rb") if request.param == "file" else BytesIO(content)  # noqa: SIM115
    with file:
        yield DiskArray(file, plain.shape, "<u2", len(b"header")), plain


@pytest.mark.parametrize(
    "rows",
    [
        0,
        -1,
        slice(None),
        slice(3, 40, 7),
        slice(5, 5),
        [4],
        [9, 9, 0, -50],
        np.array([[1, 2], [3, 49]]),
        np.arange(50) > 44,
    ],
)
def test_rows_are_those_of_numpy(both, rows):
    ours, plain = both
    found = ours[rows]
    assert np.array_equal(found, plain[rows]) and found.shape == plain[rows].shape and found.dtype == plain.dtype
    found[...] = 7  # a copy: the array stays as it is
    assert np.array_equal(ours[:], plain)


@pytest.mark.parametrize("rows", [50, -51, [0, 50]])
def test_rows_that_are_not_there_are_an_error(both, rows):
    with pytest.raises(IndexError):
        both[0][rows]


def test_a_file_that_has_become_shorter_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(bytes(100))
    with open(tmp_path / "file", "rb") as file, pytest.raises(OSError, match="row 9 is not in the file"):
        DiskArray(file, (10, 11), "u1")[:]


def test_threads_do_not_disturb_each_other(both):
    ours, plain = both
    batches = [np.random.default_rng(i).integers(0, 50, 16) for i in range(2000)]
    with ThreadPoolExecutor(4) as pool:
        for rows, found in zip(batches, pool.map(ours.__getitem__, batches), strict=True):
            assert np.array_equal(found, plain[rows])


def test_blocks_and_digests_are_those_of_the_whole(both):
    ours, plain = both
    assert [len(block) for block in blocks(ours, 20)] == [20, 20, 10]
    assert np.array_equal(np.concatenate(list(blocks(ours, 20))), plain)
    many = np.random.default_rng(1).random((1050, 3))
    file = BytesIO(many.tobytes())
    assert digest(ours) == digest(plain) and digest(DiskArray(file, many.shape, "f8"), plain) == digest(many, plain)
    assert len({digest(plain), digest(plain[:-1]), digest(plain[::-1]), digest(plain.reshape(50, 12))}) == 4


# ---- Decoded photos


@pytest.fixture
def data(tmp_path):
    for split in ("train", "validation"):
        paint(tmp_path / "data" / split, a=5, b=4)
    (tmp_path / "weights").mkdir()
    return tmp_path / "data"


def test_photos_and_their_copies_are_the_same_on_disk_and_in_memory(data, tmp_path, capsys, monkeypatch):
    (data / "train" / "a" / "a2.jpg").write_bytes(b"")
    in_memory = load_images(data, 64)
    assert "decoded photos" not in capsys.readouterr().out
    on_disk = load_images(data, 64, tmp_path / "weights")
    monkeypatch.setattr(files, "RESERVE", 1e18)
    no_room = load_images(data, 64, tmp_path / "weights")
    assert "decoded photos need 0 MB" in (printed := capsys.readouterr().out) and "kept in memory" in printed
    for train, validation, _ in (on_disk, no_room):
        assert train.images.shape == (8, 64, 64, 3) and validation.images.shape == (9, 64, 64, 3)
        for ours, other in zip((train, validation), in_memory, strict=False):
            assert np.array_equal(ours.images[:], other.images[:]) and ours.digests == other.digests
    assert [type(photos.images.file) is BytesIO for photos, *_ in (in_memory, on_disk, no_room)] == [True, False, True]
    assert list((tmp_path / "weights").iterdir()) == []  # the file has no name: nothing to remove after a kill

    plain = Photos(data / "train", ("a", "b"), [], on_disk[0].labels, in_memory[0].images[:])
    settings = {"batch_size": 3, "seed": 1, "shear_range": 0.2, "random_erasing": 0.3, "mixup_alpha": 0.4}
    ours, other = (AugmentedImages(photos, **settings) for photos in (on_disk[0], plain))
    assert ours.digest == other.digest
    for epoch in range(2):
        ours.set_epoch(epoch), other.set_epoch(epoch)
        for i in range(len(ours)):
            assert all(np.array_equal(a, b) for a, b in zip(ours[i], other[i], strict=True))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is full is Linux's /dev/full")
def test_a_disk_that_turns_out_to_be_full_is_an_error(data, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "TemporaryFile", lambda dir: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(TutorialError) as error:
        load_images(data, 64, tmp_path / "weights")
    place = f"{tmp_path / 'weights'} (No space left on device)"
    assert str(error.value) == f"the decoded photos could not be written to {place}: make room on its disk."


MEASURE = """
import resource, sys
from pathlib import Path
from tutorial.augmentation import AugmentedImages
from tutorial.dataset import load_images

def peak(data):  # bytes, after all that a part does with decoded photos
    train, validation, _ = load_images(Path(data), 256, Path(sys.argv[3]))
    dataset = AugmentedImages(train, 16, 0, shear_range=0.2)
    assert dataset.digest
    for i in range(len(dataset)):
        assert dataset[i][0].shape[1:] == (256, 256, 3)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

few = peak(sys.argv[1])
print("grown by", peak(sys.argv[2]) - few)
"""


@pytest.mark.slow
def test_decoded_photos_do_not_stay_in_memory(data, tmp_path):
    """3,100 photos against 100: the others are 590 MB when decoded. (Pieces that are free may stay in the heap: up to
    180 MB were seen, with 1,100 photos as with these.)"""
    pytest.importorskip("resource", reason="peak memory is measured as POSIX does it")
    shutil.copytree(data, many := tmp_path / "many")
    for folder, count in ((data, 91), (many, 3091)):
        for i in range(count):
            os.link(data / "train" / "a" / "a0.jpg", folder / "train" / "a" / f"copy{i}.jpg")
    done = run("-c", MEASURE, data, many, tmp_path / "weights")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split("grown by ")[1]) < 240e6
