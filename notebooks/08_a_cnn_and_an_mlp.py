# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A CNN, and an MLP to measure it by
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/dfclib/dfclib/blob/main/notebooks/08_a_cnn_and_an_mlp.ipynb)

# %% [markdown]
# ## Question
#
# What is convolution worth?
#
# Two networks of one author, the system called S2 here, see the same images. One is made of convolutions. The other, a
# multilayer perceptron (MLP), puts every pixel into dense layers and has many times as many parameters. If parameters
# were what matters, the MLP would win. What it lacks is an assumption: that neighbouring pixels belong together, and
# that a trace means the same wherever in the picture it lies. A baseline is trained to measure what the better network
# gains by that.

# %% [markdown]
# ## Answer
#
# <!-- generated: answer-cnn-and-mlp -->
# S2's CNN (60 epochs, compact scale) is right on 89.1% (87.3% to 90.7%) of the images, S2's MLP on 59.7%: 29.4 points
# more (paired interval +26.5 to +32.4). On the same images the author's CNN reached 88.7%: 0.4 points less than ours, a
# difference that chance can explain. On the same images the author's MLP reached 61.3%: 1.6 points more than ours, by
# chance or not, which the author's matrix alone cannot tell.
# <!-- end generated -->

# %% [markdown]
# ## Setup

# %% tags=["nbval-ignore-output"]
import os
import subprocess
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # before TensorFlow is imported
root = next((f for f in [Path.cwd(), *Path.cwd().parents] if (f / "dfclib" / "__init__.py").exists()), None)
if root is None:  # this notebook alone, as in Colab: fetch the rest, and leave the installed TensorFlow as it is
    root = Path.cwd() / "dfclib"
    if not root.exists():
        subprocess.run(["git", "clone", "--quiet", "https://github.com/dfclib/dfclib", str(root)], check=True)
    installer = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*installer, str(root), "ImageHash"], check=True)
os.chdir(root)  # paths below are relative to the repository
sys.path.insert(0, str(root))

# %% tags=["parameters"]
data = None  # a competition's folder; None: the embedded images
image_size = None  # height and width, as (128, 128), for a folder with images of mixed sizes; None: they have one size
scale = None  # quick, compact or full; None: quick on the embedded images, else full with a GPU and compact without
epochs = None  # fewer than the scale's, for whoever has half an hour; None: the scale's
runs_dir = "build/runs-quick"  # trainings are kept here; `make test` empties this folder: name another for long ones
seed = None  # None: the recipe's own

# %% tags=["nbval-ignore-output"]
from dataclasses import replace

import numpy as np
from IPython.display import display

from dfclib.datasets.sources import load
from dfclib.evaluation.published import published_results
from dfclib.pipelines import framed
from dfclib.recipes import find
from dfclib.reporting import figures
from dfclib.reporting.comparison_tables import (
    beside_author_table,
    claims_table,
    comparison_table,
    fixed_and_made_table,
    recall_table,
)
from dfclib.reporting.tables import (
    changes_table,
    images_table,
    layers_table,
    recipe_table,
    recorded_table,
    results_table,
)
from dfclib.runs import find_recorded
from dfclib.training import build_model, train, trainable_parameters
from dfclib.training.devices import default_scale
from dfclib.training.inference import gradient_maps
from dfclib.training.quiet import import_keras

import_keras()

# %% [markdown]
# ## The evidence
#
# Recorded runs of both networks on the competition's images, beside their author's. The third column is the MLP of
# [another author](09_a_seed_ensemble.ipynb), with two dense layers and ReLU. Author and we are measured on the same
# validation images. The row `shortened` says what was. An *earlier recipe* has been changed since: its runs say nothing
# about today's.

# %% tags=["nbval-check-output"]
published = published_results()
recorded = find_recorded("s2-cnn", "s2-mlp", "s3-mlp", protocol="published")
recorded_cnn, recorded_mlp, other_mlp = (run.predictions("validation") for run in recorded)
display(recorded_table(recorded, published))
beside_author_table(recorded, published)

# %%
figures.validation_curves(recorded)

# %% [markdown]
# Look at three things. Do the intervals of CNN and MLP come near each other? Are the two MLPs, by different authors,
# closer to each other than to the CNN? And which classes does an MLP find nevertheless?

# %% tags=["nbval-check-output"]
display(comparison_table({"MLP": recorded_mlp, "the other MLP": other_mlp}, "CNN", recorded_cnn))
display(recall_table({"author's CNN": published["s2-cnn"].predictions(), "our CNN": recorded_cnn}))
recall_table({"author's MLP": published["s2-mlp"].predictions(), "our MLP": recorded_mlp})

