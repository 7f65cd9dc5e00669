"""Losses and optimizers against numpy written out by hand; learning rates at chosen steps."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from fakes import tiny_recipe

from dfclib.recipes import find
from dfclib.recipes.schedules import ConstantRate, CosineRate, ExponentialRate, PlateauRate, StepRate
from dfclib.training import optimisation
from dfclib.training.optimisation import AdamWithL2, FusedAdam, SmoothedCrossentropy, learning_rate_schedule

# losses


def logits_and_labels(n=23, classes=5):
    random = np.random.default_rng(0)
    return tf.constant(random.normal(0, 3, (n, classes)).astype(np.float32)), random.integers(0, classes, n)


@pytest.mark.parametrize("smoothing", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
def test_label_smoothing_is_keras_s_of_one_hot_labels(smoothing, weighted):
    logits, labels = logits_and_labels()
    weights = np.array([0.5, 1, 2, 0.1, 3], np.float32)[labels] if weighted else None
    losses = [
        (SmoothedCrossentropy(smoothing), labels),
        (SmoothedCrossentropy(smoothing), labels[:, None]),
        (keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing), np.eye(5)[labels]),
    ]
    values, gradients = [], []
    for loss, truth in losses:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(truth, logits, sample_weight=weights)
        values.append(float(value))
        gradients.append(tape.gradient(value, logits).numpy())
    assert values[:2] == pytest.approx([values[2]] * 2, rel=1e-6)
    for gradient in gradients[:2]:
        np.testing.assert_allclose(gradient, gradients[2], atol=1e-7)


def test_label_smoothing_by_hand():
    # probabilities 1/2, 1/4, 1/4; the target of class 0 at .3 is .8, .1, .1
    value = SmoothedCrossentropy(0.3)(np.array([0]), np.log([[2.0, 1.0, 1.0]]))
    assert float(value) == pytest.approx(0.8 * math.log(2) + 0.2 * math.log(4), rel=1e-6)


def test_label_smoothing_s_losses_are_float32_and_a_half_precision_logit_s_too():
    logits, labels = logits_and_labels()
    value = SmoothedCrossentropy(0.1).call(labels, tf.cast(logits, tf.bfloat16))
    assert (value.shape, value.dtype) == ((23,), tf.float32)


def test_class_weights_reach_a_smoothed_loss():
    """One step of a compiled training from the same weights, integer labels and one-hot ones."""
    x = np.random.default_rng(1).normal(size=(20, 7)).astype(np.float32)
    labels = np.arange(20) % 5
    class_weights = {0: 0.2, 1: 1.0, 2: 3.0, 3: 0.5, 4: 1.5}
    results = []
    for loss, truth in [
        (SmoothedCrossentropy(0.1), labels),
        (keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1), np.eye(5)[labels]),
    ]:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(5)])
        model.compile(keras.optimizers.SGD(0.5), loss, jit_compile=False)
        results.append((model.train_on_batch(x, truth, class_weight=class_weights), *model.get_weights()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_recipe_s_loss():
    logits, labels = logits_and_labels()
    plain = optimisation.loss(tiny_recipe())
    expected = -np.mean(tf.nn.log_softmax(logits).numpy()[np.arange(23), labels])
    assert float(plain(labels, logits)) == pytest.approx(expected, rel=1e-6)
    assert optimisation.loss(find("s1-v1")).label_smoothing == 0.1


# optimizers


def adam(parameters, gradients, rate, l2=0.0, decoupled=0.0, keras_epsilon=False):
    """Adam as PyTorch's documentation writes it, in float64: the parameters after each step's gradients.

    Keras's epsilon is 1e-7 before the correction of the second moment, PyTorch's 1e-8 after it: it takes gradients
    below 1e-4 to see the difference.
    """
    parameters = [p.astype(np.float64) for p in parameters]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    for step, these in enumerate(gradients, start=1):
        for i, gradient in enumerate(these):
            p = parameters[i] * (1 - rate * decoupled)
            g = gradient + l2 * parameters[i]
            first = 0.9 * moments[i][0] + 0.1 * g
            second = 0.999 * moments[i][1] + 0.001 * g**2
            moments[i] = (first, second)
            first, second = first / (1 - 0.9**step), second / (1 - 0.999**step)
            epsilon = 1e-7 / np.sqrt(1 - 0.999**step) if keras_epsilon else 1e-8
            parameters[i] = p - rate * first / (np.sqrt(second) + epsilon)
    return parameters


SHAPES = ((3, 3, 2, 4), (4,), (4,), (4,), (8, 5), (5,))  # kernel, bias, gamma, beta, kernel, bias


def stepped(optimizer, steps):
    """(start, gradients, end) of variables that `optimizer` moved by random gradients."""
    random = np.random.default_rng(2)
    start = [random.normal(0, 1, shape).astype(np.float32) for shape in SHAPES]
    gradients = [[random.normal(0, 0.1, shape).astype(np.float32) for shape in SHAPES] for _ in range(steps)]
    variables = [keras.Variable(value) for value in start]
    for these in gradients:
        optimizer.apply([tf.constant(g) for g in these], variables)
    return start, gradients, [v.numpy() for v in variables]


def agree(ours, expected):
    return all(np.allclose(a, b, rtol=0, atol=2e-5) for a, b in zip(ours, expected, strict=True))


@pytest.mark.parametrize("steps", [1, 7])
def test_adam_with_l2_is_pytorch_s_adam_with_weight_decay(steps):
    start, gradients, end = stepped(AdamWithL2(1e-2, 0.3), steps)
    assert agree(end, adam(start, gradients, 1e-2, l2=0.3))
    for part, other in zip(end, adam(start, gradients, 1e-2, decoupled=0.3), strict=True):
        assert not np.allclose(part, other, rtol=0, atol=2e-4)  # nor is any part of it AdamW's


def test_fused_adam_is_keras_s_adam():
    """The kernel's formula is Keras's, epsilon included: gradients of 1e-6 tell it from PyTorch's."""
    ours, keras_s = (stepped(cls(1e-2), 7)[2] for cls in (FusedAdam, keras.optimizers.Adam))
    assert all(np.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(ours, keras_s, strict=True))
    tiny = [tf.constant(np.full(shape, 1e-6, np.float32)) for shape in SHAPES]
    ends = []
    for cls in (FusedAdam, keras.optimizers.Adam):
        variables, optimizer = [keras.Variable(np.ones(shape, np.float32)) for shape in SHAPES], cls(1e-2)
        for _ in range(3):
            optimizer.apply(tiny, variables)
        ends.append([v.numpy() for v in variables])
    assert all(np.allclose(a, b, rtol=0, atol=1e-7) for a, b in zip(*ends, strict=True))


