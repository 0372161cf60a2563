"""An audit as text for a terminal, as JSON and as rows of a table, and its folder.

Belongs here: what is written where. Does not belong here: the page (see `sheet`), judging (see `verdict`).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from textwrap import wrap
from typing import Any

import pandas as pd

from defiyield_core.audit.sheet import audit_sheet
from defiyield_core.audit.verdict import SURVIVORSHIP, Audit, TrialResult
from defiyield_core.errors import ConfigurationError
from defiyield_core.reporting.figures import percent
from defiyield_core.reporting.tables import Column, TextTable

_COLUMNS = (
    Column("Trial"),
    Column("Claimed", numeric=True),
    Column("Under it", numeric=True),
    Column("Lost", numeric=True),
    Column("Share", numeric=True),
    Column("Verdict"),
)
_WIDTH = 100


def audit_text(audit: Audit, width: int = _WIDTH) -> str:
    """The table, then a sentence for every trial that says more than that nothing changed."""
    table = TextTable(_COLUMNS, tuple((result.trial.name, *cells(result)) for result in audit.results))
    said = [f"{result.trial.name}: {result.sentence}" for result in audit.results if result.verdict != "pass"]
    return "\n".join(
        (
            f"AUDIT  {audit.portfolio}, {audit.start} to {audit.end}, {audit.source}",
            f"claims {percent(audit.net_apy)} a year, net of gas and conversion fees",
            "",
            table.render(width),
            "",
            *(line for text in (*said, SURVIVORSHIP) for line in wrap(text, width, subsequent_indent="  ")),
            "",
            audit.conclusion,
        )
    )


def cells(result: TrialResult) -> tuple[str, ...]:
    """Claimed and found net APY, points lost (negative: gained) and their share of the claim, verdict."""
    return (
        percent(result.claimed_apy),
        percent(result.trial_apy),
        points(result.lost_apy),
        percent(result.lost_share, digits=1, signed=True),
        result.verdict,
    )


def points(fraction: float) -> str:
    """A difference of two rates in percentage points: 0.0035 -> `+0.35`."""
    text = percent(fraction, signed=True)
    return text.removesuffix("%")


def audit_rows(audit: Audit) -> pd.DataFrame:
    """A row per trial."""
    return pd.DataFrame([_record(result) for result in audit.results])


def audit_json(audit: Audit) -> dict[str, Any]:
    """Plain values: what was audited, what follows, and a record per trial; null for what is not a number."""
    return {
        "portfolio": audit.portfolio,
        "start": str(audit.start),
        "end": str(audit.end),
        "source": audit.source,
        "data_fingerprint": audit.fingerprint,
        "seed": audit.seed,
        "net_apy": _plain(audit.net_apy),
        "passed": audit.passed,
        "conclusion": audit.conclusion,
        "survivorship": SURVIVORSHIP,
        "warnings": list(audit.warnings),
        "trials": [
            {**_record(result), "difference": _difference(result), "numbers": dict(result.numbers or {})}
            for result in audit.results
        ],
    }


def _record(result: TrialResult) -> dict[str, Any]:
    trial = result.trial
    return {
        "trial": trial.name,
        "family": trial.family,
        "kind": trial.kind,
        "verdict": result.verdict,
        "first_day": str(result.first_day),
        "last_day": str(result.last_day),
        "claimed_apy": _plain(result.claimed_apy),
        "trial_apy": _plain(result.trial_apy),
        "lost_apy": _plain(result.lost_apy),
        "lost_share": _plain(result.lost_share),
        "asks": trial.asks,
        "sentence": result.sentence,
    }


def _difference(result: TrialResult) -> dict[str, Any] | None:
    found = result.difference
    return {**vars(found), "day": str(found.day)} if found else None


def _plain(number: float) -> float | None:
    return number if math.isfinite(number) else None


def write_audit(audit: Audit, folder: Path) -> Path:
    """Write `audit.json`, `audit.csv`, `timings.json` and `audit.html`; the path of the page.

    All but the timings are equal for equal code, parameters, data and seed.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    timings = {
        "base_seconds": audit.base_seconds,
        "seconds": audit.seconds,
        "trials": {result.trial.name: result.seconds for result in audit.results},
    }
    page = folder / "audit.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in (("audit", audit_json(audit)), ("timings", timings)):
            (folder / f"{name}.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
        audit_rows(audit).to_csv(folder / "audit.csv", index=False)
        page.write_text(audit_sheet(audit), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--out {folder}: cannot be written: {error}") from error
    return page
