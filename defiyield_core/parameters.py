"""Every tunable number, with its unit, bounds and named presets.

Belongs here: the frozen `Parameters` model, presets and scenarios, and the rule for overrides.
Does not belong here: where data lives or which source is used (see `settings`).
Shares and rates are fractions; a threshold compared with an APY is in the same fraction (0.01 is one percentage point).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from defiyield_core.errors import ConfigurationError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Dilution = Literal["off", "pro_rata", "rate_curve"]

ELIGIBILITY_FIELDS = (
    "chain",
    "forecaster",
    "horizon_days",
    "token_marketcap_limit",
    "pool_tvl_limit",
    "pool_apy_limit",
    "pool_pair_tvl_ratio_min",
    "pool_pair_tvl_ratio_max",
    "exclude_unknown_market_cap",
    "exclude_unknown_pair_ratio",
    "exclude_unpriced",
    "max_forecast_age_days",
    "icebox_policy",
)
GAS_UNITS = {
    "realistic": {"deposit": 220_000, "withdrawal": 250_000, "conversion": 180_000},
    "flat_21k": {"deposit": 21_000, "withdrawal": 21_000, "conversion": 21_000},
}
"""Gas units of one token leg, by preset (domain.md, section 1)."""


class Parameters(BaseModel):
    """What a portfolio is allowed to do and how it decides. Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Caps, as shares. A pool's position obeys the tightest of the first four.
    max_alloc_percentage: Share = 0.25
    position_max_pct_total_assets: Share = 0.25
    tvl_limit_percentage: Share = 0.05
    position_max_pct_pool_tvl: Share = 0.05
    group1_max_pct: Share = 0.35
    group2_max_pct: Share = 0.35
    group3_max_pct: Share = 0.30

    # Counts and sizes.
    min_pools: Annotated[int, Field(ge=0)] = 5
    max_pools: Annotated[int, Field(ge=0)] = Field(0, description="largest number of positions; 0 means any")
    min_transaction_value: NonNegative = Field(50.0, description="USD; smallest deposit or withdrawal")
    min_position_pct: Share = Field(0.0, description="of AUM; 0 means min_transaction_value is the floor")

    # Costs and horizon.
    conversion_rate: Share = 0.0004
    gas: Literal["flat_21k", "realistic"] = "flat_21k"
    dilution: Dilution = Field("off", description="how our own deposit lowers a pool's rate in decisions")
    accrual_dilution: Literal["as_decided"] | Dilution = Field("as_decided", description="the same, in the books")
    tvl_includes_positions: bool = Field(False, description="true where the observed TVL contains our own money")
    horizon_days: Annotated[float, Field(gt=0.0, le=365.0)] = 1.0

    # Rules.
    full_allocation: bool = True
    profit_optimization: bool = False
    profit_optimization_min_gain_usd: NonNegative = 0.0
    prices: Literal["close", "pegged"] = "close"
    icebox_policy: Literal["exit", "hold"] = "exit"
    gone_haircut: Share = Field(0.0, description="share of a position lost when its pool disappears")

    # Eligibility.
    chain: str = "Ethereum"
    token_marketcap_limit: NonNegative = Field(1e9, description="USD")
    pool_tvl_limit: NonNegative = Field(1e5, description="USD, on the forecast TVL")
    pool_apy_limit: float = Field(0.01, description="fraction, on the forecast APY")
    pool_pair_tvl_ratio_min: Share = 0.3
    pool_pair_tvl_ratio_max: Share = 0.5
    exclude_unknown_market_cap: bool = False
    exclude_unknown_pair_ratio: bool = False
    exclude_unpriced: bool = False
    max_forecast_age_days: Annotated[int, Field(ge=0)] = Field(3, description="of the newest observation")
    max_gas_age_days: Annotated[int, Field(ge=0)] = Field(3, description="older gas data stops a decision")
    max_price_age_days: Annotated[int, Field(ge=0)] = Field(2, description="older prices are no prices")
    pool_selection: Literal["all", "smallest_30", "largest_5"] = "all"
    forecaster: str = "ewma"
    forecast_apy: Literal["point", "risk_adjusted"] = Field(
        "point", description="what decisions expect: the forecast, or its blend with its lower bound"
    )

    # Solver.
    engine: Literal["highs", "cvxpy", "cp_sat"] = "highs"
    gap_bps: Positive = Field(0.01, description="proven gap, basis points of AUM")
    time_limit_seconds: Positive = 60.0

    # Risk groups (domain.md, section 4).
    group1_max_abs_apy_change: NonNegative = 0.01
    group1_max_std_7d: NonNegative = 0.015
    group1_max_std_30d: NonNegative = 0.02
    group2_max_abs_apy_change: NonNegative = 0.03
    group2_max_std_7d: NonNegative = 0.04
    group2_max_std_30d: NonNegative = 0.05
    min_history_days: Annotated[int, Field(ge=1)] = 7

    # Icebox (domain.md, section 5).
    icebox_low_depth: Share = 0.02
    icebox_low_days: Annotated[int, Field(ge=1)] = 2
    icebox_close_depth: Share = 0.01
    icebox_close_days: Annotated[int, Field(ge=1)] = 1
    icebox_recovery_low_days: Annotated[int, Field(ge=1)] = 2
    icebox_recovery_close_days: Annotated[int, Field(ge=1)] = 3

    @model_validator(mode="after")
    def _ordered(self) -> Parameters:
        if self.pool_pair_tvl_ratio_min > self.pool_pair_tvl_ratio_max:
            raise ValueError("pool_pair_tvl_ratio_min is above pool_pair_tvl_ratio_max")
        if 0 < self.max_pools < self.required_pools:
            raise ValueError(f"max_pools ({self.max_pools}) is below min_pools ({self.required_pools})")
        return self

    @property
    def position_cap_share(self) -> float:
        """Largest share of AUM in one pool. With `profit_optimization` there is none."""
        if self.profit_optimization:
            return 1.0
        return min(self.max_alloc_percentage, self.position_max_pct_total_assets)

    @property
    def pool_tvl_share(self) -> float:
        """Largest share of a pool's TVL that one position may be."""
        return min(self.tvl_limit_percentage, self.position_max_pct_pool_tvl)

    @property
    def required_pools(self) -> int:
        """Smallest number of positions; 1 with `profit_optimization`."""
        return 1 if self.profit_optimization else self.min_pools

    @property
    def group_caps(self) -> tuple[float, float, float]:
        """Largest shares of AUM in risk groups 1, 2 and 3."""
        return (self.group1_max_pct, self.group2_max_pct, self.group3_max_pct)

    def min_position_usd(self, aum_usd: float) -> float:
        """Smallest position that counts, in USD."""
        return max(self.min_transaction_value, self.min_position_pct * aum_usd)

    @property
    def ruleset(self) -> str:
        """Short id of the eligibility rules: portfolios with equal rules share their eligible pools."""
        rules = {name: getattr(self, name) for name in ELIGIBILITY_FIELDS}
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:10]

    def with_overrides(self, overrides: Mapping[str, Any]) -> Parameters:
        """A copy with some values replaced; names and bounds are checked.

        Raises:
            ConfigurationError: naming the field that was refused and why.
        """
        return _validated({**self.model_dump(), **overrides})


