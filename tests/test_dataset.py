"""Which photos there are: by content, wherever they lie; what is not used is reported, and nothing is in two splits."""

import os
import shutil
import unicodedata
from importlib.util import find_spec

from conftest import paint, posix, run, run_part
from tutorial.cli import TutorialError
from tutorial.dataset import class_folders, find_photos, load_images
from tutorial.images import open_photo

import pytest
from PIL import Image

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)
JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99)
RAW = b"IIRO\x08\0\0\0" + bytes(99)  # Olympus

without_heif = pytest.mark.skipif(find_spec("pillow_heif") is not None, reason="pillow-heif is installed")


@pytest.fixture
def data(tmp_path):
    """Training, validation and test photos of two classes, all different."""
    for split in ("train", "validation", "test"):
        paint(tmp_path / split, a=5, b=4)
    return tmp_path


# ---- What is a photo -----------------------------------------------------------------------------


@without_heif
def test_content_decides_and_system_files_are_passed_over(data):
    folder = data / "train" / "a"
    photo = (folder / "a0.jpg").read_bytes()
    good = ["no_suffix", "a.jpg(1)", "a.jp", "a.txt", "more/deeper.JPG"]
    broken = ["page.png"]  # its name claims a photo: it is named when it is read
    system = ["@eaDir/a0.jpg", "__MACOSX/._a0.jpg", ".AppleDouble/a0.jpg", ".hidden.jpg", "Thumbs.db", "desktop.ini"]
    (folder / "more").mkdir()
    for name in (*good, *system):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(photo)
    (folder / "page.png").write_text("<html>")
    for name, content in {"a.heic": HEIC, "b.HEIC": HEIC, "a.jxl": JXL, "a.orf": RAW, "LICENSE": b"MIT"}.items():
        (folder / name).write_bytes(content)
    found = find_photos(folder)
    names = {path.relative_to(folder).as_posix() for path in found.photos}
    assert names == {*good, *broken, *(f"a{i}.jpg" for i in range(5))}
    line = found.report(folder)
    for words in (
        "2 HEIC photos (install pillow-heif, or convert them to JPEG)",
        "1 JPEG XL photos (convert",
        "1 camera raw photos (export them as JPEG)",
        "not photos: 1 (LICENSE)",
    ):
        assert words in line


@without_heif
def test_photos_that_cannot_be_used_count_towards_the_share_that_stops_training(data, capsys):
    for i in range(3):
        (data / "train" / "a" / f"{i}.heic").write_bytes(HEIC + bytes([i]))
    load_images(data, 16)  # 3 of 12
    printed = capsys.readouterr().out
    assert f"left out in {data / 'train' / 'a'}: 3 HEIC photos" in printed and "3 of 12 files" in printed
    (data / "train" / "b" / "4.heic").write_bytes(HEIC)
    with pytest.raises(TutorialError, match=r"4 of 13 files in .*train cannot be read, more than 25%"):
        load_images(data, 16)