@pytest.mark.parametrize("steps", [1, 7])
def test_adamw_takes_the_decay_off_the_tensor_itself(steps):
    recipe = replace(tiny_recipe(), optimizer="adamw", weight_decay=0.3, schedule=ConstantRate(1e-2))
    start, gradients, end = stepped(optimisation.optimizer(recipe, 1), steps)
    assert agree(end, adam(start, gradients, 1e-2, decoupled=0.3))
    assert not agree(end, adam(start, gradients, 1e-2, l2=0.3))


def test_adam_without_decay():
    start, gradients, end = stepped(optimisation.optimizer(tiny_recipe(), 1), 5)
    assert agree(end, adam(start, gradients, 1e-3))


def test_sgd_with_momentum_by_hand():
    recipe = replace(tiny_recipe(), optimizer="sgd", momentum=0.9, schedule=ConstantRate(0.1))
    start, gradients, end = stepped(optimisation.optimizer(recipe, 1), 6)
    expected, velocity = [p.astype(np.float64) for p in start], [np.zeros(shape) for shape in SHAPES]
    for these in gradients:
        velocity = [0.9 * v + g for v, g in zip(velocity, these, strict=True)]
        expected = [p - 0.1 * v for p, v in zip(expected, velocity, strict=True)]
    assert agree(end, expected)


