"""The three models side by side.

python -m tutorial.compare                 what each part scored when it was trained
python -m tutorial.compare photo.jpg       and what each answers for one photo
"""

import sys
from pathlib import Path

from tutorial.command_line import RECIPES, TutorialError, parser, run, weights_dir
from tutorial.photos import open_photo, read_photo
from tutorial.weights_file import FILES, read_about


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
        raise TutorialError(f"there is no trained model in {folders[0]}: run the parts first.")

    if args.photo:
        open_photo(args.photo)  # says what is wrong with it before the table is begun

    print(
        f"{'model':20}  {'recipe':8}  {'epochs':>6}  {'train':>7}  {'validation':>10}  {'test':>6}  {'minutes':>7}",
        end="",
    )
    print(f"  {args.photo}" if args.photo else "")
    for path in present:
        about = read_about(path)
        scores = f"{about.scores['accuracy']:7.1%}  {about.scores['val_accuracy']:10.1%}  "
        scores += f"{about.scores['test_accuracy']:6.1%}" if "test_accuracy" in about.scores else f"{'-':>6}"
        print(
            f"{about.model:20}  {about.recipe:8}  {about.settings['epochs']:6}  {scores}  {about.minutes:7.1f}", end=""
        )
        if args.photo:
            from tutorial.answers import TrainedNetwork

            probabilities, _ = TrainedNetwork(path, about).answers(read_photo(args.photo, about.image_size)[None])
            name, probability = about.answer(probabilities[0])
            print(f"  {name} ({100 * probability:.1f} %)", end="")
        print(flush=True)
    counts = {split: sum(per_class.values()) for split, per_class in about.photos.items()}
    print(
        f"accuracy after the last epoch, on {counts['train']} training photos (as they were trained on) "
        f"and {counts['validation']} validation photos"
    )


if __name__ == "__main__":
    sys.exit(run(main))
