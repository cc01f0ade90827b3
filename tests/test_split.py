"""data/split.py: counts, copies on one side, the same again for the same seed, and whole or not at all."""

import csv
import hashlib
import os
import shutil
import signal
from collections import Counter
from pathlib import Path

from conftest import files_in, paint, posix, run, table_rows
from photo_tools.install_split import install_split, refuse_foreign_files
from photo_tools.splitting import split_photos, wanted
from tutorial.cli import TutorialError
from tutorial.dataset import find_images

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image


def split(data, *flags, **more):
    return run("data/split.py", "--data", data, *flags, **more)


def manifest(data):
    return table_rows(data / "split.csv")


def fingerprint(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# ---- properties of the split


@st.composite
def collections(draw_):
    """Photos of two classes in groups of copies, some of them in both classes."""
    groups, names = [], []
    for group in draw_(st.lists(st.lists(st.sampled_from(["calico", "tabby"]), min_size=1, max_size=4), max_size=30)):
        same = draw_(st.booleans())
        groups.append(list(range(len(names), len(names) + len(group))))
        names += [group[0]] * len(group) if same else group
    return names, groups


numbers = st.integers(1, 12)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(collections(), numbers, numbers, st.integers(0, 2**32 - 1))
def test_properties_of_the_split(collection, train, validation, seed):
    names, groups = collection
    counts = {"calico": (train, validation), "tabby": (train, validation)}
    have = Counter(names)
    try:
        sides = split_photos(names, groups, counts, seed)
    except TutorialError as error:
        enough = all(have[name] >= train + validation for name in counts)
        assert ("copies" in str(error)) == enough  # with enough photos, only copies can be in the way
        if enough:
            assert max(map(len, groups)) > 1
        return
    for side, count in zip(sides, (train, validation), strict=True):
        assert Counter(names[i] for i in side) == {"calico": count, "tabby": count}
        assert len(set(side)) == len(side)
    sides_of = [set(side) for side in sides]
    assert not sides_of[0] & sides_of[1]
    for group in groups:
        assert sum(bool(side & set(group)) for side in sides_of) <= 1
    assert split_photos(names, groups, counts, seed) == sides


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 4), min_size=1, max_size=7), st.integers(1, 9), st.integers(1, 9), st.integers(0, 999))
def test_a_deal_that_exists_is_found(sizes, train, validation, seed):
    """One class, against trying every way to put each group on one side."""
    total = sum(sizes)
    reachable = {0}
    for size in sizes:
        reachable |= {have + size for have in reachable}
    exists = any(validation <= have <= total - train for have in reachable)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    groups = [list(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]
    try:
        split_photos(["calico"] * total, groups, {"calico": (train, validation)}, seed)
        found = True
    except TutorialError:
        found = False
    assert found == exists


def test_the_seed_matters_and_the_deal_is_even():
    names, groups = ["calico"] * 40, [[i] for i in range(40)]
    drawn = Counter()
    for seed in range(400):
        sides = split_photos(names, groups, {"calico": (20, 10)}, seed)
        drawn.update(sides[1])
    assert set(drawn) == set(range(40)) and min(drawn.values()) > 60 and max(drawn.values()) < 145  # 100 +- 5 sigma


@given(st.integers(1, 3000), st.integers(1, 99))
def test_fractions(count, percent):
    train, validation = wanted(count, 1 - percent / 100, percent / 100)
    assert train >= 1 and validation >= 1
    if count >= 2:
        assert train + validation <= count
        assert abs(train - count * (1 - percent / 100)) <= 1 and abs(validation - count * percent / 100) <= 1


# ---- the script


@pytest.fixture
def collected(tmp_path):
    """12 and 15 painted pictures, copies among them, one unreadable file, one attribution."""
    paint(tmp_path / "collected", calico=12, tabby=15)
    calico = tmp_path / "collected" / "calico"
    for i in range(3):
        Image.open(calico / "calico0.jpg").resize((150 + 10 * i, 150 + 10 * i)).save(calico / f"copy{i}.PNG")
    (calico / "cut.jpg").write_bytes((calico / "calico1.jpg").read_bytes()[:2000])
    with open(calico / "attribution.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "source_page", "author", "license", "license_url", "query", "sha256"])
        who = ["calico5.jpg", "https://example.org/5", 'J\u00f6rg "J", x', "by", "https://example.org/by", "calico cat"]
        writer.writerow([*who, fingerprint(calico / "calico5.jpg")])
    return tmp_path


def test_it_deals_out_whole_and_again_the_same(collected):
    before = files_in(collected / "collected")
    done = split(collected, "--train", 9, "--validation", 5)
    assert done.returncode == 0, done.stderr
    assert "left out: collected/calico/cut.jpg" in done.stdout
    assert "calico: 9 for train, 5 for validation, 1 not used" in done.stdout
    assert done.stdout.splitlines()[-1] == f"next: python fine_tuning_VGG16_pt1.py --data {collected}"
    assert files_in(collected / "collected") == before
    train, validation = find_images(collected)  # the parts' own eyes
    assert train.counts() == {"calico": 9, "tabby": 9} and validation.counts() == {"calico": 5, "tabby": 5}
    rows = manifest(collected)
    files = {**files_in(collected / "train"), **files_in(collected / "validation")}
    assert len(rows) == 28 == sum(len(files_in(collected / s)) for s in ("train", "validation")) and files
    for row in rows:
        new, old = collected / row["file"], collected / row["collected"]
        assert new.read_bytes() == old.read_bytes() and fingerprint(new) == row["sha256"]
        assert new.suffix == old.suffix and row["file"].startswith(f"{row['split']}/{row['class']}/{row['class']}")
    assert len({row["collected"] for row in rows}) == 28
    numbered = {Path(row["file"]).stem for row in rows if row["split"] == "train" and row["class"] == "tabby"}
    assert numbered == {f"tabby{i}" for i in range(1, 10)}
    copies = {row["split"] for row in rows if Path(row["collected"]).stem in ("calico0", "copy0", "copy1", "copy2")}
    assert len(copies) == 1
    by = {row["collected"]: row["author"] for row in rows}
    assert by.get("collected/calico/calico5.jpg", 'J\u00f6rg "J", x') == 'J\u00f6rg "J", x'

    first = files_in(collected)
    assert split(collected, "--train", 9, "--validation", 5).returncode == 0 and files_in(collected) == first
    assert split(collected, "--train", 9, "--validation", 5, "--seed", 1).returncode == 0
    assert files_in(collected) != first and not list(collected.glob(".*"))
    done = split(collected, "--train", "0.8", "--validation", "0.2")
    assert "tabby: 12 for train, 3 for validation, 0 not used" in done.stdout
    assert set(files_in(collected / "collected")) == set(before)


def test_what_it_did_not_make_is_not_replaced(collected, sentence):
    flags = ("--train", 5, "--validation", 2)
    assert split(collected, *flags).returncode == 0
    ours = files_in(collected)
    (collected / "train" / "tabby" / ".DS_Store").write_bytes(b"")
    (collected / "train" / "calico" / "mine.jpg").write_bytes(b"mine")
    assert "mine.jpg was not made by an earlier split" in sentence(split(collected, *flags))
    (collected / "train" / "calico" / "mine.jpg").unlink()
    edited = collected / "validation" / "tabby" / "tabby1.jpg"
    edited.unlink()
    edited.write_bytes(b"another photo under the same name")
    assert "tabby1.jpg was not made" in sentence(split(collected, *flags))
    edited.unlink()  # photos that are gone are no reason
    assert split(collected, *flags).returncode == 0 and files_in(collected) == ours
    if os.name == "posix":
        lost = collected / "train" / "calico" / "lost.jpg"
        lost.symlink_to("/no/such/photo")
        assert f"{lost} was not made by an earlier split" in sentence(split(collected, *flags))
        lost.unlink()
    (collected / "train" / ".labels.json").write_text("{}")
    assert ".labels.json was not made by an earlier split" in sentence(split(collected, *flags))
    (collected / "train" / ".labels.json").unlink()
    (collected / "split.csv").unlink()
    assert "was not made by an earlier split" in sentence(split(collected, *flags))


def test_a_file_that_is_added_while_it_runs_is_kept(collected):
    """Its place is train/ of the split before."""
    flags = ("--train", "0.7", "--validation", "0.3")
    assert split(collected, *flags).returncode == 0
    made = refuse_foreign_files(collected)
    mine = collected / "train" / "calico" / "mine.jpg"

    def build(folder):
        for side in ("train", "validation"):
            (folder / side).mkdir()
        (folder / "split.csv").write_text("file,sha256\n")
        mine.write_bytes(b"mine")

    install_split(collected, build, made)
    assert [path.read_bytes() for path in collected.rglob("mine.jpg")] == [b"mine"]
    assert (collected / "replaced-1" / "train" / "calico" / "mine.jpg").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), ["calico has 15 usable photos", "1000 for train", "300 for validation", "collect 1285 more", "0.8"]),
        (("--train", "0.9", "--validation", "0.2"), ["--train 0.9", "more than 1"]),
        (("--train", "13", "--validation", "2"), ["4 times", "prune.py"]),
    ],
)
def test_too_few(collected, sentence, flags, words):
    if flags[:2] == ("--train", "13"):  # 15 photos, but only two of calico's are left that are not copies
        for i in range(2, 12):
            (collected / "collected" / "calico" / f"calico{i}.jpg").unlink()
        flags = ("--train", "3", "--validation", "2")
    line = sentence(split(collected, *flags))
    assert all(word in line for word in words), line
    assert not (collected / "train").exists() and not list(collected.glob(".*"))


