"""S0: the networks of the six attempts (attempt 3 is a vote over variants of the first two).

Attempts 4, 5 and 6 are one builder: what changed from one to the next are numbers, and every number stands in
dfclib/recipes/six_attempts.py. Source: https://github.com/CezarTulceanu/Deepfake-classification-project
"""

from keras import KerasTensor, layers, regularizers

from dfclib.models.layers import FastDropout, Floats, Head, Ints, logits


def plain_cnn(x: KerasTensor, classes: int, *, filters: Ints, kernels: Ints, units: int) -> KerasTensor:
    """Attempt 1: stages of convolution (valid) and pooling, one dense layer. filters, kernels: one per stage."""
    for stage, (width, kernel) in enumerate(zip(filters, kernels, strict=True), start=1):
        x = layers.Conv2D(width, kernel, activation="relu", name=f"conv{stage}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    return logits(layers.Dense(units, activation="relu", name="dense1")(x), classes)


def dropout_cnn(
    x: KerasTensor, classes: int, *, filters: Ints, kernels: Ints, dropouts: Floats, head: Head
) -> KerasTensor:
    """Attempt 2: dropout after every stage and dense layer.

    filters, kernels, dropouts: one per stage; head: (units, dropout) per dense layer
    """
    for stage, (width, kernel, dropout) in enumerate(zip(filters, kernels, dropouts, strict=True), start=1):
        x = layers.Conv2D(width, kernel, padding="same", activation="relu", name=f"conv{stage}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = FastDropout(dropout, name=f"dropout{stage}")(x)
    return _head(layers.Flatten(name="flatten")(x), classes, head)


def two_branch_cnn(
    x: KerasTensor,
    classes: int,
    *,
    filters: Ints,
    kernels: Ints,
    dropouts: Floats,
    branch_filters: int,
    branch_kernel: int,
    branch_pool: int,
    head: Head,
    hidden_l2: float,
) -> KerasTensor:
    """Attempts 4, 5 and 6: a main branch whose first stage does not pool, and one coarse look at the input beside it.

    filters, kernels, dropouts: one per stage of the main branch; head: (units, dropout) per dense layer
    branch_pool: side and stride in pixels of the second branch's average pooling
    hidden_l2: factor on the sum of squares of every kernel but the output layer's
    """
    inputs, regularizer = x, regularizers.L2(hidden_l2) if hidden_l2 else None
    options = {"padding": "same", "activation": "relu", "kernel_regularizer": regularizer}
    for stage, (width, kernel, dropout) in enumerate(zip(filters, kernels, dropouts, strict=True), start=1):
        x = layers.Conv2D(width, kernel, name=f"conv{stage}", **options)(x)
        if stage > 1:
            x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = FastDropout(dropout, name=f"dropout{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    branch = layers.Conv2D(branch_filters, branch_kernel, name="branch_conv", **options)(inputs)
    branch = layers.AveragePooling2D(branch_pool, name="branch_pool")(branch)
    branch = layers.Flatten(name="branch_flatten")(branch)
    return _head(layers.Concatenate(name="join")([x, branch]), classes, head, regularizer)


def _head(x: KerasTensor, classes: int, head: Head, regularizer=None) -> KerasTensor:
    for number, (units, dropout) in enumerate(head, start=1):
        x = layers.Dense(units, activation="relu", kernel_regularizer=regularizer, name=f"dense{number}")(x)
        x = layers.Dropout(dropout, name=f"head_dropout{number}")(x)
    return logits(x, classes)
