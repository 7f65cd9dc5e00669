"""train(recipe, splits, runs_dir) -> Run: resumable, reproducible, one epoch at a time.

Each epoch is one call of Keras's `fit` on that epoch's own data set. Between two calls nothing lives in Keras but
weights and optimizer, so that a checkpoint of these and of our counters is all there is to restore: a training that
was killed ends with the same weights, bit for bit on one machine's CPU, as one that never was.
"""

import contextlib
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfclib import ensembles, pipelines
from dfclib.callbacks import EarlyStopping, PlateauDecay, class_weights, validation_fluctuation
from dfclib.datasets.images import ImageSet, Splits, held_out_split
from dfclib.errors import UserError
from dfclib.files import locked, sha256, write_json
from dfclib.predictions import Predictions
from dfclib.recipes.recipe import EnsembleRecipe, Recipe
from dfclib.recipes.schedules import PlateauRate
from dfclib.runs import (
    SPLIT_NAMES,
    Run,
    describe_changes,
    run_name,
    write_history,
    write_predictions_file,
)
from dfclib.training.checkpoints import Checkpoint
from dfclib.training.devices import environment, jit_compile, memory_given_back, resolve_precision

if TYPE_CHECKING:
    import keras

SMALL_SHARE = 0.5  # of an image: a crop that shows less is told
# Mean and deviation of red, green and blue on 0..1, as torchvision's documentation gives them
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class OutOfTime(Exception):
    """A training ended before it was finished, because its `control` said so; finished epochs are kept."""


class Control:
    """Says of a training while it goes on whether it shall wait, and whether it is over. This one never does."""

    def wait(self) -> float:
        """Called after every batch: return at once, or when training may go on; the seconds waited."""
        return 0.0

    def is_over(self) -> bool:
        """Called after every epoch but the last: True ends the training there, unfinished."""
        return False


def train(
    recipe: Recipe | EnsembleRecipe,
    splits: Splits,
    runs_dir: Path | str,
    *,
    fresh: bool = False,
    progress: bool = True,
    control: "Control | None" = None,
) -> Run:
    """Train `recipe` on `splits` and return its run; finished already: return it; unfinished: go on.

    An EnsembleRecipe trains the members that are not there yet and votes. progress: print a line an epoch.
    control: asked whether to wait and whether to end; where it ends the training, OutOfTime is raised.
    Raises UserError where the run's folder holds another recipe or other data (unless `fresh`, which trains anew),
    where images do not suit the recipe, where loss is no number any more, and where disk or memory are full;
    finished epochs are kept.
    """
    path = Path(runs_dir) / run_name(recipe, splits.name)
    say = _say if progress else _silent
    missing(recipe, splits, runs_dir, fresh=fresh)  # refuses a vote for its last member before its first one trains
    existing = None if fresh else _existing(path, recipe, splits)
    if existing is not None and existing.is_finished:
        say(f"{path.name}: finished already, nothing to train")
        shutil.rmtree(path / "checkpoint", ignore_errors=True)  # killed in its very last moment
        return existing
    with _locked(path):
        _tidy(path, everything=fresh)
        if Run(path).is_finished:  # by another process, between the look and the lock
            return Run(path)
        if isinstance(recipe, EnsembleRecipe):
            _train_ensemble(recipe, splits, path, fresh, progress, control)
        else:
            with _clear_errors(recipe, path), memory_given_back():
                _train_model(recipe, splits, path, say, control or Control())
    return Run(path)


def missing(
    recipe: Recipe | EnsembleRecipe, splits: Splits, runs_dir: Path | str, *, fresh: bool = False
) -> list[Recipe]:
    """The trainings that `train` would start or go on with: none for a finished run. Does not import Keras.

    A vote whose members are all there has none either. Raises UserError as `train` does where no network is needed to
    know it: images that do not suit, a folder that cannot be written, holds something else or is being trained into.
    """
    _check_data(recipe, splits)
    wanted = list(recipe.members)
    if not fresh:
        if _is_finished(recipe, splits, runs_dir):
            return []
        wanted = [each for each in wanted if not _is_finished(each, splits, runs_dir)]
    for each in [recipe, *wanted]:
        path = Path(runs_dir) / run_name(each, splits.name)
        if each is recipe or path.is_dir():  # members' folders are made when it is their turn
            with _locked(path):
                pass
    return wanted


def _locked(path: Path) -> contextlib.AbstractContextManager[None]:
    return locked(path, ".lock", f"{path} is being trained by another process: wait for it, or stop it")


