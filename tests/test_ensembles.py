"""Votes against cases worked out by hand, their independence of order, and the search for weights."""

from dataclasses import replace
from functools import partial
from itertools import permutations

import numpy as np
import pytest
from fakes import ABC, by_id, labels_only, with_probabilities

from dfclib.ensembles import align, hard_vote, search_weights, soft_vote, vote
from dfclib.errors import UserError
from dfclib.predictions import Predictions

geometric_vote = partial(vote, "geometric")


def random_members(count, n=60, k=3, seed=0) -> list[Predictions]:
    """Few classes and coarse probabilities: many ties, of votes and of means."""
    rng = np.random.default_rng(seed)
    members = []
    for _ in range(count):
        quarters = rng.multinomial(4, np.ones(k) / k, size=n) / 4
        members.append(with_probabilities(quarters, class_names=ABC[:k]))
    return members


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
    for voted in (hard_vote(members), soft_vote(members), geometric_vote(members)):
        assert abs(np.mean(voted.predicted == 0) - 0.5) < 0.05
        assert not np.any(voted.predicted == 2)


def test_the_draw_depends_on_seed_and_id_alone():
    ids = [f"i{i}" for i in range(200)]
    a, b, c = (labels_only([label] * 200, ids) for label in (0, 1, 2))
    everything = by_id(hard_vote([a, b, c]))
    half = [member.take(np.arange(0, 200, 2)) for member in (a, b, c)]
    assert by_id(hard_vote(half)) == {id_: everything[id_] for id_ in ids[::2]}
    assert by_id(hard_vote([a, b, c], seed=1)) != everything


@pytest.mark.parametrize("vote", [hard_vote, soft_vote, geometric_vote])
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


@pytest.mark.parametrize("vote", [soft_vote, geometric_vote])
def test_weights_go_with_their_members(vote):
    members = random_members(3, seed=3)
    weights = [0.1, 0.2, 0.7]
    expected = vote(members, weights)
    for order in permutations(range(3)):
        result = vote([members[i] for i in order], [weights[i] for i in order])
        np.testing.assert_array_equal(result.probabilities, expected.probabilities)


def test_soft_vote_is_the_weighted_mean():
    members = [with_probabilities([[0.8, 0.2, 0.0]]), with_probabilities([[0.1, 0.4, 0.5]])]
    np.testing.assert_allclose(soft_vote(members).probabilities, [[0.45, 0.3, 0.25]], rtol=1e-6)
    np.testing.assert_allclose(soft_vote(members, [1, 3]).probabilities, [[0.275, 0.35, 0.375]], rtol=1e-6)
    assert soft_vote(members, [1, 3]).predicted.tolist() == [2]
    assert soft_vote(members, [1, 0]).predicted.tolist() == [0]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [(weights, "2 members but . weights") for weights in ([1], [1, 2, 3])]
    + [([x, 1], "from 0 up to 1e9 and not all 0") for x in (-1, float("nan"), float("inf"), 1e308, 1e10)]
    + [([x, 0], "from 0 up to 1e9 and not all 0") for x in (0, 5e-324)],
)
@pytest.mark.parametrize("vote", [soft_vote, geometric_vote])
def test_wrong_weights_are_refused(vote, weights, expected):
    with pytest.raises(UserError, match=expected):
        vote(random_members(2), weights)


@pytest.mark.parametrize("vote", [soft_vote, geometric_vote])
def test_the_member_without_probabilities_is_named(vote):
    with pytest.raises(UserError, match=r"mine\.csv has labels only"):
        vote([random_members(1, n=1)[0], labels_only([0])], names=["run", "mine.csv"])


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


def test_geometric_vote_is_the_weighted_geometric_mean():
    members = [with_probabilities([[0.8, 0.2, 0.0]]), with_probabilities([[0.1, 0.4, 0.5]])]
    roots = np.sqrt([0.08, 0.08, 0.0])
    np.testing.assert_allclose(geometric_vote(members).probabilities, [roots / roots.sum()], atol=1e-6)
    powers = np.array([0.8 * 0.1**3, 0.2 * 0.4**3, 0.0]) ** 0.25
    result = geometric_vote(members, [1, 3])
    assert result.probabilities.dtype == np.float32
    np.testing.assert_allclose(result.probabilities, [powers / powers.sum()], atol=1e-6)
    assert result.predicted.tolist() == [1]
    assert soft_vote(members, [1, 3]).predicted.tolist() == [2]  # which the first member rules out


