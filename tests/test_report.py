"""The page that shows how training went: its numbers, its names, and how a browser shows it."""

import os
import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import accuracy
from conftest import check_in_browser, draw, history, paint, run, run_part
from fine_tuning_VGG16_pt1 import small_convnet
from tools import report
from tools.report import Predictions, Run, write_page, write_report
from tutorial.cli import TutorialError
from tutorial.dataset import load_images
from tutorial.model_file import FILES, ModelInfo, save_weights

import numpy as np
import pytest
from PIL import Image

NASTY = "<img src=x onerror=alert(1)> '&\""  # a class, and part of a file's name


def images(page: str) -> int:
    """How many a page has; all are embedded."""
    assert page.count("<img ") == page.count(' src="data:image/') and not re.search(r"https?://|url\(|@import", page)
    return page.count("<img ")


FAULTS = [
    "<script>1</script>",
    "<img src=x onerror=alert(1)>",
    "<p style='width:500px'>wide",
    "<p style='font-size:11px'>a",
]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_browser_finds_faults(browser, tmp_path, fault):
    path, head = tmp_path / "a page's.html", f'<meta http-equiv="Content-Security-Policy" content="{report.POLICY}">'
    for body in ("<p>fine", fault):
        path.write_text(f'<!DOCTYPE html>{head}<meta name="viewport" content="width=device-width">{body}')
        with pytest.raises(AssertionError) if body == fault else nullcontext():
            check_in_browser(browser, path)


# ---- Seeds of a benchmark ------------------------------------------------------------------------


def predictions(probabilities: list[list[float]], photos: list[str]) -> Predictions:
    return Predictions(np.array(probabilities), np.array([0, 0, 1, 1]), photos)


@pytest.fixture
def seeds(tmp_path) -> list[Run]:
    """Two of a model whose class and photos have names that mean something in HTML."""
    names = [NASTY, "tabby"]
    photos = [f"{NASTY}/{NASTY} {i}.jpg" for i in range(2)] + [f"tabby/{i}.jpg" for i in range(2)]
    for photo in photos[:3]:  # the last one cannot be shown
        path = tmp_path / "validation" / photo
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (300, 200), "orange").save(path, "JPEG")
    (tmp_path / "small_convnet.csv").write_text("epoch,accuracy,loss,val_accuracy,val_loss\n1,0.5,0.7,0.25,nan\n")
    counts = {split: dict.fromkeys(names, 2) for split in ("train", "validation")}
    info = ModelInfo("small_convnet", names, 150, {"epochs": 1, "seed": 0}, counts, {}, 1.0)
    first, second = [[0.2, 0.8], [0.6, 0.4], [0.3, 0.7], [0.7, 0.3]], [[0.1, 0.9], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]]
    both = [dict.fromkeys(("train", "validation"), predictions(one, photos)) for one in (first, second)]
    return [Run(seed, tmp_path / FILES["small_convnet"][0], tmp_path, info, one) for seed, one in enumerate(both)]


def test_confusion_and_mistakes_over_seeds(seeds):
    assert report.confusion(seeds).tolist() == [[1, 3], [1, 3]]
    assert report.mistakes(seeds) == [
        (seeds[1], f"{NASTY}/{NASTY} 0.jpg", 0, 1, 0.9, 2, 2),
        (seeds[0], "tabby/1.jpg", 1, 0, 0.7, 1, 2),
        (seeds[1], f"{NASTY}/{NASTY} 1.jpg", 0, 1, 0.6, 1, 2),
    ]


def benchmark_page(seeds: list[Run], path: Path) -> str:
    runs = {("small_convnet", "original"): seeds}
    above, below = accuracy.words(seeds[0].data, runs, None)
    write_page(path, f"photos {NASTY}", above, accuracy.table(runs, "seeds"), below, runs, "seeds")
    return path.read_text(encoding="utf-8")


def test_the_page_of_a_benchmark(seeds, tmp_path):
    table = accuracy.table({("small_convnet", "original"): seeds}, "seeds")
    assert [row[:4] for row in table[1]] == [
        ["small_convnet", "original", "0, 1", "1"],
        ["small_convnet", "original", "0, 1 together", "1"],
    ]
    assert [row[5] for row in table[1]] == ["0.500 (0.500-0.500)", "0.750"]  # each has its own mistakes
    assert [row[-1] for row in table[1]] == ["1.0 (1.0-1.0)", "2.0"]
    page = benchmark_page(seeds, tmp_path / "pages" / "page.html")
    assert NASTY not in page and "&lt;img src=x onerror=alert(1)&gt; &#x27;&amp;&quot;" in page
    assert images(page) == 3 + 2 and "cannot be shown" in page and "wrong with 2 of 2 seeds" in page
    assert re.findall(r"--share:([0-9.]+)\">(\d+)<", page) == [("0.250", "1"), ("0.750", "3")] * 2
    assert len(page) < 200_000


