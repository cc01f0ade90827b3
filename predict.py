"""Predict the class of photos with a trained model.

    python predict.py photo.jpg                     prints "calico (97.0%)"; part 3's model, or 2's or 1's
    python predict.py photo.jpg --threshold 0.9     "not sure" where the probability is below 90%
    python predict.py photo.jpg --explain           saves a heat map of the regions that support the prediction
    python predict.py photo.jpg folder --json       one JSON object a line, for other programs
    python predict.py folder --csv table.csv        a table of all predictions
    python predict.py folder --sort-into sorted     copies each photo to sorted/<class>/ or sorted/not-sure/
    python predict.py photo.jpg --imagenet          the prediction of VGG16 itself, for ImageNet's 1,000 classes

A weights file contains all that prediction needs: settings of the network, preprocessing, class names, calibration.
"""

import json
import sys
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path

from tutorial.cli import TutorialError, echo, escape, file_path, parser, probability, run
from tutorial.dataset import expand_folders
from tutorial.imagenet_weights import ImageNetClassifier, imagenet_weights
from tutorial.images import open_photo
from tutorial.model_file import WeightsFile, best_weights
from tutorial.prediction_files import predict_photos, prediction_table, sort_photo
from tutorial.recipes import pretrained_dir

MAX_PICTURE = 40  # photos in the picture that --save writes


def load_network(file: WeightsFile):  # noqa: ANN201  a keras.Model: Keras takes seconds to import
    """The network of a weights file, from images to probabilities, built by the functions of the parts.

    Raises TutorialError if the file does not fit them, or if ImageNet weights are needed and cannot be fetched.
    """
    from fine_tuning_VGG16_pt1 import NETWORKS
    from fine_tuning_VGG16_pt2 import top_model
    from tutorial.backend import keras
    from tutorial.vgg16 import without_frozen_blocks

    info, s = file.info, file.info.settings
    num_classes, size = len(info.class_names), info.image_size
    try:
        if info.model == "small_convnet":
            network = saved = NETWORKS[s["network"]](num_classes, image_size=size)
        else:
            # The base's weights are in the file only if part 3 saved it, and only block 5's in half precision
            weights = imagenet_weights() if info.half_precision or info.model == "bottleneck_fc_model" else None
            pooling, shape = s["pooling"] or None, (size, size, 3)
            base = keras.applications.VGG16(weights=weights, include_top=False, pooling=pooling, input_shape=shape)
            top = top_model(base.output_shape[1:], num_classes)
            network = keras.Model(base.input, top(base.output))
            saved = top if info.model == "bottleneck_fc_model" else network
            saved = without_frozen_blocks(network) if info.half_precision else saved
    except (KeyError, TypeError, ValueError):
        raise TutorialError(f"{file.path} has invalid metadata: train it again.") from None
    file.load_weights(saved)
    return network


class TrainedModel:
    """A model that a part has trained. Its network is loaded when it is needed: Keras takes seconds."""

    def __init__(self, path: Path, threshold: float | None = None) -> None:
        self.path, self.file = path, WeightsFile(path)
        self.info, self.image_size = self.file.info, self.file.info.image_size
        self.threshold = self.info.rejection_threshold if threshold is None else threshold
        photos = sum(self.info.photos.get("train", {}).values())
        self.name = f"{path}, {self.info.model} for {' or '.join(self.info.class_names)}, trained on {photos:,} photos"
        self.name += "; it came with the tutorial" if path.parent == pretrained_dir() else ""

    @cached_property
    def network(self):  # noqa: ANN201  a keras.Model
        """The network, with its features as a second output."""
        from tutorial.vgg16 import use_winograd, with_features

        return with_features(use_winograd(load_network(self.file)))

    def predict(self, images):  # noqa: ANN201  NumPy arrays
        """Calibrated probabilities, float64 (n, classes), and whether each photo is out of distribution, bool (n,).

        Photos are uint8 (n, size, size, 3), or a list of n. Without a detector in the file, none is.
        """
        from tutorial.calibration import calibrate
        from tutorial.evaluation import predict

        flip = self.info.settings.get("flip_tta", False)
        found, features = predict(self.network, images, self.info.preprocessing, flip)
        detector = self.file.detector(features.shape[1])
        outliers = detector.scores(features) > detector.threshold if detector else [False] * len(images)
        return calibrate(found, self.info.temperature), outliers

    def describe(self, images: list) -> list[tuple[str, dict]]:
        """Predictions for photos, uint8 (size, size, 3), each in words and as JSON."""
        found = []
        for probabilities, outlier in zip(*self.predict(images), strict=True):
            name, best = self.info.best_class(probabilities)
            sure, outlier = best >= self.threshold, bool(outlier)
            text = f"{name} ({best:.1%})" if sure else f"not sure: {name}? ({best:.1%})"
            if outlier:
                text += "; out of distribution: differs from the training photos"
            each = dict(zip(self.info.class_names, map(float, probabilities), strict=True))
            known = {"class": name, "probability": best, "probabilities": each, "sure": sure}
            found.append((text, known | {"out_of_distribution": outlier, "model": str(self.path)}))
        return found


