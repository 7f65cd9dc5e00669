"""What a device is taken for, how it trains in the precision that suits it, and what a training leaves behind: one
after another in one process keeps no graph of the last, whether it ended well or not."""

import gc
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from fakes import tiny_recipe

from dfclib.callbacks import OutOfTime, TimeLimit
from dfclib.errors import UserError
from dfclib.files import read_json, write_json
from dfclib.recipes.schedules import ConstantRate, ExponentialRate
from dfclib.training import devices, network, train


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
    with devices.release_memory():
        graph_of_doubled()
    assert gradient_of(function) == 7


def test_given_back_after_an_error_which_is_passed_on():
    before = set(devices._gradient_functions())
    with pytest.raises(ZeroDivisionError), devices.release_memory():
        graph_of_doubled()
        assert set(devices._gradient_functions()) > before  # the table is found, and it grew
        raise ZeroDivisionError
    assert set(devices._gradient_functions()) == before


def test_gradients_of_true_operations_stay():
    """A module that TensorFlow loads late, during a training, enters its operations into the same table."""
    with devices.release_memory():
        tf.RegisterGradient("LoadedLate")(lambda operation, upstream: upstream)
    assert devices._gradient_functions().pop("LoadedLate")


@pytest.mark.parametrize("missing", [True, False], ids=["gone", "another kind"])
def test_a_tensorflow_without_that_table_costs_no_training(monkeypatch, missing):
    from tensorflow.python.framework import ops

    if missing:
        monkeypatch.delattr(ops, "gradient_registry")
    else:
        monkeypatch.setattr(ops, "gradient_registry", type("Registry", (), {"_registry": ()}))
    with devices.release_memory():
        pass
    assert devices._gradient_functions() == {}


def test_environment_names_device_and_versions():
    found = devices.environment("float32")
    assert found["device"] in ("CPU", "GPU")
    assert found["device_name"]
    assert found["precision"] == "float32"
    assert found["backend"] == "tensorflow"
    assert found["tensorflow"] == tf.__version__


# what trains here

CPU, GPU = {"kind": "CPU", "name": "a processor"}, {"kind": "GPU", "name": "a graphics card"}


def test_no_xla_on_a_cpu(monkeypatch):
    monkeypatch.setattr(devices, "device", lambda: CPU)
    assert devices.jit_compile() is False
    monkeypatch.setattr(devices, "device", lambda: GPU)
    assert devices.jit_compile() == "auto"


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 7}, raising=False)
    assert devices.cores() == 3


@pytest.mark.parametrize(("counted", "expected"), [(7, 7), (None, 1)])
@pytest.mark.parametrize("answer", ["none", "error"])
def test_cores_where_the_system_does_not_tell_a_process_s_own(monkeypatch, answer, counted, expected):
    """macOS and Windows have no os.sched_getaffinity."""

    def refuse(process):
        raise OSError("not here")

    monkeypatch.setattr(os, "sched_getaffinity", refuse, raising=False)
    if answer == "none":
        monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert devices.cores() == expected


def test_priority_is_lowered_where_the_system_has_such_a_thing(monkeypatch):
    asked = []
    monkeypatch.setattr(os, "nice", asked.append, raising=False)
    devices.lower_priority(7)
    assert asked == [7]
    devices.lower_priority(0)
    assert asked == [7]
    monkeypatch.delattr(os, "nice")  # Windows
    devices.lower_priority(7)


@pytest.mark.parametrize(
    ("embedded", "found", "scale"),
    [(True, CPU, "quick"), (True, GPU, "quick"), (False, CPU, "compact"), (False, GPU, "full")],
)
def test_the_scale_where_nobody_asked_for_one(monkeypatch, embedded, found, scale):
    monkeypatch.setattr(devices, "device", lambda: found)
    assert devices.default_scale(embedded) == scale
    assert devices.has_gpu() == (found is GPU)


CPUINFO = """processor\t: 0
model name\t: One Processor @ 2.00GHz
flags\t\t: fpu sse2 avx512f {}

processor\t: 1
model name\t: Another Processor
flags\t\t: fpu
"""