PRESETS: dict[str, dict[str, Any]] = {
    "seed": {},
    "default": {
        "horizon_days": 14.0,
        "full_allocation": False,
        "gas": "realistic",
        "min_position_pct": 0.01,
        "forecaster": "combination",
    },
    "small_book": {
        "horizon_days": 30.0,
        "full_allocation": False,
        "gas": "realistic",
        "min_position_pct": 0.01,
        "forecaster": "combination",
        "min_pools": 1,
    },
}
"""Named starting points. `small_book` is advised below $50,000, where gas outweighs diversification."""


def parameters(preset: str = "default", overrides: Mapping[str, Any] | None = None) -> Parameters:
    """The preset with overrides on top.

    Raises:
        ConfigurationError: unknown preset or parameter, or a value outside its bounds.
    """
    if preset not in PRESETS:
        raise ConfigurationError(f"unknown preset '{preset}': choose one of {', '.join(sorted(PRESETS))}")
    return _validated({**PRESETS[preset], **(overrides or {})})


def _validated(values: Mapping[str, Any]) -> Parameters:
    try:
        return Parameters(**values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'parameters'}: {item['msg']} (got {item['input']!r})"
            if item["loc"]
            else item["msg"]
            for item in error.errors()
        )
        raise ConfigurationError(f"parameters refused: {problems}") from error
