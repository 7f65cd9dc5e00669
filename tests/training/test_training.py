"""train(): what it keeps, what it refuses, and what it says when something breaks."""

import errno
import fcntl
import os
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from fakes import misleading, tiny_images, tiny_recipe

from dfclib import ensembles, pipelines, training
from dfclib.callbacks import OutOfTime, Pause, TimeLimit
from dfclib.datasets.images import Splits, held_out_split
from dfclib.ensembles import hard_vote
from dfclib.errors import UserError
from dfclib.files import read_json, write_json
from dfclib.recipes import find
from dfclib.recipes.recipe import Augmentation, EnsembleRecipe, Stopping
from dfclib.recipes.schedules import ConstantRate, CosineRate, ExponentialRate, PlateauRate, StepRate
from dfclib.runs import Run, find_runs
from dfclib.training import train
from dfclib.training.inference import predict_images

FAST = {"schedule": ConstantRate(3e-3), "epochs": 15}  # learns, and misled unlearns, within seconds
NAME = "tiny-full-tiny-published-seed0"


def log_loss(predictions):
    right = predictions.probabilities[np.arange(len(predictions)), predictions.labels]
    return -np.log(right.astype(np.float64)).mean()


def never(*args, **kwargs):
    raise AssertionError("this must not be called")


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


# finished runs


def test_a_finished_run_learned_and_left_nothing_lying_about(finished):
    assert finished.metrics["epochs"] == finished.metrics["kept_epoch"] == 3
    history = finished.history
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["learning_rate"].to_list() == pytest.approx([1e-3] * 3)
    names = {path.name for path in finished.path.iterdir()} - {".lock"}
    assert names == {"recipe.json", "history.csv", "metrics.json", "probabilities.npz", "model.keras"}


def test_a_finished_run_is_returned_and_not_trained_again(finished, splits, monkeypatch, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.path.iterdir()}
    monkeypatch.setattr("dfclib.training.start.train_network", never)
    run = train(tiny_recipe(), splits, finished.path.parent)
    assert run.path == finished.path
    assert "finished already" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in finished.path.iterdir()} == before


def test_descriptions_and_test_images_may_change(finished, splits):
    described = replace(tiny_recipe(), title="another title", claims={"validation": 0.5})
    assert train(described, replace(splits, test=None), finished.path.parent, progress=False).path == finished.path


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"batch_size": 8}, "batch_size: 16 -> 8"),
        ({"schedule": ConstantRate(0.5)}, "schedule.learning_rate: 0.001 -> 0.5"),
        ({"stopping": Stopping("val_loss", 2)}, 'stopping: null -> {"monitor": "val_loss", "patience": 2}'),
        ({"keep": "best_val_loss"}, 'keep: "last" -> "best_val_loss"'),
        ({"arguments": {"head": [[16, 0.2]]}}, "arguments.filters: [4, 6, 8] -> null"),
    ],
)
def test_another_recipe_is_refused_and_what_differs_is_named(finished, splits, monkeypatch, changes, line):
    monkeypatch.setattr("dfclib.training.start.train_network", never)
    with pytest.raises(UserError) as raised:
        train(replace(tiny_recipe(), **changes), splits, finished.path.parent, progress=False)
    assert f"  {line}\n" in str(raised.value)
    assert "--fresh" in str(raised.value)
    assert finished.is_finished


def test_other_data_are_refused_and_what_differs_is_named(finished, splits, monkeypatch):
    monkeypatch.setattr("dfclib.training.start.train_network", never)
    others = replace(splits, train=tiny_images(13, 0, "train"))
    with pytest.raises(UserError) as raised:
        train(tiny_recipe(), others, finished.path.parent, progress=False)
    assert "data.fingerprint" in str(raised.value)
    assert "data.counts.train: 60 -> 65" in str(raised.value)


def test_fresh_trains_anew_another_recipe_too_and_equal_trainings_are_equal(finished, splits, tmp_path):
    shutil.copytree(finished.path, tmp_path / NAME)
    (tmp_path / NAME / "checkpoint").mkdir()
    (tmp_path / NAME / "checkpoint" / "epoch-0001.npz").write_bytes(b"obsolete")
    run = train(tiny_recipe(), splits, tmp_path, fresh=True, progress=False)
    assert not (run.path / "checkpoint").exists()
    assert run.predictions("validation").probabilities.tobytes() == (
        finished.predictions("validation").probabilities.tobytes()
    )
    assert run.history.drop(columns="seconds").equals(finished.history.drop(columns="seconds"))
    other = train(tiny_recipe(seed=1), splits, tmp_path, progress=False)
    assert other.path.name == NAME.replace("seed0", "seed1")
    assert not np.array_equal(
        other.predictions("validation").probabilities, run.predictions("validation").probabilities
    )


# before anything expensive


