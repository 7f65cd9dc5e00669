"""One training after another in one process keeps no graph of the last, whether it ended well or not."""

import gc
from dataclasses import replace

import pytest
import tensorflow as tf
from conftest import tiny_recipe

from dfclib import devices
from dfclib.errors import UserError
from dfclib.recipes.recipe import ConstantRate
from dfclib.training import train


def live_graphs() -> int:
    gc.collect()
    return sum(isinstance(thing, tf.Graph) for thing in gc.get_objects())


def test_trainings_leave_no_graphs_behind(splits, tmp_path):
    """Each graph that stays costs several megabytes."""
    recipe = replace(tiny_recipe(), epochs=1)
    train(recipe, splits, tmp_path, progress=False)
    before = live_graphs()
    for seed in (1, 2):
        train(recipe.with_options(seed=seed), splits, tmp_path, progress=False)
    assert live_graphs() <= before


def test_a_training_that_fails_leaves_none_either(splits, tmp_path):
    before = live_graphs()
    diverging = replace(tiny_recipe(), epochs=1, schedule=ConstantRate(1e30), batch_size=60)
    with pytest.raises(UserError, match="val_loss became nan"):
        train(diverging, splits, tmp_path, progress=False)
    assert live_graphs() <= before


@tf.custom_gradient
def doubled(x):
    return 2 * x, lambda upstream: 7 * upstream  # no true gradient, so that it can be told from TensorFlow's own


def graph_of_doubled() -> tf.types.experimental.ConcreteFunction:
    return tf.function(doubled).get_concrete_function(tf.TensorSpec(()))


def gradient_of(function) -> float:
    x = tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return float(tape.gradient(y, x))


def test_only_what_came_inside_is_given_back():
    """A function of the user's, whose gradient is first asked for after a training, still has it."""
    function = graph_of_doubled()
    with devices.memory_given_back():
        graph_of_doubled()
    assert gradient_of(function) == 7


def test_given_back_after_an_error_which_is_passed_on():
    before = set(devices._gradient_functions())
    with pytest.raises(ZeroDivisionError), devices.memory_given_back():
        graph_of_doubled()
        assert set(devices._gradient_functions()) > before  # the table is found, and it grew
        raise ZeroDivisionError
    assert set(devices._gradient_functions()) == before


def test_gradients_of_true_operations_stay():
    """A module that TensorFlow loads late, during a training, enters its operations into the same table."""
    with devices.memory_given_back():
        tf.RegisterGradient("LoadedLate")(lambda operation, upstream: upstream)
    assert devices._gradient_functions().pop("LoadedLate")


@pytest.mark.parametrize("missing", [True, False], ids=["gone", "another kind"])
def test_a_tensorflow_without_that_table_costs_no_training(monkeypatch, missing):
    from tensorflow.python.framework import ops

    if missing:
        monkeypatch.delattr(ops, "gradient_registry")
    else:
        monkeypatch.setattr(ops, "gradient_registry", type("Registry", (), {"_registry": ()}))
    with devices.memory_given_back():
        pass
    assert devices._gradient_functions() == {}


def test_environment_names_device_and_versions():
    found = devices.environment("float32")
    assert found["device"] in ("CPU", "GPU")
    assert found["device_name"]
    assert found["precision"] == "float32"
    assert found["backend"] == "tensorflow"
    assert found["tensorflow"] == tf.__version__


def test_no_xla_on_a_cpu(monkeypatch):
    monkeypatch.setattr(devices, "device", lambda: {"kind": "CPU", "name": "a processor"})
    assert devices.jit_compile() is False
    monkeypatch.setattr(devices, "device", lambda: {"kind": "GPU", "name": "a graphics card"})
    assert devices.jit_compile() == "auto"
