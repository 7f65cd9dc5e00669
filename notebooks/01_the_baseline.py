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
# The baseline has convolutions with pooling, one wide dense layer, and nothing that keeps it from learning the training
# images by heart. A network with many more weights than there are images *can* do that, and gradient descent gives it
# no reason not to. So watch not how good it becomes on training images, but how far validation falls behind.

# %% [markdown]
# ## Answer
#
# <!-- generated: answer-attempt1 -->
# It learns its images by heart: after 10 epochs at full scale the baseline is right on 98.0% of the images that it was
# trained on, and on 77.6% (75.2% to 79.8%) of the 1,250 validation images. On the same images the author reached 72.6%:
# 5.0 points less than ours, more than chance explains. Hardest is class 4, of which it finds 44.8%; of class 3 it finds
# 97.2%.
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
from IPython.display import display

from dfclib.datasets.sources import load
from dfclib.evaluation.published import published_results
from dfclib.recipes import find
from dfclib.reporting.answers import recorded_alike
from dfclib.reporting.comparison_tables import recall_table
from dfclib.reporting.figures import confusion, curves, heading, per_class_bars
from dfclib.reporting.tables import (
    changes_table,
    images_table,
    layers_table,
    recipe_table,
    recorded_table,
    results_table,
)
from dfclib.runs import find_runs
from dfclib.training import build_model, train
from dfclib.training.devices import default_scale
from dfclib.training.quiet import import_keras

import_keras()

# %% [markdown]
# ## The evidence
#
# This section trains nothing. It shows a run on the competition's images that was recorded in `report/runs`, and the
# author's results as he published them (`report/published`). Both were measured on the same validation images, so they
# can be compared. Kaggle's public test has other images: its score may be named beside them, but not subtracted. Full
# scale means that nothing of the author's recipe was shortened.

# %% tags=["nbval-check-output"]
published = published_results()
(recorded,) = recorded_alike(find_runs("report/runs"), "attempt1")
recorded_table([recorded], published)

# %% tags=["nbval-check-output"]
results_table([recorded])

# %% [markdown]
# Two curves that part are the picture of overfitting. Look at when they part, at the epoch after which validation gains
# nothing, and at the validation *loss*. Where it rises while validation accuracy stays the same, the network becomes
# surer of its errors.

# %%
curves(recorded)

# %% [markdown]
# The author keeps the weights of the last epoch, and so do we. What his own figure shows:

# %% tags=["nbval-check-output"]
print(published["attempt1"].note)

# %% [markdown]
# On such a curve much depends on which epoch is kept. Before you read anything into the difference between the author
# and us, look at how far our own validation curve moves from one epoch to the next.
#
# ### Class by class
#
# The author's confusion matrix, then ours. There is one row for each true class and one column for each predicted class.
# The row of a class says what it is taken for. The column says what is taken for it.

# %%
theirs, ours = published["attempt1"].predictions(), recorded.predictions("validation")
display(confusion(theirs, "Attempt 1, the author's"), confusion(ours, heading(recorded)))

# %% [markdown]
# Recall is the share of a class's images that are found. Compare the class with the lowest recall in both columns. Class 4
# is the one to remember: the author builds his next attempts around it.

# %% tags=["nbval-check-output"]
recall_table({"author": theirs, "ours": ours})

# %% [markdown]
# ## Data
#
# Now train it yourself. Unless `data` names a folder, these are the embedded images, which are not the competition's; [the
# notebook on the data](00_the_data.ipynb) says what they are for.

# %%
splits = load(data, image_size)
scale = scale or default_scale(splits.embedded)

# %% tags=["nbval-check-output"]
images_table(splits)

# %% [markdown]
# ## Recipe
#
# A recipe is data: everything that decides a training, and nothing else. This is the first one as its author trained it. Of
# the recipes of the following attempts, only the changes will be shown.

# %% tags=["nbval-check-output"]
full = find("attempt1")
recipe_table(full)

# %% [markdown]
# The first thing to check in a reproduction: does our network have as many parameters as the author's?

# %% tags=["nbval-check-output"]
parameters = build_model(full, channels=3, classes=5).count_params()
print(f"parameters at full scale: {parameters:,}; the author's: {full.claims['parameters']:,}")

# %% [markdown]
# The scale at hand changes these fields and no others. (Quick scale is for a first look at the embedded images, compact
# scale for two CPU cores; full scale changes nothing.) At quick scale the network sees crops of the images, not reduced
# images, because reducing takes away fine detail.

# %% tags=["nbval-check-output"]
recipe = full.at_scale(scale).with_options(seed=seed, epochs=epochs)
changes_table(full, recipe)

# %% [markdown]
# One layer holds most of the parameters. Look for it. It has a weight for every position *and* every unit, so it is the
# one that can store single images.

# %% tags=["nbval-check-output"]
layers_table(build_model(recipe, splits.train.channels, len(splits.class_names)))

# %% [markdown]
# ## Train
#
# A training leaves a folder with its recipe, its history and its predictions. The same cell run again finds that folder and
# trains nothing. An interrupted training goes on from its last finished epoch.

# %% tags=["nbval-ignore-output"]
run = train(recipe, splits, runs_dir)

# %% [markdown]
# ## What happened here
#
# The same questions as above, asked of the training that has just finished. The embedded images are few, and made so that
# a better recipe shows within seconds. What the story concludes, it concludes from the recorded runs on the competition's
# images.

# %%
curves(run)

# %% [markdown]
# The interval (Wilson's) says what another sample of as many validation images might have given. It does not say what another
# seed would give. And it knows nothing of a checkpoint that was chosen on these same images. Here none was: without early
# stopping the weights of the last epoch are kept.

# %%
results_table([run])

# %% [markdown]
# Which class stays on its diagonal, and where do the images of the others go?

# %%
confusion(run.predictions("validation"), heading(run))

# %% [markdown]
# Precision is the share of right answers among those that name a class. Recall and precision differ where a network names a
# class too often or too rarely; F1 is their harmonic mean.

# %%
per_class_bars(run.predictions("validation"), heading(run))

# %% [markdown]
# ## What next
#
# A network that stores images can be kept from it in two ways: make storing them harder, and stop before it is done. Dropout
# and early stopping are the [second attempt](02_dropout_and_early_stopping.ipynb).
