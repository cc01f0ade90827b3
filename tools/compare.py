"""Compare the trained models.

python tools/compare.py                                the scores of each part when it was trained
python tools/compare.py photo.jpg                      and each model's prediction for one photo
python tools/compare.py folder --save picture.png      for the first photo in a folder; and as a picture
"""

import sys
from contextlib import suppress
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # without its packages installed, tutorial/ prints the remedy

from predict import TrainedModel
from tutorial.cli import TutorialError, echo, file_path, parser, run
from tutorial.dataset import find_photos
from tutorial.images import PhotoError, open_photo, read_photo
from tutorial.model_file import FILES
from tutorial.recipes import DEFAULT, own_folders, weights_dir

from PIL import Image

ROW = "{:20}  {:8}  {:>6}  {:>11}  {:>7}  {:>10}  {:>6}  {:>7}  {}"


def trained_models(folders: list[Path]) -> list[TrainedModel]:
    """The models in the folders, in the order of the parts; weights files that cannot be used are named and left out.

    Raises:
        TutorialError: there is none.
    """
    found, errors = [], []
    for path in [path for folder in folders for name, _ in FILES.values() if (path := folder / name).exists()]:
        try:
            found.append(TrainedModel(path))
        except TutorialError as error:
            errors.append(error)
    if not found:
        raise errors[0] if errors else TutorialError(f"there is no trained model in {folders[0]}: run the parts first.")
    for error in errors:
        echo(f"left out: {error}")
    return found


def first_photo(place: Path) -> tuple[Path, Image.Image]:
    """A photo, or the first one in a folder that can be read. Raises PhotoError if there is none."""
    photos = find_photos(place).photos or [place]
    for path in photos:
        with suppress(PhotoError):
            return path, open_photo(path)
    return photos[0], open_photo(photos[0])


def main() -> None:
    """Print the table."""
    p = parser(__doc__)
    p.add_argument("photo", nargs="?", type=file_path, metavar="PHOTO", help="photo, or folder: its first photo")
    text = f"folder of weights files (default: {weights_dir(DEFAULT)} and the recipes' folders in it)"
    p.add_argument("--weights-dir", type=file_path, metavar="DIR", help=text)
    p.add_argument("--save", type=file_path, metavar="PICTURE", help="write the predictions as a picture")
    args = p.parse_args()
    found = trained_models([args.weights_dir] if args.weights_dir else own_folders())
    # A photo that cannot be read, or would be overwritten, gets its sentence before the table
    path, photo = first_photo(args.photo) if args.photo else (None, None)
    if args.save:
        if not path:
            raise TutorialError(f"--save {args.save} needs a photo: name one, or a folder of photos.")
        from tutorial.plots import Prediction, check_picture_name, save_predictions

        check_picture_name(args.save, [path])

    shown = []
    echo(ROW.format("model", "recipe", "epochs", "photos", "train", "validation", "test", "minutes", path or ""))
    for model in found:
        info = model.info
        counts = " + ".join(str(sum(info.photos.get(split, {}).values())) for split in ("train", "validation"))
        scores = [info.scores.get(f"{split}accuracy") for split in ("", "val_", "test_")]
        accuracies = ["-" if score is None else f"{score:.1%}" for score in scores]
        predicted = ""
        if path and photo:
            [probabilities], _ = model.predict([read_photo(path, info.image_size)])
            predicted = "{} ({:.1%})".format(*info.best_class(probabilities))
            del model.network  # one at a time in memory
            if args.save:
                shown.append(Prediction(photo, predicted, f"{info.model}, {info.recipe} recipe"))
        cells = info.model, info.recipe, info.settings.get("epochs", "-"), counts, *accuracies, f"{info.minutes:.1f}"
        echo(ROW.format(*cells, predicted))
    print("photos: training + validation; train: accuracy during the last epoch, on augmented photos in parts 1 and 3")
    if shown:
        save_predictions(shown, args.save)
        echo(f"saved {args.save}")


if __name__ == "__main__":
    sys.exit(run(main))
