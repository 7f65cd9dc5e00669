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
# # The data
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/dfclib/dfclib/blob/main/notebooks/00_the_data.ipynb)

# %% [markdown]
# ## Question
#
# What are these images, what does a label mean, and what can tell the classes apart?
#
# Descriptions of the competition speak of real and fake faces. The images say otherwise. Every one of them was made by
# a generative model. They show animals that ride a bike, wash dishes or play chess. The label says **which of five
# generators made the image**. So the task is attribution of an image to its generator, not detection of fakes. All
# classes show the same scenes, so what an image shows says little about its label. What is left are the traces of the
# generator: how smooth its surfaces are, how much fine grain it leaves, which colours and shadows it prefers.

# %% [markdown]
# ## Answer
#
# <!-- generated: answer-data -->
# Of the variance of the images' log power, 6.7% lies between the classes at the lowest frequency and 34.6% at 0.49
# cycles per pixel, where it is highest (12,500 training images of the competition): the classes differ more in fine
# detail than in coarse shapes. Class 2 has the most fine grain, 2.0 times the median of the classes; class 3 has the
# most near-black pixels, 17.6%; the median of the classes is 4.2%. By their mean power alone, classes 0 and 4 are the
# most alike.
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
import numpy as np
from IPython.display import display

from dfclib.datasets.folder.duplicates import find_duplicates
from dfclib.datasets.sources import load
from dfclib.datasets.traces import recorded_traces, trace_statistics
from dfclib.reporting.figures import class_balance, samples, traces
from dfclib.reporting.tables import Table, images_table, traces_table
from dfclib.runs import find_recorded

# %% [markdown]
# ## The evidence
#
# The competition's images must not be passed on, so this repository has none of them. What can be shown is how many
# there are, and small aggregates per class, which `python -m dfclib data traces FOLDER` measures and `report/data`
# holds.

# %% tags=["nbval-check-output"]
rows = [
    {
        "data": run.data["name"],
        "training images": f"{run.data['counts']['train']:,}",
        "validation images": f"{run.data['counts']['validation']:,}",
        "height x width": "x".join(map(str, run.data["image_size"])),
        "classes": ", ".join(run.data["class_names"]),
        "validation images per class": ", ".join(map(str, np.bincount(run.predictions("validation").labels))),
    }
    for run in find_recorded("attempt1")
]
Table(rows, "" if rows else "No run on the competition's images is recorded in report/runs yet.")

# %% [markdown]
# ### Traces at each frequency
#
# The spectrum of an image says how strongly it varies at each frequency. Low frequencies are large shapes. The highest ones
# are differences between one pixel and the next. The figure has one column per data set and three rows.
#
# * **Variance between classes.** Images differ in their power at each frequency. The curve shows which share of that
#   variance lies between the classes; the rest lies between images of the same class. Where the curve is high, the
#   frequency says much about the label.
# * **Power by class.** The mean over all classes is taken off. Classes whose curves coincide cannot be told apart by
#   power alone.
# * **Autocorrelation of the residual.** The residual is what is left of an image when each pixel loses the mean of its
#   neighbourhood. The curve says how similar it is to itself some pixels further on. A generator that enlarges a small
#   image, or that paints in blocks, leaves a pattern there.
#
# Look at the top row first: is the share larger at high frequencies than at low ones? (The curves end at half a cycle
# per pixel, the highest frequency of a row or a column.) If it is, then whatever reduces an image before a network sees
# it takes away what tells the classes apart. That is why all recipes here read native pixels, enlarged pixels or crops,
# and never reduced images. Then compare the two columns: the embedded images (see below) should show the same kinds of
# differences. They need not show the same numbers.

# %%
measured = recorded_traces()
traces(measured)

# %% [markdown]
# ### Colour, grain and shadow
#
# For each class: mean and deviation of each colour channel, fine grain (the mean strength of the residual), and the
# share of pixels that are nearly black. Look for the class that stands out in a column, and for two classes whose rows
# are alike. A network can tell the first one from the others by simple means; for the other two it has to look for
# something else.

# %% tags=["nbval-check-output"]
real = [one for one in measured if not one["embedded"]]
traces_table(real[0]) if real else Table([], "No traces of real images are recorded in report/data yet.")

# %% [markdown]
# ## Data
#
# Unless `data` names a folder that holds the competition's images, everything below is about the **embedded images**. Five
# short programs draw them on the spot. Like real generators, these programs draw the same kinds of scenes and differ in
# their traces. The embedded images are there so that everything runs at once. They are not the competition's images, and
# no number measured on them is one of the competition's numbers.

# %%
splits = load(data, image_size)

# %% tags=["nbval-check-output"]
images_table(splits)

# %% [markdown]
# Where all classes have the same number of images, accuracy is a fair summary: no classifier gains by preferring a
# frequent class.

# %%
class_balance(splits)

# %% [markdown]
# ### Samples
#
# One row per class. Try to say in words what the pictures of a row have in common before you read on. For a row with a
# colour of its own it is easy. For the others it is harder than it sounds: the scenes draw the eye, and the scenes are the
# same in every row.

# %%
samples(splits.train)

# %% [markdown]
# ### Traces of the images at hand
#
# The same measurements as above, on the training images that were just loaded.

# %%
at_hand = trace_statistics(splits.train, splits.name, splits.embedded)
display(traces([at_hand]), traces_table(at_hand))

# %% [markdown]
# ### Duplicates
#
# An image that stands in training *and* in validation makes validation easier than it should be. A network that has learnt
# images by heart gains most from it. Identical pixels are found exactly. Near copies (saved anew, resized, brightened) are
# found by a perceptual hash: a few bits that describe the coarse structure of an image. Two images are compared by how many
# of their bits differ. Hashes may also be near because two scenes are composed alike, so the eye must judge what is found.

# %%
duplicates = find_duplicates({"train": splits.train, "validation": splits.validation})
print(duplicates.text(limit=5))

# %% [markdown]
# ## What next
#
# The [next notebook](01_the_baseline.ipynb) asks how far the plainest network gets. For a folder of your own,
# `python -m dfclib data check FOLDER` counts images, finds duplicates and lists whatever is wrong;
# `python -m dfclib data traces FOLDER --out DIR` measures the traces.
