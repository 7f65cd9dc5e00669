"""A study's picture: one row per variant, with the differences, intervals and accuracies of its results file."""

from pathlib import Path

import pytest
from legible import assert_legible, texts, title

from dfclib.errors import UserError
from dfclib.reporting import figures
from dfclib.reporting.studies import read_studies

LONG = "rotation by the nearest pixel in place of shift"
DIFFERENCES = {"as it is": (0, 0, 0), "less": (-0.03, -0.045, -0.015), LONG: (0.01, -0.005, 0.02)}


def study_of(differences, seeds=(0,), **more):
    """A results file's values: variants by name with (difference, its low end, its high end), the first at 90%."""
    rows = [
        {"variant": name, "state": "complete", "accuracy": 0.9 + ends[0]}
        | dict(zip(("difference", "difference_low", "difference_high"), ends, strict=True))
        for name, ends in differences.items()
    ]
    asked = {"question": "Which one?", "seeds": list(seeds)}
    return {"study": asked, "against": "as it is", "images": 1250, "results": rows} | more


def marks(axes) -> dict:
    """Value and filling of each mark, by its height on the page."""
    drawn = [line for line in axes.lines if line.get_marker() in ("o", "D")]
    return {float(line.get_ydata()[0]): (float(line.get_xdata()[0]), line.get_fillstyle()) for line in drawn}


def test_each_variant_has_its_row_the_best_on_top():
    figure = figures.study(study_of(DIFFERENCES))
    assert_legible("study", figure)
    (axes,) = figure.axes
    names = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert names == [LONG, "as it is", "less"]
    assert axes.yaxis_inverted()
    found = marks(axes)
    assert [found[place] for place in axes.get_yticks()] == [
        (pytest.approx(1), "none"),  # its interval holds 0
        (0, "full"),
        (pytest.approx(-3), "full"),
    ]
    assert [text.get_text() for text in axes.texts] == ["91.0", "90.0", "87.0"]
    intervals = sorted(bars.get_segments()[0][:, 0].tolist() for bars in axes.collections)
    assert intervals == [pytest.approx([-4.5, -1.5]), pytest.approx([-0.5, 2])]
    assert "accuracy less that of “as it is”, n = 1,250 held-out images" in title(figure)
    assert "one seed each" in title(figure) and "not of other seeds" in title(figure)


def test_one_variant_alone_and_several_seeds_and_one_given_up_can_be_read():
    alone = figures.study(study_of({"as it is": (0, 0, 0)}))
    assert_legible("one variant", alone)
    assert alone.axes[0].get_xlim() == (-1, 1)
    values = study_of(DIFFERENCES, seeds=(0, 1))
    values["results"][1]["state"] = "pruned"
    figure = figures.study(values)
    assert "2 seeds each" in title(figure) and "less (given up)" in texts(figure)


def test_the_studies_of_this_repository_can_be_read():
    for name, values in read_studies(Path(__file__).parents[3] / "report" / "studies").items():
        assert_legible(name, figures.study(values))


def test_without_a_trained_variant_there_is_no_figure():
    with pytest.raises(UserError, match="no variant of the study is trained"):
        figures.study(study_of({}))
