"""S3: one network, four trainings with small changes, and a soft vote with equal weights.

    python -m dfclib train s3-vote --data deepfake_data        # full; --scale compact on two CPU cores

Where the author's description and report differ, the report's numbers stand here: four poolings. Seeds are ours: the
author names none. "Every image and its mirror" is two showings of each image an epoch, the second one mirrored.
"""

from dataclasses import replace

from dfclib.recipes.recipe import Augmentation, CosineRate, EnsembleRecipe, Recipe, Scale

SOURCE = "https://github.com/stefanvoica/Deepfake-detection"

s3_base = Recipe(
    name="s3-base",
    title="S3's base network",
    system="S3",
    builder="dfclib.models.seed_ensemble.convolutional",
    image_size=(100, 100),
    interpolation="nearest",  # torchvision's rotation takes the nearest pixel unless told otherwise
    normalisation="training",
    augmentation=Augmentation(every_mirror=True, fill="constant"),
    repeats=2,
    label_smoothing=0.1,
    optimizer="adamw",
    weight_decay=1e-3,
    schedule=CosineRate(1e-3, floor=1e-5),
    epochs=160,
    quick_scale=Scale(epochs=6, image_size=(48, 48), framing="crop"),
    compact_scale=Scale(epochs=3, precision="mixed_bfloat16"),
    claims={"parameters": 2_750_213},
    source=SOURCE,
)

s3_head128 = replace(
    s3_base,
    name="s3-head128",
    title="S3, a head of 128",
    arguments={"units": 128},
    seed=1,
    claims={"parameters": 1_569_797},
)
s3_decay = replace(s3_base, name="s3-decay", title="S3, weight decay 5e-4", weight_decay=5e-4, seed=2)
s3_rotation = replace(
    s3_base,
    name="s3-rotation",
    title="S3, rotation by up to 5 degrees",
    augmentation=replace(s3_base.augmentation, rotation=5),
    seed=3,
)

s3_vote = EnsembleRecipe(
    name="s3-vote",
    title="S3's four networks, equal weights",
    system="S3",
    members=(s3_base, s3_head128, s3_decay, s3_rotation),
    vote="soft",
    claims={"validation": 0.9268},
    source=SOURCE,
)

# The description's other reading, and the baseline
s3_two_pools = replace(
    s3_base,
    name="s3-two-pools",
    title="S3's base network with two poolings",
    arguments={"pool_after": [2, 4]},
    claims={},
)
s3_mlp = replace(
    s3_base,
    name="s3-mlp",
    title="S3's MLP",
    builder="dfclib.models.seed_ensemble.perceptron",
    claims={"validation": 0.59, "parameters": 15_426_821},
)

RECIPES = (s3_base, s3_head128, s3_decay, s3_rotation, s3_vote, s3_two_pools, s3_mlp)