def test_the_page_of_a_benchmark_in_a_browser(seeds, tmp_path, browser):
    benchmark_page(seeds, tmp_path / "page.html")
    shown = check_in_browser(browser, tmp_path / "page.html")
    assert shown.startswith(f"photos {NASTY}\n") and f"tabby 90.0%, but is {NASTY}\n{NASTY} 0.jpg" in shown


def test_the_page_of_a_model_without_mistakes(seeds, tmp_path):
    right = predictions([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]], seeds[0].predictions["validation"].photos)
    one = Run(1, seeds[0].weights, seeds[0].data, seeds[0].info, {"train": right, "validation": right})
    assert "every validation photo was classified correctly" in benchmark_page([one], tmp_path / "page.html")


def test_names_that_no_encoding_can_write():
    assert report.text("caf\udce9 \u00e9 \u202e<\x1b") == "caf\\udce9 \u00e9 \\u202e&lt;\\x1b"


# ---- The report of the parts ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(trained) -> Path:
    """The report of the three parts."""
    done = run("tools/report.py", "--data", trained.data, "--weights-dir", trained.weights)
    assert done.returncode == 0 and done.stdout.endswith(f"saved {trained.weights / 'report.html'}\n"), done.stderr
    return trained.weights / "report.html"


def test_the_report_has_the_numbers_of_training_and_of_predict(trained, predictions, page):
    """The accuracies that training recorded, and the confusion matrix and the mistakes from predict.py's JSON."""
    text = page.read_text(encoding="utf-8")
    _, *sections = text.split("<h2>")
    total = 0
    for part, (model, section) in enumerate(zip(FILES, sections, strict=False), 1):
        last, found = history(trained.weights, model)[-1], predictions[model]
        scores = "".join(f"<td>{last[name]:.1%}</td>" for name in ("accuracy", "val_accuracy"))
        assert f"<td>{model}</td>{scores}" in text and section.startswith(f"Part {part}: {model}, original recipe<")
        pairs = [("tabby" if "tabby" in Path(one["photo"]).parts else "calico", one["class"]) for one in found]
        counts = [pairs.count((true, named)) for true in ("calico", "tabby") for named in ("calico", "tabby")]
        assert [int(count) for count in re.findall(r"--share:[0-9.]+\">(\d+)<", section)] == counts
        for true, right in (("calico", counts[0] / sum(counts[:2])), ("tabby", counts[3] / sum(counts[2:]))):
            assert re.search(rf">{true}</th>.*?<th>{right:.1%}</th>", section)
        wrong = [one for (true, named), one in zip(pairs, found, strict=True) if true != named]
        most = max(wrong, key=lambda one: one["probability"])
        named = re.findall(r"<b>(\w+)</b> ([0-9.]+%), but", section)
        assert len(named) == min(12, len(wrong)) and named[0] == (most["class"], f"{most['probability']:.1%}")
        total += 3 + 2 * len(named)  # charts; photos with their heat maps
    assert images(text) == total and sections[3].startswith("Left out of the data folder</h2><p>Nothing")


def test_the_report_in_a_browser(page, browser):
    assert "Part 3: fine_tuned_vgg16, original recipe" in check_in_browser(browser, page)


