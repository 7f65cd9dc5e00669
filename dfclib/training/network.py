"""One network trained by one call of Keras's `fit`, into a run folder."""

import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfclib import pipelines
from dfclib.datasets.images import ImageSet, Splits, held_out_split
from dfclib.errors import UserError
from dfclib.evaluation.metrics import validation_fluctuation
from dfclib.files import sha256, write_json
from dfclib.recipes.recipe import Recipe
from dfclib.recipes.schedules import PlateauRate
from dfclib.runs import Run
from dfclib.training import model as networks
from dfclib.training.devices import environment, resolve_precision
from dfclib.training.files import finish, recipe_file

if TYPE_CHECKING:
    import keras

    from dfclib.callbacks import HistoryCSV, ResumableCheckpoint

SMALL_SHARE = 0.5  # of an image: a crop that shows less is told
# history's column -> Keras's log. `val_loss` in history is the cross-entropy alone; Keras's includes smoothing and L2.
LOGS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "val_loss": f"val_{networks.CROSS_ENTROPY}",
    "val_accuracy": "val_accuracy",
}
MODES = {"val_loss": "min", "val_accuracy": "max"}


@dataclass(frozen=True)
class Parts:
    """The images of one training: what it learns from, what its epochs are judged by, and what was held out."""

    fit: ImageSet
    watched: ImageSet
    held_out: ImageSet | None


def train_network(
    recipe: Recipe,
    splits: Splits,
    path: Path,
    callbacks: "Sequence[keras.callbacks.Callback]",
    say: Callable[[str], None],
    progress: bool,
) -> None:
    """Train `recipe` on `splits` into the run folder `path`, going on from its checkpoint where there is one."""
    _make_deterministic()
    parts = _parts(recipe, splits)
    precision = _precision(recipe, path)
    model = networks.compiled_model(recipe, precision, len(splits.class_names), parts.fit)
    _check_disk(path, model)
    write_json(path / "recipe.json", recipe_file(recipe, splits, path.name, environment(precision)))

    history, checkpoint, ours = _callbacks(recipe, path, callbacks, progress)
    done = checkpoint.load(model)
    _announce(recipe, parts, splits, model, precision, done, path.name, say)
    if done < recipe.epochs and not checkpoint.has_stopped:
        _fit(model, recipe, parts, done, ours, path)
    history.write()

    checkpoint.load_kept(model)
    images = {"validation": splits.validation, "held_out": parts.held_out, "test": splits.test}
    predictions = {split: networks.predict(model, part, recipe) for split, part in images.items() if part is not None}
    _save_model(model, path / "model.keras")
    finish(path, predictions, _metrics(recipe, parts, model, history, checkpoint, path), say)
    shutil.rmtree(path / "checkpoint", ignore_errors=True)


def _make_deterministic() -> None:
    """Let TensorFlow add in one order: else sums in parallel differ from run to run."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _parts(recipe: Recipe, splits: Splits) -> Parts:
    if recipe.protocol == "held_out":
        fit, held_out = held_out_split(splits.train)
        return Parts(fit, held_out, held_out)
    return Parts(splits.train, splits.validation, None)


def _precision(recipe: Recipe, path: Path) -> str:
    """The precision that an unfinished run in `path` was begun with, else the recipe's or the device's."""
    if not (path / "recipe.json").exists():
        return resolve_precision(recipe.precision)
    begun = Run(path).environment["precision"]
    if recipe.precision not in ("auto", begun):
        raise UserError(
            f"{path} was begun in {begun}, received precision {recipe.precision}: leave it out to go on, or train "
            "anew with --fresh"
        )
    return begun


def _callbacks(
    recipe: Recipe, path: Path, given: "Sequence[keras.callbacks.Callback]", progress: bool
) -> "tuple[HistoryCSV, ResumableCheckpoint, list[keras.callbacks.Callback]]":
    """The callbacks of a training, in the order in which they must be called, the user's among them."""
    from dfclib import callbacks

    pause = next((each for each in given if isinstance(each, callbacks.Pause)), None)
    history = callbacks.HistoryCSV(path / "history.csv", LOGS, pause)
    stateful: list[Any] = [history]  # first: a row has the rate that its epoch was trained with
    if isinstance(recipe.schedule, PlateauRate):
        schedule = recipe.schedule
        stateful.append(
            callbacks.ReduceLROnPlateau(
                LOGS[schedule.monitor],
                schedule.factor,
                schedule.patience,
                mode=MODES[schedule.monitor],
                min_delta=schedule.threshold,
                meaning="torch",
            )
        )
    if recipe.stopping is not None:
        monitor, patience = recipe.stopping.monitor, recipe.stopping.patience
        stateful.append(callbacks.EarlyStopping(LOGS[monitor], patience=patience, mode=MODES[monitor]))
    stateful += given
    best = None if recipe.keep == "last" else recipe.keep.removeprefix("best_")
    checkpoint = callbacks.ResumableCheckpoint(
        path / "checkpoint", stateful, keep=best and LOGS[best], mode=MODES.get(best, "min")
    )
    shown = [callbacks.ProgressLine(history)] if progress else []
    return history, checkpoint, [
        callbacks.StopOnNaN(), callbacks.SeedDropout(recipe.seed), *stateful, checkpoint, *shown
    ]  # fmt: skip


