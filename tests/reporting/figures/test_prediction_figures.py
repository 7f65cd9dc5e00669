"""Confusion matrix and bars per class: cells and heights are the counts and the shares."""

import numpy as np
import pytest
from fakes import hand_made, labels_only
from legible import title

from dfclib.evaluation import metrics
from dfclib.reporting import figures
from dfclib.reporting.figures.style import MOST_NAMED


def test_confusion_writes_counts_and_shares_with_the_true_class_in_rows():
    axes = figures.confusion(hand_made(), "Mine").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    cells = {tuple(reversed(text.get_position())): text.get_text() for text in axes.texts}
    assert cells[0, 0] == "2\n67%" and cells[0, 1] == "1\n33%" and cells[2, 0] == "1\n100%"
    assert len(cells) == 9
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    low, high = metrics.wilson_interval(3, 6)
    assert f"n = 6, accuracy 50.0% (95% interval {100 * low:.1f} to {100 * high:.1f})" in title(axes.figure)


def test_bars_are_three_per_class_and_as_high_as_their_values():
    axes = figures.per_class_bars(hand_made()).axes[0]
    table = metrics.per_class(hand_made())
    heights = [[bar.get_height() for bar in container] for container in axes.containers]
    assert heights == [pytest.approx(100 * table[c].to_numpy()) for c in ("precision", "recall", "f1")]
    assert len({container[0].get_hatch() for container in axes.containers}) == 3  # apart in grey too
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["precision", "recall", "F1"]


def test_many_classes_are_drawn_without_numbers_and_with_some_names():
    names = tuple(f"class {i}" for i in range(100))
    p = labels_only(np.arange(300) % 100, class_names=names, labels=np.arange(300) % 100)
    for figure in (figures.confusion(p), figures.per_class_bars(p)):
        axes = figure.axes[0]
        assert not axes.texts
        assert 10 <= len(axes.get_xticks()) <= MOST_NAMED
        assert axes.get_xticklabels()[1].get_text() == names[int(axes.get_xticks()[1])]
