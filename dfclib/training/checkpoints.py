"""The checkpoint of an unfinished training: whole at any moment, whenever the process dies."""

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib.callbacks import EarlyStopping, PlateauDecay
from dfclib.errors import UserError
from dfclib.files import read_json, write_atomically, write_json

if TYPE_CHECKING:
    import keras

# what numpy raises for a file that is cut short, overwritten or none of its own
UNREADABLE = (ValueError, OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class Checkpoint:
    """Weights, optimizer, best weights and counters of the last finished epoch, in one folder.

    The arrays of an epoch go to files of their own names; `state.json`, replaced in one step, says which ones count.
    So whenever the process dies, state.json names files that are whole.
    """

    def __init__(
        self, folder: Path, model: "keras.Model", stopping: EarlyStopping, plateau: PlateauDecay | None = None
    ) -> None:
        self.folder, self.model, self.stopping, self.plateau = folder, model, stopping, plateau
        self.best_file: str | None = None

    def save(self, history: list[dict[str, float]], keep: bool) -> None:
        """Make `history`'s last epoch the one to go on from; keep: its weights are also the ones to keep."""
        epoch = len(history)
        last_file = f"epoch-{epoch:04d}.npz"
        optimizer = [np.asarray(variable) for variable in self.model.optimizer.variables]
        self._write(last_file, weights=self.model.get_weights(), optimizer=optimizer)
        if self.stopping.keeps_by is None:
            self.best_file = last_file
        elif keep:
            self.best_file = f"best-{epoch:04d}.npz"
            self._write(self.best_file, weights=self.model.get_weights())
        state = {"last": last_file, "best": self.best_file, "history": history, "stopping": self.stopping.state()}
        if self.plateau is not None:
            state["plateau"] = self.plateau.state()
        write_json(self.folder / "state.json", state)
        for path in self.folder.glob("*.npz"):
            if path.name not in (last_file, self.best_file):
                path.unlink()

    def restore(self) -> list[dict[str, float]]:
        """Put the model, its optimizer and the stopping back as they were; the epochs done so far (none: []).

        Raises UserError where a file is damaged or is of another network. None is changed: what can be saved still is.
        """
        if not (self.folder / "state.json").exists():
            return []
        try:
            return self._restore(read_json(self.folder / "state.json"))
        except (UserError, *UNREADABLE, KeyError, TypeError, AttributeError) as error:
            what = f"{type(error).__name__}: {str(error)[:200]}" if not isinstance(error, UserError) else error
            raise UserError(
                f"the checkpoint in {self.folder} is damaged, or of another version of dfclib ({what}). Nothing was "
                "changed, and history.csv beside it tells of the epochs before. Put back a whole copy of the folder "
                "if there is one, or train anew with --fresh."
            ) from error

    def _restore(self, state: dict[str, Any]) -> list[dict[str, float]]:
        history = state["history"]
        for number, row in enumerate(history, start=1):
            if row["epoch"] != number or not all(isinstance(value, int | float) for value in row.values()):
                raise ValueError(f"state.json: history's row {number} is no epoch's")
        arrays = self._read(state["last"])
        self.model.set_weights(arrays["weights"])
        for variable, value in zip(self.model.optimizer.variables, arrays["optimizer"], strict=True):
            variable.assign(value)
        self.stopping.restore(state["stopping"])
        if self.plateau is not None:
            self.plateau.restore(state["plateau"])
        self.best_file = state["best"]
        best = arrays if self.best_file == state["last"] else self._read(self.best_file)
        shapes = [[a.shape for a in part["weights"]] for part in (arrays, best)]
        if shapes[0] != shapes[1]:  # else found after the last epoch, when all of them are trained
            raise ValueError(f"{self.best_file} holds weights of other shapes than {state['last']}")
        return history

    def restore_best(self) -> None:
        """Give the model the weights to keep."""
        self.model.set_weights(self._read(self.best_file)["weights"])

    def _write(self, name: str, **groups: list[np.ndarray]) -> None:
        arrays = {f"{group}/{i:04d}": a for group, values in groups.items() for i, a in enumerate(values)}
        write_atomically(self.folder / name, lambda file: np.savez(file, **arrays))

    def _read(self, name: str) -> dict[str, list[np.ndarray]]:
        groups: dict[str, list[np.ndarray]] = {}
        with np.load(self.folder / name) as arrays:
            for key in sorted(arrays.files):
                groups.setdefault(key.split("/")[0], []).append(arrays[key])
        return groups
