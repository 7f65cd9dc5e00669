"""S2: a convolutional network, and a multilayer perceptron as the baseline that shows what convolution is worth.

Both take float32 pixels (n, height, width, channels) in 0..255, normalise inside, and end in float32 logits
(n, classes). Layers, their order and how they start are the PyTorch original's. S3's MLP is the same builder.

Source: https://github.com/andra2602/Deepfake-Classification
"""

from collections.abc import Sequence

import keras
from keras import layers

from dfclib.models.layers import (
    UNIT,
    Normalisation,
    logits,
    pixels_and_normalised,
    torch_block,
    torch_dense,
    torch_start,
)


def convolutional(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation = UNIT,
    filters: Sequence[int] = (16, 32, 64, 128),
    dropout: float = 0.3,
    units: int = 256,
    pool_after: Sequence[int] | None = None,
) -> keras.Model:
    """Blocks of convolution, batch normalisation and pooling; flattened; dropout before and after one dense layer.

    The defaults are S2's CNN, 2,196,613 parameters at 128x128. pool_after: stages, from 1, that end in pooling;
    None: all.
    """
    pixels, x = pixels_and_normalised(image_size, channels, normalisation)
    for stage, width in enumerate(filters, start=1):
        x = torch_block(x, width, stage, pool=pool_after is None or stage in pool_after)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(dropout, name="dropout1")(x)
    x = torch_dense(x, units, "dense1", activation="relu")
    x = layers.Dropout(dropout, name="dropout2")(x)
    return keras.Model(pixels, logits(x, classes, **torch_start(units)), name="cnn")


def perceptron(
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation = UNIT,
    units: Sequence[int] = (1024, 512, 256),
    negative_slope: float = 0.01,
    dropouts: Sequence[float] = (0.0, 0.0, 0.3),
) -> keras.Model:
    """Every pixel into dense layers. The defaults are S2's MLP, 50,990,085 parameters at 128x128.

    negative_slope: LeakyReLU's, 0 for ReLU; dropouts: after each dense layer, 0 for none
    """
    pixels, x = pixels_and_normalised(image_size, channels, normalisation)
    x = layers.Flatten(name="flatten")(x)
    for number, (width, dropout) in enumerate(zip(units, dropouts, strict=True), start=1):
        x = torch_dense(x, width, f"dense{number}")
        x = layers.LeakyReLU(negative_slope, name=f"relu{number}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{number}")(x)
    return keras.Model(pixels, logits(x, classes, **torch_start(units[-1])), name="mlp")