def main() -> int:
    """Predict every photo; the exit status is 2 if one of them could not be read."""
    p = parser(__doc__)
    add, text = p.add_argument, 'report "not sure" below this probability, 0 to 1 (default: from the weights file)'
    add("photos", nargs="+", type=file_path, metavar="PHOTO", help="photos, or folders of them")
    add("--weights", type=file_path, metavar="FILE", help="weights file (default: part 3's, 2's, 1's or a pretrained)")
    add("--threshold", type=probability, metavar="P", help=text)
    add("--save", type=file_path, metavar="PICTURE", help="write the photos with their predictions as a picture")
    add("--explain", action="store_true", default=None, help="save Grad-CAM heat maps (default: explained.png)")
    add("--json", action="store_true", help="print one JSON object per photo and nothing else on standard output")
    add("--csv", type=file_path, metavar="TABLE", help="write the predictions as a table instead of printing them")
    add("--sort-into", type=file_path, metavar="DIR", help="copy each photo to DIR/<class>/, or DIR/not-sure/")
    add("--imagenet", action="store_true", help="the top two of ImageNet's 1,000 classes (downloads 553 MB, once)")
    args = p.parse_args()
    for flag in ("weights", "threshold", "explain", "csv", "sort-into"):
        if args.imagenet and getattr(args, flag.replace("-", "_")) is not None:
            raise TutorialError(f"--{flag} and --imagenet exclude each other: leave out one of them.")

    # The model and the photos
    model = ImageNetClassifier() if args.imagenet else TrainedModel(args.weights or best_weights(), args.threshold)
    photos = expand_folders(args.photos)
    if picture := args.save or (Path("explained.png") if args.explain else None):
        from tutorial.plots import Prediction, check_picture_name, save_predictions

        check_picture_name(picture, photos)
        from tutorial.gradcam import heat_map
    if not args.json:
        echo(f"model: {model.name}")

    # Predictions
    shown, failed = [], 0
    with prediction_table(args.csv, model.info.class_names) if args.csv else nullcontext() as add_row:
        for photo, image, text, known in predict_photos(model, photos):
            bad = "error" in known
            failed += bad
            if add_row:
                add_row(photo, known)
            if args.sort_into and not bad:
                sort_photo(photo, known, args.sort_into)
            if args.json:
                print(json.dumps({"photo": str(photo)} | known), flush=True)
            elif bad:
                print(f"error: {escape(text)}", file=sys.stderr, flush=True)
            elif not (args.csv or args.sort_into):
                echo(f"{photo}: {text}")
            if picture and not bad and len(shown) < MAX_PICTURE:
                small = open_photo(photo)
                small.thumbnail((600, 600))
                regions = heat_map(model.network, model.info, image, known["class"]) if args.explain else None
                shown.append(Prediction(small, text, photo.name, known.get("class", ""), regions))

    # What was written
    if shown:
        save_predictions(shown, picture)
        print(escape(f"saved {picture}, with {len(shown)} of {len(photos)} photos"), file=sys.stderr)
    for path in filter(None, (args.csv, args.sort_into)):
        unread = f"; {failed} could not be read" if failed else ""
        print(escape(f"saved {path}, with {len(photos) - failed} photos{unread}"), file=sys.stderr)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(run(main))
