"""The three models side by side.

python -m tutorial.compare                 what each part scored when it was trained
python -m tutorial.compare photo.jpg       and what each answers for one photo
"""

import sys
from pathlib import Path

from tutorial.command_line import RECIPES, TutorialError, parser, run, weights_dir
from tutorial.photos import open_photo, read_photo
from tutorial.weights_file import FILES, read_about


def _line(*cells: object) -> str:
    return "{:20}  {:8}  {:>6}  {:>11}  {:>7}  {:>10}  {:>6}  {:>7}".format(*cells)


def main() -> None:
    """Print the table."""
    p = parser("Print the trained models side by side.", "python -m tutorial.compare photo.jpg")
    p.add_argument("photo", nargs="?", type=Path, metavar="PHOTO", help="a photo for each model to answer")
    folders = [weights_dir(recipe) for recipe in RECIPES]
    text = f"where to look (default: {' and '.join(map(str, folders))})"
    p.add_argument("--weights-dir", type=Path, metavar="DIR", help=text)
    args = p.parse_args()
    folders = [args.weights_dir] if args.weights_dir else folders
    present = [path for folder in folders for name, _ in FILES.values() if (path := folder / name).exists()]
    if not present:
        raise TutorialError(f"there is no model that you have trained in {folders[0]}: run the parts first.")

    if args.photo:
        open_photo(args.photo)  # says what is wrong with it before the table is begun

    print(_line("model", "recipe", "epochs", "photos", "train", "validation", "test", "minutes"), end="")
    print(f"  {args.photo}" if args.photo else "")
    for path in present:
        about = read_about(path)
        counts = " + ".join(str(sum(about.photos.get(split, {}).values())) for split in ("train", "validation"))
        scores = [about.scores.get(f"{split}accuracy") for split in ("", "val_", "test_")]
        shares = ["-" if score is None else f"{score:.1%}" for score in scores]
        epochs = about.settings.get("epochs", "-")
        print(_line(about.model, about.recipe, epochs, counts, *shares, f"{about.minutes:.1f}"), end="")
        if args.photo:
            from tutorial.answers import TrainedNetwork

            probabilities, _ = TrainedNetwork(path, about).answers(read_photo(args.photo, about.image_size)[None])
            name, probability = about.answer(probabilities[0])
            print(f"  {name} ({100 * probability:.1f} %)", end="")
        print(flush=True)
    print(
        "photos: training + validation; accuracy: on training photos as they were trained on, on others of the answers"
    )


if __name__ == "__main__":
    sys.exit(run(main))
