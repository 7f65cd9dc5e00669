"""S4: convolutional networks for grey 28x28 images of garments.

The author's project has no public address; its description names layers and widths, the rest is Keras's defaults or,
where the recipe says so, our choice.
"""

from keras import KerasTensor, layers

from dfclib.models.layers import Floats, FusedBatchNormalization, Ints, logits


def author_cnn(
    x: KerasTensor, classes: int, *, filters: Ints, kernel: int, dropout: float, units: int, head_dropout: float
) -> KerasTensor:
    """Blocks of convolution, pooling, batch normalisation and dropout, then dense layers. filters: one per block."""
    for block, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, kernel, padding="same", activation="relu", name=f"conv{block}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
        x = FusedBatchNormalization(name=f"norm{block}")(x)
        x = layers.Dropout(dropout, name=f"dropout{block}")(x)
    return _head(x, classes, units, head_dropout)


def double_cnn(
    x: KerasTensor, classes: int, *, filters: Ints, kernel: int, dropouts: Floats, units: int, head_dropout: float
) -> KerasTensor:
    """Blocks of two convolutions, each normalised before its ReLU. filters, dropouts: one per block."""
    # the normalisation brings its own offset: a bias before it would do nothing
    options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    for block, (width, dropout) in enumerate(zip(filters, dropouts, strict=True), start=1):
        for name in (f"{block}a", f"{block}b"):
            x = layers.Conv2D(width, kernel, name=f"conv{name}", **options)(x)
            x = FusedBatchNormalization(momentum=0.9, name=f"norm{name}")(x)
            x = layers.ReLU(name=f"relu{name}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
        x = layers.Dropout(dropout, name=f"dropout{block}")(x)
    return _head(x, classes, units, head_dropout)


def _head(x: KerasTensor, classes: int, units: int, dropout: float) -> KerasTensor:
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, activation="relu", name="dense1")(x)
    return logits(layers.Dropout(dropout, name="head_dropout")(x), classes)
