"""tools/predict_many.py on a real cluster: predict.py's answers, whatever is killed in the middle."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import PROJECT, draw, run, wait_for
from tutorial.cli import TutorialError
from tutorial.recipes import pretrained_dir

import pytest

ray = pytest.importorskip("ray")  # Ray has no wheel for every system
from tools.predict_many import LIST, find_photos, list_photos, place  # noqa: E402

import pyarrow.parquet as pq  # noqa: E402
from pyarrow.csv import ConvertOptions, read_csv  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

WEIGHTS = (pretrained_dir() / "small_convnet.weights.h5").resolve()
SCRIPT = PROJECT / "tools" / "predict_many.py"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Drawn cats, what is no photo, and a name that no table can have as it is."""
    folder = tmp_path_factory.mktemp("many") / "photos"
    draw(folder, calico=7, tabby=12)
    (folder / "=bad.jpg").write_text("no photo")
    (folder / "tabby" / "gone.jpg").symlink_to("nowhere.jpg")
    if sys.platform == "linux":
        shutil.copy(folder / "calico" / "calico0.jpg", os.fsencode(folder) + b"/\xff\n.jpg")
    return folder


@pytest.fixture(scope="module")
def expected(photos) -> dict[str, dict]:
    """predict.py's answers."""
    done = run("predict.py", photos, "--weights", WEIGHTS, "--json")
    return {one["photo"]: one for one in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core each, as Ray starts them on two machines."""
    small = {"num_cpus": 1, "object_store_memory": 80_000_000}
    both = Cluster(initialize_head=True, head_node_args=small | {"include_dashboard": False})
    both.second = both.add_node(**small)
    both.wait_for_nodes()
    yield both
    both.shutdown()


def started(*flags: object) -> subprocess.Popen:
    command = [sys.executable, SCRIPT, *map(str, flags), "--weights", WEIGHTS, "--part-size", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def in_the_middle(process: subprocess.Popen, output: Path, act: Callable[[], None]) -> int:
    """Do something when the first part is there; returns the parts there are then."""
    wait_for(process, lambda: list(output.glob("part-*")), timeout=600)
    act()
    return len(list(output.glob("part-*")))


def same(found: dict, one: dict) -> bool:
    """Whether a table's row has predict.py's prediction, to 1e-6."""
    if "error" in one:
        return found["error"] is not None and found["class"] is None
    each = {f"probability of {name}": value for name, value in one["probabilities"].items()}
    names = ("class", "sure", "out_of_distribution")
    numbers = {"probability": one["probability"]} | each
    return (
        all(found[name] == one[name] for name in names)
        and found["error"] is None
        and all(found[name] == pytest.approx(value, abs=1e-6) for name, value in numbers.items())
    )


@pytest.mark.slow
def test_a_node_killed_in_the_middle_loses_and_doubles_nothing(photos, expected, cluster, tmp_path):
    process = started(photos, "--output", tmp_path / "out", "--address", cluster.address)
    there = in_the_middle(process, tmp_path / "out", lambda: cluster.remove_node(cluster.second, allow_graceful=False))
    said = process.communicate(timeout=600)[0]
    parts = sorted((tmp_path / "out").glob("part-*"))
    assert process.returncode == 0 and there < len(parts) == 22, said
    assert "22 photos in 22 parts" in said
    rows = pq.read_table(tmp_path / "out").to_pylist()  # as other programs read it, without the list of photos
    names = [row["photo"] for row in rows]
    assert len(rows) == len(set(names)) == len(expected) == 22
    escaped = {name.replace("\udcff\n", "\\udcff\\n"): one for name, one in expected.items()}
    assert all(same(row, escaped[row["photo"]]) for row in rows)


@pytest.mark.slow
def test_a_killed_run_resumes_from_a_csv_of_urls(photos, expected, cluster, tmp_path):
    listed = [*sorted(photos.rglob("[ct]*[0-9].jpg")), photos / "tabby" / "gone.jpg"]
    (tmp_path / "list.csv").write_text("\n".join(["id,photo", *(f"{i},file://{one}" for i, one in enumerate(listed))]))
    flags = [tmp_path / "list.csv", "--output", f"file://{tmp_path}/out", "--format", "csv"]
    process = started(*flags, "--address", cluster.address)
    in_the_middle(process, tmp_path / "out", process.kill)
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    assert 0 < len(before) < 20
    again = started(*flags, "--address", cluster.address)
    assert "with 20 photos in 20 parts" in again.communicate(timeout=600)[0] and again.returncode == 0
    parts = sorted((tmp_path / "out").glob("part-*"))
    assert {path: path.stat().st_mtime_ns for path in before} == before and len(parts) == 20
    empty = ConvertOptions(strings_can_be_null=True)
    rows = [row for path in parts for row in read_csv(path, convert_options=empty).to_pylist()]
    assert [row["photo"] for row in rows] == [f"file://{one}" for one in listed]  # each once
    assert all(same(row, expected[str(one)]) for row, one in zip(rows, listed, strict=True))
    assert rows[-1]["error"] == f"file://{listed[-1]} does not exist."


def test_another_list_or_model_is_refused(photos, tmp_path, sentence):
    output = f"{tmp_path}/out"
    first = list_photos(str(photos), output, "a", "csv", 2)
    assert list_photos(str(photos), output, "a", "csv", 2).num_row_groups == first.num_row_groups == 11
    for model, kind, size in (("b", "csv", 2), ("a", "parquet", 2), ("a", "csv", 3)):
        with pytest.raises(TutorialError, match="of another model, --format or --part-size"):
            list_photos(str(photos), output, model, kind, size)
    some = tmp_path / "some.csv"
    for count in (20, 23):  # one part less, one more
        names = [*find_photos(str(photos)), "more.jpg"][:count]
        with open(some, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv.writer(file).writerows([["photo"], *([name] for name in names if name.isprintable())])
        with pytest.raises(TutorialError, match="of other photos"):
            list_photos(str(some), output, "a", "csv", 2)
    assert list(Path(output).iterdir()) == [Path(output, LIST)]
    line = sentence(run(SCRIPT, photos, "--output", output, "--weights", WEIGHTS))
    assert "name another" not in line and "another --output" in line


def test_a_home_folders_tilde_but_not_in_a_url():
    assert place("~/photos") == str(Path.home() / "photos") and place("s3://a/~b/") == "s3://a/~b"


def test_what_is_no_list_of_photos_is_one_sentence(tmp_path, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.csv").write_text("file\n1.jpg\n")
    (tmp_path / "short.csv").write_text("id,photo\n1\n")
    for source in ("gone", "empty", "no.csv", "short.csv", "nothing://bucket/photos"):
        name = source if "://" in source else str(tmp_path / source)
        with pytest.raises(TutorialError, match=source):
            list_photos(name, f"{tmp_path}/out", "a", "csv", 2)
    assert not (tmp_path / "out").exists()
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['ray'] = None\n")
    line = sentence(run(SCRIPT, "x", "--output", "y", env={"PYTHONPATH": str(tmp_path)}))
    assert "python -m pip install -r requirements-scale.txt" in line
