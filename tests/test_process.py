"""A script as a guest in its process and terminal: streams, interrupts, notebooks, paths; and the Makefile's."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

from conftest import PROJECT, draw, in_terminal, part_command, posix, run, run_part, without_escapes
from draw_cats import DRAWN
from drawing.drawn_cat import cat_number
from tutorial.files import TEMPORARY

import pytest
from PIL import Image

# ---- Streams ---------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize(("redirection", "status"), [(">&-", 0), ("2>&-", 0), (">/dev/full", 2)])
def test_output_that_is_closed_or_full(tmp_path, redirection, status):
    if "/dev/full" in redirection and not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    command = f'"$0" data/draw_cats.py --train 1 --validation 1 --data "$1" {redirection}'
    words = ["sh", "-c", command, sys.executable, tmp_path]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == status and "Traceback" not in done.stderr, done.stderr
    assert len(list(tmp_path.rglob("*.jpg"))) == 4
    if status:
        assert done.stderr.startswith("error: the output could not be written (No space left on device)")


@posix
@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", "| head -n 1"])
def test_predictions_where_nobody_reads_all(convnet, photo, tmp_path, redirection):
    command = f'"$0" predict.py "$1" "$2" "$3" --save "$4" {redirection}'
    words = [sys.executable, photo, *convnet, tmp_path / "a.png"]
    done = subprocess.run(["sh", "-c", command, *words], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert "head" in redirection or (tmp_path / "a.png").exists()


@posix
@pytest.mark.parametrize("script", ["fine_tuning_VGG16_pt3.py", "predict.py"])
def test_ctrl_c_during_the_imports(script, tmp_path):
    """At several moments after the first line of ours, which fall into the imports and after them."""
    begin = "import sys; del sys.argv[0]; import tutorial; print('begun', flush=True); import runpy; "
    begin += "runpy.run_path(sys.argv[0], run_name='__main__')"
    for moment in (0, 0.5, 1.5):
        command = [sys.executable, "-c", begin, PROJECT / script, *([PROJECT] if "predict" in script else ["--data"])]
        process = subprocess.Popen(
            [*command, tmp_path], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "begun\n"
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGINT, 130, 2, 0), printed
        assert "Traceback" not in printed and "terminate" not in printed


@posix
@pytest.mark.parametrize("where", ["script", "notebook"])
@pytest.mark.parametrize("error", ["TypeError", "tutorial.cli.TutorialError('is damaged')"])
def test_ctrl_c_that_a_library_turns_into_another_error(where, error):
    """As TensorFlow's C++ code does: SystemError, then TypeError, which for predict.py means a damaged file."""
    code = """if True:
        import signal, sys, time, tutorial.cli
        if sys.argv[1] == "notebook":
            sys.modules["ipykernel"] = sys
            signal.signal(signal.SIGINT, signal.default_int_handler)
        before = signal.getsignal(signal.SIGINT)
        def main():
            try:
                signal.raise_signal(signal.SIGINT)
                time.sleep(9)
            except KeyboardInterrupt:
                raise eval(sys.argv[2])
        status = tutorial.cli.run(main)
        assert signal.getsignal(signal.SIGINT) == before
        sys.exit(status)"""
    done = run("-c", code, where, error)
    assert done.returncode == 130 and done.stderr == "\nstopped.\n"


@posix
def test_a_file_that_cannot_become_so_large_gets_a_sentence_and_the_old_one_stays(untrained, tmp_path, sentence):
    """As with a quota, or a disk that turns out to be full: the model is trained, its weights are 9 MB."""
    (tmp_path / "small_convnet.weights.h5").write_text("old")
    done = run(*part_command(1, untrained.data, tmp_path, "--epochs", 1), RLIMIT_FSIZE=2_048_000)
    assert "small_convnet.weights.h5 could not be written (File too large)" in sentence(done)
    assert "there is no checkpoint of this epoch" in done.stdout
    assert (tmp_path / "small_convnet.weights.h5").read_text() == "old"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(TEMPORARY)]


