"""S4's files as its author delivers them, from runs: figures of each network, results and a table of both.

For each of the two recipes training_history.png, confusion_matrix.png and predictions.png; for both results.json.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfclib.datasets.images import ImageSet
from dfclib.evaluation.metrics import per_class, summary
from dfclib.recipes import Recipe, find
from dfclib.reporting import figures
from dfclib.reporting.captions import caption, data_name, kept
from dfclib.reporting.tables import Table
from dfclib.runs import Run
from dfclib.wording import interval, percent, points


def recipes(scale: str) -> list[Recipe]:
    """The author's recipe and ours at `scale`: quick, compact or full."""
    return [find(name).at_scale(scale) for name in ("s4-author", "s4-ours")]


def write_figures(run: Run, test: ImageSet, out: Path | str) -> list[Path]:
    """Write training_history.png, confusion_matrix.png and predictions.png into a folder under `out`, by recipe."""
    folder, predictions = Path(out) / run.recipe.name, run.predictions("test")
    title = f"{run.recipe.title}, seed {run.seed}: test images\n{caption(run)}"
    drawn = {
        "training_history": figures.curves(run),
        "confusion_matrix": figures.confusion(predictions, title),
        "predictions": figures.answers(test, figures.right_and_wrong(predictions), title),
    }
    return [figures.save(figure, folder / f"{name}.png") for name, figure in drawn.items()]


def result(run: Run) -> dict[str, Any]:
    """The entry of results.json for one run, shares as fractions.

    test is `metrics.summary`, best and worst are the classes of the highest and the lowest recall. author and points
    are the author's claims and what our accuracy has more, on the same images; None for generated ones.
    """
    predictions = run.predictions("test")
    test, classes = summary(predictions), per_class(predictions)
    author = None if run.data["embedded"] else find("s4-author").claims

    def with_recall(recall: float) -> dict[str, Any]:
        return {"classes": classes["class"][classes["recall"] == recall].tolist(), "recall": float(recall)}

    return {
        "row": run.recipe.name,
        "run": run.name,
        "data": data_name(run.data),
        "scale": run.scale_text,
        "seed": run.seed,
        "test": test,
        "classes": classes.to_dict("records"),
        "best": with_recall(classes["recall"].max()),
        "worst": with_recall(classes["recall"].min()),
        "author": author,
        "points": None if author is None else 100 * (test["accuracy"] - author["test"]),
        **{name: run.metrics[name] for name in ("trainable_parameters", "epochs", "kept_epoch")},
        "kept": kept(run.recipe),
        "seconds": run.metrics["seconds"],
        "environment": run.environment,
    }


def table(results: Sequence[dict[str, Any]]) -> Table:
    """The results as a table, one column per run; without the author's figures for generated images."""
    columns = {one["row"]: _column(one) for one in results}
    headings = next(iter(columns.values()))
    rows = [{"": heading} | {name: column[heading] for name, column in columns.items()} for heading in headings]
    n = results[0]["test"]["n"]
    if results[0]["author"] is None:
        note = "these figures show that everything works, and say nothing about Fashion-MNIST."
        return Table(rows, f"Of {n:,} generated test images, which are not Fashion-MNIST: {note}")
    note = f"All figures, the author's too, are of the same {n:,} test images, which were looked at once. "
    note += "Each checkpoint was chosen on validation, a stratified tenth of the training images. One seed each: "
    return Table(rows, f"{note}the interval says what another sample of images might have given, not another seed.")


def _column(one: dict[str, Any]) -> dict[str, str]:
    test, author = one["test"], one["author"]
    cells = {
        "test accuracy": percent(test["accuracy"], 2),
        "95% interval": interval(test["low"], test["high"], 2),
        "test loss, nats": f"{test['log_loss']:.4f}",
        "best class, recall": _extreme(one["best"]),
        "worst class, recall": _extreme(one["worst"]),
    }
    if author is not None:
        cells |= {
            "author's accuracy": percent(author["test"], 2),
            "difference, points": points(one["points"] / 100, 2).replace("-", "−"),
            "author's test loss": f"{author['test_loss']:.4f}",
        }
    return cells | {
        "parameters": f"{one['trainable_parameters']:,}",
        "epochs": f"{one['epochs']}, epoch {one['kept_epoch']} kept",
        "scale": one["scale"],
        "device": one["environment"]["device"],
        "precision": one["environment"]["precision"],
        "seconds": f"{one['seconds']:,.0f}",
    }


def _extreme(extreme: dict[str, Any]) -> str:
    first, *others = extreme["classes"]
    return f"{first}{f' and {len(others)} more' if others else ''}, {percent(extreme['recall'])}"