# ---- Three classes, test photos, odd names; a model that is saved without training ---------------------


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    tmp_path = tmp_path_factory.mktemp("three")
    data, weights = tmp_path / "data", tmp_path / "weights"
    for split in ("train", "validation", "test"):
        draw(data / split, calico=2, tabby=2)
        paint(data / split, **{NASTY: 2})
    odd = data / "validation" / "calico" / "calico0.jpg"
    odd.rename(odd.with_name("caf\udce9 <script src=x>.jpg" if os.name == "posix" else "odd.jpg"))
    (data / "train" / "tabby" / "broken <b>.jpg").write_bytes(b"nothing")
    (data / "test" / "tabby" / "phone").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    splits = load_images(data, 150)
    made_up = [np.tile([0.1, 0.2, 0.7], (len(photos.paths), 1)) for photos in splits]
    counts = {photos.folder.name: photos.counts() for photos in splits}
    names = list(splits[0].class_names)
    settings = {"network": "small_convnet", "epochs": 1, "seed": 0}
    info = ModelInfo("small_convnet", names, 150, settings, counts, {"accuracy": 0.25}, 1.0)
    held_out = list(zip(splits, made_up, strict=True))[1:]
    path = weights / FILES["small_convnet"][0]
    save_weights(small_convnet(3), path, info, digests=splits[0].digests, predictions=held_out)
    (weights / "small_convnet.csv").write_text("epoch,accuracy,loss,val_accuracy,val_loss\n1,0.25,0.7,0.3,0.9\n")
    return tmp_path


@pytest.fixture
def three(made_once, tmp_path) -> Path:
    """Photos in ``data``, and part 1's model of them in ``weights``, whose predictions were made up: all tabby."""
    return shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)


def test_the_report_of_three_classes_with_test_photos(three):
    write_report(three / "weights", three / "data")
    text = (three / "weights" / "report.html").read_text(encoding="utf-8")
    assert NASTY not in text and "<script" not in text
    scores = ["25.0%", "33.3%", "33.3%", f"{-np.log([0.1, 0.2, 0.7]).mean():.3f}", f"{0.7 - 1 / 3:.3f}"]
    assert "".join(f"<td>{one}</td>" for one in ("small_convnet", *scores, "original", "1", "6 + 6 + 6")) in text
    assert "test accuracy" in text and images(text) == 3 + 2 * 4
    left_out = text[text.index("Left out of the data folder") :]
    assert re.search(r"<li>[^<]*broken &lt;b&gt;.jpg is not a photo", left_out) and "1 HEIC photos" in left_out


def test_odd_names_in_a_browser(three, browser):
    write_report(three / "weights", three / "data")
    shown = check_in_browser(browser, three / "weights" / "report.html")
    assert f"tabby 70.0%, but is {NASTY}" in shown
    assert os.name != "posix" or "caf\\udce9 <script src=x>.jpg" in shown


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("change", ["removed", "replaced", "moved"])
def test_photos_that_the_model_does_not_know(three, split, change):
    path = three / "data" / split / "tabby" / "tabby0.jpg"
    if change == "replaced":
        Image.new("RGB", (60, 60), "orange").save(path)
    elif change == "moved":
        path.rename(three / "data" / split / "calico" / path.name)
    else:
        path.unlink()
    with pytest.raises(TutorialError, match=f"not made from the photos in .*{split}: train it again"):
        write_report(three / "weights", three / "data")
    assert not (three / "weights" / "report.html").exists()


def test_models_of_other_photos_and_without_curves_get_a_sentence(three, trained):
    shutil.copy(trained.weights / "bottleneck_fc_model.weights.h5", three / "weights")
    (three / "weights" / "small_convnet.csv").unlink()
    write_report(three / "weights", three / "data")
    text = (three / "weights" / "report.html").read_text(encoding="utf-8")
    assert "bottleneck_fc_model.weights.h5 was not made from the photos" in text and "Part 2" not in text
    assert "No learning curves: there is no " in text and images(text) == 1 + 2 * 4
    for damaged in ("epoch,accuracy,loss,val_accuracy\n1,0.4,0.6,1.0\n", "epoch,accuracy,loss,val_accuracy,val_loss\n"):
        (three / "weights" / "small_convnet.csv").write_text(damaged)
        write_report(three / "weights", three / "data")
        assert "is not as the part has written it" in (three / "weights" / "report.html").read_text(encoding="utf-8")


def test_no_model_gets_a_sentence(three, sentence):
    flags = ["--data", three / "data", "--weights-dir", three]
    assert "no trained model" in sentence(run("tools/report.py", *flags))
    flags = ["--data", three, "--weights-dir", three / "weights"]
    assert "there is no folder" in sentence(run("tools/report.py", *flags))


def test_a_part_ends_with_the_report(three):
    done = run_part(1, three / "data", three / "new", "--epochs", 1, "--report")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2] == f"saved {three / 'new' / 'report.html'}"
    assert "Part 1: small_convnet, original recipe" in (three / "new" / "report.html").read_text(encoding="utf-8")
