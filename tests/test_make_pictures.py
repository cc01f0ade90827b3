"""images/make_pictures.py and tutorial/plots.py: pictures that are readable, small, and have the right numbers.

The text on a picture is checked on the figure as it is drawn: every piece, its position, its size.
"""

import argparse
import itertools
import shutil
from pathlib import Path

import accuracy_chart
import make_pictures
import page
from conftest import MODELS, PROJECT, edited, index_answers, only_index, run, serve_wheel
from drawing.drawn_cat import draw_cat
from page import plt
from tutorial import plots
from tutorial.backend import keras
from tutorial.cli import TutorialError
from tutorial.model_file import FILES, ModelInfo

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

SCRIPT = "images/make_pictures.py"
PICTURES = (PROJECT / "docs" / "pictures.md").read_text(encoding="utf-8")
README = (PROJECT / "README.md").read_text(encoding="utf-8")


# ---- The commands ----------------------------------------------------------------------------------


def check_picture(path: Path) -> np.ndarray:
    """It fits on the page, in light and dark: its pixels, uint8 (height, width, 3)."""
    assert path.stat().st_size < 150_000
    with Image.open(path) as picture:
        assert picture.format == {".jpg": "JPEG", ".png": "PNG"}[path.suffix]
        assert "transparency" not in picture.info and "A" not in picture.getbands()
        pixels = np.asarray(picture.convert("RGB"))
    height, width, _ = pixels.shape
    assert width >= 660 and 200 < height * 830 / width < 600
    edge = np.concatenate([pixels[:3].reshape(-1, 3), pixels[-3:].reshape(-1, 3), pixels[:, :3].reshape(-1, 3)])
    assert (edge > 240).all()  # a white margin
    assert (pixels < 100).all(-1).sum() > 500  # text
    return pixels


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "drawn cat.jpg"
    draw_cat("calico", np.random.default_rng(3)).resize((240, 160)).save(path)
    return path


@pytest.mark.parametrize("picture", ["network.png", "augmentation.jpg", "comparison.png", "curves.png", "mistakes.jpg"])
def test_a_command_makes_a_picture(trained, photo, tmp_path, picture):
    flags = {
        "augmentation": ["--photo", photo],
        "curves": ["--weights-dir", trained.weights],
        "mistakes": ["--weights", trained.weights / FILES["small_convnet"][0], "--cats", 3],
    }
    name, path = picture.split(".")[0], tmp_path / "pictures" / picture
    done = run(SCRIPT, name, *flags.get(name, []), "--save", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"saved {path}: ") and [one.name for one in path.parent.iterdir()] == [picture]
    check_picture(path)


@pytest.mark.slow
def test_the_predictions_are_those_of_the_models(trained, predictions, tmp_path, monkeypatch):
    photo = trained.data / "validation" / "tabby" / "tabby0.jpg"
    written = []
    monkeypatch.setattr(Text, "draw", lambda self, renderer: written.append(self.get_text()))
    args = argparse.Namespace(photo=photo, weights_dir=trained.weights, save=tmp_path / "prediction.jpg")
    make_pictures.prediction(args)
    for model in MODELS:
        [found] = [one for one in predictions[model] if one["photo"] == str(photo)]
        assert f"{found['class']} ({found['probability']:.1%})" in written
        assert make_pictures.TITLES[model] in written


def test_part_1s_preview_is_the_picture_of_augmented_copies(trained):
    """The copies that part 1 saved are those that the picture shows, for the same photo and seed."""
    from tutorial.augmentation import augmented_copies
    from tutorial.images import read_photo

    first = read_photo(trained.data / "train" / "calico" / "calico0.jpg", 150)
    for i, copy in enumerate(augmented_copies(first, 20, seed=0), 1):
        with Image.open(trained.weights / "preview" / f"copy_{i:02}.jpg") as saved:
            assert np.abs(np.asarray(saved, float) - copy).mean() < 6  # JPEG


