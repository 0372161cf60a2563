"""What the study compares: books, rules, and the portfolios that follow them.

Belongs here: portfolios in code. Does not belong here: running them (`runs`), judging them (`figures`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from defiyield_core.parameters import parameters
from defiyield_core.portfolio.spec import PortfolioSpec

SMALL_BOOK_BELOW_USD = 50_000.0
"""The preset `small_book` is advised below this; every rule of one size has the same preset."""


@dataclass(frozen=True)
class Rule:
    """A way to decide.

    Attributes:
        policy, options: in the policy registry.
        begins_with: the policy of the first day, where it is another one.
    """

    key: str
    says: str
    policy: str
    options: Mapping[str, Any] = field(default_factory=dict)
    begins_with: str = ""


EXACT = Rule("exact", "the optimiser: the proven best plan net of every cost", "optimiser")
RULES = (
    EXACT,
    Rule("older_rule", "reallocates only where the new yield net of fees beats the present one", "older_rule"),
    Rule("gas_blind", "the best plan as if gas were free; it pays it all the same", "gas_blind"),
    Rule("waterfall", "fills the highest forecast to its cap, then the next", "waterfall"),
    Rule("threshold", "moves to the costless optimum when that promises a point of APY more", "threshold"),
    Rule("equal_weight", "the same money in every eligible pool, made equal again every 30 days", "equal_weight"),
    Rule("best_apy", "everything in the highest forecast", "best_apy"),
    Rule(
        "hold_aave_usdc",
        "everything in Aave v3 USDC from the first day on",
        "hold_pool",
        {"protocol": "aave-v3", "token": "USDC"},
    ),
    Rule("hold_first_book", "the first plan of the optimiser, then only forced exits", "hold", begins_with="optimiser"),
)


@dataclass(frozen=True)
class Case:
    """One run of the study.

    Attributes:
        part: `rules`, or what else the study asks.
        spec: the portfolio; its name is unique in the study.
    """

    part: str
    rule: Rule
    book_usd: float
    spec: PortfolioSpec
    label: str = ""


BOOKS_USD = (10_000.0, 100_000.0, 1_000_000.0, 20_000_000.0)
DILUTED_BOOK_USD = 20_000_000.0
WIDE_TVL_SHARE = 0.5
"""The caps on the share of a pool in the second half of the question about dilution."""
LAWS = (("off", "off"), ("off", "pro_rata"), ("pro_rata", "pro_rata"))
"""How dilution is decided with, and how it accrues."""


def preset_of(book_usd: float) -> str:
    """The preset of every rule at this size."""
    return "small_book" if book_usd < SMALL_BOOK_BELOW_USD else "default"


def rule_cases() -> list[Case]:
    """Every rule with every book."""
    return [
        Case("rules", rule, book_usd, portfolio(f"{rule.key}_{book_usd:.0f}", rule, book_usd))
        for book_usd in BOOKS_USD
        for rule in RULES
    ]


def dilution_cases() -> list[Case]:
    """The optimiser with and without dilution in its decisions, under the caps as given and under wide ones."""
    cases = []
    for caps, overrides in (
        ("caps as given", {}),
        ("wide caps", {"tvl_limit_percentage": WIDE_TVL_SHARE, "position_max_pct_pool_tvl": WIDE_TVL_SHARE}),
    ):
        for decided, accrued in LAWS:
            laws = {"dilution": decided, "accrual_dilution": accrued}
            name = f"dilution_{caps.split()[0]}_{decided}_{accrued}"
            spec = portfolio(name, EXACT, DILUTED_BOOK_USD, overrides | laws)
            cases.append(Case("dilution", EXACT, DILUTED_BOOK_USD, spec, f"{caps}|{decided}|{accrued}"))
    return cases


def portfolio(name: str, rule: Rule, book_usd: float, overrides: Mapping[str, Any] | None = None) -> PortfolioSpec:
    """A book of USDC that follows the rule under the preset of its size."""
    return PortfolioSpec(
        name=name,
        description=rule.says,
        policy=rule.policy,
        parameters=parameters(preset_of(book_usd), overrides),
        wallet={"USDC": book_usd},
        policy_options=dict(rule.options),
    )
