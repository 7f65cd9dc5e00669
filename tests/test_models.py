"""One contract for every builder with every set of arguments that a recipe gives it."""

import keras
import numpy as np
import pytest

from dfclib.errors import UserError
from dfclib.models import build
from dfclib.recipes import find

# shared/systems.md: trainable parameters at 128x128, three channels, five classes
PARAMETERS = {
    "attempt1": 6_517_317,
    "attempt2": 4_329_029,
    "attempt4": 33_944_069,
    "attempt5": 83_770_377,
    "attempt6": 70_389_583,
}
NAMES = [*PARAMETERS, *(f"attempt3-{letter}" for letter in "bcdefghij" if letter != "f")]  # a and f are 1 and 2
SMALL = {"plain": (24, 26), "regularised": (16, 18), "two_branches": (16, 18)}


def small(name, channels=3, classes=5, precision="float32", image_size=None):
    recipe = find(name)
    keras.utils.set_random_seed(0)
    return build(
        recipe.builder,
        recipe.arguments,
        image_size=image_size or SMALL[recipe.builder.rpartition(".")[2]],
        channels=channels,
        classes=classes,
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
    model = build(recipe.builder, recipe.arguments, image_size=(128, 128), channels=3, classes=5)
    assert model.count_params() == PARAMETERS[name]
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == PARAMETERS[name]
    assert recipe.claims["parameters"] == PARAMETERS[name]
    assert recipe.image_size == (128, 128)


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

    # names are given, not counted up by Keras: a second network has the same ones
    names = [layer.name for layer in model.layers]
    assert names == [layer.name for layer in small(name).layers]
    assert names[0] == "pixels"
    assert names[-1] == "logits"

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert np.array_equal(again(x, training=False).numpy(), logits)

    # one step of training lowers the loss on the images that it saw
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    before = float(loss(y, logits))
    model.compile("adam", loss, run_eagerly=True, jit_compile=False)
    model.optimizer.learning_rate = 3e-4
    model.train_on_batch(x, y)
    assert float(loss(y, model(x, training=False))) < before


@pytest.mark.parametrize("name", ["attempt1", "attempt2", "attempt4", "attempt6"])
def test_channels_and_classes_are_arguments(name):
    model = small(name, channels=1, classes=7)
    assert model.input_shape[1:] == (*SMALL[model.name], 1)
    assert model.output_shape == (None, 7)


@pytest.mark.parametrize("name", ["attempt1", "attempt2", "attempt4"])
def test_logits_are_float32_whatever_the_precision(name):
    before = keras.config.dtype_policy()
    model = small(name, precision="mixed_bfloat16")
    assert keras.config.dtype_policy() == before
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert model(pixels(model)[0]).dtype.name == "float32"
    assert {w.dtype for w in model.trainable_weights} == {"float32"}


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
        ("keras", {}, (16, 16), "cannot build"),
    ],
)
def test_what_cannot_be_built_is_the_user_s_to_mend(builder, arguments, size, words):
    before = keras.config.dtype_policy()
    with pytest.raises(UserError) as raised:
        build(
            f"dfclib.models.six_attempts.{builder}",
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
