"""S4: convolutional networks for grey 28x28 images of garments.

Both take float32 pixels (n, height, width, channels) in 0..255, normalise inside, and end in float32 logits
(n, classes). The author's project has no public address; its description names layers and widths, the rest is
Keras's defaults or, where the recipe says so, our choice.
"""

from collections.abc import Sequence

import keras
from keras import layers

from dfclib.models.layers import FusedBatchNormalization, Normalisation, logits, pixels_and_normalised


def author_cnn(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation,
    filters: Sequence[int],
    kernel: int,
    dropout: float,
    units: int,
    head_dropout: float,
) -> keras.Model:
    """Blocks of convolution, max pooling, batch normalisation and dropout, then dense layers. filters: a block each."""
    pixels, x = pixels_and_normalised(image_size, channels, normalisation)
    for block, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, kernel, padding="same", activation="relu", name=f"conv{block}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
        x = FusedBatchNormalization(name=f"norm{block}")(x)
        x = layers.Dropout(dropout, name=f"dropout{block}")(x)
    return keras.Model(pixels, logits(_head(x, units, head_dropout), classes), name="fashion_author_cnn")


def double_cnn(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation,
    filters: Sequence[int],
    kernel: int,
    dropouts: Sequence[float],
    units: int,
    head_dropout: float,
) -> keras.Model:
    """Blocks of two convolutions, each normalised before its ReLU. filters, dropouts: a block each."""
    pixels, x = pixels_and_normalised(image_size, channels, normalisation)
    for block, (width, dropout) in enumerate(zip(filters, dropouts, strict=True), start=1):
        for half in "ab":
            name = f"{block}{half}"
            # the normalisation brings its own offset: a bias before it would do nothing
            x = layers.Conv2D(
                width, kernel, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"conv{name}"
            )(x)
            x = FusedBatchNormalization(momentum=0.9, name=f"norm{name}")(x)
            x = layers.ReLU(name=f"relu{name}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
        x = layers.Dropout(dropout, name=f"dropout{block}")(x)
    return keras.Model(pixels, logits(_head(x, units, head_dropout), classes), name="fashion_double_cnn")


def _head(x: keras.KerasTensor, units: int, dropout: float) -> keras.KerasTensor:
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, activation="relu", name="dense1")(x)
    return layers.Dropout(dropout, name="head_dropout")(x)