def _is_finished(recipe: Recipe | EnsembleRecipe, splits: Splits, runs_dir: Path | str) -> bool:
    run = _existing(Path(runs_dir) / run_name(recipe, splits.name), recipe, splits)
    return run is not None and run.is_finished


def build_model(recipe: Recipe, channels: int, classes: int, training_images: ImageSet | None = None) -> "keras.Model":
    """The recipe's network with freshly drawn weights, which depend on the recipe's seed alone.

    training_images: those whose mean and deviation a recipe may normalise by; without them the
    network is what it will be, but for these numbers. Precision `auto` becomes the device's.
    Raises UserError for ImageNet's statistics of grey images.
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


def trainable_parameters(model: "keras.Model") -> int:
    """How many numbers training changes by gradient: a batch normalisation's statistics are left out."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


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
        return pixel_statistics(pipelines.framed(images.images, recipe), recipe.normalisation == "training_by_image")
    return {"half": ((127.5,), (127.5,))}.get(recipe.normalisation, ((0.0,), (255.0,)))


def pixel_statistics(images: np.ndarray, by_image: bool = False) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 (n, height, width, channels), on 0..255.

    All pixels together, exactly; by_image: each image's own mean and (unbiased, as PyTorch's) deviation, averaged over
    the images, which makes the deviation smaller, as differences between images do not count.
    """
    # in blocks of images: all at once would take eight bytes a pixel
    blocks = (images[i : i + 256] for i in range(0, len(images), 256))
    if by_image:
        sums = np.zeros((2, images.shape[3]))
        for block in blocks:
            values = block.reshape(len(block), -1, images.shape[3]).astype(np.float64)
            sums += values.mean(axis=1).sum(axis=0), values.std(axis=1, ddof=1).sum(axis=0)
        means, deviations = sums / len(images)
    else:
        levels = np.arange(256)
        counts = np.zeros((images.shape[3], 256))
        for block in blocks:
            for channel in range(images.shape[3]):
                counts[channel] += np.bincount(block[..., channel].ravel(), minlength=256)
        counts /= counts.sum(axis=1, keepdims=True)
        means = counts @ levels
        deviations = np.sqrt(np.sum(counts * (levels - means[:, None]) ** 2, axis=1))
    return tuple(means.tolist()), tuple(float(deviation) or 1.0 for deviation in deviations)


def predict(model: "keras.Model", images: ImageSet, recipe: Recipe) -> Predictions:
    """What `model` says of `images`; softmax is applied here, in float64, to the network's float32 logits."""
    logits = model.predict(pipelines.evaluation_dataset(images, recipe), verbose=0).astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return Predictions(images.ids, logits.argmax(axis=1), images.class_names, probabilities, images.labels)


