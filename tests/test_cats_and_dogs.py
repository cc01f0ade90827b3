"""data/cats_and_dogs.py: small zips of the three layouts, from the disk and from a server on loopback."""

import hashlib
import http.server
import io
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

from conftest import PROJECT, run, table_rows, wait_for

import numpy as np
import pytest
from PIL import Image

SCRIPT = "data/cats_and_dogs.py"


def photo(number: int, animal: str = "cat") -> bytes:
    """A JPEG that differs from any other."""
    pixels = np.random.default_rng([number, animal == "cat"]).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((40, 30)).save(file := io.BytesIO(), "JPEG")
    return file.getvalue()


def google() -> dict[str, bytes]:
    """Five photos of each animal, and two to validate; and a script."""
    files = {"cats_and_dogs_filtered/vectorize.py": b"x"}
    for animal in ("cat", "dog"):
        for number in range(7):
            split = "train" if number < 5 else "validation"
            name = f"cats_and_dogs_filtered/{split}/{animal}s/{animal}.{number + 2000 * (number > 4)}.jpg"
            files[name] = photo(number, animal)
    return files


def numbered(form: str, numbers: list[int]) -> dict[str, bytes]:
    """Kaggle's or Microsoft's layout."""
    return {
        form.format(animal=animal, number=number): photo(number, animal.lower())
        for animal in (("Cat", "Dog") if "PetImages" in form else ("cat", "dog"))
        for number in numbers
    }


KAGGLE, MICROSOFT = "train/{animal}.{number}.jpg", "PetImages/{animal}/{number}.jpg"
NUMBERS = [0, 1, 999, 1000, 1399, 1400, 12499]


