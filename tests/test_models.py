"""One contract for every builder with every set of arguments that a recipe gives it."""

import importlib
import inspect
import os
import subprocess
import sys
import warnings
from dataclasses import replace

import keras
import numpy as np
import pytest
from fakes import tiny_images

from dfclib.errors import UserError
from dfclib.models.layers import as_plain_keras
from dfclib.recipes import find
from dfclib.training import build_model, trainable_parameters
from dfclib.training.model import IMAGENET

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
    "s2-mlp-augmented": 50_990_085,
    "s3-base": 2_750_213,
    "s3-head128": 1_569_797,
    "s3-report": 2_750_213,
    "s3-mlp": 15_426_821,
}
SIZES = {"S0": (128, 128), "S1": (100, 100), "S2": (128, 128), "S3": (100, 100), "S4": (28, 28)}
VARIANTS = [f"attempt3-{letter}" for letter in "bcdefghij" if letter != "f"]  # a and f are 1 and 2
NAMES = [*PARAMETERS, *VARIANTS, "s3-two-pools", "s4-author", "s4-ours", "sprint", "resampling-bilinear"]
SMALL = {"dfclib.models.six_attempts.plain_cnn": (24, 26)}  # three valid convolutions


def small(name, channels=3, classes=5, normalisation="unit", **changes):
    """The recipe's network for small images, in float32 unless `changes` of the recipe say otherwise."""
    recipe = find(name)
    size = SMALL.get(recipe.builder, (16, 18))
    changes = {"image_size": size, "precision": "float32", "normalisation": normalisation} | changes
    return build_model(replace(recipe, **changes), channels, classes)


def pixels(model, count=10):
    """Five kinds of image that a colour tells apart: float32 in 0..255, and int labels."""
    labels = np.arange(count) % 5
    random = np.random.default_rng(0)
    x = random.uniform(0, 55, (count, *model.input_shape[1:])) + 50 * labels[:, None, None, None]
    return x.astype(np.float32), labels


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_author_s(name):
    recipe = find(name)
    assert (recipe.image_size, recipe.dataset.channels, recipe.dataset.classes) == (SIZES[recipe.system], 3, 5)
    model = build_model(recipe, 3, 5)
    assert trainable_parameters(model) == PARAMETERS[name]
    statistics = sum(2 * x.gamma.shape[0] for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
    assert model.count_params() == PARAMETERS[name] + statistics  # nothing else is there that is not trained
    assert recipe.claims["parameters"] == recipe.parameters == PARAMETERS[name]


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
    assert (recipe.image_size, recipe.dataset.channels, recipe.dataset.classes) == ((28, 28), 1, 10)
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
    other = small(name, normalisation="imagenet")
    other.set_weights(model.get_weights())
    means, deviations = 255 * np.array(IMAGENET, np.float32)
    normalised = (x - means) / deviations
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
        model = small(name, normalisation="imagenet", precision="mixed_bfloat16")
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
    "name",
    ["attempt1", "attempt2", "attempt4", "attempt6", "s1-v1", "s2-cnn", "s2-mlp", "s3-base", "s4-ours", "sprint"],
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


@pytest.mark.parametrize("name", ["attempt5", "attempt6"])
def test_l2_is_on_every_kernel_but_the_output_layer_s_and_on_no_bias(name):
    model = small(name)
    weighed = [layer for layer in model.layers if hasattr(layer, "kernel")]
    names = [layer.name for layer in weighed]
    assert sorted(names) == ["branch_conv", "conv1", "conv2", "conv3", "dense1", "dense2", "dense3", "logits"]
    for layer in weighed:
        if layer.name == "logits":
            assert layer.kernel_regularizer is None
        else:
            assert isinstance(layer.kernel_regularizer, keras.regularizers.L2), layer.name
            assert float(layer.kernel_regularizer.l2) == pytest.approx(1e-5)
        assert layer.bias_regularizer is None
        assert layer.activity_regularizer is None
    hidden = [layer for layer in weighed if layer.name != "logits"]
    expected = sum(1e-5 * float(np.sum(np.square(layer.get_weights()[0]))) for layer in hidden)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)
    output = 1e-5 * float(np.sum(np.square(model.get_layer("logits").get_weights()[0])))
    assert output > 1e-4 * expected  # enough for the line above to notice it


@pytest.mark.parametrize("name", ["attempt1", "attempt2", "attempt4", "s2-cnn", "resampling-bilinear"])
def test_no_other_network_has_an_l2_in_its_loss(name):
    assert small(name).losses == []