def _train_model(recipe: Recipe, splits: Splits, path: Path, say, control: Control) -> None:
    import keras

    from dfclib.models.layers import as_plain_keras
    from dfclib.training import optimisation

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()  # else sums in parallel differ from run to run
    fit_images, held_out = splits.train, None
    if recipe.protocol == "held_out":
        fit_images, held_out = held_out_split(splits.train)
    watched = splits.validation if held_out is None else held_out
    steps = pipelines.batches_per_epoch(fit_images, recipe)

    precision = _precision(recipe, path)
    model = build_model(
        replace(recipe, precision=precision), splits.train.channels, len(splits.class_names), fit_images
    )
    _check_disk(path, model)
    write_json(path / "recipe.json", _recipe_file(recipe, splits, path.name, environment(precision)))
    schedule = optimisation.learning_rate_schedule(recipe, steps)
    model.compile(
        optimizer=optimisation.optimizer(recipe, steps),
        loss=optimisation.loss(recipe),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=jit_compile(),
    )
    model.optimizer.build(model.trainable_variables)
    shown = fit_images.labels[pipelines.shown_in_an_epoch(fit_images, recipe)[0]]
    weights = class_weights(shown, len(splits.class_names)) if recipe.class_weights else None

    stopping = EarlyStopping(recipe)
    plateau = PlateauDecay(recipe.schedule) if isinstance(recipe.schedule, PlateauRate) else None
    checkpoint = Checkpoint(path / "checkpoint", model, stopping, plateau)
    history = checkpoint.restore()
    size = f"{recipe.image_size[0]}x{recipe.image_size[1]}"
    say(
        f"{path.name}: {trainable_parameters(model):,} parameters, {len(shown):,} images an epoch at {size}, "
        f"{recipe.epochs} epochs, {precision}" + (f", going on after epoch {len(history)}" if history else "")
    )
    share = pipelines.share_seen(fit_images.size, recipe)
    if share < SMALL_SHARE and not splits.embedded:
        say(
            f"  a crop of {size} shows {share:.0%} of each image of {fit_images.size[0]}x{fit_images.size[1]} pixels: "
            "--image-size reduces the images first"
        )
    for epoch in range(len(history) + 1, recipe.epochs + 1):
        if history and stopping.should_stop(epoch - 1):
            break
        _seed_dropout(model, recipe.seed, epoch)
        started, waiting = time.monotonic(), _Waiting(control)
        logs = model.fit(
            pipelines.training_dataset(fit_images, recipe, epoch),
            epochs=epoch,
            initial_epoch=epoch - 1,
            class_weight=weights,
            shuffle=False,  # the pipeline has shuffled
            callbacks=[keras.callbacks.TerminateOnNaN(), waiting.callback(), *_batch_progress(epoch, steps, say)],
            verbose=0,
        ).history
        row = {"epoch": epoch, "loss": logs["loss"][-1], "accuracy": logs["accuracy"][-1]}
        if math.isfinite(row["loss"]):
            row |= _loss_and_accuracy(predict(model, watched, recipe))
        # the last step of an epoch can spoil the weights after the last loss was taken: validation shows it
        lost = [name for name in ("loss", "val_loss") if not math.isfinite(row.get(name, 0.0))]
        if lost:
            raise UserError(
                f"{path.name}: the {lost[0]} became {row[lost[0]]} in epoch {epoch} at learning rate "
                f"{_last_rate(model, schedule):.3g}. The {len(history)} epochs before it are kept in {path}. "
                "Lower the schedule's learning_rate (or its factor) in a copy of recipe.json and train that."
            )
        seconds = time.monotonic() - started - waiting.seconds
        row |= {"learning_rate": _last_rate(model, schedule), "seconds": round(seconds, 2)}
        history.append(row)
        if plateau is not None:
            model.optimizer.learning_rate = plateau.next_rate(row["learning_rate"], row)
        checkpoint.save(history, keep=stopping.keeps(epoch, row))
        write_history(path, history)
        say(_progress_line(row, recipe, history))
        if epoch < recipe.epochs and not stopping.should_stop(epoch) and control.is_over():
            raise OutOfTime(f"{path.name}: {epoch} of {recipe.epochs} epochs trained; the rest is for another time")

    kept = stopping.kept_epoch
    checkpoint.restore_best()
    predictions = {"validation": predict(model, splits.validation, recipe)}
    if held_out is not None:
        predictions["held_out"] = predict(model, held_out, recipe)
    if splits.test is not None:
        predictions["test"] = predict(model, splits.test, recipe)
    _save_model(as_plain_keras(model), path / "model.keras")
    seconds = sum(row["seconds"] for row in history)
    fluctuation = validation_fluctuation({"val_accuracy": [row["val_accuracy"] for row in history]})
    _finish(
        path,
        predictions,
        {
            "trainable_parameters": trainable_parameters(model),
            "epochs": len(history),
            "kept_epoch": kept,
            "train_accuracy": history[kept - 1]["accuracy"],
            "last_train_accuracy": history[-1]["accuracy"],
            "validation_fluctuation": None if math.isnan(fluctuation) else fluctuation,
            "seconds": round(seconds, 1),
            "images_per_second": round(len(shown) * len(history) / seconds, 1) if seconds else None,
            "model_sha256": sha256(path / "model.keras"),
        },
        say,
    )
    shutil.rmtree(path / "checkpoint", ignore_errors=True)


