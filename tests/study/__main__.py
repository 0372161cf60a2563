"""`make study`: run the rules over the recorded year and write docs/allocation_study.md and its plots."""

from __future__ import annotations

import sys

from tests.bench.measure import ROOT, recorded_folder
from tests.study.cases import dilution_cases, preset_of, rule_cases
from tests.study.figures import check_diluted, figures_of
from tests.study.plots import draw
from tests.study.report import study_text
from tests.study.runs import run_all


def main() -> int:
    """Everything; refuses in one line where there is no recorded data."""
    folder = recorded_folder()
    if folder is None:
        print("no recorded market data: set DEFIYIELD_RECORDED to its folder", file=sys.stderr)
        return 2
    ran = run_all(folder, [*rule_cases(), *dilution_cases()], lambda text: print(text, file=sys.stderr, flush=True))
    figures = [(result.case.part, figures_of(result, preset_of(result.case.book_usd))) for result in ran]
    rules = [found for part, found in figures if part == "rules"]
    dilution = [found for part, found in figures if part == "dilution"]
    check_diluted(dilution)
    docs = ROOT / "docs"
    draw(rules, docs / "img")
    (docs / "allocation_study.md").write_text(study_text(rules, dilution))
    print(docs / "allocation_study.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
