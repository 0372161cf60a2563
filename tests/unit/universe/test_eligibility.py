"""Domain, section 6: which pools may be used, with every reason kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from defiyield_core.parameters import Parameters, parameters
from defiyield_core.universe.eligibility import PoolDays, TokenDays, Verdicts, judge

RULES = parameters("default")
TOKENS = np.array(["DAI", "USDC", "USDC.E", "USDE"], dtype=object)


def tokens(**facts: Any) -> TokenDays:
    """One day on which all four tokens are approved, on their peg, priced and large."""
    yes, no = np.ones((1, 4), dtype=bool), np.zeros((1, 4), dtype=bool)
    usual = TokenDays(TOKENS, yes, no, no, yes, np.full((1, 4), 5e9))
    return replace(usual, **{name: np.array([values]) for name, values in facts.items()})


def pool(members: tuple[int, ...] = (1,), **facts: Any) -> PoolDays:
    """One pool-day against which nothing speaks."""
    usual = PoolDays(
        day=np.array([0]),
        tokens=np.array([members]),
        chain=np.array(["Ethereum"], dtype=object),
        protocol_approved=np.array([True]),
        absent_days=np.array([0]),
        flagged=np.array([False]),
        forecast_apy=np.array([0.05]),
        forecast_tvl_usd=np.array([1e8]),
        forecast_age_days=np.array([0.0]),
        pair_ratio=np.array([np.nan]),
    )
    return replace(usual, **{name: np.array([value]) for name, value in facts.items()})


def verdict(pools: PoolDays, known: TokenDays | None = None, rules: Parameters = RULES) -> tuple[bool, bool, str, str]:
    """Depositable, must exit, reasons, notes of one pool-day."""
    judged = judge(pools, known or tokens(), rules)
    return bool(judged.depositable[0]), bool(judged.must_exit[0]), judged.reasons[0], judged.notes[0]


def test_a_pool_against_which_nothing_speaks_is_depositable() -> None:
    assert verdict(pool()) == (True, False, "", "")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"protocol_approved": False}, "protocol_not_approved!"),
        ({"chain": "Base"}, "chain_not_approved!"),
        ({"absent_days": 3}, "pool_gone!"),
    ],
)
def test_hard_reasons_of_a_pool_force_an_exit(facts: dict[str, Any], reason: str) -> None:
    assert verdict(pool(**facts)) == (False, True, reason, "")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"approved": [1, 0, 1, 1]}, "token_not_approved:USDC!"),
        ({"blacklisted": [0, 1, 0, 0]}, "token_blacklisted:USDC!"),
        ({"iceboxed": [0, 1, 0, 0]}, "token_iceboxed:USDC!"),
    ],
)
def test_hard_reasons_of_a_token_force_an_exit(facts: dict[str, list[int]], reason: str) -> None:
    known = tokens(**{name: [bool(value) for value in values] for name, values in facts.items()})
    assert verdict(pool(), known) == (False, True, reason, "")


def test_the_hold_policy_keeps_positions_in_the_icebox_but_takes_no_deposits() -> None:
    iced = tokens(iceboxed=[False, True, False, False])
    hold = RULES.with_overrides({"icebox_policy": "hold"})
    assert verdict(pool(), iced, hold) == (False, False, "token_iceboxed:USDC!", "")
    assert verdict(pool(protocol_approved=False), iced, hold)[1]


def test_exit_and_hold_are_different_rulesets() -> None:
    assert RULES.ruleset != RULES.with_overrides({"icebox_policy": "hold"}).ruleset


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"forecast_apy": 0.0099}, "forecast_apy_below_limit"),
        ({"forecast_tvl_usd": 99_999.0}, "forecast_tvl_below_limit"),
        ({"flagged": True}, "flagged"),
        ({"forecast_apy": np.nan, "forecast_tvl_usd": np.nan, "forecast_age_days": np.nan}, "no_forecast"),
    ],
)
def test_soft_reasons_only_close_the_pool_to_deposits(facts: dict[str, Any], reason: str) -> None:
    assert verdict(pool(**facts)) == (False, False, reason, "")


def test_limits_themselves_pass() -> None:
    assert verdict(pool(forecast_apy=0.01, forecast_tvl_usd=1e5, absent_days=2))[0]
    assert verdict(pool(), tokens(market_cap_usd=[1e9] * 4))[0]


def test_a_forecast_older_than_allowed_is_stale() -> None:
    strict = RULES.with_overrides({"max_forecast_age_days": 1})
    assert verdict(pool(forecast_age_days=2.0), rules=strict)[2] == "forecast_stale"
    assert verdict(pool(forecast_age_days=2.0))[2] == ""


def test_tokens_are_compared_by_their_whole_name() -> None:
    iced_bridge = tokens(iceboxed=[False, False, True, False])
    assert verdict(pool((1,)), iced_bridge)[0]
    assert verdict(pool((2,)), iced_bridge)[2] == "token_iceboxed:USDC.E!"


def test_one_bad_token_of_several_is_named() -> None:
    known = tokens(approved=[True, True, True, False])
    assert verdict(pool((0, 1, 3)), known)[:3] == (False, True, "token_not_approved:USDE!")
    assert verdict(pool((0, 1, -1)), known)[0]


def test_a_small_token_closes_the_pool_softly() -> None:
    small = tokens(market_cap_usd=[5e9, 9e8, 5e9, 5e9])
    assert verdict(pool(), small) == (False, False, "token_market_cap_below_limit:USDC", "")


def test_unknown_data_is_a_note_until_the_parameters_say_otherwise() -> None:
    known = tokens(market_cap_usd=[np.nan] * 4, priced=[False] * 4)
    assert verdict(pool((0, 1)), known) == (
        True,
        False,
        "",
        "unknown_market_cap; unknown_pair_ratio; unpriced:DAI; unpriced:USDC",
    )
    strict = {"exclude_unknown_market_cap": True, "exclude_unknown_pair_ratio": True, "exclude_unpriced": True}
    closed = verdict(pool((0, 1)), known, RULES.with_overrides(strict))
    assert closed == (
        False,
        False,
        "unknown_market_cap; unknown_pair_ratio; unpriced:DAI; unpriced:USDC",
        "",
    )


@pytest.mark.parametrize(("ratio", "fine"), [(0.29, False), (0.3, True), (0.5, True)])
def test_a_two_sided_pool_must_be_balanced(ratio: float, fine: bool) -> None:
    assert verdict(pool((0, 1), pair_ratio=ratio))[2] == ("" if fine else "pair_ratio_outside")
    assert verdict(pool((1,), pair_ratio=ratio))[2] == ""


def test_every_reason_is_kept_in_the_order_of_the_rules() -> None:
    known = tokens(approved=[True, False, True, True], blacklisted=[False, True, False, False])
    judged = verdict(pool(protocol_approved=False, flagged=True, forecast_apy=0.0, absent_days=5), known)
    assert judged[2] == (
        "protocol_not_approved!; token_not_approved:USDC!; token_blacklisted:USDC!; pool_gone!; "
        "flagged; forecast_apy_below_limit"
    )


def test_many_pool_days_at_once_are_judged_like_one_by_one() -> None:
    generator = np.random.default_rng(3)
    n = 400
    many = PoolDays(
        day=generator.integers(0, 5, n),
        tokens=np.where(generator.random((n, 3)) < 0.4, -1, generator.integers(0, 4, (n, 3))),
        chain=generator.choice(np.array(["Ethereum", "Base"], dtype=object), n),
        protocol_approved=generator.random(n) < 0.7,
        absent_days=generator.integers(0, 5, n),
        flagged=generator.random(n) < 0.1,
        forecast_apy=generator.choice([np.nan, 0.0, 0.05], n),
        forecast_tvl_usd=generator.choice([np.nan, 1e3, 1e8], n),
        forecast_age_days=generator.choice([np.nan, 0, 9], n),
        pair_ratio=generator.choice([np.nan, 0.1, 0.4], n),
    )
    bits = {name: generator.random((5, 4)) < 0.3 for name in ("blacklisted", "iceboxed")}
    known = TokenDays(
        TOKENS,
        approved=generator.random((5, 4)) < 0.7,
        priced=generator.random((5, 4)) < 0.7,
        market_cap_usd=generator.choice([np.nan, 1e6, 1e10], (5, 4)),
        **bits,
    )
    together: Verdicts = judge(many, known, RULES)
    for row in range(n):
        single = PoolDays(**{name: values[[row]] for name, values in vars(many).items()})
        alone = judge(single, known, RULES)
        assert alone.reasons[0] == together.reasons[row] and alone.notes[0] == together.notes[row]
        assert alone.must_exit[0] == together.must_exit[row] == ("!" in together.reasons[row])
        assert alone.depositable[0] == together.depositable[row] == (together.reasons[row] == "")
