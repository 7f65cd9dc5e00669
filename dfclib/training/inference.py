"""Predictions of a finished run for images that it has not seen, and where in them the answers come from."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dfclib import pipelines
from dfclib.datasets.images import ImageSet
from dfclib.ensembles import vote
from dfclib.errors import UserError
from dfclib.files import sha256
from dfclib.predictions import Predictions
from dfclib.recipes.recipe import COMPETITION, EnsembleRecipe
from dfclib.runs import Run, load_run, run_name
from dfclib.training import predict

if TYPE_CHECKING:
    import keras


def predict_images(run: Run, images: ImageSet, mirror_averaged: bool | None = None) -> Predictions:
    """Predict the classes of `images` with `run`, a single model or an ensemble whose members lie beside it.

    mirror_averaged: whether probabilities are averaged over each image and its mirror image; None: as the recipe says
    Labels are kept where class names are the run's. Call `check_weights` before: here weights are taken as they are.
    Raises UserError where height, width or channels are not those that it was trained on, or weights cannot be loaded.
    """
    size, channels = run.image_size, run.data["channels"]
    if images.size != size or images.channels != channels:
        raise UserError(
            f"run {run.name} was trained on images of {size[0]}x{size[1]} with {channels} channel(s), received "
            f"{images.size[0]}x{images.size[1]} with {images.channels}: convert them first"
        )
    if images.class_names != run.class_names:
        images = replace(images, class_names=run.class_names, labels=None)
    members = [_predict(member, images, mirror_averaged) for member in _networks(run)]
    if not isinstance(run.recipe, EnsembleRecipe):
        return members[0]
    weights = run.metrics.get("weights", run.recipe.weights)
    return vote(run.recipe.vote, members, weights, run.recipe.seed, run.members)


def gradient_maps(run: Run, images: ImageSet, layer: str | None = None) -> np.ndarray:
    """Where in each image a network's answer comes from, by Grad-CAM (R. R. Selvaraju et al., ICCV 2017).

    The channels of a layer are weighted by the gradient of the answer's logit, averaged over rows and columns, and
    added up; what speaks against the answer is cut off. The layer has fewer pixels than the image: maps are coarse.

    Args:
        run: A single model, trained on images of this size.
        images: Few, as their gradients are kept at once; a map is of what the network sees (`pipelines.framed`).
        layer: The name of a layer with rows and columns; None: the last one of the last convolution's size.

    Returns:
        float32 (n, height, width) of the recipe's image size, each from 0 to 1; all 0 where nothing speaks for it.

    Raises:
        UserError: for a vote, for a network without such a layer, and as `check_weights` does.
    """
    import keras
    import tensorflow as tf

    if run.members:
        raise UserError(f"run {run.name} is a vote: ask its members, {', '.join(run.members)}, for their gradient maps")
    check_weights(run)
    network = load_network(run)
    sizes = {one.name: one.output.shape[1:3] for one in network.layers if len(one.output.shape) == 4}
    convolutions = [one.name for one in network.layers if isinstance(one, keras.layers.Conv2D)]
    named = [layer] if layer else [name for name in sizes if convolutions and sizes[name] == sizes[convolutions[-1]]]
    if not named or named[-1] not in sizes:
        raise UserError(f"run {run.name} has no {layer or 'convolution'}: rows and columns are in {', '.join(sizes)}")
    both = keras.Model(network.input, [network.get_layer(named[-1]).output, *network.outputs])
    with tf.GradientTape() as tape:
        channels, logits = both(np.float32(pipelines.framed(images.images, run.recipe)), training=False)
        answers = tf.reduce_max(logits, axis=1)
    weights = tf.reduce_mean(tf.cast(tape.gradient(answers, channels), tf.float32), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(weights * tf.cast(channels, tf.float32), axis=3, keepdims=True))
    maps = tf.image.resize(maps, run.recipe.image_size)[..., 0].numpy()
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-9)


def check_weights(run: Run, runs_dir: Path | str = "runs") -> None:
    """Raise UserError where weights of `run`, or of a member of a vote, are missing or were changed; no Keras needed.

    runs_dir: where the user's own trainings lie, for the command that makes missing weights
    """
    networks = _networks(run)
    lacking = [network for network in networks if not network.model_path.exists()]
    if lacking:
        raise UserError(_how_to_train(run, lacking, runs_dir))
    for network in networks:
        if sha256(network.model_path) != network.metrics.get("model_sha256"):
            hint = "train the run again with --fresh"
            raise UserError(f"{network.model_path} is not the file that the training wrote: {hint}")


def _networks(run: Run) -> list[Run]:
    """The runs whose networks answer for `run`: a vote's members, or the run itself."""
    if not isinstance(run.recipe, EnsembleRecipe):
        return [run]
    members = [load_run(run.path.parent / name) for name in run.members]
    for name, member in zip(run.members, members, strict=True):
        if isinstance(member.recipe, EnsembleRecipe):  # an edited recipe.json could name a vote as its own member
            raise UserError(f"run {run.name} has the member {name}, which is a vote itself: members are single models")
    return members


