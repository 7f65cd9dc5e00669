"""One contract for every builder with every set of arguments that a recipe gives it."""

import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from dfclib.errors import UserError
from dfclib.models import build
from dfclib.models.layers import UNIT, as_plain_keras
from dfclib.recipes import find
from dfclib.training import build_model, trainable_parameters

# shared/systems.md: trainable parameters at the author's image size, channels and classes
PARAMETERS = {
    "attempt1": 6_517_317,
    "attempt2": 4_329_029,
    "attempt4": 33_944_069,
    "attempt5": 83_770_377,
    "attempt6": 70_389_583,
    "s1-v1": 301_093,
    "s1-v2": 1_685_509,
    "s2-cnn": 2_196_613,
    "s2-mlp": 50_990_085,
    "s3-base": 2_750_213,
    "s3-head128": 1_569_797,
    "s3-mlp": 15_426_821,
}
SIZES = {"S0": (128, 128), "S1": (100, 100), "S2": (128, 128), "S3": (100, 100), "S4": (28, 28)}
VARIANTS = [f"attempt3-{letter}" for letter in "bcdefghij" if letter != "f"]  # a and f are 1 and 2
NAMES = [*PARAMETERS, *VARIANTS, "s3-two-pools", "s4-author", "s4-ours"]
SMALL = {"dfclib.models.six_attempts.plain": (24, 26)}  # three valid convolutions


def small(name, channels=3, classes=5, precision="float32", image_size=None, normalisation=UNIT):
    recipe = find(name)
    keras.utils.set_random_seed(0)
    return build(
        recipe.builder,
        recipe.arguments,
        image_size=image_size or SMALL.get(recipe.builder, (16, 18)),
        channels=channels,
        classes=classes,
        normalisation=normalisation,
        precision=precision,
    )


def pixels(model, count=10):
    """Five kinds of image that a colour tells apart: float32 in 0..255, and int labels."""
    labels = np.arange(count) % 5
    random = np.random.default_rng(0)
    x = random.uniform(0, 55, (count, *model.input_shape[1:])) + 50 * labels[:, None, None, None]
    return x.astype(np.float32), labels


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_author_s(name):
    recipe = find(name)
    assert (recipe.image_size, recipe.source_channels, recipe.source_classes) == (SIZES[recipe.system], 3, 5)
    model = build_model(recipe, 3, 5)
    assert trainable_parameters(model) == PARAMETERS[name]
    statistics = sum(2 * x.gamma.shape[0] for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
    assert model.count_params() == PARAMETERS[name] + statistics  # nothing else is there that is not trained
    assert recipe.claims["parameters"] == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "by_layer"),
    [
        # convolutions with biases, a gamma and a beta a channel, 3x3 maps of 128 flattened, the head
        ("s4-author", [320, 64, 18_496, 128, 73_856, 256, 1_152 * 128 + 128, 1_290]),
        # convolutions without biases, two a stage
        ("s4-ours", [288, 64, 9_216, 64, 18_432, 128, 36_864, 128, 73_728, 256, 147_456, 256, 295_168, 2_570]),
    ],
)
def test_parameters_of_the_garments_networks(name, by_layer):
    recipe = find(name)
    assert (recipe.image_size, recipe.source_channels, recipe.source_classes) == ((28, 28), 1, 10)
    model = build_model(recipe, 1, 10)
    assert [n for n in (trainable_parameters(layer) for layer in model.layers) if n] == by_layer
    assert trainable_parameters(model) == sum(by_layer)
    assert model.input_shape == (None, 28, 28, 1)
    assert model.output_shape == (None, 10)


def trained_loss(model, weights, x, y):
    """Mean cross-entropy as training has it, a batch's own statistics included, but for dropout."""
    model.set_weights(weights)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, model(x, training=True)))


