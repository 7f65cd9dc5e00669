"""Studies and the ledger of looks as the report words them, from files as they are written."""

import pytest

from dfclib.files import write_json
from dfclib.reporting import readme, studies
from dfclib.wording import MISSING


def row(variant, accuracy, difference=0.0, spread=0.0):
    ends = {"difference_low": difference - spread, "difference_high": difference + spread}
    return {"variant": variant, "accuracy": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02} | {
        "difference": difference,
        **ends,
        "seconds": 60.0,
    }


ASKED = {"question": "Which one?", "variants": {"as it is": {}, "less": {}, "more": {}}, "trials": None, "seeds": [0]}
FOUND = {"study": ASKED, "against": "as it is", "images": 1250}


@pytest.fixture
def root(tmp_path):
    """A repository with one study, of which two of three variants are trained, and one without any."""
    folder = tmp_path / "report" / "studies"
    results = [row("as it is", 0.88), row("less", 0.9, 0.02, 0.015)]
    write_json(folder / "mine.json", {})
    write_json(folder / "mine.results.json", FOUND | {"results": results})
    write_json(folder / "new.json", {})
    write_json(folder / "new.results.json", FOUND | {"results": []})
    return tmp_path


def test_a_study_stands_in_the_report_with_its_best_variant(root):
    block = readme.studies_block(root).splitlines()
    assert block[2:] == ["| [mine](studies/mine.md) | Which one? | 2 of 3 variants | less: 90.0% | 88.0% to 92.0% |"]


def test_a_recipe_s_header_tells_what_each_variant_gave(root):
    assert readme.study_block("mine", root) == (
        "Which one? On 1,250 held-out images, one seed each, 2 of 3 variants, points with 95% intervals:\n"
        "    as it is: 88.0% (86.0% to 90.0%)\n"
        "    less: 90.0% (88.0% to 92.0%), +2.0 (+0.5 to +3.5)\n"
    )
    assert readme.study_block("new", root) == "No variant is trained yet.\n"


def test_no_study_and_no_look_are_said(tmp_path):
    assert readme.studies_block(tmp_path) == readme.NOTHING
    assert readme.looks_block(tmp_path).startswith("No recipe of ours has been measured")


def test_every_look_is_a_row():
    looks = [
        {"time": f"2026-11-30T1{i}:05:07+00:00", "run": f"mine-seed{i}", "recipe_fingerprint": "ab", "correct": c}
        | {"n": "1250"}
        for i, c in enumerate(("1175", "1150"))
    ]
    rows = studies.look_rows(looks)
    assert [row["run"] for row in rows] == ["mine-seed0", "mine-seed1"]
    assert rows[0] == {
        "looked at (UTC)": "2026-11-30 10:05",
        "run": "mine-seed0",
        "recipe's fingerprint": "ab",
        "correct": "1,175 of 1,250",
        "accuracy": "94.0%",
    }


def test_a_table_of_variants_says_what_was_asked_and_what_each_gave():
    results = [row("as it is", 0.88) | {"seconds": 60.0}, row("less", 0.9, 0.02, 0.015) | {"seconds": 720.0}]
    values = FOUND | {"study": ASKED | {"recipe": "sprint", "changes": {"epochs": 3}}, "results": results}
    first, second = studies.variant_rows(values)
    assert list(first.values())[:5] == ["as it is", "88.0%", "86.0% to 90.0%", MISSING, MISSING]
    assert list(second.values()) == ["less", "90.0%", "88.0% to 92.0%", "+2.0", "+0.5 to +3.5", "12 min"]
    assert studies.variant_note(values) == (
        "Which one? On 1,250 held-out images, one seed each, 2 of 3 variants; sprint with epochs 3."
    )