def test_the_pages_pictures_are_small_and_the_docs_have_a_command_for_each():
    shown = [path for path in (PROJECT / "images").iterdir() if path.suffix in (".jpg", ".png")]
    assert shown
    for path in shown:
        assert path.stat().st_size < 150_000, path
        assert f"`images/{path.name}`" in PICTURES
        if path.name != "drawn_cats.jpg":
            check_picture(path)
            assert f"python images/make_pictures.py {path.stem}" in PICTURES


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["network", "--save", "network.txt"], ["network.txt", ".png or .jpg"]),
        (["curves", "--weights-dir", "nowhere"], ["small_convnet.csv", "fine_tuning_VGG16_pt1.py", "--weights-dir"]),
        (["prediction", "--weights-dir", "nowhere", "--photo", "README.md"], ["README.md", "not a photo"]),
        (["augmentation", "--photo", "none.jpg"], ["none.jpg", "does not exist"]),
        (["mistakes", "--weights", "none.h5"], ["none.h5", "--weights"]),
    ],
)
def test_what_cannot_be_done_gets_one_sentence(tmp_path, sentence, command, words):
    save = [] if "--save" in command else ["--save", tmp_path / "picture.jpg"]
    line = sentence(run(SCRIPT, *command, *save))
    assert all(word in line for word in words), line
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_other_classes_is_refused(trained, tmp_path, sentence):
    weights = tmp_path / "weights.h5"
    shutil.copy(trained.weights / FILES["small_convnet"][0], weights)
    with edited(weights) as (info, _):
        info["class_names"] = ["cats", "dogs"]
    line = sentence(run(SCRIPT, "mistakes", "--weights", weights, "--save", tmp_path / "mistakes.jpg"))
    assert "cats and dogs" in line and "--weights" in line and not (tmp_path / "mistakes.jpg").exists()


def test_the_heat_map(untrained, photo, tmp_path):
    weights, path = untrained.weights / FILES["small_convnet"][0], tmp_path / "explanation.jpg"
    done = run(SCRIPT, "explanation", "--photo", photo, "--weights", weights, "--save", path)
    assert done.returncode == 0, done.stderr
    check_picture(path)


