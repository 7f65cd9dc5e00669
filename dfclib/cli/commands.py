"""What each command of cli.py does: its arguments into a call of the library, the answer into a few lines.

Imports stand inside the functions that need them: `data`, `recipes`, `vote`, `evaluate`, `figures` and
`record` start without TensorFlow, and `--help` without numpy.
"""

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dfclib.cli import inputs
from dfclib.cli.inputs import DATA, RECORDED
from dfclib.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dfclib.datasets.images import Splits
    from dfclib.predictions import Predictions
    from dfclib.recipes import EnsembleRecipe, Recipe
    from dfclib.runs import Run
    from dfclib.training.queue import Task

SCALES = ("quick", "compact", "full")
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
Arguments = argparse.Namespace


def data_check(arguments: Arguments) -> None:
    from dfclib.datasets.folder.check import check_folder

    report = check_folder(arguments.folder)
    print(report.text())
    if report.problems:
        raise UserError(f"{arguments.folder} cannot be used as it is: the problems are listed above")


def data_download(arguments: Arguments) -> None:
    from dfclib.datasets.kaggle import download

    print(download(arguments.to))


def data_make(arguments: Arguments) -> None:
    from dfclib.datasets.folder.loading import write_folder
    from dfclib.datasets.generated.animals import make_splits

    given = {name: getattr(arguments, name) for name in ("train", "validation", "test", "seed")}
    splits = make_splits(**{name: value for name, value in given.items() if value is not None})
    write_folder(splits, arguments.folder)
    print("procedural images, not the competition's", file=sys.stderr)
    print(arguments.folder)


def recipes(arguments: Arguments) -> None:
    from dfclib.recipes import all_recipes

    entries = [_recipe_entry(recipe) for recipe in all_recipes()]
    if arguments.json:
        _print_json(entries)
        return
    rows = [["recipe", "system", "the author's claim", "image size", "parameters", *SCALES]]
    for entry in entries:
        claims = [_claim(name, value) for name, value in entry["claims"].items()]
        sizes = [f"{height}x{width}" for height, width in entry["image_sizes"]["full"]]
        parameters, minutes = entry["trainable_parameters"], entry["expected_minutes"].values()
        rows.append(
            [entry["name"], entry["system"], ", ".join(claims) or "-", " ".join(sizes)]
            + ["-" if parameters is None else f"{parameters:,}"]
            + ["-" if m is None else _duration(m) for m in minutes]
        )
    print(_table(rows))
    print("Times are for two CPU cores, quick on images made on the spot. -: not stated, or not measured.")


def train(arguments: Arguments) -> None:
    # a wrong recipe is refused before anything is read or made
    recipe = inputs.find_recipe(arguments.recipe, arguments.scale, arguments.data)
    recipe = recipe.with_options(arguments.seed, arguments.epochs, arguments.protocol, arguments.precision)
    splits = inputs.load_splits(inputs.data_folder(arguments.data, recipe), arguments.image_size, recipe)
    _announce(recipe, splits)
    from dfclib import training

    if training.missing(recipe, splits, arguments.runs, fresh=arguments.fresh):
        _import_keras(arguments)
    run = training.train(recipe, splits, arguments.runs, fresh=arguments.fresh)
    print(run.path)


def reproduce(arguments: Arguments) -> None:
    from dfclib.training import devices
    from dfclib.training import queue as queue

    pause = arguments.runs / queue.PAUSE
    if arguments.pause or arguments.resume:
        pause.parent.mkdir(parents=True, exist_ok=True)
        pause.touch() if arguments.pause else pause.unlink(missing_ok=True)
        print(f"{pause}: {'the queue waits after its batch at hand' if arguments.pause else 'gone, the queue goes on'}")
        return
    folder = arguments.data or DATA
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name the competition's with --data")
    wanted = queue.wanted_runs(arguments.scale or devices.default_scale(embedded=False), arguments.only)
    sources = queue.Sources(folder)
    tasks = queue.tasks(wanted, sources, arguments.runs, arguments.record)
    print(_tasks_table(tasks))
    print(f"device   {devices.device()['name']}; {devices.resolve_precision('auto')}")
    sys.stdout.flush()
    for name, problem in sources.problems.items():
        print(f"no data: {name}: {problem}", file=sys.stderr)
    if arguments.list or not any(task.is_open for task in tasks):
        return
    devices.lower_priority(arguments.nice)
    _import_keras(arguments)
    failed = []
    for done in queue.reproduce(wanted, sources, arguments.runs, arguments.record, arguments.hours):
        if isinstance(done, UserError):
            failed.append(done)
            print(f"error: {done}", file=sys.stderr, flush=True)
        else:
            print(f"recorded {arguments.record / done.name}", flush=True)
    print(_tasks_table(queue.tasks(wanted, sources, arguments.runs, arguments.record)))
    if failed:
        raise UserError(f"{len(failed)} of the trainings failed, for the reasons above; the others are recorded")


