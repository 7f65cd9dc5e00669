"""S1: two complementary networks whose probabilities are averaged.

Layers, their order and how they start are the PyTorch original's.
Source: https://github.com/ghrghbogdan/CNN-Deepfake-Classification
"""

from keras import KerasTensor, layers

from dfclib.models.layers import Ints, logits, torch_block, torch_dense, torch_initializers


def pooled_cnn(
    x: KerasTensor,
    classes: int,
    *,
    filters: Ints,
    kernel: int,
    channel_dropout: float,
    pooled: int,
    units: int,
    dropout: float,
) -> KerasTensor:
    """Blocks of convolution, batch normalisation and pooling; whole channels dropped; an adaptive average pool.

    filters: one per block; pooled: side of the map that the adaptive pool leaves, 1 being a global average
    Any image size that leaves a pixel after the last block will do.
    """
    for stage, width in enumerate(filters, start=1):
        x = torch_block(x, width, kernel, stage)
    x = layers.SpatialDropout2D(channel_dropout, name="channel_dropout")(x)
    if pooled == 1:
        x = layers.GlobalAveragePooling2D(name="global_pool")(x)
    else:
        x = layers.AdaptiveAveragePooling2D(pooled, name="adaptive_pool")(x)
        x = layers.Flatten(name="flatten")(x)
    x = torch_dense(x, units, "dense1", activation="relu")
    x = layers.Dropout(dropout, name="dropout")(x)
    return logits(x, classes, **torch_initializers(units))
