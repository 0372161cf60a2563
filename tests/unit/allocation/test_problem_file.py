"""Problem files: what is read, what is refused, and what comes back."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from defiyield_core.allocation import solve
from defiyield_core.allocation.problem_file import decision_json, load_problem, problem_from_json
from defiyield_core.errors import AllocationError

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
        (_set("wallet", "DAI", to=5), "wallet: no price for DAI; add it to token_prices"),
        (_set("wallet", "USDC", to=-5), "wallet.USDC"),
        (_set("wallet", "usdc", to=5), "wallet: usdc is listed twice"),
        (_set("wallet", "USDC", to=float("nan")), "wallet.USDC"),
        (_set("wallet", "USDC", to="many"), "wallet.USDC"),
        (_set("token_prices", "USDC", to=0), "token_prices.USDC"),
        (_set("token_prices", "usdc", to=1), "token_prices: a token is listed twice"),
        (_set("pools", 1, "pool_id", to="aave-usdc"), "pools: pool_id .'aave-usdc'. is listed twice"),
        (_set("pools", 0, "tokens", to=["DAI"]), "pools.0.tokens: no price for DAI"),
        (_set("pools", 0, "tokens", to=["USDC", "usdc"]), "pools.0.tokens: pool aave-usdc lists a token twice"),
        (_set("pools", 0, "tokens", to=[]), "pools.0.tokens"),
        (_set("pools", 0, "apy", to=-1.5), "pools.0.apy"),
        (_set("pools", 0, "apy", to=None), "pools.0.apy"),
        (_set("pools", 0, "tvl_usd", to=-1), "pools.0.tvl_usd"),
        (_set("pools", 0, "group", to=4), "pools.0.group"),
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
        (_set("parameters", "min_position_usd", to=-1), "parameters.min_position_usd"),
        (_set("as_of", to="soon"), "as_of"),
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


@pytest.mark.parametrize("text", ["[]", "3", "null", "{", "", '{"pools": []}'])
def test_what_is_no_problem_at_all_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "problem.json"
    path.write_text(text)
    with pytest.raises(AllocationError, match=r"problem\.json"):
        load_problem(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AllocationError, match="cannot be read"):
        load_problem(tmp_path / "none.json")


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(FILE)))
    assert load_problem("-").pool_ids == ("aave-usdc", "curve-lp")
