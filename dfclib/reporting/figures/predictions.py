"""Figures from one system's predictions: the confusion matrix, and precision, recall and F1 per class."""

import numpy as np
from matplotlib.figure import Figure

from dfclib.evaluation import metrics
from dfclib.predictions import Predictions
from dfclib.reporting.figures import style


def confusion(predictions: Predictions, title: str = "Confusion matrix") -> Figure:
    """Counts and shares of each true class (row) by predicted class.

    Raises:
        UserError: Without labels.
    """
    counts = metrics.confusion_matrix(predictions)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.32 * len(counts) + 3.45, style.WIDTH, 9))
    figure = style.new_figure(side + 0.2, f"{title}\n{result_of(predictions)}", side)
    texts = [
        [f"{n:,}\n{share:.0f}%" for n, share in zip(*row, strict=True)] for row in zip(counts, shares, strict=True)
    ]
    axes = style.heat_map(figure, shares, texts, predictions.class_names, "share of the true class, %", highest=100)
    style.label_axes(axes, "predicted class", "true class", grid=False)
    return figure


def per_class_bars(predictions: Predictions, title: str = "Precision, recall and F1 per class") -> Figure:
    """Three bars per class: precision, recall and F1 in percent.

    Raises:
        UserError: Without labels.
    """
    table = metrics.per_class(predictions)
    k = len(table)
    upright = k > 5  # side by side, the numbers of ten classes would need nine inches
    width, height = float(np.clip(0.3 * k + 3.5, style.WIDTH, 14)), 4.3 if upright else 3.8
    figure = style.new_figure(height, f"{title}\n{result_of(predictions)}", width)
    axes = figure.subplots()
    series = [
        (100 * table["precision"], "precision", "white", "////"),
        (100 * table["recall"], "recall", style.BLUE, ""),
        (100 * table["f1"], "F1", style.ORANGE, ".."),
    ]
    numbers = {"padding": 2, "rotation": 90} if upright else {"padding": 1}
    style.grouped_bars(axes, series, table["class"], step=0.3, **numbers)
    axes.set_xlim(-0.55, k - 0.45)  # no margin: three times "100" must stand side by side
    axes.set_ylim(0, 125 if upright else 109)
    axes.set_yticks(range(0, 101, 20))
    style.label_axes(axes, "class", "%", grid=False)
    style.legend_below(figure, axes, columns=3)
    return figure


def result_of(predictions: Predictions) -> str:
    """`n = 1,250, accuracy 80.0% (95% interval 77.7 to 82.1)`. Raises UserError without labels."""
    result = metrics.summary(predictions)
    share, low, high = (f"{100 * result[key]:.1f}" for key in ("accuracy", "low", "high"))
    return f"n = {result['n']:,}, accuracy {share}% (95% interval {low} to {high})"