# %%
for run in recorded[:2]:
    display(figures.confusion(published[run.recipe.name].predictions(), f"{run.recipe.name}, the author's own matrix"))
    display(figures.confusion(run.predictions("validation"), figures.heading(run)))

# %%
figures.fixed_and_made(recorded_mlp, recorded_cnn, ("MLP", "CNN"), figures.caption(*recorded[:2]))

# %% [markdown]
# ### Text and matrix
#
# The author states accuracies in the text and prints confusion matrices, and the two differ a little. For the CNN the
# code suggests a reason: it measures validation on images that are flipped and rotated at random, so every pass gives
# another figure. Our validation images are left as they are. For the MLP we do not know whether text and matrix come
# from the same training. We compare with the matrices, because they can be counted.

# %% tags=["nbval-check-output"]
claims_table(["s2-cnn", "s2-mlp", "s3-mlp"], published)

# %% [markdown]
# ## Data
#
# From here on you train yourself. Unless `data` names a folder, these are the embedded images, which are not the
# competition's.

# %%
splits = load(data, image_size)
scale = scale or default_scale(splits.embedded)

# %% tags=["nbval-check-output"]
images_table(splits)

# %% [markdown]
# ## Recipe
#
# The CNN as its author trained it. Nothing stops early and no checkpoint is chosen: the weights of the last epoch are
# kept. So the accuracy on validation owes nothing to a choice of epoch.

# %% tags=["nbval-check-output"]
full_cnn, full_mlp = find("s2-cnn"), find("s2-mlp")
recipe_table(full_cnn)

# %% [markdown]
# And what the author's MLP does otherwise:

# %% tags=["nbval-check-output"]
changes_table(full_cnn, full_mlp)

# %% [markdown]
# The network is not the only change. The MLP is trained for fewer epochs, its learning rate is halved sooner, and the
# description has no augmentation for it. (The author's script has one: the recipe `s2-mlp-augmented`.) So not all
# of the difference between the two is due to convolution. A control below takes the augmentation away.
#
# Where are the parameters? The CNN's:

# %% tags=["nbval-check-output"]
cnn_model = build_model(full_cnn, channels=3, classes=5)
layers_table(cnn_model)

# %% [markdown]
# And the MLP's:

# %% tags=["nbval-check-output"]
mlp_model = build_model(full_mlp, channels=3, classes=5)
layers_table(mlp_model)

# %% tags=["nbval-check-output"]
cnn_count, mlp_count = trainable_parameters(cnn_model), trainable_parameters(mlp_model)
print(f"CNN: {cnn_count:,} trainable parameters; the author's: {full_cnn.claims['parameters']:,}")
print(f"MLP: {mlp_count:,}; the author's: {full_mlp.claims['parameters']:,}")
print(f"MLP to CNN: {mlp_count / cnn_count:.1f} times as many")
for name, model, count in (("CNN", cnn_model, cnn_count), ("MLP", mlp_model, mlp_count)):
    print(f"{name}, first dense layer: {model.get_layer('dense1').count_params() / count:.1%} of them")

# %% [markdown]
# In both networks, nearly all parameters are in the first *dense* layer, which has a weight for every pair of input and
# unit. The convolutions, which are to make the difference, are the small remainder. Each of their kernels is used at
# every place, and so learns from every place. (The first table counts a little more: a batch normalisation's means
# and variances are parameters that no gradient changes.)
#
# What the scale at hand changes:

# %% tags=["nbval-check-output"]
cnn_recipe = full_cnn.at_scale(scale).with_options(seed=seed, epochs=epochs)
changes_table(full_cnn, cnn_recipe)

# %% tags=["nbval-check-output"]
mlp_recipe = full_mlp.at_scale(scale).with_options(seed=seed, epochs=epochs)
changes_table(full_mlp, mlp_recipe)

# %% [markdown]
# ## Train

# %% tags=["nbval-ignore-output"]
cnn = train(cnn_recipe, splits, runs_dir)

# %% tags=["nbval-ignore-output"]
mlp = train(mlp_recipe, splits, runs_dir)

# %% [markdown]
# ## What happened here
#
# The author delivers four things for each network: accuracy, curves, confusion matrix and a submission file. The
# first three follow. The last one is one command, `python -m dfclib submit RUN --data FOLDER`, where `RUN` is a run's
# name or folder.

# %%
results_table([cnn, mlp])

# %%
figures.curves(cnn)

# %%
figures.curves(mlp)

# %% [markdown]
# In the CNN's curves, training is measured on rotated and mirrored images and with dropout, validation on plain images
# without. So training may lie below validation, and the distance between the two curves cannot be compared with the
# MLP's. In the first epochs of a short run validation may lie far below, for another reason: it uses the batch
# normalisations' running averages, which lag behind.

