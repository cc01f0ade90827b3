"""The three models side by side.

python -m tutorial.compare                 what each part scored when it was trained
python -m tutorial.compare photo.jpg       and what each answers for one photo
"""

import sys
from pathlib import Path

from tutorial.command_line import TutorialError, parser, project_path, run
from tutorial.photos import open_photo, read_photo, rescale
from tutorial.weights_file import FILES, read_about


def main() -> None:
    """Print the table."""
    p = parser("Print the trained models side by side.", "python -m tutorial.compare photo.jpg")
    p.add_argument("photo", nargs="?", type=Path, metavar="PHOTO", help="a photo for each model to answer")
    weights_dir = project_path("weights")
    p.add_argument("--weights-dir", type=Path, metavar="DIR", default=weights_dir, help="default: %(default)s")
    args = p.parse_args()
    present = [args.weights_dir / name for name, _ in FILES.values() if (args.weights_dir / name).exists()]
    if not present:
        raise TutorialError(f"there is no trained model in {args.weights_dir}: run the parts first.")

    if args.photo:
        open_photo(args.photo)  # says what is wrong with it before the table is begun

    print(f"{'model':20}  {'epochs':>6}  {'train':>7}  {'validation':>10}  {'minutes':>7}", end="")
    print(f"  {args.photo}" if args.photo else "")
    for path in present:
        about = read_about(path)
        scores = f"{about.scores['accuracy']:7.1%}  {about.scores['val_accuracy']:10.1%}"
        print(f"{about.model:20}  {about.settings['epochs']:6}  {scores}  {about.minutes:7.1f}", end="")
        if args.photo:
            from tutorial.networks import load_network

            pixels = read_photo(args.photo, about.image_size)
            output = load_network(path, about).predict_on_batch(rescale(pixels[None]))[0, 0]
            name, probability = about.answer(output)
            print(f"  {name} ({100 * probability:.1f} %)", end="")
        print(flush=True)
    counts = {split: sum(per_class.values()) for split, per_class in about.photos.items()}
    print(
        f"accuracy after the last epoch, on {counts['train']} training photos (as they were trained on) "
        f"and {counts['validation']} validation photos"
    )


if __name__ == "__main__":
    sys.exit(run(main))