@pytest.mark.parametrize("name", NAMES)
def test_contract(name, tmp_path):
    model = small(name)
    x, y = pixels(model)
    logits = model(x, training=False).numpy()
    assert (logits.shape, logits.dtype) == ((10, 5), np.float32)
    assert model.get_layer("logits").activation is keras.activations.linear  # softmax belongs to the loss

    # pixels come as 0..255 and are scaled inside, by one named layer
    after = keras.Model(model.get_layer("normalisation").output, model.output)
    np.testing.assert_allclose(after(x / 255, training=False).numpy(), logits, rtol=1e-4, atol=1e-5)
    means, deviations = (100.0, 120.0, 140.0), (50.0, 60.0, 70.0)
    other = small(name, normalisation=(means, deviations))
    other.set_weights(model.get_weights())
    normalised = (x - np.array(means, np.float32)) / np.array(deviations, np.float32)
    expected = after(normalised, training=False).numpy()
    np.testing.assert_allclose(other(x, training=False).numpy(), expected, rtol=1e-4, atol=1e-5)

    # names are given, not counted up by Keras: a second network has the same ones
    names = [layer.name for layer in model.layers]
    assert names == [layer.name for layer in other.layers]
    assert names[0] == "pixels"
    assert names[-1] == "logits"

    # one step of training lowers the loss on the images that it saw
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, run_eagerly=True, jit_compile=False)
    model.optimizer.learning_rate = 3e-4
    start = model.get_weights()
    model.train_on_batch(x, y)
    end = model.get_weights()
    losses = [trained_loss(model, weights, x, y) for weights in (start, end)]
    assert losses[1] < losses[0]

    # what is saved is Keras's own layers alone and gives equal outputs, with trained statistics too
    other.set_weights(end)
    as_plain_keras(other).save(tmp_path / "model.keras", include_optimizer=False)
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The structure of `inputs`")
        assert np.array_equal(again(x, training=False).numpy(), other(x, training=False).numpy())
    assert all(type(layer).__module__.startswith("keras.") for layer in again.layers)
    assert [layer.name for layer in again.layers] == names


def test_saved_networks_load_where_there_is_no_dfclib(tmp_path):
    outputs = {}
    for name in ("s1-v1", "s4-ours"):
        model = small(name, normalisation=((1.0, 2.0, 3.0), (50.0, 60.0, 70.0)), precision="mixed_bfloat16")
        x, _ = pixels(model)
        model(x, training=True)  # statistics that are not 0 and 1 any more
        as_plain_keras(model).save(tmp_path / f"{name}.keras")
        outputs[name] = model(x, training=False).numpy()
    np.savez(tmp_path / "expected.npz", x=x, **outputs)
    script = """
import sys, keras, numpy as np
expected = np.load("expected.npz")
for name in expected.files[1:]:
    model = keras.saving.load_model(f"{name}.keras", safe_mode=True)
    assert np.array_equal(model(expected["x"], training=False).numpy(), expected[name]), name
assert not [name for name in sys.modules if name.startswith("dfclib")]
print(len(expected.files))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=elsewhere(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr


def elsewhere():
    """This process's environment without a way to this package."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


@pytest.mark.parametrize(
    "name", ["attempt1", "attempt2", "attempt4", "attempt6", "s1-v1", "s2-cnn", "s2-mlp", "s3-base", "s4-ours"]
)
def test_channels_and_classes_are_arguments(name):
    model = small(name, channels=1, classes=7)
    assert model.input_shape[-1] == 1
    assert model.output_shape == (None, 7)


@pytest.mark.parametrize(
    "name", ["attempt1", "attempt2", "attempt4", "s1-v1", "s1-v2", "s2-cnn", "s2-mlp", "s3-mlp", "s4-author", "s4-ours"]
)
def test_logits_are_float32_whatever_the_precision(name):
    before = keras.config.dtype_policy()
    model = small(name, precision="mixed_bfloat16")
    assert keras.config.dtype_policy() == before
    first = next(layer for layer in model.layers if hasattr(layer, "kernel"))
    assert first.compute_dtype == "bfloat16"
    for training in (False, True):
        assert model(pixels(model)[0], training=training).dtype.name == "float32"
    assert {w.dtype for w in model.weights if "seed" not in w.path} == {"float32"}


def test_l2_is_on_every_kernel_and_on_no_bias():
    model = small("attempt5")
    weighed = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert len(weighed) == 8
    expected = sum(1e-5 * float(np.sum(np.square(layer.get_weights()[0]))) for layer in weighed)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)
    assert small("attempt4").losses == []


def test_dropout_is_where_the_author_has_it():
    def rates(name):
        return [layer.rate for layer in small(name).layers if isinstance(layer, keras.layers.Dropout)]

    assert rates("attempt1") == []
    assert rates("attempt2") == [0.1, 0.2, 0.3, 0.4, 0.1]
    assert rates("attempt4") == [0.05, 0.05, 0.1, 0.2, 0.1]
    assert rates("attempt5") == rates("attempt6") == [0.1, 0.1, 0.15, 0.3, 0.15, 0.15]
    assert rates("s1-v1") == [0.2, 0.4]
    assert rates("s1-v2") == [0.4, 0.5]
    assert isinstance(small("s1-v2").get_layer("channel_dropout"), keras.layers.SpatialDropout2D)
    assert rates("s2-cnn") == [0.3, 0.3]
    assert rates("s2-mlp") == [0.3]
    assert rates("s3-base") == rates("s3-two-pools") == [0.5, 0.5]
    assert rates("s3-mlp") == [0.3, 0.3]


