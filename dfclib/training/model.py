"""A recipe's network: built with freshly drawn weights, compiled, and asked for predictions."""

import importlib
import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib import pipelines
from dfclib.datasets.images import ImageSet, channel_statistics
from dfclib.errors import UserError
from dfclib.predictions import Predictions
from dfclib.recipes.recipe import Recipe
from dfclib.training.devices import jit_compile, resolve_precision

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Mean and deviation of red, green and blue on 0..1, as torchvision's documentation gives them
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CROSS_ENTROPY = "cross_entropy"


def build_model(recipe: Recipe, channels: int, classes: int, training_images: ImageSet | None = None) -> "keras.Model":
    """Build the recipe's network of float32 pixels 0..255; its first weights depend on the recipe's seed alone.

    Args:
        recipe: its precision `auto` becomes the device's; Keras's own dtype policy stays as it is.
        channels, classes: of the images.
        training_images: those whose mean and deviation a recipe may normalise by; without them the network is the
            same but for these numbers.

    Raises:
        UserError: where the recipe's builder does not exist or does not take its arguments, where the image is too
            small for it, and for ImageNet's statistics of grey images.
    """
    import keras

    from dfclib.models.layers import pixels_and_normalised

    normalisation = _normalisation(recipe, channels, training_images)
    builder = find_builder(recipe)
    keras.utils.set_random_seed(recipe.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(resolve_precision(recipe.precision))
    try:
        pixels, x = pixels_and_normalised(recipe.image_size, channels, normalisation)
        model = keras.Model(pixels, builder(x, classes, **recipe.arguments), name=builder.__name__)
        empty = [layer.name for layer in model.layers if 0 in layer.output.shape]
        if empty:  # newer Kerases refuse by themselves
            raise ValueError(f"nothing is left of the image after layer {empty[0]}: it is too small")
        return model
    except (TypeError, ValueError) as error:
        height, width = recipe.image_size
        raise UserError(
            f"{recipe.builder} cannot build a model for images of {height}x{width} with {channels} channel(s), "
            f"{classes} classes and arguments {recipe.arguments}: {error}"
        ) from error
    finally:
        keras.config.set_dtype_policy(before)


def find_builder(recipe: Recipe) -> Callable[..., Any]:
    """The function that builds the recipe's network. Raises UserError where there is none, or it takes other arguments
    than the recipe's."""
    module, _, name = recipe.builder.rpartition(".")
    try:
        builder = getattr(importlib.import_module(module), name)
        inspect.signature(builder).bind(None, 0, **recipe.arguments)
    except (ImportError, AttributeError) as error:
        raise UserError(f"recipe's builder {recipe.builder!r} does not exist: {error}") from error
    except TypeError as error:
        raise UserError(f"recipe {recipe.name}: {recipe.builder} and arguments {recipe.arguments}: {error}") from error
    return builder


def compiled_model(recipe: Recipe, precision: str, classes: int, images: ImageSet) -> "keras.Model":
    """Build the recipe's network for `images` in `precision`, compiled for training, with its optimizer's variables.

    Beside the loss, which may include label smoothing and L2, the plain cross-entropy is measured.
    """
    import keras

    from dfclib.training import optimisation

    model = build_model(replace(recipe, precision=precision), images.channels, classes, images)
    if recipe.mixes_labels:
        accuracy, cross_entropy = keras.metrics.CategoricalAccuracy, keras.metrics.CategoricalCrossentropy
    else:
        accuracy, cross_entropy = keras.metrics.SparseCategoricalAccuracy, keras.metrics.SparseCategoricalCrossentropy
    model.compile(
        optimizer=optimisation.optimizer(recipe, pipelines.batches_per_epoch(images, recipe)),
        loss=optimisation.loss(recipe),
        metrics=[
            accuracy(name="accuracy"),
            cross_entropy(from_logits=True, name=CROSS_ENTROPY),
        ],
        jit_compile=jit_compile(),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def trainable_parameters(model: "keras.Model") -> int:
    """Count the numbers that training changes by gradient: a batch normalisation's statistics are left out."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def refresh_statistics(model: "keras.Model", batches: "tf.data.Dataset") -> None:
    """Set what each batch normalisation keeps, mean and variance, to their averages over `batches` of training.

    Training leaves those of its last weights there. An average of the weights has other activations, and is worth
    less than either with statistics that are not its own (P. Izmailov et al., UAI 2018, arXiv 1803.05407).
    """
    import keras

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for number, (pixels, _) in enumerate(batches if layers else ()):
        for layer in layers:
            layer.momentum = number / (number + 1)  # a running mean
        model(pixels, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def predict(model: "keras.Model", images: ImageSet, recipe: Recipe) -> Predictions:
    """Predict the classes of `images`; softmax is applied here, in float64, to the network's float32 logits.

    A recipe that says so is asked about each image and its mirror image, whose probabilities are averaged.
    """
    from scipy.special import softmax

    def probabilities(mirrored: bool) -> np.ndarray:
        shown = pipelines.evaluation_dataset(images, recipe, mirrored=mirrored)
        return softmax(model.predict(shown, verbose=0).astype(np.float64), axis=1)

    found = probabilities(mirrored=False)
    if recipe.mirror_averaged:
        found = (found + probabilities(mirrored=True)) / 2
    return Predictions(images.ids, found.argmax(axis=1), images.class_names, found.astype(np.float32), images.labels)


def _normalisation(
    recipe: Recipe, channels: int, images: ImageSet | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel on 0..255; one of each stands for all channels."""
    if recipe.normalisation == "imagenet":
        if channels != 3:
            raise UserError(
                f"recipe {recipe.name} normalises by ImageNet's red, green and blue, and the images have {channels} "
                "channel(s): set normalisation to 'training' in a copy of recipe.json"
            )
        return tuple(tuple(255 * x for x in values) for values in IMAGENET)
    if images is not None and recipe.normalisation in ("training", "training_by_image"):
        by_image = recipe.normalisation == "training_by_image"
        means, deviations = channel_statistics(pipelines.framed(images.images, recipe), by_image)
        return means, tuple(deviation or 1.0 for deviation in deviations)  # a channel of one value is not divided by 0
    return {"half": ((127.5,), (127.5,))}.get(recipe.normalisation, ((0.0,), (255.0,)))
