"""data/prune.py on real files: what it finds, what it prints, and that nothing is ever lost."""

import base64
import csv
import hashlib
import html
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tracemalloc
from html.parser import HTMLParser

from conftest import PROJECT, SHARED, check_in_browser, files_in, paint, posix, run, table_rows
from photo_tools import duplicates
from photo_tools.contact_sheet import Section, write_contact_sheet
from photo_tools.duplicates import NEAR, fingerprint, groups, near_groups, near_pairs

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps


def prune(data, *flags, **more):
    ranking = [] if {"--apply", "--undo", "--ranking"} & set(flags) else ["--no-ranking"]
    return run("data/prune.py", "--data", data, *ranking, *(flag for flag in flags if flag != "--ranking"), **more)


def table(data):
    return {row["file"]: row for row in table_rows(data / "prune.csv")}


def mark(data, *files, delimiter=",", **moves):
    """Mark rows as a person does in a spreadsheet; ``tabby=[file]`` moves it to that class."""
    marks = dict.fromkeys(files, "X ") | {file: f"Move to  {name}" for name, there in moves.items() for file in there}
    rows = list(table(data).values())
    with open(data / "prune.csv", "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(row | {"mark": marks.get(row["file"], row["mark"])} for row in rows)


def content(data):
    """Every photo's place and bytes, apart from what prune.py writes."""
    return {name: found for name, found in files_in(data).items() if not name.endswith((".csv", ".html", ".npz"))}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A collection with one of each fault in it, looked at once."""
    data = tmp_path_factory.mktemp("faulty")
    paint(data / "collected", calico=8, tabby=8)
    calico, tabby = data / "collected" / "calico", data / "collected" / "tabby"
    cat = Image.open(calico / "calico1.jpg")
    cat.resize((150, 150)).save(
        calico / "smaller <img src=x onerror=alert(1)>&.jpg" if os.name == "posix" else calico / "s.jpg"
    )
    shutil.copy(calico / "calico2.jpg", calico / "again.jpg")
    ImageOps.mirror(Image.open(calico / "calico4.jpg")).save(calico / "flipped.png")
    shutil.copy(calico / "calico3.jpg", tabby / "wrong.jpg")
    whole = (tabby / "tabby0.jpg").read_bytes()
    (tabby / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tabby / "empty.jpg").write_bytes(b"")
    (tabby / "page.jpg").write_text("<html>404</html>")
    Image.open(tabby / "tabby7.jpg").crop((0, 0, 40, 60)).save(tabby / "icon.png")
    before = content(data)
    done = prune(data)
    assert done.returncode == 0, done.stderr
    assert content(data) == before  # looking moves nothing
    return data, done.stdout


def test_it_names_every_fault_and_no_other_photo(faulty):
    data, printed = faulty
    rows = table(data)
    assert len(rows) == 24
    reasons = {file.removeprefix("collected/"): row["reasons"] for file, row in rows.items() if row["reasons"]}
    smaller = next(file for file in reasons if file.startswith("calico/s"))
    assert all(reasons[f"tabby/{name}.jpg"].startswith("unreadable: it ") for name in ("cut", "empty", "page"))
    assert reasons["tabby/icon.png"] == "tiny: 40 x 60"
    assert reasons["calico/again.jpg"] == "the best of 2 copies" and reasons["calico/calico2.jpg"] == "exact duplicate"
    assert (
        reasons[smaller]
        == reasons["calico/flipped.png"].replace("the best of 2 copies", "near duplicate")
        == "near duplicate"
    )
    assert reasons["calico/calico3.jpg"] == "in two classes; the best of 2 copies"
    assert reasons["tabby/wrong.jpg"] == "in two classes; exact duplicate"
    assert len(reasons) == 12  # those, and calico1 and calico4, whose copies are there
    assert rows["collected/tabby/wrong.jpg"]["duplicate of"] == "collected/calico/calico3.jpg"
    assert not any(row["mark"] for row in rows.values())  # a suggestion is not a mark
    suggested = {file for file, row in rows.items() if row["suggestion"]}
    assert len(suggested) == 7 and "collected/tabby/wrong.jpg" not in suggested  # which class is right is not known
    kinds = [row["reasons"][:6] for row in rows.values()]
    assert kinds[:4] == ["unread"] * 3 + ["tiny: "] and kinds[-1] == ""
    assert "24 photos: 3 unreadable files, 1 tiny photos, 0 in two splits, 2 in two classes, 6 dup" in printed
    assert printed.splitlines()[-1] == f"next: python data/split.py --data {data} --train 0.8 --validation 0.2"


class Page(HTMLParser):
    """What a browser would make of the page: its tags, and what is in the photos' buttons and the script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.titles, self.pictures, self.table, self.inside = set(), [], [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        self.inside = attributes.get("id", "")
        if tag == "img":
            self.pictures.append(attributes["src"])
        if "data-row" in attributes:
            self.titles.append(attributes["title"])

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "table":
            self.table += data


def test_the_contact_sheet_holds_everything_and_runs_nothing_from_a_file_name(faulty):
    data, _ = faulty
    text = (data / "prune.html").read_bytes().decode("ascii")
    page = Page(text)
    rows = table(data)
    assert page.titles == [file for file, row in rows.items() if row["reasons"]]  # the table's order
    assert len(page.pictures) == 9  # 12 less the unreadable ones
    for picture in page.pictures:
        kind, data_ = picture.split(",", 1)
        assert kind == "data:image/jpeg;base64"
        assert max(Image.open(io.BytesIO(base64.b64decode(data_))).size) <= 180
    assert "onerror=" not in re.sub(r"&lt;.*?&gt;|\\u003c[^\"]*|title=\"[^\"]*\"", "", text)
    assert not re.search(r"https?:|//[a-z]", text)
    names, *values = json.loads(page.table)
    assert [dict(zip(names, row, strict=True)) for row in values] == list(rows.values())


def test_marks_keep_a_class_name_with_joiners(tmp_path):
    """They are not printable, as Python sees it, and belong to the name all the same."""
    names = ["\u06af\u0631\u0628\u0647\u200c\u0647\u0627", "\U0001f408\u200d\u2b1b"]
    blank = dict.fromkeys(("reasons", "predicted", "duplicate of", "suggestion", "mark"), "")
    rows = [{**blank, "file": f"collected/{name}/a.jpg", "class": name} for name in names]
    sections = [Section("All", "", [0, 1])]
    write_contact_sheet(tmp_path / "page.html", tmp_path, "Photos", rows, list(rows[0]), sections)
    marks = re.findall(r'data-mark="(.*?)"', (tmp_path / "page.html").read_text(encoding="ascii"))
    assert list(map(html.unescape, marks)) == ["remove", f"move to {names[1]}", "remove", f"move to {names[0]}"]


def test_clicks_in_a_browser_and_a_page_that_is_left_too_early(faulty, tmp_path, browser):
    data = tmp_path / "data"
    shutil.copytree(faulty[0], data)
    assert "cannot be shown" in check_in_browser(browser, data / "prune.html")
    page = browser.new_page()
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.goto((data / "prune.html").as_uri())

    def click(file: str, button: str) -> None:
        page.locator(f"figure[title='{file}']").get_by_role("button", name=button, exact=True).click()

    wrong, copy = "collected/tabby/wrong.jpg", "collected/calico/again.jpg"
    page.get_by_role("button", name="Mark what is suggested").click()
    assert "7 marked" in page.inner_text("header")
    for file in ("cut.jpg", "empty.jpg", "page.jpg", "icon.png"):
        click(f"collected/tabby/{file}", "remove")  # takes the mark away again
    click(copy, "remove")
    click(copy, "move to tabby")  # instead
    click(wrong, "move to calico")
    assert "5 marked" in page.inner_text("header")
    with pytest.raises(Exception, match="ERR_ABORTED"):  # the question is answered with "stay"
        page.goto("about:blank")
    assert asked == ["beforeunload"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Save prune.csv").click()
    download.value.save_as(tmp_path / "saved.csv")
    page.goto("about:blank")  # without another question
    assert asked == ["beforeunload"]
    page.close()

    done = prune(data, "--apply", tmp_path / "saved.csv")
    assert "moved 5 of 5 marked photos (3 to " in done.stdout and "2 to another class)" in done.stdout, done.stderr
    assert (data / "collected" / "tabby" / "again.jpg").exists() and (data / "collected/calico/wrong.jpg").exists()


def test_marks_survive_another_look_and_are_moved_and_moved_back(faulty, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(faulty[0], data)
    before = content(data)
    files = ("collected/tabby/cut.jpg", "collected/calico/again.jpg")
    mark(data, *files, delimiter=";")  # as a German spreadsheet saves it
    paint(data / "more", tabby=9)
    shutil.copy(data / "more" / "tabby" / "tabby8.jpg", data / "collected" / "tabby" / "new.jpg")
    shutil.rmtree(data / "more")
    before["collected/tabby/new.jpg"] = (data / "collected" / "tabby" / "new.jpg").read_bytes()
    assert prune(data).returncode == 0
    assert {file for file, row in table(data).items() if row["mark"] == "remove"} == set(files)
    assert "collected/tabby/new.jpg" in table(data)

    for moved in (2, 0):  # a second time there is nothing left to do
        done = prune(data, "--apply")
        assert f"moved {moved} of 2 marked photos" in done.stdout, done.stderr
        after = content(data)
        assert {f.replace("collected", "pruned"): before[f] for f in files}.items() <= after.items()
        assert not set(files) & set(after) and len(after) == len(before)
    assert prune(data).returncode == 0 and not set(files) & set(table(data))

    done = prune(data, "--undo")
    assert "moved 2 photos back" in done.stdout and content(data) == before
    assert not (data / "pruned").exists()
    assert "moved 0 photos back" in prune(data, "--undo").stdout


def test_photos_move_to_their_right_class_and_back_with_their_credits(tmp_path):
    """Collected photos; one goes on to pruned/ in a second run, and all go back in one."""
    paint(tmp_path / "collected", calico=3, tabby=3)
    calico, tabby = tmp_path / "collected" / "calico", tmp_path / "collected" / "tabby"
    digest = hashlib.sha256((tabby / "tabby0.jpg").read_bytes()).hexdigest()
    head = "file,source_page,author,license,license_url,query,sha256\n"
    (tabby / "attribution.csv").write_text(f"{head}tabby0.jpg,http://a.example/1,Ada,by,,tabby,{digest}\n")
    before, credits = content(tmp_path), (tabby / "attribution.csv").read_bytes()
    shutil.copy(tabby / "tabby1.jpg", calico / "tabby0.jpg")  # the name is taken
    assert prune(tmp_path).returncode == 0
    mark(tmp_path, calico=["collected/tabby/tabby0.jpg"], tabby=["collected/calico/calico0.jpg"])
    done = prune(tmp_path, "--apply")
    assert "moved 2 of 2 marked photos (0 to " in done.stdout and "2 to another class)" in done.stdout, done.stderr
    assert (calico / "tabby0-2.jpg").read_bytes() == before["collected/tabby/tabby0.jpg"]
    assert (tabby / "calico0.jpg").read_bytes() == before["collected/calico/calico0.jpg"]
    assert (calico / "attribution.csv").read_text() == (
        f"{head}tabby0-2.jpg,http://a.example/1,Ada,by,,tabby,{digest}\n"
    )
    assert (tabby / "attribution.csv").read_bytes() == credits  # so that it is not collected there again

    done = run("data/split.py", "--data", tmp_path, "--train", "0.5", "--validation", "0.5")
    assert done.returncode == 0, done.stderr
    assert {row["author"]: row["class"] for row in table_rows(tmp_path / "split.csv")}["Ada"] == "calico"
    for name in ("train", "validation"):
        shutil.rmtree(tmp_path / name)

    assert prune(tmp_path).returncode == 0
    mark(tmp_path, "collected/calico/tabby0-2.jpg")
    assert "moved 1 of 1 marked photos (1 to " in prune(tmp_path, "--apply").stdout
    assert (tmp_path / "pruned" / "calico" / "tabby0-2.jpg").exists()
    (calico / "tabby0.jpg").unlink()
    assert "moved 3 photos back" in prune(tmp_path, "--undo").stdout and content(tmp_path) == before


def test_a_table_of_others_stops_a_move_before_it_begins(tmp_path, sentence):
    paint(tmp_path / "collected", calico=1, tabby=1)
    (tmp_path / "split.csv").write_text("mine,yours\n1,2\n")  # not ours: left alone
    for name in ("calico", "tabby"):
        (tmp_path / "collected" / name / "attribution.csv").write_text("file,photographer\ncalico0.jpg,me\n")
    before = content(tmp_path)
    assert prune(tmp_path).returncode == 0
    mark(tmp_path, tabby=["collected/calico/calico0.jpg"])
    assert "attribution.csv does not begin with the columns" in sentence(prune(tmp_path, "--apply"))
    assert content(tmp_path) == before and not (tmp_path / "pruned").exists()
    for name in ("calico", "tabby"):
        (tmp_path / "collected" / name / "attribution.csv").unlink()
    assert (
        "moved 1 of 1" in prune(tmp_path, "--apply").stdout
        and "moved 1 photos back" in prune(tmp_path, "--undo").stdout
    )
    assert content(tmp_path) == before and (tmp_path / "split.csv").read_text() == "mine,yours\n1,2\n"


def test_a_finished_split_follows(tmp_path, sentence):
    """train/, validation/ and test/: a move changes split.csv, so that split.py still knows its files, and back."""
    paint(tmp_path / "collected", calico=4, tabby=4)
    assert run("data/split.py", "--data", tmp_path, "--train", "0.5", "--validation", "0.5").returncode == 0
    os.rename(tmp_path / "collected", tmp_path / "elsewhere")
    shutil.copytree(tmp_path / "elsewhere", tmp_path / "test")
    before, split = content(tmp_path), (tmp_path / "split.csv").read_bytes()
    done = prune(tmp_path)
    assert done.returncode == 0 and "16 in two splits" in done.stdout, done.stderr  # each test photo is in train, too
    mark(tmp_path, calico=["train/tabby/tabby1.jpg"], dog=["test/tabby/tabby0.jpg"])
    assert "no class dog: write one of calico, tabby" in sentence(prune(tmp_path, "--apply"))
    assert content(tmp_path) == before
    mark(tmp_path, calico=["train/tabby/tabby1.jpg", "test/tabby/tabby0.jpg"])
    assert prune(tmp_path, "--apply").returncode == 0
    assert (tmp_path / "train" / "calico" / "tabby1.jpg").exists() and (tmp_path / "test/calico/tabby0.jpg").exists()
    rows = (tmp_path / "split.csv").read_text(encoding="utf-8-sig")
    assert "train/calico/tabby1.jpg,train,calico," in rows and "train/tabby/tabby1.jpg" not in rows
    other = tmp_path / "other"
    shutil.copytree(tmp_path, other, ignore=shutil.ignore_patterns("other"))
    os.rename(other / "elsewhere", other / "collected")
    done = run("data/split.py", "--data", other, "--train", "0.5", "--validation", "0.5")
    assert done.returncode == 0, done.stderr  # it made that file, though it has moved
    shutil.rmtree(other)
    assert prune(tmp_path, "--undo").returncode == 0
    assert content(tmp_path) == before and (tmp_path / "split.csv").read_bytes() == split


def test_nothing_is_overwritten_either_way(tmp_path, sentence):
    paint(tmp_path / "collected", calico=3, tabby=1)
    file = "collected/calico/calico0.jpg"
    assert prune(tmp_path).returncode == 0
    contents = []
    for _ in range(2):  # taken out, collected again as another photo, taken out again
        mark(tmp_path, file)
        contents.append((tmp_path / file).read_bytes())
        assert "moved 1 of 1" in prune(tmp_path, "--apply").stdout
        shutil.copy(tmp_path / "collected" / "calico" / f"calico{len(contents)}.jpg", tmp_path / file)
    pruned = tmp_path / "pruned" / "calico"
    assert [(pruned / name).read_bytes() for name in ("calico0.jpg", "calico0-2.jpg")] == contents
    assert "2 photos could not be moved back" in sentence(prune(tmp_path, "--undo"))
    (tmp_path / file).unlink()
    assert "1 photos could not be moved back" in sentence(prune(tmp_path, "--undo"))
    assert (tmp_path / file).read_bytes() == contents[1] and (pruned / "calico0.jpg").read_bytes() == contents[0]


@posix
@pytest.mark.parametrize("what", ["--apply", "--undo"])
@pytest.mark.parametrize("after", [0, 2])
def test_kill_9_half_way_is_continued_or_undone(tmp_path, what, after):
    """The process kills itself when it has renamed so many photos: 0 is after the plan is saved, before the first."""
    data, spy = tmp_path / "data", tmp_path / "spy"
    paint(data / "collected", calico=3, tabby=3)
    before = content(data)
    assert prune(data).returncode == 0
    calico, tabby = ([f"collected/{name}/{name}{i}.jpg" for i in (0, 1)] for name in ("calico", "tabby"))
    mark(data, calico[0], tabby[0], tabby=[calico[1]], calico=[tabby[1]])
    spy.mkdir()
    (spy / "sitecustomize.py").write_text(
        "import os, signal\nrename, done = os.rename, []\n"
        "def killing(*paths):\n"
        f"    if len(done) == {after}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    done.append(rename(*paths))\n"
        "os.rename = killing\n"
    )
    if what == "--undo":
        assert prune(data, "--apply").returncode == 0
    done = prune(data, what, env={"PYTHONPATH": str(spy)})
    assert done.returncode == -signal.SIGKILL
    half = len(content(data).keys() - before.keys())
    assert half == (after if what == "--apply" else 4 - after)
    assert sorted(content(data).values()) == sorted(before.values())  # each photo is in one place or the other
    other = tmp_path / "other"
    shutil.copytree(data, other)

    assert "of 4 marked photos" in prune(data, "--apply").stdout  # goes on
    assert len(content(data).keys() - before.keys()) == 4
    for folder in (data, other):
        assert prune(folder, "--undo").returncode == 0
        assert content(folder) == before and not (folder / "pruned").exists()


@pytest.mark.parametrize(
    "file",
    ["../outside.jpg", "collected/../../outside.jpg", "/etc/hostname", "collected/link/outside.jpg", "prune.csv",
     "collected/calico", "pruned/calico/calico0.jpg", "", "collected/calico/../../../outside.jpg", "C:\\x\\y\\z.jpg"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["prune.csv", "moved.csv"])
def test_paths_out_of_the_folder_are_refused(tmp_path, sentence, file, where):
    data = tmp_path / "data"
    paint(data / "collected", calico=1)
    (tmp_path / "outside.jpg").write_bytes(b"mine")
    if os.name == "posix":
        (data / "collected" / "link").symlink_to(tmp_path)
    if where == "prune.csv":
        # A good row comes first: it must not have moved when the bad one is refused.
        (data / where).write_text(f"file,mark\ncollected/calico/calico0.jpg,x\n{file},x\n")
        line = sentence(prune(data, "--apply"))
    else:
        (data / "pruned" / "calico").mkdir(parents=True)
        (data / "pruned" / "calico" / "a.jpg").write_bytes(b"theirs")
        (data / "pruned" / where).write_text(f"from,to\n{file},pruned/calico/a.jpg\n")
        line = sentence(prune(data, "--undo"))
        assert (data / "pruned" / "calico" / "a.jpg").exists()
    assert where in line and repr(file) in line
    assert (tmp_path / "outside.jpg").read_bytes() == b"mine" and (
        data / "collected" / "calico" / "calico0.jpg"
    ).exists()


def test_what_a_reader_can_get_wrong(tmp_path, sentence):
    data = tmp_path / "data"
    assert "collected" in sentence(prune(data)) and "--data" in sentence(prune(data))
    assert "there is no file" in sentence(prune(data, "--apply"))
    paint(data / "collected", calico=1, tabby=1)
    for text, words in (
        ("file,mark\ncollected/calico/calico0.jpg,yes\n", ["'yes'", "row 2", "write remove"]),
        ("file,mark\ncollected/calico/gone.jpg,x\n", ["gone.jpg", "run prune.py again"]),
        ("nothing\n", ["no column file, mark"]),
        ("", ["no column"]),
    ):
        (data / "prune.csv").write_text(text)
        line = sentence(prune(data, "--apply"))
        assert all(word in line for word in ["prune.csv" if "again" not in words[-1] else "", *words]), line
        assert (data / "collected" / "calico" / "calico0.jpg").exists()
    assert "no column" in sentence(prune(data))  # the reader's marks are not overwritten by a look
    assert (data / "prune.csv").read_text() == ""


def test_without_the_package_one_sentence_names_the_remedy(tmp_path, sentence):
    paint(tmp_path / "collected", calico=1, tabby=1)
    (tmp_path / "imagehash.py").write_text("raise ImportError")
    for script in ("data/prune.py", "data/split.py"):
        line = sentence(run(script, "--data", tmp_path, env={"PYTHONPATH": str(tmp_path)}))
        assert "ImageHash" in line and "make data-tools" in line


@pytest.mark.parametrize("collected", [True, False])
def test_a_leak_is_found(tmp_path, collected):
    """A flipped copy of a training photo among the validation photos; with and without collected photos."""
    paint(tmp_path / "train", calico=3, tabby=3)
    paint(tmp_path / "validation", calico=2, tabby=2)
    if collected:
        paint(tmp_path / "collected", calico=3, tabby=3)
    ImageOps.mirror(Image.open(tmp_path / "train" / "tabby" / "tabby1.jpg")).save(
        tmp_path / "validation" / "tabby" / "leak.jpg", quality=80
    )
    done = prune(tmp_path)
    assert "2 in two splits" in done.stdout, done.stderr
    rows = table(tmp_path)
    assert len(rows) == (6 + 2 if collected else 11)
    leaks = {file for file, row in rows.items() if row["reasons"].startswith("in two splits")}
    assert leaks == {"train/tabby/tabby1.jpg", "validation/tabby/leak.jpg"}
    mark(tmp_path, "validation/tabby/leak.jpg")
    assert prune(tmp_path, "--apply").returncode == 0 and (tmp_path / "pruned" / "tabby" / "leak.jpg").exists()


def test_looking_does_not_load_tensorflow(tmp_path):
    paint(tmp_path / "collected", calico=1, tabby=1)
    code = f"import sys; sys.argv = ['prune.py', '--data', {str(tmp_path)!r}, '--no-ranking']\n"
    code += (
        "sys.path.insert(0, 'data'); import prune; prune.main(); assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- duplicates


def plain_pairs(prints, near=NEAR):
    """All pairs, bit by bit."""
    bits = np.unpackbits(prints.view(np.uint8).reshape(len(prints), 2, 16), axis=2).astype(bool)
    found = []
    for i in range(len(prints)):
        apart = (bits[i, :, None] != bits[None, i + 1 :, 0]).sum(axis=2).min(axis=0)
        found += [[i, i + 1 + int(j), int(apart[j])] for j in np.flatnonzero(apart <= near)]
    return found


def turned(one, bits):
    """A fingerprint with these of the photo's 128 bits turned over, the flip's as they are."""
    pattern = np.zeros(128, np.uint8)
    pattern[bits] = 1
    return one ^ np.stack([np.packbits(pattern).view(np.uint64), np.zeros(2, np.uint64)])


@pytest.mark.parametrize("near", [0, 7, 8, NEAR, 28])
def test_the_pairs_are_those_of_comparing_all_with_all(near):
    """Copies, and copies of the flip, with 0 to 35 bits turned over; every other photo is nearly symmetric."""
    rng = np.random.default_rng(near)
    prints = rng.integers(0, 2**64, (300, 2, 2), np.uint64)
    for i in range(0, 300, 3):
        if i % 2:
            prints[i, 1] = prints[i, 0] ^ np.uint64(1)
        prints[i + 1] = turned(prints[i], rng.choice(128, rng.integers(36), replace=False))
        prints[i + 2] = turned(prints[i, ::-1], rng.choice(128, rng.integers(36), replace=False))
    rng.shuffle(prints)
    expected = plain_pairs(prints, near)
    assert near_pairs(prints, near).tolist() == expected and max(bits for _, _, bits in expected) == near


def test_of_20_bits_every_one_is_a_pair_and_of_21_none():
    """However they are spread over pHash and dHash: in a row or a column of both, in a corner, over all of them."""
    rng = np.random.default_rng(0)
    rows = np.arange(128).reshape(16, 8)
    spreads = [rows.ravel(), rows.T.ravel(), rows[::-1].ravel(), rows.reshape(2, 8, 8).swapaxes(0, 1).ravel()]
    spreads += [rng.permutation(128) for _ in range(40)]
    for bits in spreads:
        one = rng.integers(0, 2**64, (2, 2), np.uint64)
        for copy in (one, one[::-1]):
            assert near_pairs(np.stack([one, turned(copy, bits[:20])])).tolist() == [[0, 1, 20]]
            assert near_pairs(np.stack([one, turned(copy, bits[:21])])).tolist() == []


@pytest.mark.parametrize("block", [50, 1000])
def test_blocks_and_crowds_change_nothing(block, monkeypatch):
    """Fingerprints that are all alike have more candidates than a block."""
    monkeypatch.setattr(duplicates, "BLOCK", block)
    rng = np.random.default_rng(0)
    sky = rng.integers(0, 2**64, (2, 2), np.uint64)
    prints = np.stack([turned(sky, rng.choice(128, rng.integers(20), replace=False)) for _ in range(60)])
    expected = plain_pairs(prints)
    assert near_pairs(prints).tolist() == expected and 500 < len(expected) < 60 * 59 / 2


def test_thousands_of_copies_of_a_photo_take_little_memory():
    """20,000 equal ones would be 200 million pairs; and each of another 1,000 is a bit from the next."""
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 2**64, (2, 2, 2), np.uint64)
    near = [turned(other, rng.choice(128, 3, replace=False)) for _ in range(1000)]
    tracemalloc.start()
    found = near_groups([*[one] * 20_000, *near, *[one] * 10])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [[*range(20_000), *range(21_000, 21_010)], [*range(20_000, 21_000)]]
    assert peak < 200e6  # the pairs of 20,000 alone would be 1.6 GB


def test_groups_are_the_connected_components():
    """Against a search from photo to photo, in chains, stars and random graphs."""
    rng = np.random.default_rng(0)
    star = [[20, i] for i in range(20)]
    chain = [[i, i + 2] for i in range(38)]
    graphs = [
        star,
        chain,
        chain[::-1],
        [[0, 3], [3, 5], [1, 2]],
        *(rng.integers(0, 40, (k, 2)).tolist() for k in range(40)),
    ]
    for pairs in graphs:
        left, expected = set(range(40)), []
        while left:
            group, todo = set(), [min(left)]
            while todo:
                group.add(now := todo.pop())
                todo += [b for pair in pairs for a, b in (pair, pair[::-1]) if a == now and b not in group]
            expected.append(sorted(group))
            left -= group
        assert groups(40, np.reshape(pairs, (-1, 2)).astype(int)) == expected
    assert groups(1, np.empty((0, 2), int)) == [[0]] and near_groups([]) == []


@pytest.mark.shared
def test_copies_of_real_photos_are_found_and_different_ones_are_not():
    paths = sorted((SHARED / "calico_tabby").rglob("*.jpg"))
    photos = [Image.open(path).convert("RGB") for path in paths]
    prints = np.stack([fingerprint(photo) for photo in photos])
    assert len(prints) == 306 and len(near_pairs(prints)) == 0  # the set is de-duplicated

    def jpeg(photo):
        photo.save(buffer := io.BytesIO(), "JPEG", quality=30)
        return Image.open(buffer)

    for change in (
        jpeg,
        ImageOps.mirror,
        lambda photo: photo.resize((photo.width // 2, photo.height // 2)),
        lambda photo: ImageOps.crop(photo, round(0.02 * min(photo.size))),
        lambda photo: ImageEnhance.Brightness(photo).enhance(1.2),
    ):
        copies = np.stack([fingerprint(change(photo)) for photo in photos[:60]])
        found = {(i, j - 60) for i, j, _ in near_pairs(np.concatenate([copies, prints[:60]])) if i < 60 <= j}
        assert len(found) >= 58 and all(i == j for i, j in found)


# ---- ranking


def test_a_wrong_label_is_found_even_if_a_copy_has_it_too():
    """Features of two classes that a line separates; two copies of a photo, both with the wrong label."""
    from photo_tools.label_errors import out_of_fold_probabilities

    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    features = rng.normal(size=(60, 16)) * 0.5 + np.where(labels, 1, -1)[:, None]
    features[1] = features[0] = features[0] * 4  # far out: a classifier that has seen one knows the other
    wrong = np.array([0, 1, 40])
    given = labels.copy()
    given[wrong] = 1 - given[wrong]
    alone = np.arange(60)
    together = np.where(alone == 1, 0, alone)
    found = out_of_fold_probabilities(features, given, together)
    assert found.shape == (60, 2) and np.allclose(found.sum(axis=1), 1)
    own = found[alone, given]
    assert set(np.argsort(own)[:3]) == set(wrong) and own[wrong].max() < 0.5 < np.delete(own, wrong).min()
    assert out_of_fold_probabilities(features, given, alone)[0, given[0]] > own[0]


@pytest.mark.slow
@pytest.mark.shared
def test_real_dogs_and_wrong_labels_are_ranked_first(imagenet_file, tmp_path):
    """3 dogs among 37 tabbies, 2 tabbies among 24 calicos; benchmarks/prune.py measures it on all photos."""
    photos = {name: sorted((SHARED / "calico_tabby" / "train" / name).glob("*.jpg")) for name in ("calico", "tabby")}
    dogs = sorted((SHARED / "cats_vs_dogs" / "validation" / "dogs").glob("*.jpg"))[:3]
    there = {"tabby": photos["tabby"][:37] + dogs, "calico": photos["calico"][:24] + photos["tabby"][37:39]}
    for name, paths in there.items():
        folder = tmp_path / "collected" / name
        folder.mkdir(parents=True)
        for path in paths:
            (folder / path.name).symlink_to(path) if os.name == "posix" else shutil.copy(path, folder)
    done = prune(tmp_path, "--ranking")
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path)
    tabbies = [row for row in rows.values() if row["class"] == "tabby"]
    first = sorted(tabbies, key=lambda row: -float(row["outlier score"]))[:4]
    assert sum("dog" in row["file"] for row in first) >= 2  # of 3, in the first 4; by chance 0.3
    assert all("outlier" in row["reasons"] for row in first)
    assert sum("outlier" in row["reasons"] for row in rows.values()) == 4 + 3
    for path in photos["tabby"][37:39]:
        row = rows[f"collected/calico/{path.name}"]
        assert row["predicted"] == "tabby" and float(row["probability"]) > 0.5 and "predicted tabby" in row["reasons"]
        assert row["suggestion"] == ("move to tabby" if float(row["probability"]) >= 0.95 else "")
    doubted = [row["file"] for row in rows.values() if "predicted" in row["reasons"]]  # in the table's order
    assert len(doubted) <= 20 and sum("dog" in file or "calico/tabby" in file for file in doubted[:6]) >= 3  # of 5
    again = prune(tmp_path, "--ranking")
    assert again.returncode == 0 and table(tmp_path) == rows


def test_a_class_of_few_photos_is_not_ranked(tmp_path):
    paint(tmp_path / "collected", calico=1, tabby=2)
    np.savez(
        tmp_path / "prune.npz",
        digests=[hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(tmp_path.rglob("*.jpg"))],
        features=np.zeros((3, 512), np.float32),
    )
    done = prune(tmp_path, "--ranking")
    assert "calico has 1 photos, fewer than 20: not ranked" in done.stdout, done.stderr
