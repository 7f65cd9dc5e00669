"""Predicted classes and probabilities of some images, in memory (here) and in CSV files."""

from dataclasses import dataclass, replace

import numpy as np

from dfclib.errors import UserError


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predicted classes of some images, with probabilities and true labels where they are known.

    ids: str (n,); predicted: int64 (n,), indices into class_names; probabilities: float32 (n, k) or None;
    labels: int64 (n,), the true classes, or None
    """

    ids: np.ndarray
    predicted: np.ndarray
    class_names: tuple[str, ...]
    probabilities: np.ndarray | None = None
    labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        n, k = len(self.ids), len(self.class_names)
        for name, shape in {"ids": (n,), "predicted": (n,), "probabilities": (n, k), "labels": (n,)}.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{n} ids and {k} classes but {name} of shape {array.shape}")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: np.ndarray) -> "Predictions":
        """The rows at `indices`, in that order."""
        arrays = {name: getattr(self, name) for name in ("ids", "predicted", "probabilities", "labels")}
        return replace(self, **{name: array[indices] for name, array in arrays.items() if array is not None})

    def require_labels(self) -> np.ndarray:
        """The true classes, int64 (n,). Raises UserError where they are not known, or there are no images."""
        if self.labels is None:
            raise UserError("these predictions come without true labels: there is nothing to compare them with")
        if not len(self):
            raise UserError("there are no predictions: the split is empty")
        return self.labels

    def require_probabilities(self) -> np.ndarray:
        """The probabilities, float32 (n, k). Raises UserError where there are labels only."""
        if self.probabilities is None:
            raise UserError("these predictions are labels only, and probabilities are needed")
        return self.probabilities

    @property
    def correct(self) -> np.ndarray:
        """Which predictions are right: bool (n,). Raises UserError as `require_labels` does."""
        return self.require_labels() == self.predicted

    @property
    def accuracy(self) -> float:
        """Share of right predictions. Raises UserError as `require_labels` does."""
        return float(np.mean(self.correct))

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class: float64 (n,). Raises UserError as `require_probabilities` does."""
        return self.require_probabilities()[np.arange(len(self)), self.predicted].astype(np.float64)