@posix
def test_links_are_followed_and_loops_end(data, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    paint(elsewhere, c=3)
    (data / "train" / "a" / "linked").symlink_to(elsewhere / "c")
    (elsewhere / "c" / "back").symlink_to(data / "train" / "a")
    (data / "train" / "a" / "gone").symlink_to("/no/such/photo")
    os.mkfifo(data / "train" / "a" / "pipe")
    found = find_photos(data / "train" / "a")
    assert len(found.photos) == 8 and found.left_out == [(data / "train" / "a" / "gone", "broken links")]


@posix
def test_a_class_whose_link_leads_nowhere_is_an_error(data):
    for split in ("train", "validation", "test"):
        (data / split / "c").symlink_to("/mnt/not-mounted/c")
    with pytest.raises(TutorialError, match=r"train/c is a link to something that does not exist: connect its disk"):
        load_images(data, 16)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may read anything")
@pytest.mark.parametrize("folder", ["train", "train/a", "train/a/more"])
def test_a_folder_that_may_not_be_read_is_an_error(data, folder):
    (data / "train" / "a" / "more").mkdir()
    (data / folder).chmod(0)
    try:
        with pytest.raises(TutorialError, match="check its permissions"):
            load_images(data, 16)
    finally:
        (data / folder).chmod(0o755)


def test_class_names_are_compared_as_people_see_them(tmp_path):
    """Composed on one side, decomposed on the other; with joiners; twins that differ in nothing else."""
    names = ["Bomba\u012d", "\u06af\u0631\u0628\u0647\u200c\u0647\u0627", "\U0001f408\u200d\u2b1b"]
    for split, form in (("train", "NFC"), ("validation", "NFD")):
        paint(tmp_path / split, **{unicodedata.normalize(form, name): 2 for name in names})
    train, validation, _ = load_images(tmp_path, 16)
    assert train.class_names == validation.class_names == tuple(sorted(names))
    (tmp_path / "train" / unicodedata.normalize("NFD", names[0])).mkdir()
    with pytest.raises(TutorialError, match="NFC and NFD"):
        class_folders(tmp_path / "train")


def test_more_classes_than_a_weights_file_may_have_are_refused_at_once(tmp_path):
    for i in range(1001):
        (tmp_path / "train" / f"{i}").mkdir(parents=True)
    with pytest.raises(TutorialError, match="has 1001 classes, more than 1000"):
        load_images(tmp_path, 16)


def test_test_photos_without_classes_are_not_used(data, capsys):
    for name in ("a", "b"):
        for path in (data / "test" / name).iterdir():
            path.rename(data / "test" / path.name)
        (data / "test" / name).rmdir()
    assert load_images(data, 16)[2] is None
    assert f"{data / 'test'} has no folders of these classes, so it is not used" in capsys.readouterr().out
    if os.name == "posix":  # a link to a disk that is not connected
        shutil.rmtree(data / "test")
        (data / "test").symlink_to(data / "nowhere")
        assert load_images(data, 16)[2] is None
        assert f"{data / 'test'} has no folders of these classes" in capsys.readouterr().out


# ---- No photo is trained on and evaluated --------------------------------------------------------


@pytest.mark.parametrize(("split", "name"), [("validation", "a"), ("test", "a"), ("validation", "b")])
def test_a_training_photo_in_another_split_stops_training(data, split, name):
    """Under another name, and under another class."""
    for i in range(2):
        shutil.copy(data / "train" / "a" / f"a{i}.jpg", data / split / name / f"copy{i}.jpg")
    with pytest.raises(TutorialError) as error:
        load_images(data, 16)
    assert f"2 of 11 photos in {data / split} are in {data / 'train'}, too" in str(error.value)
    assert f"{split}/{name}/copy0.jpg = train/a/a0.jpg, " in str(error.value) and "data/split.py" in str(error.value)


def test_other_copies_are_reported(data, capsys):
    shutil.copy(data / "train" / "a" / "a0.jpg", data / "train" / "b" / "wrong.jpg")
    shutil.copy(data / "validation" / "b" / "b1.jpg", data / "test" / "b" / "again.jpg")
    load_images(data, 16)
    printed = capsys.readouterr().out
    assert f"in two classes of {data / 'train'}: 1 photos (train/b/wrong.jpg = train/a/a0.jpg)" in printed
    assert f"1 of 10 photos in {data / 'test'} are in {data / 'validation'}, too" in printed


def test_part_3_refuses_a_top_model_that_was_trained_on_validation_photos(trained, tmp_path, sentence):
    """As after a new split: the classes are the same, but a photo has changed sides."""
    data, weights = tmp_path / "data", tmp_path / "weights"
    shutil.copytree(trained.data, data)
    shutil.copytree(trained.weights, weights)
    moved = data / "validation" / "tabby" / "moved.jpg"
    (data / "train" / "tabby" / "tabby3.jpg").rename(moved)
    line = sentence(run_part(3, data, weights, "--epochs", 1))
    assert (
        f"1 of 18 photos in {data / 'validation'} were training photos of" in line
        and "(validation/tabby/moved.jpg)" in line
    )
    assert line.endswith(f"first: python fine_tuning_VGG16_pt2.py --data {data} --weights-dir {weights}")


# ---- As a reader runs it -------------------------------------------------------------------------


@without_heif
def test_predict_reports_photos_that_cannot_be_used(trained, tmp_path):
    paint(tmp_path, pets=2)
    (tmp_path / "pets" / "a.heic").write_bytes(HEIC)
    (tmp_path / "pets" / "notes.txt").write_text("")
    weights = trained.weights / "small_convnet.weights.h5"
    done = run("predict.py", tmp_path / "pets", "--weights", weights, "--json")
    *predicted, heic = done.stdout.splitlines()
    assert done.returncode == 2 and len(predicted) == 2
    assert "is a photo in HEIC format: install pillow-heif" in heic and "notes.txt" in done.stderr
    (tmp_path / "pets" / "a.heic").rename(tmp_path / "pets" / "a.jpg")
    done = run("predict.py", tmp_path / "pets" / "a.jpg", "--weights", weights)
    assert done.returncode == 2 and "is a photo in HEIC format: install pillow-heif" in done.stderr


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the optional package pillow-heif is not installed")
    picture = Image.new("RGB", (64, 48), (200, 90, 30))
    pillow_heif.from_pillow(picture).save(tmp_path / "a.heic")
    assert find_photos(tmp_path).photos == [tmp_path / "a.heic"]
    seen = open_photo(tmp_path / "a.heic")
    assert seen.size == (64, 48) and seen.getpixel((30, 20)) == pytest.approx((200, 90, 30), abs=6)