def test_l2_reaches_biases_and_batch_normalisation_in_a_compiled_training():
    """A network's first two steps, each moved by the gradients that a tape finds, and by nothing but them."""
    recipe = replace(tiny_recipe(), weight_decay=0.3, label_smoothing=0.1, schedule=ConstantRate(1e-2))
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(6, bias_initializer="random_normal")
    model = keras.Sequential([keras.Input((7,)), dense, keras.layers.BatchNormalization(), keras.layers.Dense(5)])
    model.layers[1].set_weights([np.linspace(0.5, 2, 6), np.linspace(-1, 1, 6), np.zeros(6), np.ones(6)])
    model.compile(optimisation.optimizer(recipe, 1), optimisation.loss(recipe), jit_compile=False)
    x, y = np.random.default_rng(3).normal(size=(20, 7)).astype(np.float32), np.arange(20) % 5
    variables, gradients = model.trainable_variables, []
    start = [v.numpy() for v in variables]
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss = SmoothedCrossentropy(0.1)(y, model(x, training=True))
        gradients.append([g.numpy() for g in tape.gradient(loss, [v.value for v in variables])])
        model.reset_metrics()  # Keras 3.13 reports the mean over calls
        reported = model.train_on_batch(x, y)
        assert float(reported) == pytest.approx(float(loss), rel=1e-5)  # the data's loss, without the L2 term
    assert len(variables) == 6
    # the bias before a batch normalisation has rounding noise for a gradient, which the L2 term outweighs
    end = [v.numpy() for v in variables]
    assert agree(end, adam(start, gradients, 1e-2, l2=0.3, keras_epsilon=True))
    for part, without in zip(end, adam(start, gradients, 1e-2, keras_epsilon=True), strict=True):
        assert np.abs(part - without).max() > 4e-5  # twice what agreement allows


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_l2_is_pytorch_s_for_kernels_and_leaves_vectors_alone(nesterov):
    options = {"optimizer": "sgd", "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.3}
    start, gradients, end = stepped(optimisation.optimizer(tiny_recipe(schedule=ConstantRate(0.1), **options), 1), 6)
    expected, velocity = [p.astype(np.float64) for p in start], [np.zeros(shape) for shape in SHAPES]
    for these in gradients:
        for i, gradient in enumerate(these):
            g = gradient + (0.3 * expected[i] if len(SHAPES[i]) > 1 else 0)
            velocity[i] = 0.9 * velocity[i] + g
            expected[i] = expected[i] - 0.1 * (g + 0.9 * velocity[i] if nesterov else velocity[i])
    assert agree(end, expected)


def orthogonalised(kernel):
    """Newton and Schulz's iteration as K. Jordan writes it, in float64, on a kernel's matrix."""
    tall = kernel.reshape(-1, kernel.shape[-1])
    x = (tall.T if len(tall) > tall.shape[1] else tall) / np.linalg.norm(kernel)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.T if len(tall) > tall.shape[1] else x).reshape(kernel.shape)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (1, 1, 3, 16)], ids=str)
def test_muon_moves_convolutions_along_orthogonal_matrices_and_the_rest_as_adam(shape, nesterov):
    options = {"optimizer": "muon", "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.3}
    optimizer = optimisation.optimizer(tiny_recipe(schedule=ConstantRate(0.1), **options), 1)
    random = np.random.default_rng(0)
    start = [random.normal(size=each).astype(np.float32) for each in (shape, (6, 5), (5,))]
    variables = [keras.Variable(value) for value in start]
    gradients = [[random.normal(size=value.shape).astype(np.float32) for value in start] for _ in range(4)]
    optimizer.build(variables)
    kernel, velocity = start[0].astype(np.float64), np.zeros(shape)
    for these in gradients:
        optimizer.apply(these, variables)
        velocity = 0.9 * velocity + these[0]
        kernel = kernel * (1 - 0.1 * 0.3)
        direction = orthogonalised(these[0] + 0.9 * velocity if nesterov else velocity)
        longer = max(np.prod(shape[:3]), shape[3])
        kernel = kernel - 0.1 * 0.2 * np.sqrt(longer) * direction
    end = [variable.numpy() for variable in variables]
    assert np.abs(end[0] - kernel).max() < 1e-4
    singular = np.linalg.svd(direction.reshape(-1, shape[3]), compute_uv=False)
    assert singular.min() > 0.6
    assert singular.max() < 1.3
    others = [[gradient[i] for gradient in gradients] for i in (1, 2)]
    expected = adam(start[1:], list(zip(*others, strict=True)), 0.1 * 0.2, keras_epsilon=True)
    assert agree(end[1:], expected)


def test_a_cosine_s_warm_up_climbs_evenly_to_its_highest_rate_and_then_goes_down():
    recipe = tiny_recipe(schedule=CosineRate(0.5, floor=0.1, warm_up=0.25), epochs=4)
    rate = learning_rate_schedule(recipe, 10)
    rates = [float(rate(step)) for step in range(41)]
    assert rates[:11] == pytest.approx(np.linspace(0, 0.5, 11))
    assert rates[10:] == pytest.approx([0.3 + 0.2 * math.cos(math.pi * k / 30) for k in range(31)])


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("attempt4", FusedAdam, {"weight_decay": None}),
        ("s1-v1", AdamWithL2, {"l2": 1e-4, "weight_decay": None}),
        ("s1-v2", AdamWithL2, {"l2": 1e-4}),
        ("s2-cnn", keras.optimizers.SGD, {"momentum": 0.9, "weight_decay": None, "nesterov": False}),
        ("s2-mlp", keras.optimizers.SGD, {"momentum": 0.9}),
        ("s3-base", FusedAdam, {"weight_decay": 1e-3}),
        ("s3-decay", FusedAdam, {"weight_decay": 5e-4}),
        ("s4-author", FusedAdam, {"weight_decay": None}),
    ],
)
def test_recipes_get_the_optimizer_that_they_name(name, kind, values):
    optimizer = optimisation.optimizer(find(name), 10)
    assert type(optimizer) is kind
    assert {key: getattr(optimizer, key) for key in values} == values
    first = float(np.asarray(optimizer.learning_rate))
    assert first == pytest.approx(find(name).schedule.learning_rate, rel=1e-6)


