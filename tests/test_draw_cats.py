"""The drawn cats: the same for the same seed, no two alike, and each class with the colors of its coat."""

from conftest import files_in, run
from drawing.cat_shape import POSES, random_pose
from drawing.cat_surface import Camera, random_camera, surface
from drawing.drawn_cat import draw_cat
from drawing.fur import calico_coat, strands, tabby_coat
from tutorial.dataset import find_images

import numpy as np
import pytest
from PIL import Image

KINDS = ("calico", "tabby")


def cats(kind: str, count: int, seed: int = 0) -> np.ndarray:
    """uint8, (count, 200, 200, 3)."""
    return np.stack([np.asarray(draw_cat(kind, np.random.default_rng([seed, i]))) for i in range(count)])


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    return {kind: cats(kind, 18) for kind in KINDS}


def coat_colors(kind: str, i: int) -> np.ndarray:
    """The coat alone, without its surroundings, light and camera: float, (pixels on the cat, 3)."""
    rng = np.random.default_rng([7, i])
    pose = random_pose(rng)
    cat = surface(rng, pose, random_camera(rng, pose, 120), 120)
    hair = rng.standard_normal((120, 120), np.float32)
    coat = {"calico": calico_coat, "tabby": tabby_coat}[kind](rng, cat, hair)
    return np.clip(coat[cat.inside], 0, 1)


def test_same_seed_same_cat_another_seed_another():
    for kind in KINDS:
        first, again, other = (draw_cat(kind, np.random.default_rng(seed)) for seed in (5, 5, 6))
        assert first.mode == "RGB" and first.size == (200, 200)
        assert first.tobytes() == again.tobytes() != other.tobytes()


def test_the_two_classes_draw_different_cats_from_the_same_chance():
    assert draw_cat("calico", np.random.default_rng(1)) != draw_cat("tabby", np.random.default_rng(1))


def test_any_size():
    for size in (64, 150, 301):
        assert draw_cat("tabby", np.random.default_rng(2), size).size == (size, size)


def test_no_two_alike(drawn):
    small = np.concatenate([drawn[kind] for kind in KINDS])[:, ::10, ::10].reshape(36, -1).astype(float)
    apart = np.abs(small[:, None] - small[None]).mean(-1)
    assert apart[~np.eye(36, dtype=bool)].min() > 12


