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
# # Attempt 1: the baseline
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/dfclib/dfclib/blob/main/notebooks/01_the_baseline.ipynb)

# %% [markdown]
# ## Question
#
# How far does the plainest convolutional network get, and what stops it?
#
# The baseline has convolutions with pooling, a wide dense layer, and nothing against learning the training images by
# heart. A network with many more weights than there are images *can* do that, and gradient descent gives it no reason not to. So
# the figure to watch is not how good training becomes, but how far validation falls behind it.

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
from IPython.display import display

from dfclib.datasets.sources import load
from dfclib.recipes import find
from dfclib.reporting.figures import confusion, curves, heading, per_class_bars
from dfclib.reporting.tables import (
    changes_table,
    images_table,
    layers_table,
    recipe_table,
    recorded_table,
    results_table,
)
from dfclib.runs import find_recorded
from dfclib.training import build_model, train
from dfclib.training.devices import default_scale
from dfclib.training.quiet import import_keras

import_keras()

# %% [markdown]
# ## Data
#
# Unless `data` names a folder, these are the embedded images, which are not the competition's; [the notebook on the
# data](00_the_data.ipynb) says what they are for.

# %%
splits = load(data, image_size)
scale = scale or default_scale(splits.embedded)

# %% tags=["nbval-check-output"]
images_table(splits)

# %% [markdown]
# ## Recipe
#
# A recipe is data: everything that decides a training, and nothing else. This is the first one as its author trained it. The
# recipes of the attempts that follow will only be shown by what changes.

# %% tags=["nbval-check-output"]
full = find("attempt1")
recipe_table(full)

# %% [markdown]
# Our network has as many parameters as the author's, which is the first thing to check in a reproduction.

# %% tags=["nbval-check-output"]
parameters = build_model(full, channels=3, classes=5).count_params()
print(f"parameters at full scale: {parameters:,}; the author's: {full.claims['parameters']:,}")

# %% [markdown]
# What is trained here may be shorter. A scale changes these fields and no others. At quick scale the network sees crops of the
# images, not reduced images: what tells generators apart lies in the finest detail.

# %% tags=["nbval-check-output"]
recipe = full.at_scale(scale).with_options(seed=seed, epochs=epochs)
changes_table(full, recipe)

# %% [markdown]
# Nearly all parameters sit in one place. Look for it: it is the layer that has a weight for every position *and* every
# unit, and so the one that can store single images.

# %% tags=["nbval-check-output"]
layers_table(build_model(recipe, splits.train.channels, len(splits.class_names)))

# %% [markdown]
# ## Train
#
# A training leaves a folder with its recipe, its history and its predictions. The same cell again finds that folder and trains
# nothing; an interrupted training goes on from its last finished epoch.

# %% tags=["nbval-ignore-output"]
run = train(recipe, splits, runs_dir)

# %% [markdown]
# ## What happened
#
# Two curves that part are the picture of overfitting. Look at when they part, whether validation *loss* turns upwards while
# validation accuracy still stands, and what that means: the network becomes surer of its errors.
# There is no early stopping yet, so that no epoch is chosen: the weights of the last one are kept.

# %%
curves(run)

# %% [markdown]
# The interval (Wilson's) says what another sample of as many validation images might have given. It does not say what another
# seed would give, and it knows nothing of a checkpoint that was chosen on these same images.

# %%
results_table([run])

# %% [markdown]
# The confusion matrix has a row for each true class. Which class keeps to its diagonal, and where do the images of the others
# go? A class that is taken for two others, while these are told apart from each other, lies between them.

# %%
confusion(run.predictions("validation"), heading(run))

# %%
per_class_bars(run.predictions("validation"), heading(run))

# %% [markdown]
# Recall is the share of a class's images that are found, precision the share of right answers among those that name it. On embedded
# images these figures show that the machinery works. What the story concludes, it concludes from the real images below.

# %% [markdown]
# ## The recorded full run
#
# This is the same recipe on the competition's images, recorded in `report/runs`. Author's figure and ours stand side by side;
# they come from different images (public test and validation).

# %% tags=["nbval-check-output"]
recorded = find_recorded("attempt1")
recorded_table(recorded)

# %% tags=["nbval-check-output"]
results_table(recorded)

# %% [markdown]
# What to look at, in this order: the distance between the two curves at the end; the epoch after which validation gains nothing;
# and the class with the shortest bars.

# %%
for run in recorded:
    validation = run.predictions("validation")
    display(curves(run), confusion(validation, heading(run)), per_class_bars(validation, heading(run)))

# %% [markdown]
# ## What next
#
# If the network stores images, make storing them harder and stop before it has done so: dropout and early stopping are the
# [second attempt](02_dropout_and_early_stopping.ipynb).
