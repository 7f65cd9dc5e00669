"""Blocks of several systems: fused batch normalisation against Keras's own, PyTorch's initialisation and pooling."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from dfclib.models.layers import FastDropout, FusedBatchNormalization, as_plain_keras, pixels_and_normalised
from dfclib.recipes import find
from dfclib.training import build_model

TORCH = ("s1-v1", "s1-v2", "s2-cnn", "s2-mlp", "s3-base", "s3-head128", "s3-two-pools", "s3-mlp")


def network(name, seed=0, image_size=(16, 18)):
    return build_model(replace(find(name), image_size=image_size, seed=seed, precision="float32"), 3, 5)


@pytest.fixture
def fused_calls(monkeypatch):
    """How often TensorFlow's fused kernel was asked for: without it the comparison would be of Keras with itself."""
    calls, original = [], tf.raw_ops.FusedBatchNormV3

    def spy(**options):
        calls.append(options["x"].dtype)
        return original(**options)

    monkeypatch.setattr(tf.raw_ops, "FusedBatchNormV3", spy)
    return calls


def pair(shape, **options):
    """The fused layer and Keras's, built alike, with the same numbers in them."""
    random = np.random.default_rng(0)
    layers = [kind(**options) for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)]
    for layer in layers:
        layer.build(shape)
    values = [random.uniform(0.5, 2, w.shape).astype(np.float32) for w in layers[0].weights]
    for layer in layers:
        layer.set_weights(values)
    return layers


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "epsilon": 1e-5}], ids=["Keras's", "PyTorch's"])
@pytest.mark.parametrize("shape", [(8, 5, 6, 3), (32, 1, 1, 4)], ids=["maps", "one pixel"])
def test_fused_batch_normalisation_is_keras_s(fused_calls, shape, options):
    random = np.random.default_rng(1)
    layers = pair(shape, **options)
    for step in range(3):
        x = tf.constant(random.normal(3, 2, shape).astype(np.float32))
        upstream = tf.constant(random.normal(size=shape).astype(np.float32))
        results = []
        for layer in layers:
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x, training=True)
                loss = tf.reduce_sum(outputs * upstream)
            gradients = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
            results.append([outputs, *gradients, layer.moving_mean.value, layer.moving_variance.value])
        for what, ours, theirs in zip(
            ("outputs", "inputs", "gamma", "beta", "mean", "variance"), *results, strict=True
        ):
            scale = max(1, np.abs(theirs).max())
            np.testing.assert_allclose(ours / scale, theirs / scale, atol=1e-5, err_msg=f"{what}, step {step}")
    assert len(fused_calls) == 3


def test_in_inference_and_frozen_it_is_keras_s_to_the_bit(fused_calls):
    shape = (4, 5, 6, 3)
    ours, theirs = pair(shape)
    x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    assert np.array_equal(ours(x, training=False), theirs(x, training=False))
    ours.trainable = theirs.trainable = False
    before = ours.get_weights()
    assert np.array_equal(ours(x, training=True), theirs(x, training=True))
    assert all(np.array_equal(a, b) for a, b in zip(before, ours.get_weights(), strict=True))
    assert fused_calls == []


@pytest.mark.parametrize(
    ("shape", "options"),
    [((6, 4), {}), ((4, 5, 6, 3), {"scale": False}), ((4, 5, 6, 3), {"center": False}), ((4, 5, 6, 3), {"axis": 1})],
    ids=["vectors", "no gamma", "no beta", "another axis"],
)
def test_what_the_kernel_cannot_do_is_left_to_keras(fused_calls, shape, options):
    ours, theirs = pair(shape, **options)
    x = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), atol=1e-6)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert fused_calls == []


def test_in_bfloat16_statistics_stay_float32(fused_calls):
    shape = (8, 5, 6, 3)
    ours, theirs = pair(shape, dtype="mixed_bfloat16", momentum=0.9)
    x = tf.constant(np.random.default_rng(4).normal(3, 2, shape).astype(np.float32))
    outputs = [layer(x, training=True) for layer in (ours, theirs)]
    assert outputs[0].dtype == outputs[1].dtype == tf.bfloat16
    assert fused_calls == [tf.bfloat16]
    np.testing.assert_allclose(*[tf.cast(o, tf.float32) for o in outputs], atol=0.04)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-3)


