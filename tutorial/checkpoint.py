"""Resuming: the state of a training run, saved after every epoch.

The file holds every number that the next epoch depends on: the weights, the optimizer's variables and the seeds of the
dropout layers. (Keras's ``BackupAndRestore`` loses the latter, and the history.) Order and transforms of an epoch
depend on the seed alone, see ``augmentation``.
"""

import argparse
import json
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

from tutorial.augmentation import Features, digest
from tutorial.backend import keras
from tutorial.cli import TutorialError, echo
from tutorial.devices import replicas
from tutorial.files import atomic_write
from tutorial.recipes import flattened

import numpy as np

History = dict[str, list[float]]  # accuracy, loss, val_accuracy, val_loss: one number for each epoch


class Checkpoint(keras.callbacks.Callback):
    """Saves a run after every epoch, and restores what an interrupted run has saved.

    It comes after ``TrainingProgress``, which stops a run that has diverged before it is saved.

    Args:
        path: of the weights file that the run is to end with; the checkpoint is in the same folder.
        args: the part's flags.
        settings: the recipe's.
        train_data: the training photos, or their features.
        validation_data: the validation photos, or their features.
        top_weights: part 2's top model, where the run starts from it.

    Raises:
        TutorialError: there is an interrupted run with other settings or data, and no ``--restart``.
    """

    def __init__(
        self,
        path: Path,
        args: argparse.Namespace,
        settings: SimpleNamespace,
        train_data: Features,
        validation_data: Features,
        top_weights: Sequence[np.ndarray] = (),
    ) -> None:
        super().__init__()
        self.path = path.with_name(path.name.replace(".weights.h5", ".checkpoint.npz"))
        self.epochs, self.begun = settings.epochs, args.begun
        self.made_from = dict(flattened(vars(settings))) | {"recipe": args.recipe, "seed": args.seed}
        self.made_from["devices"] = replicas()
        self.made_from |= {name: version(name) for name in ("keras", "numpy", "tensorflow")}
        self.made_from["training photos"] = train_data.digest
        self.made_from["validation photos"] = validation_data.digest
        self.made_from["part 2's model"] = digest(*top_weights)
        self.history: History = {}
        self.state: list[np.ndarray] = []
        self.seconds_before = 0.0
        if args.restart:
            self.remove()
        elif self.path.exists():
            self._read()

    @property
    def epochs_done(self) -> int:
        """How many epochs are finished."""
        return len(self.history.get("loss", []))

    @property
    def seconds(self) -> float:
        """What this run and those that it resumes have taken, without the time between them."""
        return self.seconds_before + time.monotonic() - self.begun

    def _read(self) -> None:
        try:
            with np.load(self.path) as file:  # np.load refuses pickled objects unless told otherwise
                metadata = json.loads(str(file["metadata"]))
                state = [file[f"arr_{i}"] for i in range(len(file.files) - 1)]
            before, history, seconds = metadata["made_from"], metadata["history"], float(metadata["seconds"])
        except Exception:  # NumPy, zipfile and json raise errors of many kinds for damaged files
            echo(f"the checkpoint {self.path} is damaged: starting again")
            return
        different = []
        for name, now in {**dict.fromkeys(before), **self.made_from}.items():
            if before.get(name) != now:
                long = name.endswith(("photos", "model"))
                different.append(name if long else f"{name} ({before.get(name)}, now {now})")
        if different:
            raise TutorialError(
                f"{self.path} is from a run with different {', '.join(different)}. Use the same settings to resume it, "
                "or --restart to discard it."
            )
        self.history, self.state, self.seconds_before = history, state, seconds

    def restore(self, model: keras.Model, train_data: Features) -> int:
        """Bring a compiled model to where the interrupted run was, if there was one, and its data to the same epoch.

        Args:
            model: compiled.
            train_data: what ``fit`` gets; in part 3 not the photos but their cached activations.

        Returns:
            How many epochs are finished: ``fit``'s ``initial_epoch``.
        """
        model.optimizer.build(model.trainable_variables)
        train_data.set_epoch(self.epochs_done)
        if self.state:
            variables = _variables(model)
            if [value.shape for value in self.state] != [tuple(variable.shape) for variable in variables]:
                raise TutorialError(
                    f"{self.path} is from a run with cached activations, which this run lacks, or the reverse: make "
                    "room for them and use the same device, or --restart to discard it."
                )
            for variable, value in zip(variables, self.state, strict=True):
                variable.assign(value)
            self.state = []
            echo(f"resuming the interrupted run in {self.path}: {self.epochs_done} of {self.epochs} epochs are done")
        return self.epochs_done

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Keras calls this."""
        for name in ("accuracy", "loss", "val_accuracy", "val_loss"):
            self.history.setdefault(name, []).append(float(logs[name]))
        self._save()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keras calls this."""
        for prefix, split in (("", "train"), ("val_", "validation")):
            accuracy, loss = self.history[f"{prefix}accuracy"], self.history[f"{prefix}loss"]
            best, least = int(np.argmax(accuracy)), int(np.argmin(loss))
            echo(
                f"{split:10}  last epoch: accuracy {accuracy[-1]:.3f}, loss {loss[-1]:.3f}; "
                f"best: accuracy {accuracy[best]:.3f} (epoch {best + 1}), loss {loss[least]:.3f} (epoch {least + 1})"
            )

    def _save(self) -> None:
        """Write the file; where that is not possible, print so and go on: the training is worth more."""
        metadata = {"made_from": self.made_from, "history": self.history, "seconds": self.seconds}
        try:
            with atomic_write(self.path) as temporary:
                state = (variable.numpy() for variable in _variables(self.model))
                np.savez(temporary, *state, metadata=np.array(json.dumps(metadata)))
        except TutorialError as error:
            echo(f"{str(error).rstrip('.')}: there is no checkpoint of this epoch to resume from")

    def remove(self) -> None:
        """Remove the file: the run is finished, or discarded."""
        self.path.unlink(missing_ok=True)


def _variables(model: keras.Model) -> list[keras.Variable]:
    """All numbers that training changes, without the metrics, which start again in each epoch."""
    metrics = {id(variable) for variable in model.metrics_variables}
    return [one for one in [*model.variables, *model.optimizer.variables] if id(one) not in metrics]
