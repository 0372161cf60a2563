"""Reports for people: performance figures, charts, the terminal summary and the tear sheet.

Belongs here: turning stored tables into something a desk reads. Does not belong here: computing a decision or a ledger,
or sending anything (see `notify`). Input is always frames of the contracts' tables.
"""

from __future__ import annotations

from defiyield_core.reporting.inputs import ReportInputs, read_report_inputs
from defiyield_core.reporting.metrics import PerformanceMetrics, performance
from defiyield_core.reporting.summary import summary_text
from defiyield_core.reporting.tearsheet import tear_sheet

__all__ = [
    "PerformanceMetrics",
    "ReportInputs",
    "performance",
    "read_report_inputs",
    "summary_text",
    "tear_sheet",
]
