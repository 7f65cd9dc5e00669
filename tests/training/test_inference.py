"""predict_images: a finished run on images that it has not seen."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfclib.cli import inputs
from dfclib.cli.parser import build_parser
from dfclib.datasets.images import ImageSet
from dfclib.ensembles import hard_vote, soft_vote
from dfclib.errors import UserError
from dfclib.files import read_json, sha256, write_json
from dfclib.recipes import find
from dfclib.recipes.recipe import EnsembleRecipe
from dfclib.runs import Run, run_name
from dfclib.training import inference
from dfclib.training.inference import check_weights, gradient_maps, predict_images


@pytest.fixture
def run(finished, tmp_path) -> Run:
    """A copy of the finished run that a test may break."""
    return Run(Path(shutil.copytree(finished.path, tmp_path / "runs" / finished.name)))


def test_predictions_are_those_of_the_training(finished, splits):
    stored = finished.predictions("validation")
    again = predict_images(finished, splits.validation)
    np.testing.assert_allclose(again.probabilities, stored.probabilities, atol=1e-6)
    assert np.array_equal(again.predicted, stored.predicted)
    assert again.ids.tolist() == stored.ids.tolist()
    assert again.accuracy == stored.accuracy


def test_mirror_images_are_averaged_where_that_is_asked_for(finished, splits):
    images = splits.validation
    mirrored = replace(images, images=images.images[:, :, ::-1])
    one, other = (predict_images(finished, each).probabilities for each in (images, mirrored))
    both = predict_images(finished, images, mirror_averaged=True)
    np.testing.assert_allclose(both.probabilities, (one + other) / 2, atol=1e-6)
    assert not np.allclose(both.probabilities, one, atol=1e-4)
    assert np.array_equal(predict_images(finished, images, mirror_averaged=False).probabilities, one)


def test_images_of_other_classes_or_none_get_the_run_s(finished, splits):
    images = ImageSet(splits.validation.images[:3], None, np.array(["a", "b", "c"]), ("unknown",))
    predictions = predict_images(finished, images)
    assert predictions.class_names == splits.class_names
    assert predictions.labels is None
    assert predictions.ids.tolist() == ["a", "b", "c"]
    expected = finished.predictions("validation").probabilities[:3]
    np.testing.assert_allclose(predictions.probabilities, expected, atol=1e-6)
    others = replace(splits.validation, class_names=("e", "d", "c", "b", "a"))
    assert predict_images(finished, others).labels is None


@pytest.mark.parametrize(
    ("shape", "words"),
    [((2, 16, 20, 3), "16x20 with 3"), ((2, 8, 8, 3), "8x8 with 3"), ((2, 16, 16, 1), "16x16 with 1")],
)
def test_images_of_another_size_are_refused(finished, shape, words):
    images = ImageSet(np.zeros(shape, np.uint8), None, np.array(["a", "b"]), ("0",))
    with pytest.raises(UserError, match=rf"trained on images of 16x16 with 3 channel\(s\), received {words}"):
        predict_images(finished, images)


def real(run, epochs=None, **changes):
    """`run` with a recipe that `train` knows by name, trained on a folder; changes: to recipe.json's data."""
    recipe = find("attempt1").at_scale("compact").with_options(seed=3, epochs=epochs, protocol="held_out")
    contents = read_json(run.path / "recipe.json")
    contents |= {"recipe": recipe.to_dict(), "recipe_fingerprint": recipe.fingerprint}
    contents["data"] |= {"name": "photos"} | changes
    write_json(run.path / "recipe.json", contents)
    return Run(run.path)


def refused(run, runs_dir="runs"):
    with pytest.raises(UserError) as raised:
        check_weights(run, runs_dir)
    return str(raised.value)


def test_missing_weights_come_with_the_command_that_makes_them(run):
    run.model_path.unlink()
    assert "tiny-full-tiny-published-seed0 has no weights" in refused(run)
    message = refused(real(run))
    assert "\n  python -m dfclib train attempt1 --scale compact --seed 3 --protocol held_out --data FOLDER\n" in message
    assert "FOLDER holds the images and is called photos" in message
    name = "attempt1-compact-photos-held-out-seed3"
    assert f"lie in {Path('runs') / name}; name the run {name} then" in message


