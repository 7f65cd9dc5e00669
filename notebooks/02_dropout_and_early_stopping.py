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
# # Attempt 2: dropout and early stopping
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/dfclib/dfclib/blob/main/notebooks/02_dropout_and_early_stopping.ipynb)

# %% [markdown]
# ## Question
#
# Can the network be kept from learning images by heart, and is that enough?
#
# Dropout switches units off at random while the network trains. No unit can then rely on one other unit, and it becomes
# harder to store single images. Early stopping ends the training when validation loss has not improved for a while, and goes
# back to the best epoch. Both act on the distance between training and validation. Neither adds information about the images.

# %% [markdown]
# ## Answer
#
# <!-- generated: answer-attempt2 -->
# Attempt 2 (9 epochs, full scale) is right on 81.0% (78.8% to 83.1%) of the images, attempt 1 on 77.6%: 3.4 points more
# (paired interval +1.2 to +5.7). On the same images the author reached 82.2%: 1.1 points more than ours, a difference
# that chance can explain. Training accuracy less validation accuracy goes from +20.4 to -0.3 points. The share of class
# 4 that is found goes from 44.8% to 61.2%; with the author it went from 30.8% to 68.8%.
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
from dfclib.reporting.comparison_tables import comparison_table, recall_table
from dfclib.reporting.figures import confusion, curves, heading, per_class_bars
from dfclib.reporting.tables import changes_table, images_table, layers_table, recorded_table, results_table
from dfclib.runs import find_alike_or_recorded, find_runs
from dfclib.training import build_model, train
from dfclib.training.devices import default_scale
from dfclib.training.quiet import import_keras

import_keras()

# %% [markdown]
# ## The evidence
#
# The first two attempts on the competition's images: recorded runs of ours, and the author's results on the same validation
# images.

# %% tags=["nbval-check-output"]
published = published_results()
first, second = recorded_alike(find_runs("report/runs"), "attempt1", "attempt2")
recorded_table([first, second], published)

# %% [markdown]
# Look at the last column first, the distance between training and validation. Then look at how far validation itself has
# moved.

# %% tags=["nbval-check-output"]
results_table([first, second])

# %% [markdown]
# Do the intervals of the two attempts overlap? Then ask the sharper question, which looks at the same images one by
# one: how many does only the first attempt get right, and how many only the second? McNemar's test asks whether these
# two counts differ by more than chance. An interval of the paired difference that does not contain zero says that one
# of them is better on images of this kind. It says nothing about other seeds.

# %% tags=["nbval-check-output"]
before, ours = first.predictions("validation"), second.predictions("validation")
comparison_table({"attempt 1": before}, "attempt 2", ours)

# %% [markdown]
# Training accuracy is measured with dropout switched on, validation accuracy with dropout switched off. So a training curve
# *below* the validation curve is no mistake here, and a part of the distance has gone only because the two are measured
# differently. The fair comparison is between validation curves. The dotted line marks the epoch that was kept.

# %%
display(curves(first), curves(second))

# %% [markdown]
# ### Class by class
#
# The author's confusion matrix of attempt 2, then ours. The author looked at the row of class 4 and saw the weakest class.
# His next attempts are built around this observation.

# %%
theirs = published["attempt2"].predictions()
display(confusion(theirs, "Attempt 2, the author's"), confusion(ours, heading(second)))

# %% tags=["nbval-check-output"]
recall_table({"author": theirs, "ours": ours})

# %% [markdown]
# A row tells half of it. Look at the column of class 4, too: how many images of other classes are taken for it? A class
# that is both missed and named too often is one that the network cannot tell from its neighbours. To show it more often
# may only trade one error for the other.
#
# One caution holds from here to the end of the story. The epoch that was kept was chosen *on the validation images*, as the
# author did, and then measured on them. The best of several looks is a little too good. So these figures can be compared
# with the author's, who did the same, but not with a test.

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
# What changes from the first attempt, and nothing else changes:

# %% tags=["nbval-check-output"]
full = find("attempt2")
changes_table(find("attempt1"), full)

# %% tags=["nbval-check-output"]
parameters = build_model(full, channels=3, classes=5).count_params()
print(f"parameters at full scale: {parameters:,}; the author's: {full.claims['parameters']:,}")

# %% [markdown]
# At full scale there are fewer parameters than in attempt 1, although the kernel in the middle is larger: the dense
# layer after `flatten`, which held nearly all of them, has fewer units. A narrower one follows it.

# %% tags=["nbval-check-output"]
recipe = full.at_scale(scale).with_options(seed=seed, epochs=epochs)
layers_table(build_model(recipe, splits.train.channels, len(splits.class_names)))

# %% [markdown]
# What the scale at hand changes:

# %% tags=["nbval-check-output"]
changes_table(full, recipe)

# %% [markdown]
# ## Train

# %% tags=["nbval-ignore-output"]
run = train(recipe, splits, runs_dir)

# %% [markdown]
# ## What happened here

# %%
curves(run)

# %% [markdown]
# The first attempt stands above this one. If it was not trained on this machine, that is the recorded run; the note
# below the table then names the images.

# %%
results_table([*find_alike_or_recorded(run, "attempt1"), run])

# %% [markdown]
# Do the intervals overlap? On few validation images even a large difference may be chance.

# %%
confusion(run.predictions("validation"), heading(run))

# %%
per_class_bars(run.predictions("validation"), heading(run))

# %% [markdown]
# ## What next
#
# Different networks of about the same strength err on different images. The [third attempt](03_a_majority_vote.ipynb) lets
# them vote.
