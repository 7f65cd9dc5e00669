"""S2: a convolutional network, and a multilayer perceptron as its baseline.

    python -m dfclib train s2-cnn --data deepfake_data        # full; --scale compact on two CPU cores

The author states validation and Kaggle accuracies. Nothing stops early and no checkpoint is chosen: the last epoch is
kept. One bilinear resampling enlarges and rotates, where the author's torchvision enlarges first and then rotates by
the nearest pixel.
"""

from dataclasses import replace

from dfclib.recipes.recipe import Augmentation, Recipe, Scale, StepRate

SOURCE = "https://github.com/andra2602/Deepfake-Classification"

s2_cnn = Recipe(
    name="s2-cnn",
    title="S2's CNN: four blocks, one dense layer",
    system="S2",
    builder="dfclib.models.cnn_and_mlp.convolutional",
    image_size=(128, 128),
    interpolation="bilinear",  # 100x100 pixels are enlarged, and one resampling does everything
    normalisation="half",
    augmentation=Augmentation(rotation=15, horizontal_flip=True, fill="constant"),
    optimizer="sgd",
    momentum=0.9,
    schedule=StepRate(1e-2, factor=0.5, every=7),
    batch_size=64,
    epochs=60,
    quick_scale=Scale(epochs=8, image_size=(48, 48), framing="crop"),
    compact_scale=Scale(epochs=15, precision="mixed_bfloat16"),
    claims={"validation": 0.8888, "kaggle": 0.90, "parameters": 2_196_613},
    source=SOURCE,
)

# No augmentation is described for the MLP.
s2_mlp = replace(
    s2_cnn,
    name="s2-mlp",
    title="S2's MLP: the baseline without convolution",
    builder="dfclib.models.cnn_and_mlp.perceptron",
    augmentation=None,
    schedule=StepRate(1e-2, factor=0.5, every=5),
    epochs=15,
    compact_scale=Scale(epochs=8, precision="mixed_bfloat16"),
    claims={"validation": 0.603, "kaggle": 0.618, "kaggle_highest": 0.65, "parameters": 50_990_085},
)

RECIPES = (s2_cnn, s2_mlp)