def test_light_color_and_place_vary(drawn):
    pictures = np.concatenate([drawn[kind] for kind in KINDS]).astype(float)
    brightness = pictures.mean((1, 2, 3))
    assert brightness.std() > 15 and 70 < brightness.mean() < 160
    corners = pictures[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(1)
    assert corners.std(0).min() > 35
    detail = np.abs(np.diff(pictures.mean(3), axis=1)).mean((1, 2))  # from out of focus to every hair
    assert detail.max() > 3 * detail.min()


def test_every_pose_is_drawn_and_fills_part_of_the_picture():
    for i, pose in enumerate(POSES):
        shape = pose(np.random.default_rng(i))
        cat = surface(np.random.default_rng(0), shape, Camera(18.0, 1.5, 1.2, 0.0, False), 200)
        assert 0.08 < cat.inside.mean() < 0.8
        assert cat.face[cat.inside].mean() > 0.05
        assert np.isfinite(cat.shade).all() and cat.shade[cat.inside].max() <= 1.01


def test_cameras_differ_in_scale_and_all_have_the_cat_in_them():
    units, shares = [], []
    for i in range(80):
        rng = np.random.default_rng(i)
        pose = random_pose(rng)
        camera = random_camera(rng, pose, 200)
        units.append(camera.unit)
        shares.append(surface(rng, pose, camera, 200).inside.mean())
    assert min(units) < 20 and max(units) > 50
    assert min(shares) > 0.02 and max(shares) > 0.5


def test_a_flipped_camera_flips_the_cat():
    pose = POSES[2](np.random.default_rng(0))
    plain, flipped = (
        surface(np.random.default_rng(1), pose, Camera(20.0, 2.0, 1.5, 0.0, flip), 100).inside for flip in (False, True)
    )
    assert (plain[:, 1:] == flipped[:, :0:-1]).mean() > 0.99


def test_calicos_are_white_and_dark_and_warm_and_tabbies_one_hue():
    both = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for i in range(40):
            coat = coat_colors(kind, i)
            if len(coat) < 500:
                continue
            light, chroma = coat.mean(1), coat[:, 0] - coat[:, 2]
            white = ((light > 0.8) & (chroma < 0.12)).mean()
            warm = ((chroma > 0.18) & (light < 0.8)).mean()
            cold = ((chroma < 0.09) & (light < 0.55)).mean()
            both[kind].append(min(white, warm, cold) > 0.04)
    assert np.mean(both["calico"]) > 0.7
    assert np.mean(both["tabby"]) < 0.15


def test_hair_is_smoother_along_its_growth_than_across():
    zero, one = np.zeros((100, 100), np.float32), np.ones((100, 100), np.float32)
    hair = strands(np.random.default_rng(0), one, zero, 8, 2)
    assert hair.mean() == pytest.approx(0, abs=1e-4) and hair.std() == pytest.approx(1, abs=1e-3)
    four_along, four_across = (hair[:, 4:] * hair[:, :-4]).mean(), (hair[4:] * hair[:-4]).mean()
    assert four_along > 0.4 and abs(four_across) < 0.2


# ---- The script ------------------------------------------------------------------------------------


def test_the_script_draws_both_splits_whole_and_the_same_again(tmp_path):
    done = run("data/draw_cats.py", "--data", tmp_path / "a", "--train", 3, "--validation", 2)
    assert done.returncode == 0, done.stderr
    assert "6 training and 4 validation cats" in done.stdout and "drawn, not photographed" in done.stdout
    first = files_in(tmp_path / "a")
    assert len(first) == 10  # and nothing half written
    train, validation = find_images(tmp_path / "a")
    assert train.counts() == {"calico": 3, "tabby": 3} and validation.counts() == {"calico": 2, "tabby": 2}
    assert len(set(first.values())) == 10
    for path in train.paths + validation.paths:
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (200, 200))
    # A cat depends on the seed, its split, class and number, not on how many are drawn; again: the same bytes.
    run("data/draw_cats.py", "--data", tmp_path / "b", "--train", 1, "--validation", 2)
    fewer = files_in(tmp_path / "b")
    assert len(fewer) == 6 and fewer.items() <= first.items()
    # Fewer, of another seed: those drawn before are gone, and neither a photo nor what lies elsewhere is.
    own, elsewhere = (tmp_path / "b" / one / "calico" / "calico7.jpg" for one in ("validation", "collected"))
    Image.new("RGB", (9, 9)).save(own)
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(first["validation/calico/calico1.jpg"])
    run("data/draw_cats.py", "--data", tmp_path / "b", "--train", 1, "--validation", 1, "--seed", 1)
    other = files_in(tmp_path / "b")
    assert len(other) == 6 and own.exists() and elsewhere.exists()
    assert set(other.values()) & set(first.values()) == {elsewhere.read_bytes()}


def test_the_page_of_cats(tmp_path):
    done = run("data/draw_cats.py", "--sheet", tmp_path / "page.png", "--data", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "page.png") as page:
        assert page.size == (1000, 500)
    assert [path.name for path in tmp_path.iterdir()] == ["page.png"]


def test_what_cannot_be_done_gets_one_sentence(tmp_path, sentence):
    (tmp_path / "file").write_text("in the way")
    assert "could not be written" in sentence(run("data/draw_cats.py", "--data", tmp_path / "file", "--train", 1))
    assert ".jpg or .png" in sentence(run("data/draw_cats.py", "--sheet", tmp_path / "page.txt"))
    photo = tmp_path / "photos" / "train" / "calico" / "calico2.jpg"
    photo.parent.mkdir(parents=True)
    draw_cat("calico", np.random.default_rng(0)).save(photo)
    before = photo.read_bytes()
    line = sentence(run("data/draw_cats.py", "--data", tmp_path / "photos", "--train", 2, "--validation", 1))
    assert str(photo) in line and files_in(tmp_path / "photos") == {"train/calico/calico2.jpg": before}
    for flags in (["--train", "0"], ["--validation", "many"], ["--seed", "-1"]):
        done = run("data/draw_cats.py", "--data", tmp_path / "none", *flags)
        assert done.returncode == 2 and "invalid" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "none").exists()