@pytest.mark.parametrize(("epochs", "said"), [(None, ""), (4, "-4-epochs")])
def test_the_command_makes_the_run_of_that_name(run, epochs, said):
    """Its words go through the command line: recipe, scale, seed, protocol and folder give the name that was said."""
    run.model_path.unlink()
    line = next(line for line in refused(real(run, epochs)).splitlines() if line.startswith("  python -m dfclib "))
    arguments = build_parser().parse_args(line.split()[3:])
    recipe = inputs.find_recipe(arguments.recipe, arguments.scale, arguments.data)
    recipe = recipe.with_options(arguments.seed, arguments.epochs, arguments.protocol)
    assert recipe.fingerprint == Run(run.path).recipe.fingerprint
    assert run_name(recipe, "photos") == f"attempt1-compact{said}-photos-held-out-seed3"


def test_a_recipe_that_is_not_the_current_one_is_trained_from_its_file(run):
    run.model_path.unlink()
    contents = read_json(real(run).path / "recipe.json")
    contents["recipe"]["epochs"] += 1
    write_json(run.path / "recipe.json", contents)
    assert f"python -m dfclib train {run.path / 'recipe.json'} --data FOLDER\n" in refused(Run(run.path))


def test_the_command_says_where_and_whether_anew(run):
    run.model_path.unlink()
    assert "seed0 --fresh" not in refused(run)
    mine = refused(run, run.path.parent)  # finished there: without --fresh, train would return it as it is
    assert f"--data FOLDER --runs {run.path.parent} --fresh\n" in mine
    embedded = refused(real(run, embedded=True))
    assert "--protocol held_out\n" in embedded and "FOLDER" not in embedded


def test_a_vote_lying_elsewhere_is_trained_itself_and_one_in_runs_has_its_voters_trained(run, splits):
    both = ensemble_of(run)
    twin(run, splits).model_path.unlink()
    elsewhere = refused(both)
    assert "votes with tiny-full-tiny-published-seed0, without weights" in elsewhere
    assert f"train {both.path / 'recipe.json'} --data FOLDER\n" in elsewhere
    beside = refused(both, both.path.parent)
    assert f"train {both.path.parent / 'twin' / 'recipe.json'} --data FOLDER" in beside


def test_changed_weights_are_refused(run):
    content = bytearray(run.model_path.read_bytes())
    content[len(content) // 2] ^= 1
    run.model_path.write_bytes(content)
    assert "model.keras is not the file that the training wrote" in refused(run)
    write_json(run.path / "metrics.json", {name: v for name, v in run.metrics.items() if name != "model_sha256"})
    assert "model.keras is not the file that the training wrote" in refused(Run(run.path))


def ensemble_of(run, found=None, **changes):
    """An ensemble's folder beside `run`, which votes with its own weakened twin. found: what its training measured."""
    recipe = EnsembleRecipe("both", "t", "S0", members=(run.recipe, replace(run.recipe, seed=1)), **changes)
    folder = run.path.parent / "both"
    write_json(folder / "metrics.json", {"seconds": 1.0} | (found or {}))
    contents = run.recipe_file | {"name": "both", "recipe": recipe.to_dict(), "members": [run.path.name, "twin"]}
    write_json(folder / "recipe.json", contents)
    return Run(folder)


def twin(run, splits):
    """The same run with its output layer turned round, so that the members disagree."""
    import keras

    path = Path(shutil.copytree(run.path, run.path.parent / "twin"))
    model = keras.saving.load_model(path / "model.keras", compile=False)
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([-kernel, bias])
    model.save(path / "model.keras")
    write_json(path / "metrics.json", run.metrics | {"model_sha256": sha256(path / "model.keras")})
    return Run(path)


def test_an_ensemble_votes_as_its_recipe_says(run, splits):
    members = [predict_images(r, splits.validation) for r in (run, twin(run, splits))]
    assert not np.array_equal(members[0].predicted, members[1].predicted)
    hard = predict_images(ensemble_of(run, seed=3), splits.validation)
    assert np.array_equal(hard.predicted, hard_vote(members, seed=3).predicted)
    expected = soft_vote(members, weights=(0.9, 0.1)).probabilities
    given, searched = {"weights": (0.9, 0.1)}, {"weights": [0.9, 0.1]}
    # None: an earlier version wrote no weights to metrics.json
    for found, changes in ((searched, given), (searched, {}), (None, given)):
        soft = predict_images(ensemble_of(run, found, vote="soft", **changes), splits.validation)
        np.testing.assert_allclose(soft.probabilities, expected, atol=1e-6)
    alike = predict_images(ensemble_of(run, vote="soft"), splits.validation)
    np.testing.assert_allclose(alike.probabilities, soft_vote(members).probabilities, atol=1e-6)


def test_an_ensemble_names_the_member_that_is_missing(run, splits):
    with pytest.raises(UserError, match="twin"):
        predict_images(ensemble_of(run), splits.validation)


def test_a_vote_that_names_a_vote_as_its_member_is_refused_and_not_followed_for_ever(run, splits):
    ensemble = EnsembleRecipe("loop", "Loop", "S0", (run.recipe,))
    contents = read_json(run.path / "recipe.json")
    contents |= {"recipe": ensemble.to_dict(), "members": [run.path.name]}
    write_json(run.path / "recipe.json", contents)
    with pytest.raises(UserError, match="which is a vote itself"):
        predict_images(Run(run.path), splits.validation)


def replace_model(run, model=None) -> Run:
    """The run with another model.keras and the checksum that goes with it, as a stranger could send it."""
    if model is None:
        run.model_path.write_bytes(b"PK no model")
    else:
        model.save(run.model_path)
    metrics = read_json(run.path / "metrics.json")
    write_json(run.path / "metrics.json", metrics | {"model_sha256": sha256(run.model_path)})
    return Run(run.path)


def test_code_in_a_model_is_not_run_though_its_checksum_fits(run, splits):
    import keras

    image = keras.Input((16, 16, 3))
    code = keras.layers.Lambda(lambda x: 1 / 0 if hasattr(x, "numpy") else x)(image)
    model = keras.Model(image, keras.layers.Dense(5)(keras.layers.Flatten()(code)))
    with pytest.raises(UserError, match=r"model.keras cannot be loaded: .*Lambda"):
        predict_images(replace_model(run, model), splits.validation)


def test_a_file_that_is_no_model_and_a_model_of_other_classes_are_named(run, splits):
    import keras

    with pytest.raises(UserError, match=r"model.keras cannot be loaded"):
        predict_images(replace_model(run), splits.validation)
    image = keras.Input((16, 16, 3))
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(image)))
    with pytest.raises(UserError, match="4 classes apart, and recipe.json beside it names 5"):
        predict_images(replace_model(run, model), splits.validation)


