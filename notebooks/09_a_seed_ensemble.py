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
# # One network, four seeds
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/dfclib/dfclib/blob/main/notebooks/09_a_seed_ensemble.ipynb)

# %% [markdown]
# ## Question
#
# What do seeds and small changes buy, when the architecture stays the same?
#
# Four trainings of one network: as it is, with a narrower head, with half the weight decay, with a little rotation.
# Their probabilities are averaged with equal weights. Nothing about the four is complementary by design. They differ
# by where they started, in which order they saw the images, and by changes so small that each alone would be lost in
# the noise. Is that enough to make a vote worthwhile?

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
from itertools import combinations, product

import numpy as np
from IPython.display import display

from dfclib.datasets.images import channel_statistics, held_out_split
from dfclib.datasets.sources import load
from dfclib.ensembles import align, hard_vote, search_weights, soft_vote, vote
from dfclib.evaluation.metrics import summary
from dfclib.pipelines import epoch_indices
from dfclib.predictions import Predictions
from dfclib.recipes import find
from dfclib.reporting import figures
from dfclib.reporting.comparison_tables import comparison_table, disagreement_table, weights_table
from dfclib.reporting.tables import (
    Table,
    changes_table,
    images_table,
    layers_table,
    predictions_table,
    recipe_table,
    recorded_table,
    results_table,
)
from dfclib.runs import find_recorded, load_run
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
# The base network's training. Nothing stops early: the rate follows half a cosine down to its floor. Of all epochs the
# one with the highest accuracy is kept, in the author's code on the validation images, here on images that were held
# out. Below it, what the members vary, and what that makes of the number of parameters.

# %% tags=["nbval-check-output"]
full = find("s3-vote")
base = full.members[0]
display(recipe_table(base))
models = {member.name: build_model(member, channels=3, classes=5) for member in full.members}
rows = []
for member in full.members:
    changes = changes_table(base, member).rows
    varied = "; ".join(f"{row['field']} {row[member.name]} instead of {row[base.name]}" for row in changes)
    count = f"{trainable_parameters(models[member.name]):,}"
    rows.append({"member": member.name, "varied": varied or "nothing", "parameters": count})
Table(rows)

# %% [markdown]
# The seeds are ours; the author names none. Since seed and setting change together, a member that comes out better
# does not say that its change was one.
#
# Author's description and report contradict each other. Rebuilt is the description; the recipe `s3-report` is the base
# network as the report has it. Of the poolings the description names two and the report four: there we follow the
# report, and keep the other reading as a recipe. With two poolings the map that is flattened stays large, and the first
# dense layer with it:

# %% tags=["nbval-check-output"]
two_pools = find("s3-two-pools")
for recipe, model in ((base, models[base.name]), (two_pools, build_model(two_pools, channels=3, classes=5))):
    dense = model.get_layer("dense1").count_params()
    print(f"{recipe.name}: {trainable_parameters(model):,} trainable parameters, {dense:,} in the first dense layer")
print(f"the author's: {base.claims['parameters']:,}")
display(changes_table(base, find("s3-report")), changes_table(base, two_pools), layers_table(models[base.name]))

# %% [markdown]
# What the scale at hand changes, and the protocol: a tenth of the training images is held out, so that a vote's
# weights can be searched where they do no harm.

# %% tags=["nbval-check-output"]
recipe = full.at_scale(scale).with_options(seed=seed, epochs=epochs, protocol="held_out")
changes_table(base, recipe.members[0])

# %% [markdown]
# Three things in this recipe deserve a look. *Every image and its mirror*: an epoch shows each image twice, the
# second time mirrored, so that left and right are balanced exactly and not on average. *Training-set normalisation*:
# mean and deviation of each channel come from the images trained on (held-out ones excluded) and are kept inside the
# model; like the author we average each image's own, which makes the deviation smaller. *Label smoothing*: the target leaves a share for the other classes.

# %%
trained_on, _ = held_out_split(splits.train)
shown = epoch_indices(trained_on, recipe.members[0])[0]
means, deviations = (
    ", ".join(f"{x:.0f}" for x in values) for values in channel_statistics(trained_on.images, by_image=True)
)
smoothing, classes = base.label_smoothing, len(splits.class_names)
print(f"{len(trained_on):,} images to train on, {len(shown):,} shown in an epoch")
print(f"red, green and blue on 0..255: mean {means}; deviation {deviations}")
print(f"target: {1 - smoothing + smoothing / classes:.2f} for the true class, {smoothing / classes:.2f} for each other")

# %% [markdown]
# ### Soft or geometric, by hand
#
# A soft vote takes the mean of the probabilities, a geometric one the mean of their logarithms. The two part ways
# where one member is very sure. In each of the first three images, three members agree, and the fourth objects.

