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
# # Fashion-MNIST
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/dfclib/dfclib/blob/main/notebooks/10_fashion_mnist.ipynb)

# %% [markdown]
# ## Question
#
# A small convolutional network on grey garments, of which only a description is known: how near to its author's
# figure does a reading of that description come, and what does another network gain that is still small?
#
# Here, for once, author and we look at the same test images: Fashion-MNIST is public, its ten thousand test images
# have labels, and a difference between two figures is a difference. That obliges us to look at them once, after
# everything has been chosen elsewhere.

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
data = None  # "fashion-mnist" (wherever it is found) or a folder with its four files; None: generated garments
scale = None  # quick, compact or full; None: quick on the embedded images, else full with a GPU and compact without
epochs = None  # fewer than the scale's, for whoever has half an hour; None: the scale's
runs_dir = "build/runs-quick"  # trainings are kept here; `make test` empties this folder: name another for long ones
seed = None  # None: the recipe's own

# %% tags=["nbval-ignore-output"]
from IPython.display import display

from dfclib.datasets.sources import load_fashion
from dfclib.evaluation.calibration import fit_temperature
from dfclib.evaluation.metrics import confusion_matrix
from dfclib.recipes import find
from dfclib.reporting import fashion
from dfclib.reporting.comparison_tables import calibration_table, comparison_table
from dfclib.reporting.figures import (
    answers,
    confusion,
    curves,
    heading,
    per_class_bars,
    reliability,
    right_and_wrong,
    samples,
)
from dfclib.reporting.tables import (
    Table,
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
# Unless `data` says otherwise, these are **generated garments**: pictures with Fashion-MNIST's format and its ten
# class names, drawn on the spot from simple shapes, so that everything runs at once. They are not Fashion-MNIST, and
# no number measured on them is one of its numbers. Where half of the shirts are drawn like another garment, no
# network can be right about all.

# %%
splits = load_fashion(data)
scale = scale or default_scale(splits.embedded)

# %% tags=["nbval-check-output"]
images_table(splits)

# %% [markdown]
# Fashion-MNIST comes as training and test images. Validation is a stratified tenth of the training images, set aside
# before any training: the checkpoint is chosen there. Garments have a validation part that is drawn like the rest.

# %%
samples(splits.train)

# %% [markdown]
# Cover the names. Shoes, bags and trousers are told by their outline. What is worn above the waist differs in a
# sleeve, a collar or a row of buttons, and at this size a row of buttons is a few grey pixels.

# %% [markdown]
# ## Recipe
#
# The author's description names the three blocks (convolution, max pooling, batch normalisation, dropout), their
# widths, and that dense layers follow. Everything else in this table is our reading: padding, the rates of dropout,
# the dense layer's width; optimizer, batch and epochs are Keras's usual ones, and that the best epoch on validation
# is kept is our choice as well. A reproduction of a description is one network among those that fit it.

# %% tags=["nbval-check-output"]
full_author, full_ours = find("s4-author"), find("s4-ours")
recipe_table(full_author)

# %% [markdown]
# The second row is ours throughout. It keeps the author's three widths and changes what we know to help small
# networks: two convolutions a block, normalised before their ReLU; a rate that falls along a cosine; label smoothing;
# mirrored images, moved by whole pixels at most.

# %% tags=["nbval-check-output"]
changes_table(full_author, full_ours)

# %% tags=["nbval-check-output"]
models = {recipe.name: build_model(recipe, channels=1, classes=10) for recipe in (full_author, full_ours)}
for name, model in models.items():
    print(f"{name}: {trainable_parameters(model):,} trainable parameters")
layers_table(models["s4-author"])

# %% tags=["nbval-check-output"]
layers_table(models["s4-ours"])

# %% [markdown]
# What the scale at hand changes of each:

# %% tags=["nbval-check-output"]
author_recipe = full_author.at_scale(scale).with_options(seed=seed, epochs=epochs)
changes_table(full_author, author_recipe)

# %% tags=["nbval-check-output"]
our_recipe = full_ours.at_scale(scale).with_options(seed=seed, epochs=epochs)
changes_table(full_ours, our_recipe)

# %% [markdown]
# ## Train
#
# `python -m dfclib fashion`, or `make fashion`, does in one command what this notebook does in steps: it finds or
# fetches Fashion-MNIST, trains both rows and writes `training_history.png`, `confusion_matrix.png`, a page of
# predictions and the results.

# %% tags=["nbval-ignore-output"]
author = train(author_recipe, splits, runs_dir)

# %% tags=["nbval-ignore-output"]
ours = train(our_recipe, splits, runs_dir)

# %% [markdown]
# ## What happened
#
# First the histories, which know validation alone.

# %%
curves(author)

# %%
curves(ours)

# %% [markdown]
# The two training losses are not to be compared: ours is taken against smoothed labels, which no network can bring to
# zero. The losses on validation are taken against plain labels in both.
#
# Where training goes well and validation stands still for long, suspect batch normalisation before overfitting: in
# validation it uses running averages, which with Keras's momentum (the author's row) follow within some hundreds of
# steps, with ours within tens. A quick run on generated garments has no more than hundreds; an epoch of Fashion-MNIST
# has more.
#
# Now the test images, for the first time.

# %%
fashion.table([fashion.result(run) for run in (author, ours)])

# %%
results_table([author, ours])

# %%
of_author, of_ours = author.predictions("test"), ours.predictions("test")
confusion(of_author, f"{heading(author)}; test images")

# %%
confusion(of_ours, f"{heading(ours)}; test images")

# %%
per_class_bars(of_ours, f"{heading(ours)}; test images")

# %% [markdown]
# The worst class says more than the mean. Where do shirts go, and who is taken for a shirt?

# %%
names, rows = splits.class_names, []
for row, predictions in {"author's": of_author, "ours": of_ours}.items():
    counts = confusion_matrix(predictions)
    for true, answer in (("Shirt", "T-shirt/top"), ("T-shirt/top", "Shirt"), ("Shirt", "Pullover"), ("Shirt", "Coat")):
        count, total = counts[names.index(true), names.index(answer)], counts[names.index(true)].sum()
        rows.append({"row": row, "true class": true, "taken for": answer, "images": f"{count:,} of {total:,}"})
Table(rows)

# %% [markdown]
# Right answers of every class, and the wrong ones of which the network is surest. Would you have said otherwise?

# %%
answers(splits.test, right_and_wrong(of_ours), f"{heading(ours)}; test images")

# %% [markdown]
# ### Two architectures, the same images
#
# The interval of the difference is paired: each image is drawn anew with both answers to it. It speaks of other
# images, not of another seed, and it credits the whole recipe, not the architecture alone.

# %%
comparison_table({"author's": of_author}, "ours", of_ours)

# %% [markdown]
# ### Is a network as sure as it is right?
#
# Trained without smoothing, a network is rewarded for certainty long after it is right; smoothed labels ask it to
# keep a share back, and may leave it less sure than it could be. One temperature, fitted on validation, mends most of
# either. (The two recipes differ in more than smoothing, so that this comparison explains nothing by it alone.)

# %%
rows = {"author's, no smoothing": of_author, "ours, label smoothing": of_ours}
reliability(rows, "Reliability on test images")

# %%
fitted = [fit_temperature(run.predictions("validation")) for run in (author, ours)]
calibration_table(rows, temperatures=dict(zip(rows, fitted, strict=True)))

# %% [markdown]
# A temperature above one says that the network was too sure, one below that it was not sure enough.

# %% [markdown]
# ## The recorded full run
#
# Both rows on the real test images, beside the author's accuracy and loss. The author names Sneaker as the best class
# and Shirt as the worst.

# %% tags=["nbval-check-output"]
recorded = find_recorded("s4-author", "s4-ours")
recorded_table(recorded)

# %% tags=["nbval-check-output"]
fashion.table([fashion.result(run) for run in recorded]) if recorded else recorded_table(recorded)

# %% [markdown]
# A difference from the author's accuracy may be read here, as both come from the same images. An interval for it we
# cannot give: that would take the author's answers image by image. Between our own two rows we have them.

# %% tags=["nbval-check-output"]
tested = {run.recipe.name: run.predictions("test") for run in recorded}
both = len(tested) == 2
comparison_table({"author's": tested["s4-author"]}, "ours", tested["s4-ours"]) if both else recorded_table([])

# %% tags=["nbval-check-output"]
fitted = {run.recipe.name: fit_temperature(run.predictions("validation")) for run in recorded}
calibration_table(tested, temperatures=fitted) if tested else recorded_table([])

# %% [markdown]
# What to look at: whether our reading of the author's network lands near the author's figure or off it, which would
# mean that what the description leaves out matters; whether best and worst class are the author's; and whether what
# ours gains, it gains among shirts.

# %%
for run in recorded:
    test, title = run.predictions("test"), f"{heading(run)}; test images"
    display(curves(run), confusion(test, title), per_class_bars(test, title))
if tested:
    display(reliability(tested, "Reliability on test images"))

# %% [markdown]
# ## What next
#
# This was the last of the systems. One seed stands behind each row, and the interval says nothing about seeds: train
# each with several (`seed` above) before believing a difference of tenths. The pictures of this notebook as files are
# one command away: `make fashion`.