def _announce(recipe, parts: Parts, splits: Splits, model, precision: str, done: int, name: str, say) -> None:
    size = f"{recipe.image_size[0]}x{recipe.image_size[1]}"
    shown = len(pipelines.epoch_indices(parts.fit, recipe)[0])
    say(
        f"{name}: {networks.trainable_parameters(model):,} parameters, {shown:,} images per epoch at {size}, "
        f"{recipe.epochs} epochs, {precision}" + (f", going on after epoch {done}" if done else "")
    )
    share, (height, width) = pipelines.share_seen(parts.fit.size, recipe), parts.fit.size
    if share < SMALL_SHARE and not splits.embedded:
        say(
            f"  a crop of {size} shows {share:.0%} of each image of {height}x{width} pixels: "
            "--image-size reduces the images first"
        )


def _fit(model: "keras.Model", recipe: Recipe, parts: Parts, done: int, callbacks: list, path: Path) -> None:
    """One `fit` over the epochs that are left. Raises UserError where a loss is no number."""
    from dfclib.callbacks import NotANumber, OutOfTime

    weights = class_weights(parts.fit, recipe) if recipe.class_weights else None
    try:
        model.fit(
            pipelines.training_dataset(parts.fit, recipe, done + 1, recipe.epochs),
            steps_per_epoch=pipelines.batches_per_epoch(parts.fit, recipe),
            validation_data=pipelines.evaluation_dataset(parts.watched, recipe, labelled=True),
            initial_epoch=done,
            epochs=recipe.epochs,
            class_weight=weights,
            shuffle=False,  # the pipeline has shuffled
            callbacks=callbacks,
            verbose=0,
        )
    except OutOfTime as end:
        raise OutOfTime(f"{path.name}: {end}; the rest is for another time") from end
    except NotANumber as error:
        error.name = {log: column for column, log in LOGS.items()}.get(error.name, error.name)  # as history calls it
        raise UserError(
            f"{path.name}: {error}. The {error.epoch - 1} epochs before it are kept in {path}. "
            "Lower the schedule's learning_rate (or its factor) in a copy of recipe.json and train that."
        ) from error


def class_weights(images: ImageSet, recipe: Recipe) -> dict[int, float]:
    """Weights inversely proportional to how often an epoch shows each class, with mean 1 over what it shows."""
    import numpy as np
    from sklearn.utils.class_weight import compute_class_weight

    labels = images.labels[pipelines.epoch_indices(images, recipe)[0]]
    classes = np.arange(len(images.class_names))
    return dict(enumerate(compute_class_weight("balanced", classes=classes, y=labels).tolist()))


def _metrics(
    recipe: Recipe, parts: Parts, model: "keras.Model", history: "HistoryCSV", checkpoint, path: Path
) -> dict[str, Any]:
    rows, kept = history.rows, checkpoint.kept_epoch
    seconds = sum(row["seconds"] for row in rows)
    images = len(rows) * len(pipelines.epoch_indices(parts.fit, recipe)[0])
    fluctuation = validation_fluctuation({"val_accuracy": [row["val_accuracy"] for row in rows]})
    return {
        "trainable_parameters": networks.trainable_parameters(model),
        "epochs": len(rows),
        "kept_epoch": kept,
        "train_accuracy": rows[kept - 1]["accuracy"],
        "last_train_accuracy": rows[-1]["accuracy"],
        "validation_fluctuation": None if math.isnan(fluctuation) else fluctuation,
        "seconds": round(seconds, 1),
        "images_per_second": round(images / seconds, 1) if seconds else None,
        "model_sha256": sha256(path / "model.keras"),
    }


def _check_disk(path: Path, model: "keras.Model") -> None:
    path.mkdir(parents=True, exist_ok=True)
    # weights and two Adam moments twice (old and new checkpoint) plus best weights twice and the model
    needed, free = 4 * 9 * model.count_params() + 50_000_000, shutil.disk_usage(path).free
    if free < needed:
        raise UserError(
            f"{path}: {free / 1e9:.1f} GB free, but training {model.count_params():,} parameters with checkpoints "
            f"needs {needed / 1e9:.1f} GB. Free some space or take another folder with --runs."
        )


def _save_model(model: "keras.Model", path: Path) -> None:
    from dfclib.models.layers import as_plain_keras

    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        as_plain_keras(model).save(temporary, include_optimizer=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