def test_a_probability_of_zero_counts_as_the_smallest_float():
    members = [with_probabilities([[1.0, 0.0, 0.0]]), with_probabilities([[0.0, 1.0, 0.0]])]
    result = geometric_vote(members, [2, 1])
    assert result.predicted.tolist() == [0]
    np.testing.assert_allclose(result.probabilities, [[1, 1.1754944e-38 ** (1 / 3), 0]], rtol=1e-5, atol=1e-20)
    np.testing.assert_array_equal(geometric_vote(members).probabilities[0, :2], [0.5, 0.5])


def test_vote_goes_to_the_vote_that_is_named():
    members = [with_probabilities([[0.9, 0.05, 0.05]])] + [with_probabilities([[0.3, 0.4, 0.3]])] * 2
    assert vote("hard", members).predicted.tolist() == [1]
    assert vote("soft", members).predicted.tolist() == [0]
    close = [with_probabilities([[0.98, 0.01, 0.01]]), with_probabilities([[0.001, 0.5, 0.499]])]
    assert vote("soft", close).predicted.tolist() == [0]
    assert vote("geometric", close).predicted.tolist() == [1]
    assert vote("soft", close, [0, 1]).predicted.tolist() == [1]
    with pytest.raises(UserError, match="'median'"):
        vote("median", members)


def test_searched_weights_get_most_images_right():
    labels = np.array([0, 0, 1, 1])
    good = with_probabilities([[0.6, 0.4], [0.6, 0.4], [0.4, 0.6], [0.55, 0.45]], class_names=("a", "b"), labels=labels)
    # needed for image 3 with a weight above 1/10, harmful to image 0 with one above 1/6
    bad = with_probabilities([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5], [0.05, 0.95]], class_names=("a", "b"), labels=labels)
    weights = search_weights([good, bad])
    assert weights[1] == 0.15
    assert soft_vote([good, bad], weights).accuracy == 1.0
    assert sum(weights) == pytest.approx(1)
    assert search_weights([bad, good]) == weights[::-1]


@pytest.mark.parametrize("kind", ["soft", "geometric"])
def test_the_search_finds_what_trying_everything_finds(kind):
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 200)
    members = []
    for strength in (0.5, 1.0, 1.5):
        logits = rng.normal(size=(200, 3)) + strength * np.eye(3)[labels]
        rows = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        members.append(with_probabilities(rows, labels=labels))
    tried = {}
    for a in range(21):
        for b in range(21 - a):
            weights = (a / 20, b / 20, (20 - a - b) / 20)
            result = vote(kind, members, weights)
            loss = -np.log(result.probabilities[np.arange(200), labels]).mean()
            tried[weights] = (-result.accuracy, loss)
    best = min(tried, key=tried.get)
    assert search_weights(members, kind) == pytest.approx(best)
    shuffled = [member.take(rng.permutation(200)) for member in members]
    assert search_weights(shuffled, kind) == search_weights(members, kind)


def test_ties_of_the_search_go_to_the_lowest_loss_and_then_to_equal_weights():
    labels = np.array([0, 1])
    weak = with_probabilities([[0.6, 0.4], [0.4, 0.6]], class_names=("a", "b"), labels=labels)
    strong = with_probabilities([[0.9, 0.1], [0.1, 0.9]], class_names=("a", "b"), labels=labels)
    assert search_weights([weak, strong]) == (0.0, 1.0)  # all weights get both right
    assert search_weights([weak, weak]) == (0.5, 0.5)
    assert search_weights([weak, weak, weak]) == (0.35, 0.35, 0.3)
    assert search_weights([weak]) == (1.0,)


def test_a_search_needs_labels_probabilities_and_few_members():
    labels = np.array([0])
    member = with_probabilities([[0.6, 0.4]], class_names=("a", "b"), labels=labels)
    with pytest.raises(UserError, match="without true labels"):
        search_weights([replace(member, labels=None)] * 2)
    with pytest.raises(UserError, match="member 2 has labels only"):
        search_weights([member, replace(member, probabilities=None)])
    with pytest.raises(UserError, match="name soft or geometric"):
        search_weights([member] * 2, kind="hard")
    with pytest.raises(UserError, match="at most 5 members, received 6"):
        search_weights([member] * 6)
