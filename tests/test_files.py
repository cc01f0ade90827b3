"""Files appear complete or not at all."""

import os
import stat
from pathlib import Path

from tutorial.cli import TutorialError
from tutorial.files import atomic_write

import pytest


def test_the_file_appears_with_its_content_and_ordinary_permissions(tmp_path):
    with atomic_write(tmp_path / "new" / "a.weights.h5") as temporary:
        temporary.write_text("new")
        assert temporary.name.endswith("a.weights.h5") and not (tmp_path / "new" / "a.weights.h5").exists()
    assert (tmp_path / "new" / "a.weights.h5").read_text() == "new"
    (tmp_path / "plain").write_text("")
    if os.name == "posix":
        assert (tmp_path / "new" / "a.weights.h5").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "old")]


def test_a_device_is_not_replaced():
    with pytest.raises(TutorialError, match="is a device"), atomic_write(Path("/dev/null")):
        raise AssertionError


def test_a_full_disk_gets_one_sentence(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    refused = pytest.raises(TutorialError, match=r"a\.csv could not be written \(No space left on device\)")
    with refused, atomic_write(tmp_path / "a.csv"), open("/dev/full", "w") as full:
        full.write("x" * 100_000)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Or a power failure could leave the name with nothing in it."""
    happened, fsync, replace = [], os.fsync, os.replace
    is_folder = lambda file: stat.S_ISDIR(os.fstat(file).st_mode)  # noqa: E731
    size = lambda file: "folder" if is_folder(file) else os.fstat(file).st_size  # noqa: E731
    monkeypatch.setattr(os, "fsync", lambda file: happened.append(size(file)) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *paths: happened.append("named") or replace(*paths))
    with atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("hello")
    assert happened == [5, "named"] + ["folder"] * (os.name == "posix")
