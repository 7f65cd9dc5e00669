"""A recipe's network: built with freshly drawn weights, compiled, and asked for predictions."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dfclib import pipelines
from dfclib.datasets.images import ImageSet, channel_statistics
from dfclib.errors import UserError
from dfclib.predictions import Predictions
from dfclib.recipes.recipe import Recipe
from dfclib.training.devices import jit_compile, resolve_precision

if TYPE_CHECKING:
    import keras

# Mean and deviation of red, green and blue on 0..1, as torchvision's documentation gives them
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CROSS_ENTROPY = "cross_entropy"


def build_model(recipe: Recipe, channels: int, classes: int, training_images: ImageSet | None = None) -> "keras.Model":
    """Build the recipe's network; its first weights depend on the recipe's seed alone.

    Args:
        recipe: its precision `auto` becomes the device's.
        channels, classes: of the images.
        training_images: those whose mean and deviation a recipe may normalise by; without them the network is the
            same but for these numbers.

    Raises:
        UserError: for ImageNet's statistics of grey images.
    """
    import keras

    from dfclib.models import build

    keras.utils.set_random_seed(recipe.seed)
    return build(
        recipe.builder,
        recipe.arguments,
        image_size=recipe.image_size,
        channels=channels,
        classes=classes,
        normalisation=_normalisation(recipe, channels, training_images),
        precision=resolve_precision(recipe.precision),
    )


def compiled_model(recipe: Recipe, precision: str, classes: int, images: ImageSet) -> "keras.Model":
    """Build the recipe's network for `images` in `precision`, compiled for training, with its optimizer's variables.

    Beside the loss, which may include label smoothing and L2, the plain cross-entropy is measured.
    """
    import keras

    from dfclib.training import optimisation

    model = build_model(replace(recipe, precision=precision), images.channels, classes, images)
    model.compile(
        optimizer=optimisation.optimizer(recipe, pipelines.batches_per_epoch(images, recipe)),
        loss=optimisation.loss(recipe),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name=CROSS_ENTROPY),
        ],
        jit_compile=jit_compile(),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def trainable_parameters(model: "keras.Model") -> int:
    """Count the numbers that training changes by gradient: a batch normalisation's statistics are left out."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def predict(model: "keras.Model", images: ImageSet, recipe: Recipe) -> Predictions:
    """Predict the classes of `images`; softmax is applied here, in float64, to the network's float32 logits."""
    from scipy.special import softmax

    logits = model.predict(pipelines.evaluation_dataset(images, recipe), verbose=0).astype(np.float64)
    probabilities = softmax(logits, axis=1).astype(np.float32)
    return Predictions(images.ids, logits.argmax(axis=1), images.class_names, probabilities, images.labels)


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
        return channel_statistics(pipelines.framed(images.images, recipe), recipe.normalisation == "training_by_image")
    return {"half": ((127.5,), (127.5,))}.get(recipe.normalisation, ((0.0,), (255.0,)))
