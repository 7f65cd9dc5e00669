"""predict_images(run, images): what a finished run says of images that it has not seen."""

import shlex
from dataclasses import replace
from pathlib import Path

from dfclib.datasets.images import ImageSet
from dfclib.ensembles import vote
from dfclib.errors import UserError
from dfclib.files import sha256
from dfclib.predictions import Predictions
from dfclib.recipes.recipe import COMPETITION, EnsembleRecipe
from dfclib.runs import Run, load_run, run_name
from dfclib.training import predict


def predict_images(run: Run, images: ImageSet) -> Predictions:
    """Predictions of `run`, a single model or an ensemble whose members lie beside it, for `images`.

    images: of the height, width and channels that the run was trained on; class names and labels are taken from
    the run (labels of `images` are kept where their class names are the run's).
    Raises UserError where the size differs, weights are missing (with the command that makes them) or were changed.
    """
    size, channels = tuple(run.data["image_size"]), run.data["channels"]
    if images.size != size or images.channels != channels:
        raise UserError(
            f"run {run.name} was trained on images of {size[0]}x{size[1]} with {channels} channel(s), received "
            f"{images.size[0]}x{images.size[1]} with {images.channels}: convert them first"
        )
    names = tuple(run.data["class_names"])
    if images.class_names != names:
        images = replace(images, class_names=names, labels=None)
    check_weights(run)
    if isinstance(run.recipe, EnsembleRecipe):
        members = [_ask(_voter(run, name), images) for name in run.members]
        return vote(
            run.recipe.vote, members, run.metrics.get("weights", run.recipe.weights), run.recipe.seed, run.members
        )
    return _ask(run, images)


def check_weights(run: Run, runs_dir: Path | str = "runs") -> None:
    """Raise UserError where weights of `run`, or of a member of a vote, are missing or were changed; no Keras needed.

    runs_dir: where trainings of the user's own lie and are looked for first
    """
    voters = [_voter(run, name) for name in run.members] or [run]
    lacking = [voter for voter in voters if not voter.model_path.exists()]
    if lacking:
        raise UserError(_how_to_train(run, lacking, runs_dir))
    for voter in voters:
        if sha256(voter.model_path) != voter.metrics.get("model_sha256"):
            raise UserError(
                f"{voter.model_path} is not the file that the training wrote: train the run again with --fresh"
            )


def _voter(run: Run, name: str) -> Run:
    voter = load_run(run.path.parent / name)
    if isinstance(voter.recipe, EnsembleRecipe):  # an edited recipe.json could name a vote as its own member
        raise UserError(f"run {run.name} names {name} as a member, which is a vote itself: members are single models")
    return voter


def _how_to_train(run: Run, lacking: list[Run], runs_dir: Path | str) -> str:
    """That `lacking` have no weights, the commands that make them, and where `run` will then be found."""
    who = f"run {run.name} has no weights"
    if run.members:
        who = f"run {run.name} votes with {', '.join(voter.name for voter in lacking)}, without weights"
    # voters are taken from beside their vote: one that lies elsewhere must come to runs_dir itself
    trained = lacking if _lies_in(run, runs_dir) else [run]
    commands = "".join(f"\n  {_training_command(each, runs_dir)}" for each in trained)
    data, name = run.data["name"], run_name(run.recipe, run.data["name"])
    folder, takes_folder = "", run.recipe.dataset == COMPETITION
    if data == COMPETITION.name:
        folder = "FOLDER holds the competition's images. "
    elif not run.data["embedded"] and takes_folder:
        folder = f"FOLDER holds the images and is called {data}, for a run bears its name. "
    elif run.data["embedded"] and takes_folder and Path("deepfake_data").is_dir():
        folder = "Where there is a folder deepfake_data it trains on that: change to a place without. "
    place = Path(runs_dir) if run.members else Path(runs_dir) / name
    return (
        f"{who} (recorded runs leave out those above 12 MB). This makes them:{commands}\n"
        f"{folder}They will lie in {place}; name the run {name} then: it is looked for in {runs_dir} first."
    )


def _lies_in(run: Run, runs_dir: Path | str) -> bool:
    return run.path.resolve().parent == Path(runs_dir).resolve()


def _training_command(run: Run, runs_dir: Path | str) -> str:
    """The command that trains what `run` is, under the name that it has, into `runs_dir`."""
    recipe = run.recipe
    what = shlex.quote(str(run.path / "recipe.json"))
    if run.is_current:
        what = f"{recipe.name} --scale {recipe.scale} --seed {recipe.seed} --protocol {recipe.protocol}"
        what += f" --epochs {recipe.given_epochs}" if recipe.given_epochs else ""
    parts = [f"python -m dfclib train {what}"]
    if recipe.dataset != COMPETITION and not run.data["embedded"]:
        parts.append(f"--data {recipe.dataset.name}")
    elif not run.data["embedded"]:
        parts.append("--data FOLDER")
    if Path(runs_dir) != Path("runs"):
        parts.append(f"--runs {shlex.quote(str(runs_dir))}")
    if _lies_in(run, runs_dir):
        parts.append("--fresh")  # it is finished: without, nothing would be trained
    return " ".join(parts)


def _ask(run: Run, images: ImageSet) -> Predictions:
    import keras

    try:
        model = keras.saving.load_model(run.model_path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a file from elsewhere makes Keras raise; code in it is refused, too
        raise UserError(f"{run.model_path} cannot be loaded: {error}. Train the run again with --fresh.") from error
    if model.output_shape[-1] != len(run.data["class_names"]):
        raise UserError(
            f"{run.model_path} tells {model.output_shape[-1]} classes apart, and recipe.json beside it names "
            f"{len(run.data['class_names'])}: they are not of one run"
        )
    return predict(model, images, run.recipe)