def test_three_classes(tmp_path):
    paint(tmp_path / "collected", calico=5, tabby=6, zebra=7)
    done = split(tmp_path, "--train", "3", "--validation", "2")
    assert done.returncode == 0, done.stderr
    train, validation = find_images(tmp_path)
    assert train.counts() == {"calico": 3, "tabby": 3, "zebra": 3}
    assert validation.counts() == {"calico": 2, "tabby": 2, "zebra": 2}


def test_folders(collected, sentence):
    shutil.rmtree(collected / "collected" / "tabby")
    assert "1 class folders (calico)" in sentence(split(collected))
    shutil.rmtree(collected / "collected")
    assert "0 class folders" in sentence(split(collected))
    for flag in ("--train=0", "--train=1.5", "--validation=x", "--seed=-1"):
        done = split(collected, flag)
        assert done.returncode == 2 and "Traceback" not in done.stderr and flag.split("=")[0] in done.stderr


def spy(folder, code):
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text("import errno, os, signal\n" + code)
    return {"PYTHONPATH": str(folder)}


def test_copies_where_links_fail(collected, tmp_path_factory):
    env = spy(tmp_path_factory.mktemp("spy"), "def link(*a, **k): raise OSError(errno.EXDEV, 'x')\nos.link = link\n")
    assert split(collected, "--train", 3, "--validation", 2, env=env).returncode == 0
    rows = manifest(collected)
    assert len(rows) == 10 and all((collected / row["file"]).stat().st_nlink == 1 for row in rows)