def _train_ensemble(
    recipe: EnsembleRecipe, splits: Splits, path: Path, fresh: bool, progress: bool, control: Control | None
) -> None:
    say = _say if progress else _silent
    runs = []
    for number, member in enumerate(recipe.members, start=1):
        say(f"{path.name}: member {number} of {len(recipe.members)}")
        runs.append(train(member, splits, path.parent, fresh=fresh, progress=progress, control=control))
    names = [run.name for run in runs]
    # what the members agree on: a vote over trainings of two devices has none of its own
    shared = dict(runs[0].environment)
    for run in runs[1:]:
        shared = {key: value if run.environment.get(key) == value else None for key, value in shared.items()}
    contents = _recipe_file(recipe, splits, path.name, shared)
    write_json(path / "recipe.json", contents | {"members": names})
    weights = recipe.weights
    if recipe.search_weights:
        weights = ensembles.search_weights([run.predictions("held_out") for run in runs], kind=recipe.vote, names=names)
    predictions = {}
    for split in SPLIT_NAMES:
        if all(split in run.splits for run in runs):
            voters = [run.predictions(split) for run in runs]
            predictions[split] = ensembles.vote(recipe.vote, voters, weights, recipe.seed, names)
    seconds = sum(run.metrics["seconds"] for run in runs)
    metrics = {"seconds": round(seconds, 1)} | ({} if weights is None else {"weights": list(weights)})
    _finish(path, predictions, metrics, say)


def _finish(path: Path, predictions: dict[str, Predictions], metrics: dict[str, Any], say) -> None:
    """Write predictions, then metrics: the file that says that the run is finished."""
    write_predictions_file(path, predictions)
    for split, p in predictions.items():
        if p.labels is not None:
            metrics[split] = {"n": len(p), "correct": int(np.sum(p.predicted == p.labels)), "accuracy": p.accuracy}
    write_json(path / "metrics.json", metrics)
    figures = [f"{split} accuracy {m['accuracy']:.2%}" for split, m in metrics.items() if isinstance(m, dict)]
    say(f"{path.name}: finished, {', '.join(figures)}")


def _existing(path: Path, recipe: Recipe | EnsembleRecipe, splits: Splits) -> Run | None:
    """The run in `path`, or None. Raises UserError where it is of another recipe or other data."""
    if not (path / "recipe.json").exists():
        return None
    run = Run(path)
    changes = []
    if run.recipe_file["recipe_fingerprint"] != recipe.fingerprint:
        changes += describe_changes(run.recipe_dict, recipe.to_dict())
    if run.data["fingerprint"] != splits.fingerprint:
        now = _data_description(splits)
        changes += describe_changes({"data": dict(run.data)}, {"data": now})
    if changes:
        raise UserError(
            f"{path} holds a run of another recipe or of other data:\n  "
            + "\n  ".join(changes)
            + "\nTrain into another folder (--runs), or replace that run with --fresh."
        )
    return run


def _recipe_file(recipe: Recipe | EnsembleRecipe, splits: Splits, name: str, where: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "recipe": recipe.to_dict(),
        "recipe_fingerprint": recipe.fingerprint,
        "data": _data_description(splits),
        "environment": where,
    }


def _data_description(splits: Splits) -> dict[str, Any]:
    return {
        "name": splits.name,
        "fingerprint": splits.fingerprint,
        "embedded": splits.embedded,
        "class_names": list(splits.class_names),
        "image_size": list(splits.train.size),
        "channels": splits.train.channels,
        "counts": {"train": len(splits.train), "validation": len(splits.validation)},
    }


def _check_data(recipe: Recipe | EnsembleRecipe, splits: Splits) -> None:
    for member in recipe.members:
        pipelines.check_size(splits.train, member)
    for name, part in [("training", splits.train), ("validation", splits.validation)]:
        if part.labels is None or not len(part):
            raise UserError(f"the {name} images of {splits.name} have no labels, or there are none: nothing to learn")


def _check_disk(path: Path, model: "keras.Model") -> None:
    path.mkdir(parents=True, exist_ok=True)
    # weights and two Adam moments twice (old and new checkpoint) plus best weights twice and the model
    needed, free = 4 * 9 * model.count_params() + 50_000_000, shutil.disk_usage(path).free
    if free < needed:
        raise UserError(
            f"{path}: {free / 1e9:.1f} GB free, but training {model.count_params():,} parameters with checkpoints "
            f"needs {needed / 1e9:.1f} GB. Free some space or take another folder with --runs."
        )


def _tidy(path: Path, everything: bool) -> None:
    """Remove what a killed process left half-written, or everything but the lock. Only under the lock."""
    for item in sorted(path.rglob("*"), reverse=True):  # what is in a folder comes before the folder
        half_written = item.name.startswith(".") and item.name.endswith((".tmp", "-model.keras"))
        if item.is_dir() and not item.is_symlink():
            if everything:
                item.rmdir()
        elif half_written or (everything and item.name != ".lock"):
            item.unlink()


