"""The commands `recipes`, `train`, `fashion`, `reproduce` and `study`."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfclib.cli import inputs, output
from dfclib.cli.inputs import DATA, SCALES
from dfclib.errors import UserError
from dfclib.files import write_json
from dfclib.wording import MISSING, duration, percent, text_table

if TYPE_CHECKING:
    from keras.callbacks import Callback

    from dfclib.datasets.images import Splits
    from dfclib.recipes import EnsembleRecipe, Recipe
    from dfclib.training.queue import Job


STUDIES, DRAWN_STUDIES = Path("report/studies"), Path("build/studies")


def recipes(arguments: Namespace) -> None:
    """List every recipe: the author's claim, image size, parameters, times."""
    from dfclib.recipes import all_recipes

    entries = [_recipe_entry(recipe) for recipe in all_recipes()]
    if arguments.json:
        output.print_json(entries)
        return
    rows = []
    for entry in entries:
        parameters = entry["trainable_parameters"]
        row = {
            "recipe": entry["name"],
            "system": entry["system"],
            "the author's claim": ", ".join(_claim(*claim) for claim in entry["claims"].items()) or MISSING,
            "image size": " ".join(f"{height}x{width}" for height, width in entry["image_sizes"]["full"]),
            "parameters": MISSING if parameters is None else f"{parameters:,}",
        }
        rows.append(row | {scale: _time(minutes) for scale, minutes in entry["expected_minutes"].items()})
    print(text_table(rows))
    print(f"Times are for two CPU cores, quick on images made on the spot. {MISSING}: not stated, or not measured.")


def train(arguments: Namespace) -> None:
    """Train a recipe; given again, go on where it stopped or return the finished run."""
    from dfclib import training
    from dfclib.reporting.captions import splits_name

    if arguments.tensorboard and find_spec("tensorboard") is None:
        raise UserError("--tensorboard needs the package tensorboard, which is not installed: pip install tensorboard")
    # a wrong recipe is refused before anything is read or made
    recipe = inputs.find_recipe(arguments.recipe, arguments.scale, arguments.data)
    recipe = recipe.with_options(arguments.seed, arguments.epochs, arguments.protocol, arguments.precision)
    splits = inputs.load_splits(inputs.data_folder(arguments.data, recipe), arguments.image_size, recipe)
    print(f"recipe   {recipe.name} ({recipe.title}), seed {recipe.seed}, protocol {recipe.protocol}")
    print(f"scale    {recipe.scale}" + (f", {recipe.given_epochs} epochs" if recipe.given_epochs else ""))
    print(f"data     {splits_name(splits)}")
    _announce_images(splits)
    missing = training.missing(recipe, splits, arguments.runs, fresh=arguments.fresh)
    _announce_length(missing, splits)
    if missing:
        output.import_keras(arguments)
    callbacks = partial(_tensorboard, arguments.tensorboard) if arguments.tensorboard else ()
    run = training.train(recipe, splits, arguments.runs, fresh=arguments.fresh, callbacks=callbacks)
    print(run.path)


def fashion(arguments: Namespace) -> None:
    """All of S4: find or fetch Fashion-MNIST, train both networks, write every figure."""
    from dfclib import training
    from dfclib.reporting import fashion
    from dfclib.training import devices

    splits, source = inputs.load_fashion(arguments.data, arguments.generated)
    recipes = fashion.recipes(arguments.scale or devices.default_scale(arguments.generated))
    arguments.out.mkdir(parents=True, exist_ok=True)  # a place that cannot be written to is refused now
    print(f"data     {source}")
    _announce_images(splits)
    # all of them first: the second recipe's troubles, too, are known before the first one trains
    missing = [training.missing(recipe, splits, arguments.runs, fresh=arguments.fresh) for recipe in recipes]
    for recipe, trainings in zip(recipes, missing, strict=True):
        print(f"recipe   {recipe.name} ({recipe.title}), {recipe.scale} scale")
        _announce_length(trainings, splits)
    if any(missing):
        output.import_keras(arguments)
    results = []
    for recipe in recipes:
        run = training.train(recipe, splits, arguments.runs, fresh=arguments.fresh)
        for path in fashion.write_figures(run, splits.test, arguments.out):  # at once: the next one takes its time
            print(path)
        results.append(fashion.result(run))
    print(write_json(arguments.out / "results.json", results))
    print(f"\n{fashion.table(results)}")


