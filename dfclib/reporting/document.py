"""Make the report, a PDF, from recorded runs alone: no network, no images of the competition, nothing trained.

    python -m dfclib.reporting.document --out report/dfclib.pdf

report/dfclib.typ holds its text, images/ its figures; every number comes from here. The same runs, figures and version
of typst give the same bytes.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dfclib
from dfclib.errors import UserError
from dfclib.evaluation.published import published_results
from dfclib.files import write_atomically
from dfclib.reporting import rows
from dfclib.reporting.answers import ANSWERS, Published, answer
from dfclib.reporting.findings import findings
from dfclib.reporting.readme import MEASURED, measured_on
from dfclib.reporting.studies import read_studies, variant_note, variant_rows
from dfclib.runs import Run, find_runs


def contents(
    runs: Sequence[Run], published: Published, studies: Mapping[str, Mapping[str, Any]], benchmarks: Path
) -> dict[str, Any]:
    """What the report's text takes from `runs` on real images, the authors' results, studies and the benchmarks'
    results: sentences and tables.

    A table is a list of rows with the same headings; what all rows of a narrow table share is a sentence. Raises
    UserError without a run of the six attempts, of another system, or of the experiment.
    """
    attempts, systems = rows.attempt_runs(runs), rows.system_runs(runs)
    experiment = [run for found in rows.experiment_runs(runs).values() for run in found]
    if not (attempts and systems and experiment):
        raise UserError(
            "the report needs recorded runs of the six attempts, of the other systems and of the experiment on "
            f"resampling; received {len(attempts)}, {len(systems)} and {len(experiment)}"
        )
    attempt_table, attempts_share = rows.narrow_attempt_rows(attempts, published)
    experiment_table, experiment_shares = rows.narrow_experiment_rows(runs)
    told = findings(runs, published, benchmarks)
    return {
        "version": dfclib.__version__,
        "images": {split: f"{count:,}" for split, count in attempts[0].data["counts"].items()},
        "classes": len(attempts[0].class_names),
        "level": f"{rows.CHANCE:g}",
        "findings": [{"subject": subject, "text": text} for subject, text in told],
        "answers": {name: answer(name, runs, published).strip("*") for name in ANSWERS},
        "headlines": rows.headline_rows(runs, published),
        "comparison": rows.comparison_rows(runs, published),
        "attempts": {"rows": attempt_table, "shared": rows.in_all_rows(attempts_share)},
        "resampling": {"rows": experiment_table, "shared": rows.in_all_rows(experiment_shares)},
        "studies": [{"rows": variant_rows(found), "note": variant_note(found)} for found in studies.values()],
        "notes": rows.claims_notes(systems),
        "shortened": rows.shortened_lines([*attempts, *systems]),
        "measured": measured_on([*attempts, *systems, *experiment]).strip(),
    }


def make(runs: Sequence[Run], out: Path | str, root: Path | str = ".") -> Path:
    """Write the PDF to `out`, which is returned. root: the repository, where text and figures lie.

    Raises UserError without typst, without text or figures, and as `contents` does.
    """
    try:
        import typst
    except ImportError as error:
        raise UserError("the report is set by typst: python -m pip install typst") from error
    root = Path(root).resolve()
    source = root / "report" / "dfclib.typ"
    if not source.is_file():
        raise UserError(f"{source} does not exist: it is part of the repository, not of the installed package")
    known = [run for run in runs if not run.data["embedded"]]
    published = published_results(root / "report" / "published")
    found = contents(known, published, read_studies(root / "report" / "studies"), root / MEASURED)
    # typst's own fonts: the same bytes on every machine
    options = {"root": str(root), "ignore_system_fonts": True, "format": "pdf"}
    try:
        pdf = typst.compile(str(source), sys_inputs={"contents": json.dumps(found)}, **options)
    except typst.TypstError as error:
        raise UserError(f"{source} cannot be set: {error}") from error
    return write_atomically(Path(out), lambda file: file.write(pdf))


def main(arguments: list[str] | None = None) -> int:
    """Make the PDF: 0, or 1 where it cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m dfclib.reporting.document", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("report/dfclib.pdf"), help="default: report/dfclib.pdf")
    parser.add_argument("--runs", type=Path, default=Path("report/runs"), help="recorded runs (default: report/runs)")
    options = parser.parse_args(arguments)
    try:
        print(make(find_runs(options.runs), options.out))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