def test_the_branch_s_pool_is_an_argument():
    model = small("attempt4", arguments=find("attempt4").arguments | {"branch_pool": 8})
    assert model.get_layer("branch_pool").output.shape[1:] == (2, 2, 16)
    assert small("attempt4").get_layer("branch_pool").output.shape[1:] == (1, 1, 16)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_every_argument_of_its_builder(name):
    """No number of a network stands in its builder, where no recipe.json would show it."""
    recipe = find(name)
    module, _, function = recipe.builder.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), function))
    x, classes, *parameters = signature.parameters.values()
    assert {parameter.name for parameter in parameters} == set(recipe.arguments)
    for parameter in (x, classes, *parameters):
        assert parameter.default is inspect.Parameter.empty
    for parameter in parameters:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    for argument in recipe.arguments:
        left = {key: value for key, value in recipe.arguments.items() if key != argument}
        with pytest.raises(UserError, match=f"'{argument}'"):
            small(name, arguments=left, image_size=(48, 48))


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
    assert rates("s2-mlp") == rates("s2-mlp-augmented") == [0.3]
    assert rates("s3-base") == rates("s3-two-pools") == rates("s3-report") == [0.5, 0.5]
    assert rates("s3-head128") == [0.5, 0.4]
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
    ("name", "changes", "size", "words"),
    [
        ("attempt1", {}, (16, 16), "16x16"),  # three valid convolutions leave nothing
        ("attempt2", {}, (4, 4), "4x4"),
        ("attempt4", {}, (12, 12), "12x12"),  # the second branch pools by 16
        ("attempt1", {"width": 3}, (24, 24), "width"),
        ("attempt1", {"filters": [8, 8]}, (24, 24), "filters"),
        ("attempt1", {"filters": [8, 8, -1]}, (24, 24), "-1"),
        ("attempt2", {"head": [16]}, (16, 16), "head"),
        ("attempt2", {"dropouts": [0.1, 0.2, 3.0]}, (16, 16), "3.0"),
        ("attempt4", {"kernels": "abc"}, (16, 16), "abc"),
        ("s1-v1", {"pooled": 0}, (16, 16), "pooled"),
        ("s2-mlp", {"units": [8, 8]}, (16, 16), "units"),
        ("s2-cnn", {"filters": [8] * 5, "pool_after": [1, 2, 3, 4, 5]}, (16, 16), "16x16"),
        ("s3-base", {"dropouts": [0.5]}, (16, 16), "dropouts"),
        ("s4-ours", {"filters": [8, 8]}, (16, 16), "filters"),
    ],
)
def test_what_cannot_be_built_is_the_user_s_to_mend(name, changes, size, words):
    refused(words, name, arguments=find(name).arguments | changes, image_size=size)


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        ("six_attempts.nothing", "does not exist"),
        ("six_attempts.plain", "does not exist"),
        ("six_attempts.logits", "cannot build"),
        ("seventh.plain_cnn", "seventh"),
    ],
)
def test_what_is_no_builder_is_the_user_s_to_mend(builder, words):
    refused(words, "attempt1", builder=f"dfclib.models.{builder}", image_size=(24, 24))


# Ours


def test_what_its_neighbourhood_does_not_explain_joins_a_pixel_s_colours():
    model = small("sprint")
    x, _ = pixels(model)
    both = keras.Model(model.input, model.get_layer("image_and_detail").output)(x).numpy()
    assert (both.shape[-1], both.dtype) == (6, np.float32)
    np.testing.assert_allclose(both[..., :3], x / 255, rtol=1e-5, atol=1e-6)
    inner = np.mean([np.roll(x / 255, (i, j), (1, 2)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    expected = find("sprint").arguments["high_pass"] * (x / 255 - inner)
    np.testing.assert_allclose(both[:, 1:-1, 1:-1, 3:], expected[:, 1:-1, 1:-1], rtol=1e-3, atol=1e-5)
    without = small("sprint", arguments=find("sprint").arguments | {"high_pass": 0.0})
    assert without.get_layer("conv1_1").kernel.shape[2] == 3


def test_nothing_is_pooled_after_the_stem():
    model = small("sprint", arguments=find("sprint").arguments | {"stem": [8, 12]})
    assert model.get_layer("relu0_2").output.shape[1:] == (16, 18, 12)
    assert model.get_layer("relu1_1").output.shape[1:3] == (8, 9)


def test_the_gram_head_sees_the_channels_products_averaged_over_the_image():
    arguments = find("sprint").arguments | {"stages": [[8], [12]], "gram": 5}
    model = small("sprint", arguments=arguments)
    x, _ = pixels(model)
    channels, gram = (keras.Model(model.input, model.get_layer(n).output) for n in ("gram_channels", "gram"))
    seen = channels(x).numpy()
    assert seen.shape[1:] == (4, 4, 5)
    expected = np.einsum("nijc,nijd->ncd", seen, seen) / 16
    np.testing.assert_allclose(gram(x).numpy(), expected.reshape(10, 25), rtol=1e-4, atol=1e-6)
    assert model.get_layer("logits").kernel.shape == (12 + 25, 5)


def refused(words, name, **changes):
    before = keras.config.dtype_policy()
    with pytest.raises(UserError) as raised:
        small(name, precision="mixed_bfloat16", **changes)
    assert words in str(raised.value)
    assert keras.config.dtype_policy() == before


# S3's normalisation


@pytest.mark.parametrize("name", ["s3-base", "s3-report", "s3-mlp"])
def test_s3_normalises_by_the_averages_of_each_image_s_statistics(name):
    images = tiny_images(4, 0, "x")
    recipe = replace(find(name), image_size=(16, 16), precision="float32")
    deviations = []
    for normalisation in (recipe.normalisation, "training"):
        layer = build_model(replace(recipe, normalisation=normalisation), 3, 5, images).get_layer("normalisation")
        deviations.append(1 / np.array(layer.scale))
        means = -np.array(layer.offset) * deviations[-1]
        np.testing.assert_allclose(means, images.images.mean(axis=(0, 1, 2)), rtol=1e-6)
    each = images.images.reshape(20, 256, 3).astype(float)
    np.testing.assert_allclose(deviations[0], each.std(axis=1, ddof=1).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviations[1], each.reshape(-1, 3).std(axis=0), rtol=1e-6)
    assert (deviations[0] < 0.5 * deviations[1]).all()  # the images differ in their colours