def test_a_compiled_training_with_it_goes_where_keras_s_would(fused_calls):
    model = network("s2-cnn")
    plain = as_plain_keras(model)
    assert [type(x).__module__.split(".")[0] for x in plain.layers] == ["keras"] * len(plain.layers)
    x = np.random.default_rng(5).uniform(0, 255, (12, 16, 18, 3)).astype(np.float32)
    y = np.arange(12) % 5
    for m in (model, plain):
        for layer in m.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0  # the two would draw differently
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        m.compile(keras.optimizers.SGD(0.01), loss, jit_compile=False)
        m.train_on_batch(x, y)
        m.train_on_batch(x, y)
    assert len(fused_calls) == 4  # traced once, four normalisations
    for ours, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
    statistics = [w.numpy() for w in model.non_trainable_variables if w.name.startswith("moving")]
    assert len(statistics) == 8
    assert all(w.std() > 0 for w in statistics)  # they started as zeros and ones


@pytest.mark.parametrize("name", ["s1-v1", "s1-v2", "s2-cnn", "s3-base", "s3-two-pools", "s4-author", "s4-ours"])
def test_momentum_and_epsilon_are_the_author_s_framework_s(name):
    norms = [x for x in network(name).layers if isinstance(x, keras.layers.BatchNormalization)]
    assert norms
    assert all(isinstance(x, FusedBatchNormalization) for x in norms)
    expected = {"s4-author": (0.99, 1e-3), "s4-ours": (0.9, 1e-3)}.get(name, (0.9, 1e-5))
    assert {(x.momentum, x.epsilon) for x in norms} == {expected}


def weighed(model):
    return [layer for layer in model.layers if hasattr(layer, "kernel")]


@pytest.mark.parametrize("name", TORCH)
def test_kernels_and_biases_start_as_pytorch_s(name):
    layers, biases = weighed(network(name)), []
    for layer in layers:
        kernel, bias = layer.get_weights()
        limit = 1 / np.sqrt(np.prod(kernel.shape[:-1]))  # inputs of one unit
        u = (kernel / limit).ravel()
        assert 0.97 < np.abs(u).max() <= 1 + 1e-6
        # a uniform number of -1 to 1 has mean 0, deviation 3**-.5 and mean size 1/2: within five standard errors
        assert abs(u.mean()) < 5 * 3**-0.5 / np.sqrt(u.size)
        assert abs(u.std() - 3**-0.5) < 5 * 0.26 / np.sqrt(u.size)
        assert abs(np.abs(u).mean() - 0.5) < 5 * 12**-0.5 / np.sqrt(u.size)
        biases.append(bias / limit)
    u = np.concatenate(biases)
    assert 0.97 < np.abs(u).max() <= 1 + 1e-6
    assert abs(u.mean()) < 5 * 3**-0.5 / np.sqrt(u.size)
    assert abs(u.std() - 3**-0.5) < 5 * 0.26 / np.sqrt(u.size)


@pytest.mark.parametrize("name", ["s1-v1", "s2-mlp", "s3-base"])
def test_every_kernel_and_bias_follows_the_seed(name):
    first, again, other = (network(name, seed) for seed in (0, 0, 1))
    for one, same, different in zip(*map(weighed, (first, again, other)), strict=True):
        for a, b, c in zip(one.get_weights(), same.get_weights(), different.get_weights(), strict=True):
            assert np.array_equal(a, b)
            assert np.mean(a == c) < 0.01


def test_the_adaptive_pool_is_pytorch_s():
    """A cell of the result is the mean of floor(i * n / k) up to ceil((i + 1) * n / k), cells overlapping."""
    model = network("s1-v1", image_size=(24, 41))  # 3x5 after three poolings
    pool = model.get_layer("adaptive_pool")
    assert pool.output.shape[1:] == (2, 2, 128)
    maps = np.random.default_rng(0).normal(size=(2, 3, 5, 128)).astype(np.float32)
    rows, columns = [(0, 2), (1, 3)], [(0, 3), (2, 5)]
    expected = [[maps[:, a:b, c:d].mean(axis=(1, 2)) for c, d in columns] for a, b in rows]
    np.testing.assert_allclose(pool(maps), np.moveaxis(np.array(expected), 2, 0), atol=1e-6)