# learning rates


def rates(schedule, epochs, steps_per_epoch, steps):
    """Keras's learning rate at each of `steps`, counted from 0."""
    rate = learning_rate_schedule(replace(tiny_recipe(), schedule=schedule, epochs=epochs), steps_per_epoch)
    return [float(rate(step)) if callable(rate) else rate for step in steps]


@pytest.mark.parametrize(
    ("schedule", "epochs", "step", "expected"),
    [
        (ExponentialRate(1e-4, 1.5, 10_000), 1, 10_000, 1.5e-4),
        (ExponentialRate(1e-4, 1.5, 10_000), 1, 5_000, 1e-4 * math.sqrt(1.5)),
        (ExponentialRate(5e-4, 0.95, 1_000), 1, 3_000, 5e-4 * 0.95**3),
        (ExponentialRate(1e-3, 4.0, None), 20, 0, 1e-3),
        (ExponentialRate(1e-3, 4.0, None), 20, 100, 2e-3),
        (ExponentialRate(1e-3, 4.0, None), 20, 200, 4e-3),
        (CosineRate(1e-3, 1e-5), 16, 0, 1e-3),
        (CosineRate(1e-3, 1e-5), 16, 40, 1e-5 + 0.99e-3 * (1 + math.sqrt(0.5)) / 2),
        (CosineRate(1e-3, 1e-5), 16, 80, (1e-3 + 1e-5) / 2),
        (CosineRate(1e-3, 1e-5), 16, 160, 1e-5),
    ],
)
def test_rates_at_chosen_steps(schedule, epochs, step, expected):
    assert rates(schedule, epochs, 10, [step]) == pytest.approx([expected], rel=1e-4)


@pytest.mark.parametrize("schedule", [ConstantRate(1e-3), PlateauRate(1e-3, 0.5, 5)])
def test_a_rate_that_no_step_changes_is_a_number(schedule):
    assert learning_rate_schedule(replace(tiny_recipe(), schedule=schedule), 10) == 1e-3


@pytest.mark.parametrize("every", [5, 7])
def test_a_rate_in_steps_is_halved_with_the_first_step_of_every_seventh_epoch(every):
    found = rates(StepRate(1e-2, 0.5, every), 60, 3, range(180))
    assert found == pytest.approx([1e-2 * 0.5 ** (step // 3 // every) for step in range(180)], rel=1e-5)


def test_drops_spread_evenly_over_a_run():
    # four drops in nine epochs: with every second epoch, none in the first and all by the last
    found = rates(StepRate(1.0, 0.5, None, drops=4), 9, 2, range(18))
    per_epoch = found[::2]
    assert found[1::2] == per_epoch  # all of an epoch at one rate
    assert per_epoch[0] == 1.0
    assert per_epoch[-1] == 0.5**4
    drops = np.log(per_epoch) / np.log(0.5)
    assert np.abs(drops - np.arange(9) * 4 / 8).max() < 0.5 + 1e-6  # never more than half a drop from the line
    assert (np.diff(drops) > -1e-6).all()
    # more drops than epochs to make them in: several at once, and still all of them
    assert rates(StepRate(1.0, 0.5, None, drops=8), 3, 1, range(3)) == [1.0, 0.5**4, 0.5**8]
    assert rates(StepRate(1.0, 0.5, None, drops=8), 1, 1, [0]) == [1.0]