def fashion(arguments: Arguments) -> None:
    from dfclib.cli import fashion
    from dfclib.training import devices

    splits, source = fashion.load(arguments.data, arguments.generated)
    recipes = fashion.recipes(arguments.scale or devices.default_scale(arguments.generated))
    arguments.out.mkdir(parents=True, exist_ok=True)  # a place that cannot be written to is refused now
    print(f"data     {source}")
    _announce_images(splits)
    for recipe in recipes:
        print(f"recipe   {recipe.name} ({recipe.title}), {recipe.scale} scale")
        _announce_length(recipe, splits)
    from dfclib import training

    # a list: the second row's troubles, too, are known before the first row trains
    if any([training.missing(recipe, splits, arguments.runs, fresh=arguments.fresh) for recipe in recipes]):
        _import_keras(arguments)
    runs = []
    for recipe in recipes:
        run = training.train(recipe, splits, arguments.runs, fresh=arguments.fresh)
        for path in fashion.write_figures(run, splits.test, arguments.out):  # at once: the next row takes its time
            print(path)
        runs.append(run)
    results = [fashion.result(run) for run in runs]
    print(fashion.write_results(results, arguments.out))
    print(f"\n{fashion.table(results)}")


def vote(arguments: Arguments) -> None:
    from dfclib import ensembles
    from dfclib.predictions.csv_files import write_predictions

    kind = arguments.kind
    if arguments.weights and kind == "hard":
        raise UserError("--weights are for a soft or geometric vote: add --soft or --geometric, or leave them out")
    if arguments.shares and kind != "hard":
        raise UserError(f"--shares are a hard vote's, and a {kind} vote writes its probabilities: leave it out")
    names = arguments.members
    inputs.check_out(arguments.out, names)
    members, split = inputs.read_voters(names, arguments.runs, arguments.split)
    voted = ensembles.vote(kind, members, arguments.weights, arguments.seed, names)
    only_labels = kind == "hard" and not arguments.shares  # what Kaggle takes
    say = _beside(arguments.out)
    write_predictions(replace(voted, probabilities=None) if only_labels else voted, arguments.out)
    where = f" of the {split} split" if split else ""
    say(f"{kind} vote of {len(members)} over {len(voted):,} images{where}")
    if voted.labels is not None:
        say(_accuracy_line(voted))
    say(arguments.out)


def evaluate(arguments: Arguments) -> None:
    from dfclib.evaluation.metrics import per_class, summary
    from dfclib.reporting.captions import data_name, kept

    run = inputs.find_run(arguments.run, arguments.runs)
    known = {split: run.predictions(split) for split in run.splits}
    known = {split: predictions for split, predictions in known.items() if predictions.labels is not None}
    if arguments.json:
        results = {split: summary(p) | {"classes": per_class(p).to_dict("records")} for split, p in known.items()}
        about = {"run": run.name, "recipe": run.recipe.name, "scale": run.scale, "protocol": run.protocol}
        about |= {"seed": run.seed, "data": run.data, "environment": run.environment, "members": run.members}
        _print_json(about | {"splits": results})
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
        print(f"\n{split}: {_accuracy_line(predictions)}")
        table = per_class(predictions)
        rows = [[name, str(n), *(f"{x:.3f}" for x in row)] for name, n, *row in table.itertuples(index=False)]
        print(_table([list(table.columns), *rows]))


