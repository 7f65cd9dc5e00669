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
# # Attempt 5: wider, and still unstable
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/dfclib/dfclib/blob/main/notebooks/05_wider_and_unstable.ipynb)

# %% [markdown]
# ## Question
#
# Do stronger augmentation, a much wider network and more patience help, while the learning rate still grows?
#
# Stronger augmentation makes room for a larger network, because there is more to learn that is not a stored image. L2 pulls
# every kernel towards zero. Patience lets a training live through bad epochs. That last one deserves suspicion: a training that swings
# needs patience, and patience with the best epoch kept turns swings into lottery tickets. The more epochs, the higher the best of
# them by chance alone.

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
from dfclib.reporting.figures import confusion, curves, heading, learning_rates, per_class_bars, validation_curves
from dfclib.reporting.tables import (
    changes_table,
    fluctuation_table,
    images_table,
    layers_table,
    recorded_table,
    results_table,
)
from dfclib.runs import find_alike, find_recorded
from dfclib.training import build_model, train
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
# What changes from the fourth attempt:

# %% tags=["nbval-check-output"]
full = find("attempt5")
changes_table(find("attempt4"), full)

# %% [markdown]
# The learning rate grows faster than before, over more epochs. And early stopping watches another figure: accuracy instead of loss. Accuracy moves in
# steps of one image and ignores how sure the network is; it forgives a network that grows surer of its errors, which loss does not.

# %% tags=["nbval-check-output"]
parameters = build_model(full, channels=3, classes=5).count_params()
print(f"parameters at full scale: {parameters:,}; the author's: {full.claims['parameters']:,}")

# %% tags=["nbval-check-output"]
recipe = full.at_scale(scale).with_options(seed=seed, epochs=epochs)
layers_table(build_model(recipe, splits.train.channels, len(splits.class_names)))

# %% [markdown]
# What the scale at hand changes. Look at the factor over the whole run: so many times larger is the learning rate at the end than at the
# start, here as in the full recipe.

# %% tags=["nbval-check-output"]
changes_table(full, recipe)

# %% [markdown]
# ## Train

# %% tags=["nbval-ignore-output"]
run = train(recipe, splits, runs_dir)

# %% [markdown]
# ## What happened

# %%
curves(run)

# %% [markdown]
# Training loss now contains the L2 term, validation loss does not: their distance means less than it did.
#
# The fourth attempt, where it is in the folder of runs, stands beside this one from here on.

# %%
runs = [*find_alike(run, "attempt4"), run]
learning_rates(runs)

# %%
validation_curves(runs)

# %%
fluctuation_table(runs)

# %% [markdown]
# Follow one curve along the other: does validation swing more where the learning rate is high? A step that is too large leaps over
# what the last steps found.

# %%
results_table([*find_alike(run, "attempt1", "attempt2", "attempt3", "attempt4"), run])

# %%
confusion(run.predictions("validation"), heading(run))

# %%
per_class_bars(run.predictions("validation"), heading(run))

# %% [markdown]
# ## The recorded full run

# %% tags=["nbval-check-output"]
recorded = find_recorded("attempt4", "attempt5")
recorded_table(recorded)

# %% tags=["nbval-check-output"]
results_table(recorded)

# %% [markdown]
# The swings of the two, on the competition's images:

# %% tags=["nbval-check-output"]
fluctuation_table(recorded)

# %% [markdown]
# Read the rows on scale and on what was shortened before the accuracies: a run of few epochs tests the recipe's direction, not the
# author's figure. The direction can be read from the curves below: what does validation do where the learning rate is highest?

# %%
if recorded:
    display(validation_curves(recorded), learning_rates(recorded))
for run in find_recorded("attempt5"):
    validation = run.predictions("validation")
    display(curves(run), confusion(validation, heading(run)), per_class_bars(validation, heading(run)))

# %% [markdown]
# ## What next
#
# One thing has been left alone through two attempts, and it is the simplest: the sign of the schedule. The [sixth
# attempt](06_a_decaying_learning_rate.ipynb) turns it round.
