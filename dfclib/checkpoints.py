"""The checkpoint of an unfinished training: whole at any moment, whenever the process dies."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dfclib.callbacks import EarlyStopping, PlateauDecay
from dfclib.files import read_json, write_atomically, write_json

if TYPE_CHECKING:
    import keras


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
        """Put the model, its optimizer and the stopping back as they were; the epochs done so far (none: [])."""
        if not (self.folder / "state.json").exists():
            return []
        state = read_json(self.folder / "state.json")
        arrays = self._read(state["last"])
        self.model.set_weights(arrays["weights"])
        for variable, value in zip(self.model.optimizer.variables, arrays["optimizer"], strict=True):
            variable.assign(value)
        self.stopping.restore(state["stopping"])
        if self.plateau is not None:
            self.plateau.restore(state["plateau"])
        self.best_file = state["best"]
        return state["history"]

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
