"""`defiyield replay`: stored decisions of a simulated run decided again, and what is said when a row was touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from defiyield_core.calendar import Window
from defiyield_core.cli import main
from defiyield_core.commands.decisions import find_decision
from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.settings import Settings
from defiyield_core.universe.lists import change_list
from defiyield_core.warehouse.opening import open_warehouse
from defiyield_core.warehouse.port import TableWrite, Warehouse

DAYS = ("2025-02-04", "2025-02-06")
PORTFOLIOS = Settings.from_environment({}).portfolios
POLICIES = ("baseline", "equal_weight", "hold_aave_usdc")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DuckDB file with three days of three portfolios in it."""
    home = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as environment:
        _point_to(environment, home)
        assert main(["run", "--date", DAYS[0], "--until", DAYS[1]]) == 0
    return home / "simulated.duckdb"


@pytest.fixture
def home(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose warehouse is a copy that may be tampered with."""
    shutil.copy(filled, tmp_path / "simulated.duckdb")
    _point_to(monkeypatch, tmp_path)
    return tmp_path


def _point_to(environment: pytest.MonkeyPatch, home: Path) -> None:
    for name in ("DEFIYIELD_WAREHOUSE", "DEFIYIELD_SLACK_WEBHOOK"):
        environment.delenv(name, raising=False)
    folder = home / "portfolios"
    folder.mkdir()
    for name in POLICIES:
        shutil.copy(PORTFOLIOS / f"{name}.yaml", folder)
    environment.setenv("DEFIYIELD_PORTFOLIOS", str(folder))
    environment.setenv("DEFIYIELD_HOME", str(home))
    environment.setenv("DEFIYIELD_SOURCE", "simulated:3")


def warehouse_of(home: Path) -> Warehouse:
    return open_warehouse(f"duckdb:{home / 'simulated.duckdb'}")


def run_ids(home: Path, portfolio: str = "baseline") -> list[str]:
    rows = warehouse_of(home).read("allocation_parameters", scope={"portfolio": portfolio})
    return list(rows["run_id"])


@pytest.mark.parametrize("portfolio", POLICIES)
def test_every_decision_is_the_same_again_in_every_digit(
    home: Path, capsys: pytest.CaptureFixture[str], portfolio: str
) -> None:
    ids = run_ids(home, portfolio)
    assert len(ids) == 3
    for run_id in ids:
        assert main(["replay", run_id]) == 0
        printed = capsys.readouterr()
        stored = warehouse_of(home).read("allocation_transactions", scope={"run_id": run_id})
        assert f"replayed: {len(stored)} transactions, the same to the cent (in every digit)\n" in printed.out
        assert f"{portfolio}, 2025-02-0" in printed.out and "note" not in printed.out and printed.err == ""


def test_the_written_problem_gives_the_stored_decision_to_allocate(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id, path = run_ids(home)[0], home / "problem.json"
    assert main(["replay", run_id[:8], "--out", str(path)]) == 0
    assert f"wrote {path}\n" in capsys.readouterr().out
    assert main(["allocate", str(path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    stored = warehouse_of(home).read("allocation_transactions", scope={"run_id": run_id})
    columns = ["seq", "type", "token", "to_token", "amount", "amount_usd", "total_cost_usd", "fee_token"]
    assert len(stored) and pd.DataFrame(answer["transactions"])[columns].equals(stored[columns])
    parameters = find_decision(warehouse_of(home), run_id).row
    assert answer["objective_usd"] == parameters["objective_usd"]


def test_what_a_rule_decided_is_not_what_allocate_decides_and_the_command_says_so(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", run_ids(home, "equal_weight")[0], "--out", str(home / "problem.json")]) == 0
    assert "solves it exactly, which equal_weight does not" in capsys.readouterr().out
    assert main(["replay", run_ids(home)[0], "--out", str(home / "no" / "folder.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def change(home: Path, table: str, run_id: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Rewrite the rows of a decision in one table."""
    warehouse = warehouse_of(home)
    stored = find_decision(warehouse, run_id)
    rows = edit(stored.rows(warehouse, table))
    warehouse.replace([TableWrite(table, rows, Window(stored.day, stored.day), {"portfolio": stored.portfolio})])


def _set(column: str, value: Callable[[Any], Any], row: int = 0) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def edit(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[row, column] = value(rows.loc[row, column])
        return rows

    return edit


@pytest.mark.parametrize(
    ("table", "edit", "words"),
    [
        ("allocation_transactions", _set("amount", lambda amount: amount + 0.02), "transaction 1: amount is stored as"),
        ("allocation_transactions", _set("gas_cost_usd", lambda gas: gas + 1), "transaction 1: gas_cost_usd"),
        ("allocation_transactions", _set("amount_usd", lambda usd: 0.0, 2), "transaction 3: amount_usd is stored as 0"),
        ("allocation_transactions", _set("to_location", lambda _: "elsewhere"), "to_location is stored as elsewhere"),
        ("allocation_transactions", lambda rows: rows[:-1], "is stored as missing, decided again it is there"),
        ("asset_allocations", _set("amount", lambda amount: amount * 1.5), "amount is stored as"),
        ("asset_allocations", _set("value_usd", lambda usd: usd + 0.02), "value_usd is stored as"),
        ("asset_allocations", lambda rows: rows[1:], "amount is stored as 0.0"),
        ("allocation_parameters", _set("objective_usd", lambda usd: usd + 5), "objective_usd is stored as"),
        ("allocation_parameters", _set("hold_objective_usd", lambda usd: float("nan")), "hold_objective_usd is stored"),
        ("allocation_parameters", _set("status", lambda _: "timeout"), "status is stored as timeout"),
        (
            "allocation_parameters",
            _set("parameters", lambda text: json.dumps(json.loads(text) | {"horizon_days": 7.0})),
            "parameter horizon_days is stored as 7.0, decided again it is 14.0",
        ),
        (
            "allocation_problems",
            _set(
                "problem",
                lambda text: text.replace('"horizon_days": 14.0', '"horizon_days": 2.0').replace(
                    '"horizon_days":14.0', '"horizon_days":2.0'
                ),
            ),
            "parameter horizon_days is stored as 14.0, decided again it is 2.0",
        ),
    ],
)
def test_a_row_that_was_touched_is_reported(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    table: str,
    edit: Callable[[pd.DataFrame], pd.DataFrame],
    words: str,
) -> None:
    run_id = run_ids(home)[0]
    change(home, table, run_id, edit)
    assert main(["replay", run_id]) == 1
    printed = capsys.readouterr().out
    assert words in printed and "differences\n" in printed and "the same to the cent" not in printed
    assert main(["replay", run_ids(home)[1]]) == 0


def test_less_than_a_cent_is_no_difference_but_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = run_ids(home)[0]
    change(home, "allocation_transactions", run_id, _set("amount_usd", lambda usd: usd + 0.004))
    assert main(["replay", run_id]) == 0
    assert "the same to the cent (largest deviation 4.0e-03 USD)" in capsys.readouterr().out


def test_a_list_that_was_changed_afterwards_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_id, warehouse = run_ids(home)[1], warehouse_of(home)
    change_list(warehouse, "blacklist", "add", "USDT", "me", "test", datetime(2025, 2, 5, 12))
    change_list(warehouse, "protocols", "remove", "aave-v3", "me", "test", datetime(2025, 2, 6, 12))
    assert main(["replay", run_id]) == 0
    printed = capsys.readouterr().out
    assert "note: approved_tokens as of 2025-02-05 has been changed since the decision: removed USDT\n" in printed
    assert "note: blacklisted_tokens as of 2025-02-05 has been changed since the decision: added USDT\n" in printed
    assert "approved_protocols" not in printed and "the same to the cent" in printed
    assert main(["replay", run_ids(home)[2]]) == 0
    assert "approved_protocols as of 2025-02-06 has been changed" in capsys.readouterr().out


def test_a_decision_is_found_by_the_beginning_of_its_id(home: Path) -> None:
    warehouse, run_id = warehouse_of(home), run_ids(home)[0]
    for words in (run_id, run_id[:6], f" {run_id} "):
        found = find_decision(warehouse, words)
        assert (found.portfolio, str(found.day), found.run_id) == ("baseline", DAYS[0], run_id)
    assert set(found.rows(warehouse, "allocation_transactions")["run_id"]) == {run_id}
    assert "USDC" in found.snapshot("approved_tokens")
    everything = warehouse.read("allocation_parameters")
    first = everything["run_id"].str[0]
    shared = first[first.duplicated()].iloc[0] if first.duplicated().any() else None
    assert shared is not None, "nine ids with sixteen beginnings share one"
    with pytest.raises(ConfigurationError, match=f"run ids begin with '{shared}'"):
        find_decision(warehouse, shared)


@pytest.mark.parametrize("words", ["nothing", "", "zz"])
def test_an_id_that_nobody_has_is_refused_with_the_newest_there_are(
    home: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert main(["replay", words]) == 2
    refused = capsys.readouterr()
    assert refused.out == "" and len(refused.err.splitlines()) == 1
    assert f"no decision has the run id '{words}'" in refused.err and f"{DAYS[1]})" in refused.err


def test_an_empty_warehouse_says_that_it_holds_no_decisions() -> None:
    with pytest.raises(ConfigurationError, match="it holds no decisions"):
        find_decision(open_warehouse("memory:"), "abc")


def test_a_decision_without_its_problem_cannot_be_replayed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = run_ids(home)[0]
    change(home, "allocation_problems", run_id, lambda rows: rows[:0])
    assert main(["replay", run_id]) == 2
    assert "stored without its problem" in capsys.readouterr().err
    change(home, "allocation_parameters", run_id, _set("reason", lambda _: "no pool has been observed"))
    assert main(["replay", run_id]) == 2
    assert "has no problem (ok: no pool has been observed)" in capsys.readouterr().err


def test_a_stored_problem_that_is_damaged_is_refused_by_its_place(home: Path) -> None:
    run_id, warehouse = run_ids(home)[0], warehouse_of(home)
    change(home, "allocation_problems", run_id, _set("problem", lambda text: text[:-5]))
    with pytest.raises(DataError, match=f"allocation_problems, run id {run_id}: not valid JSON"):
        find_decision(warehouse, run_id).problem(warehouse)
