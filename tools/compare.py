"""Compare the trained models.

python tools/compare.py                 the scores of each part when it was trained
python tools/compare.py photo.jpg       and each model's prediction for one photo
"""

import sys
from pathlib import Path

from predict import TrainedModel
from tutorial.cli import TutorialError, echo, parser, run
from tutorial.images import open_photo, read_photo
from tutorial.model_file import FILES
from tutorial.recipes import DEFAULT, pretrained_dir, weights_dir

ROW = "{:20}  {:8}  {:>6}  {:>11}  {:>7}  {:>10}  {:>6}  {:>7}  {}"


def main() -> None:
    """Print the table."""
    p = parser(str(__doc__))
    p.add_argument("photo", nargs="?", type=Path, metavar="PHOTO", help="a photo for each model")
    own = weights_dir(DEFAULT)
    text = f"folder of weights files (default: {own} and the recipes' folders in it)"
    p.add_argument("--weights-dir", type=Path, metavar="DIR", help=text)
    args = p.parse_args()
    folders = [args.weights_dir] if args.weights_dir else [own, *sorted(set(own.glob("*/")) - {pretrained_dir()})]
    found = [path for folder in folders for name, _ in FILES.values() if (path := folder / name).exists()]
    if not found:
        raise TutorialError(f"there is no trained model in {folders[0]}: run the parts first.")
    if args.photo:
        open_photo(args.photo)  # an error comes before the table

    print(ROW.format("model", "recipe", "epochs", "photos", "train", "validation", "test", "minutes", args.photo or ""))
    for path in found:
        model = TrainedModel(path)
        info = model.info
        counts = " + ".join(str(sum(info.photos.get(split, {}).values())) for split in ("train", "validation"))
        scores = [info.scores.get(f"{split}accuracy") for split in ("", "val_", "test_")]
        accuracies = ["-" if score is None else f"{score:.1%}" for score in scores]
        predicted = ""
        if args.photo:
            [probabilities], _ = model.predict([read_photo(args.photo, info.image_size)])
            predicted = "{} ({:.1%})".format(*info.best_class(probabilities))
        cells = info.model, info.recipe, info.settings.get("epochs", "-"), counts, *accuracies, f"{info.minutes:.1f}"
        echo(ROW.format(*cells, predicted))
    print("photos: training + validation; train: accuracy during the last epoch, on augmented photos in parts 1 and 3")


if __name__ == "__main__":
    sys.exit(run(main))
