"""benchmarks/accuracy.py: its scores, its folds and its table; nothing is trained here."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import accuracy
from conftest import paint
from folds import link_folds, split_folds
from tools.report import Predictions
from tutorial.cli import TutorialError
from tutorial.dataset import find_photos
from tutorial.model_file import FILES, WeightsFile

import numpy as np
import pytest
from PIL import Image


def predictions(probabilities: list[list[float]], labels: list[int]) -> Predictions:
    return Predictions(np.array(probabilities), np.array(labels), [f"{i}.jpg" for i in range(len(labels))])


# ---- Scores --------------------------------------------------------------------------------------


def test_scores_of_two_classes_by_hand():
    """Of 3 of the first class 2 are right, of 1 of the second it is; 2 of the 3 pairs are in order."""
    found = accuracy.scores(predictions([[0.9, 0.1], [0.8, 0.2], [0.25, 0.75], [0.3, 0.7]], [0, 0, 0, 1]))
    assert found["accuracy"] == 3 / 4
    assert found["balanced accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["ROC AUC"] == pytest.approx(2 / 3)
    assert found["log loss"] == pytest.approx(-np.log([0.9, 0.8, 0.25, 0.7]).mean())
    # Bins 0.7-0.8 (0.75 and 0.7, one of two right), 0.8-0.9 (0.8, right), 0.9-1 (0.9, right).
    assert found["ECE"] == pytest.approx((2 * abs(0.725 - 0.5) + 0.2 + 0.1) / 4)


def test_scores_of_three_classes_by_hand():
    """ROC AUC is the mean of each class against the rest: 1, 1/2 and 3/4 of the pairs in order."""
    rows = [[0.6, 0.3, 0.1], [0.5, 0.2, 0.3], [0.3, 0.25, 0.45], [0.2, 0.35, 0.45]]
    found = accuracy.scores(predictions(rows, [0, 0, 1, 2]))
    assert found["accuracy"] == 3 / 4
    assert found["balanced accuracy"] == pytest.approx((1 + 0 + 1) / 3)
    # Class 1 has 0.25 against 0.3, 0.2 and 0.35; class 2 has 0.45 against 0.1, 0.3 and 0.45, which is half in order.
    assert found["ROC AUC"] == pytest.approx((1 + 1 / 3 + 2.5 / 3) / 3)


def test_all_folds_together_by_hand():
    """Three photos of one fold and one of another: 3 of 4 right, where the mean of the folds would be 5/6."""
    folds = [
        predictions([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1]),
        predictions([[0.7, 0.3]], [0]),
    ]
    together = accuracy.all_folds([SimpleNamespace(predictions={"validation": one}) for one in folds])
    found = accuracy.scores(together["validation"])
    assert found["accuracy"] == 3 / 4
    assert found["log loss"] == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.7]).mean())


# ---- Folds ---------------------------------------------------------------------------------------


@pytest.fixture
def copies(tmp_path) -> Path:
    """Photos with copies: in both splits, in one, and under the same file name in both."""
    data = tmp_path / "photos"
    paint(data / "train", calico=9, tabby=8)
    paint(data / "validation", calico=4, tabby=5)
    with Image.open(data / "train/calico/calico0.jpg") as photo:
        photo.resize((120, 110)).save(data / "validation/calico/copy.png")
        photo.resize((90, 80)).save(data / "train/calico/again.png")
    with Image.open(data / "train/tabby/tabby3.jpg") as photo:
        photo.save(data / "train/tabby/saved_again.jpg", quality=60)
    (data / "train/tabby/broken.jpg").write_bytes(b"no photo")
    (data / "test").mkdir()
    return data


def test_folds_keep_copies_together_and_every_photo_validates_once(copies, tmp_path):
    folders = link_folds(copies, tmp_path / "folds3", 3, 0)
    assert folders == [tmp_path / f"folds3/fold{number}/data" for number in (1, 2, 3)]
    photos = {path for split in ("train", "validation") for path in find_photos(copies / split).photos}
    photos.remove(copies / "train/tabby/broken.jpg")
    in_fold = {}
    for number, folder in enumerate(folders):
        linked = {
            split: [link.resolve() for link in find_photos(folder / split).photos] for split in ("train", "validation")
        }
        assert sorted(linked["train"] + linked["validation"]) == sorted(path.resolve() for path in photos)
        for photo in linked["validation"]:
            assert photo not in in_fold
            in_fold[photo] = number
        for split in ("train", "validation"):
            assert sorted(path.name for path in (folder / split).iterdir()) == ["calico", "tabby"]
            for link in find_photos(folder / split).photos:  # each in the folder of its class
                assert link.relative_to(folder / split).parts[0] == link.resolve().parent.name
        assert not (folder / "test").exists()
    assert len(in_fold) == len(photos)

    def fold(name: str) -> int:
        return in_fold[(copies / name).resolve()]

    assert fold("train/calico/calico0.jpg") == fold("validation/calico/copy.png") == fold("train/calico/again.png")
    assert fold("train/tabby/tabby3.jpg") == fold("train/tabby/saved_again.jpg")
    sizes = np.bincount(list(in_fold.values()))
    assert sizes.max() - sizes.min() <= 2


def test_folds_are_found_again_and_refused_when_the_photos_have_changed(copies, tmp_path):
    folder = tmp_path / "folds2"
    link_folds(copies, folder, 2, 0)
    before = {link: link.lstat().st_ino for link in folder.rglob("*.jpg")}
    link_folds(copies, folder, 2, 0)
    assert {link: link.lstat().st_ino for link in folder.rglob("*.jpg")} == before  # not made again
    (copies / "train/calico/calico1.jpg").unlink()
    link_folds(copies, folder, 2, 0)  # nothing was trained on them: split again
    assert not any(link.name == "calico1.jpg" and "train" in link.parent.name for link in folder.rglob("*.jpg"))
    (folder / "fold1/original").mkdir()
    (folder / "fold1/original/small_convnet.weights.h5").touch()
    (copies / "train/calico/calico2.jpg").unlink()
    with pytest.raises(TutorialError, match="folds of other photos"):
        link_folds(copies, folder, 2, 0)


def test_each_seed_has_its_own_folds(copies, tmp_path):
    def validation_photos(seed: int) -> list[set[Path]]:
        folders = link_folds(copies, tmp_path / f"seed{seed}", 3, seed)
        return [{link.resolve() for link in find_photos(folder / "validation").photos} for folder in folders]

    first, second = validation_photos(0), validation_photos(1)
    assert set.union(*first) == set.union(*second) and not any(fold in first for fold in second)
    (tmp_path / "seed0/fold1/original").mkdir()
    (tmp_path / "seed0/fold1/original/small_convnet.weights.h5").touch()
    with pytest.raises(TutorialError, match="another seed than 1"):
        link_folds(copies, tmp_path / "seed0", 3, 1)


def test_the_command_above_a_table_of_folds_names_their_seed():
    photos = {"train": {"calico": 3, "tabby": 3}, "validation": {"calico": 1, "tabby": 1}}
    info = SimpleNamespace(class_names=["calico", "tabby"], photos=photos, settings={"seed": 1})
    runs = {("bottleneck_fc_model", "improved"): [SimpleNamespace(info=info)]}
    above, _ = accuracy.words(Path("photos"), runs, 5)
    assert above[0] == "train and validation together, in 5 folds: 4 calico, 4 tabby."
    expected = "python benchmarks/accuracy.py --data photos --recipe improved --parts 2 --folds 5 --seeds 1"
    assert above[-1] == expected


def test_too_many_folds_get_a_sentence():
    names = ["calico"] * 6 + ["tabby"] * 3
    with pytest.raises(TutorialError, match="3 besides copies"):
        split_folds(names, [[i] for i in range(9)], 4, 0)
    with pytest.raises(TutorialError, match="1 besides copies"):
        split_folds(names, [[i] for i in range(6)] + [[6, 7, 8]], 2, 0)


def test_folds_have_even_shares_of_each_class():
    """Also with a large group among single photos, where scikit-learn 1.7's own shuffle gives 15 to 26 of a class."""
    names, large = ["calico"] * 100 + ["tabby"] * 90, [*range(6)]
    folds = split_folds(names, [large, *([i] for i in range(6, 190))], 5, 0)
    assert sorted(i for fold in folds for i in fold) == list(range(190))
    assert [sum(i < 100 for i in fold) for fold in folds] == [20] * 5
    assert [len(fold) for fold in folds] == [38] * 5
    assert sum(bool(set(large) & set(fold)) for fold in folds) == 1


