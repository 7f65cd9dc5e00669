"""One network trained by one call of Keras's `fit`, into a run folder."""

import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib import pipelines, validation_looks
from dfclib.datasets.images import ImageSet, Splits, held_out_split
from dfclib.errors import UserError
from dfclib.evaluation.metrics import validation_fluctuation
from dfclib.files import sha256, write_json
from dfclib.recipes.recipe import Recipe
from dfclib.recipes.schedules import PlateauRate
from dfclib.runs import Run
from dfclib.training import model as networks
from dfclib.training.devices import environment, resolve_precision
from dfclib.training.files import finish, is_noted, recipe_file

if TYPE_CHECKING:
    import keras

    from dfclib.callbacks import HistoryCSV, ResumableCheckpoint

THEN = ", then "  # between the places of a training that went on elsewhere
SMALL_SHARE = 0.5  # of an image: a crop that shows less is told
# history's column -> Keras's log. `val_loss` in history is the cross-entropy alone; Keras's includes smoothing and L2.
LOGS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "val_loss": f"val_{networks.CROSS_ENTROPY}",
    "val_accuracy": "val_accuracy",
}
# history's column that a recipe may watch -> Keras's log, and which value of it is best
WATCHED = {"val_loss": (LOGS["val_loss"], "min"), "val_accuracy": (LOGS["val_accuracy"], "max")}


def train_network(
    recipe: Recipe, splits: Splits, path: Path, callbacks: "Sequence[keras.callbacks.Callback]", progress: bool
) -> None:
    """Train `recipe` on `splits` into the run folder `path`, going on from its checkpoint where there is one."""
    _make_deterministic()
    images, held_out = held_out_split(splits.train) if recipe.protocol == "held_out" else (splits.train, None)
    watched = {"published": splits.validation, "held_out": held_out, "final": None}[recipe.protocol]
    precision = _precision(recipe, path)
    model = networks.compiled_model(recipe, precision, len(splits.class_names), images)
    _check_disk(path, model)
    write_json(path / "recipe.json", recipe_file(recipe, splits, path.name, _environment(path, precision)))

    history, checkpoint, ours = _callbacks(recipe, path, callbacks, progress)
    if watched is splits.validation and is_noted(recipe, splits):
        ours.append(_note_looks(recipe, path, len(watched)))
    done, shown = checkpoint.load(model), pipelines.epoch_indices(images, recipe)[0]
    if progress:
        resumed = f", going on after epoch {done}" if done else ""
        print(
            f"{path.name}: {networks.trainable_parameters(model):,} parameters, {len(shown):,} images per epoch at "
            f"{_size(recipe.image_size)}, {recipe.epochs} epochs, {precision}{resumed}",
            flush=True,
        )
        if not splits.embedded:
            _warn_of_small_crops(images, recipe)
    if done < recipe.epochs and not checkpoint.has_stopped:
        model.fit(
            pipelines.training_dataset(images, recipe, done + 1, recipe.epochs),
            steps_per_epoch=pipelines.batches_per_epoch(images, recipe),
            validation_data=None if watched is None else pipelines.evaluation_dataset(watched, recipe, labelled=True),
            initial_epoch=done,
            epochs=recipe.epochs,
            class_weight=class_weights(images.labels[shown], len(splits.class_names)) if recipe.class_weights else None,
            shuffle=False,  # the pipeline has shuffled
            callbacks=ours,
            verbose=0,
        )
    history.write()

    checkpoint.load_kept(model)
    if recipe.average_over:
        _seed_dropout(model, recipe)
        model.optimizer.finalize_variable_values(model.trainable_variables)
        networks.refresh_statistics(model, pipelines.training_dataset(images, recipe, recipe.epochs))
    parts = {"validation": splits.validation, "held_out": held_out, "test": splits.test}
    if recipe.reported_split == "held_out":  # what is judged by held-out images leaves the others alone
        parts = {"held_out": held_out}
    predictions = {split: networks.predict(model, part, recipe) for split, part in parts.items() if part is not None}
    _save_model(model, path / "model.keras")
    metrics = _metrics(model, history.rows, checkpoint.kept_epoch, len(shown), path)
    finish(path, recipe, splits, predictions, metrics)
    shutil.rmtree(path / "checkpoint", ignore_errors=True)


def _seed_dropout(model: "keras.Model", recipe: Recipe) -> None:
    """Seed for what follows the last epoch, whether or not this process trained it."""
    from dfclib.callbacks import SeedDropout

    seeding = SeedDropout(recipe.seed)
    seeding.set_model(model)
    seeding.on_epoch_begin(recipe.epochs)