@pytest.fixture
def cpuinfo(monkeypatch, tmp_path):
    """Puts a text in the place of /proc/cpuinfo."""

    def put(text):
        (tmp_path / "cpuinfo").write_text(text)

    there = devices.Path
    monkeypatch.setattr(
        devices, "Path", lambda *parts: tmp_path / "cpuinfo" if parts == ("/proc/cpuinfo",) else there(*parts)
    )
    return put


def test_a_line_of_the_processor_s_is_the_first_core_s(cpuinfo):
    assert devices._cpu_line("flags") == ""  # no such file: macOS, Windows
    cpuinfo(CPUINFO.format("amx_bf16"))
    assert devices._cpu_line("model name") == "One Processor @ 2.00GHz"
    assert devices._cpu_line("flags") == "fpu sse2 avx512f amx_bf16"
    assert devices._cpu_line("Features") == ""
    assert devices._cpu_name() == f"One Processor @ 2.00GHz, {devices.cores()} cores"


@pytest.mark.parametrize(
    ("flags", "precision"),
    [
        ("avx512_bf16", "mixed_bfloat16"),
        ("avx2 amx_bf16 amx_tile", "mixed_bfloat16"),
        ("avx2 avx512f", "float32"),
        ("amx_bf16x", "float32"),  # a flag is a whole word
        ("", "float32"),
        (None, "float32"),  # no such file
    ],
)
def test_auto_precision_of_a_processor_follows_its_instructions(monkeypatch, cpuinfo, flags, precision):
    monkeypatch.setattr(devices, "_gpu_in_sight", lambda: False)
    if flags is not None:
        cpuinfo(CPUINFO.format(flags))
    assert devices.resolve_precision("auto") == precision


@pytest.mark.parametrize(
    ("details", "precision"),
    [
        ({"compute_capability": (7, 5)}, "mixed_float16"),  # T4
        ({"compute_capability": (8, 0)}, "mixed_bfloat16"),  # A100
        ({"compute_capability": (10, 0)}, "mixed_bfloat16"),
        ({}, "mixed_bfloat16"),
    ],
)
def test_auto_precision_of_a_gpu_follows_its_generation(monkeypatch, cpuinfo, details, precision):
    """The processor beside it does not matter."""
    cpuinfo(CPUINFO.format("avx512_bf16"))
    gpu = SimpleNamespace(name="GPU:0")
    monkeypatch.setattr(devices, "_gpu_in_sight", lambda: True)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [gpu] if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda found: details if found is gpu else {})
    assert (devices.device()["kind"], devices.device()["name"]) == ("GPU", "GPU:0")
    assert devices.resolve_precision("auto") == precision


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_precision_that_somebody_asked_for_is_taken_as_it_is(monkeypatch, precision):
    monkeypatch.setattr(devices, "device", None)  # nobody is asked
    assert devices.resolve_precision(precision) == precision


# trainings in a precision


def perceptron(**changes):
    arguments = {"units": [16, 8], "negative_slope": 0.0, "dropouts": [0.1, 0.0]}
    recipe = tiny_recipe(builder="dfclib.models.cnn_and_mlp.mlp", arguments=arguments, epochs=2)
    return replace(recipe, **changes)


def begun(recipe, splits, folder):
    """The folder of a training of `recipe` that ended after its first epoch."""
    with pytest.raises(OutOfTime):
        train(recipe, splits, folder, progress=False, callbacks=[TimeLimit(lambda: True)])
    (path,) = folder.iterdir()
    assert not (path / "metrics.json").exists()
    return path


def fitted(monkeypatch):
    """The model of each epoch that is trained from here on."""
    models, original = [], keras.Model.fit

    def fit(model, *args, **options):
        models.append(model)
        return original(model, *args, **options)

    monkeypatch.setattr(keras.Model, "fit", fit)
    return models


