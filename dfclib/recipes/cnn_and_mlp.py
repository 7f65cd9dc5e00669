"""S2: a convolutional network, and a multilayer perceptron as its baseline.

    python -m dfclib train s2-cnn --data deepfake_data        # full; --scale compact is the same training here

The author states validation and Kaggle accuracies. Nothing stops early and no checkpoint is chosen: the last epoch is
kept. torchvision enlarges bilinearly and rotates by the nearest pixel, and so do we.

<!-- generated: recorded-cnn_and_mlp -->
s2-cnn, seed 0, compact, published: validation 89.1% [87.3%, 90.7%], n = 1,250,
    60 epochs, 51 min, CPU, mixed_bfloat16
s2-mlp, seed 0, compact, published: validation 59.7% [56.9%, 62.4%], n = 1,250,
    15 epochs, 21 min, CPU, mixed_bfloat16
<!-- end generated -->
"""

from dataclasses import replace

from dfclib.recipes.recipe import Augmentation, Recipe, Scale
from dfclib.recipes.schedules import StepRate

s2_cnn = Recipe(
    name="s2-cnn",
    title="S2's CNN: four blocks, one dense layer",
    system="S2",
    builder="dfclib.models.cnn_and_mlp.cnn",
    arguments={"filters": [16, 32, 64, 128], "kernel": 3, "pool_after": [1, 2, 3, 4], "dropouts": [0.3, 0.3]}
    | {"units": 256},
    image_size=(128, 128),
    framing_interpolation="bilinear",
    normalisation="half",
    augmentation=Augmentation(rotation=15, horizontal_flip=True, fill="constant", interpolation="nearest"),
    optimizer="sgd",
    momentum=0.9,
    schedule=StepRate(1e-2, factor=0.5, every=7),
    batch_size=64,
    epochs=60,
    quick_scale=Scale(epochs=16, batch_size=16, image_size=(32, 32), framing="crop", precision="float32"),
    compact_scale=Scale(),
    claims={"validation": 0.8888, "kaggle": 0.90, "parameters": 2_196_613},
    claims_note="the author measures validation on images that are flipped and rotated at random",
    source="https://github.com/andra2602/Deepfake-Classification",
)

# The author's description has no augmentation for the MLP ...
s2_mlp = replace(
    s2_cnn,
    name="s2-mlp",
    title="S2's MLP: the baseline without convolution",
    builder="dfclib.models.cnn_and_mlp.mlp",
    arguments={"units": [1024, 512, 256], "negative_slope": 0.01, "dropouts": [0.0, 0.0, 0.3]},
    augmentation=None,
    schedule=StepRate(1e-2, factor=0.5, every=5),
    epochs=15,
    claims={"validation": 0.603, "kaggle": 0.618, "parameters": 50_990_085},
    claims_note="",
)
# ... his script has the CNN's.
s2_mlp_augmented = replace(
    s2_mlp,
    name="s2-mlp-augmented",
    title="S2's MLP with the CNN's augmentation",
    augmentation=s2_cnn.augmentation,
    claims={"kaggle": 0.65, "parameters": 50_990_085},
    claims_note=s2_cnn.claims_note,
)

RECIPES = (s2_cnn, s2_mlp, s2_mlp_augmented)
