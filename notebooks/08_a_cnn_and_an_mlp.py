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
# The same images, two networks. One is made of convolutions; the other, a multilayer perceptron, puts every pixel
# into dense layers and has many times as many parameters (how many, is counted below). If parameters were what
# matters, the second would win. What it lacks is no capacity but an assumption: that pixels which lie side by side
# belong together, and that a trace means the same wherever in the picture it lies. A baseline is trained to know what
# the better network owes to that.

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
from dfclib.recipes import find
from dfclib.reporting.comparison_tables import comparison_table, fixed_and_made_table
from dfclib.reporting.figures import confusion, curves, fixed_and_made, heading, learning_rates, per_class_bars, samples
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
from dfclib.training.quiet import import_keras

import_keras()

# %% [markdown]
# ## Data
#
# Unless `data` names a folder, these are the embedded images, which are not the competition's.

# %%
splits = load(data, image_size)
scale = scale or default_scale(splits.embedded)

# %% tags=["nbval-check-output"]
images_table(splits)

# %% [markdown]
# ## Recipe
#
# The CNN as its author trained it. Nothing stops early and no checkpoint is chosen: the weights of the last epoch are
# kept, so that the figure on validation owes nothing to a choice of epoch.

# %% tags=["nbval-check-output"]
full_cnn, full_mlp = find("s2-cnn"), find("s2-mlp")
recipe_table(full_cnn)

# %% [markdown]
# And what the author's MLP does otherwise:

# %% tags=["nbval-check-output"]
changes_table(full_cnn, full_mlp)

# %% [markdown]
# The network is not the only change. The MLP's training is shorter, its learning rate is halved sooner, and no
# augmentation is described for it (the author's script has one: the recipe `s2-mlp-augmented`). Whatever lies between the two results is therefore not convolution's alone; a
# control below takes the augmentation away.
#
# Where do the parameters sit? The CNN's:

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
# In both, nearly everything sits in the first *dense* layer, which has a weight for every pair of input and unit. The
# convolutions that are to make the difference are the small remainder: each of their kernels is used at every place,
# and so learns from all of them. (The first table counts a little more: a batch normalisation's means and variances
# are parameters that no gradient changes.)
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
# ## What happened
#
# For each network the author delivers four things: accuracy, curves, confusion matrix and a submission file. The
# first three follow; the last is one command, `python -m dfclib submit RUN --data FOLDER`, where `RUN` is a run's
# name or folder.

# %%
results_table([cnn, mlp])

# %%
curves(cnn)

# %%
curves(mlp)

# %% [markdown]
# In the CNN's curves training is measured on turned and mirrored images and with dropout at work, validation on plain
# ones without. So training may well stand below validation, and the distance between them is not comparable with the
# MLP's. In the first epochs of a short run it is the other way round for another reason: validation uses the batch
# normalisations' running averages, which lag behind.

# %%
learning_rates([cnn, mlp])

# %% [markdown]
# Halved again and again, the rate ends far below where it began. A shorter run keeps first and last rate, and puts
# the steps between them closer together.

# %%
confusion(cnn.predictions("validation"), heading(cnn))

# %%
confusion(mlp.predictions("validation"), heading(mlp))

# %%
per_class_bars(cnn.predictions("validation"), heading(cnn))

# %%
per_class_bars(mlp.predictions("validation"), heading(mlp))

# %% [markdown]
# Which classes does the MLP find nevertheless? A tint or a shadow is there in every pixel: for such a trace nobody
# needs to know what lies side by side. Grain and checkerboards are nothing *but* a difference between neighbours.
#
# Both networks answered the same images, so compare them image by image: the interval of the difference is the paired
# bootstrap's, and McNemar's test asks whether the images that one alone gets right fall as evenly as a coin.

# %%
before, after = mlp.predictions("validation"), cnn.predictions("validation")
comparison_table({"MLP": before}, "CNN", after)

# %%
fixed_and_made_table(before, after, names=("MLP", "CNN"))

# %% [markdown]
# ### Which pixels are neighbours?
#
# Shuffle the pixels of all images alike, by one fixed permutation. To the MLP nothing has happened: reorder the rows
# of its first matrix likewise and every answer is what it was, and since those rows start at random, no order is
# preferred. It never knew which pixels were neighbours. A convolution looks at a window, and after the shuffle a
# window holds pixels from anywhere.
#
# To show it, both are trained on shuffled images. The CNN goes without augmentation here, which presumes neighbours
# too, and so becomes the control as well. This experiment needs no real images: whatever `data` says, it takes the
# embedded ones, at quick scale.

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
samples(shuffled.train, title="Shuffled pixels")

# %% tags=["nbval-ignore-output"]
runs = [train(recipe, images, runs_dir) for recipe in (control, quick_mlp) for images in (embedded, shuffled)]

# %%
results_table(runs)

# %% [markdown]
# Read the rows in pairs. From plain to shuffled images the MLP may change as it would with another seed, and no more.
# What the CNN loses is what the neighbourhood was worth to it on these images. What it keeps of a lead over the MLP,
# it owes to something else: a kernel that is the same everywhere still measures tint and contrast, from all pixels at
# once, and batch normalisation makes a short training go further. The first row against the third says what is left
# of the lead when neither has augmentation.
#
# So "convolution" is two things, a window and weights that are shared, and only the shuffle tells them apart. On so
# few images in so few epochs these figures show the argument at work and measure nothing else.

# %% [markdown]
# ## The recorded full run
#
# Both networks on the competition's images, and the third system's MLP: built by the same function, with two dense
# layers and ReLU, and trained as its author trained everything else. Where a schedule was shortened, the row of that
# name says so.

# %% tags=["nbval-check-output"]
recorded = find_recorded("s2-cnn", "s2-mlp", "s3-mlp")
recorded_table(recorded)

# %% tags=["nbval-check-output"]
results_table(recorded)

# %% tags=["nbval-check-output"]
pair = {run.recipe.name: run.predictions("validation") for run in find_recorded("s2-cnn", "s2-mlp")}
comparison_table({"MLP": pair["s2-mlp"]}, "CNN", pair["s2-cnn"]) if len(pair) == 2 else recorded_table([])

# %% [markdown]
# What to look at: whether the intervals of CNN and MLP come anywhere near each other; whether the two MLPs, from
# different authors, are closer to each other than to the CNN; and whether a class that the MLP finds is one that
# colour and shadow give away.

# %%
for run in recorded:
    validation = run.predictions("validation")
    display(curves(run), confusion(validation, heading(run)), per_class_bars(validation, heading(run)))
if len(pair) == 2:
    display(fixed_and_made(pair["s2-mlp"], pair["s2-cnn"], ("MLP", "CNN")))

# %% [markdown]
# ## What next
#
# A dense layer over the flattened map still holds nearly all of the CNN's weights, and one training is still one draw
# of the seed. The [next system](09_a_seed_ensemble.ipynb) keeps one architecture and trains it several times.
