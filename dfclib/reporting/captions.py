"""Runs in words: data, scale, epochs, kept epoch, device and author's figures, as tables, titles and legends say them.

Each is worded here and nowhere else, so that a run is called the same wherever it is shown.
"""

from collections.abc import Mapping
from typing import Any

from dfclib.datasets.images import Splits
from dfclib.evaluation.metrics import validation_fluctuation
from dfclib.recipes import EnsembleRecipe, Recipe
from dfclib.runs import Run
from dfclib.wording import percent

AUTHOR = "author, public test"
OURS = "ours, validation"
# Of fewer epochs the second half has too few jumps for a typical one
FEWEST_EPOCHS = 12
JUMP = "typical jump between epochs, second half"
# The images that a run's `val_` columns and its choices are about, by protocol
WATCHED = {"published": "validation", "held_out": "held-out images", "final": "no images"}
KEPT = {"last": "last epoch", "best_val_loss": "lowest loss on {}", "best_val_accuracy": "highest accuracy on {}"}
# Images that an author measured accuracy on, as a recipe's claims name them and as a reader does
CLAIMS = {"public_test": "public test", "validation": "validation", "test": "test", "kaggle": "Kaggle"}


def data_name(data: Mapping[str, Any]) -> str:
    """A name for `run.data`; generated images are never called by the name of real ones."""
    if not data["embedded"]:
        return data["name"]
    if data["name"] == "garments":
        return "generated garments, not Fashion-MNIST"
    return "embedded data, not the competition's images"


def splits_name(splits: Splits) -> str:
    """`data_name` of images that no run has been trained on yet."""
    return data_name({"name": splits.name, "embedded": splits.embedded})


def author_figures(claims: Mapping[str, float]) -> str:
    """The author's accuracies: `validation 88.88%, Kaggle 90.00%`; empty where none is stated."""
    return ", ".join(f"{name} {percent(claims[key], 2)}" for key, name in CLAIMS.items() if key in claims)


def kept(recipe: Recipe | EnsembleRecipe) -> str:
    """Which epoch's weights a run of `recipe` ends with, for a vote its members': `lowest loss on validation`."""
    texts = (KEPT[member.keep].format(WATCHED[recipe.protocol]) for member in recipe.members)
    return " or ".join(dict.fromkeys(texts))


def epochs(run: Run) -> str:
    """The number of epochs trained; for a vote `10 voters`."""
    return f"{len(run.members)} voters" if run.members else str(len(run.history))


def fluctuation(run: Run) -> str:
    """How much validation accuracy jumps from epoch to epoch in the second half of a training: `2.1 points`, or why
    nobody knows. In the first half the bend of the steep beginning would count as jumps."""
    if run.protocol == "final":
        return "not watched"
    if len(run.history) < FEWEST_EPOCHS:
        return "too few epochs to tell"
    return f"{validation_fluctuation(run.history.iloc[len(run.history) // 2 :]):.1f} points"


def measured_in(run: Run, key: str) -> str:
    """The run's "device" or "precision"; for a vote over trainings of several, `several devices`."""
    return run.environment[key] or f"several {key}s"


def device_name(run: Run) -> str:
    """The device's own name where it is known, else its kind: `Intel Xeon, 2 cores`."""
    return run.environment.get("device_name") or measured_in(run, "device")


def conditions(run: Run) -> dict[str, str]:
    """The cells that stand beside an accuracy: data, kept epoch and weights, scale, epochs, device and precision."""
    return {
        "data": data_name(run.data),
        "kept": _kept_and_weights(run),
        "scale": run.scale_text,
        "epochs": epochs(run),
        "device": measured_in(run, "device"),
        "precision": measured_in(run, "precision"),
    }


def scale(scale_text: str) -> str:
    """`run.scale_text` as a sentence says it: `compact scale (3 epochs, earlier recipe)`."""
    name, _, more = scale_text.partition(", ")
    return f"{name} scale{f' ({more})' if more else ''}"


def caption(*runs: Run) -> str:
    """The line below the title of a figure: scale, data and which epoch is kept; where runs differ, whose is which."""
    names: dict[str, list[str]] = {}
    for run in runs:
        text = f"{scale(run.scale_text)}, {data_name(run.data)}, kept: {kept(run.recipe)}"
        names.setdefault(text, []).append(run.recipe.name)
    return "; ".join(f"{', '.join(who)}: {text}" if len(names) > 1 else text for text, who in names.items())


def heading(run: Run) -> str:
    """The title of a figure of one run: its recipe's title and seed, and the caption in another line."""
    return f"{run.recipe.title}, seed {run.seed}\n{caption(run)}"


def _kept_and_weights(run: Run) -> str:
    """Which epoch is kept, whether images were held out all the same, and where a vote's weights come from."""
    text = kept(run.recipe)
    if run.protocol == "held_out" and WATCHED["held_out"] not in text:  # nothing was chosen on them
        text += ", a tenth held out"
    weights = run.metrics.get("weights")
    if weights is None:
        return text
    source = "searched there" if run.recipe.search_weights else "the author's"
    return f"{text}; weights {', '.join(f'{w:g}' for w in weights)} {source}"
