"""Votes against cases worked out by hand, their independence of order, and the CSV files."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from dfclib.ensembles import align, hard_vote, read_predictions, soft_vote, write_predictions
from dfclib.errors import UserError
from dfclib.runs import Predictions

ABC = ("a", "b", "c")


def labels_only(predicted, ids=None, class_names=ABC, labels=None) -> Predictions:
    ids = np.array(ids if ids is not None else [f"i{i}" for i in range(len(predicted))])
    return Predictions(ids, np.array(predicted, np.int64), class_names, None, labels)


def with_probabilities(rows, ids=None, class_names=ABC, labels=None) -> Predictions:
    rows = np.array(rows, np.float32)
    return replace(labels_only(rows.argmax(axis=1), ids, class_names, labels), probabilities=rows)


def random_members(count, n=60, k=3, seed=0) -> list[Predictions]:
    """Few classes and coarse probabilities: many ties, of votes and of means."""
    rng = np.random.default_rng(seed)
    members = []
    for _ in range(count):
        quarters = rng.multinomial(4, np.ones(k) / k, size=n) / 4
        members.append(with_probabilities(quarters, class_names=ABC[:k]))
    return members


def by_id(p: Predictions) -> dict:
    return {id_: p.class_names[label] for id_, label in zip(p.ids, p.predicted, strict=True)}


def test_the_most_frequent_label_wins_and_shares_are_returned():
    vote = hard_vote([labels_only([0, 1, 2]), labels_only([0, 1, 1]), labels_only([1, 1, 2])])
    assert vote.predicted.tolist() == [0, 1, 2]
    assert vote.predicted.dtype == np.int64
    assert vote.probabilities.dtype == np.float32
    np.testing.assert_allclose(vote.probabilities, [[2 / 3, 1 / 3, 0], [0, 1, 0], [0, 1 / 3, 2 / 3]], rtol=1e-6)


def test_one_member_votes_for_itself():
    member = with_probabilities([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    assert hard_vote([member]).predicted.tolist() == soft_vote([member]).predicted.tolist() == [1, 0]


def test_a_majority_beats_a_higher_mean_probability():
    sure, unsure = [0.0, 1.0, 0.0], [0.4, 0.3, 0.3]
    members = [with_probabilities([unsure]), with_probabilities([unsure]), with_probabilities([sure])]
    assert hard_vote(members).predicted.tolist() == [0]
    assert soft_vote(members).predicted.tolist() == [1]


def test_a_tie_goes_to_the_higher_mean_probability_among_the_tied():
    # a and b have one vote each; b's mean is higher; c's mean is the highest of all but c has no vote
    members = [with_probabilities([[0.45, 0.11, 0.44]]), with_probabilities([[0.01, 0.5, 0.49]])]
    assert hard_vote(members).predicted.tolist() == [1]


def test_a_tie_is_drawn_where_one_member_has_no_probabilities():
    n = 4000
    first = with_probabilities(np.tile([0.9, 0.1, 0.0], (n, 1)))  # the mean would always say a
    vote = hard_vote([first, labels_only([1] * n)])
    assert set(vote.predicted.tolist()) == {0, 1}
    assert abs(np.mean(vote.predicted == 0) - 0.5) < 0.05  # six deviations


def test_exactly_tied_means_are_drawn_and_never_go_to_a_third_class():
    n = 4000
    members = [with_probabilities(np.tile(row, (n, 1))) for row in ([0.75, 0.25, 0], [0.25, 0.75, 0])]
    for vote in (hard_vote(members), soft_vote(members)):
        assert abs(np.mean(vote.predicted == 0) - 0.5) < 0.05
        assert not np.any(vote.predicted == 2)


def test_the_draw_depends_on_seed_and_id_alone():
    ids = [f"i{i}" for i in range(200)]
    a, b, c = (labels_only([label] * 200, ids) for label in (0, 1, 2))
    everything = by_id(hard_vote([a, b, c]))
    half = [member.take(np.arange(0, 200, 2)) for member in (a, b, c)]
    assert by_id(hard_vote(half)) == {id_: everything[id_] for id_ in ids[::2]}
    assert by_id(hard_vote([a, b, c], seed=1)) != everything


@pytest.mark.parametrize("vote", [hard_vote, soft_vote])
def test_neither_row_order_nor_member_order_matters(vote):
    members = random_members(4)
    expected = vote(members)
    rng = np.random.default_rng(1)
    for order in permutations(range(4)):
        shuffled = [members[i].take(rng.permutation(60)) for i in order]
        result = vote(shuffled)
        assert result.ids.tolist() == shuffled[0].ids.tolist()
        assert by_id(result) == by_id(expected)
        rows = {id_: row.tobytes() for id_, row in zip(result.ids, result.probabilities, strict=True)}
        assert [rows[id_] for id_ in expected.ids] == [row.tobytes() for row in expected.probabilities]


def test_member_order_does_not_matter_without_probabilities_or_with_classes_in_another_order():
    members = [replace(member, probabilities=None) for member in random_members(4, seed=2)]
    other = Predictions(members[1].ids, np.array([2, 1, 0])[members[1].predicted], ABC[::-1])
    members[1] = other  # the same answers, classes numbered the other way round
    expected = by_id(hard_vote(members))
    assert all(by_id(hard_vote([members[i] for i in order])) == expected for order in permutations(range(4)))


def test_weights_go_with_their_members():
    members = random_members(3, seed=3)
    weights = [0.1, 0.2, 0.7]
    expected = soft_vote(members, weights)
    for order in permutations(range(3)):
        result = soft_vote([members[i] for i in order], [weights[i] for i in order])
        np.testing.assert_array_equal(result.probabilities, expected.probabilities)


def test_soft_vote_is_the_weighted_mean():
    members = [with_probabilities([[0.8, 0.2, 0.0]]), with_probabilities([[0.1, 0.4, 0.5]])]
    np.testing.assert_allclose(soft_vote(members).probabilities, [[0.45, 0.3, 0.25]], rtol=1e-6)
    np.testing.assert_allclose(soft_vote(members, [1, 3]).probabilities, [[0.275, 0.35, 0.375]], rtol=1e-6)
    assert soft_vote(members, [1, 3]).predicted.tolist() == [2]
    assert soft_vote(members, [1, 0]).predicted.tolist() == [0]


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [0, 0], [-1, 2], [float("nan"), 1], [float("inf"), 1]])
def test_soft_vote_refuses_wrong_weights(weights):
    with pytest.raises(UserError, match="weight"):
        soft_vote(random_members(2), weights)


def test_soft_vote_names_the_member_without_probabilities():
    with pytest.raises(UserError, match=r"mine\.csv has labels only"):
        soft_vote([random_members(1, n=1)[0], labels_only([0])], names=["run", "mine.csv"])


def test_align_takes_the_first_members_order_and_everybodys_labels():
    first = labels_only([0, 1, 2], ["x", "y", "z"])
    second = labels_only([2, 0, 1], ["z", "x", "y"], labels=np.array([2, 0, 0]))
    aligned = align([first, second])
    assert [member.ids.tolist() for member in aligned] == [["x", "y", "z"]] * 2
    assert [member.predicted.tolist() for member in aligned] == [[0, 1, 2]] * 2
    assert [member.labels.tolist() for member in aligned] == [[0, 0, 2]] * 2
    assert hard_vote([first, second]).accuracy == pytest.approx(2 / 3)


def test_unequal_ids_are_refused_by_name():
    first = labels_only([0] * 6, ["a", "b", "c", "d", "e", "f"])
    second = labels_only([0] * 2, ["f", "new"])
    with pytest.raises(UserError) as error:
        hard_vote([first, second], names=["one.csv", "two.csv"])
    message = str(error.value)
    assert "only in one.csv: a, b, c and 2 more" in message
    assert "only in two.csv: new" in message


def test_an_id_given_twice_is_refused():
    with pytest.raises(UserError, match="member 2 has ids more than once: x"):
        hard_vote([labels_only([0, 1], ["x", "y"]), labels_only([0, 1], ["x", "x"])])


def test_different_classes_are_refused():
    with pytest.raises(UserError, match="different classes"):
        hard_vote([with_probabilities([[0.4, 0.6]], class_names=("a", "b")), random_members(1, n=1)[0]])
    with pytest.raises(UserError, match="different classes"):
        hard_vote([random_members(1, n=1)[0], labels_only([0], class_names=("d",))])
    with pytest.raises(UserError, match="whole numbers .* and names"):
        hard_vote([labels_only([0], class_names=("cat",)), labels_only([0], class_names=("0",))])


def test_classes_in_another_order_are_matched_by_name():
    first = with_probabilities([[0.7, 0.2, 0.1]])
    second = with_probabilities([[0.1, 0.2, 0.7]], class_names=("c", "b", "a"))
    np.testing.assert_array_equal(soft_vote([first, second]).probabilities, first.probabilities)


def test_disagreeing_truth_is_refused():
    members = [labels_only([0, 0], labels=np.array([0, 1])), labels_only([0, 0], labels=np.array([0, 2]))]
    with pytest.raises(UserError, match="true label of i1"):
        hard_vote(members)


def test_nothing_and_not_a_number_are_refused():
    with pytest.raises(UserError, match="nothing to vote on"):
        hard_vote([])
    with pytest.raises(UserError, match="member 2 .*not finite"):
        hard_vote([random_members(1, n=1)[0], with_probabilities([[np.nan, 0.5, 0.5]])])


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
