"""Every figure can be read, is saved as asked, and calls embedded data what they are."""

import subprocess
import sys

import numpy as np
import pytest
from fakes import labels_only, make_run, noise_images, noise_splits, predictions_with, with_confidence
from legible import assert_legible, texts, title

from dfclib.datasets.images import Splits
from dfclib.datasets.traces import trace_statistics
from dfclib.errors import UserError
from dfclib.evaluation.published import published_results
from dfclib.reporting import figures


def every_figure(runs, embedded) -> dict:
    both = [*runs.values(), *embedded.values()]
    names = tuple(f"generator number {i}" for i in range(9))
    many = labels_only(np.arange(90) % 9, class_names=names, labels=np.arange(90) // 2 % 9)
    views = [noise_images().images[:3, 2:18, 2:18]] * 4
    return {
        "curves": figures.curves(runs["attempt4"]),
        "curves, embedded": figures.curves(embedded["attempt5"]),
        "validation curves": figures.validation_curves(list(runs.values())),
        "learning rates": figures.learning_rates([runs["attempt5"], runs["attempt6"]]),
        "confusion": figures.confusion(runs["attempt1"].predictions("validation"), figures.heading(runs["attempt1"])),
        "confusion, names": figures.confusion(many),
        "bars": figures.per_class_bars(predictions_with(1.0), figures.heading(embedded["attempt5"])),
        "bars, names": figures.per_class_bars(many),
        "ladder": figures.ladder(list(runs.values()), published_results()),
        "ladder, two groups": figures.ladder(both, published_results()),
        "class 4": figures.class_track(both, published_results()),
        "balance": figures.class_balance(noise_splits(embedded=True)),
        "samples": figures.samples(noise_images()),
        "augmentation": figures.augmentation_preview(noise_images().take(np.arange(3)), views),
        "versions": figures.versions(dict.fromkeys(("as they are", "blurred"), views[0]), names[:3], "Two versions"),
        "spectra": figures.spectra(np.linspace(0.1, 0.7, 9), {"a": np.eye(5, 9), "b": -np.eye(5, 9)}, names[:5], "Two"),
        "traces": figures.traces(2 * [trace_statistics(noise_images(), "unibuc", embedded=False)]),
    }


def test_every_figure_is_legible(runs, embedded):
    for name, figure in every_figure(runs, embedded).items():
        assert_legible(name, figure)


def test_embedded_data_are_called_so_wherever_they_are_shown(embedded):
    notice = "embedded data, not the competition's images"
    assert notice in title(figures.curves(embedded["attempt1"]))
    assert notice in figures.heading(embedded["attempt1"])
    assert notice in title(figures.validation_curves([embedded["attempt1"]]))
    assert notice in title(figures.class_balance(noise_splits(embedded=True)))
    assert notice not in title(figures.class_balance(noise_splits()))


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_save_writes_the_kind_that_the_name_says(tmp_path, suffix, start):
    figure = figures.class_balance(noise_splits())
    path = figures.save(figure, tmp_path / "new" / f"balance.{suffix}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with pytest.raises(UserError, match=r"\.png, \.pdf or \.svg"):
        figures.save(figure, tmp_path / "balance.gif")


def test_a_runs_figures_are_written_by_its_name(runs, tmp_path):
    one, vote = runs["attempt1"], runs["attempt3"]
    paths = figures.draw_runs([one, vote], tmp_path / "out")
    expected = [f"{one.name}-{kind}.png" for kind in ("curves", "confusion", "per-class")]
    expected += [f"{vote.name}-{kind}.png" for kind in ("confusion", "per-class")]  # a vote has no curves
    assert [path.name for path in paths] == expected
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(expected)


def test_overviews_are_drawn_of_what_the_runs_belong_to(runs, tmp_path):
    def drawn(*shown):
        return [path.stem for path in figures.draw_overviews(shown, tmp_path / "out")]

    assert drawn() == ["samples", "traces"]
    assert drawn(runs["attempt1"]) == ["samples", "traces", "ladder", "class-4"]
    assert drawn(make_run(tmp_path, "s2-cnn")) == ["samples", "traces", "systems"]
    assert drawn(make_run(tmp_path, "resampling-nearest")) == ["samples", "traces", "resampling"]


@pytest.mark.parametrize(("name", "images"), [("resampling-nearest", ", held-out images"), ("attempt1", "")])
def test_a_title_names_the_images_that_an_experiment_is_judged_on(tmp_path, monkeypatch, name, images):
    seen = []
    confusion = figures.confusion
    monkeypatch.setattr(figures, "confusion", lambda p, title: seen.append((len(p), title)) or confusion(p, title))
    run = make_run(tmp_path, name)
    figures.draw_runs([run], tmp_path / "out")
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
    images = noise_images(names, per_class=3)
    guesses = with_confidence(np.arange(9) % 3, 1 / 3, names, np.arange(9) // 2 % 3)
    for figure in (
        figures.confusion(guesses, r"a title of $\frac{$"),
        figures.per_class_bars(guesses),
        figures.class_balance(Splits("x", images, images)),
        figures.samples(images),
        figures.sample_strip(images),
        figures.versions({"$a$": images.images[:3]}, names, "$x$"),
        figures.spectra(np.array([0.1, 0.2]), {r"$\frac{$": np.ones((3, 2))}, names, "$x$"),
        figures.traces([trace_statistics(images, "$x$", embedded=False)]),
        figures.disagreement({r"$\frac{$": guesses, "$b$": guesses}),
        figures.answers(images, {"some": guesses}, r"a title of $\frac{$"),
    ):
        figure.draw_without_rendering()
    assert r"\$\frac{\$" in texts(figures.confusion(guesses))
