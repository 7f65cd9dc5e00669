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
# What are these images, what does a label mean, and could the answer lie in something other than what they show?
#
# Descriptions of the competition speak of real and fake faces. The images say otherwise: every one of them was made by a
# generative model, all of them show animals that ride a bike, wash dishes or play chess, and the label says **which of five
# generators made the image**. This is attribution, not detection of fakes. Since all generators were asked for the same
# scenes, what an image shows says nothing about its label. What is left are the traces of the machine: how it smooths,
# how much fine grain it leaves, which colours and shadows it prefers.

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

from dfclib.datasets.folder.duplicates import find_duplicates
from dfclib.datasets.images import channel_statistics
from dfclib.datasets.sources import load
from dfclib.reporting.figures import class_balance, samples, spectra
from dfclib.reporting.tables import Table, images_table
from dfclib.runs import find_recorded

# %% [markdown]
# ## Data
#
# The competition's images must not be passed on, so this repository has none of them. Unless `data` names a folder that holds
# them, everything below is about the **embedded images**: pictures drawn on the spot by five short programs which, like
# real generators, draw the same kinds of scenes and differ in their traces. They are there so that everything runs at
# once. They are not the competition's images, and no number measured on them is one of the competition's numbers.

# %%
splits = load(data, image_size)

# %% tags=["nbval-check-output"]
images_table(splits)

# %% [markdown]
# The classes are balanced. So accuracy is a fair summary here: a classifier that guesses is right once in as many times as
# there are classes, and none gets better by preferring a frequent class.

# %%
class_balance(splits)

# %% [markdown]
# ### Samples
#
# A row a class. Try to say in words what the pictures of a row have in common before you read on; it is harder than it
# sounds, because the scenes draw the eye and the scenes are the same in every row.

# %%
samples(splits.train)

# %% [markdown]
# ### Colour and contrast
#
# Mean and deviation of each channel, by class, over all pixels of the training images. Where two classes have
# nearly the same row, these figures cannot tell them apart, and a network has to look for something else.

# %%
rows = []
for label, name in enumerate(splits.class_names):
    mean, deviation = channel_statistics(splits.train.images[splits.train.labels == label])
    means, deviations = (" ".join(f"{value:.1f}" for value in values) for values in (mean, deviation))
    rows.append({"class": name, "mean a channel (of 255)": means, "deviation a channel": deviations})
Table(rows)

# %% [markdown]
# ### Fine detail
#
# The spectrum of an image says how much of it varies slowly across the picture (low frequencies, in the middle of the
# maps) and how much from one pixel to the next (high frequencies, at the rim). Averaged over the images of a class, the
# scenes blur away and the habits of the generator stay. What all classes share is far larger than what tells them apart,
# so only the difference from the mean of the classes is drawn.
#
# Two things to look at. How large are the differences at the highest frequencies? Whatever reduces an image before a network
# sees it throws exactly these away: reading native pixels, or crops of them, is therefore no detail of the
# implementation. And which classes have curves that nearly coincide? These are the ones to expect trouble from.

# %%
spectra(splits.train)

# %% [markdown]
# ### Duplicates
#
# An image that stands in training *and* in validation makes validation easier than it should be, and a network that has learnt
# images by heart gains most from it. Identical pixels are found exactly. Near copies (saved anew, resized, brightened) are
# found by a perceptual hash: a few bits that say how the coarse structure of an image lies, compared by how many of them
# differ. Two hashes may also be near because two scenes are composed alike: what is found is for the eye to judge.

# %%
duplicates = find_duplicates({"train": splits.train, "validation": splits.validation})
print(duplicates.text(limit=5))

# %% [markdown]
# ## The recorded full run
#
# The trainings on the competition's own images were recorded with a description of their data. This much of it can be shown
# without the images.

# %% tags=["nbval-check-output"]
rows = [
    {
        "data": run.data["name"],
        "training images": f"{run.data['counts']['train']:,}",
        "validation images": f"{run.data['counts']['validation']:,}",
        "height x width": "x".join(map(str, run.data["image_size"])),
        "classes": ", ".join(run.data["class_names"]),
        "validation images a class": ", ".join(map(str, np.bincount(run.predictions("validation").labels))),
    }
    for run in find_recorded("attempt1")
]
Table(rows, "" if rows else "No run on the competition's images is recorded in report/runs yet.")

# %% [markdown]
# ## What next
#
# The next notebook asks how far the plainest network gets. Everything in this one can be repeated for any folder of images, with
# a list of whatever is wrong with it, by `python -m dfclib data check FOLDER`.
