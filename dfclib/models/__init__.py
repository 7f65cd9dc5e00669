"""Builders of Keras models, one file per system."""

import importlib
from collections.abc import Callable

import keras

from dfclib.errors import UserError
from dfclib.models.layers import Normalisation


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
    """Call the function with the dotted name `builder` under the dtype policy `precision`.

    normalisation: mean and deviation of each channel on 0..255, or one of each for all channels
    The global policy is put back afterwards: a recipe's precision must not leak into the next model.
    Raises UserError where the function does not exist, does not take `arguments`, or the image is too small for it.
    """
    module, _, name = builder.rpartition(".")
    try:
        function: Callable = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"recipe's builder {builder!r} does not exist: {error}") from error
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = function(
            image_size=image_size, channels=channels, classes=classes, normalisation=normalisation, **arguments
        )
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