def reproduce(arguments: Namespace) -> None:
    """Train and record everything that the report shows, most important first; given again, go on."""
    from dfclib.recipes.recipe import COMPETITION
    from dfclib.training import devices, queue

    pause = arguments.runs / queue.PAUSE
    if arguments.pause or arguments.resume:
        pause.parent.mkdir(parents=True, exist_ok=True)
        pause.touch() if arguments.pause else pause.unlink(missing_ok=True)
        print(f"{pause}: {'the queue waits after its current batch' if arguments.pause else 'gone, the queue goes on'}")
        return
    folder = arguments.data or DATA
    jobs = queue.find_jobs(arguments.scale or devices.default_scale(embedded=False), arguments.only)
    if not folder.is_dir() and any(job.recipe.dataset == COMPETITION for job in jobs):
        raise UserError(f"{folder} is not a folder: name the competition's with --data")
    images = queue.load_images(jobs, folder)
    jobs = queue.progress(jobs, images, arguments.runs, arguments.record)
    print(_progress_table(jobs))
    print(f"device   {devices.device()['name']}; {devices.resolve_precision('auto')}")
    sys.stdout.flush()
    for name, found in images.items():
        if isinstance(found, UserError):
            print(f"no data: {name}: {found}", file=sys.stderr)
    if arguments.list or not any(job.is_open for job in jobs):
        return
    devices.lower_priority(arguments.nice)
    output.import_keras(arguments)
    failed = 0
    for run in queue.reproduce(jobs, images, arguments.runs, arguments.record, arguments.hours):
        if isinstance(run, UserError):
            failed += 1
            print(f"error: {run}", file=sys.stderr, flush=True)
        else:
            print(f"recorded {run.path}", flush=True)
    print(_progress_table(queue.progress(jobs, images, arguments.runs, arguments.record)))
    if failed:
        raise UserError(f"{failed} of the trainings failed, for the reasons above; the others are recorded")


def study(arguments: Namespace) -> None:
    """Compare variants of a recipe on held-out images; given again, go on."""
    from dfclib.recipes import find
    from dfclib.reporting.captions import splits_name
    from dfclib.training import devices, study

    if find_spec("optuna") is None:
        raise UserError("studies need the package optuna, which is not installed: pip install 'dfclib[study]'")
    asked = study.read_study(arguments.file)
    recipe = find(asked.recipe)
    splits = inputs.load_splits(inputs.data_folder(arguments.data, recipe), None, recipe)
    print(f"study    {asked.name}: {asked.question}")
    print(f"data     {splits_name(splits)}")
    print(f"device   {devices.device()['name']}; {devices.resolve_precision(recipe.precision)}", flush=True)
    devices.lower_priority(arguments.nice)
    output.import_keras(arguments)
    out = arguments.out or (DRAWN_STUDIES if splits.embedded else STUDIES)
    path = study.run_study(asked, splits, arguments.runs, out)
    print(path.read_text())
    print(path)


def _tensorboard(folder: Path, run: str) -> "list[Callback]":
    """TensorBoard's callback for the run of that name: members of an ensemble would write over each other's curves."""
    from keras.callbacks import TensorBoard

    return [TensorBoard(folder / run)]


def _progress_table(jobs: "list[Job]") -> str:
    """One row per training: how far it is, and how long the rest takes."""
    rows = []
    for job in jobs:
        recipe = job.recipe
        row = {"training": recipe.name, "scale": recipe.scale, "protocol": recipe.protocol, "seed": str(recipe.seed)}
        rows.append(row | {"state": job.state, "left": "" if job.minutes == 0 else _time(job.minutes)})
    minutes = [job.minutes for job in jobs if job.is_open]
    known = sum(m for m in minutes if m is not None)
    note = f", and {minutes.count(None)} without a measured time" if None in minutes else ""
    done = sum(job.state == "recorded" for job in jobs)
    left = f"; left: about {_time(known)} on two CPU cores{note}" if minutes else ""
    return f"{text_table(rows)}\n\n{done} of {len(jobs)} recorded{left}"


def _announce_images(splits: "Splits") -> None:
    height, width = splits.train.size
    test = "" if splits.test is None else f", {len(splits.test):,} test"
    print(f"images   {len(splits.train):,} training, {len(splits.validation):,} validation{test}; ", end="")
    print(f"{height}x{width}, {len(splits.class_names)} classes")


def _announce_length(trainings: "Sequence[Recipe]", splits: "Splits") -> None:
    """How long the trainings that are left take, an unfinished one counted whole; nothing where none is left."""
    from dfclib.training import devices

    if not trainings:
        return
    minutes = [recipe.expected_minutes(len(splits.train)) for recipe in trainings]
    print(f"epochs   at most {' + '.join(str(recipe.epochs) for recipe in trainings)}")
    print("time     " + ("not measured" if None in minutes else f"about {_time(sum(minutes))} on two CPU cores"))
    precisions = dict.fromkeys(devices.resolve_precision(recipe.precision) for recipe in trainings)
    print(f"device   {devices.device()['name']}; {' and '.join(precisions)}")
    sys.stdout.flush()


def _recipe_entry(recipe: "Recipe | EnsembleRecipe") -> dict[str, Any]:
    """All that is known of a recipe: sizes and times at each scale, parameters of all members together."""
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
    number = f"{value:g}" if name.endswith("loss") else percent(value)
    return f"{name.replace('_', ' ').replace('kaggle', 'Kaggle')} {number}"


def _time(minutes: float | None) -> str:
    return MISSING if minutes is None else duration(60 * minutes)
