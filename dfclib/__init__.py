"""Train, vote and report image classifiers for attributing generated images to their generators."""

__version__ = "0.1.0"