@pytest.mark.parametrize("part", ["train", "validation"])
def test_images_without_labels_are_refused(splits, tmp_path, part):
    unlabelled = replace(splits, **{part: replace(getattr(splits, part), labels=None)})
    with pytest.raises(UserError, match="training images|validation images"):
        train(tiny_recipe(), unlabelled, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_crop_larger_than_the_images_is_refused(splits, tmp_path):
    with pytest.raises(UserError, match="20x20 pixels out of each image"):
        train(replace(tiny_recipe(), framing="crop", image_size=(20, 20)), splits, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_too_full_for_the_checkpoints_is_found_before_training(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", never)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(UserError, match=r"0.0 GB free, but training .* parameters with checkpoints needs 0.1 GB"):
        train(tiny_recipe(), splits, tmp_path, progress=False)
    assert not (tmp_path / NAME / "recipe.json").exists()


def test_a_second_training_into_the_same_folder_is_refused(finished, splits, tmp_path, monkeypatch):
    monkeypatch.setattr("dfclib.training.start.train_network", never)
    shutil.copytree(finished.path, tmp_path / NAME)
    (tmp_path / NAME / "metrics.json").unlink()
    with (tmp_path / NAME / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for fresh in (False, True):
            with pytest.raises(UserError, match="is being trained by another process"):
                train(tiny_recipe(), splits, tmp_path, fresh=fresh, progress=False)
        assert (tmp_path / NAME / "model.keras").exists()  # --fresh takes nothing from under the first one's feet
    with pytest.raises(AssertionError, match="must not be called"):  # the first has ended: now it would train
        train(tiny_recipe(), splits, tmp_path, progress=False)


def test_what_is_missing_is_told_without_training(finished, splits, tmp_path):
    recipe, other = tiny_recipe(), tiny_recipe(seed=1)
    vote = EnsembleRecipe("both", "t", "S0", members=(recipe, other))
    assert training.missing(recipe, splits, finished.path.parent) == []
    assert training.missing(recipe, splits, finished.path.parent, fresh=True) == [recipe]
    shutil.copytree(finished.path, tmp_path / NAME)
    assert training.missing(vote, splits, tmp_path) == [other]
    shutil.copytree(finished.path, tmp_path / "tiny-full-tiny-published-seed1")
    with pytest.raises(UserError, match="seed: 0 -> 1"):  # the second voter's folder holds another run
        training.missing(vote, splits, tmp_path)
    assert training.missing(vote, splits, tmp_path, fresh=True) == [recipe, other]


def test_a_vote_is_refused_for_its_last_member_before_the_first_one_trains(finished, splits, tmp_path, monkeypatch):
    monkeypatch.setattr("dfclib.training.start.train_network", never)
    shutil.copytree(finished.path, tmp_path / "tiny-full-tiny-published-seed2")
    members = (tiny_recipe(seed=1), tiny_recipe(seed=2))
    with pytest.raises(UserError, match="seed: 0 -> 2"):
        train(EnsembleRecipe("both", "t", "S0", members=members), splits, tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-full-tiny-published-seed2"]


# what breaks while training


def test_a_loss_that_is_no_number_keeps_the_epochs_before_it(splits, tmp_path):
    # four steps an epoch at 1e-30, 1e-22, 1e-14, 1e-6; then 1e2, 1e10, 1e18, 1e26
    recipe = replace(tiny_recipe(), schedule=ExponentialRate(1e-30, factor=1e8, steps=1))
    for _ in range(2):  # the same command again goes on after epoch 1, and says the same
        with pytest.raises(UserError, match="loss became nan in epoch 2 .*The 1 epochs before it are kept"):
            train(recipe, splits, tmp_path, progress=False)
        run = Run(tmp_path / NAME)
        assert not run.is_finished
        assert run.history["epoch"].to_list() == [1]
        state = read_json(run.path / "checkpoint" / "state.json")
        assert state["last"] == "epoch-0001.npz"
        assert (run.path / "checkpoint" / "epoch-0001.npz").exists()
        assert find_runs(tmp_path) == []


def test_weights_spoilt_by_an_epoch_s_last_step_are_noticed_too(splits, tmp_path):
    recipe = replace(tiny_recipe(), schedule=ConstantRate(1e30), batch_size=60)  # one step an epoch: its loss is fine
    with pytest.raises(UserError, match=r"val_loss became nan in epoch 1 at learning rate 1e\+30"):
        train(recipe, splits, tmp_path, progress=False)
    assert not (tmp_path / NAME / "checkpoint").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "failed to allocate"), "out of memory with batches of 16 images"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating"), "out of memory"),
        (MemoryError(), "out of memory with batches of 16 images of 16x16"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk full; finished epochs are kept"),
    ],
    ids=["tensorflow", "jax", "python", "disk"],
)
def test_full_memory_and_disk_are_told_clearly(splits, tmp_path, monkeypatch, error, message):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(keras.Model, "fit", fail)
    with pytest.raises(UserError, match=message) as raised:
        train(tiny_recipe(), splits, tmp_path, progress=False)
    assert raised.value.__cause__ is error


def test_other_errors_are_not_dressed_up(splits, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(keras.Model, "fit", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        train(tiny_recipe(), splits, tmp_path, progress=False)


def test_a_disk_that_fills_up_keeps_the_epochs_before_and_goes_on_to_the_same_end(
    finished, splits, tmp_path, monkeypatch
):
    original = os.replace

    def fill_up(source, target):
        if str(target).endswith("epoch-0002.npz"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fill_up)
        with pytest.raises(UserError, match="disk full while writing .*epoch-0002.npz"):
            train(tiny_recipe(), splits, tmp_path, progress=False)
    run = Run(tmp_path / NAME)
    assert run.history["epoch"].to_list() == [1]
    (run.path / "checkpoint" / ".epoch-0002.npz.99-abcd.tmp").write_bytes(b"left by a killed process")
    (run.path / ".99-model.keras").write_bytes(b"left by a killed process")
    run = train(tiny_recipe(), splits, tmp_path, progress=False)
    assert np.array_equal(run.predictions("validation").probabilities, finished.predictions("validation").probabilities)
    assert not [path for path in run.path.rglob(".*") if path.name != ".lock"]


# callbacks of the user's own


class Spy(keras.callbacks.Callback):
    """Counts epochs over all its trainings, with a state."""

    epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        self.logs = logs

    def get_state(self):
        return {"epochs": self.epochs}

    def set_state(self, state):
        self.epochs = state["epochs"]


def over(is_over=lambda: True):
    return [TimeLimit(is_over)]


def test_a_callback_of_one_s_own_is_called_and_its_state_goes_on(splits, tmp_path):
    with pytest.raises(OutOfTime):
        train(tiny_recipe(), splits, tmp_path, progress=False, callbacks=[Spy(), *over()])
    spy = Spy()
    train(tiny_recipe(), splits, tmp_path, progress=False, callbacks=[spy, *over(lambda: False)])
    assert spy.epochs == 3
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(spy.logs)


def test_members_of_an_ensemble_get_callbacks_of_their_own_from_a_function_of_the_run_s_name(splits, tmp_path):
    spies = {}

    def make(name):
        spies[name] = Spy()
        return [spies[name]]

    members = tuple(tiny_recipe(seed=seed, epochs=seed + 1) for seed in (0, 1))
    train(EnsembleRecipe("both", "t", "S0", members), splits, tmp_path, progress=False, callbacks=make)
    assert {name: spy.epochs for name, spy in spies.items()} == {NAME: 1, NAME.replace("seed0", "seed1"): 2}


def test_a_callback_of_one_s_own_may_stop_the_training(splits, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    run = train(tiny_recipe(), splits, tmp_path, progress=False, callbacks=[Stop()])
    assert run.is_finished and run.metrics["epochs"] == 1


def test_a_training_that_had_stopped_when_it_was_killed_trains_no_batch_more(splits, tmp_path, monkeypatch):
    still = tiny_recipe(stopping=Stopping("val_loss", 1), schedule=ConstantRate(1e-30), epochs=9)
    with monkeypatch.context() as patch:
        patch.setattr("dfclib.training.network.finish", never)
        with pytest.raises(AssertionError):
            train(still, splits, tmp_path, progress=False)
    assert len(Run(tmp_path / NAME).history) == 2
    monkeypatch.setattr(keras.Model, "fit", never)
    assert train(still, splits, tmp_path, progress=False).metrics["epochs"] == 2


def test_seconds_waited_are_no_training(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(Pause, "wait", lambda self: 1000.0)
    run = train(tiny_recipe(), splits, tmp_path, progress=False, callbacks=[Pause(tmp_path / "paused")])
    # 4,000 s per epoch of four batches were waited, as it says
    assert (run.history["seconds"] < -3000).all() and run.metrics["seconds"] < -9000


def test_a_time_limit_ends_a_training_after_its_epoch_and_it_goes_on_to_the_same_end(finished, splits, tmp_path):
    for epoch in (1, 2):
        with pytest.raises(OutOfTime, match=f"{NAME}: {epoch} of 3 epochs trained"):
            train(tiny_recipe(), splits, tmp_path, progress=False, callbacks=over())
        run = Run(tmp_path / NAME)
        assert run.history["epoch"].to_list() == list(range(1, epoch + 1)) and not run.is_finished
    run = train(tiny_recipe(), splits, tmp_path, progress=False, callbacks=over())  # nothing follows the last epoch
    assert run.is_finished
    assert run.predictions("validation").probabilities.tobytes() == (
        finished.predictions("validation").probabilities.tobytes()
    )


def test_a_time_limit_reaches_a_vote_s_members_and_does_not_cut_short_what_stops_by_itself(splits, tmp_path):
    members = (tiny_recipe(name="one", epochs=1), tiny_recipe(seed=1))
    with pytest.raises(OutOfTime, match="seed1: 1 of 3 epochs"):
        train(EnsembleRecipe("both", "t", "S0", members), splits, tmp_path, progress=False, callbacks=over())
    assert [run.recipe.name for run in find_runs(tmp_path)] == ["one"]
    # nothing is learned: the second epoch is no gain, and the last one
    still = tiny_recipe(name="still", stopping=Stopping("val_loss", 1), schedule=ConstantRate(1e-30), epochs=9)
    answers = iter([False, True])
    run = train(still, splits, tmp_path, progress=False, callbacks=over(lambda: next(answers)))
    assert run.is_finished and run.metrics["epochs"] == 2


# which weights are kept


def test_without_stopping_the_last_epoch_is_kept_even_where_it_is_not_the_best(splits, tmp_path):
    run = train(tiny_recipe(**FAST), misleading(splits), tmp_path, progress=False)
    losses = run.history["val_loss"]
    assert losses.idxmin() != len(losses) - 1
    assert log_loss(run.predictions("validation")) == pytest.approx(losses.iloc[-1], rel=1e-5)


def test_early_stopping_stops_and_the_best_epoch_s_weights_are_the_ones_saved(splits, tmp_path):
    recipe = replace(tiny_recipe(**FAST), stopping=Stopping("val_loss", 2), keep="best_val_loss", epochs=50)
    wrong = misleading(splits)
    run = train(recipe, wrong, tmp_path, progress=False)
    losses = run.history["val_loss"]
    best = int(losses.idxmin()) + 1
    assert run.metrics["kept_epoch"] == best
    assert run.metrics["epochs"] == len(losses) == best + 2 < 50
    assert log_loss(run.predictions("validation")) == pytest.approx(losses.min(), rel=1e-5)
    again = predict_images(run, wrong.validation)
    assert log_loss(again) == pytest.approx(losses.min(), rel=1e-4)  # model.keras has them too


def test_held_out_chooses_on_the_held_out_tenth_and_trains_without_it(splits, tmp_path, monkeypatch):
    trained_on = []
    original = pipelines.training_dataset

    def spy(images, *options):
        trained_on.append(set(images.ids))
        return original(images, *options)

    monkeypatch.setattr(pipelines, "training_dataset", spy)
    recipe = tiny_recipe(
        **FAST | {"protocol": "held_out", "stopping": Stopping("val_loss", 3), "keep": "best_val_loss"}
    )
    run = train(recipe, misleading(splits), tmp_path, progress=False)
    assert run.splits == ("held_out", "validation", "test")
    held_out = run.predictions("held_out")
    expected = held_out_split(splits.train)[1].ids
    assert held_out.ids.tolist() == expected.tolist()
    assert all(ids == set(splits.train.ids) - set(expected) for ids in trained_on)
    # misled by validation, it would have chosen an early epoch
    losses = run.history["val_loss"]
    assert run.metrics["kept_epoch"] == losses.idxmin() + 1
    assert log_loss(held_out) == pytest.approx(losses.min(), rel=1e-5)
    assert log_loss(run.predictions("validation")) > 1.2 * losses.min()


# what goes into fit


def fit_arguments(monkeypatch):
    seen = []
    original = keras.Model.fit

    def spy(self, *args, **kwargs):
        seen.append(kwargs | {"jit_compile": self.jit_compile})
        return original(self, *args, **kwargs)

    monkeypatch.setattr(keras.Model, "fit", spy)
    return seen


def test_class_weights_count_what_an_epoch_shows(splits, tmp_path, monkeypatch):
    seen = fit_arguments(monkeypatch)
    few = splits.train.take(np.flatnonzero((splits.train.labels != 0) | (np.arange(60) < 30)))  # six of class 0
    recipe = replace(tiny_recipe(), epochs=1, class_weights="balanced", class_repeats={"4": 2})
    train(recipe, Splits("few", few, splits.validation), tmp_path, progress=False)
    # shown: 6, 12, 12, 12 and 24 of 66 images in five classes
    expected = {0: 66 / 30, 1: 66 / 60, 2: 66 / 60, 3: 66 / 60, 4: 66 / 120}
    assert seen[0]["class_weight"] == pytest.approx(expected)


def test_bfloat16_trains_to_float32_logits_and_is_recorded(splits, tmp_path, monkeypatch):
    seen = fit_arguments(monkeypatch)
    recipe = replace(tiny_recipe(), epochs=1, precision="mixed_bfloat16")
    run = train(recipe, splits, tmp_path, progress=False)
    assert run.environment["precision"] == "mixed_bfloat16"
    assert seen[0]["class_weight"] is None
    if run.environment["device"] == "CPU" and run.environment["backend"] == "tensorflow":
        assert seen[0]["jit_compile"] is False
    model = keras.saving.load_model(run.model_path, compile=False)
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert model(splits.test.images.astype(np.float32)).dtype == tf.float32
    assert run.predictions("test").probabilities.dtype == np.float32


def test_the_weights_drawn_depend_on_the_seed_alone():
    first = training.build_model(tiny_recipe(), 3, 5).get_weights()
    tf.random.set_seed(99)
    np.random.seed(99)
    again = training.build_model(tiny_recipe(), 3, 5).get_weights()
    other = training.build_model(tiny_recipe(seed=1), 3, 5).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


# normalisation


def grey(images):
    return replace(images, images=images.images[..., :1])


def normalised(model, pixels):
    """What the network sees of pixels (n, 16, 16, channels)."""
    return keras.Model(model.input, model.get_layer("normalisation").output)(pixels.astype(np.float32)).numpy()


def test_half_maps_pixels_to_minus_one_to_one():
    model = training.build_model(tiny_recipe(normalisation="half"), 3, 5)
    x = np.tile(np.array([0, 127.5, 255])[:, None, None, None], (1, 16, 16, 3))
    np.testing.assert_allclose(normalised(model, x)[:, 0, 0, 0], [-1, 0, 1], atol=1e-6)


def test_imagenet_s_statistics_a_channel():
    model = training.build_model(tiny_recipe(normalisation="imagenet"), 3, 5)
    x = np.tile(255 * np.array([0.485, 0.456, 0.406]), (1, 16, 16, 1))
    np.testing.assert_allclose(normalised(model, x), 0, atol=1e-5)
    deviation = 255 * np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(normalised(model, x + 2 * deviation), 2, atol=1e-5)


def test_imagenet_s_statistics_of_grey_images_are_refused(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(keras.Model, "fit", never)
    plain = Splits("grey", grey(splits.train), grey(splits.validation))
    with pytest.raises(UserError, match=r"red, green and blue, and the images have 1 channel\(s\).*'training'"):
        train(tiny_recipe(normalisation="imagenet"), plain, tmp_path, progress=False)
    assert not list(tmp_path.glob("*/recipe.json"))


@pytest.mark.parametrize("protocol", ["published", "held_out"])
def test_training_s_own_statistics_are_those_of_the_images_trained_on(splits, tmp_path, protocol):
    bright = splits.train.images.copy()
    aside = np.isin(splits.train.ids, held_out_split(splits.train)[1].ids)
    bright[aside] = 255  # whoever counted these would see
    images = replace(splits.train, images=bright)
    recipe = replace(tiny_recipe(normalisation="training", protocol=protocol), epochs=1)
    run = train(recipe, Splits("bright", images, splits.validation), tmp_path, progress=False)
    used = bright if protocol == "published" else bright[~aside]
    model = keras.saving.load_model(run.model_path, compile=False)
    seen = normalised(model, used)
    np.testing.assert_allclose(seen.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(seen.std(axis=(0, 1, 2)), 1, atol=1e-4)


@pytest.mark.parametrize("normalisation", ["training", "training_by_image"])
def test_a_channel_of_one_value_is_not_divided_by_zero(splits, normalisation):
    images = replace(splits.train, images=np.full_like(splits.train.images, 7))
    model = training.build_model(tiny_recipe(normalisation=normalisation), 3, 5, images)
    assert (normalised(model, images.images) == 0).all()


# the other systems' ways


def tiny_blocks(**changes):
    """S1's network made tiny: blocks with batch normalisation, channel dropout, label smoothing, L2, a plateau."""
    arguments = find("s1-v1").arguments | {"filters": [4, 6], "units": 8}
    base = replace(find("s1-v1"), name="blocks", image_size=(16, 16), epochs=1, batch_size=16, stopping=None)
    return replace(base, arguments=arguments, claims={}, **changes)


def test_a_network_with_batch_normalisation_is_saved_without_our_layers_and_counted_without_statistics(
    splits, tmp_path
):
    run = train(tiny_blocks(), splits, tmp_path, progress=False)
    model = keras.saving.load_model(run.model_path, compile=False)
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    # convolutions and norms of 4 and 6 channels, 2x2x6 features into 8 units, 5 classes
    assert run.metrics["trainable_parameters"] == (27 * 4 + 4) + 8 + (36 * 6 + 6) + 12 + (24 * 8 + 8) + (8 * 5 + 5)
    again = predict_images(run, splits.validation)
    np.testing.assert_allclose(again.probabilities, run.predictions("validation").probabilities, atol=1e-6)
    assert run.history["val_loss"].iloc[-1] == pytest.approx(log_loss(again), rel=1e-4)  # not smoothed


def test_a_plateau_lowers_the_rate_and_history_says_what_each_epoch_trained_with(splits, tmp_path):
    schedule = PlateauRate(4e-3, 0.5, 0, "val_loss", threshold=0.9)  # nothing after the first epoch is gain enough
    run = train(replace(tiny_blocks(schedule=schedule), epochs=4), splits, tmp_path, progress=False)
    assert run.history["learning_rate"].to_list() == pytest.approx([4e-3, 4e-3, 2e-3, 1e-3])


def test_a_rate_in_steps_stands_in_history_with_the_epochs_that_had_it(splits, tmp_path):
    recipe = replace(tiny_recipe(), schedule=StepRate(1e-3, 0.5, 2), epochs=4)
    run = train(recipe, splits, tmp_path, progress=False)
    assert run.history["learning_rate"].to_list() == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4])


# ensembles


def test_an_ensemble_trains_what_is_missing_and_votes(finished, splits, tmp_path, monkeypatch, capsys):
    shutil.copytree(finished.path, tmp_path / NAME)
    members = tuple(replace(tiny_recipe(seed=seed), epochs=3 if seed == 0 else 1) for seed in (0, 1))
    recipe = EnsembleRecipe("pair", "t", "S0", members=members, seed=4)
    run = train(recipe, splits, tmp_path)
    output = capsys.readouterr().out
    assert f"{NAME}: finished already" in output
    assert "member 2 of 2" in output
    assert run.name == "pair-full-tiny-published-seed4"
    assert run.members == [NAME, NAME.replace("seed0", "seed1")]
    assert len(run.history) == 0
    assert not run.model_path.exists()
    voters = [Run(tmp_path / name).predictions("validation") for name in run.members]
    expected = hard_vote(voters, seed=4)
    assert np.array_equal(run.predictions("validation").predicted, expected.predicted)
    assert run.metrics["validation"]["accuracy"] == expected.accuracy
    assert run.splits == ("validation", "test")
    monkeypatch.setattr("dfclib.training.start.write_vote", never)
    assert train(recipe, splits, tmp_path, progress=False).path == run.path
    with pytest.raises(UserError, match='vote: "hard" -> "soft"'):
        train(replace(recipe, vote="soft"), splits, tmp_path, progress=False)


def test_searched_weights_are_held_out_s_and_are_used_and_kept(splits, tmp_path):
    """One member learned, one did not, and validation would choose otherwise: its labels are wrong."""
    wrong = misleading(splits)
    learned = replace(tiny_recipe(**FAST), protocol="held_out")
    untouched = replace(learned, name="untouched", schedule=ConstantRate(1e-30), epochs=1)
    for vote in ("soft", "geometric"):
        recipe = EnsembleRecipe(vote, "t", "S0", members=(untouched, learned), vote=vote, search_weights=True)
        run = train(recipe, wrong, tmp_path, progress=False)
        members = [Run(tmp_path / name) for name in run.members]
        weights = run.metrics["weights"]
        found = {
            split: ensembles.search_weights([member.predictions(split) for member in members], kind=vote)
            for split in ("held_out", "validation")
        }
        assert weights == list(found["held_out"]) != list(found["validation"])
        assert weights[1] > weights[0]

        # as numpy finds the members' probabilities, and not by this package's vote
        for split in ("held_out", "validation", "test"):
            arrays = [np.load(member.path / "probabilities.npz")[f"{split}_probabilities"] for member in members]
            terms = arrays if vote == "soft" else [np.log(array) for array in arrays]
            mean = sum(weight * term for weight, term in zip(weights, terms, strict=True))
            mean = mean if vote == "soft" else np.exp(mean)
            expected = mean / mean.sum(axis=1, keepdims=True)
            np.testing.assert_allclose(run.predictions(split).probabilities, expected, atol=1e-5)
            assert np.array_equal(run.predictions(split).predicted, expected.argmax(axis=1))
        again = predict_images(run, wrong.validation)
        np.testing.assert_allclose(again.probabilities, run.predictions("validation").probabilities, atol=1e-5)
        assert train(recipe, wrong, tmp_path, progress=False).path == run.path


def test_a_vote_s_own_weights_are_kept_beside_its_figures(finished, splits, tmp_path):
    shutil.copytree(finished.path, tmp_path / NAME)
    members = (tiny_recipe(), replace(tiny_recipe(seed=1), epochs=1))
    weighted = EnsembleRecipe("weighted", "t", "S0", members=members, vote="soft", weights=(0.3, 0.7))
    assert train(weighted, splits, tmp_path, progress=False).metrics["weights"] == [0.3, 0.7]
    alike = replace(weighted, name="alike", weights=None)
    assert "weights" not in train(alike, splits, tmp_path, progress=False).metrics


def pair(**changes):
    """Two members that train for an epoch each, and their vote."""
    members = tuple(tiny_recipe(seed=seed, epochs=1, precision="auto") for seed in (0, 1))
    return EnsembleRecipe("pair", "t", "S0", members, **{"vote": "soft"} | changes)


def test_a_vote_is_taken_again_where_a_member_was_trained_anew_and_not_otherwise(splits, tmp_path, monkeypatch):
    train(pair(), splits, tmp_path, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr("dfclib.training.start.write_vote", never)
        train(pair(), splits, tmp_path, progress=False)
    trained = Run(tmp_path / NAME).environment["precision"]
    other = tiny_recipe(epochs=1, precision="float32" if trained != "float32" else "mixed_bfloat16")
    train(other, splits, tmp_path, progress=False, fresh=True)
    run = train(pair(), splits, tmp_path, progress=False)
    voters = [Run(tmp_path / name).predictions("validation").probabilities for name in run.members]
    np.testing.assert_allclose(run.predictions("validation").probabilities, np.mean(voters, axis=0), atol=1e-6)


def test_a_vote_that_is_trained_anew_and_stopped_goes_on_without_what_was_there_before(splits, tmp_path):
    before = train(pair(), splits, tmp_path, progress=False)
    first, second = (tmp_path / name for name in before.members)
    with pytest.raises(KeyboardInterrupt):
        stopping = keras.callbacks.LambdaCallback(on_train_begin=interrupted)
        of_the_second = {"callbacks": lambda name: [stopping] if name == second.name else []}
        train(pair(), splits, tmp_path, fresh=True, progress=False, **of_the_second)
    assert [Run(path).is_finished for path in (first, second, before.path)] == [True, False, False]
    written = (first / "metrics.json").stat().st_mtime_ns
    assert train(pair(), splits, tmp_path, progress=False).is_finished
    assert (first / "metrics.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("of_the_vote", "of_its_last_member", "words"),
    [
        ({"weights": (0.0, 0.0)}, {}, "not all 0"),
        ({"search_weights": True}, {}, "at most 1 members, received 2"),
        ({}, {"builder": "dfclib.models.nothing.cnn"}, "'dfclib.models.nothing.cnn' does not exist"),
        ({}, {"arguments": {"filters": [4]}}, "missing a required"),
    ],
    ids=["weights", "search", "builder", "arguments"],
)
def test_a_vote_that_cannot_come_about_trains_no_member(
    of_the_vote, of_its_last_member, words, splits, tmp_path, monkeypatch
):
    monkeypatch.setattr("dfclib.training.start.train_network", never)
    monkeypatch.setattr(ensembles, "MOST_SEARCHED", 1)
    first, last = pair().with_options(protocol="held_out").members
    recipe = replace(pair(), members=(first, replace(last, **of_its_last_member)), **of_the_vote)
    with pytest.raises(UserError, match=words):
        train(recipe, splits, tmp_path, progress=False)


def test_a_vote_that_fails_leaves_no_recipe_behind(splits, tmp_path, monkeypatch):
    def fails(*_):
        raise UserError("no vote")

    monkeypatch.setattr(ensembles, "vote", fails)
    with pytest.raises(UserError, match="no vote"):
        train(pair(), splits, tmp_path, progress=False)
    assert not (tmp_path / "pair-full-tiny-published-seed0" / "recipe.json").exists()


# a damaged checkpoint

MISLED = NAME.replace(
    "tiny-published", "misleading-published"
)  # validation is labelled wrongly: the first epoch is best


@pytest.fixture(scope="module")
def unfinished(splits, tmp_path_factory):
    """A run after two of three epochs, the first of which is kept."""
    folder = tmp_path_factory.mktemp("unfinished")
    recipe = tiny_recipe(stopping=Stopping("val_loss", 9), keep="best_val_loss", batch_size=4)
    recipe = replace(recipe, schedule=ConstantRate(5e-3))
    answers = iter([False, True])
    with pytest.raises(OutOfTime):
        train(recipe, misleading(splits), folder, progress=False, callbacks=over(lambda: next(answers)))
    assert {path.name for path in (folder / MISLED / "checkpoint").iterdir()} >= {"best-0001.npz", "epoch-0002.npz"}
    return folder, recipe


def in_state(change):
    def damage(folder):
        state = read_json(folder / "state.json")
        change(state)
        write_json(folder / "state.json", state)

    return damage


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-200])


@pytest.mark.parametrize(
    "damage",
    [
        cut("epoch-0002.npz"),
        cut("best-0001.npz"),
        lambda folder: (folder / "epoch-0002.npz").unlink(),
        lambda folder: (folder / "best-0001.npz").unlink(),
        lambda folder: (folder / "epoch-0002.npz").write_bytes(b""),
        lambda folder: np.savez(folder / "epoch-0002.npz", **{"weights/0000": np.array([print], object)}),
        lambda folder: np.savez(folder / "best-0001.npz", **{"weights/0000": np.zeros((1, 3), np.float32)}),
        lambda folder: (folder / "state.json").write_text("[]"),
        lambda folder: (folder / "state.json").write_text("{}"),
        in_state(lambda state: state.update(last=7)),
        in_state(lambda state: state.update(kept=None)),
        in_state(lambda state: state.update(callbacks={})),
        in_state(lambda state: state.update(callbacks=3)),
        in_state(lambda state: state["callbacks"]["0-HistoryCSV"]["rows"][1].update(loss="low")),
        in_state(lambda state: state["callbacks"]["0-HistoryCSV"]["rows"].pop(0)),
        in_state(lambda state: state["callbacks"].update({"1-EarlyStopping": []})),
    ],
)
def test_a_damaged_checkpoint_is_named_and_left_as_it_is(unfinished, splits, tmp_path, damage):
    folder, recipe = unfinished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    saved = tmp_path / MISLED / "checkpoint"
    damage(saved)
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(UserError, match=r"is damaged.*Nothing was changed.*--fresh"):
        train(recipe, misleading(splits), tmp_path, progress=False, callbacks=over())
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_a_checkpoint_of_another_network_is_refused(unfinished, splits, tmp_path):
    folder, recipe = unfinished
    other = replace(recipe, arguments=recipe.arguments | {"filters": [4, 6, 9]})
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    file = tmp_path / MISLED / "recipe.json"
    write_json(file, read_json(file) | {"recipe_fingerprint": other.fingerprint})
    with pytest.raises(UserError, match="checkpoint is damaged.*--fresh"):
        train(other, misleading(splits), tmp_path, progress=False, callbacks=over())


# the protocol `final`, averaged weights, mirror images


def ours(**changes):
    """Everything that our own recipes have and no author's has, made tiny."""
    mixed = Augmentation(horizontal_flip=True, shift_pixels=2, cutmix=0.5, mixup=0.2, erasing=0.2)
    sgd = {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4, "average_over": 0.5}
    schedule = CosineRate(0.05, floor=0.0, warm_up=0.2)
    options = {"protocol": "final", "mirror_averaged": True, "augmentation": mixed, "schedule": schedule}
    return tiny_blocks(**options | sgd | {"name": "ours", "epochs": 4, "keep": "last"} | changes)


def test_final_trains_on_all_images_watches_none_and_looks_at_validation_once(splits, tmp_path, monkeypatch):
    seen = fit_arguments(monkeypatch)
    run = train(ours(), splits, tmp_path, progress=False)
    assert run.name == "ours-full-tiny-final-seed0"
    assert seen[0]["validation_data"] is None
    assert run.history[["val_loss", "val_accuracy"]].isna().all(axis=None)
    assert run.history["loss"].notna().all()
    assert run.splits == ("validation", "test")
    assert (run.metrics["kept_epoch"], run.metrics["validation_fluctuation"]) == (4, None)


def test_final_s_pipeline_sees_every_training_image(splits, tmp_path, monkeypatch):
    trained_on, original = [], pipelines.training_dataset
    monkeypatch.setattr(pipelines, "training_dataset", lambda i, *o: (trained_on.append(len(i)), original(i, *o))[1])
    train(ours(epochs=1), splits, tmp_path, progress=False)
    assert trained_on == 2 * [len(splits.train)]  # training itself, and then the averaged weights' statistics


def test_an_interrupted_training_of_ours_ends_as_one_in_one_go(splits, tmp_path):
    whole = train(ours(), splits, tmp_path / "whole", progress=False)
    for _ in range(3):
        with pytest.raises(OutOfTime):
            train(ours(), splits, tmp_path / "parts", progress=False, callbacks=over())
    parts = train(ours(), splits, tmp_path / "parts", progress=False)
    assert parts.predictions("validation").probabilities.tobytes() == (
        whole.predictions("validation").probabilities.tobytes()
    )
    assert parts.history.drop(columns="seconds").equals(whole.history.drop(columns="seconds"))


def normalised_after_dropout(x, classes):
    x = keras.layers.BatchNormalization()(keras.layers.Dropout(0.5)(keras.layers.Flatten()(x)))
    return keras.layers.Dense(classes, name="logits", dtype="float32")(x)


def test_the_average_s_statistics_do_not_depend_on_which_process_trained_the_last_epoch(splits, tmp_path, monkeypatch):
    name = "dfclib.models.layers.normalised_after_dropout"
    monkeypatch.setattr(name, normalised_after_dropout, raising=False)
    recipe = replace(ours(epochs=2), builder=name, arguments={})
    whole = train(recipe, splits, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("dfclib.training.model.refresh_statistics", interrupted)
        train(recipe, splits, tmp_path / "parts", progress=False)
    parts = train(recipe, splits, tmp_path / "parts", progress=False)
    one, other = (keras.saving.load_model(run.model_path, compile=False).get_weights() for run in (whole, parts))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class WeightsByStep(keras.callbacks.Callback):
    """The trainable weights after each step."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append([v.numpy() for v in self.model.trainable_variables])


def test_the_finished_network_takes_the_average_of_the_weights_and_validation_the_last_ones(splits, tmp_path):
    steps = WeightsByStep()
    recipe = ours(protocol="published", mirror_averaged=False, average_over=0.3125)  # of 16 steps: 5
    # without batch normalisation, whose statistics the finished network alone has of its own
    recipe = replace(recipe, builder=tiny_recipe().builder, arguments=tiny_recipe().arguments)
    run = train(recipe, splits, tmp_path, progress=False, callbacks=[steps])
    average = steps.seen[0]
    for weights in steps.seen[1:]:
        average = [0.8 * mean + 0.2 * new for mean, new in zip(average, weights, strict=True)]
    model = keras.saving.load_model(run.model_path, compile=False)
    kept = [v.numpy() for v in model.trainable_variables]
    assert len(kept) == len(average)
    for ours_, expected, last in zip(kept, average, steps.seen[-1], strict=True):
        np.testing.assert_allclose(ours_, expected, atol=1e-5)
        assert not np.array_equal(ours_, last)
    for variable, last in zip(model.trainable_variables, steps.seen[-1], strict=True):
        variable.assign(last)
    found = training.predict(model, splits.validation, recipe)
    assert run.history["val_loss"].iloc[-1] == pytest.approx(log_loss(found), rel=1e-3)
    assert log_loss(run.predictions("validation")) != pytest.approx(log_loss(found), rel=1e-3)


def test_averaged_weights_get_statistics_of_their_own_over_the_last_epoch_s_images(splits, tmp_path, monkeypatch):
    recipe = ours(mirror_averaged=False, precision="float32")
    run = train(recipe, splits, tmp_path, progress=False)
    model = keras.saving.load_model(run.model_path, compile=False)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    seen = keras.Model(model.input, norms[0].input)  # what comes before the first one depends on no other
    shown = pipelines.training_dataset(splits.train, run.recipe, run.recipe.epochs)
    batches = [seen(pixels, training=False).numpy().reshape(-1, seen.output.shape[-1]) for pixels, _ in shown]
    means, variances = (np.mean([part(batch, axis=0) for batch in batches], axis=0) for part in (np.mean, np.var))
    np.testing.assert_allclose(norms[0].moving_mean, means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norms[0].moving_variance, variances, rtol=1e-3)
    assert {layer.momentum for layer in norms} == {0.9}

    monkeypatch.setattr("dfclib.training.model.refresh_statistics", lambda *_: None)
    other = train(recipe, splits, tmp_path / "not refreshed", progress=False)
    stale = keras.saving.load_model(other.model_path, compile=False).get_layer(norms[0].name)
    assert not np.allclose(stale.moving_mean, means, rtol=1e-2, atol=1e-3)


def test_predictions_are_averaged_over_an_image_and_its_mirror_image(splits, tmp_path):
    run = train(ours(epochs=2), splits, tmp_path, progress=False)
    images = splits.validation
    alone = replace(run.recipe, mirror_averaged=False)
    model = keras.saving.load_model(run.model_path, compile=False)
    flipped = replace(images, images=np.ascontiguousarray(images.images[:, :, ::-1]))
    one, other = (training.predict(model, part, alone).probabilities for part in (images, flipped))
    assert np.abs(one - other).max() > 1e-4
    found = predict_images(run, images)
    np.testing.assert_allclose(found.probabilities, (one + other) / 2, atol=1e-6)
    np.testing.assert_allclose(run.predictions("validation").probabilities, found.probabilities, atol=1e-5)
    assert np.array_equal(found.predicted, found.probabilities.argmax(axis=1))
