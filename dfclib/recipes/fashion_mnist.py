"""S4: Fashion-MNIST, the author's network and ours.

    make fashion        # both rows: data, training, figures, a page of predictions

Author's figures and ours come from the same 10,000 test images. The checkpoint is chosen on a stratified tenth of the
training images, which is what `validation` is here; the test images are looked at once.

<!-- generated: recorded-fashion_mnist -->
s4-author, seed 0, compact, published: test 90.9% [90.3%, 91.5%], n = 10,000,
    10 epochs, 11 min, CPU, mixed_bfloat16
s4-ours, seed 0, compact, published: test 93.5% [93.0%, 94.0%], n = 10,000,
    16 epochs, 32 min, CPU, mixed_bfloat16
<!-- end generated -->
"""

from dataclasses import replace

from dfclib.recipes.recipe import FASHION_MNIST, Augmentation, Recipe, Scale
from dfclib.recipes.schedules import ConstantRate, CosineRate

# The description leaves out everything but layers and figures: optimizer, batch and epochs are Keras's usual ones,
# padding, rates of dropout and the width of the dense layer our choice.
s4_author = Recipe(
    name="s4-author",
    title="S4: the author's Fashion-MNIST network",
    system="S4",
    builder="dfclib.models.fashion_mnist.author_cnn",
    arguments={"filters": [32, 64, 128], "kernel": 3, "dropout": 0.25, "units": 128, "head_dropout": 0.5},
    dataset=FASHION_MNIST,
    reported_split="test",
    image_size=(28, 28),
    framing_interpolation="bilinear",
    schedule=ConstantRate(1e-3),
    batch_size=64,
    epochs=10,
    keep="best_val_accuracy",
    quick_scale=Scale(epochs=20, precision="float32"),  # Keras's batch normalisation needs some 600 steps
    compact_scale=Scale(),
    claims={"test": 0.8510, "test_loss": 0.4581},
    source="public project without a known address",
)

s4_ours = replace(
    s4_author,
    name="s4-ours",
    title="S4: our Fashion-MNIST network",
    builder="dfclib.models.fashion_mnist.double_cnn",
    arguments={"filters": [32, 64, 128], "kernel": 3, "dropouts": [0.1, 0.2, 0.3], "units": 256}
    | {"head_dropout": 0.4},
    normalisation="training",
    # the nearest pixel: at 28x28 a resampled garment loses its texture
    augmentation=Augmentation(horizontal_flip=True, shift=0.07, fill="constant", interpolation="nearest"),
    label_smoothing=0.1,
    optimizer="adamw",
    weight_decay=5e-4,
    schedule=CosineRate(2e-3, floor=1e-5),
    batch_size=128,
    epochs=16,
    quick_scale=Scale(epochs=10, precision="float32"),
    claims={},
    source="",
)

RECIPES = (s4_author, s4_ours)
