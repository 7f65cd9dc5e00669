"""Ours: trained from scratch under the competition's rules.

    python -m dfclib train sprint --data deepfake_data

All of the training images are used, no image is watched while it trains, and the last epoch counts: validation is
looked at once, when all is over. What `sprint` is made of:

* What no neighbourhood explains: each pixel less the mean of its 3x3 pixels, as three more channels.
* Shifts by whole pixels and mirrors, which resample nothing.
* Muon for the convolutions, a warm-up and a cosine; a running average of the weights.
* Predictions are averaged over each image and its mirror image.

Optimizer and augmentation were chosen on held-out images, by a study that began with SGD and CutMix:

<!-- generated: study-sprint-start -->
SGD or Muon for sprint, with CutMix or without? (The first five of seventeen variants that were planned.) On 1,250
held-out images, one seed each, 5 of 5 variants, points with 95% intervals:
    SGD and CutMix: 92.2% (90.6% to 93.5%)
    no mirror image at prediction: 92.1% (90.6% to 93.5%), -0.1 (-0.8 to +0.6)
    SGD: 92.7% (91.3% to 94.1%), +0.6 (-0.2 to +1.3)
    Muon: 94.3% (93.0% to 95.5%), +2.2 (+1.0 to +3.3)
    Muon and CutMix: 93.8% (92.4% to 95.0%), +1.6 (+0.6 to +2.6)
<!-- end generated -->

<!-- generated: study-sprint-ingredients -->
No variant is trained yet.
<!-- end generated -->

What follows sprint starts from these:

<!-- generated: study-summit-network -->
No variant is trained yet.
<!-- end generated -->

<!-- generated: recorded-flagship -->
sprint, seed 0, full, final: validation 94.6% [93.2%, 95.7%], n = 1,250,
    16 epochs, 13 min, CPU, mixed_bfloat16
sprint, seed 1, full, final: validation 94.9% [93.5%, 96.0%], n = 1,250,
    16 epochs, 12 min, CPU, mixed_bfloat16
sprint, seed 2, full, final: validation 94.6% [93.2%, 95.8%], n = 1,250,
    16 epochs, 12 min, CPU, mixed_bfloat16
sprint-vote, seed 0, full, final: validation 95.2% [93.9%, 96.3%], n = 1,250,
    3 voters, 38 min, CPU, mixed_bfloat16
<!-- end generated -->
"""

from dataclasses import replace

from dfclib.recipes.recipe import OURS, Augmentation, EnsembleRecipe, Recipe, Scale
from dfclib.recipes.schedules import CosineRate

sprint = Recipe(
    name="sprint",
    title="Sprint: ours, in minutes",
    system=OURS,
    builder="dfclib.models.flagship.highpass_cnn",
    arguments={"high_pass": 4.0, "stem": [], "stages": [[32], [64], [128, 128], [256, 256]], "gram": 0},
    image_size=(100, 100),
    framing_interpolation="bilinear",
    normalisation="half",
    augmentation=Augmentation(horizontal_flip=True, shift_pixels=6, interpolation="nearest"),
    label_smoothing=0.1,
    optimizer="muon",
    momentum=0.95,
    nesterov=True,
    weight_decay=0.1,
    average_over=0.15,
    mirror_averaged=True,
    batch_size=128,
    epochs=16,
    schedule=CosineRate(0.01, floor=0.0, warm_up=0.1),
    protocol="final",
    quick_scale=Scale(
        epochs=20, batch_size=16, rate_factor=0.25, image_size=(32, 32), framing="crop", precision="float32"
    ),
    compact_scale=Scale(),
)

# Three seeds, all alike and all of equal weight: nothing is chosen.
sprint_vote = EnsembleRecipe(
    name="sprint-vote",
    title="Sprint's vote: three seeds, equal weights",
    system=OURS,
    members=tuple(replace(sprint, seed=seed) for seed in range(3)),
    vote="soft",
)

RECIPES = (sprint, sprint_vote)