# %% tags=["nbval-check-output"]
ids = np.array(["a-veto", "a-bluff", "not-that-one", "two-to-two"])
truth = np.array([0, 1, 2, 4])
same = [[90, 8, 1, 0.5, 0.5], [15, 45, 30, 5, 5], [3, 3, 42, 50, 2]]
said = {
    "base": [*same, [2, 2, 2, 50, 44]],
    "head128": [*same, [2, 2, 2, 55, 39]],
    "decay": [*same, [2, 2, 2, 40, 54]],
    "rotation": [[1e-7, 99.9, 0.05, 0.025, 0.025], [1, 2, 95, 1, 1], [70, 5, 20, 0.01, 4.99], [2, 2, 2, 42, 52]],
}
shares = {name: np.array(rows, np.float32) / 100 for name, rows in said.items()}
voters = {name: Predictions(ids, p.argmax(axis=1), tuple("01234"), p, truth) for name, p in shares.items()}
four = list(voters.values())
predictions_table(**voters, soft=soft_vote(four), geometric=vote("geometric", four), hard=hard_vote(four))

# %% [markdown]
# - `a-veto`: one member all but forbids the true class. The geometric mean obeys; the soft vote lets one voter count for no more than a quarter.
# - `a-bluff`: a confident wrong member carries the day against three lukewarm right ones, in both. Only the hard vote, which asks nobody how sure they
#   are, resists.
# - `not-that-one`: three members hesitate between two classes, and the fourth knows which it is not. Here the geometric vote is the wise one.
# - `two-to-two`: a tied hard vote falls back on the mean probability.
#
# Label smoothing teaches members not to say next to nothing of any class. So vetoes are rare here, and the votes
# should differ little.

# %% [markdown]
# ## Train

# %% tags=["nbval-ignore-output"]
run = train(recipe, splits, runs_dir)

# %% [markdown]
# ## What happened

# %%
member_runs = [load_run(run.path.parent / name) for name in run.members]
members = {r.recipe.name.removeprefix("s3-"): r.predictions("validation") for r in member_runs}
accuracies = [one.accuracy for one in members.values()]
result = summary(members["base"])
print(f"mean over the four: {np.mean(accuracies):.1%}; deviation: {100 * np.std(accuracies, ddof=1):.1f} points")
print(f"95% Wilson interval of the first alone: {result['low']:.1%} to {result['high']:.1%}, n = {result['n']:,}")
display(results_table([*member_runs, run]))
figures.validation_curves(member_runs)

# %% [markdown]
# Two numbers stand above the table that are easily taken for one another. The deviation says how far another
# *training* would land, on these same images. The interval says how far other *images* of the same kind would put
# this same training. Neither contains the other. On a small set the second is usually the larger, and a small
# deviation over seeds is then no sign that the figure is known well: all members were examined with the same few
# questions. (Here the settings vary with the seeds, so that the deviation covers both; and from four values a
# deviation is itself a rough estimate.)

# %%
ensemble = run.predictions("validation")
display(disagreement_table(members), comparison_table(members, "vote", ensemble))
figures.disagreement(members)

# %% [markdown]
# Against the typical member a vote should gain; against the best, which was picked by looking, it need not. A member
# is an honest opponent only if it was named beforehand: the base is.
#
# How many are enough? Next, every vote of one, two, three and four of them, the ways to vote, and weights that were
# searched on held-out images. In the first table read the column of means: it usually climbs most from one to two and
# flattens after. The column of the best is a choice made by looking.

# %%
rows = []
for size in range(1, len(members) + 1):
    groups = list(combinations(members.values(), size))
    right = [soft_vote(group).accuracy for group in groups]
    cells = {"voters": str(size), "votes": str(len(groups)), "mean accuracy": f"{np.mean(right):.1%}"}
    rows.append(cells | {"worst": f"{min(right):.1%}", "best": f"{max(right):.1%}"})
display(
    Table(rows, f"{len(ensemble):,} validation images; the votes of one size share members and are not independent.")
)
voted = {kind: vote(kind, list(members.values())) for kind in ("hard", "geometric")}
display(comparison_table(voted, "soft vote", ensemble))
held_out = {r.recipe.name.removeprefix("s3-"): r.predictions("held_out") for r in member_runs}
weights_table({"equal": [1] * 4, "searched": search_weights(list(held_out.values()))}, members, held_out)

# %% [markdown]
# Members of one architecture are about equally good, so that there is little for weights to find, and on few held-out
# images much to imagine. A search may well give some members nothing at all. Equal weights, the author's choice, need
# no images to be chosen on.

# %%
display(figures.confusion(ensemble, figures.heading(run)))
figures.fixed_and_made(members["base"], ensemble, ("base", "vote"))

