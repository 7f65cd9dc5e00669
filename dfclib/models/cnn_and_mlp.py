"""S2 and S3: a convolutional network, and a multilayer perceptron that shows what convolution is worth.

Layers, their order and how they start are the PyTorch originals'.
Sources: https://github.com/andra2602/Deepfake-Classification, https://github.com/stefanvoica/Deepfake-detection
"""

from keras import KerasTensor, layers

from dfclib.models.layers import Floats, Ints, logits, torch_block, torch_dense, torch_initializers


def cnn(
    x: KerasTensor, classes: int, *, filters: Ints, kernel: int, pool_after: Ints, dropouts: Floats, units: int
) -> KerasTensor:
    """Blocks of convolution, batch normalisation and perhaps pooling; flattened; one dense layer.

    filters: one per block; pool_after: blocks, from 1, that end in pooling; dropouts: before and after the dense layer
    """
    for block, width in enumerate(filters, start=1):
        x = torch_block(x, width, kernel, block, pool=block in pool_after)
    before, after = dropouts
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(before, name="dropout1")(x)
    x = torch_dense(x, units, "dense1", activation="relu")
    x = layers.Dropout(after, name="dropout2")(x)
    return logits(x, classes, **torch_initializers(units))


def mlp(x: KerasTensor, classes: int, *, units: Ints, negative_slope: float, dropouts: Floats) -> KerasTensor:
    """Every pixel into dense layers.

    units: one per dense layer; dropouts: after each, 0 for none; negative_slope: LeakyReLU's, 0 for ReLU
    """
    x = layers.Flatten(name="flatten")(x)
    for number, (width, dropout) in enumerate(zip(units, dropouts, strict=True), start=1):
        x = torch_dense(x, width, f"dense{number}")
        x = layers.LeakyReLU(negative_slope, name=f"relu{number}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{number}")(x)
    return logits(x, classes, **torch_initializers(units[-1]))