def predict(arguments: Arguments) -> None:
    from dfclib.predictions.csv_files import write_predictions

    run = inputs.find_run(arguments.run, arguments.runs)
    if arguments.out:
        inputs.check_out(arguments.out, arguments.paths)
    from dfclib.training.inference import check_weights, predict_images

    check_weights(run, arguments.runs)  # before thousands of photographs are decoded
    images, problems = inputs.read_images(arguments.paths, run)
    _import_keras(arguments)
    predictions = predict_images(run, images)
    if arguments.out:
        say = _beside(arguments.out)
        write_predictions(predictions, arguments.out)
        say(arguments.out)
    else:
        rows = [["image", "label", *predictions.class_names]]
        for id_, label, row in zip(predictions.ids, predictions.predicted, predictions.probabilities, strict=True):
            rows.append([id_, predictions.class_names[label], *(f"{p:.3f}" for p in row)])
        print(_table(rows))
    if problems:  # the labels are out, and whoever asked for all of them is told that these are not all
        lines = "\n  ".join(problems.lines())
        raise UserError(f"{len(images):,} images are labelled; left out, {len(problems):,}:\n  {lines}")


def submit(arguments: Arguments) -> None:
    from dfclib.predictions.csv_files import write_predictions

    run = inputs.find_run(arguments.run, arguments.runs)
    folder = arguments.data or DATA
    sample = folder / "sample_submission.csv"
    inputs.check_out(arguments.out, [sample])
    predictions, images = inputs.submission(run, folder, arguments.runs)
    how = "as recorded in the run for these ids; no image was opened"
    if predictions is None:
        from dfclib.training.inference import predict_images

        how = f"made from the images in {folder}"
        print(f"{run.name} has no predictions of all these ids: it labels {len(images):,} test images", file=sys.stderr)
        _import_keras(arguments)
        predictions = predict_images(run, images)
    say = _beside(arguments.out)
    write_predictions(replace(predictions, probabilities=None), arguments.out)
    say(f"{len(predictions):,} predictions of {run.name}, in the order of {sample}: {how}")
    say(arguments.out)
    if arguments.send is not None:
        from dfclib.datasets.kaggle import submit as send

        print(send(arguments.out, arguments.send))


def figures(arguments: Arguments) -> None:
    from dfclib.reporting.captions import author_figures
    from dfclib.runs import find_runs

    def is_told(recipe: "Recipe | EnsembleRecipe") -> bool:
        return bool(recipe.attempt) or recipe.reported_split == "test" or author_figures(recipe.claims) != ""

    runs = [inputs.find_run(name, arguments.runs) for name in arguments.names]
    overview: list[Run] = []  # ladder.png and systems.png tell of all recorded runs: a few named ones leave them be
    if not arguments.names:
        # not the voters that no author speaks of, nor second protocols: a hundred pictures that nobody looks at
        overview = [run for run in find_runs(RECORDED) if not run.data["embedded"]]
        runs = [run for run in overview if run.protocol == "published" and is_told(run.recipe)]
    if not runs:
        raise UserError(f"there is no finished run of a recipe in {RECORDED}: name the runs to draw")
    from dfclib.reporting.figures import make_all

    for path in make_all(runs, arguments.out, overview):
        print(path)


def record(arguments: Arguments) -> None:
    from dfclib import runs

    found = {}
    for name in arguments.names:  # all are looked at before one is copied
        run = inputs.find_run(name, arguments.runs)
        runs.check_recordable(run, arguments.to)
        if not found.setdefault(run.name, run).path.samefile(run.path):
            raise UserError(f"{run.path} and {found[run.name].path} are both called {run.name}: record one of them")
    for run in found.values():
        print(runs.record(run, arguments.to, weights=not arguments.no_weights).path)


def _tasks_table(tasks: "list[Task]") -> str:
    """One row a training: how far it is, and how long the rest takes."""
    rows = [["training", "scale", "protocol", "seed", "state", "left"]]
    for task in tasks:
        recipe = task.wanted.recipe
        left = "-" if task.minutes is None else _duration(task.minutes) if task.minutes else ""
        rows.append([recipe.name, recipe.scale, recipe.protocol, str(recipe.seed), task.state, left])
    minutes = [task.minutes for task in tasks if task.is_open]
    known = sum(m for m in minutes if m is not None)
    note = f", and {minutes.count(None)} that nobody has measured" if None in minutes else ""
    done = sum(task.state == "recorded" for task in tasks)
    left = f"; left: at most {_duration(known)} on two CPU cores{note}" if minutes else ""
    return f"{_table(rows)}\n\n{done} of {len(tasks)} recorded{left}"


