"""Findings: their numbers are those of the runs, and their words follow the numbers."""

from dataclasses import replace

import pytest
from fakes import make_run

from dfclib.evaluation.metrics import wilson_interval
from dfclib.evaluation.published import published_results
from dfclib.recipes import find
from dfclib.reporting.findings import findings

PUBLISHED = published_results()


@pytest.fixture
def told(tmp_path):
    """The findings from runs made with (recipe, accuracies per seed), held out for the experiment."""

    def tell(**accuracies):
        runs = []
        for name, values in accuracies.items():
            recipe = find(name.replace("_", "-")).compact()
            for seed, value in enumerate(values):
                runs.append(make_run(tmp_path, recipe.with_options(seed=seed), value, n=1250))
        return dict(findings(runs, PUBLISHED))

    return tell


def test_ours_is_told_over_its_seeds_beside_the_best_author(told):
    assert told(attempt1=(0.8,))["Ours"] == "No finding yet: no run of sprint is recorded."
    assert "is right on 96.0% of 1,250 validation images (trained from scratch in " in told(sprint=(0.96,))["Ours"]
    text = told(sprint=(0.96, 0.92))["Ours"]
    assert text.startswith("Our own recipe, sprint, is right on 94.0% ± 2.8 of 1,250 validation images")
    assert " (2 seeds, each trained from scratch in " in text
    assert text.endswith("; the best author of the systems rebuilt here reaches 93.3% on these.")
    text = told(sprint=(0.96, 0.92), sprint_vote=(0.976,))["Ours"]
    assert text.endswith("reaches 93.3% on these. The soft vote of 3 seeds is right on 97.6% (96.6% to 98.3%).")


def test_resampling_says_what_is_lost_and_whether_seeds_overlap(told):
    text = told(resampling_nearest=(0.80, 0.82), resampling_bilinear=(0.70, 0.74))["Resampling"]
    assert "72.0% ± 2.8 of 1,250 held-out images" in text and "81.0% ± 1.4" in text
    assert "(2 seeds each, 7 epochs, 100x100 pixels)" in text
    assert "loses 9.0 points, and every seed by the nearest pixel is above every bilinear one at this size." in text


def test_resampling_follows_the_numbers(told):
    text = told(resampling_nearest=(0.70,), resampling_bilinear=(0.72, 0.74))["Resampling"]
    assert "(2 and 1 seeds, 7 epochs, 100x100 pixels)" in text
    assert "gains 3.0 points, and every seed by the nearest pixel is below every bilinear one at this size." in text
    assert (
        "the seeds of the two overlap"
        in told(resampling_nearest=(0.73,), resampling_bilinear=(0.72, 0.74))["Resampling"]
    )


def test_the_climb_has_both_ends_of_the_author_and_ours_at_one_scale_by_todays_recipes(told, tmp_path):
    author = "On the same 1,250 validation images, the author's attempts go from 72.6% (the first) to 90.5% (the sixth)"
    ours = ", ours at compact scale from 80.0% (7 epochs) to 60.0% (7 epochs)."
    assert told(attempt1=(0.8,), attempt6=(0.6,))["The climb"] == author + ours
    runs = [make_run(tmp_path / "b", find("attempt1").compact(), 0.8), make_run(tmp_path / "b", find("attempt1"), 0.9)]
    runs.append(make_run(tmp_path / "b", find("attempt6").compact(), 0.6))
    earlier = make_run(tmp_path / "c", replace(find("attempt6").compact(), epochs=3), 0.6)
    told_of = [dict(findings(known, PUBLISHED))["The climb"] for known in (runs, [*runs[:2], earlier], runs[:1])]
    assert told_of == [f"{author}{ours}", f"{author}.", f"{author}."]  # the full attempt 1 has no sixth of its scale


def test_class_4_is_the_authors_with_ours_where_they_are_recorded(told, tmp_path):
    text = told(attempt1=(0.8,))["Class 4"]
    assert "68.8% of the class in attempt 2, 69.2% in attempt 4 and 68.4% in attempt 5, and 85.2% in attempt 6" in text
    assert "Ours" not in text
    text = told(attempt2=(1.0,), attempt4=(1.0,), attempt5=(1.0,), attempt6=(0.0,))["Class 4"]
    assert text.endswith("Ours find 100.0%, 100.0%, 100.0% and 0.0% in these four.")
    names = ("attempt2", "attempt4", "attempt5", "attempt6")
    runs = [make_run(tmp_path / "b", name) for name in names[:3]]
    runs.append(make_run(tmp_path / "b", replace(find("attempt6").compact(), epochs=3)))
    assert "Ours" not in dict(findings(runs, PUBLISHED))["Class 4"]  # an earlier recipe says nothing about today's


def test_the_authors_matrices_show_no_gain_by_showing_class_4_more_often():
    """What the sentence says of the published matrices: recall in attempts 4 and 5 lies within attempt 2's interval."""
    before, *more = (PUBLISHED[name].matrix[4, 4] for name in ("attempt2", "attempt4", "attempt5"))
    low, high = wilson_interval(int(before), 250)
    assert all(low < right / 250 < high for right in more)
    assert PUBLISHED["attempt6"].matrix[4, 4] / 250 > high


def test_what_is_not_recorded_is_said(told):
    found = told(s1_v1=(0.8,))
    assert found["Resampling"] == "No finding yet: not recorded: resampling-nearest, resampling-bilinear."
    assert "ours" not in found["The climb"] and "Ours" not in found["Class 4"]
