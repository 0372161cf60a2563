"""What a trial showed: figures, pass or fail, and a plain sentence.

Belongs here: judging. Does not belong here: running (see `runner`), files and pages (see `report`, `sheet`).
APYs are net of every cost, effective annual fractions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from defiyield_core.audit.compare import Difference
from defiyield_core.audit.trials import DYING, REWARDS, SHIFT, STALE, Trial
from defiyield_core.reporting.figures import count, percent

Verdict = Literal["pass", "FAIL", "info", "not run"]
LARGE_SHARE = 0.1
"""Of the claimed APY: what hangs on one thing by more than this is worth a warning."""
SURVIVORSHIP = (
    "A recording holds only pools that were listed when it was made. Pools that died before are missing from the claim "
    "and from every trial, so that bias, which flatters, cannot be measured from these data."
)


@dataclass(frozen=True)
class TrialResult:
    """One trial and what came of it.

    Attributes:
        claimed_apy: net APY of the audited run, over the days that the trial is about (`first_day`..`last_day`).
        trial_apy: net APY of the same days under the trial; NaN when it could not be run.
        verdict: look-ahead trials pass or FAIL; sensitivity trials inform.
        difference: where decisions first differed, of a failed look-ahead trial.
        numbers: further figures by name.
    """

    trial: Trial
    first_day: date
    last_day: date
    claimed_apy: float
    trial_apy: float
    verdict: Verdict
    sentence: str
    seconds: float
    difference: Difference | None = None
    numbers: Mapping[str, float] | None = None

    @property
    def lost_apy(self) -> float:
        """What disappears, a fraction (0.01 is a point); negative for a gain."""
        return self.claimed_apy - self.trial_apy

    @property
    def lost_share(self) -> float:
        """The same as a share of the claimed APY; NaN when nothing was claimed."""
        return self.lost_apy / self.claimed_apy if self.claimed_apy > 0 else math.nan


@dataclass(frozen=True)
class Audit:
    """An audited run and its trials.

    Attributes:
        net_apy: what the run claims. fingerprint: of the market it was run on.
        seconds: everything; loading and running the audited run took `base_seconds` of them.
    """

    portfolio: str
    start: date
    end: date
    source: str
    fingerprint: str
    net_apy: float
    seed: int
    results: tuple[TrialResult, ...]
    base_seconds: float
    seconds: float
    warnings: tuple[str, ...] = ()

    @property
    def look_ahead(self) -> tuple[TrialResult, ...]:
        """The trials that can be failed."""
        return tuple(result for result in self.results if result.trial.kind == "look_ahead")

    @property
    def sensitivity(self) -> tuple[TrialResult, ...]:
        """The trials that inform."""
        return tuple(result for result in self.results if result.trial.kind == "sensitivity")

    @property
    def passed(self) -> bool:
        """Every look-ahead trial that was asked for passed; one that could not be run has not."""
        return all(result.verdict == "pass" for result in self.look_ahead)

    @property
    def conclusion(self) -> str:
        """One sentence about the look-ahead trials."""
        total = len(self.look_ahead)
        passed = sum(result.verdict == "pass" for result in self.look_ahead)
        if not total:
            return "No look-ahead trial was run."
        if passed == total:
            return f"No look-ahead was found: {count(total, 'look-ahead trial')}, all passed."
        return f"LOOK-AHEAD: {total - passed} of {count(total, 'look-ahead trial')} did not pass."


def look_ahead_sentence(difference: Difference | None, days: int) -> str:
    """What a look-ahead trial showed over so many days."""
    if difference is None:
        return f"Every decision and every figure of {count(days, 'day')} is the same, to the last bit."
    return f"Decisions depend on later data: {count(difference.days, 'day')} of {days} differ; {difference}."


def sensitivity_sentence(trial: Trial, lost_apy: float, lost_share: float, numbers: Mapping[str, float]) -> str:
    """What a sensitivity trial showed."""
    if not math.isfinite(lost_apy):
        return "The net APY of the trial is not defined, so nothing can be said."
    if trial.family == SHIFT:
        return _shift(trial, lost_apy, lost_share)
    if trial.family == DYING:
        return _dying(lost_apy, lost_share, numbers)
    if trial.family == REWARDS:
        return _rewards(trial, lost_apy, lost_share, numbers)
    if trial.family == STALE:
        age = count(trial.days, "day")
        return f"Data {age} old {_cost(lost_apy, lost_share)}.{_large(lost_share, 'Fresh data matter here.')}"
    raise ValueError(f"no sentence for trials of family {trial.family}")


def _cost(lost_apy: float, lost_share: float) -> str:
    """`would cost 0.35 points (4% of the claim)`, or what it would add."""
    points = f"{abs(lost_apy) * 100:.2f}"
    if points == "0.00":
        return "would change nothing that shows"
    share = f" ({percent(abs(lost_share), digits=1)} of the claim)" if math.isfinite(lost_share) else ""
    return f"would {'cost' if lost_apy > 0 else 'add'} {points} points{share}"


def _large(share: float, words: str) -> str:
    return f" {words}" if math.isfinite(share) and share > LARGE_SHARE else ""


def _shift(trial: Trial, lost_apy: float, lost_share: float) -> str:
    cost = _cost(lost_apy, lost_share)
    if trial.days > 0:
        return f"Knowing pools a day later {cost}.{_large(lost_share, 'The strategy lives on the newest day.')}"
    warning = _large(
        -lost_share, "That is large: an error of one day in the stamps would flatter this strategy, check them first."
    )
    return (
        f"Knowing pools a day early {cost}.{warning or ' An error of one day in the stamps could not make the claim.'}"
    )


def _dying(lost_apy: float, lost_share: float, numbers: Mapping[str, float]) -> str:
    stopped, fallen, held = (int(numbers[name]) for name in ("stopped_pools", "fallen_pools", "held_dying_pools"))
    if not stopped + fallen:
        return "No pool stopped reporting or lost over 90 % of its TVL, so there was nothing to leave out."
    told = (
        f"{count(stopped, 'pool')} stopped reporting and {fallen} lost over 90 % of their TVL by the end; "
        f"{held} of them {'was' if held == 1 else 'were'} held. "
    )
    return f"{told}Leaving them out {_cost(lost_apy, lost_share)}. The opposite bias cannot be measured here."


def _rewards(trial: Trial, lost_apy: float, lost_share: float, numbers: Mapping[str, float]) -> str:
    who = "with decisions that know it" if trial.decisions_know else "with decisions that trust what is advertised"
    unknown = numbers.get("parts_unknown_share", 0.0)
    blind = (
        f" Of {percent(unknown, digits=1)} of the rows neither part is known: they keep their whole APY."
        if unknown >= 0.0005
        else ""
    )
    return f"Losing all reward tokens, {who}, {_cost(lost_apy, lost_share)}.{blind}"
