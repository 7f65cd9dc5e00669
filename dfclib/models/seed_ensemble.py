"""S3: one network, trained several times with small changes. Its layers are S2's with other numbers.

Source: https://github.com/stefanvoica/Deepfake-detection
"""

from collections.abc import Sequence

import keras

from dfclib.models import cnn_and_mlp
from dfclib.models.layers import UNIT, Normalisation


def convolutional(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation = UNIT,
    filters: Sequence[int] = (32, 64, 128, 256),
    dropout: float = 0.5,
    units: int = 256,
    pool_after: Sequence[int] = (1, 2, 3, 4),
) -> keras.Model:
    """Four blocks, twice dropout .5: 2,750,213 parameters at 100x100, with units=128 1,569,797.

    pool_after: the author's report has four poolings, the description two and not where; (2, 4) is our reading of it.
    """
    return cnn_and_mlp.convolutional(
        image_size=image_size,
        channels=channels,
        classes=classes,
        normalisation=normalisation,
        filters=filters,
        dropout=dropout,
        units=units,
        pool_after=pool_after,
    )


def perceptron(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation = UNIT,
    units: Sequence[int] = (512, 128),
    dropouts: Sequence[float] = (0.3, 0.3),
) -> keras.Model:
    """Two dense layers with ReLU and dropout: 15,426,821 parameters at 100x100."""
    return cnn_and_mlp.perceptron(
        image_size=image_size,
        channels=channels,
        classes=classes,
        normalisation=normalisation,
        units=units,
        negative_slope=0.0,
        dropouts=dropouts,
    )