@contextlib.contextmanager
def _clear_errors(recipe: Recipe, path: Path) -> Iterator[None]:
    try:
        yield
    except (UserError, OutOfTime):
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        # TensorFlow and JAX each have an error class of their own for this, which only their import would name
        if isinstance(error, MemoryError) or any(s in text for s in ("ResourceExhausted", "RESOURCE_EXHAUSTED", "OOM")):
            raise UserError(
                f"{path.name}: out of memory with batches of {recipe.batch_size} images of "
                f"{recipe.image_size[0]}x{recipe.image_size[1]}. Finished epochs are kept in {path}. Lower batch_size "
                "or image_size in a copy of recipe.json, take a smaller scale, or close other programs."
            ) from error
        if isinstance(error, OSError) and "No space left" in text:
            raise UserError(f"{path}: disk full; finished epochs are kept. Free some space and go on.") from error
        raise


def _seed_dropout(model: "keras.Model", seed: int, epoch: int) -> None:
    """Set each layer's random state from (seed, epoch, layer): a .keras file and a checkpoint leave it out."""
    for number, layer in enumerate(model.layers):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            state = np.random.SeedSequence([seed, epoch, number]).generate_state(1)[0]
            generator.state.assign(np.array([state, 0], np.uint32))


def _precision(recipe: Recipe, path: Path) -> str:
    """What an unfinished run in `path` was begun with, else what the recipe wants, else what suits the device."""
    if not (path / "recipe.json").exists():
        return resolve_precision(recipe.precision)
    begun = Run(path).environment["precision"]
    if recipe.precision not in ("auto", begun):
        raise UserError(
            f"{path} was begun in {begun}, received precision {recipe.precision}: leave it out to go on, or train "
            "anew with --fresh"
        )
    return begun


class _Waiting:
    """Lets `control` hold the training after a batch, and counts the seconds."""

    def __init__(self, control: Control) -> None:
        self.control, self.seconds = control, 0.0

    def callback(self) -> "keras.callbacks.Callback":
        import keras

        def after_batch(batch: int, logs: dict[str, float] | None) -> None:
            self.seconds += self.control.wait()

        return keras.callbacks.LambdaCallback(on_train_batch_end=after_batch)


def _last_rate(model: "keras.Model", schedule: Any) -> float:
    """The learning rate of the last step taken; a schedule's own answer would be the next step's."""
    if not callable(schedule):
        return float(np.asarray(model.optimizer.learning_rate))
    return float(np.asarray(schedule(int(model.optimizer.iterations) - 1)))


def _loss_and_accuracy(predictions: Predictions) -> dict[str, float]:
    """val_loss: cross-entropy alone, without the L2 terms that the training loss has."""
    right = predictions.probabilities[np.arange(len(predictions)), predictions.labels].astype(np.float64)
    loss = -np.mean(np.log(np.maximum(right, np.finfo(np.float32).tiny)))
    return {"val_loss": float(loss), "val_accuracy": predictions.accuracy}


def _save_model(model: "keras.Model", path: Path) -> None:
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        model.save(temporary, include_optimizer=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _progress_line(row: dict[str, float], recipe: Recipe, history: list[dict[str, float]]) -> str:
    left = (recipe.epochs - row["epoch"]) * sum(r["seconds"] for r in history) / len(history)
    return (
        f"  epoch {row['epoch']}/{recipe.epochs}  loss {row['loss']:.3f}  accuracy {row['accuracy']:.3f}  "
        f"val_loss {row['val_loss']:.3f}  val_accuracy {row['val_accuracy']:.3f}  "
        f"learning rate {row['learning_rate']:.2e}  {row['seconds']:.0f} s, at most {_duration(left)} left"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _batch_progress(epoch: int, steps: int, say) -> list:
    """A line that is rewritten every two seconds, where somebody is watching."""
    import keras

    if say is _silent or not sys.stdout.isatty():
        return []
    last = time.monotonic()

    def show(batch: int, logs: dict[str, float] | None) -> None:
        nonlocal last
        if time.monotonic() - last > 2:
            last = time.monotonic()
            print(f"\r  epoch {epoch}: {100 * (batch + 1) / steps:.0f}%  loss {logs['loss']:.3f} ", end="", flush=True)

    def wipe(batch: int, logs: dict[str, float] | None) -> None:
        print("\r" + " " * 60 + "\r", end="", flush=True)

    return [keras.callbacks.LambdaCallback(on_train_batch_end=show, on_epoch_end=wipe)]


def _say(text: str) -> None:
    print(text, flush=True)


def _silent(text: str) -> None:
    pass
