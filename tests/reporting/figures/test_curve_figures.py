"""Curves over the epochs: lines, labels and titles carry what the runs hold."""

from dataclasses import replace

import pytest
from fakes import make_run
from legible import assert_legible, title

from dfclib.errors import UserError
from dfclib.recipes import find
from dfclib.reporting import figures
from dfclib.reporting.figures.style import STYLES


def test_curves_show_training_and_what_was_watched_and_mark_the_chosen_epoch(runs, tmp_path):
    figure = figures.curves(runs["attempt4"])
    history = runs["attempt4"].history
    top, bottom = figure.axes
    for axes, column, factor in ((top, "accuracy", 100), (bottom, "loss", 1)):
        lines = {line.get_label(): line for line in axes.lines}
        assert lines["training"].get_ydata() == pytest.approx(factor * history[column].to_numpy())
        assert lines["validation"].get_ydata() == pytest.approx(factor * history[f"val_{column}"].to_numpy())
        assert list(lines["epoch 5, kept"].get_xdata()) == [5, 5]
    assert (top.get_ylabel(), bottom.get_ylabel(), bottom.get_xlabel()) == ("accuracy, %", "loss, nats", "epoch")
    for part in ("Attempt 4", "seed 0", "compact scale", "unibuc", "n = 12,500 training, 1,250 validation images"):
        assert part in title(figure)
    held_out = figures.curves(make_run(tmp_path, find("attempt4").compact().with_options(protocol="held_out")))
    assert "kept: lowest loss on held-out images" in title(held_out)
    # of 12,500 training images 1,250 were held out: neither is validation
    assert "n = 11,250 training, 1,250 held-out images" in title(held_out)
    assert "12,500" not in title(held_out) and "validation" not in title(held_out)
    assert "kept: lowest loss on validation" in title(figure)
    assert "kept: last epoch" in title(figures.curves(runs["attempt1"]))
    assert "held-out images" in [line.get_label() for line in held_out.axes[0].lines]
    smoothed = figures.curves(make_run(tmp_path, "s1-v1"))  # its training loss is not validation's
    assert "training (loss of smoothed labels)" in [line.get_label() for line in smoothed.axes[1].lines]


def test_lines_differ_without_their_colours(runs):
    singles = [run for run in runs.values() if not run.members]
    lines = figures.validation_curves(singles).axes[0].lines
    assert len({(line.get_marker(), str(line.get_linestyle())) for line in lines}) == len(singles) == 5
    assert len({(marker, str(line)) for _, marker, line in STYLES}) == len(STYLES)


def test_validation_curves_give_the_jumps_of_the_second_half_and_leave_votes_out(runs, tmp_path):
    curve = (0.1, 0.9, 0.2, 0.8, 0.3, 0.7) + (0.5, 0.6) * 3
    shown = [make_run(tmp_path, "attempt4", val_accuracies=curve), make_run(tmp_path, "attempt6", val_accuracies=curve)]
    figure = figures.validation_curves([*shown, runs["attempt6-vote"]])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "attempt4 (9.8 points)",
        "attempt6 (9.8 points)",
    ]
    assert figure.legends[0].get_title().get_text() == "in brackets: typical jump between epochs, second half"
    assert "n = 1,250" in title(figure)


def test_names_tell_what_differs_between_runs(runs, embedded, tmp_path):
    def names(*shown) -> list[str]:
        figure = figures.learning_rates(shown)
        assert_legible("learning rates", figure)
        assert_legible("validation", figures.validation_curves(shown))
        return [text.get_text() for text in figure.legends[0].get_texts()]

    plain = runs["attempt4"]
    earlier = make_run(tmp_path, replace(find("attempt5").compact(), batch_size=7))
    assert names(plain, earlier) == ["attempt4, compact", "attempt5, compact, earlier recipe"]
    other = make_run(tmp_path, find("attempt4").compact().with_options(seed=1))
    assert names(plain, other) == ["attempt4, seed 0", "attempt4, seed 1"]
    expected = ["attempt4, compact, unibuc", "attempt5, quick, embedded data"]
    assert names(plain, embedded["attempt5"]) == expected
    held_out = make_run(tmp_path, find("attempt6").compact().with_options(protocol="held_out"))
    assert names(plain, held_out) == ["attempt4, compact", "attempt6, compact, a tenth held out"]
    assert "see the names" in title(figures.learning_rates([plain, earlier]))


def test_a_learning_rate_has_no_number_of_images_and_no_kept_epoch(runs):
    alike = [runs["attempt5"], runs["attempt6"]]
    assert title(figures.learning_rates(alike)) == "Learning rate compact scale, unibuc"
    shown = "Accuracy on validation compact scale, unibuc, kept: highest accuracy on validation, n = 1,250"
    assert title(figures.validation_curves(alike)) == shown


@pytest.mark.parametrize("function", [figures.validation_curves, figures.learning_rates])
def test_votes_alone_have_no_epochs(runs, function):
    with pytest.raises(UserError, match="epochs"):
        function([runs["attempt3"]])
    with pytest.raises(UserError, match="attempt3.* vote over 10 runs"):
        figures.curves(runs["attempt3"])
