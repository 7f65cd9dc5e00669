"""What the figures show: texts, bars and lines, and that nothing is cut off or printed over another."""

import subprocess
import sys

import numpy as np
import pytest
from fakes import hand_made, make_run, predictions_with
from legible import assert_legible, images_of, splits_of, texts, title

from dfclib.datasets.images import Splits
from dfclib.errors import UserError
from dfclib.evaluation import metrics
from dfclib.predictions import Predictions
from dfclib.reporting import figures

ATTEMPTS = dict(zip(metrics.LADDER, (0.752, 0.78, 0.81, 0.79, 0.83, 0.861, 0.884), strict=True))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {name: make_run(folder, name, accuracy) for name, accuracy in ATTEMPTS.items()}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedded")
    return {n: make_run(folder, n, a - 0.1, "quick", embedded=True, n=250) for n, a in ATTEMPTS.items()}


def every_figure(runs, embedded) -> dict:
    both = [*runs.values(), *embedded.values()]
    names = tuple(f"generator number {i}" for i in range(9))
    many = Predictions(np.arange(90).astype(str), np.arange(90) % 9, names, None, np.arange(90) // 2 % 9)
    views = [images_of().images[:3, 2:18, 2:18]] * 4
    return {
        "curves": figures.curves(runs["attempt4"]),
        "curves, embedded": figures.curves(embedded["attempt5"]),
        "validation curves": figures.validation_curves(list(runs.values())),
        "learning rates": figures.learning_rates([runs["attempt5"], runs["attempt6"]]),
        "confusion": figures.confusion(runs["attempt1"].predictions("validation"), figures.heading(runs["attempt1"])),
        "confusion, names": figures.confusion(many),
        "bars": figures.per_class_bars(predictions_with(1.0), figures.heading(embedded["attempt5"])),
        "bars, names": figures.per_class_bars(many),
        "ladder": figures.ladder(list(runs.values())),
        "ladder, two groups": figures.ladder(both),
        "balance": figures.class_balance(splits_of(embedded=True)),
        "samples": figures.samples(images_of()),
        "augmentation": figures.augmentation_preview(images_of().take(np.arange(3)), views),
        "spectra": figures.spectra(images_of()),
    }


def test_every_figure_is_legible(runs, embedded):
    for name, figure in every_figure(runs, embedded).items():
        assert_legible(name, figure)


def test_curves_show_training_and_what_was_watched_and_mark_the_chosen_epoch(runs, tmp_path):
    figure = figures.curves(runs["attempt4"])
    history = runs["attempt4"].history
    top, bottom = figure.axes
    for axes, column, factor in ((top, "accuracy", 100), (bottom, "loss", 1)):
        lines = {line.get_label(): line for line in axes.lines}
        assert lines["training"].get_ydata() == pytest.approx(factor * history[column].to_numpy())
        assert lines["validation"].get_ydata() == pytest.approx(factor * history[f"val_{column}"].to_numpy())
        assert list(lines["epoch 5, kept"].get_xdata()) == [5, 5]
    assert (top.get_ylabel(), bottom.get_ylabel(), bottom.get_xlabel()) == (
        "accuracy, %",
        "loss, nats",
        "epoch",
    )
    for part in ("Attempt 4", "seed 0", "compact scale", "unibuc", "n = 12,500 training, 1,250 validation images"):
        assert part in title(figure)
    held_out = figures.curves(make_run(tmp_path, "attempt4", protocol="held_out"))
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
    assert len({(marker, str(line)) for _, marker, line in figures.STYLES}) == len(figures.STYLES)


def test_validation_curves_give_the_swing_and_leave_votes_out(runs):
    from dfclib.callbacks import validation_fluctuation

    figure = figures.validation_curves([runs["attempt4"], runs["attempt6"], runs["attempt6-vote"]])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    expected = [
        f"{n}: fluctuates by {validation_fluctuation(runs[n].history):.1f} points" for n in ("attempt4", "attempt6")
    ]
    assert labels == expected
    assert "n = 1,250" in title(figure)


@pytest.mark.parametrize("function", [figures.validation_curves, figures.learning_rates])
def test_votes_alone_have_no_epochs(runs, function):
    with pytest.raises(UserError, match="epochs"):
        function([runs["attempt3"]])
    with pytest.raises(UserError, match="attempt3.* vote over 10 runs"):
        figures.curves(runs["attempt3"])


def test_confusion_writes_counts_and_shares_with_the_true_class_in_rows():
    axes = figures.confusion(hand_made(), "Mine").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    cells = {tuple(reversed(text.get_position())): text.get_text() for text in axes.texts}
    assert cells[0, 0] == "2\n67%" and cells[0, 1] == "1\n33%" and cells[2, 0] == "1\n100%"
    assert len(cells) == 9
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    low, high = metrics.wilson_interval(3, 6)
    assert f"n = 6, accuracy 50.0% (95% interval {100 * low:.1f} to {100 * high:.1f})" in title(axes.figure)


def test_bars_are_three_a_class_and_as_high_as_their_values():
    axes = figures.per_class_bars(hand_made()).axes[0]
    table = metrics.per_class(hand_made())
    heights = [[bar.get_height() for bar in container] for container in axes.containers]
    assert heights == [pytest.approx(100 * table[c].to_numpy()) for c in ("precision", "recall", "f1")]
    assert len({container[0].get_hatch() for container in axes.containers}) == 3  # apart in grey too
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["precision", "recall", "F1"]


def test_many_classes_are_drawn_without_numbers_and_with_some_names():
    names = tuple(f"class {i}" for i in range(100))
    p = Predictions(np.arange(300).astype(str), np.arange(300) % 100, names, None, np.arange(300) % 100)
    for figure in (figures.confusion(p), figures.per_class_bars(p)):
        axes = figure.axes[0]
        assert not axes.texts
        assert 10 <= len(axes.get_xticks()) <= figures.MOST_NAMED
        assert axes.get_xticklabels()[1].get_text() == names[int(axes.get_xticks()[1])]


def test_ladder_keeps_the_two_columns_apart(runs):
    figure = figures.ladder(list(runs.values()))
    left, right = figure.axes
    assert left.get_title() == "author, public test"
    assert right.get_title().replace("\n", " ") == "ours, validation"
    assert [label.get_text() for label in left.get_yticklabels()] == list(metrics.LADDER.values())
    assert {t.get_text() for t in left.texts} == {"78.0", "82.0", "84.0", "85.7", "89.0", "90.9", "–"}
    assert [t.get_text() for t in right.texts] == [
        f"{100 * run.predictions('validation').accuracy:.1f}" for run in runs.values()
    ]
    assert left.get_xlim() == right.get_xlim()
    assert left.yaxis_inverted()  # the story reads downwards
    (bars,) = (collection for collection in right.collections)
    low, high = metrics.wilson_interval(940, 1250)
    assert bars.get_segments()[0][:, 0] == pytest.approx([100 * low, 100 * high])
    assert "compact scale, unibuc, n = 1,250, CPU, float32" in " ".join(texts(figure)).replace("\n", " ")


def test_ladder_names_data_scale_and_protocol_where_they_differ(runs, embedded, tmp_path):
    once = make_run(tmp_path, "attempt1", 0.7, protocol="held_out")
    figure = figures.ladder([runs["attempt1"], embedded["attempt1"], once])
    labels = [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]
    assert len(labels) == 3
    assert sum("embedded data, not the competition's images" in label for label in labels) == 1
    assert sum("(looked at once)" in label for label in labels) == 1
    assert figure.axes[1].get_title() == "ours, validation"
    with pytest.raises(UserError, match="no ladder"):
        figures.ladder([])


def test_embedded_data_are_called_so_wherever_they_are_shown(embedded):
    notice = "embedded data, not the competition's images"
    assert notice in title(figures.curves(embedded["attempt1"]))
    assert notice in figures.heading(embedded["attempt1"])
    assert notice in title(figures.validation_curves([embedded["attempt1"]]))
    assert notice in title(figures.class_balance(splits_of(embedded=True)))
    assert notice not in title(figures.class_balance(splits_of()))


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_save_writes_the_kind_that_the_name_says(tmp_path, suffix, start):
    figure = figures.class_balance(splits_of())
    path = figures.save(figure, tmp_path / "new" / f"balance.{suffix}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with pytest.raises(UserError, match=r"\.png, \.pdf or \.svg"):
        figures.save(figure, tmp_path / "balance.gif")


def test_make_all_writes_every_runs_figures_and_the_ladder(runs, tmp_path):
    chosen = [runs["attempt1"], runs["attempt3"]]
    paths = figures.make_all(chosen, tmp_path / "out")
    one, vote = (run.name for run in chosen)
    expected = [
        f"{one}-curves",
        f"{one}-confusion",
        f"{one}-per-class",
        f"{vote}-confusion",
        f"{vote}-per-class",
    ]
    assert [path.name for path in paths] == [f"{name}.png" for name in [*expected, "ladder"]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in paths)


@pytest.mark.parametrize(("name", "images"), [("resampling-nearest", ", held-out images"), ("attempt1", "")])
def test_make_all_names_the_images_that_an_experiment_is_judged_on(tmp_path, monkeypatch, name, images):
    seen = []
    confusion = figures.confusion
    monkeypatch.setattr(figures, "confusion", lambda p, title: seen.append((len(p), title)) or confusion(p, title))
    run = make_run(tmp_path, name, protocol="held_out" if images else "published")
    figures.make_all([run], tmp_path / "out", overview=[])
    assert seen == [(1250, f"{figures.heading(run)}{images}")]


def test_a_notebook_shows_a_figure_and_nothing_touches_pyplot_or_tensorflow():
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from fakes import hand_made\n"
        "from dfclib.reporting import figures\n"
        "figure = figures.confusion(hand_made())\n"
        "assert figure._repr_png_().startswith(b'\\x89PNG')\n"
        "print([m for m in ('matplotlib.pyplot', 'tensorflow', 'keras', 'seaborn') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_names_with_dollars_are_words_and_no_formulas():
    r"""Between two dollars matplotlib reads TeX: a class called "$\frac{$" would end every figure with an error."""
    names = (r"$\frac{$", "$a$", "b$")
    images = images_of(names, per_class=3)
    thirds = np.full((9, 3), 1 / 3, np.float32)
    guesses = Predictions(images.ids, np.arange(9) % 3, names, thirds, np.arange(9) // 2 % 3)
    for figure in (
        figures.confusion(guesses, r"a title of $\frac{$"),
        figures.per_class_bars(guesses),
        figures.class_balance(Splits("x", images, images)),
        figures.samples(images),
        figures.spectra(images),
        figures.disagreement({r"$\frac{$": guesses, "$b$": guesses}),
        figures.answers(images, {"some": guesses}, r"a title of $\frac{$"),
    ):
        figure.draw_without_rendering()
    assert r"\$\frac{\$" in texts(figures.confusion(guesses))
