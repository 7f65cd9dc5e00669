"""The ladder, the systems and the experiment: points, numbers and names are those of the runs."""

from pathlib import Path

import numpy as np
import pytest
from fakes import make_run
from legible import assert_legible, texts

from dfclib.errors import UserError
from dfclib.evaluation.metrics import wilson_interval
from dfclib.evaluation.published import PublishedResult
from dfclib.recipes import find
from dfclib.reporting import figures, rows
from dfclib.runs import find_runs

RECORDED = find_runs(Path(__file__).parents[3] / "report" / "runs")
HELD_OUT = find("attempt1").compact().with_options(protocol="held_out")


def test_ladder_keeps_the_two_columns_apart(runs):
    figure = figures.ladder(list(runs.values()))
    left, right = figure.axes
    assert left.get_title() == "author, public test"
    assert right.get_title().replace("\n", " ") == "ours, validation"
    assert [label.get_text() for label in left.get_yticklabels()] == list(rows.LADDER.values())
    assert {t.get_text() for t in left.texts} == {"78.0", "82.0", "84.0", "85.7", "89.0", "90.9", "–"}
    assert [t.get_text() for t in right.texts] == [
        f"{100 * run.predictions('validation').accuracy:.1f}" for run in runs.values()
    ]
    assert left.get_xlim() == right.get_xlim()
    assert left.yaxis_inverted()  # the story reads downwards
    (bars,) = (collection for collection in right.collections)
    low, high = wilson_interval(940, 1250)
    assert bars.get_segments()[0][:, 0] == pytest.approx([100 * low, 100 * high])
    assert "compact scale, unibuc, n = 1,250, CPU, float32" in " ".join(texts(figure)).replace("\n", " ")


def test_ladder_names_data_scale_and_protocol_where_they_differ(runs, embedded, tmp_path):
    once = make_run(tmp_path, HELD_OUT, 0.7)
    figure = figures.ladder([runs["attempt1"], embedded["attempt1"], once])
    labels = [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]
    assert len(labels) == 3
    assert sum("embedded data, not the competition's images" in label for label in labels) == 1
    assert sum("a tenth held out" in label for label in labels) == 1
    assert figure.axes[1].get_title() == "ours, validation"
    with pytest.raises(UserError, match="no ladder"):
        figures.ladder([])


def test_a_vote_over_several_devices_stands_in_the_ladder(runs, tmp_path):
    """It has no device or precision of its own: None beside names, which are not to be sorted or dropped."""
    several = make_run(tmp_path, "attempt3", 0.8, environment={"device": None, "precision": None})
    figure = figures.ladder([runs["attempt1"], several])
    assert [text.get_text() for text in figure.axes[1].texts] == ["75.2", "80.0"]
    labels = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert "several devices" in labels.replace("\n", " ") and "None" not in labels and "nan" not in labels


def test_systems_drawn_are_the_runs(runs, tmp_path):
    drawn = [
        make_run(tmp_path, "s1-v1", 0.815, n=200),
        make_run(tmp_path, find("s1-v1").compact().with_options(protocol="held_out"), 0.75, n=200),
        make_run(tmp_path, "s4-author", 0.95, test=0.9, n=200, data={"name": "fashion-mnist"}),
    ]
    figure = figures.systems(drawn)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["81.5", "75.0", "90.0"]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "s1-v1\nvalidation, n = 200",
        "s4-author\ntest, n = 200",
    ]
    diamonds = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
    assert diamonds == [pytest.approx(92.08), pytest.approx(85.10)]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]  # each once, however many points it has
    assert labels == ["author", "ours, all training images", "ours, a tenth of the training images held out"]
    with pytest.raises(UserError, match="none of the 1 runs is of a system other than the six attempts"):
        figures.systems([runs["attempt1"]])


def test_resampling_has_one_point_per_seed_and_the_mean_beside_it():
    groups = list(rows.experiment_runs(RECORDED).values())
    assert groups
    (axes,) = figures.resampling(RECORDED).axes
    accuracies = [[100 * run.predictions("held_out").accuracy for run in found] for found in groups]
    drawn = np.concatenate([line.get_xdata() for line in axes.lines if line.get_marker() == "o"])
    assert drawn == pytest.approx(np.concatenate(accuracies))
    low, high = axes.get_xlim()
    assert low < drawn.min() <= drawn.max() < high
    assert [text.get_text() for text in axes.texts] == [f"{np.mean(found):.1f}" for found in accuracies]


def test_without_the_experiments_runs_there_is_no_figure(runs):
    with pytest.raises(UserError, match="train it first"):
        figures.resampling([runs["attempt1"]])


def test_the_spread_has_a_point_per_training_their_mean_and_the_interval_of_one(tmp_path):
    ours = [
        make_run(tmp_path, find("attempt6").compact().with_options(seed=s), a) for s, a in enumerate((0.8, 0.8, 0.83))
    ]
    author = PublishedResult("attempt6", "validation", 1250, 1131, "his report")
    figure = figures.seed_spread({"ours": ours, "the author's": [author]})
    assert_legible("seed spread", figure)
    (axes,) = figure.axes
    points = [(line.get_marker(), line.get_xdata()[0]) for line in axes.lines]
    accuracies = [100 * run.predictions("validation").accuracy for run in ours]
    assert points == [*(("o", pytest.approx(a)) for a in accuracies), ("D", pytest.approx(90.48))]
    heights = [line.get_ydata()[0] for line in axes.lines]
    assert len(set(heights)) == 4  # equal accuracies lie beside each other
    mean, deviation = np.mean(accuracies), np.std(accuracies, ddof=1)
    assert [text.get_text() for text in axes.texts] == [f"{mean:.1f} ± {deviation:.1f}", "90.5"]
    interval = axes.collections[0].get_segments()[0][:, 0]
    assert interval == pytest.approx(100 * np.array(wilson_interval(round(12.5 * mean), 1250)))
    with pytest.raises(UserError, match="at least one in each group"):
        figures.seed_spread({"ours": ours, "nobody": []})
    with pytest.raises(UserError, match="200 and 1250 images"):
        figures.seed_spread({"ours": ours, "few": [make_run(tmp_path, "s1-v1", 0.8, n=200)]})
