"""What a set of scenarios says: who is not dominated, what each gives and takes, how far apart its seeds are.

Belongs here: figures of the set and the sentences about them. Does not belong here: which parameter matters (see
`scenario_effects`), pictures and pages (see `scenario_charts`, `scenario_sheet`), figures of one run (see `metrics`).
A variant is what differs in more than its seed (`scenarios.variants`); its figures are means over its runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from defiyield_core.errors import ConfigurationError
from defiyield_core.reporting.exports import pareto, results_frame, summary_frame
from defiyield_core.reporting.figures import basis_points, count, percent, usd
from defiyield_core.reporting.inputs import BOUNDS
from defiyield_core.reporting.scenarios import Scenario, checked, common_days

BASELINE = "baseline"
_SAME_APY = 0.5e-4
_SAME_DRAWDOWN = 1e-4
_SAME_HHI = 0.01
_SAME_FEES_USD, _SAME_FEES_BPS, _SAME_FEES_SHARE = 1.0, 0.1, 0.01
_SAME_OPENING = 1e-3
MEASURED = (
    "net_apy",
    "total_return",
    "volatility",
    "sharpe",
    "max_drawdown",
    "fees_usd",
    "fees_bps",
    "turnover",
    "mean_idle_share",
    "mean_hhi",
    "days_not_ok",
    "solve_seconds",
    "weighted_apy",
    "allocation_pct",
    "cost_pct",
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A set of scenarios on the days they share.

    Attributes:
        scenarios: in the order of their names. note: what was cut to make them comparable; empty when nothing was.
        results: rows of `exports.results_frame`, with the last close of `exports.summary_frame`.
        means: index variants, the best net APY first; columns `MEASURED` (means over the runs that know them), runs,
            rank (1 for the best; missing for a bound), is_bound and not_dominated.
        baseline: the variant that the others are held against.
    """

    scenarios: tuple[Scenario, ...]
    note: str
    results: pd.DataFrame
    means: pd.DataFrame
    baseline: str

    @property
    def choices(self) -> pd.DataFrame:
        """Rows of `means` that could have been chosen: all but bounds."""
        return self.means[~self.means["is_bound"]]

    @property
    def is_seeded(self) -> bool:
        """Whether a variant has several runs."""
        return bool((self.means["runs"] > 1).any())

    @cached_property
    def in_usd(self) -> bool:
        """Whether all runs opened with the same money, so that their dollars can be compared."""
        openings = np.array([item.figures.nav_open_usd for item in self.scenarios])
        return bool(np.ptp(openings) <= _SAME_OPENING * max(float(openings.max()), 1.0))

    def runs_of(self, variant: str) -> tuple[Scenario, ...]:
        """The runs of a variant."""
        return self._members[variant]

    @cached_property
    def _members(self) -> dict[str, tuple[Scenario, ...]]:
        found: dict[str, tuple[Scenario, ...]] = {}
        for item, variant in zip(self.scenarios, self.results["variant"], strict=True):
            found[variant] = (*found.get(variant, ()), item)
        return found

    def against_baseline(self, variant: str) -> pd.DataFrame:
        """Two rows of `MEASURED`, the variant's and the baseline's, as means over the seeds that both have.

        Without a seed in common, over all their runs.
        """
        pair = [self.results[self.results["variant"] == name] for name in (variant, self.baseline)]
        seeds = set(pair[0]["seed"].dropna()) & set(pair[1]["seed"].dropna())
        if seeds:
            pair = [rows[rows["seed"].isin(seeds)] for rows in pair]
        return pd.DataFrame([rows[list(MEASURED)].mean() for rows in pair], index=[variant, f"{self.baseline} *"])

    def more_apy(self, variant: str) -> float:
        """Net APY above the baseline's, over the seeds that both have."""
        pair = self.against_baseline(variant)["net_apy"]
        return float(pair.iloc[0] - pair.iloc[1])


def compare(scenarios: Iterable[Scenario], baseline: str | None = None) -> Comparison:
    """Measure a set.

    Args:
        baseline: name of a variant or a run; None for `baseline`, or the first name where there is none.

    Raises:
        ConfigurationError: no scenario is named like the baseline.
        DataError: see `scenarios.checked` and `scenarios.common_days`.
    """
    cut, note = common_days(checked(scenarios))
    closing = summary_frame(cut)[["scenario", "weighted_apy", "allocation_pct", "cost_pct"]]
    results = results_frame(cut).merge(closing, on="scenario", validate="one_to_one")
    bound = {item.name for item in cut if item.name in BOUNDS or item.policy in BOUNDS}
    grouped = results.assign(is_bound=results["scenario"].isin(bound)).groupby("variant", sort=False)
    means = grouped[list(MEASURED)].mean().assign(runs=grouped.size(), is_bound=grouped["is_bound"].all())
    means = means.reset_index().sort_values(["net_apy", "variant"], ascending=[False, True], na_position="last")
    means = means.set_index("variant")
    choices = means.index[~means["is_bound"]]
    means["rank"] = pd.Series(range(1, len(choices) + 1), index=choices, dtype="Int64").reindex(means.index)
    means["not_dominated"] = pareto(means.loc[choices]).reindex(means.index, fill_value=False)
    return Comparison(cut, note, results, means, _baseline(results, baseline))