@pytest.mark.slow
@posix
def test_a_terminal_that_is_closed_keeps_what_is_whole(untrained, tmp_path):
    """Under nohup, so that the next line cannot be written (EIO): the cached activations stay, and training resumes."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, *part_command(2, untrained.data, tmp_path, "--epochs", 3)]
    process = subprocess.Popen(
        command, cwd=PROJECT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    os.close(theirs)
    written = b""
    while b"Epoch 1" not in written:
        written += os.read(ours, 65536)
    os.close(ours)
    assert process.wait(120) == 2
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "activations").iterdir()}
    done = run_part(2, untrained.data, tmp_path, "--epochs", 3)
    assert done.returncode == 0 and "reusing" in done.stdout and (tmp_path / "bottleneck_fc_model.weights.h5").exists()
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "activations").iterdir()} == kept


@posix
def test_a_name_that_is_not_utf_8_is_written_out(convnet, photo, tmp_path):
    odd = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    shutil.copy(photo, odd)
    done = run("predict.py", os.fsdecode(odd), *convnet, "--save", os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.png"))
    assert done.returncode == 0 and "\\udce9.jpg: " in done.stdout, done.stderr
    with Image.open(os.fsencode(tmp_path) + b"/\xe9.png") as picture:
        assert picture.width > 200


@pytest.mark.slow
@pytest.mark.parametrize("env", [{"PYTHONOPTIMIZE": "2"}, {"PYTHONSAFEPATH": "1"}])
def test_pythons_own_switches(convnet, photo, env):
    done = run("predict.py", photo, *convnet, env=env)
    assert done.returncode == 0 and f"{photo}: " in done.stdout, done.stderr
    assert run("data/collect.py", "--help", env=env).returncode == 0


def test_a_home_folders_tilde(untrained, tmp_path, sentence):
    """As after an equals sign, where most shells leave it."""
    env = {"HOME": str(untrained.data.parent), "USERPROFILE": str(untrained.data.parent)}
    flags = ["--weights=~/weights/small_convnet.weights.h5", "--save=~/seen.png"]
    done = run(PROJECT / "predict.py", "~/data/validation/tabby/tabby0.jpg", *flags, env=env, folder=tmp_path)
    assert done.returncode == 0 and (untrained.data.parent / "seen.png").exists(), done.stderr
    done = run(PROJECT / "data" / "draw_cats.py", "--data=~nobody-here/x", folder=tmp_path)
    assert done.returncode == 2 and "~ must be followed by" in done.stderr
    assert list(tmp_path.iterdir()) == []


# ---- Notebooks -------------------------------------------------------------------------------------

CELLS = """
import os, signal, sys, threading, time
sys.modules["ipykernel"] = sys  # as in a notebook's process
import matplotlib
import fine_tuning_VGG16_pt1 as part1
from tutorial.cli import run

before = sys.stdout, sys.stdout.errors, matplotlib.get_backend()
command = ["part1", "--data", sys.argv[1], "--weights-dir", sys.argv[2], "--batch-size", "5", "--epochs"]
for epochs in ("1", "2"):
    sys.argv = [*command, epochs]
    assert run(part1.main, resumable=True) == 0