def _how_to_train(run: Run, lacking: list[Run], runs_dir: Path | str) -> str:
    """The message that `lacking` have no weights, with the commands that make them and where `run` will then lie."""
    voters = ", ".join(member.name for member in lacking)
    who = f"run {run.name} " + (f"votes with {voters}, without weights" if run.members else "has no weights")
    # members are taken from beside their vote: a vote that lies elsewhere must itself come to runs_dir
    trained = lacking if _lies_in(run, runs_dir) else [run]
    commands = "".join(f"\n  {_training_command(each, runs_dir)}" for each in trained)
    data, name = run.data["name"], run_name(run.recipe, run.data["name"])
    folder = ""
    if data == COMPETITION.name:
        folder = "FOLDER holds the competition's images. "
    elif run.recipe.dataset == COMPETITION and not run.data["embedded"]:
        folder = f"FOLDER holds the images and is called {data}, for a run bears its name. "
    elif run.recipe.dataset == COMPETITION and Path("deepfake_data").is_dir():
        folder = "Where there is a folder deepfake_data it trains on that: change to a place without. "
    place = Path(runs_dir) if run.members else Path(runs_dir) / name
    return (
        f"{who} (recorded runs leave out those above 12 MB). This makes them:{commands}\n"
        f"{folder}They will lie in {place}; name the run {name} then: it is looked for in {runs_dir} first."
    )


def _lies_in(run: Run, runs_dir: Path | str) -> bool:
    return run.path.resolve().parent == Path(runs_dir).resolve()


def _training_command(run: Run, runs_dir: Path | str) -> str:
    """The command that trains `run` again, under its name, into `runs_dir`."""
    recipe = run.recipe
    what = shlex.quote(str(run.path / "recipe.json"))
    if run.is_current:
        what = f"{recipe.name} --scale {recipe.scale} --seed {recipe.seed} --protocol {recipe.protocol}"
        what += f" --epochs {recipe.given_epochs}" if recipe.given_epochs else ""
    folder = "FOLDER" if recipe.dataset == COMPETITION else recipe.dataset.name
    data = "" if run.data["embedded"] else f" --data {folder}"
    place = "" if Path(runs_dir) == Path("runs") else f" --runs {shlex.quote(str(runs_dir))}"
    fresh = " --fresh" if _lies_in(run, runs_dir) else ""  # it is finished: without, nothing would be trained
    return f"python -m dfclib train {what}{data}{place}{fresh}"


def _predict(run: Run, images: ImageSet, mirror_averaged: bool | None) -> Predictions:
    mirror_averaged = run.recipe.mirror_averaged if mirror_averaged is None else mirror_averaged
    return predict(load_network(run), images, replace(run.recipe, mirror_averaged=mirror_averaged))


def load_network(run: Run) -> "keras.Model":
    """The network of a single model's run, uncompiled."""
    import keras

    try:
        model = keras.saving.load_model(run.model_path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a file from elsewhere makes Keras raise; code in it is refused, too
        raise UserError(f"{run.model_path} cannot be loaded: {error}. Train the run again with --fresh.") from error
    known, named = model.output_shape[-1], len(run.class_names)
    if known != named:
        apart = f"tells {known} classes apart, and recipe.json beside it names {named}"
        raise UserError(f"{run.model_path} {apart}: they are not of one run")
    return model
