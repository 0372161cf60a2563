"""Which pools may be used on a day, and every reason against the others (domain, section 6).

Belongs here: the rules, in the order in which their reasons are listed. Does not belong here: reading tables (see
`pipeline.forecast_steps`), caps and sizes (see `allocation`).

A reason that ends in `!` is hard: a held position must exit. Every other reason only closes the pool to deposits.
A note is unknown data that the parameters let pass. Tokens are compared by their whole canonical name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from defiyield_core.panel import ObjectArray
from defiyield_core.parameters import Parameters
from defiyield_core.units import BoolArray, FloatArray, IntArray

GONE_DAYS = 3
"""Days in a row without a row, while the source was up, after which a pool is gone."""


@dataclass(frozen=True)
class TokenDays:
    """What is known of m tokens on each day, arrays (n_days, m).

    Attributes:
        tokens: (m,) canonical names.
        approved, blacklisted: by the lists at the end of the day.
        iceboxed: itself or the token it wraps.
        priced: had a price on this day or before.
        market_cap_usd: NaN is unknown.
    """

    tokens: ObjectArray
    approved: BoolArray
    blacklisted: BoolArray
    iceboxed: BoolArray
    priced: BoolArray
    market_cap_usd: FloatArray


@dataclass(frozen=True)
class PoolDays:
    """n pools on their days, arrays (n,).

    Attributes:
        day: position on the axis of `TokenDays`.
        tokens: (n, k) positions in `TokenDays.tokens`, -1 where a pool has fewer than k.
        protocol_approved: by the list at the end of the day.
        absent_days: days in a row without a row while the source was up.
        flagged: the APY is absurd.
        forecast_apy, forecast_tvl_usd: NaN where there is no forecast.
        forecast_age_days: age of the newest observation behind the forecast.
        pair_ratio: smaller side's share of TVL of a pool of two tokens; NaN is unknown.
    """

    day: IntArray
    tokens: IntArray
    chain: ObjectArray
    protocol_approved: BoolArray
    absent_days: IntArray
    flagged: BoolArray
    forecast_apy: FloatArray
    forecast_tvl_usd: FloatArray
    forecast_age_days: FloatArray
    pair_ratio: FloatArray


@dataclass(frozen=True)
class Verdicts:
    """The judgement of n pool-days, arrays (n,): may be deposited into, must be left, and the texts of the table."""

    depositable: BoolArray
    must_exit: BoolArray
    reasons: ObjectArray
    notes: ObjectArray


@dataclass(frozen=True)
class _Rule:
    """One possible reason: its code, where it holds (n,), and what follows.

    Attributes:
        slot: position among a pool's tokens whose name follows the code; -1 for none.
        excludes: False makes it a note.
        exits: a held position must go.
    """

    code: str
    holds: BoolArray
    slot: int = -1
    hard: bool = False
    exits: bool = False
    excludes: bool = True


def judge(pools: PoolDays, tokens: TokenDays, parameters: Parameters) -> Verdicts:
    """Every pool-day with every reason against it under these parameters.

    A hard reason makes `must_exit`, except that under `icebox_policy: hold` the icebox does not.
    """
    rules = [
        _Rule("protocol_not_approved", ~pools.protocol_approved, hard=True, exits=True),
        _Rule("chain_not_approved", np.asarray(pools.chain != parameters.chain), hard=True, exits=True),
        *_token_rules(pools, tokens, parameters),
        _Rule("pool_gone", pools.absent_days >= GONE_DAYS, hard=True, exits=True),
        *_forecast_rules(pools, parameters),
        *_size_rules(pools, tokens, parameters),
    ]
    held = np.column_stack([rule.holds for rule in rules])
    excludes = np.array([rule.excludes for rule in rules])
    exits = np.array([rule.exits for rule in rules])
    reasons, notes = _texts(held, rules, pools.tokens, tokens.tokens)
    return Verdicts(
        depositable=np.asarray(~held[:, excludes].any(axis=1)),
        must_exit=np.asarray(held[:, exits].any(axis=1)),
        reasons=reasons,
        notes=notes,
    )


def _token_rules(pools: PoolDays, tokens: TokenDays, parameters: Parameters) -> Iterator[_Rule]:
    exit_icebox = parameters.icebox_policy == "exit"
    for slot in range(pools.tokens.shape[1]):
        yield _Rule("token_not_approved", _of(pools, slot, ~tokens.approved), slot, hard=True, exits=True)
        yield _Rule("token_blacklisted", _of(pools, slot, tokens.blacklisted), slot, hard=True, exits=True)
        yield _Rule("token_iceboxed", _of(pools, slot, tokens.iceboxed), slot, hard=True, exits=exit_icebox)


def _forecast_rules(pools: PoolDays, parameters: Parameters) -> Iterator[_Rule]:
    yield _Rule("no_forecast", np.isnan(pools.forecast_apy))
    yield _Rule("forecast_stale", pools.forecast_age_days > parameters.max_forecast_age_days)
    yield _Rule("flagged", pools.flagged)
    yield _Rule("forecast_tvl_below_limit", pools.forecast_tvl_usd < parameters.pool_tvl_limit)
    yield _Rule("forecast_apy_below_limit", pools.forecast_apy < parameters.pool_apy_limit)


def _size_rules(pools: PoolDays, tokens: TokenDays, parameters: Parameters) -> Iterator[_Rule]:
    slots = range(pools.tokens.shape[1])
    small = tokens.market_cap_usd < parameters.token_marketcap_limit
    for slot in slots:
        yield _Rule("token_market_cap_below_limit", _of(pools, slot, small), slot)
    cap_unknown = np.isnan(tokens.market_cap_usd)
    any_unknown = np.zeros(len(pools.day), dtype=bool)
    for slot in slots:
        any_unknown |= _of(pools, slot, cap_unknown)
    yield _Rule("unknown_market_cap", any_unknown, excludes=parameters.exclude_unknown_market_cap)
    ratio = pools.pair_ratio
    outside = (ratio < parameters.pool_pair_tvl_ratio_min) | (ratio > parameters.pool_pair_tvl_ratio_max)
    two_sided = (pools.tokens >= 0).sum(axis=1) == 2
    yield _Rule("pair_ratio_outside", two_sided & outside)
    yield _Rule("unknown_pair_ratio", two_sided & np.isnan(ratio), excludes=parameters.exclude_unknown_pair_ratio)
    for slot in slots:
        yield _Rule("unpriced", _of(pools, slot, ~tokens.priced), slot, excludes=parameters.exclude_unpriced)


def _of(pools: PoolDays, slot: int, facts: BoolArray) -> BoolArray:
    """(n,) the fact of each pool's token in this slot; False where there is none."""
    member = pools.tokens[:, slot]
    return np.asarray((member >= 0) & facts[pools.day, np.maximum(member, 0)])


def _texts(
    held: BoolArray, rules: list[_Rule], members: IntArray, tokens: ObjectArray
) -> tuple[ObjectArray, ObjectArray]:
    """Reasons and notes of n rows; each distinct combination is written once."""
    packed = np.packbits(held, axis=1)
    key = np.concatenate([packed, np.ascontiguousarray(members.astype(np.int32)).view(np.uint8)], axis=1)
    rows = np.ascontiguousarray(key).view(np.dtype((np.void, key.shape[1]))).ravel()
    _, first, where = np.unique(rows, return_index=True, return_inverse=True)
    reasons, notes = np.empty(len(first), dtype=object), np.empty(len(first), dtype=object)
    for position, row in enumerate(first):
        said = [(rules[index], _text(rules[index], members[row], tokens)) for index in np.flatnonzero(held[row])]
        reasons[position] = "; ".join(text for rule, text in said if rule.excludes)
        notes[position] = "; ".join(text for rule, text in said if not rule.excludes)
    return reasons[where], notes[where]


def _text(rule: _Rule, members: IntArray, tokens: ObjectArray) -> str:
    name = f":{tokens[members[rule.slot]]}" if rule.slot >= 0 else ""
    return f"{rule.code}{name}{'!' if rule.hard else ''}"
