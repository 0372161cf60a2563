"""Problem files: what is read, what is refused, what comes back, and the way there and back of stored problems."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from defiyield_core.allocation import AllocationProblem, solve
from defiyield_core.allocation.curves import RateCurve
from defiyield_core.allocation.decision_file import decision_json
from defiyield_core.allocation.problem_file import load_problem, problem_from_json, problem_json
from defiyield_core.allocation.strict_json import parse_json
from defiyield_core.errors import AllocationError
from tests.unit.allocation.random_problems import Shape, random_problem

FILE: dict[str, Any] = {
    "as_of": "2026-01-31",
    "pools": [
        {
            "pool_id": "aave-usdc",
            "symbol": "USDC",
            "protocol": "aave-v3",
            "chain": "Ethereum",
            "tokens": ["USDC"],
            "apy": 0.05,
            "tvl_usd": 1e8,
            "group": 1,
        },
        {
            "pool_id": "curve-lp",
            "symbol": "USDC-USDE",
            "protocol": "curve",
            "chain": "Ethereum",
            "tokens": ["USDC", "USDE"],
            "apy": 0.02,
            "tvl_usd": 1e8,
            "group": 2,
            "depositable": False,
        },
    ],
    "token_prices": {"USDC": 1.0, "USDe": 0.999},
    "wallet": {"USDC": 50_000},
    "positions": [
        {"pool_id": "curve-lp", "token": "USDC", "amount": 10_000},
        {"pool_id": "curve-lp", "token": "USDe", "amount": 10_000},
    ],
    "gas_usd": {"deposit": 3, "withdrawal": 4, "conversion": 5},
    "parameters": {"horizon_days": 14, "min_pools": 1},
}
CURVE = {"total_supply_usd": 3e6, "kink": 0.9, "base_rate": 0.0, "slope1": 0.06, "slope2": 4.0}


def test_parameters_left_out_are_those_of_seed_without_full_allocation() -> None:
    rules = problem_from_json(FILE).parameters
    assert not rules.full_allocation
    assert (rules.max_alloc_percentage, rules.conversion_rate, rules.min_transaction_value) == (0.25, 0.0004, 50)
    assert (rules.horizon_days, rules.min_pools) == (14, 1)


def test_upper_and_lower_case_name_the_same_token() -> None:
    given = problem_from_json(FILE)
    assert given.tokens == ("USDC", "USDe")
    assert given.pool_tokens == ((0,), (0, 1))
    assert given.positions[1].tolist() == [10_000, 10_000]


def test_a_minimum_position_may_be_given_in_dollars() -> None:
    given = problem_from_json(FILE | {"parameters": {"min_position_usd": 700}})
    assert given.parameters.min_position_usd(given.aum_usd) == pytest.approx(700)


def test_a_decision_comes_back_as_json_with_every_documented_field(tmp_path: Path) -> None:
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(FILE))
    given = load_problem(path)
    answer = json.loads(json.dumps(decision_json(given, solve(given)), allow_nan=False))
    assert answer["status"] == "optimal"
    assert 0 <= answer["bound_usd"] - answer["objective_usd"] <= 0.01e-4 * answer["aum_usd"]
    assert answer["gap_bps"] <= 0.01
    assert answer["engine"] == "highs"
    assert answer["gain_over_hold_usd"] == pytest.approx(answer["objective_usd"] - answer["hold_objective_usd"])
    assert 0 < answer["break_even_days"] < 14
    assert [row["pool_id"] for row in answer["pools"]] == ["aave-usdc", "curve-lp"]
    assert answer["pools"][0]["binding"] == "position cap" and answer["pools"][0]["shadow_price_bps"] > 0
    assert answer["pools"][1]["capacity_usd"] is None
    assert set(answer["costs_usd"]) == {"gas", "conversion"}
    assert set(answer["wallet"]) == {"USDC", "USDe"}
    columns = (
        "seq type from to token to_token amount amount_usd gas_cost_usd conversion_cost_usd total_cost_usd fee_token"
    )
    assert all(list(row) == columns.split() for row in answer["transactions"])
    assert [row["type"] for row in answer["transactions"]] == ["ALLOCATION", "HOLD", "HOLD"]
    assert answer["transactions"][0]["amount"] == pytest.approx(0.25 * answer["aum_usd"])
    deposited = next(item for item in answer["positions"] if item["pool_id"] == "aave-usdc")
    assert deposited["amount_usd"] == pytest.approx(0.25 * answer["aum_usd"])


def test_an_infeasible_problem_comes_back_with_its_reason_and_no_bound() -> None:
    given = problem_from_json(FILE | {"wallet": {"USDC": 20}, "positions": [], "parameters": {"min_pools": 1}})
    answer = decision_json(given, solve(given))
    assert answer["status"] == "infeasible"
    assert answer["bound_usd"] is None and answer["gap_bps"] is None
    assert "min_pools" in answer["notes"][0]
    assert answer["wallet"]["USDC"] == 20


def test_a_label_that_is_left_out_is_the_tokens_and_an_empty_one_stays_empty() -> None:
    raw = copy.deepcopy(FILE)
    del raw["pools"][0]["symbol"]
    raw["pools"][1]["symbol"] = ""
    assert problem_from_json(raw).pool_symbols == ("USDC", "")


def test_closed_tokens_and_forced_conversions_reach_the_problem() -> None:
    given = problem_from_json(FILE | {"closed_tokens": ["usde"], "forced_conversions": {"USDE": "usdc"}})
    assert given.convertible_into.tolist() == [True, False]
    assert given.forced_target.tolist() == [-1, 0]
    decision = solve(given)
    assert decision.status == "optimal"


def test_a_rate_curve_reaches_the_problem_and_lowers_what_is_earned() -> None:
    raw = copy.deepcopy(FILE)
    raw["pools"][0] |= {"tvl_usd": 1e6, "rate_curve": CURVE}
    raw["parameters"] |= {"tvl_limit_percentage": 1.0, "position_max_pct_pool_tvl": 1.0}
    plain = solve(problem_from_json(raw))
    raw["parameters"]["dilution"] = "rate_curve"
    diluted = problem_from_json(raw)
    assert diluted.rate_curves == {0: RateCurve(**CURVE)}
    assert solve(diluted).objective_usd < plain.objective_usd


@pytest.mark.parametrize("seed", range(24))
def test_a_stored_problem_comes_back_to_the_last_bit_and_is_decided_alike(seed: int) -> None:
    given = _unusual(seed)
    text = json.dumps(problem_json(given), allow_nan=False)
    again = problem_from_json(parse_json(text))
    for field in fields(AllocationProblem):
        one, other = getattr(given, field.name), getattr(again, field.name)
        if isinstance(one, np.ndarray):
            assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes()), field.name
        else:
            assert one == other, field.name
    assert json.dumps(problem_json(again)) == text
    before, after = solve(given), solve(again)
    assert (before.status, before.transactions) == (after.status, after.transactions)
    assert (before.objective_usd, before.notes) == (after.objective_usd, after.notes)
    assert before.wallet.tobytes() == after.wallet.tobytes()
    assert before.positions.tobytes() == after.positions.tobytes()


def _unusual(seed: int) -> AllocationProblem:
    """A random problem with whatever else a problem may have."""
    rng = np.random.default_rng(seed)
    shape = Shape(
        pools=int(rng.integers(0, 16)), tokens=int(rng.integers(1, 7)), held_share=rng.random(), forced=seed % 3 == 0
    )
    dilution = ("off", "pro_rata", "rate_curve")[seed % 3]
    rules = {"dilution": dilution, "max_pools": 7 * (seed % 2), "horizon_days": 30 * rng.random() + 0.1}
    given = random_problem(seed, shape, **rules, tvl_includes_positions=bool(seed % 2))
    curves = {
        pool: RateCurve(float(given.tvl_usd[pool] * (1 + 5 * rng.random())), *rng.uniform(0.01, 1.0, 4).tolist())
        for pool in range(0, shape.pools, 2)
    }
    names = tuple(f"{token.lower()}{number}" for number, token in enumerate(given.tokens))
    return replace(given, rate_curves=curves, tokens=names, pool_symbols=("",) * shape.pools)


def test_a_rate_curve_that_nobody_can_use_is_not_stored() -> None:
    given = replace(problem_from_json(FILE), rate_curves={0: RateCurve(1.0, 0.9, 0.0, 0.1, 1.0)})
    given = replace(given, parameters=given.parameters.with_overrides({"dilution": "rate_curve"}))
    again = problem_from_json(problem_json(given))
    assert not again.rate_curves
    assert solve(again).transactions == solve(given).transactions


def _set(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(raw: dict[str, Any]) -> None:
        *way, last = path
        for step in way:
            raw = raw[step]  # type: ignore[index]
        raw[last] = to  # type: ignore[index]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("wallet", "DAI", to=5), "wallet.DAI: no price for DAI; add it to token_prices"),
        (_set("wallet", "USDC", to=-5), "wallet.USDC"),
        (_set("wallet", "usdc", to=5), "wallet: usdc is listed twice"),
        (_set("wallet", "USDC", to=float("nan")), "wallet.USDC"),
        (_set("wallet", "USDC", to="many"), "wallet.USDC"),
        (_set("wallet", "USDC", to=float("inf")), "wallet.USDC"),
        (_set("wallet", "USDC", to=True), "wallet.USDC: .*number.*got True"),
        (_set("wallet", "USDC", to="5"), "wallet.USDC: .*number.*got '5'"),
        (_set("wallet", "USDC", to=1e308), "wallet.USDC"),
        (_set("wallet", "USDC", to=10**400), "wallet.USDC"),
        (_set("wallet", "USDC", to=1e17), "wallet, positions: worth 1e.17 USD"),
        (_set("wallet", "US\nDC", to=1), "wallet.US DC"),
        (_set("token_prices", "USDC", to=0), "token_prices.USDC"),
        (_set("token_prices", "USDC", to=-1), "token_prices.USDC"),
        (_set("token_prices", "USDC", to=True), "token_prices.USDC"),
        (_set("token_prices", "USDC", to=1e308), "token_prices.USDC"),
        (_set("token_prices", "usdc", to=1), "token_prices: a token is listed twice"),
        (_set("pools", 1, "pool_id", to="aave-usdc"), "pools: pool_id .'aave-usdc'. is listed twice"),
        (_set("pools", 0, "tokens", to=["DAI"]), "pools.0.tokens: no price for DAI"),
        (_set("pools", 0, "tokens", to=["USDC", "usdc"]), "pools.0.tokens: pool aave-usdc lists a token twice"),
        (_set("pools", 0, "tokens", to=[]), "pools.0.tokens"),
        (_set("pools", 0, "apy", to=-1.5), "pools.0.apy"),
        (_set("pools", 0, "apy", to=None), "pools.0.apy"),
        (_set("pools", 0, "tvl_usd", to=-1), "pools.0.tvl_usd"),
        (_set("pools", 0, "tvl_usd", to=1e308), "pools.0.tvl_usd"),
        (_set("pools", 0, "apy", to=1e308), "pools.0.apy"),
        (_set("pools", 0, "apy", to=True), "pools.0.apy"),
        (_set("pools", 0, "group", to=4), "pools.0.group"),
        (_set("pools", 0, "group", to=1.5), "pools.0.group"),
        (_set("pools", 0, "depositable", to="yes"), "pools.0.depositable"),
        (_set("pools", 0, "depositable", to=1), "pools.0.depositable"),
        (_set("pools", 0, "pool_id", to="wallet"), "pools.0.pool_id: 'wallet' is the name of the wallet"),
        (_set("pools", 0, "pool_id", to=7), "pools.0.pool_id"),
        (_set("pools", 1, "chain", to="Base"), "pools.1.chain: Base, but pools.0 is on Ethereum"),
        (_set("pools", 1, "chain", to="ethereum"), None),
        (_set("pools", 0, "rate_curve", to=CURVE), "pools.0.rate_curve.total_supply_usd: 3000000.0 is less than"),
        (_set("pools", 0, "rate_curve", to=CURVE | {"total_supply_usd": 1e8}), None),
        (_set("pools", 0, "rate_curve", to=CURVE | {"kink": 0}), "pools.0.rate_curve.kink"),
        (_set("pools", 0, "rate_curve", to=CURVE | {"kink": 1.1}), "pools.0.rate_curve.kink"),
        (_set("pools", 0, "rate_curve", to=CURVE | {"slope2": -1}), "pools.0.rate_curve.slope2"),
        (_set("pools", 0, "rate_curve", to={"kink": 0.9}), "pools.0.rate_curve.total_supply_usd"),
        (_set("closed_tokens", to=["DAI"]), "closed_tokens.0: no price for DAI"),
        (_set("closed_tokens", to="USDC"), "closed_tokens"),
        (_set("forced_conversions", to={"USDe": "DAI"}), "forced_conversions.USDe: no price for DAI"),
        (_set("forced_conversions", to={"USDe": "USDE"}), "forced_conversions.USDe: USDE may not be converted into"),
        (_set("forced_conversions", to={"USDe": "USDC", "USDE": "USDC"}), "forced_conversions.USDE: USDE is listed"),
        (_set("pools", 0, "must_exti", to=True), "pools.0.must_exti"),
        (_set("positions", 0, "pool_id", to="nowhere"), "positions.0.pool_id: nowhere is not among the pools"),
        (_set("positions", 0, "amount", to=-1), "positions.0.amount"),
        (_set("positions", 1, "token", to="USDC"), "positions.1: USDC in pool curve-lp is listed twice"),
        (_set("positions", 0, "pool_id", to="aave-usdc"), None),
        (_set("positions", 1, "pool_id", to="aave-usdc"), "positions.1.token: USDe is not a token of pool aave-usdc"),
        (_set("gas_usd", "deposit", to=-1), "gas_usd.deposit"),
        (_set("gas_usd", to={"deposit": 1}), "gas_usd.withdrawal"),
        (_set("parameters", "max_alloc_percentage", to=1.2), "max_alloc_percentage"),
        (_set("parameters", "max_alloc_percent", to=0.2), "max_alloc_percent"),
        (_set("parameters", "max_alloc_percentage", to=-0.1), "parameters.max_alloc_percentage"),
        (_set("parameters", "max_alloc_percentage", to="0.2"), "parameters.max_alloc_percentage"),
        (_set("parameters", "max_alloc_percentage", to=True), "parameters.max_alloc_percentage"),
        (_set("parameters", "max_alloc_percentage", to=float("nan")), "parameters.max_alloc_percentage"),
        (_set("parameters", "min_pools", to=2.5), "parameters.min_pools"),
        (_set("parameters", "full_allocation", to=1), "parameters.full_allocation"),
        (_set("parameters", "engine", to="magic"), "parameters.engine"),
        (_set("parameters", to={"min_pools": 5, "max_pools": 3}), "max_pools .3. is below min_pools .5."),
        (_set("parameters", to=[]), "parameters"),
        (_set("parameters", "min_position_usd", to=-1), "parameters.min_position_usd"),
        (_set("parameters", "min_position_usd", to=True), "parameters.min_position_usd"),
        (_set("parameters", to={"min_position_usd": 1, "min_position_pct": 0.1}), "not both"),
        (_set("as_of", to="soon"), "as_of"),
        (_set("as_of", to=20260131), "as_of"),
        (_set("as_of", to="2026-01-31T12:00:00"), "as_of"),
        (_set("token_prices", to=None), "token_prices"),
    ],
)
def test_what_is_wrong_is_refused_by_the_name_of_its_field(
    change: Callable[[dict[str, Any]], None], message: str | None, tmp_path: Path
) -> None:
    raw = copy.deepcopy(FILE)
    change(raw)
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(raw))
    if message is None:
        load_problem(path)
        return
    with pytest.raises(AllocationError, match=message) as refused:
        load_problem(path)
    assert str(path) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must be a JSON object"),
        ("3", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ("{", "not valid JSON"),
        ("", "is empty"),
        (" \n", "is empty"),
        ('{"pools": []}', "as_of: Field required"),
        ('{"as_of": "2026-01-31", "wallet": {"USDC": 1, "USDC": 2}}', "wallet.USDC: the key stands there twice"),
        ('{"pools": [{"apy": 1}, {"apy": 1, "apy": 1, "apy": 1}]}', "pools.1.apy: the key stands there twice"),
        ('{"as_of": 1, "as_of": 2}', "as_of: the key stands there twice"),
        ('{"as_of": ' + "9" * 5_000 + "}", "not valid JSON"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"pools": ' + "[" * 400 + "]" * 400 + "}", "pools.0"),
    ],
)
def test_what_is_no_problem_at_all_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "problem.json"
    path.write_text(text)
    with pytest.raises(AllocationError, match=message) as refused:
        load_problem(path)
    assert "problem.json: " in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1 and len(str(refused.value)) < 1_000


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AllocationError, match=r"cannot be read .No such file"):
        load_problem(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'{"as_of": "\xe9"}')
    with pytest.raises(AllocationError, match=r"cannot be read .not UTF-8"):
        load_problem(tmp_path / "latin.json")


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "marked.json").write_text(json.dumps(FILE), encoding="utf-8-sig")
    assert load_problem(tmp_path / "marked.json").pool_ids == ("aave-usdc", "curve-lp")


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(FILE)))
    assert load_problem("-").pool_ids == ("aave-usdc", "curve-lp")
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    with pytest.raises(AllocationError, match="standard input: as_of: Field required"):
        load_problem("-")


def test_parameters_given_beside_the_file_win_over_it(tmp_path: Path) -> None:
    path = tmp_path / "problem.json"
    path.write_text(json.dumps(FILE))
    rules = load_problem(path, {"horizon_days": 3, "engine": "cvxpy"}).parameters
    assert (rules.horizon_days, rules.engine, rules.min_pools) == (3, "cvxpy", 1)


def test_without_pools_everything_is_held_with_a_note() -> None:
    given = problem_from_json(FILE | {"pools": [], "positions": []})
    answer = decision_json(given, solve(given))
    assert (answer["status"], answer["wallet"]["USDC"], answer["pools"]) == ("optimal", 50_000, [])
    assert any("only 0 pools" in note for note in answer["notes"])


def test_without_money_everything_is_held_with_a_note() -> None:
    given = problem_from_json(FILE | {"wallet": {}, "positions": []})
    answer = decision_json(given, solve(given))
    assert (answer["status"], answer["aum_usd"], answer["transactions"]) == ("optimal", 0, [])
    assert any("AUM is zero" in note for note in answer["notes"])


def test_gas_may_be_free() -> None:
    given = problem_from_json(FILE | {"gas_usd": {"deposit": 0, "withdrawal": 0, "conversion": 0}})
    answer = decision_json(given, solve(given))
    assert answer["status"] == "optimal" and answer["costs_usd"]["gas"] == 0
    assert answer["gain_over_hold_usd"] > 0


def test_what_is_not_proven_in_time_is_held_and_says_so() -> None:
    given = random_problem(0, Shape(pools=300, tokens=8, held_share=0.5), time_limit_seconds=1e-3)
    answer = decision_json(given, solve(given))
    assert answer["status"] == "timeout" and "0.001 s" in answer["reason"]
    assert answer["bound_usd"] is None and answer["costs_usd"] == {"gas": 0, "conversion": 0}
    assert {row["type"] for row in answer["transactions"]} == {"HOLD"}
    assert sum(row["amount"] for row in answer["positions"]) == pytest.approx(given.positions.sum())