def test_a_picture_that_does_not_fit_is_refused_and_nothing_is_left(tmp_path):
    def noise() -> plt.Figure:
        figure = plt.figure(figsize=(page.WIDTH, 5))
        figure.figimage(np.random.default_rng(0).random((900, 1600, 3)))
        return figure

    for name in ("noise.png", "noise.jpg"):
        with pytest.raises(TutorialError, match=r"more than 150,000"):
            page.save_page(noise(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# ---- What can be read on them ----------------------------------------------------------------------


class Writing(list):
    """The text on the figure that was drawn last: string, size in points, box in pixels (x0, y0, x1, y1)."""

    def texts(self) -> list[str]:
        return [text for text, _, _ in self]


@pytest.fixture
def writing(monkeypatch) -> Writing:
    """Figures that would be saved are drawn, and their text is collected."""
    found, draw = Writing(), Text.draw

    def note(self, renderer) -> None:
        if self.get_visible() and self.get_text().strip():
            found.append((self.get_text(), self.get_fontsize(), self.get_window_extent(renderer).extents))
        draw(self, renderer)

    def save(figure: plt.Figure, path: Path) -> None:
        FigureCanvasAgg(figure).draw()  # the layout settles
        found.clear()
        monkeypatch.setattr(Text, "draw", note)
        figure.canvas.draw()
        monkeypatch.setattr(Text, "draw", draw)
        found.size = figure.bbox.extents[2:]
        found.inches, found.axes = figure.get_size_inches(), [axis.bbox.extents for axis in figure.axes]
        plt.close(figure)

    monkeypatch.setattr(make_pictures, "save_page", save)
    monkeypatch.setattr(plots, "_save_figure", save)
    return found


def check_readable(writing: Writing) -> None:
    """As shown, 830 pixels wide: nothing smaller than 9 points, nothing cut off, no overlaps."""
    assert writing
    shown = 830 / 96 / writing.inches[0]
    width, height = writing.size
    for i, (text, size, (x0, y0, x1, y1)) in enumerate(writing):
        assert size * shown >= 9, text
        assert x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height, text
        for other, _, (u0, v0, u1, v1) in writing[i + 1 :]:
            assert min(x1, u1) - max(x0, u0) < 1 or min(y1, v1) - max(y0, v0) < 1, (text, other)


@pytest.mark.parametrize("recipe", ["original", "improved"])
def test_the_network_diagram_shows_the_papers_table_and_what_is_frozen(writing, tmp_path, recipe):
    """Table D of Simonyan & Zisserman (2014), and parameters and sizes computed from it."""
    make_pictures.network(argparse.Namespace(recipe=recipe, save=tmp_path / "network.png"))
    check_readable(writing)
    texts, size, channels, total = writing.texts(), {"original": 150, "improved": 256}[recipe], 3, 0
    for number, (convolutions, filters) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        parameters, size = 0, size // 2
        for _ in range(convolutions):
            parameters += 3 * 3 * channels * filters + filters
            channels = filters
        total += parameters
        start = texts.index(f"block {number}")
        expected = [f"{convolutions} convolutions", "of 3 x 3 pixels", f"{filters} filters", "max pooling"]
        assert texts[start + 1 : start + 7] == [*expected, f"{size} x {size} x {filters}", f"{parameters:,}"]
    top = {"original": 4 * 4 * 512 * 256 + 256 + 257, "improved": 513}[recipe]
    layers = {
        "original": ["Flatten", "Dense 256, relu", "Dropout 0.5", "Dense 1, sigmoid"],
        "improved": ["Layer normalization", "Dense 1, sigmoid"],
    }[recipe]
    sentences = [text for text in texts if text.startswith("Part ")]
    assert f"{total:,} parameters are frozen, {top:,} trained" in sentences[0] and sentences[0].startswith("Part 2")
    assert f"{total - parameters:,} parameters are frozen, {parameters + top:,} trained" in sentences[1]
    words = [text for text in texts if text in ("frozen", "trained", "cached")]
    assert words == [*["frozen"] * 5, "cached", "trained", *["frozen"] * 4, "trained", "cached", "trained"]
    assert [text for text in texts if text in layers] == layers * 2
    assert total == keras.applications.VGG16(include_top=False, weights=None).count_params()


def test_the_curves_are_the_csv_files(trained, writing, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(plt.Axes, "plot", lambda self, x, y, *args, **style: lines.append((list(x), list(y))) or [])
    monkeypatch.setattr(plt.Figure, "legend", lambda *_, **__: None)
    make_pictures.curves(argparse.Namespace(weights_dir=trained.weights, save=tmp_path / "curves.png"))
    for model in MODELS:
        table = np.loadtxt(trained.weights / f"{model}.csv", delimiter=",", skiprows=1, ndmin=2)
        # accuracy, then loss; of each train, then validation
        for column in (1, 3, 2, 4):
            assert lines.pop(0) == (table[:, 0].tolist(), table[:, column].tolist())
    assert lines == []


def test_the_curves_are_readable(trained, writing, tmp_path):
    make_pictures.curves(argparse.Namespace(weights_dir=trained.weights, save=tmp_path / "curves.png"))
    check_readable(writing)
    assert "calico / tabby, 19 training and 17 validation photos, original recipe" in writing.texts()


def test_the_mistakes_most_confident_first(writing):
    """Six pictures, four of them classified wrongly; two of those, and one of the others, are out of distribution."""
    right = [[0.9, 0.1], [0.2, 0.8]]
    wrong = [[0.4, 0.6], [0.01, 0.99], [0.75, 0.25], [0.5, 0.5]]  # of two that are equal the first is predicted
    labels = np.array([0, 1, 0, 0, 1, 1])
    outliers = np.array([True, False, True, True, False, False])
    colors = ["red", "green", "blue", "cyan", "magenta", "yellow"]
    drawn = [Image.new("RGB", (20, 20), color) for color in colors]
    photos = {"train": {"calico": 2, "tabby": 3}}
    info = ModelInfo("small_convnet", ["calico", "tabby"], 150, {}, photos, {}, 0.0)
    figure = make_pictures.mistakes_figure(drawn, labels, np.array(right + wrong), outliers, info)
    shown = [axis.images[0].get_array()[0, 0].tolist() for axis in figure.axes if axis.images][1:]
    assert shown == [[0, 255, 255], [255, 0, 255], [0, 0, 255], [255, 255, 0]]
    matrix = np.asarray(figure.axes[0].images[0].get_array())
    assert matrix == pytest.approx(np.array([[1 / 3, 2 / 3], [2 / 3, 1 / 3]]))
    make_pictures.save_page(figure, Path("mistakes.jpg"))
    check_readable(writing)
    texts = writing.texts()
    assert [text for text in texts if text in "12"] == ["1", "2", "2", "1"]
    titles = ["tabby (99.0%)\ntrue: calico", "calico (75.0%)\ntrue: tabby", "tabby (60.0%)\ntrue: calico"]
    assert [text for text in texts if "\ntrue: " in text] == [*titles, "calico (50.0%)\ntrue: tabby"]
    found = " ".join(next(text for text in texts if "distribution" in text).split())
    assert "of 4 mistakes" in found and "2 of them, and 3 of all 6, are out of distribution" in found
    assert any("trained on 5 photos, evaluated on 6 drawn cats" in text for text in texts)


def test_the_augmented_copies_are_readable(writing, photo, tmp_path):
    make_pictures.augmentation(argparse.Namespace(photo=photo, save=tmp_path / "augmentation.jpg"))
    [(title, size, _)] = writing
    assert title == "One photo, framed, and 20 augmented copies of it" and size >= 9


# ---- The chart of accuracy -------------------------------------------------------------------------

TABLE = """# Accuracy and calibration, by recipe

Written by `benchmarks/accuracy.py`, a section a data folder.

## calico_tabby

train: 5 calico, 7 tabby; validation: 2 calico, 3 tabby.
Some machine; tensorflow 2.21.0.

| model | recipe | seeds | epochs | train accuracy | validation accuracy | minutes |
|---|---|---|---|---|---|---|
| small_convnet | original | 0 | 30 | 0.838 | 0.654 | 1.5 |
| small_convnet | improved | 0, 1, 2 | 100 | 0.959 (0.956-0.965) | 0.812 (0.787-0.838) | 2.6 (2.5-2.6) |
| small_convnet | improved | 0, 1, 2 together | 100 | 0.956 | 0.111 | 7.7 |
| fine_tuned_vgg16 | improved | 0, 1 | 8 | 1.000 (1.000-1.000) | 1.000 (1.000-1.000) | 3.2 (2.7-3.6) |

Below it: "Together" is an ensemble.

## calico_tabby, 5 folds

train and validation together, in 5 folds: 7 calico, 10 tabby.

| model | recipe | folds | epochs | train accuracy | validation accuracy | minutes |
|---|---|---|---|---|---|---|
| small_convnet | improved | 1, 2, 3, 4, 5 | 100 | 0.9 | 0.222 | 2.6 |

## dogs of two kinds

train: 10 large dog, 20 small dog, 1 cat; validation: 3 large dog, 4 small dog, 5 cat; test: 1 large dog, 1 small dog.

| model | recipe | seeds | epochs | train accuracy | validation accuracy | test accuracy | minutes |
|---|---|---|---|---|---|---|---|
| bottleneck_fc_model | original | 0, 1 | 50 | 1.0 | 0.5 (0.4-0.6) | 0.333 | 1 |
"""


def test_the_table_is_read():
    first, second = accuracy_chart.read_accuracy(TABLE)
    assert first.classes == ["calico", "tabby"] and first.counts == {"train": 12, "validation": 5}
    score = accuracy_chart.Score
    assert first.scores == {
        ("small_convnet", "original"): score("0.654", 0.654, 0.654, 0.654),
        ("small_convnet", "improved"): score("0.812", 0.812, 0.787, 0.838),
        ("fine_tuned_vgg16", "improved"): score("1.000", 1.0, 1.0, 1.0),
    }
    assert second.classes == ["large dog", "small dog", "cat"] and second.counts == {"train": 31, "validation": 12}
    assert second.scores == {("bottleneck_fc_model", "original"): score("0.5", 0.5, 0.4, 0.6)}


def test_the_readme_and_the_benchmark_have_what_is_drawn():
    """The real ones: both photo sets are there, with the figures of the write-up and of the blog post."""
    both = accuracy_chart.read_accuracy((PROJECT / "benchmarks" / "accuracy.md").read_text(encoding="utf-8"))
    assert {tuple(one.classes) for one in both} >= set(accuracy_chart.PUBLISHED)
    for one in both:
        assert {model for model, _ in one.scores} == set(MODELS)
    for figure in filter(None, itertools.chain(*accuracy_chart.PUBLISHED.values())):
        assert f"| {figure} |" in README


def test_the_chart_shows_every_score_where_it_is(writing):
    sets = accuracy_chart.read_accuracy(TABLE)
    figure = accuracy_chart.accuracy_figure(sets, make_pictures.TITLES)
    marks = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() in ("o", "s", "D")]
    assert sorted(marks) == pytest.approx([0.654, 0.667, 0.717, 0.812, 1])
    rows = [line.get_ydata()[0] for axis in figure.axes for line in axis.lines if line.get_marker() in ("o", "s", "D")]
    assert len(set(rows[:5])) == 5  # each on a row of its own
    assert all(axis.get_xlim()[1] == 1 for axis in figure.axes)
    make_pictures.save_page(figure, Path("comparison.png"))
    check_readable(writing)
    texts = writing.texts()
    title = "calico / tabby\n12 training, 5 validation photos"
    assert {"0.654", "0.812", "1.000", "0.667", "0.717", "0.5", title} <= set(texts)
    assert not {"0.111", "0.222", "0.333"} & set(texts)
    assert {"published (calico / tabby: other photos)", "original recipe", "improved recipe"} <= set(texts)


def test_without_a_table_one_sentence_names_the_benchmark(tmp_path, monkeypatch):
    monkeypatch.setattr(make_pictures, "PROJECT", tmp_path)
    with pytest.raises(TutorialError, match=r"accuracy\.md .*benchmarks/accuracy\.py"):
        make_pictures.comparison(argparse.Namespace(save=tmp_path / "comparison.png"))


# ---- The parts' own plots --------------------------------------------------------------------------


def test_the_accuracy_axis_ends_at_1(writing, tmp_path, monkeypatch):
    figures, save = [], plots._save_figure
    monkeypatch.setattr(plots, "_save_figure", lambda figure, path: figures.append(figure) or save(figure, path))
    for accuracy in ([0.5, 0.9, 1.0], [1.0], [0.2, 0.4]):
        history = dict.fromkeys(("accuracy", "val_accuracy", "loss", "val_loss"), accuracy)
        plots.save_history_plot(history, "Part 0", tmp_path / "history.png")
        low, high = figures[-1].axes[0].get_ylim()
        assert high == 1 and low < min(accuracy)
        check_readable(writing)


def test_the_counts_of_photos_are_inside_the_frame(writing, tmp_path):
    bins = [(0.3, 0.0, 11), (0.55, 0.05, 22), (0.65, 0.75, 1333), (0.86, 0.93, 44), (1.0, 1.0, 12345)]
    plots.save_reliability_plot(bins[1:], bins, tmp_path / "reliability.png")
    counts = [one for one in writing if one[0] in {str(count) for _, _, count in bins}]
    assert len(counts) == 9
    for i, (text, _, (x0, y0, x1, y1)) in enumerate(counts):
        left, bottom, right, top = writing.axes[0 if i < 4 else 1]
        assert left < x0 and x1 < right and bottom < y0 and y1 < top, text


def test_photos_with_predictions_are_readable(writing, tmp_path):
    """One, and a row of three as on the page: wide, square and tall ones, with long predictions and names."""
    for count, size in ((1, (600, 400)), (3, (451, 300)), (3, (300, 300)), (3, (300, 600))):
        text = "not sure: tabby? (61.3%); out of distribution: differs from the training photos"
        one = plots.Prediction(Image.new("RGB", size, "orange"), text, "photo_of_a_tabby_" * 4 + ".jpg")
        plots.save_predictions([one] * count, tmp_path / "predictions.png")
        assert len(writing) == 2 * count
        check_readable(writing)


# ---- Chelsea's photo -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "word"), [("another photo", "SHA-256"), ("too large", "claims"), ("no wheel", "scikit-image==0.25.2")]
)
def test_a_wheel_without_chelsea_is_refused_with_a_sentence(web_server, photo, tmp_path, sentence, fault, word):
    content = bytes(50_000_000) if fault == "too large" else photo.read_bytes()
    path = serve_wheel(web_server.folder, "scikit_image-0.25.2", {"skimage/data/chelsea.png": content})
    if fault == "no wheel":
        path.unlink()
    save = tmp_path / "augmentation.jpg"
    line = sentence(run(SCRIPT, "augmentation", "--save", save, env=only_index(web_server.url)))
    assert word in line and "--photo" in line and not save.exists()


def test_chelsea_arrives_from_the_real_package_index(tmp_path):
    """The wheel itself, by pip as this machine has it set up; with the photo in it."""
    save = tmp_path / "augmentation.jpg"
    done = run(SCRIPT, "augmentation", "--save", save)
    if done.returncode and not index_answers():
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stderr
    pixels = check_picture(save).astype(float)
    warm = (pixels[..., 0] > pixels[..., 2] + 25).mean()
    assert warm > 0.4  # her fur
