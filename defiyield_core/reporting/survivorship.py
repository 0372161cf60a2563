"""What every report says of the pools that are not in its data.

Belongs here: the sentences and which one a report needs. Does not belong here: how they are shown.
"""

from __future__ import annotations

from defiyield_core.reporting.inputs import ReportInputs

SURVIVORSHIP = (
    "Only pools listed when the data was recorded are in it. The history of pools that died before the recording is "
    "not in the data, so past results are better than what an investor of the time would have met."
)
SIMULATED = (
    "The market of this report is simulated: it says how the system behaves, not what any pool would have paid. There "
    "is no survivorship in it: pools that end stay in its history."
)


def survivorship(report: ReportInputs) -> str:
    """The sentence for a report's source."""
    return SIMULATED if is_simulated(report) else SURVIVORSHIP


def survivorship_short(report: ReportInputs) -> str:
    """The same in half a line, for a terminal."""
    if is_simulated(report):
        return "the market is simulated, and pools that end stay in its history."
    return "pools that died before the data was recorded are not in it, so past results flatter."


def is_simulated(report: ReportInputs) -> bool:
    """Whether its market is."""
    return report.run_info.get("source", "").startswith("simulated")