@pytest.mark.parametrize(
    "normalisation", [((0.0,), (255.0,)), ((127.5,), (127.5,)), ((10.0, 120.0, 250.0), (2.0, 60.0, 90.0))]
)
def test_normalisation_takes_off_the_mean_and_divides_by_the_deviation(normalisation):
    pixels, normalised = pixels_and_normalised((4, 5), 3, normalisation)
    x = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3)).astype(np.float32)
    mean, deviation = (np.array(values) for values in normalisation)
    result = keras.Model(pixels, normalised)(x)
    np.testing.assert_allclose(result, (x - mean) / deviation, rtol=1e-5, atol=2e-5)


def test_normalised_pixels_are_float32_whatever_the_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        _, normalised = pixels_and_normalised((4, 5), 3, ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)))
    finally:
        keras.config.set_dtype_policy(before)
    assert normalised.dtype == "float32"


def test_what_is_keras_s_own_already_is_left_alone():
    model = network("s2-mlp")
    plain = as_plain_keras(model)
    assert plain.layers == model.layers and not plain.compiled


# dropout


def dropped(rate, shape=(400, 501), seed=3, dtype="float32"):
    """Ones after training's dropout, and a gradient of twos through it."""
    layer = FastDropout(rate, seed=seed, dtype=dtype)
    x = tf.ones(shape, dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(2 * outputs)
    return tf.cast(outputs, tf.float32).numpy(), tf.cast(tape.gradient(loss, x), tf.float32).numpy(), layer


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fast_dropout_drops_its_rate_and_keeps_the_mean(rate, dtype):
    outputs, gradient, _ = dropped(rate, dtype=dtype)
    share = (outputs == 0).mean()
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / outputs.size)
    kept = np.unique(outputs[outputs > 0])
    assert kept == pytest.approx([1 / (1 - rate)], rel=1e-4 if dtype == "float32" else 1e-2)
    assert np.array_equal(gradient, 2 * outputs)
    # neither rows nor columns nor neighbours agree more often than chance has it
    zero = outputs == 0
    for one, other in ((zero[1:], zero[:-1]), (zero[:, 1:], zero[:, :-1])):
        assert abs((one & other).mean() - rate**2) < 0.005


def test_fast_dropout_draws_anew_at_each_call_and_the_same_from_the_same_seed():
    first, _, layer = dropped(0.5)
    again, _, _ = dropped(0.5)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, layer(tf.ones(first.shape), training=True))
    assert not np.array_equal(first, dropped(0.5, seed=4)[0])


@pytest.mark.parametrize("options", [{"rate": 0.0}, {"rate": 1.0}, {"rate": 0.5, "noise_shape": (None, 1, 3)}])
def test_what_fast_dropout_does_not_know_is_keras_s(options):
    x = np.random.default_rng(0).normal(size=(5, 6, 3)).astype(np.float32)
    ours, theirs = (kind(**options, seed=7) for kind in (FastDropout, keras.layers.Dropout))
    assert np.array_equal(ours(x, training=True), theirs(x, training=True))
    assert np.array_equal(ours(x, training=False), x if options["rate"] < 1 else theirs(x, training=False))


def test_a_network_with_fast_dropout_is_saved_with_keras_s(tmp_path):
    model = build_model(replace(find("attempt4").quick()), 3, 5)
    assert any(isinstance(layer, FastDropout) for layer in model.layers)
    plain = as_plain_keras(model)
    plain.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert [type(layer) for layer in loaded.layers if "dropout" in layer.name] == [keras.layers.Dropout] * 5
    x = np.random.default_rng(0).uniform(0, 255, (3, *model.input_shape[1:])).astype(np.float32)
    np.testing.assert_allclose(loaded(x), model(x, training=False), atol=1e-5)