def _announce(recipe: "Recipe | EnsembleRecipe", splits: "Splits") -> None:
    """Say what is about to happen, before it takes its time."""
    from dfclib.reporting.captions import data_name

    print(f"recipe   {recipe.name} ({recipe.title}), seed {recipe.seed}, protocol {recipe.protocol}")
    print(f"scale    {recipe.scale}" + (f", {recipe.given_epochs} epochs" if recipe.given_epochs else ""))
    print(f"data     {data_name({'embedded': splits.embedded, 'name': splits.name})}")
    _announce_images(splits)
    _announce_length(recipe, splits)


def _announce_images(splits: "Splits") -> None:
    height, width = splits.train.size
    test = "" if splits.test is None else f", {len(splits.test):,} test"
    print(f"images   {len(splits.train):,} training, {len(splits.validation):,} validation{test}; ", end="")
    print(f"{height}x{width}, {len(splits.class_names)} classes")


def _announce_length(recipe: "Recipe | EnsembleRecipe", splits: "Splits") -> None:
    from dfclib.training import devices

    minutes = recipe.expected_minutes(len(splits.train))
    print(f"epochs   at most {' + '.join(str(member.epochs) for member in recipe.members)}")
    print("time     " + ("not measured" if minutes is None else f"about {_duration(minutes)} on two CPU cores"))
    precisions = dict.fromkeys(devices.resolve_precision(member.precision) for member in recipe.members)
    print(f"device   {devices.device()['name']}; {' and '.join(precisions)}")
    sys.stdout.flush()


def _import_keras(arguments: Arguments) -> None:
    """Import Keras without what TensorFlow logs as it starts, unless everything is to be seen."""
    if not arguments.debug:
        from dfclib.training.quiet import import_keras

        import_keras()


def _recipe_entry(recipe: "Recipe | EnsembleRecipe") -> dict[str, Any]:
    """All that is known of a recipe: sizes and times a scale, parameters of all members together."""
    import inspect

    from dfclib.datasets.generated import animals, garments
    from dfclib.recipes.recipe import COMPETITION

    counts = [member.parameters for member in recipe.members]
    make_splits = (animals if recipe.dataset == COMPETITION else garments).make_splits
    embedded = inspect.signature(make_splits).parameters["train"].default
    scaled = {scale: recipe.at_scale(scale) for scale in SCALES}
    images = dict.fromkeys(SCALES, recipe.dataset.images) | {"quick": embedded}
    return recipe.to_dict() | {
        "claims": {name: value for name, value in recipe.claims.items() if name != "parameters"},
        "trainable_parameters": None if None in counts else sum(counts),
        "image_sizes": {s: sorted({member.image_size for member in r.members}) for s, r in scaled.items()},
        "expected_minutes": {s: r.expected_minutes(images[s]) for s, r in scaled.items()},
    }


def _claim(name: str, value: float) -> str:
    number = f"{value:g}" if name.endswith("loss") else f"{value:.1%}"
    return f"{name.replace('_', ' ').replace('kaggle', 'Kaggle')} {number}"


def _accuracy_line(predictions: "Predictions") -> str:
    from dfclib.evaluation.metrics import summary

    s = summary(predictions)
    interval = f"95% interval {s['low']:.2%} to {s['high']:.2%}"
    return f"accuracy {s['accuracy']:.2%} ({interval}; {s['correct']:,} of {s['n']:,} right)"


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{max(1, 60 * minutes):.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _beside(out: "Path") -> "Callable[[object], None]":
    """`print`, to standard error where the predictions themselves go to /dev/stdout or a pipe."""
    from functools import partial

    from dfclib.files import is_stream

    return partial(print, file=sys.stderr) if is_stream(out) else print


def _print_json(value: Any) -> None:
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # JSON has its own way to write what the terminal has no sign for
        text = json.dumps(value, indent=2)
    print(text)


def _table(rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
