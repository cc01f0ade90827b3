"""What the tests share: running the scripts as a reader does, and one small set trained once."""

import csv
import http.server
import json
import multiprocessing
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

from forked import PROJECT, become

import h5py
import numpy as np
import pytest
from PIL import Image

SHARED = PROJECT.parent / "shared" / "datasets"
MODELS = ["small_convnet", "bottleneck_fc_model", "fine_tuned_vgg16"]
EPOCHS = [2, 5, 2]  # of each, as the fixture `trained` trains them
os.environ.pop("PYTHONUNBUFFERED", None)  # which a reader's shell does not have, and which changes what can be written
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background, where a shell makes Ctrl-C be ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = [
    "trained",
    "test_recipes.py",
    "test_activations.py",
    "test_imagenet_weights.py",
    "test_collect.py",
    "test_prune.py",
    "test_gradcam.py",
]  # groups that take long begin first, so that no worker waits in the end


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist, which then keeps each group on one worker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups = {item: "trained" if "trained" in item.fixturenames else item.path.name for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: LONGEST.index(groups[item]) if groups[item] in LONGEST else len(LONGEST))
    if not SHARED.is_dir():
        for item in items:
            if item.get_closest_marker("shared"):
                item.add_marker(pytest.mark.skip(reason="the real photos in ../shared/datasets are not here"))


# Commands are forked from a process that has loaded Keras, which takes longer than most of them.
FORKING = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
FORKING.set_forkserver_preload(["tutorial.backend", "matplotlib.pyplot", "h5py"])  # more is memory that tests limit
AT_START = ("PYTHON", "KERAS", "MPL", "TF_")  # how variables begin that are read when Python or a package starts
SMALL_PHOTOS = 88  # pixels, for VGG16: 5 x 5 before block 5's pooling, which drops a row and a column, as at 150


class Command:
    """``python command...``, which runs in a process of its own; its methods are those of a Popen."""

    def __init__(
        self, *command: object, env: dict[str, str] | None = None, folder: Path = PROJECT, **limits: int
    ) -> None:
        self.words, self.written = [str(word) for word in command], TemporaryDirectory()
        self.output = [Path(self.written.name, name) for name in ("stdout", "stderr")]
        for file in self.output:
            file.touch()
        if limits:
            pytest.importorskip("resource", reason="memory and files are limited as POSIX does it")
        arguments = (self.words, folder, [str(file) for file in self.output], limits, env or {})
        self.process = FORKING.Process(target=become, args=arguments, daemon=True)
        self.process.start()

    def poll(self) -> int | None:
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it wrote until its end."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.kill()
            raise subprocess.TimeoutExpired(self.words, timeout)
        return tuple(file.read_text(encoding="utf-8") for file in self.output)


def wait_for(process: Command | subprocess.Popen, happened: Callable[[], bool], timeout: float = 120) -> None:
    """Until something has happened; fails if the process ends before, or takes longer."""
    until = time.monotonic() + timeout
    while not happened():
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            pytest.fail(str(process.communicate()))
        time.sleep(0.01)


def run(
    *command: object,
    env: dict[str, str] | None = None,
    folder: Path = PROJECT,
    timeout: float = 300,
    **limits: int,
) -> subprocess.CompletedProcess:
    """Run ``python command...`` in a folder, as from the shell, for at most ``timeout`` seconds.

    It is a process of its own; a new Python, too, where a flag of Python's or a variable of AT_START is in the test.
    ``limits`` are setrlimit's: ``RLIMIT_DATA=1_500_000_000`` bytes of memory.
    """
    words, env = [str(word) for word in command], env or {}
    if any(name.startswith(AT_START) for name in env) or (words[0].startswith("-") and words[0] != "-c"):
        return subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
    process = Command(*words, env=env, folder=folder, **limits)
    texts = process.communicate(timeout)
    return subprocess.CompletedProcess(words, process.poll(), *texts)


def in_terminal(command: list[object], columns: int) -> tuple[int, str]:
    """Run a command in a terminal of so many columns: its exit status, and all that it wrote, escape sequences too."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")} | {"TERM": "xterm"}
    process = subprocess.Popen(command, cwd=PROJECT, env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    written = b""
    with suppress(OSError):  # the terminal is closed
        while piece := os.read(ours, 65536):
            written += piece
    os.close(ours)
    return process.wait(20), written.decode()


posix = pytest.mark.skipif(os.name != "posix", reason="shells, signals, links and file names as POSIX has them")


def without_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def draw(folder: Path, **counts: int) -> None:
    """Draw cats into ``folder/<class>/``: ``calico=7, tabby=12``."""
    from drawing.drawn_cat import draw_cat

    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            rng = np.random.default_rng([*folder.name.encode(), *name.encode(), i])
            draw_cat(name, rng).save(folder / name / f"{name}{i}.jpg")


def paint(folder: Path, **counts: int) -> None:
    """Paint soft random colors, which no hash takes for copies, into ``folder/<class>/``: ``calico=7, tabby=12``."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            rng = np.random.default_rng([*folder.name.encode(), *name.encode(), i])
            colors = Image.fromarray(np.uint8(rng.integers(0, 256, (9, 9, 3))))
            colors.resize((200, 180), Image.Resampling.BICUBIC).save(folder / name / f"{name}{i}.jpg")


