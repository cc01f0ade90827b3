"""Bad and odd photo files: each is predicted or refused in one line, in little memory."""

import json
import os
import shutil

import bad_photos
import report
from conftest import paint, posix, run
from tutorial.dataset import find_photos, load_images
from tutorial.images import PhotoError, open_photo
from tutorial.model_file import FILES

import numpy as np
import pytest
from PIL import Image

MEMORY = 1_500_000_000  # bytes


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three lists of files: without a picture, with one, and damaged ones that may contain one."""
    folder = tmp_path_factory.mktemp("corpus")
    return [make(folder / make.__name__) for make in (bad_photos.bad, bad_photos.odd, bad_photos.unknown)]


def test_predict_has_one_line_for_each_file_and_needs_little_memory(untrained, corpus):
    bad, odd, unknown = corpus
    folder = bad[0].parent.parent
    assert len(bad) + len(odd) + len(unknown) >= 300
    done = run(
        "predict.py", folder, "--weights", untrained.weights / FILES["small_convnet"][0], "--json", RLIMIT_DATA=MEMORY
    )
    assert done.returncode == 2 and done.stderr == ""
    found = {one["photo"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert (
        set(found) == {str(path) for path in bad + odd + unknown} == {str(path) for path in find_photos(folder).photos}
    )
    assert [path.name for path in bad if "error" not in found[str(path)]] == []
    assert [path.name for path in odd if "class" not in found[str(path)]] == []
    for path in bad + unknown:
        error = found[str(path)].get("error", "")
        assert not error or (str(path) in error and "\n" not in error and len(error) < 600)


def test_odd_files_hold_the_picture_that_was_put_into_them(corpus):
    """Rotated upright, the first of several frames, under a wrong suffix; where the format has kept the colors."""
    expected = np.float64(report.picture())
    checked = 0
    for path in corpus[1]:
        if not path.name.startswith(("pixel", "line", "mode")):
            seen = np.float64(open_photo(path))
            turn = int(path.stem[-1]) if path.name.startswith("turned") else 1
            stored = {
                1: seen,
                2: seen[:, ::-1],
                3: seen[::-1, ::-1],
                4: seen[::-1],
                5: seen.transpose(1, 0, 2),
                6: np.rot90(seen),
                7: seen[::-1, ::-1].transpose(1, 0, 2),
                8: np.rot90(seen, -1),
            }[turn]
            assert stored.shape == expected.shape, path.name
            assert np.abs(stored - expected).mean() < 12, path.name
            checked += 1
    assert checked > 50


def test_training_leaves_bad_files_out_and_counts_them(corpus, tmp_path, capsys):
    """A third as many bad ones as there are photos: named and counted; more than that: a sentence."""
    bad = corpus[0]
    for split in ("train", "validation"):
        paint(tmp_path / split, a=6, b=6)
    few = bad[:4]
    for path in few:
        shutil.copy(path, tmp_path / "train" / "a")
    train, _, _ = load_images(tmp_path, 32)
    found = capsys.readouterr().out
    assert len(train.images) == 12 and train.counts() == {"a": 6, "b": 6}
    assert f"4 of 16 files in {tmp_path / 'train'} were left out" in found
    assert all(str(tmp_path / "train" / "a" / path.name) in found for path in few)
    shutil.copy(bad[4], tmp_path / "train" / "b")
    with pytest.raises(Exception, match=r"5 of 17 files in .* cannot be read, more than 25%"):
        load_images(tmp_path, 32)


def test_libtiff_writes_nothing_to_the_terminal(untrained, tmp_path):
    """Found by benchmarks/fuzz.py: compressed TIFFs about which the C library itself wrote lines to the terminal."""
    whole = report.encoded(report.picture(), "tif", compression="tiff_lzw")
    for i in range(10):
        changed = bytearray(whole)
        changed[20 + 40 * i : 28 + 40 * i] = b"\xff" * 8
        (tmp_path / f"{i}.tif").write_bytes(changed)
    done = run("predict.py", tmp_path, "--weights", untrained.weights / FILES["small_convnet"][0])
    lines = done.stderr.splitlines()
    assert lines and all(line.startswith(f"error: {tmp_path}") for line in lines)
    assert len(lines) + len(done.stdout.splitlines()) == 11


@posix
def test_what_is_no_file_at_all(untrained, tmp_path, capsys):
    """Folders called cat.jpg, loops of links, dangling links, pipes, hidden and system files."""
    folder = tmp_path / "data" / "train" / "calico"
    for split in ("train", "validation"):
        shutil.copytree(untrained.data / split, tmp_path / "data" / split)
    count = len(find_photos(folder).photos)
    (folder / "cat.jpg").mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "nowhere.jpg").symlink_to(tmp_path / "nowhere")
    for name in (".hidden.jpg", "Thumbs.db", "desktop.ini", ".DS_Store"):
        (folder / name).write_bytes(b"x")
    os.mkfifo(folder / "pipe.jpg")
    load_images(tmp_path / "data", 32)
    printed = capsys.readouterr().out
    assert f"{tmp_path}/data/train: {count + 3} calico" in printed and f"3 of {count + 15} files" in printed
    for name in ("loop.jpg", "nowhere.jpg", "pipe.jpg"):
        assert f"left out: {folder / name}" in printed


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may read anything")
def test_a_photo_that_may_not_be_read(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(PhotoError, match="check its permissions"):
        open_photo(tmp_path / "a.png")
