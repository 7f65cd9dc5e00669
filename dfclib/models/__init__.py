"""Builders of networks, one file per system.

A builder takes normalised pixels x (n, height, width, channels), the number of classes and, by name, all of a recipe's
`arguments`; it returns float32 logits (n, classes). Softmax belongs to the loss and to evaluation.
"""

import importlib

import keras

from dfclib.errors import UserError
from dfclib.models.layers import Normalisation, pixels_and_normalised


def build(
    builder: str,
    arguments: dict,
    *,
    image_size: tuple[int, int],
    channels: int,
    classes: int,
    normalisation: Normalisation,
    precision: str = "float32",
) -> keras.Model:
    """Build a model of float32 pixels 0..255 by the function with the dotted name `builder`.

    precision: the dtype policy; the global one is put back, so that it does not leak into the next model.
    Raises UserError where the function does not exist, does not take `arguments`, or the image is too small for it.
    """
    module, _, name = builder.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"recipe's builder {builder!r} does not exist: {error}") from error
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        pixels, x = pixels_and_normalised(image_size, channels, normalisation)
        model = keras.Model(pixels, function(x, classes, **arguments), name=name)
        empty = [layer.name for layer in model.layers if 0 in layer.output.shape]
        if empty:  # newer Kerases refuse by themselves
            raise ValueError(f"nothing is left of the image after layer {empty[0]}: it is too small")
        return model
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{builder} cannot build a model for images of {image_size[0]}x{image_size[1]} with {channels} channel(s), "
            f"{classes} classes and arguments {arguments}: {error}"
        ) from error
    finally:
        keras.config.set_dtype_policy(before)