def zipped(path: Path, files: dict[str, bytes], stored: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def photos(data: Path) -> dict[str, bytes]:
    return {
        path.relative_to(data).as_posix(): path.read_bytes()
        for split in ("train", "validation")
        for path in sorted((data / split).rglob("*"))
        if path.is_file()
    }


def get(data: Path, path: Path, *flags: object):
    return run(SCRIPT, "--data", data, "--zip", path, *flags)


# ---- What is in the zip --------------------------------------------------------------------------


def test_googles_own_split(tmp_path):
    data, files = tmp_path / "data", google()
    done = get(data, zipped(tmp_path / "a.zip", files))
    assert done.returncode == 0, done.stderr
    wanted = {name.split("/", 1)[1]: content for name, content in files.items() if name.endswith(".jpg")}
    assert photos(data) == wanted and len(wanted) == 14
    digest = hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    assert f"SHA-256 {digest}" in done.stdout and "Petfinder" in done.stdout and "every file is a photo" in done.stdout
    assert done.stdout.splitlines()[-1] == f"next: python fine_tuning_VGG16_pt1.py --data {data}"
    rows = {row["file"]: row["sha256"] for row in table_rows(data / "split.csv")}
    assert rows == {name: hashlib.sha256(content).hexdigest() for name, content in wanted.items()}


@pytest.mark.parametrize("form", [KAGGLE, MICROSOFT, f"nested/{KAGGLE}"])
def test_the_blog_posts_photos_by_their_numbers(tmp_path, form):
    data, files = tmp_path / "data", numbered(form, NUMBERS)
    files |= {"PetImages/Cat/Thumbs.db": b"x", "test1/1.jpg": photo(1), "train/cat.x.jpg": photo(2)}
    done = get(data, zipped(tmp_path / "train.zip", files))
    assert done.returncode == 0, done.stderr
    assert photos(data) == {
        f"{split}/{animal}s/{animal}.{number}.jpg": photo(number, animal)
        for split, numbers in (("train", (0, 1, 999)), ("validation", (1000, 1399)))
        for animal in ("cat", "dog")
        for number in numbers
    }


def test_others_at_random_by_the_seed(tmp_path):
    path = zipped(tmp_path / "train.zip", numbered(KAGGLE, list(range(40))))
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert get(tmp_path / name, path, "--train", 6, "--validation", 3, "--seed", seed).returncode == 0
        found.append(photos(tmp_path / name))
    a, b, c = found
    assert a == b != c
    for one in (a, c):
        counts = [sum(name.startswith(f"{split}/{animal}/") for name in one) for split in ("train", "validation")
                  for animal in ("cats", "dogs")]  # fmt: skip
        assert counts == [6, 6, 3, 3] and len(set(one.values())) == 18  # none in both splits


def test_files_that_are_no_photos_are_counted_and_replaced_where_others_are_wanted(tmp_path, sentence):
    files = numbered(MICROSOFT, NUMBERS) | {"PetImages/Cat/666.jpg": b"", "PetImages/Dog/1.jpg": photo(1)[:300]}
    path = zipped(tmp_path / "a.zip", files)
    done = get(tmp_path / "data", path)
    assert done.returncode == 0 and "2 files are no photos and were left out" in done.stdout, done.stderr
    assert "PetImages/Cat/666.jpg" in done.stdout and len(photos(tmp_path / "data")) == 9
    assert get(tmp_path / "data", path, "--train", 4, "--validation", 2).returncode == 0
    assert len(photos(tmp_path / "data")) == 12
    before = photos(tmp_path / "data")
    line = sentence(get(tmp_path / "data", path, "--train", 5, "--validation", 3))
    assert "1 dogs for validation, not 3: ask for fewer" in line or "2 cats for validation, not 3" in line
    assert photos(tmp_path / "data") == before
    assert {one.name for one in (tmp_path / "data").iterdir()} == {"train", "validation", "split.csv"}  # nothing built


@pytest.mark.parametrize("name", ["../{}", "/{}", "C:\\{}", "a\\..\\..\\{}", "..\\{}", "./../{}"])
def test_a_name_leads_nowhere_else(tmp_path, name):
    """What is called like a photo is written under a name of ours, and everything else is passed over."""
    folder = tmp_path / "in"
    folder.mkdir()
    inner = [name.format(KAGGLE.format(animal="cat", number=7)), name.format("evil.jpg"), name.format("train/x.jpg")]
    path = zipped(tmp_path / "a.zip", numbered(KAGGLE, NUMBERS) | dict.fromkeys(inner, photo(7)))
    before = set(tmp_path.rglob("*"))
    assert get(folder / "data", path).returncode == 0
    new = {one.relative_to(folder / "data").as_posix() for one in set(tmp_path.rglob("*")) - before if one.is_file()}
    assert new - {"train/cats/cat.7.jpg"} == {*photos(folder / "data"), "split.csv"} - {"train/cats/cat.7.jpg"}
    assert len(new) in (11, 12)


def test_links_bombs_and_damage(tmp_path, sentence):
    data, files = tmp_path / "data", numbered(KAGGLE, NUMBERS)
    path = zipped(tmp_path / "whole.zip", files)
    assert get(data, path).returncode == 0
    before = photos(data)

    with zipfile.ZipFile(path, "a") as archive:  # a symbolic link: a file with the mode of one
        link = zipfile.ZipInfo("train/cat.3.jpg")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/hostname")
    done = get(tmp_path / "other", path)
    assert done.returncode == 0 and "1 files are no photos" in done.stdout
    assert not any(one.is_symlink() for one in (tmp_path / "other").rglob("*"))

    versions = tmp_path / "versions.zip"
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 6] = 99  # the version that is needed to read the first file
    versions.write_bytes(content)
    assert f"{versions} cannot be read as a zip file" in sentence(get(tmp_path / "none", versions))
    few = zipped(tmp_path / "few.zip", numbered(KAGGLE, [0, 1]))
    assert "has 0 cats for validation, not 1" in sentence(get(tmp_path / "few", few))
    assert not (tmp_path / "none").exists()

    bomb = zipped(tmp_path / "bomb.zip", files | {"train/cat.4.jpg": bytes(30_000_000)})
    assert bomb.stat().st_size < 100_000 and "30,000,000 bytes" in sentence(get(data, bomb))

    content = zipped(tmp_path / "stored.zip", files, stored=True).read_bytes()
    place = content.index(photo(999)) + 200
    (tmp_path / "crc.zip").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert "Bad CRC-32 for file 'train/cat.999.jpg'" in sentence(get(data, tmp_path / "crc.zip"))
    flags = content.index(b"PK\1\2") + 8  # of the first file in the directory, and at its beginning
    encrypted = bytearray(content)
    encrypted[flags] |= 1
    encrypted[6] |= 1
    (tmp_path / "encrypted.zip").write_bytes(encrypted)
    assert "encrypted" in sentence(get(data, tmp_path / "encrypted.zip"))
    (tmp_path / "cut.zip").write_bytes(content[:-100])
    assert "cannot be read as a zip file" in sentence(get(data, tmp_path / "cut.zip"))
    assert "No such file" in sentence(get(data, tmp_path / "none.zip"))

    inner = zipped(tmp_path / "kaggle.zip", {"train.zip": path.read_bytes(), "sampleSubmission.csv": b""})
    assert "unpack it, and name the train.zip in it" in sentence(get(data, inner))
    assert "has no photos called" in sentence(get(data, zipped(tmp_path / "empty.zip", {})))
    assert photos(data) == before


