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
# # Attempt 3: a majority vote
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/dfclib/dfclib/blob/main/notebooks/03_a_majority_vote.ipynb)

# %% [markdown]
# ## Question
#
# Can several networks, none better than the best so far, be better together?
#
# They can, if they err on different images. Where most voters are right, a vote hides the error of the few. Where all
# err alike, it hides nothing. So what matters is not only how good the voters are but how much they differ, and here they differ by
# little: a width, a kernel, a rate of dropout, the seed.

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
import numpy as np
from IPython.display import display

from dfclib.datasets.sources import load
from dfclib.ensembles import hard_vote
from dfclib.predictions import Predictions
from dfclib.recipes import find
from dfclib.reporting.figures import confusion, heading, per_class_bars
from dfclib.reporting.tables import (
    images_table,
    predictions_table,
    recorded_table,
    results_table,
    variants_table,
    vote_table,
)
from dfclib.runs import find_alike, find_recorded
from dfclib.training import train
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
# An ensemble is a recipe too: its members, and how they vote. The author's prediction files are not published; these
# variations are ours, of the kind that the author describes. What is varied is shown against the first attempt's network (`plain`) or
# the second's (`dropout_cnn`).

# %% tags=["nbval-check-output"]
full = find("attempt3")
variants_table(full)

# %% [markdown]
# ### How a vote goes, by hand
#
# A few voters and a few images. The most frequent label wins. Where there is none (`every-one-differs`), the author drew at random;
# so do we, but from the seed and the name of the image, so that the result depends neither on the order of the voters
# nor on that of the rows. Where voters give probabilities, the highest mean among the tied labels decides before any draw.

# %% tags=["nbval-check-output"]
ids = np.array(["all-agree", "two-to-one", "one-is-enough-not", "every-one-differs"])
truth = np.array([0, 1, 2, 3])
labels = {"anna": [0, 1, 2, 3], "boris": [0, 1, 4, 1], "clara": [0, 4, 4, 2]}
voters = {name: Predictions(ids, np.array(given), tuple("01234"), labels=truth) for name, given in labels.items()}
predictions_table(**voters, vote=hard_vote(list(voters.values())))

# %% [markdown]
# The third image shows the price: a voter who alone is right is outvoted.

# %% tags=["nbval-check-output"]
backwards = list(voters.values())[::-1]
predictions_table(vote=hard_vote(list(voters.values())), voters_in_reverse=hard_vote(backwards))

# %% [markdown]
# ## Train
#
# Every voter is a training of its own, with a folder of its own; then they vote.

# %% tags=["nbval-ignore-output"]
recipe = full.at_scale(scale).with_options(seed=seed, epochs=epochs)
run = train(recipe, splits, runs_dir)

# %% [markdown]
# ## What happened
#
# Compare the last row with the *best* voter and with the *typical* one. To beat the typical voter is what a vote is for; to beat
# the best is more than it promises. And the best voter was picked by looking, so that its figure is flattered by the choice.

# %%
vote_table(run)

# %% [markdown]
# The line below the table sets the limits. No vote can be right on an image that no voter got right.

# %%
confusion(run.predictions("validation"), heading(run))

# %%
per_class_bars(run.predictions("validation"), heading(run))

# %% [markdown]
# Attempts that are already in the folder of runs, for comparison (a vote has no training accuracy):

# %%
results_table([*find_alike(run, "attempt1", "attempt2"), run])

# %% [markdown]
# ## The recorded full run
#
# The variants and their vote on the competition's images.

# %% tags=["nbval-check-output"]
recorded = find_recorded("attempt3")
recorded_table(recorded)

# %% tags=["nbval-check-output"]
vote_table(recorded[0]) if recorded else recorded_table(recorded)

# %% [markdown]
# What to look at: how far the vote stands above the typical voter; whether the voters' intervals overlap (small variants can hardly be
# told apart on so few images); and whether the hard class gains as much as the others. A vote averages away what differs between voters. What all
# of them get wrong, it keeps.

# %%
for run in recorded:
    validation = run.predictions("validation")
    display(confusion(validation, heading(run)), per_class_bars(validation, heading(run)))

# %% [markdown]
# ## What next
#
# Voting costs as many trainings as there are voters and adds no information about the images. The [fourth
# attempt](04_augmentation_and_two_branches.ipynb) goes back to one network and shows it more.
