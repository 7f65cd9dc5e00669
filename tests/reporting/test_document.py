"""The report: made into a temporary folder, its numbers are read back from its text and compared with the runs."""

import importlib.metadata
import re
import shutil
from pathlib import Path

import pytest
from fakes import EMBEDDED, make_run

from dfclib.errors import UserError
from dfclib.evaluation.published import published_results
from dfclib.recipes import find
from dfclib.reporting import document, rows
from dfclib.reporting.answers import ANSWERS, answer
from dfclib.reporting.findings import findings
from dfclib.reporting.readme import MEASURED
from dfclib.reporting.studies import read_studies
from dfclib.runs import find_runs

pytest.importorskip("typst")
pypdf = pytest.importorskip("pypdf")

ROOT = Path(__file__).resolve().parents[2]
SOURCE = (ROOT / "report" / "dfclib.typ").read_text(encoding="utf-8")
LOCK = (ROOT / "requirements" / "lock.txt").read_text()
RUNS = [run for run in find_runs(ROOT / "report" / "runs") if not run.data["embedded"]]
PUBLISHED = published_results(ROOT / "report" / "published")


def squeezed(text: str) -> str:
    """Letters and digits alone: lines of a PDF break within words and cells."""
    return re.sub(r"[^\w%.±+]", "", text.replace("ﬁ", "fi").replace("ﬂ", "fl"))


def text_of(path: Path) -> str:
    return squeezed("".join(page.extract_text() for page in pypdf.PdfReader(path).pages))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return document.make(RUNS, tmp_path_factory.mktemp("report") / "dfclib.pdf", ROOT)


def test_every_accuracy_stands_in_it(made):
    """Recomputed here from probabilities and matrices."""
    text = text_of(made)
    for name in ("attempt1", "attempt2", "attempt4", "attempt5", "attempt6", "s1-vote", "s2-cnn", "s3-vote"):
        run = rows.shown(RUNS, name)
        predictions, matrix = run.predictions("validation"), PUBLISHED[name].matrix
        ours = 100 * (predictions.predicted == predictions.labels).mean()
        theirs = 100 * matrix.trace() / matrix.sum()
        assert squeezed(f"{theirs:.1f}% {ours:.1f}%") in text, name
        assert squeezed(f"{ours - theirs:+.1f} points") in text, name


def test_its_sentences_are_the_findings_and_the_notebooks_answers(made):
    text = text_of(made)
    told = [finding for _, finding in findings(RUNS, PUBLISHED, ROOT / MEASURED)]
    told += [answer(name, RUNS, PUBLISHED) for name in ANSWERS]
    told += rows.shortened_lines([*rows.attempt_runs(RUNS), *rows.system_runs(RUNS)])
    sentences = [sentence for paragraph in told for sentence in re.split(r"(?<=[.:]) ", paragraph)]
    broken = [sentence for sentence in sentences if squeezed(sentence) not in text]
    assert len(broken) < len(pypdf.PdfReader(made).pages) < len(sentences)  # by the end of a page
    assert [number for sentence in broken for number in re.findall(r"\d+[.]\d%?", sentence) if number not in text] == []


def test_it_is_short_its_figures_are_numbered_and_all_are_mentioned(made):
    assert 4 <= len(pypdf.PdfReader(made).pages) <= 7
    text = text_of(made)
    tables = SOURCE.count("#rows-of(") - 1 + len(read_studies(ROOT / "report" / "studies"))  # one makes all
    for kind, count in (("Figure", SOURCE.count("#picture(")), ("Table", tables)):
        assert count > 2
        assert [n for n in range(1, count + 1) if text.count(f"{kind}{n}") < 2] == []  # its caption, and a mention


def test_the_committed_report_is_of_todays_runs(made):
    committed = ROOT / "report" / "dfclib.pdf"
    if f"typst=={importlib.metadata.version('typst')}\n" in LOCK:
        assert made.read_bytes() == committed.read_bytes(), "run: make report"
    else:
        assert text_of(made) == text_of(committed), "run: make report"


def test_another_run_makes_another_report(made, tmp_path):
    changed = make_run(tmp_path, find("s2-cnn"), 0.995)
    others = [run for run in RUNS if run.recipe.name != "s2-cnn"]
    text = text_of(document.make([*others, changed], tmp_path / "new.pdf", ROOT))
    assert "99.5%" in text and "99.5%" not in text_of(made)


def test_generated_images_count_for_nothing(tmp_path):
    run = make_run(tmp_path, find("attempt1").quick(), 0.995, data=EMBEDDED)
    pdf = document.make([*RUNS, run], tmp_path / "new.pdf", ROOT)
    assert "99.5%" not in text_of(pdf)


def test_no_number_is_typed_by_hand():
    """Nothing in its text looks like a result: no percentage, no decimal fraction, no number above two digits."""
    prose = re.sub(r"^#(set|show|let|picture|align).*$|https?://\S+", "", SOURCE, flags=re.MULTILINE)
    assert re.findall(r"\d+(?:\.\d+)?\s?\\?%|(?<!\()\b\d*\.\d+\b(?!(?:fr|em|pt|cm))|\d{3,}", prose) == []


@pytest.mark.parametrize(("name", "message"), [("attempt1", "received 1, 0 and 0"), ("s2-cnn", "received 0, 1 and 0")])
def test_without_runs_it_says_which_are_missing(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        document.make([make_run(tmp_path, name)], tmp_path / "x.pdf", ROOT)
    assert not (tmp_path / "x.pdf").exists()


def test_what_is_wrong_with_its_text_is_one_sentence(tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match=r"dfclib\.typ does not exist"):
        document.make(RUNS, tmp_path / "x.pdf", tmp_path)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "dfclib.typ").write_text("#nonsense")
    shutil.copytree(ROOT / "report" / "published", tmp_path / "report" / "published")
    monkeypatch.chdir(tmp_path)
    assert document.main(["--runs", str(ROOT / "report" / "runs"), "--out", "x.pdf"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert not Path("x.pdf").exists()
