"""S0: the networks of the six attempts (attempt 3 is a vote over variants of the first two).

Every model takes float32 pixels (n, height, width, channels) in 0..255, normalises inside, and ends in float32 logits
(n, classes): softmax belongs to the loss and to evaluation. Attempts 4, 5 and 6 are one builder: what changed
from one to the next are numbers, and every number stands in dfclib/recipes/six_attempts.py.

Source: https://github.com/CezarTulceanu/Deepfake-classification-project
"""

from collections.abc import Sequence

import keras
from keras import layers

from dfclib.models.layers import Normalisation, logits, pixels_and_normalised


def plain_cnn(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation,
    filters: Sequence[int],
    kernels: Sequence[int],
    units: int,
) -> keras.Model:
    """Attempt 1: stages of convolution (valid) and pooling, one dense layer.

    filters, kernels: a stage each
    """
    pixels, x = pixels_and_normalised(image_size, channels, normalisation)
    for stage, (width, kernel) in enumerate(zip(filters, kernels, strict=True), start=1):
        x = layers.Conv2D(width, kernel, activation="relu", name=f"conv{stage}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, activation="relu", name="dense1")(x)
    return keras.Model(pixels, logits(x, classes), name="plain_cnn")


def dropout_cnn(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation,
    filters: Sequence[int],
    kernels: Sequence[int],
    dropouts: Sequence[float],
    head: Sequence[tuple[int, float]],
) -> keras.Model:
    """Attempt 2: dropout after every stage and dense layer.

    filters, kernels, dropouts: a stage each; head: (units, dropout), a dense layer each
    """
    pixels, x = pixels_and_normalised(image_size, channels, normalisation)
    for stage, (width, kernel, dropout) in enumerate(zip(filters, kernels, dropouts, strict=True), start=1):
        x = layers.Conv2D(width, kernel, padding="same", activation="relu", name=f"conv{stage}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = layers.Dropout(dropout, name=f"dropout{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = _head(x, head)
    return keras.Model(pixels, logits(x, classes), name="dropout_cnn")


def two_branch_cnn(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation,
    filters: Sequence[int],
    kernels: Sequence[int],
    dropouts: Sequence[float],
    branch_filters: int,
    branch_kernel: int,
    branch_pool: int,
    head: Sequence[tuple[int, float]],
    hidden_l2: float,
) -> keras.Model:
    """Attempts 4, 5 and 6: a main branch whose first stage does not pool, and one coarse look at the input beside it.

    filters, kernels, dropouts: a stage of the main branch each; head: (units, dropout), a dense layer each
    branch_pool: side and stride in pixels of the second branch's average pooling
    hidden_l2: factor on the sum of squares of every kernel but the output layer's
    """
    regularizer = keras.regularizers.L2(hidden_l2) if hidden_l2 else None
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
    branch = layers.AveragePooling2D(branch_pool, name="branch_pool")(branch)
    branch = layers.Flatten(name="branch_flatten")(branch)
    x = layers.Concatenate(name="join")([x, branch])
    x = _head(x, head, regularizer)
    return keras.Model(pixels, logits(x, classes), name="two_branch_cnn")


def _head(x: keras.KerasTensor, head: Sequence[tuple[int, float]], regularizer=None) -> keras.KerasTensor:
    for number, (units, dropout) in enumerate(head, start=1):
        x = layers.Dense(units, activation="relu", kernel_regularizer=regularizer, name=f"dense{number}")(x)
        x = layers.Dropout(dropout, name=f"head_dropout{number}")(x)
    return x
