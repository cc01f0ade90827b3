"""The page of tools/demo.py, in a browser as a reader uses it, and what its server refuses."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

from conftest import PROJECT, run

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def demo(trained, tmp_path_factory):
    """The server, with the three trained models; ``log`` is what it prints."""
    port, log = free_port(), tmp_path_factory.mktemp("demo") / "log"
    command = [sys.executable, "tools/demo.py", "--no-browser", "--port", str(port), "--weights-dir", trained.weights]
    with open(log, "w") as file, subprocess.Popen(command, cwd=PROJECT, stdout=file, stderr=file) as process:
        while "Ctrl-C" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}", port=port, log=log, process=process)
        process.terminate()


def post(demo, path="predict", content=b"", **headers):
    """The status and the JSON of an answer; by default the request is the page's own."""
    headers = {"Origin": demo.url} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{demo.url}/{path}", content, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def command_line(trained, photo) -> list[dict]:
    found = []
    for name in ("small_convnet", "bottleneck_fc_model", "fine_tuned_vgg16"):
        done = run("predict.py", photo, "--json", "--weights", trained.weights / f"{name}.weights.h5")
        found.append(json.loads(done.stdout))
    return found


def test_the_answer_is_predicts(trained, demo):
    photo = trained.data / "validation" / "calico" / "odd" / "below" / "turned.JPEG"  # sideways, as from a phone
    status, answer = post(demo, "predict?name=turned.JPEG", photo.read_bytes())
    assert status == 200 and answer["name"] == "turned.JPEG"
    for model, expected in zip(answer["models"], command_line(trained, photo), strict=True):
        assert model["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
        assert all(model[name] == expected[name] for name in ("class", "sure", "out_of_distribution"))
        assert expected["model"] in model["model"] and model["text"].startswith(expected["class"])


def test_only_the_page_of_this_computer_may_ask(trained, demo):
    photo = (trained.data / "validation" / "tabby" / "tabby0.jpg").read_bytes()
    for origin in (
        "https://evil.example",
        "null",
        f"http://127.0.0.1:{demo.port + 1}",
        f"https://127.0.0.1:{demo.port}",
    ):
        assert post(demo, content=photo, Origin=origin)[0] == 403
    assert post(demo, content=photo, Host=f"evil.example:{demo.port}")[0] == 400  # a name that was rebound to here
    assert post(demo, content=photo, Origin=f"http://localhost:{demo.port}", Host=f"localhost:{demo.port}")[0] == 200
    with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):  # only 127.0.0.1 is listened on
        elsewhere.connect(("127.0.0.2", demo.port))


def test_what_is_no_photo_or_too_large_gets_a_sentence(demo):
    assert post(demo, "predict?name=%1b%5B31mlist.jpg", b"milk, eggs")[0] == 422
    assert "list.jpg is not a photo that Pillow can read" in post(demo, "predict?name=list.jpg", b"milk, eggs")[1]
    status, text = post(demo, content=bytes(50_000_001))
    assert status == 413 and "more than 50 MB" in text


def probabilities(page) -> list[float]:
    return page.eval_on_selector_all("meter", "all => all.map(one => one.value)")


def test_in_a_browser(trained, demo, browser, tmp_path):
    page = browser.new_page(viewport={"width": 400, "height": 900})
    events: list[str] = []
    page.on("console", lambda message: events.append(message.text))
    page.on("pageerror", lambda error: events.append(str(error)))
    page.on("request", lambda request: events.append(request.url))
    page.goto(demo.url)

    def wait_for(text):  # not wait_for_function, which the page's policy forbids
        page.get_by_text(text).first.wait_for(timeout=120_000)

    def choose(photo, wanted):
        page.set_input_files("#file", photo)
        wait_for(wanted)

    wait_for("calico or tabby")

    photo = trained.data / "validation" / "tabby" / "tabby0.jpg"
    choose(photo, "tabby0.jpg")
    expected = [one for model in command_line(trained, photo) for one in model["probabilities"].values()]
    assert probabilities(page) == pytest.approx(expected, abs=1e-6)
    assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 1)")
    assert page.evaluate("document.images.length") == 4  # the photo, and three heat maps
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # A text file that is called .jpg: a sentence instead of an answer
    (tmp_path / "list.jpg").write_text("milk, eggs")
    choose(tmp_path / "list.jpg", "list.jpg is not a photo that Pillow can read")
    assert probabilities(page) == []
    # 50 megapixels
    large = Image.open(photo).resize((8200, 6100))
    large.save(tmp_path / "large.jpg")
    choose(tmp_path / "large.jpg", "large.jpg")
    assert len(probabilities(page)) == 6
    # A second photo while the first is computed: its answer stays
    page.set_input_files("#file", tmp_path / "large.jpg")
    choose(photo, "tabby0.jpg")
    page.wait_for_timeout(8000)
    assert probabilities(page) == pytest.approx(expected, abs=1e-6) and "large.jpg" not in page.inner_text("body")
    # The example
    page.click("#example")
    wait_for("drawn tabby.jpg")
    page.click("#camera")
    wait_for("There is no camera")
    page.close()
    own = "(|style.css|script.js|classes|example|predict[?]name=[a-z0-9.]+)"
    known = re.compile(f"{demo.url}/{own}|data:.*", re.DOTALL)
    refused = "Failed to load resource: the server responded with a status of 422 (Unprocessable Entity)"
    assert [one for one in events if not known.fullmatch(one)] in ([], [refused])


def test_errors_are_sentences(trained, demo, tmp_path, sentence):
    flags = ["--no-browser", "--weights-dir", trained.weights]
    line = sentence(run("tools/demo.py", *flags, "--port", demo.port))
    assert "(Address already in use): name another with --port" in line
    line = sentence(run("tools/demo.py", "--no-browser", "--weights-dir", tmp_path))
    assert "there is no trained model in" in line
    assert "nix.jpg does not exist" in sentence(run("tools/demo.py", *flags, "--example", tmp_path / "nix.jpg"))
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['uvicorn'] = None\n")
    line = sentence(run("tools/demo.py", *flags, env={"PYTHONPATH": str(tmp_path)}))
    assert "python -m pip install -r requirements-demo.txt" in line


def test_zz_ctrl_c_ends_it(demo):
    import signal

    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 130 and "Traceback" not in demo.log.read_text()
    np.testing.assert_equal(demo.log.read_text().splitlines()[-1], "stopped.")