def files_in(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder, by its path from there."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, with a byte-order mark or without."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def history(weights: Path, model: str) -> list[dict[str, float]]:
    """The rows of a part's CSV."""
    return [{name: float(value) for name, value in row.items()} for row in table_rows(weights / f"{model}.csv")]


@contextmanager
def edited(path: Path) -> Iterator[tuple[dict, h5py.File]]:
    """A weights file's metadata and arrays, to be changed; it is saved with the checksum that it then should have."""
    content = path.read_bytes()
    start = content.index(b"\x89HDF")
    info, memory = json.loads(content[65:start].rstrip(b"\0")), BytesIO(content[start:])
    with h5py.File(memory, "r+") as file:
        yield info, file
    text = json.dumps(info).encode()
    size = 512
    while size < 66 + len(text):
        size *= 2
    rest = text + bytes(size - 65 - len(text)) + memory.getvalue()
    path.write_bytes(sha256(rest).hexdigest().encode() + b"\n" + rest)


def odd_photos(folder: Path) -> None:
    """A photo of each odd shape and mode, all with a picture in them, one in a subfolder."""
    rng = np.random.default_rng(0)
    cat = Image.fromarray(np.uint8(rng.integers(0, 256, (9, 12, 3)))).resize((120, 90))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "below").mkdir()
    cat.resize((300, 7)).save(folder / "wide.png")
    cat.convert("L").save(folder / "gray.jpg")
    cat.convert("CMYK").save(folder / "cmyk.jpg")
    cat.convert("P").save(folder / "palette.gif")
    cat.convert("1").save(folder / "bit.png")
    transparent = cat.convert("RGBA")
    transparent.putalpha(cat.convert("L"))
    transparent.save(folder / "transparent.webp", lossless=True)
    Image.fromarray(np.uint16(rng.integers(0, 65536, (9, 12)))).resize((120, 90)).save(folder / "sixteen.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    cat.save(folder / "below" / "turned.JPEG", exif=exif)


@pytest.fixture(scope="session")
def imagenet_file() -> Path:
    """The real ImageNet weights, as they lie in ``weights/``; fetched there if they are not."""
    from tutorial.imagenet_weights import imagenet_weights

    return Path(imagenet_weights()).resolve()


@pytest.fixture
def web_server(tmp_path):
    """A web server on loopback: it serves the folder ``served``, and lists the ``requests``."""
    (tmp_path / "served").mkdir()
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "served"))

        def log_message(self, *_):
            requests.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield SimpleNamespace(url=url, folder=tmp_path / "served", requests=requests)
        server.shutdown()


