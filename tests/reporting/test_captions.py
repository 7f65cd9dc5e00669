"""Runs in words: generated data are never called by the name of real ones, and a scale names an earlier recipe."""

from dataclasses import replace

import pytest
from fakes import EMBEDDED, make_run, noise_splits

from dfclib.recipes import find
from dfclib.reporting import captions


@pytest.mark.parametrize(
    ("name", "embedded", "expected"),
    [
        ("garments", True, "generated garments, not Fashion-MNIST"),
        ("embedded", True, "embedded data, not the competition's images"),
        ("fashion-mnist", False, "fashion-mnist"),
    ],
)
def test_data_are_named_for_what_they_are(name, embedded, expected):
    assert captions.data_name({"name": name, "embedded": embedded}) == expected
    assert captions.splits_name(replace(noise_splits(embedded), name=name)) == expected


def test_a_heading_names_recipe_seed_scale_data_and_the_kept_epoch(tmp_path):
    recipe = replace(find("attempt1").quick(), batch_size=7).with_options(epochs=3, seed=2)
    assert captions.heading(make_run(tmp_path, recipe, data=EMBEDDED)) == (
        f"{recipe.title}, seed 2\n"
        "quick scale (3 epochs, earlier recipe), embedded data, not the competition's images, kept: last epoch"
    )
    assert captions.caption(make_run(tmp_path, "attempt2")) == "compact scale, unibuc, kept: lowest loss on validation"


def test_a_caption_of_several_runs_says_whose_it_is_where_they_differ(tmp_path):
    one, other, third = (make_run(tmp_path, f"attempt{i}") for i in (2, 4, 6))
    assert captions.caption(one, other) == captions.caption(one)
    loss, accuracy = (
        f"compact scale, unibuc, kept: {what} on validation" for what in ("lowest loss", "highest accuracy")
    )
    assert captions.caption(one, third, other) == f"attempt2, attempt4: {loss}; attempt6: {accuracy}"


def test_the_device_has_its_own_name_where_it_is_known(tmp_path):
    plain = make_run(tmp_path, "attempt1")
    assert (captions.measured_in(plain, "device"), captions.device_name(plain)) == ("CPU", "CPU")
    assert captions.device_name(make_run(tmp_path, "attempt2", environment={"device_name": "a chip"})) == "a chip"