def _baseline(results: pd.DataFrame, wanted: str | None) -> str:
    variant = dict(zip(results["scenario"], results["variant"], strict=True))
    known = {name: name for name in variant.values()} | {k: v for k, v in variant.items() if k not in variant.values()}
    if wanted is None:
        return known.get(BASELINE, results["variant"].iloc[0])
    if wanted not in known:
        names = list(dict.fromkeys(variant.values()))
        some = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise ConfigurationError(f"no scenario '{wanted}' to compare with: there are {some}")
    return known[wanted]


def trade_offs(comparison: Comparison, *, at_most: int = 8) -> tuple[str, ...]:
    """A plain sentence or three about each variant against the baseline, those that are not dominated first."""
    others = comparison.choices.drop(index=comparison.baseline, errors="ignore")
    ordered = others.sort_values("not_dominated", ascending=False, kind="stable").index
    said = [_trade_off(comparison, name) for name in ordered[:at_most]]
    if len(ordered) > at_most:
        said.append(f"The table has {count(len(ordered) - at_most, 'more variant')}.")
    return tuple(said)


def _trade_off(comparison: Comparison, name: str) -> str:
    mine, base = (row for _, row in comparison.against_baseline(name).iterrows())
    other = comparison.baseline
    more = float(mine["net_apy"] - base["net_apy"])
    better, worse = _given_and_taken(mine, base, in_usd=comparison.in_usd)
    runs = int(comparison.means.loc[name, "runs"])
    lead = f"Over {runs} seeds, {name}" if runs > 1 else name
    if not math.isfinite(more):
        return f"{lead} cannot be compared with {other}: a net APY is not defined."
    if abs(more) < _SAME_APY:
        parts = [f"{lead} earned the same as {other} to a basis point a year."]
        gains, losses = ("It ", "But it " if better else "It ")
        if not better and not worse:
            parts.append("Nothing else that is weighed differs either.")
    else:
        parts = [f"{lead} earned {abs(more) * 100:.2f} points a year {'more' if more > 0 else 'less'} than {other}."]
        gains, losses = ("It also ", "For that it ") if more > 0 else ("In return it ", "It also ")
        if more > 0 and not worse:
            parts.append("Nothing else that is weighed was worse.")
        if more < 0 and not better:
            parts.append("It got nothing in return.")
    sides = [(losses, worse), (gains, better)] if more >= _SAME_APY else [(gains, better), (losses, worse)]
    parts += [f"{start}{_and(phrases)}." for start, phrases in sides if phrases]
    return " ".join(parts)


def _given_and_taken(mine: pd.Series, base: pd.Series, *, in_usd: bool) -> tuple[list[str], list[str]]:
    """Phrases about what was better and what was worse than the baseline, besides net APY."""
    better: list[str] = []
    worse: list[str] = []
    fees, least = ("fees_usd", _SAME_FEES_USD) if in_usd else ("fees_bps", _SAME_FEES_BPS)
    extra = float(mine[fees] - base[fees])
    if abs(extra) > max(least, _SAME_FEES_SHARE * float(base[fees])):
        much = (
            usd(abs(extra), digits=0 if abs(extra) >= 10 else 2)
            if in_usd
            else f"{basis_points(abs(extra) / 1e4, digits=1)} of NAV"
        )
        (worse if extra > 0 else better).append(f"paid {much} {'more' if extra > 0 else 'less'} in fees")
    fall, base_fall = float(mine["max_drawdown"]), float(base["max_drawdown"])
    if abs(fall - base_fall) >= _SAME_DRAWDOWN:
        how = "deeper" if fall > base_fall else "less"
        text = f"fell {how} at worst ({percent(fall)} against {percent(base_fall)})"
        (worse if fall > base_fall else better).append(text)
    hhi, base_hhi = float(mine["mean_hhi"]), float(base["mean_hhi"])
    if math.isfinite(hhi - base_hhi) and abs(hhi - base_hhi) >= _SAME_HHI:
        text = f"was {'more' if hhi > base_hhi else 'less'} concentrated (HHI {hhi:.2f} against {base_hhi:.2f})"
        (worse if hhi > base_hhi else better).append(text)
    return better, worse


def _and(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def seed_spread(comparison: Comparison) -> pd.DataFrame:
    """Net APY of every variant that has several runs over its seeds, the best mean first.

    Columns: variant, runs, mean, deviation (the sample's), worst, best, ahead (share of the seeds it has in common with
    the baseline on which it earned more; NaN without such a seed).
    """
    results = comparison.results
    by_seed = results.dropna(subset="seed").groupby(["variant", "seed"])["net_apy"].mean()
    rows = []
    for name in comparison.means.index[comparison.means["runs"] > 1]:
        own = results.loc[results["variant"] == name, "net_apy"]
        pairs = [by_seed[each] for each in (name, comparison.baseline) if each in by_seed.index]
        both = pd.concat(pairs, axis=1, join="inner").to_numpy(dtype=float)
        is_other = name != comparison.baseline and len(pairs) == 2 and len(both)
        ahead = float((both[:, 0] > both[:, 1]).mean()) if is_other else math.nan
        rows.append((name, len(own), own.mean(), own.std(ddof=1), own.min(), own.max(), ahead))
    return pd.DataFrame(rows, columns=["variant", "runs", "mean", "deviation", "worst", "best", "ahead"])