def test_float16_trains_with_its_loss_scaled_and_resumes_to_the_same_end(splits, tmp_path, monkeypatch):
    # the same factor over the run's eight steps: the rate in history says which step was the last
    recipe = perceptron(precision="mixed_float16", schedule=ExponentialRate(1e-3, factor=0.5, steps=8))
    models = fitted(monkeypatch)
    whole = train(recipe, splits, tmp_path / "whole", progress=False)
    assert {type(model.optimizer) for model in models} == {keras.optimizers.LossScaleOptimizer}
    assert whole.environment["precision"] == "mixed_float16"
    assert np.isfinite(whole.history["loss"]).all()
    # 60 images are four steps an epoch, and none was left out for gradients that the scale made infinite
    assert whole.history["learning_rate"].to_list() == pytest.approx([1e-3 * 0.5 ** (n / 8) for n in (3, 7)], rel=1e-4)
    assert whole.history["loss"].iloc[-1] < whole.history["loss"].iloc[0]

    begun(recipe, splits, tmp_path / "parts")
    parts = train(recipe, splits, tmp_path / "parts", progress=False)
    assert parts.history.drop(columns="seconds").equals(whole.history.drop(columns="seconds"))
    for split in ("validation", "test"):
        ours, theirs = (run.predictions(split).probabilities for run in (parts, whole))
        assert ours.tobytes() == theirs.tobytes()
    single = train(replace(recipe, precision="float32"), splits, tmp_path / "single", progress=False)
    difference = np.abs(single.predictions("validation").probabilities - whole.predictions("validation").probabilities)
    assert 0 < difference.max() < 0.05  # another precision, and the same training


def test_an_unfinished_run_goes_on_in_the_precision_that_it_was_begun_in(splits, tmp_path, monkeypatch):
    recipe = perceptron(precision="auto")
    monkeypatch.setattr(network, "resolve_precision", lambda wanted: "float32" if wanted == "auto" else wanted)
    path = begun(recipe, splits, tmp_path / "moved")
    shutil.copytree(path, tmp_path / "stayed" / path.name)
    # on another machine, whose processor has bfloat16
    elsewhere = {"auto": "mixed_bfloat16"}
    monkeypatch.setattr(network, "resolve_precision", lambda wanted: elsewhere.get(wanted, wanted))
    models = fitted(monkeypatch)
    run = train(recipe, splits, tmp_path / "moved", progress=False)
    assert [model.dtype_policy.name for model in models] == ["float32"]
    assert run.environment["precision"] == "float32"
    named = train(replace(recipe, precision="float32"), splits, tmp_path / "stayed", progress=False)
    assert [model.dtype_policy.name for model in models] == ["float32"] * 2
    assert named.predictions("validation").probabilities.tobytes() == (
        run.predictions("validation").probabilities.tobytes()
    )
    # a run that is begun there is begun in what suits it
    assert train(recipe, splits, tmp_path / "new", progress=False).environment["precision"] == "mixed_bfloat16"


def test_a_training_that_goes_on_elsewhere_says_where_it_was(splits, tmp_path):
    recipe = perceptron(epochs=2)
    path = begun(recipe, splits, tmp_path)
    values = read_json(path / "recipe.json")
    here = values["environment"]["device_name"]
    values["environment"]["device_name"] = "another chip"
    write_json(path / "recipe.json", values)
    found = train(recipe, splits, tmp_path, progress=False).environment
    assert found["device_name"] == f"another chip, then {here}"
    assert found["keras"] == keras.__version__


def test_another_precision_is_refused_for_an_unfinished_run_unless_it_trains_anew(splits, tmp_path):
    recipe = perceptron(precision="float32")
    path = begun(recipe, splits, tmp_path)
    before = {item: item.read_bytes() for item in path.rglob("*") if item.is_file()}
    other = replace(recipe, precision="mixed_bfloat16")
    assert other.fingerprint == recipe.fingerprint  # so that nothing else refuses it
    with pytest.raises(UserError, match="was begun in float32, received precision mixed_bfloat16") as raised:
        train(other, splits, tmp_path, progress=False)
    assert "--fresh" in str(raised.value)
    assert {item: item.read_bytes() for item in path.rglob("*") if item.is_file()} == before
    anew = train(other, splits, tmp_path, fresh=True, progress=False)
    assert anew.environment["precision"] == "mixed_bfloat16"
    with pytest.raises(UserError, match="was begun in mixed_bfloat16, received precision float32"):
        train(recipe, splits, tmp_path, progress=False)  # a finished one is what it is
    as_it_is = replace(recipe, precision="auto")
    assert train(as_it_is, splits, tmp_path, progress=False).environment["precision"] == "mixed_bfloat16"
