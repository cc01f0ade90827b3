"""predict.py on many photos: the table, the sorted copies, the progress bar, Ctrl-C."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

from conftest import PROJECT, Command, edited, in_terminal, posix, run, table_rows, wait_for, without_escapes

import pytest
from PIL import Image


@pytest.fixture
def many(untrained, tmp_path):
    """Links to photos, more than the progress bar needs and than can be predicted in a moment."""
    photos = sorted((untrained.data / "validation").rglob("*.jpg"))
    (tmp_path / "many").mkdir()
    for i in range(3000):
        os.link(photos[i % len(photos)], tmp_path / "many" / f"{i:04}.jpg")
    return tmp_path / "many"


def test_the_table_has_what_json_has_and_what_cannot_be_read(untrained, convnet, tmp_path):
    folder = tmp_path / "photos"
    shutil.copytree(untrained.data / "validation", folder)
    (folder / "=1+1.jpg").write_text("no photo")
    (folder / "notes.txt").write_text("no photo, and not called one")
    if os.name == "posix":
        (folder / "gone.jpg").symlink_to("nowhere.jpg")
        (folder / "gone").symlink_to("nowhere")
    done = run(PROJECT / "predict.py", ".", *convnet, "--csv", tmp_path / "a.csv", "--json", folder=folder)
    assert done.returncode == 2, done.stderr
    done_again = run(PROJECT / "predict.py", "=1+1.jpg", *convnet, "--csv", "b.csv", folder=folder)
    assert done_again.returncode == 2 and table_rows(folder / "b.csv")[0]["photo"] == "'=1+1.jpg"
    printed, table = [json.loads(line) for line in done.stdout.splitlines()], table_rows(tmp_path / "a.csv")
    assert len(printed) == len(table) == 18 + 2 * (os.name == "posix")
    for one, row in zip(printed, table, strict=True):
        assert row["photo"].removeprefix("'") == one["photo"] != "notes.txt"
        if "error" in one:
            assert (
                row["error"].removeprefix("'") == one["error"]
                and row["class"] == row["probability"] == row["sure"] == ""
            )
            continue
        assert row["class"] == one["class"] and float(row["probability"]) == one["probability"]
        for name in ("calico", "tabby"):
            assert float(row[f"probability of {name}"]) == one["probabilities"][name]
        assert sum(one["probabilities"].values()) == pytest.approx(1)
        assert (row["sure"], row["out_of_distribution"]) == (str(one["sure"]), str(one["out_of_distribution"]))
    errors = [one["error"] for one in printed if "error" in one]
    assert len(errors) == 1 + 2 * (os.name == "posix") and "=1+1.jpg is not a photo" in errors[0]
    assert "not photos: 1 (notes.txt)" in done.stderr


def test_photos_are_sorted_and_nothing_is_overwritten(untrained, convnet, tmp_path):
    given, there = tmp_path / "given", tmp_path / "sorted"
    for folder in ("one", "two"):
        shutil.copytree(untrained.data / "validation" / "tabby", given / folder)
    Image.effect_noise((90, 60), 50).convert("RGB").save(given / "two" / "tabby0.jpg")  # another photo of that name
    (given / "two" / "broken.jpg").write_text("no photo")
    flags = ["predict.py", given, *convnet, "--threshold"]
    classes = [json.loads(line).get("class") for line in run(*flags, 0, "--json").stdout.splitlines()]
    for _ in range(2):  # the second time finds that all is there
        done = run(*flags, 0, "--sort-into", there)
        assert done.returncode == 2 and "with 10 photos; 1 could not be read" in done.stderr
        sorted_photos = sorted(path for path in there.rglob("*") if path.is_file())
        assert len(sorted_photos) == 6  # five, of which the second folder has the same, and the other tabby0.jpg
        assert {path.parent.name for path in sorted_photos} == set(classes) - {None}
    contents = {path.read_bytes() for path in sorted_photos}
    assert contents == {path.read_bytes() for path in given.rglob("tabby*.jpg")}
    first = given / "one" / "tabby1.jpg"
    [copied] = there.glob("*/tabby1.jpg")
    assert copied.stat().st_mtime == pytest.approx(first.stat().st_mtime, abs=0.01)
    copied.write_text("edited")
    assert first.read_bytes() in contents  # a copy, and not the photo itself
    assert run(*flags, 1, "--sort-into", tmp_path / "unsure").returncode == 2
    assert {path.name for path in (tmp_path / "unsure").iterdir()} == {"not-sure"}


def test_a_class_name_cannot_lead_to_another_folder(untrained, tmp_path, sentence):
    weights = tmp_path / "small_convnet.weights.h5"
    shutil.copy(untrained.weights / weights.name, weights)
    for names in (["../../escaped", "../../gone"], ["..", "not-sure"]):  # the last one is for photos of any class
        with edited(weights) as (info, _):
            info["class_names"] = names
        flags = "--weights", weights, "--sort-into", tmp_path / "there" / "deep"
        assert "leave out --sort-into" in sentence(run("predict.py", untrained.data / "validation", *flags))
        assert not (tmp_path / "there").exists()


@posix
def test_ctrl_c_keeps_the_rows_and_copies_so_far(many, convnet, tmp_path):
    table, there = tmp_path / "table.csv", tmp_path / "sorted"
    process = Command("predict.py", many, *convnet, "--csv", table, "--sort-into", there)
    wait_for(process, lambda: list(there.glob("*/0031.jpg")))  # of the first batch
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.poll() == 130 and printed.endswith("stopped.\n") and "Traceback" not in printed
    found = table_rows(table)
    assert 32 <= len(found) < 3000 and all(row["sure"] for row in found)
    copies = [path.name for path in there.glob("*/*.jpg") if re.fullmatch(r"\d{4}.jpg", path.name)]
    assert {row["photo"].rsplit("/", 1)[1] for row in found} >= set(copies)


@posix
def test_the_table_has_the_rows_until_the_reader_of_the_output_ended(many, convnet, tmp_path):
    table = tmp_path / "table.csv"
    command = [sys.executable, "predict.py", many, *convnet, "--csv", table, "--json"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()  # as "head -n 1"
        assert process.wait(60) == 1 and not process.stderr.read()
    assert 1 <= len(table_rows(table)) < 3000


@pytest.mark.slow
@posix
def test_many_photos_have_a_progress_bar_in_a_terminal(many, convnet, tmp_path):
    command = [sys.executable, "predict.py", many, *convnet, "--csv", tmp_path / "table.csv"]
    status, written = in_terminal(command, 80)
    assert status == 0
    text = without_escapes(written)
    assert len(set(re.findall(r"(\d+)/3000", text))) > 3 and "left: predicting" in text
    assert f"saved {tmp_path / 'table.csv'}, with 3000 photos" in text
    assert len(table_rows(tmp_path / "table.csv")) == 3000


def test_a_photo_is_not_taken_for_a_table(untrained, convnet, tmp_path, sentence):
    """As in ``predict.py --csv a.jpg b.jpg``, by somebody who thinks of ``--json``."""
    photo = shutil.copy(untrained.data / "validation" / "tabby" / "tabby0.jpg", tmp_path / "a.JPG")
    before = photo.read_bytes()
    assert "use --csv table.csv" in sentence(run("predict.py", "--csv", photo, untrained.data, *convnet))
    assert photo.read_bytes() == before
    heic = tmp_path / "IMG_1.HEIC"  # not read without another package, and still a photo
    heic.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert "use --csv table.csv" in sentence(run("predict.py", "--csv", heic, untrained.data, *convnet))
    assert b"ftypheic" in heic.read_bytes()
    assert "name a file in it" in sentence(run("predict.py", photo, "--csv", "", *convnet))


def test_the_longest_names_are_sorted_too(untrained, convnet, tmp_path):
    photo = tmp_path / ("\N{CAT FACE}" * 62 + "abc.jpg")  # 255 bytes
    shutil.copy(untrained.data / "validation" / "tabby" / "tabby0.jpg", photo)
    done = run("predict.py", photo, *convnet, "--threshold", 0, "--sort-into", tmp_path / "sorted")
    assert done.returncode == 0 and len(list((tmp_path / "sorted").glob(f"*/{photo.name}"))) == 1, done.stderr


def test_a_table_that_cannot_be_written_is_one_sentence(untrained, convnet, tmp_path, sentence):
    (tmp_path / "file").write_text("")
    photo = untrained.data / "validation" / "tabby" / "tabby0.jpg"
    line = sentence(run("predict.py", photo, *convnet, "--csv", tmp_path / "file" / "table.csv"))
    assert "table.csv could not be written" in line
    (tmp_path / "table.csv").mkdir()
    done = run("predict.py", photo, *convnet, "--csv", tmp_path / "table.csv", "--json")
    assert "table.csv could not be written" in sentence(done) and not done.stdout  # found before the work
    line = sentence(run("predict.py", photo, *convnet, "--sort-into", tmp_path / "file"))
    assert "could not be" in line and str(tmp_path / "file") in line
