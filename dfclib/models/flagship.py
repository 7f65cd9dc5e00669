"""Ours: one small network that sees the image and what its smallest neighbourhood does not explain.

Generators differ in the finest detail. Nothing is reduced before the first convolution, and pooling comes before batch
normalisation and activation, which then have a quarter of the elements to pass over.
"""

from keras import KerasTensor, layers

from dfclib.models.layers import TORCH_EPSILON, TORCH_MOMENTUM, FusedBatchNormalization, Ints, logits

KERNEL = 3


def highpass_cnn(x: KerasTensor, classes: int, *, stages: list[Ints], high_pass: float) -> KerasTensor:
    """Stages of convolutions, the first of each followed by pooling; a global average; one dense layer.

    stages: filters of each convolution, by stage
    high_pass: 0, or the factor on each pixel less the mean of its 3x3 neighbourhood, which joins the colours as more
        channels; it brings the small differences to the size of the colours
    """
    if high_pass:
        # in float32: bfloat16 has 8 binary digits, and would round the difference away before it is taken
        mean = layers.AveragePooling2D(KERNEL, strides=1, padding="same", dtype="float32", name="neighbourhood")(x)
        detail = layers.Subtract(dtype="float32", name="detail")([x, mean])
        detail = layers.Rescaling(high_pass, dtype="float32", name="high_pass")(detail)
        x = layers.Concatenate(dtype="float32", name="image_and_detail")([x, detail])
    for stage, widths in enumerate(stages, start=1):
        for number, width in enumerate(widths, start=1):
            name = f"{stage}_{number}"
            options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
            x = layers.Conv2D(width, KERNEL, name=f"conv{name}", **options)(x)
            if number == 1:
                x = layers.MaxPooling2D(2, name=f"pool{stage}")(x)
            x = FusedBatchNormalization(momentum=TORCH_MOMENTUM, epsilon=TORCH_EPSILON, name=f"norm{name}")(x)
            x = layers.ReLU(name=f"relu{name}")(x)
    return logits(layers.GlobalAveragePooling2D(name="global_pool")(x), classes)
