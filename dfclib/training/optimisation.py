"""Loss, optimizer and learning rates of a recipe, PyTorch's variants among them."""

import keras
from keras import ops

from dfclib.recipes.recipe import Recipe
from dfclib.recipes.schedules import ConstantRate, CosineRate, PlateauRate, StepRate


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits (n, k) with integer labels (n,), a share of each target spread over all k classes.

    (1 - smoothing) * CE(label) + smoothing * mean over classes of -log p: what Keras's CategoricalCrossentropy does
    to one-hot labels (Szegedy et al. 2016, arXiv 1512.00567), without making them one-hot.
    """

    def __init__(self, label_smoothing: float, **options) -> None:
        super().__init__(name="smoothed_crossentropy", **options)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        log_probabilities = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
        labels = ops.cast(ops.reshape(y_true, (-1, 1)), "int32")
        right = ops.squeeze(ops.take_along_axis(log_probabilities, labels, axis=-1), axis=-1)
        everywhere = ops.mean(log_probabilities, axis=-1)
        return -(1 - self.label_smoothing) * right - self.label_smoothing * everywhere


class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, with its decoupled weight decay where one is given, updated by TensorFlow's own kernel.

    The kernel passes once over the memory of a tensor and its moments, where Keras's operations pass about ten times:
    networks of tens of millions of parameters spend a third of a step there (benchmarks/fused_adam.py). The formula is
    the same; sums are rounded otherwise. Under another backend it is Keras's own.
    """

    def update_step(self, gradient, variable, learning_rate):
        if keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        def number(value):
            return tf.cast(value, variable.dtype)

        i, step = self._get_variable_index(variable), number(self.iterations.value + 1)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[i].value.handle,
            v=self._velocities[i].value.handle,
            beta1_power=number(self.beta_1) ** step,
            beta2_power=number(self.beta_2) ** step,
            lr=number(learning_rate),
            beta1=number(self.beta_1),
            beta2=number(self.beta_2),
            epsilon=number(self.epsilon),
            grad=number(gradient),
        )


class AdamWithL2(FusedAdam):
    """Adam on the loss plus l2 / 2 * sum(p^2) over every trainable tensor p: PyTorch's Adam(weight_decay=l2).

    Epsilon stays Keras's, 1e-7 where PyTorch has 1e-8: it counts for gradients near zero alone.

    The term's gradient, l2 * p, is added here, so that the reported loss stays the data's. Keras's own weight_decay
    is another thing (AdamW's): it does not pass through Adam's moments.
    """

    def __init__(self, learning_rate, l2: float, **options) -> None:
        super().__init__(learning_rate, **options)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype) + self.l2 * ops.convert_to_tensor(variable)
        super().update_step(gradient, variable, learning_rate)


class SGDWithL2(keras.optimizers.SGD):
    """SGD on the loss plus l2 / 2 * sum(p^2) over every kernel: PyTorch's SGD(weight_decay=l2), but for tensors of one
    axis (biases, a batch normalisation's factors and offsets), which are left alone."""

    def __init__(self, learning_rate, l2: float, **options) -> None:
        super().__init__(learning_rate, **options)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        if len(variable.shape) > 1:
            gradient = ops.cast(gradient, variable.dtype) + self.l2 * ops.convert_to_tensor(variable)
        super().update_step(gradient, variable, learning_rate)


class ConvolutionalMuon(keras.optimizers.Muon):
    """Muon for the kernels of convolutions, Adam for all else; Keras's own takes dense kernels and none of these.

    A kernel (height, width, in, out) counts as a matrix (height * width * in, out). What a step adds to it is about the
    orthogonal matrix that is nearest to its momentum (K. Jordan et al. 2024, kellerjordan.github.io/posts/muon), scaled
    to a root mean square of 0.2 times the learning rate (J. Liu et al. 2025, arXiv 2502.16982). Weight decay is as
    AdamW's, on these kernels alone.
    """

    def __init__(self, learning_rate, **options) -> None:
        # Adam moves a number by about its learning rate, which is brought down to what a kernel's numbers move by
        super().__init__(learning_rate, adam_weight_decay=None, adam_lr_ratio=0.2, rms_rate=0.2, **options)

    def _should_use_adamw(self, variable):
        return len(variable.shape) != 4

    def zeropower_via_newtonschulz5(self, x, steps):
        return ops.reshape(super().zeropower_via_newtonschulz5(_as_matrix(x), steps), x.shape)

    def lr_adjust(self, x):
        return ops.reshape(super().lr_adjust(_as_matrix(x)), x.shape)