def test_only_what_it_made_is_replaced(tmp_path, sentence):
    data, path = tmp_path / "data", zipped(tmp_path / "a.zip", google())
    (data / "train" / "cats").mkdir(parents=True)
    (data / "train" / "cats" / "mine.jpg").write_bytes(b"mine")
    assert "is not replaced" in sentence(get(data, path))
    assert photos(data) == {"train/cats/mine.jpg": b"mine"}
    (data / "train" / "cats" / "mine.jpg").unlink()
    for flags in ([], ["--train", 2, "--validation", 1]):
        assert get(data, path, *flags).returncode == 0
    assert len(photos(data)) == 6


# ---- The download ------------------------------------------------------------------------------


# The script, with a server of ours in the place of Google's
CODE = """if True:
    import sys
    import cats_and_dogs
    from tutorial.cli import run
    _, url, size, timeout, data = sys.argv
    cats_and_dogs.SOURCES["google"], cats_and_dogs.TIMEOUT = (url, eval(size)), float(timeout)
    sys.argv = ["cats_and_dogs.py", "--data", data]
    sys.exit(run(cats_and_dogs.main))"""


def fetch(url: str, data: Path, size: int | None = None, timeout: float = 30, **more) -> subprocess.CompletedProcess:
    return run("-c", CODE, url, size, timeout, data, folder=PROJECT / "data", **more)


def test_it_is_downloaded_once_and_a_change_is_noticed(tmp_path, web_server, sentence):
    data, path = tmp_path / "data", zipped(web_server.folder / "cats.zip", google())
    size = path.stat().st_size
    for _ in range(2):
        done = fetch(f"{web_server.url}/cats.zip", data, size)
        assert done.returncode == 0 and len(photos(data)) == 14, done.stderr
    assert web_server.requests == ["/cats.zip"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (data / "download" / "cats.sha256").read_text() == f"{digest}  cats.zip\n"
    zipped(data / "download" / "cats.zip", numbered(KAGGLE, NUMBERS))
    assert "has changed since it was downloaded" in sentence(fetch(f"{web_server.url}/cats.zip", data))


def test_another_size_is_not_taken_for_the_file(tmp_path, web_server, sentence):
    size = zipped(web_server.folder / "cats.zip", google()).stat().st_size
    line = sentence(fetch(f"{web_server.url}/cats.zip", tmp_path, size + 1))
    assert f"had {size:,} bytes and not {size + 1:,}" in line
    assert not list((tmp_path / "download").iterdir())


def test_a_dead_link_names_the_other_ways(tmp_path, web_server, sentence):
    for url in (f"{web_server.url}/none.zip", "http://127.0.0.1:9/none.zip"):
        line = sentence(fetch(url, tmp_path / "data"))
        assert url in line and "--source microsoft" in line and "--zip" in line
        assert not list((tmp_path / "data").rglob("*.zip"))


class Half(http.server.BaseHTTPRequestHandler):
    """Sends half of a file; then it ends, or waits."""

    content, wait, passwords = b"", 0.0, []

    def do_GET(self):
        self.passwords.append(self.headers["Authorization"])
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content[: len(self.content) // 2])
        self.wfile.flush()
        time.sleep(self.wait)

    def log_message(self, *_):
        pass


@pytest.fixture
def half(tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Half) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        files = google() | {"more": bytes(500_000)}
        Half.content = zipped(tmp_path / "cats.zip", files, stored=True).read_bytes()
        yield f"http://127.0.0.1:{server.server_address[1]}/cats.zip"
        server.shutdown()


@pytest.mark.parametrize(("wait", "timeout"), [(0, 30), (60, 0.5)])
def test_a_download_that_breaks_off_or_stalls_leaves_nothing(tmp_path, half, web_server, sentence, wait, timeout):
    Half.wait, data = wait, tmp_path / "data"
    (tmp_path / "netrc").write_text("default login me password secret")
    line = sentence(fetch(half, data, timeout=timeout, env={"NETRC": str(tmp_path / "netrc")}))
    assert "could not be downloaded" in line and Half.passwords[-1] is None
    assert not list((data / "download").iterdir())
    zipped(web_server.folder / "cats.zip", google())
    assert fetch(f"{web_server.url}/cats.zip", data).returncode == 0 and len(photos(data)) == 14


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C and kill as POSIX has them")
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_download_that_is_interrupted_begins_again(tmp_path, half, web_server, by):
    Half.wait, data = 60, tmp_path / "data"
    command = [sys.executable, "-c", CODE, half, "None", "30", str(data)]
    process = subprocess.Popen(command, cwd=PROJECT / "data", stderr=subprocess.PIPE, text=True)
    wait_for(process, lambda: any(one.stat().st_size for one in data.glob("download/*")))
    process.send_signal(by)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == (130 if by == signal.SIGINT else -by) and "Traceback" not in printed
    assert not (data / "download" / "cats.zip").exists()
    zipped(web_server.folder / "cats.zip", google())
    assert fetch(f"{web_server.url}/cats.zip", data).returncode == 0 and len(photos(data)) == 14
