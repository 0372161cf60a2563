"""`defiyield explain` on a small real run, as a treasurer reads it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from defiyield_core.cli import main
from defiyield_core.reporting.decision import read_decision
from defiyield_core.reporting.decision_sheet import read_figures
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import Warehouse

FIRST, SECOND = "2025-02-04", "2025-02-05"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of an optimised portfolio with an override and of a rule, in a DuckDB file."""
    home = tmp_path_factory.mktemp("explain")
    (home / "portfolios").mkdir()
    rules = "{max_alloc_percentage: 0.2, engine: highs}"
    (home / "portfolios" / "desk.yaml").write_text(f"name: desk\nwallet: {{USDC: 1000000}}\noverrides: {rules}\n")
    (home / "portfolios" / "rule.yaml").write_text("name: rule\npolicy: equal_weight\nwallet: {USDC: 1000000}\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DEFIYIELD_PORTFOLIOS", str(home / "portfolios"))
        environment.delenv("DEFIYIELD_SLACK_WEBHOOK", raising=False)
        phases = ["--phase", "ingest", "process", "forecast", "allocate"]
        assert main([*options(home), "run", "--date", FIRST, "--until", SECOND, *phases]) == 0
    return home


@pytest.fixture(scope="module")
def stored(folder: Path) -> Warehouse:
    return open_warehouse(f"duckdb:{folder / 'desk.duckdb'}")


def options(home: Path) -> list[str]:
    return ["--source", "simulated:3", "--warehouse", f"duckdb:{home / 'desk.duckdb'}"]


def run_id(stored: Warehouse, portfolio: str = "desk", day: str = FIRST) -> str:
    rows = stored.read("allocation_parameters", scope={"portfolio": portfolio})
    return str(rows.loc[rows["date"] == pd.Timestamp(day), "run_id"].item())


