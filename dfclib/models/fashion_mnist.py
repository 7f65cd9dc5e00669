"""S4: convolutional networks for grey 28x28 images of garments.

Both take float32 pixels (n, height, width, channels) in 0..255, normalise inside, and end in float32 logits
(n, classes). The author's project has no public address; its description names layers and widths, the rest is
Keras's defaults or, where the docstring says so, our choice.
"""

from collections.abc import Sequence

import keras
from keras import layers

from dfclib.models.layers import UNIT, FusedBatchNormalization, Normalisation, logits, pixels_and_normalised


def authors(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation = UNIT,
    filters: Sequence[int] = (32, 64, 128),
    dropout: float = 0.25,
    units: int = 128,
    head_dropout: float = 0.5,
) -> keras.Model:
    """Three blocks of convolution 3x3, max pooling, batch normalisation and dropout, then dense layers.

    Padding, rates of dropout and the width of the dense layer are our choice: the description does not give them.
    """
    pixels, x = pixels_and_normalised(image_size, channels, normalisation)
    for stage, width in enumerate(filters, start=1):
        x = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv{stage}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = FusedBatchNormalization(name=f"norm{stage}")(x)
        x = layers.Dropout(dropout, name=f"dropout{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, activation="relu", name="dense1")(x)
    x = layers.Dropout(head_dropout, name="head_dropout")(x)
    return keras.Model(pixels, logits(x, classes), name="fashion_cnn")


def ours(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation = UNIT,
    filters: Sequence[int] = (32, 64, 128),
    dropouts: Sequence[float] = (0.1, 0.2, 0.3),
    units: int = 256,
    head_dropout: float = 0.4,
) -> keras.Model:
    """The author's three widths, each with two convolutions that are normalised before their ReLU."""
    pixels, x = pixels_and_normalised(image_size, channels, normalisation)
    for stage, (width, dropout) in enumerate(zip(filters, dropouts, strict=True), start=1):
        for half in "ab":
            name = f"{stage}{half}"
            # the normalisation brings its own offset: a bias before it would do nothing
            x = layers.Conv2D(
                width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"conv{name}"
            )(x)
            x = FusedBatchNormalization(momentum=0.9, name=f"norm{name}")(x)
            x = layers.ReLU(name=f"relu{name}")(x)
        x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
        x = layers.Dropout(dropout, name=f"dropout{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, activation="relu", name="dense1")(x)
    x = layers.Dropout(head_dropout, name="head_dropout")(x)
    return keras.Model(pixels, logits(x, classes), name="fashion_cnn_ours")