sys.argv = [*command, "500"]
threading.Timer(4, os.kill, (os.getpid(), signal.SIGINT)).start()
assert run(part1.main, resumable=True) == 130
assert (sys.stdout, sys.stdout.errors, matplotlib.get_backend()) == before
print("the variables are still there")
"""


@pytest.mark.slow
@posix
def test_a_part_runs_twice_and_is_interrupted_in_a_notebook(untrained, tmp_path):
    done = run("-c", CELLS, untrained.data, tmp_path, env={"MPLBACKEND": "svg"})
    assert done.returncode == 0 and done.stdout.endswith("the variables are still there\n"), done.stderr
    assert "stopped; the same command resumes" in done.stderr


# ---- make ------------------------------------------------------------------------------------------

NAMES = ["plain", 'it\'s a "set"', "cost $5 $HOME $(touch PWNED) `touch PWNED`; touch PWNED &", "~/pets and cats"]


@posix
@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_run_by_make_or_its_shell(tmp_path, name):
    """The real Makefile with a Python that notes its arguments; the names of folder and photo arrive as they are."""
    shutil.copy(PROJECT / "Makefile", tmp_path)
    for path in (".venv/.installed", "weights/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    for path in ("requirements.txt", "pyproject.toml"):
        (tmp_path / path).touch()
        os.utime(tmp_path / path, (0, 0))
    noting = tmp_path / "python"
    noting.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >>noted\n')
    noting.chmod(0o755)
    env = os.environ | {"HOME": str(tmp_path / "home")}
    words = ["make", f"DATA={name}", "python=./python", f"PHOTO={name}.jpg"]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    noted = (tmp_path / "noted").read_text().splitlines()
    expected = name.replace("~", str(tmp_path / "home"))
    assert noted.count(expected) == 4 and noted.count(f"{name}.jpg") == 1
    assert not list(tmp_path.rglob("PWNED"))


def test_the_first_photo_and_the_models_that_can_be_used(untrained, tmp_path):
    """What make gives to compare.py, where there is a weights file of an earlier version, too."""
    draw(tmp_path / "validation", calico=1)
    folder = tmp_path / "validation" / "calico"
    (folder / "0_LICENSE.txt").write_text("MIT")
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "0.jpg").write_text("<html>not found</html>")  # the parts leave it out, too
    odd = (folder / "calico0.jpg").rename(folder / "a $(touch PWNED) cat.jpg")
    weights, picture = tmp_path / "weights", tmp_path / "picture.png"
    weights.mkdir()
    shutil.copy(untrained.weights / "small_convnet.weights.h5", weights)
    (weights / "fine_tuned_vgg16.weights.h5").write_bytes(b"\x89HDF")
    done = run("tools/compare.py", tmp_path / "validation", "--weights-dir", weights, "--save", picture)
    assert done.returncode == 0, done.stderr
    left_out, header = done.stdout.splitlines()[:2]
    assert left_out.startswith(f"left out: {weights / 'fine_tuned_vgg16.weights.h5'} was not saved by this version")
    assert header.endswith(str(odd))
    assert picture.stat().st_size > 10_000


@posix
@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_clean_removes_only_what_is_computed_again(tmp_path):
    shutil.copy(PROJECT / "Makefile", tmp_path)
    kept = ["weights/fine_tuned_vgg16.weights.h5", "weights/improved/small_convnet.checkpoint.npz", "weights/.lock",
            "weights/pretrained/a.h5", "data/train/calico/1.jpg", "data/drawn/train/calico/calico7.jpg"]  # fmt: skip
    gone = ["weights/activations/a.npy", "weights/improved/activations/b.npy", "data/drawn/train/tabby/tabby12.jpg"]
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    cat_number(0, "train", "tabby", 12).save(tmp_path / gone[-1], comment=DRAWN)
    for _ in range(2):
        done = subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        assert files == {*kept, "Makefile"}


# ---- The progress bar --------------------------------------------------------------------------------

COUNTING = """
import time
from tutorial.cli import ProgressBar, run
def main():
    bar = ProgressBar("reading photos of a very long folder name", 400)
    for done in range(1, 31):
        time.sleep(0.1)
        bar.update(done)
    raise KeyboardInterrupt
run(main)
"""


@posix
def test_the_progress_bar_fits_into_40_columns_and_gives_the_cursor_back():
    """In a real terminal; with the time left, and after Ctrl-C."""
    status, text = in_terminal([sys.executable, "-c", COUNTING], 40)
    assert status == 130
    frames = [line for line in re.split(r"[\r\n]+", without_escapes(text)) if "/400" in line]
    assert len(frames) > 3 and max(map(len, frames)) <= 40
    assert any(re.search(r"2\d/400 \d\d:\d\d left: reading", frame) for frame in frames), frames
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is shown again


def test_no_progress_bar_where_the_output_is_a_file():
    done = run("-c", COUNTING.replace("0.1", "0.01"))
    assert done.returncode == 130 and done.stdout == "" and done.stderr.startswith("\nstopped")
