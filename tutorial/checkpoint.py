"""How far a training has got, saved after every epoch, so that one that was killed goes on as if it never had been.

The file holds every number that the next epoch depends on: weights, the optimizer's own, the state of each dropout's
chance, and what it was all made from. Order and views of an epoch depend on the seed alone, see ``batches``.
"""

import argparse
import itertools
import json
import time
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np

from tutorial.backend import keras
from tutorial.batches import Batches, digest
from tutorial.command_line import TutorialError
from tutorial.whole_file import UNFINISHED, written_whole

History = dict[str, list[float]]  # accuracy, loss, val_accuracy, val_loss: a number an epoch


class Checkpoint(keras.callbacks.Callback):
    """A training's record: continues from what an interrupted run left, and saves as it goes.

    To be the last of ``fit``'s callbacks: where weights are averaged, they are swapped back before they are saved.

    Args:
        args: the part's flags, see ``command_line.part_settings``.
        model: a key of ``weights_file.FILES``; it names the file.
        settings: from ``command_line.part_settings``.
        training: what the run learns from.
        validation: what it is judged by.
        start: the weights that an earlier part has left it.

    Raises:
        TutorialError: there is an interrupted run that was made from something else, and no ``--restart``.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        model: str,
        settings: SimpleNamespace,
        training: Batches,
        validation: Batches,
        start: Sequence[np.ndarray] = (),
    ) -> None:
        super().__init__()
        self.path = args.weights_dir / f"{model}{UNFINISHED}"
        self.made_from = {"recipe": args.recipe, "seed": args.seed, **vars(settings)}
        self.made_from |= {name: version(name) for name in ("keras", "numpy", "tensorflow")}
        self.made_from["training photos"] = training.digest
        self.made_from["validation photos"] = validation.digest
        self.made_from["part 2's model"] = digest(*start)
        self.history: History = {}
        self.begun, self.seconds_before = args.begun, 0.0
        self.values: list[np.ndarray] = []
        if args.restart:
            self.remove()
        elif self.path.exists():
            self._read()

    @property
    def epochs(self) -> int:
        """How many are done."""
        return len(next(iter(self.history.values()), []))

    @property
    def seconds(self) -> float:
        """That this run and those it continues have taken, without the time between them."""
        return self.seconds_before + time.monotonic() - self.begun

    def _read(self) -> None:
        try:
            with np.load(self.path) as file:  # np.load refuses pickled objects unless told otherwise
                said = json.loads(str(file["said"]))
                values = [file[str(i)] for i in range(len(file.files) - 1)]
                made_from, history, seconds = said["made_from"], said["history"], float(said["seconds"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            print(f"the interrupted run in {self.path} is damaged: beginning anew")
            return
        names = [name for name in {**made_from, **self.made_from} if made_from.get(name) != self.made_from.get(name)]
        if names:
            changed = [
                name if name.endswith(("photos", "model")) else f"{name} ({made_from.get(name)}, now {now})"
                for name in names
                for now in [self.made_from.get(name)]
            ]
            raise TutorialError(
                f"{self.path} is an interrupted run with other {', '.join(changed)}: give it what it had to continue "
                "it, or --restart to begin anew."
            )
        self.history, self.values, self.seconds_before = history, values, seconds

    def restore(self, network: keras.Model) -> None:
        """Bring a compiled network to where the interrupted run was, if there was one."""
        network.optimizer.build(network.trainable_variables)
        if not self.values:
            return
        variables = _variables(network)
        if [value.shape for value in self.values] != [tuple(variable.shape) for variable in variables]:
            raise TutorialError(f"{self.path} holds another network's numbers: give --restart to begin anew.")
        for variable, value in zip(variables, self.values, strict=True):
            variable.assign(value)
        self.values = []
        print(f"continuing the interrupted run in {self.path}: {self.epochs} of {self.made_from['epochs']} epochs done")

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Keras calls this."""
        for name in ("accuracy", "loss", "val_accuracy", "val_loss"):
            self.history.setdefault(name, []).append(float(logs[name]))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keras calls this. The last epoch is saved only now, since averaged weights are back in their place now."""
        if epoch == self.epochs and epoch:
            self.save()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Keras calls this."""
        self.save()

    def save(self) -> None:
        """Write the file; where that is not possible, say so once and go on without."""
        if self.path is None:
            return
        said = {"made_from": self.made_from, "history": self.history, "seconds": self.seconds}
        numbers = (variable.numpy() for variable in _variables(self.model))
        try:
            with written_whole(self.path) as beside, zipfile.ZipFile(beside, "w") as file:
                # What np.savez writes, array by array, so that there is never a second copy of all of them in memory.
                for name, array in itertools.chain([("said", np.array(json.dumps(said)))], enumerate(numbers)):
                    with file.open(f"{name}.npy", "w", force_zip64=True) as one:
                        np.lib.format.write_array(one, array, allow_pickle=False)
        except TutorialError as error:
            print(f"{str(error).rstrip('.')}: this run could not be continued if it were interrupted")
            self.path = None

    def remove(self) -> None:
        """Nothing is left to be continued."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _variables(network: keras.Model) -> list[keras.Variable]:
    """All numbers that training changes; those of the metrics begin anew each epoch."""
    counted = {id(variable) for variable in network.metrics_variables}
    return [one for one in [*network.variables, *network.optimizer.variables] if id(one) not in counted]
