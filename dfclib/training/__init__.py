"""From a recipe and images to a run: what there is to train with, and `train`."""

from dfclib.training.model import build_model, predict, trainable_parameters
from dfclib.training.start import missing, train

__all__ = ["build_model", "missing", "predict", "train", "trainable_parameters"]