def order(name):
    """The names of a network's layers without their numbers."""
    return [layer.name.rstrip("0123456789") for layer in small(name).layers]


def test_layers_are_in_the_author_s_order():
    ends = ["pixels", "normalisation"]
    block = ["conv", "norm", "relu", "pool"]
    head = ["dense", "dropout", "logits"]
    assert order("s1-v1") == [*ends, *3 * block, "channel_dropout", "adaptive_pool", "flatten", *head]
    assert order("s1-v2") == [*ends, *4 * block, "channel_dropout", "global_pool", *head]
    assert order("s2-cnn") == order("s3-base") == [*ends, *4 * block, "flatten", "dropout", *head]
    two = [*block[:3], *block]
    assert order("s3-two-pools") == [*ends, *two, *two, "flatten", "dropout", *head]
    assert order("s2-mlp") == [*ends, "flatten", *3 * ["dense", "relu"], "dropout", "logits"]
    assert order("s3-mlp") == [*ends, "flatten", *2 * ["dense", "relu", "dropout"], "logits"]
    authors = [*ends, *3 * ["conv", "pool", "norm", "dropout"], "flatten", "dense", "head_dropout", "logits"]
    assert order("s4-author") == authors


def test_perceptrons_activations():
    assert {small("s2-mlp").get_layer(f"relu{n}").negative_slope for n in (1, 2, 3)} == {0.01}
    assert {small("s3-mlp").get_layer(f"relu{n}").negative_slope for n in (1, 2)} == {0.0}


@pytest.mark.parametrize("size", [(8, 8), (9, 25)])
def test_the_adaptive_pool_takes_any_image_that_leaves_a_pixel(size):
    model = small("s1-v1", image_size=size)
    assert model.get_layer("flatten").output.shape == (None, 4 * 128)
    with pytest.raises(UserError, match="7x8"):
        small("s1-v1", image_size=(7, 8))


@pytest.mark.parametrize(
    ("builder", "arguments", "size", "words"),
    [
        ("plain", {}, (16, 16), "16x16"),  # three valid convolutions leave nothing
        ("regularised", {}, (4, 4), "4x4"),
        ("two_branches", {}, (12, 12), "12x12"),  # the second branch pools by 16
        ("plain", {"width": 3}, (24, 24), "width"),
        ("plain", {"filters": [8, 8]}, (24, 24), "filters"),
        ("plain", {"filters": [8, 8, -1]}, (24, 24), "-1"),
        ("regularised", {"head": [16]}, (16, 16), "head"),
        ("regularised", {"dropouts": [0.1, 0.2, 3.0]}, (16, 16), "3.0"),
        ("two_branches", {"kernels": "abc"}, (16, 16), "abc"),
        ("nothing", {}, (16, 16), "does not exist"),
        ("dfclib.models.soft_voting_pair.convolutional", {"pooled": 0}, (16, 16), "pooled"),
        ("dfclib.models.cnn_and_mlp.perceptron", {"units": [8, 8]}, (16, 16), "units"),
        ("dfclib.models.cnn_and_mlp.convolutional", {"filters": [8] * 5}, (16, 16), "16x16"),
        ("dfclib.models.fashion_mnist.ours", {"filters": [8, 8]}, (16, 16), "filters"),
        ("keras", {}, (16, 16), "cannot build"),
    ],
)
def test_what_cannot_be_built_is_the_user_s_to_mend(builder, arguments, size, words):
    before = keras.config.dtype_policy()
    with pytest.raises(UserError) as raised:
        build(
            builder if "." in builder else f"dfclib.models.six_attempts.{builder}",
            arguments,
            image_size=size,
            channels=3,
            classes=5,
            precision="mixed_bfloat16",
        )
    assert words in str(raised.value)
    assert keras.config.dtype_policy() == before


def test_a_module_that_does_not_exist():
    with pytest.raises(UserError, match="seventh"):
        build("dfclib.models.seventh.plain", {}, image_size=(16, 16), channels=3, classes=5)