def _make_deterministic() -> None:
    """Let TensorFlow add in one order: else sums in parallel differ from run to run."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _precision(recipe: Recipe, path: Path) -> str:
    """The precision that an unfinished run in `path` was begun with, else the recipe's or the device's."""
    begun = (path / "recipe.json").exists()
    return Run(path).environment["precision"] if begun else resolve_precision(recipe.precision)


def _environment(path: Path, precision: str) -> dict[str, Any]:
    """Where this training runs; where it was begun elsewhere, that comes first: `GPU, then CPU`."""
    now = environment(precision)
    before = Run(path).environment if (path / "recipe.json").exists() else {}
    for name, value in now.items():
        places = before.get(name, value).split(THEN)
        now[name] = THEN.join(places if value in places else [*places, value])
    return now


def _note_looks(recipe: Recipe, path: Path, images: int) -> "keras.callbacks.Callback":
    """Note each epoch's look at validation: whoever watches it may choose by it."""
    from keras.callbacks import LambdaCallback

    def note(epoch: int, logs: dict[str, float]) -> None:
        correct = round(logs["val_accuracy"] * images)
        validation_looks.note(path.parent, f"{path.name}, epoch {epoch + 1}", recipe.fingerprint, correct, images)

    return LambdaCallback(on_epoch_end=note)


def _callbacks(
    recipe: Recipe, path: Path, given: "Sequence[keras.callbacks.Callback]", progress: bool
) -> "tuple[HistoryCSV, ResumableCheckpoint, list[keras.callbacks.Callback]]":
    """The callbacks of a training, in the order in which they must be called, the user's among them."""
    from dfclib import callbacks

    pause = next((each for each in given if isinstance(each, callbacks.Pause)), None)
    watches = recipe.protocol != "final"
    logs = {column: log for column, log in LOGS.items() if watches or not column.startswith("val_")}
    history = callbacks.HistoryCSV(path / "history.csv", logs, pause)
    stateful: list[Any] = [history]  # first: a row has the rate that its epoch was trained with
    schedule, stopping = recipe.schedule, recipe.stopping
    if isinstance(schedule, PlateauRate):
        options = {"factor": schedule.factor, "patience": schedule.patience, "min_delta": schedule.threshold}
        log, mode = WATCHED[schedule.monitor]
        stateful.append(callbacks.ReduceLROnPlateau(log, mode=mode, meaning="torch", **options))
    if stopping is not None:
        log, mode = WATCHED[stopping.monitor]
        stateful.append(callbacks.EarlyStopping(log, mode=mode, patience=stopping.patience))
    stateful += given
    log, mode = WATCHED.get(recipe.keep.removeprefix("best_"), (None, "min"))
    checkpoint = callbacks.ResumableCheckpoint(path / "checkpoint", stateful, keep=log, mode=mode)
    first = [callbacks.StopOnNaN(), callbacks.SeedDropout(recipe.seed)]
    shown = [callbacks.ProgressLine(history)] if progress else []
    return history, checkpoint, [*first, *stateful, checkpoint, *shown]


def _warn_of_small_crops(images: ImageSet, recipe: Recipe) -> None:
    share = pipelines.share_seen(images.size, recipe)
    if share < SMALL_SHARE:
        print(
            f"  a crop of {_size(recipe.image_size)} shows {share:.0%} of each image of {_size(images.size)} pixels: "
            "--image-size reduces the images first",
            flush=True,
        )


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def class_weights(labels: np.ndarray, classes: int) -> dict[int, float]:
    """Weights inversely proportional to how often each class is among `labels` (n,), with mean 1 over these."""
    from sklearn.utils.class_weight import compute_class_weight

    return dict(enumerate(compute_class_weight("balanced", classes=np.arange(classes), y=labels).tolist()))


def _metrics(
    model: "keras.Model", rows: list[dict[str, float]], kept_epoch: int, images_per_epoch: int, path: Path
) -> dict[str, Any]:
    seconds = sum(row["seconds"] for row in rows)
    fluctuation = validation_fluctuation({"val_accuracy": [row.get("val_accuracy", math.nan) for row in rows]})
    return {
        "trainable_parameters": networks.trainable_parameters(model),
        "epochs": len(rows),
        "kept_epoch": kept_epoch,
        "train_accuracy": rows[kept_epoch - 1]["accuracy"],
        "last_train_accuracy": rows[-1]["accuracy"],
        "validation_fluctuation": None if math.isnan(fluctuation) else fluctuation,
        "seconds": round(seconds, 1),
        "images_per_second": round(len(rows) * images_per_epoch / seconds, 1) if seconds else None,
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