def serve_wheel(
    served: Path, package: str, files: dict[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED
) -> Path:
    """Put a wheel ("name-1.0") with these files into a package index in a web server's folder; returns its path."""
    name, version = package.split("-")
    folder, file, info = (
        served / "simple" / name.replace("_", "-"),
        f"{package}-py3-none-any.whl",
        f"{package}.dist-info",
    )
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(f'<a href="{file}">{file}</a>')
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path, content in files.items():
            archive.writestr(path, content, compression)
    return folder / file


def only_index(url: str) -> dict[str, str]:
    """pip's environment with no package index but that of a web server."""
    nothing = {"PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    return {**nothing, "PIP_INDEX_URL": f"{url}/simple/", "PIP_NO_CACHE_DIR": "1"}


def index_answers() -> bool:
    """Whether the package index that this machine is set up for can be reached."""
    flags = ["--no-deps", "--retries=0", "--timeout=5", "--dest", os.devnull]
    return run("-m", "pip", "download", *flags, "six").returncode == 0


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a window."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if not executable:
        pytest.skip("Chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    flags = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
             "disable-component-update", "disable-sync"]  # fmt: skip
    with playwright.sync_playwright() as running:
        yield running.chromium.launch(executable_path=executable, args=[f"--{flag}" for flag in flags])


def check_in_browser(browser, path: Path) -> str:
    """Open a page from disk, at the width of a phone and of a laptop, in light and dark; returns the text on it.

    Nothing may reach the console, be requested, open a dialog, be wider than the window or be written too small.
    """
    for width, scheme in ((400, "light"), (1200, "dark")):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        events: list[str] = []
        page.on("console", lambda message, events=events: events.append(message.text))  # of the policy's violations too
        page.on("pageerror", lambda error, events=events: events.append(str(error)))
        page.on("dialog", lambda dialog, events=events: (events.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request, events=events: events.append(request.url))
        page.goto(path.as_uri())
        assert [one for one in events if not one.startswith("data:")] == [path.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert page.evaluate(SMALL) == []
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 1)")
        text = page.inner_text("body")
        page.close()
    return text


# Elements with text of their own below 12 pixels; and charts, whose text is 13, shrunk below nine tenths.
SMALL = """[
    ...[...document.querySelectorAll('body *')].filter(one => parseFloat(getComputedStyle(one).fontSize) < 12
        && [...one.childNodes].some(node => node.nodeType == Node.TEXT_NODE && node.data.trim())),
    ...[...document.querySelectorAll('img.svg')].filter(one => one.width < 0.9 * one.naturalWidth),
].map(one => one.outerHTML.slice(0, 200))"""


def draw_data(data: Path) -> None:
    """A data folder of unequal classes, with odd photos among those for validation."""
    draw(data / "train", calico=7, tabby=12)
    draw(data / "validation", calico=4, tabby=5)
    odd_photos(data / "validation" / "calico" / "odd")


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The same photos as ``trained``, and the convnet's weights file, for tests of what needs no training."""
    from fine_tuning_VGG16_pt1 import small_convnet
    from tutorial.model_file import ModelInfo, save_weights

    folder = tmp_path_factory.mktemp("untrained")
    data, weights = folder / "data", folder / "weights"
    draw_data(data)
    counts = {"train": {"calico": 7, "tabby": 12}, "validation": {"calico": 12, "tabby": 5}}
    info = ModelInfo(MODELS[0], ["calico", "tabby"], 150, {"network": "small_convnet", "epochs": 2}, counts, {}, 0.0)
    save_weights(small_convnet(2), weights / f"{MODELS[0]}.weights.h5", info)
    return SimpleNamespace(data=data, weights=weights)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The three parts, run once from the shell, with a batch size that divides neither class.

    ``data`` and ``weights`` are the folders, ``outputs`` what each part printed. The validation photos
    include odd ones, so that every comparison with the training's evaluation covers them.
    """
    folder = tmp_path_factory.mktemp("trained")
    data, weights = folder / "data", folder / "weights"
    draw_data(data)
    outputs = []
    for part, epochs in enumerate(EPOCHS, 1):
        done = run_part(part, data, weights, "--epochs", epochs)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    return SimpleNamespace(data=data, weights=weights, outputs=outputs)


@pytest.fixture
def photo(untrained: SimpleNamespace) -> Path:
    """One of the validation photos."""
    return untrained.data / "validation" / "tabby" / "tabby0.jpg"


@pytest.fixture
def convnet(untrained: SimpleNamespace) -> list[object]:
    """predict.py's flag for the convnet."""
    return ["--weights", untrained.weights / "small_convnet.weights.h5"]


@pytest.fixture(scope="session")
def predictions(trained: SimpleNamespace) -> dict[str, list[dict]]:
    """predict.py's JSON for the validation photos, for each of ``MODELS``."""
    found = {}
    for model in MODELS:
        weights = trained.weights / f"{model}.weights.h5"
        done = run("predict.py", trained.data / "validation", "--weights", weights, "--json")
        assert done.returncode == 0, done.stderr
        found[model] = [json.loads(line) for line in done.stdout.splitlines()]
    return found


def part_command(part: int, data: Path, weights: Path, *flags: object) -> list[str]:
    """A part's command, after ``python``."""
    script = f"fine_tuning_VGG16_pt{part}.py"
    small = ["--set", f"image_size={SMALL_PHOTOS}"] if part == 2 else []  # part 3 takes part 2's
    return [str(word) for word in (script, "--data", data, "--weights-dir", weights, "--batch-size", 5, *small, *flags)]


def run_part(part: int, data: Path, weights: Path, *flags: object) -> subprocess.CompletedProcess:
    return run(*part_command(part, data, weights, *flags))


@pytest.fixture
def sentence() -> Callable[[subprocess.CompletedProcess], str]:
    """Checks that a command failed as errors should, and returns its one sentence."""

    def check(done: subprocess.CompletedProcess) -> str:
        lines = done.stderr.strip().splitlines()
        assert done.returncode == 2, done.stdout + done.stderr
        assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
        return lines[0]

    return check
