"""The blog post's own code path, for benchmarks/speed.py to compare with ours.

    python benchmarks/blog_post.py 1 --data ../shared/datasets/cats_vs_dogs --epochs 3

ImageDataGenerator, flow_from_directory, fit and predict, with their defaults and batches of 16, as in the Keras blog
post (2016) with today's names. It shares nothing with the tutorial.
"""

import argparse

import keras
from keras import layers
from keras.src.legacy.preprocessing.image import ImageDataGenerator  # tf.keras has it under its old name

SIZE, BATCH = 150, 16


def photos(data: str, split: str, augmented: bool, **how) -> keras.utils.PyDataset:
    """One split's photos, as the blog post reads them."""
    transforms = {"shear_range": 0.2, "zoom_range": 0.2, "horizontal_flip": True} if augmented else {}
    generator = ImageDataGenerator(rescale=1 / 255, **transforms)
    kind = {"class_mode": "binary", **how}
    return generator.flow_from_directory(f"{data}/{split}", target_size=(SIZE, SIZE), batch_size=BATCH, **kind)


def convnet() -> keras.Model:
    """Part 1's network."""
    network = keras.Sequential([keras.Input((SIZE, SIZE, 3))])
    for filters in (32, 32, 64):
        network.add(layers.Conv2D(filters, (3, 3)))
        network.add(layers.Activation("relu"))
        network.add(layers.MaxPooling2D((2, 2)))
    network.add(layers.Flatten())
    network.add(layers.Dense(64))
    network.add(layers.Activation("relu"))
    network.add(layers.Dropout(0.5))
    network.add(layers.Dense(1))
    network.add(layers.Activation("sigmoid"))
    return network


def vgg16_with_top(weights: str | None) -> keras.Model:
    """Part 3's network, everything up to block 4 frozen."""
    base = keras.applications.VGG16(include_top=False, weights=weights, input_shape=(SIZE, SIZE, 3))
    for layer in base.layers:
        layer.trainable = layer.name.startswith("block5_")
    top = [layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dropout(0.5)]
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), base, *top, layers.Dense(1, activation="sigmoid")])


class PrintEpochs(keras.callbacks.Callback):
    """A line at the end of each epoch, for the clock of benchmarks/speed.py."""

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Keras calls this."""
        print(f"epoch {epoch + 1}/{self.params['epochs']}", flush=True)


def main() -> None:
    """Run one part's code path."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("part", choices=["1", "2", "3", "convnet", "vgg16"], help="a part, or a model that predicts photos")
    p.add_argument("photos", nargs="*", help="for the models: photos to predict, one after the other")
    p.add_argument("--data", help="for the parts: folder with train/ and validation/")
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--imagenet", help="VGG16's weights file, instead of a download")
    args = p.parse_args()
    if args.part in ("1", "3"):
        network = convnet() if args.part == "1" else vgg16_with_top(args.imagenet)
        optimizer = "rmsprop" if args.part == "1" else keras.optimizers.SGD(learning_rate=1e-4, momentum=0.9)
        network.compile(loss="binary_crossentropy", optimizer=optimizer, metrics=["accuracy"])
        training, validation = photos(args.data, "train", True), photos(args.data, "validation", False)
        network.fit(training, validation_data=validation, epochs=args.epochs, callbacks=[PrintEpochs()], verbose=0)
    elif args.part == "2":
        print("start", flush=True)
        base = keras.applications.VGG16(include_top=False, weights=args.imagenet, input_shape=(SIZE, SIZE, 3))
        for split in ("train", "validation"):
            base.predict(photos(args.data, split, False, class_mode=None, shuffle=False), verbose=0)
        print("end", flush=True)
    else:
        network = convnet() if args.part == "convnet" else vgg16_with_top(args.imagenet)
        for photo in args.photos:
            pixels = keras.utils.img_to_array(keras.utils.load_img(photo, target_size=(SIZE, SIZE))) / 255
            print(photo, network.predict(pixels[None], verbose=0)[0, 0], flush=True)


if __name__ == "__main__":
    main()