def test_a_gradient_map_shows_what_speaks_for_the_answer(finished, splits, monkeypatch):
    """Of a network that adds up red for class 0 and green for class 1, the map is red where it answers 0."""
    import keras

    pixels = keras.Input((16, 16, 3), name="pixels")
    kernel = keras.initializers.Constant(np.eye(3)[:, :2].reshape(1, 1, 3, 2))
    channels = keras.layers.Conv2D(2, 1, kernel_initializer=kernel, use_bias=False, name="conv")(pixels)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(channels)
    rows = keras.initializers.Constant(np.array([[1.0, 0, -9, -9, -9], [0, 1, -9, -9, -9]]))
    logits = keras.layers.Dense(5, kernel_initializer=rows, name="logits")(pooled)
    monkeypatch.setattr(inference, "load_network", lambda run: keras.Model(pixels, logits))
    images = np.random.default_rng(0).integers(0, 100, (3, 16, 16, 3)).astype(np.uint8)
    images[0, :, :, 0] += 100  # red, the first
    images[1, :, :, 1] += 100  # green, the second
    images[2] = 0  # nothing speaks for anything
    maps = gradient_maps(finished, replace(splits.validation.take(np.arange(3)), images=images))
    assert maps.dtype == np.float32
    for i, channel in ((0, 0), (1, 1)):
        one = images[i, :, :, channel].astype(float)
        np.testing.assert_allclose(maps[i], one / one.max(), atol=1e-5)
    assert not maps[2].any()


def test_gradient_maps_of_a_training_are_as_large_as_what_its_network_sees(finished, splits):
    images = splits.validation.take(np.arange(5))
    maps = gradient_maps(finished, images)
    assert maps.shape == (5, 16, 16)
    assert maps.min() >= 0 and set(maps.max(axis=(1, 2)).round(5)) <= {0, 1}
    assert maps.any()
    assert not np.allclose(maps, gradient_maps(finished, images, layer="conv1"))


def test_gradient_maps_of_what_has_none_are_refused(run, splits, finished):
    few = splits.validation.take(np.arange(2))
    with pytest.raises(UserError, match="has no logits: rows and columns are in .*conv"):
        gradient_maps(finished, few, layer="logits")
    contents = read_json(run.path / "recipe.json")
    write_json(run.path / "recipe.json", contents | {"members": ["one", "two"]})
    with pytest.raises(UserError, match="is a vote: ask its members, one, two"):
        gradient_maps(Run(run.path), few)
    run.model_path.unlink()
    write_json(run.path / "recipe.json", contents)
    with pytest.raises(UserError, match="has no weights"):
        gradient_maps(Run(run.path), few)
