"""Ours: one small network that sees the image and what its smallest neighbourhood does not explain.

Generators differ in the finest detail. Nothing is reduced before the first convolution, and pooling comes before batch
normalisation and activation, which then have a quarter of the elements to pass over.
"""

from keras import KerasTensor, layers

from dfclib.models.layers import TORCH_EPSILON, TORCH_MOMENTUM, FusedBatchNormalization, Ints, logits

KERNEL = 3


def highpass_cnn(
    x: KerasTensor, classes: int, *, high_pass: float, stem: Ints, stages: list[Ints], gram: int
) -> KerasTensor:
    """Convolutions on all pixels, stages of convolutions of which the first is pooled, and one dense layer.

    high_pass: 0, or the factor on each pixel less the mean of its 3x3 neighbourhood, which joins the colours as more
        channels; it brings the small differences to the size of the colours
    stem: filters of convolutions that nothing is pooled after
    stages: filters of each convolution, by stage; the first of each stage is followed by pooling
    gram: 0: the dense layer sees each channel's average. Else as many channels are made of the last ones, and it sees
        their products with each other as well, averaged over the image: what goes together, wherever it stands
        (L. Gatys et al. 2016, doi:10.1109/CVPR.2016.265)
    """
    if high_pass:
        # in float32: bfloat16 has 8 binary digits, and would round the difference away before it is taken
        mean = layers.AveragePooling2D(KERNEL, strides=1, padding="same", dtype="float32", name="neighbourhood")(x)
        detail = layers.Subtract(dtype="float32", name="detail")([x, mean])
        detail = layers.Rescaling(high_pass, dtype="float32", name="high_pass")(detail)
        x = layers.Concatenate(dtype="float32", name="image_and_detail")([x, detail])
    for number, width in enumerate(stem, start=1):
        x = _convolution(x, width, f"0_{number}", pool=False)
    for stage, widths in enumerate(stages, start=1):
        for number, width in enumerate(widths, start=1):
            x = _convolution(x, width, f"{stage}_{number}", pool=number == 1)
    seen = layers.GlobalAveragePooling2D(name="global_pool")(x)
    if gram:
        products = layers.Conv2D(gram, 1, use_bias=False, name="gram_channels")(x)
        height, width = products.shape[1:3]
        products = layers.Reshape((height * width, gram), name="gram_places")(products)
        products = layers.Dot(axes=1, dtype="float32", name="gram_products")([products, products])
        products = layers.Rescaling(1 / (height * width), dtype="float32", name="gram_averages")(products)
        products = layers.Flatten(dtype="float32", name="gram")(products)
        seen = layers.Concatenate(dtype="float32", name="averages_and_products")([seen, products])
    return logits(seen, classes)


def _convolution(x: KerasTensor, filters: int, number: str, pool: bool) -> KerasTensor:
    """Convolution, perhaps pooling, batch normalisation, ReLU."""
    options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(filters, KERNEL, name=f"conv{number}", **options)(x)
    if pool:
        x = layers.MaxPooling2D(2, name=f"pool{number.partition('_')[0]}")(x)
    x = FusedBatchNormalization(momentum=TORCH_MOMENTUM, epsilon=TORCH_EPSILON, name=f"norm{number}")(x)
    return layers.ReLU(name=f"relu{number}")(x)
