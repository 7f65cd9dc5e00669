"""The commands `evaluate`, `figures` and `record`: finished runs."""

from argparse import Namespace
from typing import TYPE_CHECKING

from dfclib.cli import inputs, output
from dfclib.cli.inputs import RECORDED
from dfclib.errors import UserError
from dfclib.wording import interval, percent, text_table

if TYPE_CHECKING:
    from dfclib.predictions import Predictions


def evaluate(arguments: Namespace) -> None:
    """Show accuracy with its interval, and a per-class table."""
    from dfclib.evaluation.metrics import per_class, summary
    from dfclib.reporting.captions import data_name, kept

    run = inputs.find_run(arguments.run, arguments.runs)
    known = {split: run.predictions(split) for split in run.splits}
    known = {split: predictions for split, predictions in known.items() if predictions.labels is not None}
    if arguments.json:
        results = {split: summary(p) | {"classes": per_class(p).to_dict("records")} for split, p in known.items()}
        names = ("scale", "protocol", "seed", "data", "environment", "members")
        about = {"run": run.name, "recipe": run.recipe.name} | {name: getattr(run, name) for name in names}
        output.print_json(about | {"splits": results})
        return
    print(run.name)
    print(f"recipe {run.recipe.name}, scale {run.scale_text}, protocol {run.protocol}, seed {run.seed}")
    print(f"data: {data_name(run.data)}")
    print(", ".join(f"{key} {value}" for key, value in run.environment.items() if value is not None))
    if run.members:
        print(f"vote of {', '.join(run.members)}")
    else:
        print(f"kept: epoch {run.metrics['kept_epoch']}, {kept(run.recipe)}")
    for split, predictions in known.items():
        print(f"\n{split}: {accuracy_text(predictions)}")
        table = per_class(predictions)
        fractions = {name: table[name].map("{:.3f}".format) for name in ("precision", "recall", "f1")}
        print(text_table(table.assign(**fractions).astype(str).to_dict("records")))


def figures(arguments: Namespace) -> None:
    """Draw the figures of runs; without a name, what README and the report show of all recorded ones."""
    from dfclib.runs import find_runs

    if arguments.names:
        runs = [inputs.find_run(name, arguments.runs) for name in arguments.names]
    else:
        runs = [run for run in find_runs(RECORDED) if not run.data["embedded"]]
    if not runs:
        raise UserError(f"there is no finished run of a recipe in {RECORDED}: name the runs to draw")
    from dfclib.reporting.figures import draw_overviews, draw_runs

    for path in (draw_runs if arguments.names else draw_overviews)(runs, arguments.out):
        print(path)


def record(arguments: Namespace) -> None:
    """Copy finished runs to where they are kept, without weights above 12 MB."""
    from dfclib import recording

    found = {}
    for name in arguments.names:
        run = inputs.find_run(name, arguments.runs)
        recording.check_recordable(run, arguments.to)
        if not found.setdefault(run.name, run).path.samefile(run.path):
            raise UserError(f"{run.path} and {found[run.name].path} are both called {run.name}: record one of them")
    for run in found.values():
        print(recording.record(run, arguments.to, weights=not arguments.no_weights).path)


def accuracy_text(predictions: "Predictions") -> str:
    """`accuracy 83.33% (95% interval 43.65% to 96.99%; 5 of 6 right)`"""
    from dfclib.evaluation.metrics import summary

    s = summary(predictions)
    low_to_high = interval(s["low"], s["high"], 2)
    return f"accuracy {percent(s['accuracy'], 2)} (95% interval {low_to_high}; {s['correct']:,} of {s['n']:,} right)"