# %%
figures.learning_rates([cnn, mlp])

# %% [markdown]
# The rate is halved again and again. A shorter run keeps the first and the last rate and puts the steps closer
# together.

# %%
figures.confusion(cnn.predictions("validation"), figures.heading(cnn))

# %%
figures.confusion(mlp.predictions("validation"), figures.heading(mlp))

# %%
recall_table({"CNN": cnn.predictions("validation"), "MLP": mlp.predictions("validation")})

# %% [markdown]
# Which classes does the MLP find here? A tint or a shadow is there in every pixel; to see such a trace, a network need
# not know which pixels are neighbours. Grain is a difference *between* neighbours.
#
# Both networks answered the same images, so compare them image by image. The interval of the difference comes from a
# paired bootstrap. McNemar's test asks whether the images that only one gets right are split as evenly as a coin
# would split them.

# %%
before, after = mlp.predictions("validation"), cnn.predictions("validation")
display(comparison_table({"MLP": before}, "CNN", after))
fixed_and_made_table(before, after, names=("MLP", "CNN"))

# %% [markdown]
# ### A gallery of wrong answers
#
# The wrong answers of which the CNN is surest. Below them, the first ones once more: red marks the places that speak
# most for the answer, by Grad-CAM. The maps are as coarse as the last convolution. An MLP has no such map, for its
# layers keep no places.

# %%
groups = figures.right_and_wrong(after)
heading, wrong = list(groups.items())[-1]
figures.answers(splits.validation, {heading: wrong}, figures.heading(cnn))

# %%
shown = wrong if len(wrong) else next(iter(groups.values()))
row_of = {str(id_): row for row, id_ in enumerate(splits.validation.ids)}
chosen = splits.validation.take(np.array([row_of[str(id_)] for id_ in shown.ids[:4]]))
maps = gradient_maps(cnn, chosen)
figures.gradient_maps(framed(chosen.images, cnn.recipe), {"CNN": shown.take(np.arange(len(chosen)))}, {"CNN": maps})

# %% [markdown]
# ### Which pixels are neighbours?
#
# Shuffle the pixels of all images alike, by one fixed permutation. For the MLP nothing changes. Reorder the rows of
# its first matrix in the same way and every answer stays what it was; and since those rows start at random, no order
# is preferred. The MLP never knew which pixels were neighbours. A convolution looks at a window, and after the shuffle
# a window holds pixels from anywhere.
#
# To show it, both networks are trained on shuffled images. The CNN has no augmentation here, because augmentation
# presumes neighbours too. So it is the control as well. This experiment needs no real images: whatever `data` says, it
# takes the embedded ones, at quick scale.

# %%
embedded = load()
quick_mlp = full_mlp.quick().with_options(seed=seed, epochs=epochs)
control = replace(full_cnn.quick().with_options(seed=seed, epochs=epochs), name="s2-cnn-unaugmented", augmentation=None)
height, width = control.image_size  # of the crop that both networks see, from the middle
top, left = ((side - cut) // 2 for side, cut in zip(embedded.train.size, control.image_size, strict=True))
order = np.random.default_rng(0).permutation(height * width)
parts = {}
for name, images in {"train": embedded.train, "validation": embedded.validation}.items():
    seen = images.images[:, top : top + height, left : left + width]
    pixels = seen.reshape(len(seen), height * width, images.channels)
    parts[name] = replace(images, images=pixels[:, order].reshape(seen.shape))
shuffled = replace(embedded, name="shuffled", test=None, **parts)
figures.samples(shuffled.train, per_class=4, title="Shuffled pixels")

# %% tags=["nbval-ignore-output"]
runs = [train(recipe, images, runs_dir) for recipe in (control, quick_mlp) for images in (embedded, shuffled)]

# %%
results_table(runs)

# %% [markdown]
# Read the rows in pairs. From plain to shuffled images the MLP may change as much as it would with another seed, and
# no more. What the CNN loses is what neighbours were worth to it on these images. Whatever lead over the MLP it keeps,
# it owes to something else. A kernel that is the same everywhere still measures tint and contrast, from all pixels at
# once, and batch normalisation makes a short training go further. The first row against the third says what remains of
# the lead when neither has augmentation.
#
# So "convolution" is two things, a window and shared weights, and only the shuffle tells them apart. With so few
# images and epochs, these figures show how the argument works; they measure nothing else.

# %% [markdown]
# ## What next
#
# One training is one draw of the seed. [The next notebook](09_a_seed_ensemble.ipynb) keeps one architecture and trains
# it several times.
