"""S0: the networks of the six attempts (attempt 3 is a vote over variants of the first two).

Every model takes float32 pixels (n, height, width, channels) in 0..255, normalises inside, and ends in float32 logits
(n, classes): softmax belongs to the loss and to evaluation. Attempts 4, 5 and 6 are one builder: what changed
from one to the next are numbers, and these stand in dfclib/recipes/six_attempts.py.

Source: https://github.com/CezarTulceanu/Deepfake-classification-project
"""

from collections.abc import Sequence

import keras
from keras import layers

from dfclib.models.layers import UNIT, Normalisation, logits, pixels_and_normalised


def plain(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation = UNIT,
    filters: Sequence[int] = (32, 64, 128),
    kernels: Sequence[int] = (3, 3, 3),
    units: int = 256,
) -> keras.Model:
    """Attempt 1: stages of convolution (valid) and pooling, one dense layer. 6,517,317 parameters at 128x128."""
    pixels, x = pixels_and_normalised(image_size, channels, normalisation)
    for stage, (width, kernel) in enumerate(zip(filters, kernels, strict=True), start=1):
        x = layers.Conv2D(width, kernel, activation="relu", name=f"conv{stage}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, activation="relu", name="dense1")(x)
    return keras.Model(pixels, logits(x, classes), name="plain")


def regularised(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation = UNIT,
    filters: Sequence[int] = (32, 64, 128),
    kernels: Sequence[int] = (3, 5, 3),
    dropouts: Sequence[float] = (0.1, 0.2, 0.3),
    head: Sequence[tuple[int, float]] = ((128, 0.4), (64, 0.1)),
) -> keras.Model:
    """Attempt 2: dropout after every stage and dense layer. head: (units, dropout) a layer. 4,329,029 parameters."""
    pixels, x = pixels_and_normalised(image_size, channels, normalisation)
    for stage, (width, kernel, dropout) in enumerate(zip(filters, kernels, dropouts, strict=True), start=1):
        x = layers.Conv2D(width, kernel, padding="same", activation="relu", name=f"conv{stage}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = layers.Dropout(dropout, name=f"dropout{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = _head(x, head)
    return keras.Model(pixels, logits(x, classes), name="regularised")


def two_branches(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation = UNIT,
    filters: Sequence[int] = (32, 64, 128),
    kernels: Sequence[int] = (3, 3, 3),
    dropouts: Sequence[float] = (0.05, 0.05, 0.1),
    branch_filters: int = 16,
    branch_kernel: int = 3,
    head: Sequence[tuple[int, float]] = ((256, 0.2), (128, 0.1)),
    l2: float = 0.0,
) -> keras.Model:
    """Attempts 4, 5 and 6: a main branch whose first stage does not pool, and one coarse look at the input beside it.

    The defaults are attempt 4's, 33,944,069 parameters at 128x128. l2: factor on the sum of squares of every kernel.
    """
    regularizer = keras.regularizers.L2(l2) if l2 else None
    pixels, inputs = pixels_and_normalised(image_size, channels, normalisation)
    x = inputs
    for stage, (width, kernel, dropout) in enumerate(zip(filters, kernels, dropouts, strict=True), start=1):
        x = layers.Conv2D(
            width, kernel, padding="same", activation="relu", kernel_regularizer=regularizer, name=f"conv{stage}"
        )(x)
        if stage > 1:
            x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = layers.Dropout(dropout, name=f"dropout{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    branch = layers.Conv2D(
        branch_filters,
        branch_kernel,
        padding="same",
        activation="relu",
        kernel_regularizer=regularizer,
        name="branch_conv",
    )(inputs)
    branch = layers.AveragePooling2D(16, strides=16, name="branch_pool")(branch)
    branch = layers.Flatten(name="branch_flatten")(branch)
    x = layers.Concatenate(name="join")([x, branch])
    x = _head(x, head, regularizer)
    return keras.Model(pixels, logits(x, classes, kernel_regularizer=regularizer), name="two_branches")


def _head(x: keras.KerasTensor, head: Sequence[tuple[int, float]], regularizer=None) -> keras.KerasTensor:
    for number, (units, dropout) in enumerate(head, start=1):
        x = layers.Dense(units, activation="relu", kernel_regularizer=regularizer, name=f"dense{number}")(x)
        x = layers.Dropout(dropout, name=f"head_dropout{number}")(x)
    return x
