"""Profit by pool, protocol, chain, token and cause: worked books, books made at random, and bad input."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defiyield_core.errors import DataError, LedgerError
from defiyield_core.reporting.attribution import CAUSES, attribute, to_cents
from tests.unit.reporting.sample_frames import PORTFOLIOS, sample_tables

POOLS = pd.DataFrame(
    {"pool_id": ["a", "b", "c"], "protocol": ["aave", "aave", "sky"], "chain": ["Ethereum", "Base", "Base"]}
)
TOKENS = ("DAI", "USDC")
HOME = {"a": ("USDC",), "b": ("DAI", "USDC"), "c": ("DAI",)}
TABLES = ("portfolio_daily", "asset_allocations", "allocation_transactions", "daily_ledger")


class Books:
    """Books kept by hand: amounts by place and token, and the rows that a day leaves."""

    def __init__(self, wallet: dict[str, float]) -> None:
        self.amounts: dict[tuple[str, str], float] = defaultdict(float)
        self.price = dict.fromkeys(TOKENS, 1.0)
        for token, amount in wallet.items():
            self.amounts["wallet", token] = amount
        self.day = pd.Timestamp("2025-01-01")
        self.rows: dict[str, list[dict]] = {name: [] for name in TABLES}

    def value(self) -> float:
        return math.fsum(amount * self.price[token] for (_, token), amount in self.amounts.items())

    def close(
        self,
        growth: dict[str, float] | None = None,
        price: dict[str, float] | None = None,
        haircut: dict[str, float] | None = None,
        flows: dict[str, float] | None = None,
        trades: list[tuple] = (),
    ) -> None:
        """A day. Trades are (type, from, to, token, to_token, amount, gas, fee), costs paid in USDC."""
        opening, sums = self.value(), {name: dict.fromkeys(TOKENS, 0.0) for name in ("accrual", "revaluation", "fees")}
        now = self.price | (price or {})
        for (place, token), amount in list(self.amounts.items()):
            gained = amount * (growth or {}).get(place, 0.0)
            lost = (amount + gained) * (haircut or {}).get(place, 0.0)
            sums["accrual"][token] += gained * self.price[token]
            sums["revaluation"][token] += (amount + gained) * (now[token] - self.price[token]) - lost * now[token]
            self.amounts[place, token] = amount + gained - lost
        self.price = now
        flowed = {token: (flows or {}).get(token, 0.0) * now[token] for token in TOKENS}
        for token, amount in (flows or {}).items():
            self.amounts["wallet", token] += amount
        gas = fees = 0.0
        for seq, (kind, source, target, token, to_token, amount, gas_usd, fee_usd) in enumerate(trades, start=1):
            self.amounts[source, token] -= amount
            self.amounts[target, to_token] += amount * now[token] / now[to_token]
            self.amounts["wallet", "USDC"] -= (gas_usd + fee_usd) / now["USDC"]
            gas, fees = gas + gas_usd, fees + fee_usd
            self.rows["allocation_transactions"].append(
                {
                    "portfolio": "p",
                    "date": self.day,
                    "seq": seq,
                    "type": kind,
                    "from_location": source,
                    "to_location": target,
                    "token": token,
                    "to_token": to_token,
                    "amount": amount,
                    "gas_cost_usd": gas_usd,
                    "conversion_cost_usd": fee_usd,
                    "total_cost_usd": gas_usd + fee_usd,
                    "fee_token": "USDC" if gas_usd + fee_usd else None,
                }
            )
        sums["fees"]["USDC"] = gas + fees
        self._write(opening, sums, flowed, gas, fees)

    def _write(self, opening: float, sums: dict, flowed: dict, gas: float, fees: float) -> None:
        held = {key: amount for key, amount in self.amounts.items() if key[0] != "wallet" and amount > 0}
        self.rows["asset_allocations"] += [
            {"portfolio": "p", "date": self.day, "pool_id": pool, "token": token, "amount": amount}
            for (pool, token), amount in held.items()
        ]
        touched = [
            token
            for token in TOKENS
            if self.amounts["wallet", token] > 0
            or any(key[1] == token for key in held)
            or any(sums[name][token] for name in sums)
        ]
        self.rows["daily_ledger"] += [
            {
                "portfolio": "p",
                "date": self.day,
                "token": token,
                "wallet_amount": self.amounts["wallet", token],
                "price_usd": self.price[token],
                "accrual_usd": sums["accrual"][token],
                "revaluation_usd": sums["revaluation"][token],
            }
            for token in touched
        ]
        row = {"portfolio": "p", "date": self.day, "aum_open_usd": opening, "aum_close_usd": self.value()}
        row |= {f"{name}_usd": math.fsum(sums[name].values()) for name in ("accrual", "revaluation")}
        row |= {"flows_usd": math.fsum(flowed.values()), "gas_usd": gas, "conversion_usd": fees, "status": "ok"}
        row |= {"forecast_accrual_usd": 0.0, "idle_usd": 0.0, "turnover_usd": 0.0}
        self.rows["portfolio_daily"].append(row)
        self.day += pd.Timedelta(days=1)

    def frames(self) -> dict[str, pd.DataFrame]:
        columns = ["portfolio", "date", "seq", "type", "from_location", "to_location", "token", "to_token", "amount"]
        columns += ["gas_cost_usd", "conversion_cost_usd", "total_cost_usd", "fee_token"]
        frames = {name: pd.DataFrame(rows) for name, rows in self.rows.items()}
        frames["allocation_transactions"] = pd.DataFrame(self.rows["allocation_transactions"], columns=columns)
        if frames["asset_allocations"].empty:
            frames["asset_allocations"] = pd.DataFrame(columns=["portfolio", "date", "pool_id", "token", "amount"])
        return frames


def parts_of(frames: dict[str, pd.DataFrame], pools: pd.DataFrame = POOLS):
    return attribute(*(frames[name] for name in TABLES), pools)


def as_dict(frame: pd.DataFrame) -> dict:
    keys = frame.columns.drop("usd").tolist()
    return frame.set_index(keys[0] if len(keys) == 1 else keys)["usd"].to_dict()


@pytest.fixture
def two_days() -> Books:
    """1000 USDC: 400 into `a`, 200 swapped and put into `c` with a fee; then rates, prices, a withdrawal and a flow."""
    books = Books({"USDC": 1000.0})
    books.close(
        trades=[
            ("ALLOCATION", "wallet", "a", "USDC", "USDC", 400.0, 3.0, 0.0),
            ("CONVERSION", "wallet", "wallet", "USDC", "DAI", 200.0, 1.0, 0.5),
            ("ALLOCATION", "wallet", "c", "DAI", "DAI", 200.0, 2.0, 0.0),
        ]
    )
    books.close(
        growth={"a": 0.01, "c": -0.02},
        price={"DAI": 0.9},
        flows={"USDC": 77.0},
        trades=[("WITHDRAWAL", "a", "wallet", "USDC", "USDC", 404.0, 4.0, 0.0)],
    )
    return books


def test_a_day_worked_by_hand(two_days):
    found = parts_of(two_days.frames())
    assert as_dict(found.by("pool_id", "cause")) == pytest.approx(
        {
            ("a", "accrual"): 4.0,
            ("a", "gas"): -7.0,
            ("c", "accrual"): -4.0,
            ("c", "gas"): -2.0,
            ("c", "revaluation"): -19.6,
            ("wallet", "conversion"): -0.5,
            ("wallet", "gas"): -1.0,
        }
    )
    assert as_dict(found.by("protocol")) == pytest.approx({"aave": -3.0, "sky": -25.6, "wallet": -1.5})
    assert as_dict(found.by("chain")) == pytest.approx({"Base": -25.6, "Ethereum": -3.0, "wallet": -1.5})
    assert as_dict(found.by("token")) == pytest.approx({"DAI": -23.6, "USDC": -6.5})
    assert found.total_usd == pytest.approx(-30.1)
    assert abs(found.remainder_usd) < 1e-9


def test_idle_money_is_revalued_in_the_wallet():
    books = Books({"DAI": 100.0})
    books.close()
    books.close(price={"DAI": 1.02})
    lines = parts_of(books.frames()).lines
    assert lines[["pool_id", "token", "cause"]].to_numpy().tolist() == [["wallet", "DAI", "revaluation"]]
    assert lines["usd"].tolist() == pytest.approx([2.0])


def test_the_haircut_of_a_pool_that_is_gone_is_revaluation_and_not_a_negative_rate():
    books = Books({"USDC": 1000.0})
    books.close(trades=[("ALLOCATION", "wallet", pool, "USDC", "USDC", 300.0, 0.0, 0.0) for pool in ("a", "b")])
    books.close(growth={"a": 0.01}, haircut={"b": 0.25})
    found = parts_of(books.frames())
    assert as_dict(found.by("pool_id", "cause")) == pytest.approx({("a", "accrual"): 3.0, ("b", "revaluation"): -75.0})


def test_a_haircut_at_another_price_is_told_from_the_change_of_the_price():
    books = Books({"USDC": 1000.0})
    books.close(trades=[("ALLOCATION", "wallet", "b", "USDC", "USDC", 300.0, 0.0, 0.0)])
    books.close(haircut={"b": 0.5}, price={"USDC": 0.9})
    found = parts_of(books.frames())
    assert as_dict(found.by("pool_id")) == pytest.approx({"b": -165.0, "wallet": -70.0})
    assert as_dict(found.by("cause")) == pytest.approx({"revaluation": -235.0})


def test_a_pool_without_labels_is_unknown(two_days):
    found = parts_of(two_days.frames(), POOLS[POOLS["pool_id"] != "c"])
    assert as_dict(found.by("protocol")) == pytest.approx({"aave": -3.0, "unknown": -25.6, "wallet": -1.5})


def test_the_last_label_of_a_pool_counts(two_days):
    renamed = POOLS.assign(protocol="new", date=pd.Timestamp("2025-01-02"))
    pools = pd.concat([renamed, POOLS.assign(date=pd.Timestamp("2025-01-01"))])
    assert set(parts_of(two_days.frames(), pools).lines["protocol"]) == {"new", "wallet"}


def test_a_run_in_which_nothing_happens_has_no_lines():
    books = Books({"USDC": 10.0})
    books.close()
    found = parts_of(books.frames())
    assert (len(found.lines), found.total_usd, found.remainder_usd) == (0, 0.0, 0.0)
    assert len(found.in_cents("cause")) == 0


def test_a_part_of_a_run_needs_the_close_before_it(two_days):
    frames = two_days.frames()
    frames["portfolio_daily"] = frames["portfolio_daily"].iloc[1:]
    assert parts_of(frames).total_usd == pytest.approx(-23.6)
    frames["asset_allocations"] = frames["asset_allocations"].iloc[2:]
    with pytest.raises(LedgerError, match="day before"):
        parts_of(frames)


@pytest.mark.parametrize("column", [f"{cause}_usd" for cause in CAUSES])
def test_books_that_do_not_add_up_are_refused(two_days, column):
    frames = two_days.frames()
    frames["portfolio_daily"].loc[1, column] += 0.01
    with pytest.raises(LedgerError, match=rf"{column[:-4]} on 2025-01-02 is"):
        parts_of(frames)


def test_a_gain_without_a_cause_is_refused(two_days):
    frames = two_days.frames()
    frames["portfolio_daily"].loc[1, "aum_close_usd"] += 0.01
    with pytest.raises(LedgerError, match=r"0\.0100 USD of the books' gain have no cause"):
        parts_of(frames)


def test_a_missing_day_is_refused(two_days):
    two_days.close()
    frames = two_days.frames()
    frames["portfolio_daily"] = frames["portfolio_daily"].drop(index=1)
    with pytest.raises(DataError, match="2025-01-02 is missing"):
        parts_of(frames)


def test_rows_of_another_portfolio_are_refused(two_days):
    frames = two_days.frames()
    frames["daily_ledger"]["portfolio"] = "q"
    with pytest.raises(DataError, match=r"\['q'\] among those of 'p'"):
        parts_of(frames)


def test_pools_without_a_chain_are_refused(two_days):
    with pytest.raises(DataError, match="chain"):
        parts_of(two_days.frames(), POOLS.drop(columns="chain"))


@pytest.mark.parametrize("names", [(), ("pool",), ("token", "token"), ("usd",)])
def test_sums_by_what_is_no_dimension_are_refused(two_days, names):
    with pytest.raises(DataError, match="choose among"):
        parts_of(two_days.frames()).by(*names)


@pytest.mark.parametrize("portfolio", PORTFOLIOS)
def test_the_sample_books_come_apart_to_the_cent(portfolio):
    tables = sample_tables()
    frames = {name: frame[frame["portfolio"] == portfolio] for name, frame in tables.items() if name in TABLES}
    found = attribute(*(frames[name] for name in TABLES), tables["pools"])
    by_token = found.lines.pivot_table(index="token", columns="cause", values="usd", aggfunc="sum", fill_value=0.0)
    ledger = frames["daily_ledger"].groupby("token")[["accrual_usd", "revaluation_usd"]].sum()
    for cause in ("accrual", "revaluation"):
        assert by_token[cause].to_dict() == pytest.approx(
            ledger[f"{cause}_usd"].reindex(by_token.index).to_dict(), abs=1e-6
        )
    for names in (("pool_id",), ("protocol", "cause"), ("token",), ("date",)):
        assert found.in_cents(*names)["cents"].sum() == round(found.total_usd * 100)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_random_books_come_apart_whatever_happens(seed):
    random = np.random.default_rng(seed)
    books = Books({"USDC": 10_000.0, "DAI": 5_000.0})
    books.close()
    expected: dict[str, float] = defaultdict(float)
    for _ in range(12):
        growth = {pool: float(random.normal(0.0, 0.01)) for pool in HOME}
        price = {token: float(books.price[token] * (1 + random.normal(0, 0.005))) for token in TOKENS}
        for (place, token), amount in books.amounts.items():
            expected[place] += amount * (1 + growth.get(place, 0.0)) * price[token] - amount * books.price[token]
        trades, left = [], dict.fromkeys(TOKENS, 0.2)
        for pool in random.permutation(list(HOME)):
            for token in HOME[pool]:
                gas = float(random.uniform(0, 3))
                if random.random() < 0.3:
                    amount = books.amounts["wallet", token] * left[token] * 0.5
                    trades.append(("ALLOCATION", "wallet", str(pool), token, token, amount, gas, 0.0))
                elif books.amounts[pool, token] > 1 and random.random() < 0.3:
                    amount = books.amounts[pool, token] * (1 + growth[pool])
                    trades.append(("WITHDRAWAL", str(pool), "wallet", token, token, amount, gas, 0.0))
                else:
                    continue
                expected[str(pool)] -= gas
        if random.random() < 0.4:
            amount, fee = books.amounts["wallet", "USDC"] * 0.1, float(random.uniform(0, 2))
            trades.append(("CONVERSION", "wallet", "wallet", "USDC", "DAI", amount, 1.0, fee))
            expected["wallet"] -= 1.0 + fee
        books.close(growth, price, flows={"USDC": float(random.uniform(-50, 50))}, trades=trades)
    found = parts_of(books.frames())
    assert as_dict(found.by("pool_id")) == pytest.approx(
        {place: usd for place, usd in expected.items() if usd}, abs=1e-6
    )
    assert found.in_cents("pool_id", "token", "cause")["cents"].sum() == round(found.total_usd * 100)


def test_cents_go_to_those_that_rounding_robs_most():
    assert to_cents(np.array([0.333, 0.333, 0.334]), 1.0).tolist() == [33, 33, 34]
    assert to_cents(np.array([-0.005, -0.005]), -0.01).tolist() == [0, -1]


def test_cents_of_a_total_that_is_rounded_itself():
    assert to_cents(np.array([1.0, 2.0]), 3.004).tolist() == [100, 200]
    assert to_cents(np.array([]), 0.004).tolist() == []


def test_amounts_that_are_not_the_total_are_refused():
    with pytest.raises(DataError, match="off the total"):
        to_cents(np.array([1.0]), 1.02)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_cents_always_add_up_and_no_amount_is_a_cent_off(amounts):
    values = np.array(amounts)
    cents = to_cents(values, math.fsum(amounts))
    assert cents.sum() == round(math.fsum(amounts) * 100)
    assert (np.abs(cents - values * 100) < 1 + 1e-6).all()
