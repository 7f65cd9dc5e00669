"""S4: Fashion-MNIST, the author's network and ours.

    make fashion        # both rows: data, training, figures, a page of predictions

Author's figures and ours come from the same 10,000 test images. The checkpoint is chosen on a stratified tenth of the
training images, which is what `validation` is here; the test images are looked at once.
"""

from dataclasses import replace

from dfclib.recipes.recipe import Augmentation, ConstantRate, CosineRate, Recipe, Scale, Stopping

BEST_EPOCH = Stopping(monitor="val_accuracy", patience=40)  # the best epoch is kept, and nothing stops early

# The description leaves out everything but layers and figures: optimizer, batch and epochs are Keras's usual ones.
s4_author = Recipe(
    name="s4-author",
    title="S4: the author's Fashion-MNIST network",
    system="S4",
    builder="dfclib.models.fashion_mnist.authors",
    image_size=(28, 28),
    schedule=ConstantRate(1e-3),
    batch_size=64,
    epochs=10,
    stopping=BEST_EPOCH,
    quick_scale=Scale(epochs=20),  # Keras's batch normalisation needs some 600 steps to know its images
    compact_scale=Scale(epochs=10, precision="mixed_bfloat16"),
    source_images=54_000,
    source_channels=1,
    source_classes=10,
    claims={"test": 0.8510, "test_loss": 0.4581},
    source="public project without a known address",
)

s4_ours = replace(
    s4_author,
    name="s4-ours",
    title="S4: our Fashion-MNIST network",
    builder="dfclib.models.fashion_mnist.ours",
    normalisation="training",
    # whole pixels at most: at 28x28 a resampled garment loses its texture
    augmentation=Augmentation(horizontal_flip=True, shift=0.07, fill="constant"),
    interpolation="nearest",
    label_smoothing=0.1,
    optimizer="adamw",
    weight_decay=5e-4,
    schedule=CosineRate(2e-3, floor=1e-5),
    batch_size=128,
    epochs=16,
    quick_scale=Scale(epochs=10),
    compact_scale=Scale(epochs=16, precision="mixed_bfloat16"),
    claims={},
    source="",
)

RECIPES = (s4_author, s4_ours)
