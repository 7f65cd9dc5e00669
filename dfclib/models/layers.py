"""Layers that several systems share: normalised input, blocks, PyTorch's initialisers.

A finished model holds nothing but Keras's own layers (`as_plain_keras`): model.keras loads without this package.
"""

from collections.abc import Sequence

import keras
from keras import layers

TORCH_MOMENTUM, TORCH_EPSILON = 0.9, 1e-5  # PyTorch's momentum of .1 is what Keras calls .9
Ints, Floats, Head = Sequence[int], Sequence[float], Sequence[tuple[int, float]]  # Head: units and dropout per layer
Normalisation = tuple[Sequence[float], Sequence[float]]  # mean and deviation of each channel, on 0..255


class FusedBatchNormalization(layers.BatchNormalization):
    """Keras's BatchNormalization, whose training step is TensorFlow's one fused kernel instead of several passes.

    The same numbers within rounding, sooner on a CPU (benchmarks/results/batch_normalization.json has by how much).
    On another backend, and in inference, it is Keras's own layer.
    """

    def call(self, inputs, training=None, mask=None):
        fusible = keras.backend.backend() == "tensorflow" and len(inputs.shape) == 4 and mask is None
        # the kernel knows channels last, with factor and offset alone
        fusible = fusible and self.axis in (-1, 3) and self.scale and self.center
        if not (training and self.trainable and fusible):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        x, none = tf.cast(inputs, self.compute_dtype), tf.zeros((0,))
        options = {"epsilon": self.epsilon, "is_training": True}
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=self.gamma.value, offset=self.beta.value, mean=none, variance=none, **options
        )
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
        variance *= (count - 1) / count  # the kernel's is unbiased, Keras keeps the biased one
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + new * (1 - self.momentum))
        return outputs


class FastDropout(layers.Dropout):
    """Keras's Dropout, drawn from 16 random bits per value where Keras draws a float: steps of the six attempts are
    sooner done on a CPU (benchmarks/results/dropout.json has by how much). A rate is rounded to a 65,536th.

    On another backend, with a noise shape and in inference it is Keras's own layer.
    """

    def call(self, inputs, training=False):
        threshold = round(self.rate * 2**16)
        plain = self.noise_shape is not None or not 0 < threshold < 2**16
        if not training or plain or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training)
        import tensorflow as tf

        x = tf.convert_to_tensor(inputs)
        seed = tf.cast(tf.math.floormod(tf.cast(self.seed_generator.next(), tf.int64), tf.int32.max), tf.int32)
        pairs = tf.random.stateless_uniform(((tf.size(x) + 1) // 2,), seed, None, None, tf.uint32)
        bits = tf.reshape(tf.bitcast(pairs, tf.uint16), (-1,))[: tf.size(x)]
        kept = tf.cast(tf.reshape(bits, tf.shape(x)) >= tf.constant(threshold, tf.uint16), x.dtype)
        return tf.ensure_shape(x * kept * tf.cast(1 / (1 - threshold / 2**16), x.dtype), inputs.shape)


PLAIN = {FusedBatchNormalization: layers.BatchNormalization, FastDropout: layers.Dropout}


def as_plain_keras(model: keras.Model) -> keras.Model:
    """The same network and weights, made of Keras's own layers alone, and not compiled: it loads without dfclib."""
    # without the optimizer and loss that `model` was compiled with, which loading and cloning would try to make again
    uncompiled = keras.Model(model.input, model.output, name=model.name)
    if not any(type(layer) in PLAIN for layer in model.layers):
        return uncompiled

    def plain(layer: layers.Layer) -> layers.Layer:
        return PLAIN.get(type(layer), type(layer)).from_config(layer.get_config())

    copy = keras.models.clone_model(uncompiled, clone_function=plain)
    copy.set_weights(model.get_weights())
    return copy


def pixels_and_normalised(
    image_size: tuple[int, int], channels: int, normalisation: Normalisation
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The input, pixels 0..255, and (pixels - mean) / deviation per channel, in float32 whatever the precision:
    bfloat16 would round a normalised bright pixel to its neighbour before the first convolution sees it."""
    scale = [1 / deviation for deviation in normalisation[1]]
    offset = [-mean / deviation for mean, deviation in zip(*normalisation, strict=True)]
    if len(scale) == 1:
        scale, offset = scale[0], offset[0]
    pixels = keras.Input((*image_size, channels), name="pixels")
    return pixels, layers.Rescaling(scale, offset, dtype="float32", name="normalisation")(pixels)


def logits(x: keras.KerasTensor, classes: int, **options) -> keras.KerasTensor:
    """The last dense layer, in float32 whatever the precision: a loss on bfloat16 logits loses digits."""
    return layers.Dense(classes, dtype="float32", name="logits", **options)(x)


def torch_initializers(fan_in: int) -> dict[str, keras.initializers.Initializer]:
    """Initialisers of kernel and bias as PyTorch's Linear and Conv2d have them: uniform within 1/sqrt(fan_in), the
    inputs of one unit."""
    limit = max(1, fan_in) ** -0.5  # of an image too small nothing is left: build() says so
    return {f"{name}_initializer": keras.initializers.RandomUniform(-limit, limit) for name in ("kernel", "bias")}


def torch_dense(x: keras.KerasTensor, units: int, name: str, activation: str | None = None) -> keras.KerasTensor:
    """PyTorch's Linear, and an activation."""
    return layers.Dense(units, activation=activation, name=name, **torch_initializers(x.shape[-1]))(x)


def torch_block(x: keras.KerasTensor, filters: int, kernel: int, stage: int, pool: bool = True) -> keras.KerasTensor:
    """Convolution that keeps the size, BatchNorm, ReLU and, if `pool`, MaxPool 2, all as PyTorch has them."""
    start = torch_initializers(kernel * kernel * x.shape[-1])
    x = layers.Conv2D(filters, kernel, padding="same", name=f"conv{stage}", **start)(x)
    x = FusedBatchNormalization(momentum=TORCH_MOMENTUM, epsilon=TORCH_EPSILON, name=f"norm{stage}")(x)
    x = layers.ReLU(name=f"relu{stage}")(x)
    return layers.MaxPooling2D(2, name=f"pool{stage}")(x) if pool else x
