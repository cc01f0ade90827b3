"""One photo in: its class and its probability, by any of the three models.

    python predict.py photo.jpg                     calico (98.7 %), from the best model there is
    python predict.py photo.jpg --threshold 0.9     "not sure" where the probability is less than 90 %
    python predict.py photo.jpg --explain           and a picture of which places spoke for that answer
    python predict.py photo.jpg folder --json       one JSON object a line, for other programs
    python predict.py photo.jpg --imagenet          what VGG16 says that has learnt no classes of yours

The weights file says how to build its network, how to read the photos and what the classes are
called, so a photo needs nothing but the file.
"""

import argparse
import json
import sys
from pathlib import Path

from tutorial.command_line import RECIPES, TutorialError, parser, pretrained_dir, run, visible, weights_dir
from tutorial.photos import PhotoError, files_below, open_photo, read_many
from tutorial.weights_file import FILES, first_command, read_about

# Settings
batch_size = 32  # photos that are read before they are answered; a folder of 1,000 goes in such portions
sheet_limit = 40  # photos on the picture that --save writes


def probability(text: str) -> float:
    """An argparse type."""
    if not 0 <= (number := float(text)) <= 1:
        raise ValueError(text)
    return number


probability.__name__ = "probability (0 to 1)"  # argparse: "invalid <name> value"


def parse() -> argparse.Namespace:
    """The command line."""
    p = parser("Tell which of its classes each photo shows.", "python predict.py photo.jpg --save answer.png")
    p.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="photos, or folders of them")
    p.add_argument("--weights", type=Path, metavar="FILE", help="weights of one part (default: the best there are)")
    text = (
        'say "not sure" below this probability, 0 to 1 (default: what the weights file says, 0 for the texts\' recipe)'
    )
    p.add_argument("--threshold", type=probability, metavar="P", help=text)
    p.add_argument("--save", type=Path, metavar="PICTURE", help="write the photos with their answers as a picture")
    text = "on that picture, beside each photo, the places that spoke for its answer (without --save: explained.png)"
    p.add_argument("--explain", action="store_true", help=text)
    p.add_argument("--json", action="store_true", help="one JSON object a line on standard output, nothing else there")
    text = "ask VGG16 as trained on ImageNet for the best two of its 1,000 classes (downloads 553 MB, once)"
    p.add_argument("--imagenet", action="store_true", help=text)
    args = p.parse_args()
    ours = {"--weights": args.weights, "--threshold": args.threshold, "--explain": args.explain or None}
    for flag, given in ours.items():
        if args.imagenet and given is not None:
            raise TutorialError(f"{flag} is for the models that you train: leave it out, or leave out --imagenet.")
    return args


def best_weights() -> Path:
    """The best model there is: fine-tuned, then bottleneck, then convnet, each of the improved recipe first.

    Where nothing has been trained, those that come with the tutorial.
    """
    for name, _ in reversed(FILES.values()):
        for recipe in reversed(RECIPES):
            if (path := weights_dir(recipe) / name).exists():
                return path
    for name, _ in reversed(FILES.values()):
        if (path := pretrained_dir() / name).exists():
            return path
    raise TutorialError(
        f"there is no trained model in {weights_dir(RECIPES[0])}: train one with {first_command()} "
        "or name a weights file with --weights."
    )


class Trained:
    """One of the three models, as a part has trained it."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.weights = args.weights or best_weights()
        self.about = read_about(self.weights)
        self.threshold = self.about.unsure_below if args.threshold is None else args.threshold
        photos = sum(self.about.photos.get("train", {}).values())
        self.name = f"{self.weights}, {self.about.model} for {' or '.join(self.about.class_names)}"
        self.name += f", trained on {photos:,} photos"
        if self.weights.parent == pretrained_dir():
            self.name += "; it came with the tutorial and gives way to your own"
        self.image_size = self.about.image_size
        self.network = None

    def answers(self, photos: list) -> list[tuple[str, dict]]:
        """For each photo, uint8 (image_size, image_size, 3), the answer in words and for other programs."""
        if self.network is None:  # only now, since TensorFlow takes seconds to load
            from tutorial.answers import TrainedNetwork

            self.network = TrainedNetwork(self.weights, self.about)
        found = []
        for probabilities, unlike in zip(*self.network.answers(photos), strict=True):
            name, best = self.about.answer(probabilities)
            sure, unlike = best >= self.threshold, bool(unlike)
            answer = f"{name} ({100 * best:.1f} %)" if sure else f"not sure: {name}? ({100 * best:.1f} %)"
            answer += "; unlike any training photo" * unlike
            said = {"class": name, "probability": best, "model": str(self.weights), "sure": sure, "unlike": unlike}
            found.append((answer, said))
        return found


def main() -> int:
    """Answer every photo; the exit status is 2 if one of them could not be answered."""
    args = parse()

    # ---- The model and the photos --------------------------------------------------------------
    if args.imagenet:
        from tutorial.imagenet_classes import ImageNets
    model = ImageNets() if args.imagenet else Trained(args)
    picture = args.save or (Path("explained.png") if args.explain else None)
    if picture:
        from tutorial.pictures import Answered, check_picture_name, save_predictions

        check_picture_name(picture)
    photos = [photo for given in args.photos for photo in (files_below(given) or [given])]
    if not args.json:
        print(f"model: {model.name}")

    # ---- The answers, a portion of photos at a time --------------------------------------------
    failed, shown = False, []
    for start in range(0, len(photos), batch_size):
        portion = photos[start : start + batch_size]
        read = list(read_many(portion, model.image_size))
        readable = [pixels for pixels in read if not isinstance(pixels, PhotoError)]
        answers = iter(model.answers(readable) if readable else ())
        for photo, pixels in zip(portion, read, strict=True):
            if isinstance(pixels, PhotoError):
                failed = True
                if args.json:
                    print(json.dumps({"photo": str(photo), "error": str(pixels)}), flush=True)
                else:
                    print(f"error: {visible(pixels)}", file=sys.stderr, flush=True)
                continue
            answer, said = next(answers)
            print(json.dumps({"photo": str(photo)} | said) if args.json else f"{visible(photo)}: {answer}", flush=True)
            if picture and len(shown) < sheet_limit:
                small = open_photo(photo)
                small.thumbnail((600, 600))
                places = model.network.explanation(pixels, said["class"]) if args.explain else None
                shown.append(Answered(small, answer, photo.name, said.get("class", ""), places))

    # ---- The picture ---------------------------------------------------------------------------
    if shown:
        save_predictions(shown, picture)
        print(f"saved {picture}, with {len(shown)} of {len(photos)} photos", file=sys.stderr)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(run(main))
