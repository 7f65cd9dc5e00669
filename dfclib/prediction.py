"""predict_images(run, images): what a finished run says of images that it has not seen."""

from dataclasses import replace

from dfclib.datasets.images import ImageSet
from dfclib.ensembles import vote
from dfclib.errors import UserError
from dfclib.files import sha256
from dfclib.recipes.recipe import EnsembleRecipe
from dfclib.runs import Predictions, Run, load_run
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
    if isinstance(run.recipe, EnsembleRecipe):
        members = [predict_images(_voter(run, name), images) for name in run.members]
        return vote(
            run.recipe.vote, members, run.metrics.get("weights", run.recipe.weights), run.recipe.seed, run.members
        )
    return predict(_load_model(run), images, run.recipe)


def _voter(run: Run, name: str) -> Run:
    voter = load_run(run.path.parent / name)
    if isinstance(voter.recipe, EnsembleRecipe):  # an edited recipe.json could name a vote as its own member
        raise UserError(f"run {run.name} names {name} as a member, which is a vote itself: members are single models")
    return voter


def _load_model(run: Run):
    if not run.model_path.exists():
        data = "" if run.data["embedded"] else " --data FOLDER"
        raise UserError(
            f"run {run.name} has no weights (recorded runs leave out those above 12 MB). This command makes them: "
            f"python -m dfclib train {run.path / 'recipe.json'}{data}"
        )
    if sha256(run.model_path) != run.metrics.get("model_sha256"):
        raise UserError(f"{run.model_path} is not the file that the training wrote: train the run again with --fresh")
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
    return model