# %% [markdown]
# ## The recorded full run
#
# The members and their vote, and the same author's MLP, which is a baseline and no member:

# %% tags=["nbval-check-output"]
names = [member.name for member in full.members]
recorded = find_recorded(*names, "s3-vote", "s3-mlp", protocol="published")
recorded_table(recorded)

# %% [markdown]
# Under this protocol the members are trained on all training images. As none of them chooses an epoch, validation is
# looked at once all the same. The other protocol gives up a tenth of the images for the right to choose weights:

# %% tags=["nbval-check-output"]
chosen = find_recorded(*names, protocol="held_out")
display(recorded_table(find_recorded(*names, "s3-vote", protocol="held_out")))
if len(chosen) == len(names):
    kept = {run.recipe.name: run.predictions("held_out") for run in chosen}
    seen_once = {run.recipe.name: run.predictions("validation") for run in chosen}
    searched = search_weights(list(kept.values()))
    display(weights_table({"equal": [1] * len(names), "searched": searched}, seen_once, kept))

# %% [markdown]
# Of the members under the first protocol: their spread, the vote against each, and the ways to vote against one
# another.

# %% tags=["nbval-check-output"]
trained = {run.recipe.name: run.predictions("validation") for run in recorded if run.recipe.name in names}
together = soft_vote(list(trained.values())) if len(trained) == len(names) else None
if together is not None:
    accuracies = [one.accuracy for one in trained.values()]
    spread = 100 * np.std(accuracies, ddof=1)
    print(f"members: mean {np.mean(accuracies):.1%}, deviation {spread:.1f} points")
    display(comparison_table(trained, "vote", together), disagreement_table(trained))
    ways = {kind: vote(kind, list(trained.values())) for kind in ("hard", "geometric")}
    display(comparison_table(ways, "soft vote", together))
else:
    display(recorded_table([]))

# %% [markdown]
# At compact scale the members are trained for a small fraction of the author's epochs. The cosine reaches its floor
# all the same, but the networks are far from what they would become; what the vote adds to them need not be what it
# adds to finished ones.
#
# ### Complementary architectures, or seeds?
#
# The pair of [S1](07_a_pair_and_a_soft_vote.ipynb) was built to differ, these four were not. Disagreement alone would
# mislead: worse networks disagree more, whatever they are made of. So compare how often two are wrong *together* with
# how often they would be if their errors fell independently. A factor of one would be the ideal of every vote; the
# larger it is, the less there is to gain.

# %% tags=["nbval-check-output"]
pair = {run.recipe.name: run.predictions("validation") for run in find_recorded("s1-v1", "s1-v2", protocol="published")}
both_recorded = together is not None and len(pair) == 2
if both_recorded:
    everybody = pair | trained
    aligned = dict(zip(everybody, align(list(everybody.values()), list(everybody)), strict=True))
    wrong = {name: ~one.correct for name, one in aligned.items()}
    kinds = {
        "S1's pair": list(combinations(pair, 2)),
        "two of S3's four": list(combinations(trained, 2)),
        "one of each": list(product(pair, trained)),
    }
    rows = []
    for kind, couples in kinds.items():
        differ = np.mean([np.mean(aligned[a].predicted != aligned[b].predicted) for a, b in couples])
        joint = np.mean([np.mean(wrong[a] & wrong[b]) for a, b in couples])
        alone = np.mean([np.mean(wrong[a]) * np.mean(wrong[b]) for a, b in couples])
        cells = {"": kind, "couples": str(len(couples)), "different answers": f"{differ:.1%}"}
        cells |= {"both wrong": f"{joint:.1%}", "if independent": f"{alone:.1%}"}
        rows.append(cells | {"factor": f"{joint / alone:.1f}" if alone else "–"})
    display(Table(rows, "Means over the couples."))
else:
    display(recorded_table([]))

# %%
if both_recorded:
    display(figures.disagreement(everybody, "S1's pair and S3's four"))
    display(figures.fixed_and_made(trained["s3-base"], together, ("base", "vote")))
for run in recorded:
    validation = run.predictions("validation")
    if run.recipe.name in ("s3-vote", "s3-mlp"):
        display(figures.confusion(validation, figures.heading(run)))

# %% [markdown]
# Any real pair shows a factor above one, since some images are hard for everybody. And the factor, too, depends on
# how many errors there are: where they are many it cannot be large, so that finished networks may show larger ones.
# The epochs that are kept were chosen on these images. And with one pair of the one kind, this compares two
# systems and not two principles.

# %% [markdown]
# ## What next
#
# What did the vote cost? As many trainings as it has members, and as many passes for each image. Four seeds of one
# network are the cheapest ensemble to *think of*, and a deviation over them comes for free, which is reason enough to
# train them. [The last of the systems](10_fashion_mnist.ipynb) leaves this data altogether.