def _as_matrix(kernel):
    return ops.reshape(kernel, (-1, kernel.shape[-1]))


def loss(recipe: Recipe) -> keras.losses.Loss:
    """The recipe's loss of logits (n, k) and integer labels (n,), or, where it mixes them, shares (n, k)."""
    if recipe.mixes_labels:
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
    if recipe.label_smoothing:
        return SmoothedCrossentropy(recipe.label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer, its learning rate set up for a run of the recipe's epochs."""
    rate = learning_rate_schedule(recipe, steps_per_epoch)
    reach = recipe.average_over * recipe.epochs * steps_per_epoch
    average = {"use_ema": True, "ema_momentum": max(0.0, 1 - 1 / reach)} if reach else {}
    options = {"momentum": recipe.momentum, "nesterov": recipe.nesterov} | average  # of those that have a momentum
    if recipe.optimizer == "sgd":
        return (
            SGDWithL2(rate, recipe.weight_decay, **options)
            if recipe.weight_decay
            else keras.optimizers.SGD(rate, **options)
        )
    if recipe.optimizer == "muon":
        return ConvolutionalMuon(rate, weight_decay=recipe.weight_decay or None, **options)
    if recipe.optimizer == "adamw":
        return FusedAdam(rate, weight_decay=recipe.weight_decay, **average)
    return AdamWithL2(rate, recipe.weight_decay, **average) if recipe.weight_decay else FusedAdam(rate, **average)


def learning_rate_schedule(
    recipe: Recipe, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Keras's learning rate for the recipe's schedule over its epochs; a plateau's is a number to start from."""
    schedule, total = recipe.schedule, recipe.epochs * steps_per_epoch
    if isinstance(schedule, ConstantRate | PlateauRate):
        return schedule.learning_rate
    if isinstance(schedule, CosineRate):
        climb, alpha = round(schedule.warm_up * total), schedule.floor / schedule.learning_rate
        warm_up = {"warmup_target": schedule.learning_rate, "warmup_steps": climb} if climb else {}
        start = 0.0 if climb else schedule.learning_rate
        return keras.optimizers.schedules.CosineDecay(start, decay_steps=total - climb, alpha=alpha, **warm_up)
    if isinstance(schedule, StepRate):
        boundaries, rates = _steps(schedule, recipe.epochs)
        # Keras keeps the rate for the step at the boundary itself, PyTorch changes it with the epoch
        boundaries = [epoch * steps_per_epoch - 1 for epoch in boundaries]
        return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates) if boundaries else rates[0]
    return keras.optimizers.schedules.ExponentialDecay(
        schedule.learning_rate, decay_steps=schedule.steps or total, decay_rate=schedule.factor
    )


def _steps(schedule: StepRate, epochs: int) -> tuple[list[int], list[float]]:
    """Epochs (from 0) with which the rate changes, and the rates between them, one more."""
    if schedule.every is not None:
        drops = [epoch // schedule.every for epoch in range(epochs)]
    elif epochs > schedule.drops:  # evenly spread: as long at each rate, none in the first epoch and all by the last
        drops = [epoch * (schedule.drops + 1) // epochs for epoch in range(epochs)]
    else:
        drops = [epoch * schedule.drops // max(1, epochs - 1) for epoch in range(epochs)]
    boundaries = [epoch for epoch in range(1, epochs) if drops[epoch] != drops[epoch - 1]]
    return boundaries, [schedule.learning_rate * schedule.factor ** drops[epoch] for epoch in (0, *boundaries)]
