"""The fields of a problem file and of the answer: names, types, units, bounds, meanings.

Belongs here: what each field is, on its own. The JSON schemas and docs/allocate.md are generated from these models.
Does not belong here: rules between fields, and the translation into a problem (`problem_file`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST_USD = 1e15
"""Larger amounts are typing errors, and doubles could not keep cents in them."""
MOST_AMOUNT = 1e18
LEAST_PRICE_USD, MOST_PRICE_USD = 1e-12, 1e9
MOST_APY = 1e3


def _iso_day(value: object) -> object:
    if not isinstance(value, str | date):
        raise ValueError("must be text of the form YYYY-MM-DD")
    return date.fromisoformat(value) if isinstance(value, str) else value


def _described(meaning: str, unit: str = "", **bounds: Any) -> Any:
    return Field(description=meaning, json_schema_extra={"unit": unit} if unit else None, **bounds)


Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]
Line = Annotated[str, Field(strict=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Name = Annotated[Line, Field(min_length=1)]
Day = Annotated[date, BeforeValidator(_iso_day)]
Amount = Annotated[Number, Field(ge=0.0, le=MOST_AMOUNT)]
Usd = Annotated[Number, Field(ge=0.0, le=MOST_USD)]
Price = Annotated[Number, Field(ge=LEAST_PRICE_USD, le=MOST_PRICE_USD)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RateCurveIn(_Model):
    """A lending pool's supply and its borrow rate by utilisation."""

    total_supply_usd: Usd = _described("supplied in all, lent out or not; at least the pool's `tvl_usd`", "USD")
    kink: Annotated[Number, Field(gt=0.0, le=1.0)] = _described("utilisation at which the slope changes", "fraction")
    base_rate: Annotated[Number, Field(ge=0.0, le=MOST_APY)] = _described("borrow rate at no utilisation", "fraction")
    slope1: Annotated[Number, Field(ge=0.0, le=MOST_APY)] = _described(
        "borrow rate per utilisation up to the kink", "fraction"
    )
    slope2: Annotated[Number, Field(ge=0.0, le=MOST_APY)] = _described("the same above the kink", "fraction")


class PoolIn(_Model):
    """A pool that money may be in, or go to."""

    pool_id: Name = _described("identity; once in the list, and not `wallet`")
    symbol: Text | None = _described("label (default: its tokens)", default=None)
    protocol: Text = _described("label", default="")
    chain: Line = _described("a problem lives on one chain: two different ones are refused", default="")
    tokens: Annotated[tuple[Name, ...], Field(min_length=1)] = _described(
        "tokens of the pool; a deposit puts equal dollars in each"
    )
    apy: Annotated[Number, Field(ge=-1.0, le=MOST_APY)] = _described(
        "forecast mean effective annual rate over the horizon; 0.05 is 5 %", "fraction"
    )
    tvl_usd: Usd = _described("TVL that caps the position; of a lending pool the available liquidity", "USD")
    group: Annotated[Whole, Field(ge=1, le=3)] = _described("risk group: 1 stable, 3 unstable")
    depositable: Flag = _described("false: no deposit", default=True)
    withdrawable: Flag = _described("false: no withdrawal", default=True)
    must_exit: Flag = _described("true: withdrawn in full if withdrawable, whatever it costs", default=False)
    rate_curve: RateCurveIn | None = _described(
        "borrow rate curve of a lending pool, for `dilution: rate_curve`", default=None
    )


class PositionIn(_Model):
    """An amount of one token in one pool."""

    pool_id: Name = _described("one of the pools")
    token: Name = _described("one of the pool's tokens")
    amount: Amount = _described("amount held", "token")


class GasIn(_Model):
    """USD of one token leg: a deposit into a pool of two tokens is two legs."""

    deposit: Usd = _described("depositing one token", "USD")
    withdrawal: Usd = _described("withdrawing one token", "USD")
    conversion: Usd = _described("converting one token into another", "USD")


