"""The ladder, the systems and the experiment: points, numbers and names are those of the runs."""

from pathlib import Path

import numpy as np
import pytest
from fakes import make_run
from legible import assert_legible, texts, title

from dfclib.errors import UserError
from dfclib.evaluation.metrics import wilson_interval
from dfclib.evaluation.published import PublishedResult, published_results
from dfclib.recipes import find
from dfclib.reporting import figures, rows
from dfclib.runs import find_runs

RECORDED = find_runs(Path(__file__).parents[3] / "report" / "runs")
HELD_OUT = find("attempt1").compact().with_options(protocol="held_out")


def beside(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def marks(axes, marker: str) -> list[float]:
    return [line.get_xdata()[0] for line in axes.lines if line.get_marker() == marker and len(line.get_xdata())]


def counted(matrix, recipe: str = "attempt1", split: str = "validation") -> PublishedResult:
    matrix = np.array(matrix)
    return PublishedResult(recipe, split, int(matrix.sum()), int(matrix.trace()), "a test", matrix)


def test_ladder_shows_author_and_ours_on_one_axis_and_kaggle_s_score_apart(runs):
    labels = runs["attempt1"].predictions("validation").labels
    n = np.bincount(labels, minlength=5)
    matrix = np.diag(n - 50) + np.roll(np.diag(np.full(5, 50)), 1, axis=1)
    figure = figures.ladder(list(runs.values()), {"attempt1": counted(matrix)})
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(rows.LADDER.values())
    author = 100 * (1 - 250 / n.sum())
    ours = [f"{100 * run.predictions('validation').accuracy:.1f}" for run in runs.values()]
    scores = [f"({score})" for score in ("82.0", "84.0", "85.7", "89.0", "90.9")]
    written = beside(axes)
    assert [text for text in written if "(" not in text] == [f"{author:.1f}", *ours]
    assert [text for text in written if "(" in text] == scores  # Kaggle's, where there is nothing on the same images
    assert marks(axes, "D") == pytest.approx([author])
    assert marks(axes, "x") == pytest.approx([78, 82, 84, 85.7, 89, 90.9])
    assert axes.yaxis_inverted()  # the story reads downwards
    drawn = [collection.get_segments()[0][:, 0] for collection in axes.collections]
    low, high = wilson_interval(940, 1250)
    assert any(ends == pytest.approx([100 * low, 100 * high]) for ends in drawn)
    assert title(figure) == "The six attempts accuracy, 95% intervals on validation (n = 1,250)"
    assert "ours, compact scale" in texts(figure)


def test_an_author_s_result_on_other_images_is_not_drawn(runs, embedded):
    other = {"attempt1": counted(np.eye(5, dtype=int) * 250 + 1)}
    assert marks(figures.ladder([runs["attempt1"]], other).axes[0], "D") == []
    (axes,) = figures.ladder([embedded["attempt1"]], published_results()).axes
    assert marks(axes, "D") == marks(axes, "x") == []


def test_ladder_names_data_and_protocol_where_they_differ(runs, embedded, tmp_path):
    once = make_run(tmp_path, HELD_OUT, 0.7)
    figure = figures.ladder([runs["attempt1"], embedded["attempt1"], once], {})
    labels = [text.get_text() for text in figure.legends[0].get_texts() if text.get_text().startswith("ours")]
    assert len(labels) == 3
    assert sum("embedded data, not the competition's images" in label for label in labels) == 1
    assert sum("a tenth held out" in label for label in labels) == 1
    with pytest.raises(UserError, match="no ladder"):
        figures.ladder([], {})


def test_seeds_of_one_training_are_one_mark_with_an_interval_and_ticks(tmp_path):
    seeds = [make_run(tmp_path, find("attempt6").compact().with_options(seed=s), 0.6 + 0.1 * s) for s in (0, 1, 2)]
    (axes,) = figures.ladder(seeds, {}).axes
    assert beside(axes) == ["60.0"]
    drawn = [np.round(np.array(line.get_xdata(), float)).tolist() for line in axes.lines if line.get_marker() == "|"]
    assert [70, 80] in drawn


def test_systems_drawn_are_the_runs(runs, tmp_path):
    drawn = [
        make_run(tmp_path, "s1-v1", 0.815, n=200),
        make_run(tmp_path, find("s1-v1").compact().with_options(protocol="held_out"), 0.75, n=200),
        make_run(tmp_path, "s4-author", 0.95, test=0.9, n=200, data={"name": "fashion-mnist"}),
    ]
    stated = PublishedResult("s4-author", "test", 200, 170, "a test")
    figure = figures.systems(drawn, {"s4-author": stated})
    (axes,) = figure.axes
    assert beside(axes) == ["81.5", "75.0", "85.0", "90.0"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["s1-v1", "s4-author\ntest, n = 200"]
    assert marks(axes, "D") == [pytest.approx(85)]
    assert title(figure) == "The other systems accuracy, 95% intervals; validation (n = 200) or as named"
    assert title(figures.systems(drawn[2:], {})) == "The other systems accuracy, 95% intervals"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]  # each once, however many points it has
    assert len(labels) == len(set(labels)) and "author, the same images" in labels
    with pytest.raises(UserError, match="none of the 1 runs is of a system other than the six attempts"):
        figures.systems([runs["attempt1"]], {})


def test_class_4_of_the_author_is_what_his_matrices_say():
    figure = figures.class_track(RECORDED, published_results())
    (axes,) = figure.axes
    black = next(c for c in axes.containers if c.get_label() == "author")
    assert np.rint(black.lines[0].get_ydata()).tolist() == [31, 69, 69, 68, 85]
    assert title(figure).endswith("n = 250 images")


def test_a_class_that_no_attempt_knows_has_no_track(runs):
    with pytest.raises(UserError, match="knows a class 'cat'"):
        figures.class_track(list(runs.values()), {}, "cat")


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