# ---- From trained parts to table and page --------------------------------------------------------


@pytest.fixture
def runs(trained, tmp_path) -> Path:
    """The trained parts where the benchmark expects those of seed 0."""
    folder = tmp_path / "runs" / trained.data.name / "original" / "seed0"
    folder.mkdir(parents=True)
    for model, (name, _) in FILES.items():
        for file in (name, f"{model}.csv"):
            (folder / file).symlink_to(trained.weights / file)
    return tmp_path / "runs"


def test_models_that_exist_are_not_trained_again(trained, runs, tmp_path, monkeypatch):
    """The whole command on finished parts: table and page, from the predictions in the weights files."""

    run = subprocess.run

    def refuse(command, **options):
        assert not any("fine_tuning" in str(word) for word in command), f"trained: {command}"
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr(accuracy, "TABLE", tmp_path / "accuracy.md")
    page = tmp_path / "page.html"
    flags = ["--data", trained.data, "--recipe", "original", "--seeds", "0", "--runs", runs, "--report", page]
    monkeypatch.setattr(sys, "argv", ["accuracy.py", *map(str, flags)])
    accuracy.main()
    table = (tmp_path / "accuracy.md").read_text()
    assert "## data\n" in table and "train: 7 calico, 12 tabby; validation: 12 calico, 5 tabby." in table
    assert "python benchmarks/accuracy.py --data" in table and "--recipe original" in table
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert rows[0][:6] == ["model", "recipe", "seeds", "epochs", "validation accuracy", "balanced accuracy"]
    assert "test accuracy" not in rows[0] and [row[0] for row in rows[1:]] == list(FILES)
    for row, (name, _) in zip(rows[1:], FILES.values(), strict=True):
        info = WeightsFile(trained.weights / name).info
        assert row[1:4] == ["original", "0", str(info.settings["epochs"])]
        assert float(row[4]) == pytest.approx(info.scores["val_accuracy"], abs=6e-4)
        assert float(row[7]) == pytest.approx(info.scores["val_loss"], abs=2e-3)  # part 3 validates in float16

    shown = page.read_text(encoding="utf-8")
    assert all(f"Part {part}: {model}, original recipe" in shown for part, model in enumerate(FILES, 1))


