"""Prediction files: what is written is read back bit for bit, bare files vote, broken ones are named with their row."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import ABC, by_id, with_probabilities

from dfclib.ensembles import hard_vote
from dfclib.errors import UserError
from dfclib.predictions.csv_files import read_predictions, write_predictions


def test_predictions_come_back_from_a_file_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=500).astype(np.float32)
    p = with_probabilities(probabilities, class_names=("a cat", 'a "dog", small', "é"))
    p = replace(p, predicted=np.roll(p.predicted, 1))  # a vote's winner need not have the highest probability
    read = read_predictions(write_predictions(p, tmp_path / "p.csv"))
    assert read.class_names == p.class_names
    assert read.labels is None
    np.testing.assert_array_equal(read.ids, p.ids)
    np.testing.assert_array_equal(read.predicted, p.predicted)
    np.testing.assert_array_equal(read.probabilities, p.probabilities)
    assert read.probabilities.dtype == np.float32


def test_bare_files_with_different_labels_in_them_can_vote(tmp_path):
    for name, labels in (("one", (10, 2, 2)), ("two", (10, 3, 2)), ("three", (3, 3, 10))):
        lines = [f"{id_},{label}" for id_, label in zip(("007", "x", "1e5"), labels, strict=True)]
        (tmp_path / f"{name}.csv").write_text("image_id,label\n" + "\n".join(lines) + "\n")
    members = [read_predictions(tmp_path / f"{name}.csv") for name in ("one", "two", "three")]
    assert [member.class_names for member in members] == [("2", "10"), ("2", "3", "10"), ("3", "10")]
    vote = hard_vote(members)
    assert vote.class_names == ("2", "3", "10")  # by value: as text, 10 would come first
    assert by_id(vote) == {"007": "10", "x": "3", "1e5": "2"}
    text = write_predictions(replace(vote, probabilities=None), tmp_path / "v.csv").read_text()
    assert text == "image_id,label\n007,10\nx,3\n1e5,2\n"


def test_a_bare_file_votes_with_a_run(tmp_path):
    (tmp_path / "p.csv").write_text("image_id,label\ni0,c\ni1,c\n")
    run = with_probabilities([[0.1, 0.2, 0.7], [0.3, 0.1, 0.6]])
    vote = hard_vote([read_predictions(tmp_path / "p.csv"), run])
    assert vote.class_names == ABC
    assert vote.predicted.tolist() == [2, 2]


def test_spaces_windows_lines_and_a_byte_order_mark_are_no_matter(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"\xef\xbb\xbfimage_id, label\r\n a , 1\r\n\r\nb,0\r\n")
    p = read_predictions(tmp_path / "p.csv")
    assert (p.ids.tolist(), p.predicted.tolist(), p.class_names) == (["a", "b"], [1, 0], ("0", "1"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("image_id,label\n", "no rows"),
        ("id,label\na,1\n", "row 1: expected a header image_id,label"),
        ("image_id,label,x,x\na,x,.5,.5\n", "row 1: column 4"),
        ("image_id,label\na,1\nb\n", "row 3: expected 2 columns as in the header, received 1"),
        ("image_id,label\na,1\nb,2,3\n", "row 3: expected 2 columns as in the header, received 3"),
        ("image_id,label\n,1\n", "row 2: image_id is empty"),
        ("image_id,label\na,\n", "row 2: label is empty"),
        ("image_id,label\na,1\nb,1\n\na,0\n", "row 5: image_id 'a' stands in row 2 already"),
        ("image_id,label\na,1\nb,cat\n", "whole numbers .* and names"),
        ("image_id,label,x,y\na,z,.5,.5\n", "row 2: label 'z' is none of the columns x, y"),
        ("image_id,label,x,y\na,x,.5,much\n", "row 2: the probability of 'y' .* received 'much'"),
        ("image_id,label,x,y\na,x,nan,1\n", "row 2: the probability of 'x'"),
        ("image_id,label,x,y\na,x,1.5,-.5\n", "row 2: the probability of 'x'"),
        ("image_id,label,x,y\na,x,.5,.2\n", "row 2: the probabilities must add up to 1, received 0.7"),
    ],
)
def test_a_broken_file_is_named_with_its_row(tmp_path, text, expected):
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=expected) as error:
        read_predictions(path)
    assert str(path) in str(error.value)


def test_what_is_no_csv_file_is_named(tmp_path):
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    for path in (tmp_path / "image.csv", tmp_path / "missing.csv", tmp_path):
        with pytest.raises(UserError) as error:
            read_predictions(path)
        assert str(path) in str(error.value)