@posix
@pytest.mark.parametrize("steps", range(5))
def test_kill_9_leaves_old_or_new_and_is_put_right(collected, tmp_path_factory, steps):
    """Killed before each of the four folder renames and the manifest's, perhaps twice over, and then not."""
    flags = ("--train", 5, "--validation", 2)
    assert split(collected, *flags).returncode == 0
    code = """done = []
def killing(function):
    def call(*paths):
        if str(paths[0]).endswith(("train", "validation", "split.csv")):
            if len(done) == %d: os.kill(os.getpid(), signal.SIGKILL)
            done.append(1)
        return function(*paths)
    return call
os.rename, os.replace = killing(os.rename), killing(os.replace)
"""
    for seed in (1, 2) if steps > 2 else (1,):
        env = spy(tmp_path_factory.mktemp("spy"), code % steps)
        done = split(collected, *flags, "--seed", seed, env=env)
        assert done.returncode == -signal.SIGKILL or seed == 2
        train, validation = files_in(collected / "train"), files_in(collected / "validation")
        assert not set(train.values()) & set(validation.values())  # never a mixture of two splits
    done = split(collected, *flags, "--seed", 3)
    assert done.returncode == 0, done.stderr
    assert not list(collected.glob(".*")) and len(manifest(collected)) == 14
    assert {row["file"]: row["sha256"] for row in manifest(collected)} == {
        f"{side}/{name}": hashlib.sha256(data).hexdigest()
        for side in ("train", "validation")
        for name, data in files_in(collected / side).items()
    }