class Teller:
    """Runs the command and keeps what it printed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys

    def text(self, *arguments: str) -> str:
        self._capsys.readouterr()
        assert main([*options(self._folder), "explain", *arguments]) == 0
        return self._capsys.readouterr().out

    def json(self, *arguments: str) -> Any:
        return json.loads(self.text(*arguments, "--json"))

    def refusal(self, *arguments: str) -> str:
        self._capsys.readouterr()
        assert main([*options(self._folder), "explain", *arguments]) == 2
        output = self._capsys.readouterr()
        assert output.out == "" and len(output.err.strip().splitlines()) == 1
        return output.err


@pytest.fixture
def teller(folder: Path, capsys: pytest.CaptureFixture[str]) -> Teller:
    return Teller(folder, capsys)


def test_a_decision_reads_from_its_head_to_what_was_not_used(teller: Teller, stored: Warehouse) -> None:
    text = teller.text(run_id(stored))
    assert text.startswith(f"desk · {FIRST} · run {run_id(stored)}\n")
    order = [
        "Policy",
        "AUM",
        "Promise",
        "Holding",
        "Parameters",
        "MOVES",
        "POSITIONS AFTER IT",
        "NOT USED",
        "Pays from:",
    ]
    places = [text.index(word) for word in order]
    assert places == sorted(places)
    assert "optimiser (engine highs)" in text and "preset default, but max_alloc_percentage 0.2" in text
    assert "the costs are earned back in" in text and "gain over holding +$" in text
    assert "position cap" in text and " bps" in text
    assert max(len(line) for line in text.splitlines()) <= 120
    assert "\x1b" not in text


def test_its_numbers_are_those_of_the_tables(teller: Teller, stored: Warehouse) -> None:
    told = teller.json(run_id(stored))
    scope = {"portfolio": "desk"}
    details = stored.read("asset_allocation_details", scope=scope)
    details = details[details["date"] == pd.Timestamp(FIRST)]
    row = stored.read("allocation_parameters", scope=scope).iloc[0]
    assert told["gain_over_hold_usd"] == pytest.approx(row["objective_usd"] - row["hold_objective_usd"])
    assert told["break_even_days"] == pytest.approx(row["break_even_days"])
    assert told["gap_bps"] <= 0.01 and told["bound_usd"] >= told["objective_usd"]
    assert len(told["positions"]) + len(told["not_used"]) == len(details)
    assert sum(item["value_usd"] for item in told["positions"]) == pytest.approx(details["value_usd"].sum())
    costs = sum(item["total_cost_usd"] for item in told["moves"])
    assert told["costs_usd"]["gas"] + told["costs_usd"]["conversion"] == pytest.approx(costs)
    assert told["aum_usd"] == pytest.approx(1e6, rel=0.01)
    assert told["changed_parameters"] == {"max_alloc_percentage": 0.2}
    assert [item["seq"] for item in told["moves"]] == sorted(item["seq"] for item in told["moves"])


def test_whoever_was_not_used_earned_less_than_a_move_needed(teller: Teller, stored: Warehouse) -> None:
    for day in (FIRST, SECOND):
        unused = teller.json(run_id(stored, day=day))["not_used"]
        rates = [item["apy_forecast"] for item in unused]
        assert rates == sorted(rates, reverse=True)
        known = [item for item in unused if item["break_even_apy"] is not None]
        assert known
        assert all(item["break_even_apy"] >= item["apy_forecast"] - 1e-6 for item in known)
        assert all("a move pays from" in item["reason"] or "no more than" in item["reason"] for item in known)


def test_ten_candidates_are_shown_unless_all_are_asked_for(teller: Teller, stored: Warehouse) -> None:
    wanted, count = run_id(stored), len(teller.json(run_id(stored))["not_used"])
    assert count > 10
    short, whole = teller.text(wanted), teller.text(wanted, "--all")
    assert f"the 10 highest of {count}" in short and f"--all shows {count - 10} more" in short
    assert len(whole.splitlines()) == len(short.splitlines()) + count - 10 - 1


def test_the_beginning_of_an_id_or_the_day_find_the_same_decision(teller: Teller, stored: Warehouse) -> None:
    whole = teller.text(run_id(stored))
    assert teller.text(run_id(stored)[:8]) == whole
    assert teller.text("--portfolio", "desk", "--date", FIRST) == whole
    assert teller.text("--portfolio", "desk", "--date", SECOND) != whole


def test_a_rule_says_that_nothing_is_proven(teller: Teller, stored: Warehouse) -> None:
    text = teller.text(run_id(stored, "rule"))
    assert "equal_weight (a rule: nothing is proven)" in text and "rule of the policy" in text
    assert "Shadow price:" not in text and "no plan can promise more" not in text
    told = teller.json(run_id(stored, "rule"))
    assert told["engine"] is None and told["bound_usd"] is None
    assert {item["shadow_price_bps"] for item in told["positions"]} == {None}


def test_what_cannot_be_found_is_refused_in_one_line(teller: Teller, stored: Warehouse, folder: Path) -> None:
    assert run_id(stored, day=SECOND) in teller.refusal("ffffffffffff")
    assert "give a RUN_ID, or --portfolio" in teller.refusal()
    assert "give a RUN_ID, or --portfolio" in teller.refusal(run_id(stored), "--date", FIRST)
    assert "give a RUN_ID, or --portfolio" in teller.refusal("--portfolio", "desk")
    assert f"desk {FIRST}..{SECOND}" in teller.refusal("--portfolio", "desk", "--date", "2025-03-01")
    assert "YYYY-MM-DD" in teller.refusal("--portfolio", "desk", "--date", "yesterday")


def test_an_empty_warehouse_says_how_it_is_filled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*options(tmp_path), "explain", "--portfolio", "desk", "--date", FIRST]
    assert main(arguments) == 2
    assert "`defiyield run`" in capsys.readouterr().err


def test_the_second_day_prices_what_it_keeps(stored: Warehouse) -> None:
    details = stored.read("asset_allocation_details", scope={"portfolio": "desk"})
    held = details[(details["date"] == pd.Timestamp(SECOND)) & (details["value_usd"] > 0)]
    capped = held[held["binding"].isin(["position cap", "pool TVL cap"])]
    assert len(capped) and (capped["shadow_price_bps"] >= 0).all()
    assert (np.abs(held["marginal_apy"] - held["apy_forecast"]) < 1e-9).all()
    assert (held["capacity_usd"].dropna() >= 0).all()


def test_a_decision_becomes_a_page_and_pictures(
    teller: Teller, stored: Warehouse, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = teller.text(run_id(stored), "--out", str(tmp_path / "page"))
    assert text.startswith(teller.text(run_id(stored)).rstrip("\n"))
    assert text.endswith(f"wrote {tmp_path / 'page' / 'decision.html'} and 4 charts\n")
    names = {"allocation_by_pool", "allocation_by_token", "apy_against_amount", "costs_by_type"}
    assert {path.stem for path in (tmp_path / "page").glob("*.png")} == names
    page = (tmp_path / "page" / "decision.html").read_text()
    assert run_id(stored) in page and "Allocation by token" in page
    told = teller.json(run_id(stored), "--out", str(tmp_path / "json"))
    assert told["run_id"] == run_id(stored) and (tmp_path / "json" / "decision.html").exists()
    (tmp_path / "file").write_text("")
    capsys.readouterr()
    assert main([*options(folder), "explain", run_id(stored), "--out", str(tmp_path / "file" / "x")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_pictures_say_what_the_tables_say(stored: Warehouse) -> None:
    for portfolio, day in (("desk", FIRST), ("desk", SECOND), ("rule", FIRST)):
        decision = read_decision(stored, portfolio, date.fromisoformat(day))
        figures = read_figures(stored, decision)
        assert figures.pools["after_usd"].sum() + figures.idle_usd == pytest.approx(figures.aum_usd)
        by_token = figures.tokens[["in_pools_usd", "idle_usd"]].sum()
        assert by_token.tolist() == pytest.approx([figures.aum_usd - figures.idle_usd, figures.idle_usd], abs=0.01)
        assert figures.costs["usd"].sum() == pytest.approx(decision.costs_usd, abs=0.01)
        assert "Other" not in set(figures.costs["type"])
        assert len(figures.curves) == len(decision.positions)
        for curve, marginal in zip(figures.curves, decision.positions["marginal_apy"], strict=True):
            assert np.interp(curve.chosen_usd, curve.amount_usd, curve.marginal_apy) == pytest.approx(
                marginal, rel=1e-3
            )