class ProblemIn(_Model):
    """An allocation problem: what there is, what it may become, and what moving costs."""

    as_of: Day = _described("day of the prices and forecasts, YYYY-MM-DD")
    pools: tuple[PoolIn, ...] = _described("every pool that money is in or may go to; none is allowed")
    token_prices: dict[Name, Price] = _described(
        "price of every token that is named anywhere; upper and lower case are one token", "USD"
    )
    wallet: dict[Name, Amount] = _described("idle amounts by token", "token", default={})
    positions: tuple[PositionIn, ...] = _described("amounts in pools", default=())
    gas_usd: GasIn = _described("gas of one token leg")
    closed_tokens: tuple[Name, ...] = _described(
        "tokens that may be held, but neither deposited nor converted into", default=()
    )
    forced_conversions: dict[Name, Name] = _described(
        "tokens of which every wallet unit must be converted, and the token it becomes", default={}
    )
    parameters: dict[Name, Any] = _described(
        "rules that differ from the preset `seed` with `full_allocation` off", default={}
    )


class CostsOut(_Model):
    """What the plan costs."""

    gas: Number = _described("gas of all legs", "USD")
    conversion: Number = _described("conversion fees", "USD")


class PositionOut(_Model):
    """A position after the plan."""

    pool_id: Text = _described("pool")
    token: Text = _described("token")
    amount: Number = _described("amount held", "token")
    amount_usd: Number = _described("its value", "USD")


class TransactionOut(_Model):
    """A row of the plan, in the order of execution; amounts are gross, costs leave the wallet in `fee_token`."""

    seq: Whole = _described("order of execution, from 1")
    type: Literal["WITHDRAWAL", "CONVERSION", "ALLOCATION", "HOLD"] = _described("what moves")
    source: Text = Field(alias="from", description="`wallet`, or a pool")
    target: Text = Field(alias="to", description="`wallet`, or a pool")
    token: Text = _described("token that leaves")
    to_token: Text = _described("token that arrives; the same unless it is a conversion")
    amount: Number = _described("of the token that leaves", "token")
    amount_usd: Number = _described("its value", "USD")
    gas_cost_usd: Number = _described("gas", "USD")
    conversion_cost_usd: Number = _described("conversion fee", "USD")
    total_cost_usd: Number = _described("both", "USD")
    fee_token: Text | None = _described("wallet token that pays the costs; null where there are none")


class PoolOut(_Model):
    """What holds a pool's position where it is. Numbers are null where nothing was proven, or where they mean
    nothing."""

    pool_id: Text = _described("pool")
    binding: Text = _described("constraint that holds the position, or why it got nothing")
    shadow_price_bps: Number | None = _described(
        "what a dollar more room under that constraint would add over the horizon", "bps"
    )
    marginal_apy: Number | None = _described("what the last dollar of the position earns", "fraction")
    capacity_usd: Number | None = _described(
        "position at which the last dollar earns no more than the next best use of it", "USD"
    )
    break_even_apy: Number | None = _described(
        "forecast APY from which a candidate would have been worth a move", "fraction"
    )


class DecisionOut(_Model):
    """A decision: what to do, what it costs, and the proof. A number that does not exist is null."""

    as_of: Day = _described("day of the problem")
    status: Literal["optimal", "infeasible", "timeout"] = _described(
        "optimal: proven to within `gap_bps`; otherwise every position is held"
    )
    reason: Text = _described("why the status is not optimal; empty otherwise")
    engine: Text = _described("engine that decided")
    aum_usd: Number = _described("wallet and positions before costs", "USD")
    objective_usd: Number | None = _described("growth over the horizon less gas and conversion fees", "USD")
    bound_usd: Number | None = _described("proven upper bound of it", "USD")
    gap_bps: Number | None = _described("bound less objective, of AUM", "bps")
    hold_objective_usd: Number | None = _described("objective of doing nothing", "USD")
    gain_over_hold_usd: Number | None = _described("objective less that of doing nothing", "USD")
    break_even_days: Number | None = _described(
        "days after which the gain in yield has paid the costs; null where nothing is gained", "days"
    )
    costs_usd: CostsOut = _described("what the plan costs")
    wallet: dict[str, Number] = _described("idle amounts after the plan, by token", "token")
    positions: tuple[PositionOut, ...] = _described("positions after the plan")
    transactions: tuple[TransactionOut, ...] = _described("the plan")
    pools: tuple[PoolOut, ...] = _described("every pool of the problem, in its order")
    notes: tuple[Text, ...] = _described("the reason, and what had to be relaxed")