def test_runs_on_other_photos_are_refused(runs, tmp_path):
    paint(tmp_path / "other/train", calico=2, tabby=2)
    paint(tmp_path / "other/validation", calico=1, tabby=1)
    weights = runs / "data/original/seed0/small_convnet.weights.h5"
    with pytest.raises(TutorialError, match="--runs"):
        accuracy.read_run(0, weights, tmp_path / "other")


def test_a_run_of_another_seed_is_refused(runs, tmp_path):
    with pytest.raises(TutorialError, match=r"is of seed 0, not 3.*--runs"):
        accuracy.train_missing(tmp_path, runs / "data/original/seed0", "original", [1], 3)


def test_a_part_that_fails_ends_the_benchmark(tmp_path, monkeypatch):
    called = []

    def fail(command, check):
        called.append(command)
        return subprocess.CompletedProcess(command, 2)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(TutorialError, match=r"fine_tuning_VGG16_pt2\.py failed"):
        accuracy.train_missing(tmp_path, tmp_path / "seed7", "improved", [2, 3], 7)
    assert [Path(command[1]).name for command in called] == ["fine_tuning_VGG16_pt2.py"]
    assert called[0][2:] == f"--data {tmp_path} --weights-dir {tmp_path}/seed7 --seed 7 --recipe improved".split()
