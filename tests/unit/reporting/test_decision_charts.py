"""Pictures of one decision, and its page."""

from __future__ import annotations

import io
import json
from datetime import date
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from defiyield_core.allocation.curves import RateCurve
from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import parameters
from defiyield_core.reporting import charts
from defiyield_core.reporting.decision import DecisionReport
from defiyield_core.reporting.decision_charts import (
    PICTURES,
    DecisionFigures,
    apy_chart,
    costs_chart,
    decision_figures,
    pool_chart,
    token_chart,
)
from defiyield_core.reporting.decision_sheet import decision_sheet, write_decision
from defiyield_core.reporting.page import PHONE
from defiyield_core.units import annualised, growth_over

DAY = date(2025, 2, 1)
AUM = 1_000_000.0
_MOVES = (
    # type, from, to, token, to_token, amount, gas, fee
    ("WITHDRAWAL", "old", "wallet", "USDC", "USDC", 100_000.0, 3.0, 0.0),
    ("CONVERSION", "wallet", "wallet", "USDC", "DAI", 150_000.0, 2.0, 60.0),
    ("ALLOCATION", "wallet", "dai", "DAI", "DAI", 149_930.0, 5.0, 0.0),
    ("ALLOCATION", "wallet", "usdc", "USDC", "USDC", 50_000.0, 5.0, 0.0),
)
_COSTS = 75.0


def _details() -> pd.DataFrame:
    rows = [
        # pool, symbol, apy, tvl, before, after
        ("usdc", "USDC", 0.05, 4e6, 200_000.0, 250_000.0),
        ("dai", "SDAI", 0.08, 2e6, 0.0, 149_930.0),
        ("old", "OLD", 0.02, 1e6, 100_000.0, 0.0),
        ("idle", "NEVER", 0.01, 1e6, 0.0, 0.0),
    ]
    frame = pd.DataFrame(
        rows, columns=["pool_id", "symbol", "apy_forecast", "tvl_usd", "value_before_usd", "value_usd"]
    )
    shares = frame["value_usd"] / AUM
    return frame.assign(
        portfolio="desk",
        date=pd.Timestamp(DAY),
        run_id="run",
        protocol="lender",
        chain="Ethereum",
        pool_group=1,
        share_of_aum=shares,
        binding="cash",
        shadow_price_bps=np.nan,
        marginal_apy=frame["apy_forecast"],
        capacity_usd=np.nan,
        break_even_apy=np.nan,
        reason="because",
    )


def _moves() -> pd.DataFrame:
    names = [
        "type",
        "from_location",
        "to_location",
        "token",
        "to_token",
        "amount_usd",
        "gas_cost_usd",
        "conversion_cost_usd",
    ]
    frame = pd.DataFrame(list(_MOVES), columns=names)
    costs = frame["gas_cost_usd"] + frame["conversion_cost_usd"]
    head = {"portfolio": "desk", "date": pd.Timestamp(DAY), "run_id": "run", "fee_token": "USDC"}
    return frame.assign(**head, seq=range(1, len(frame) + 1), amount=frame["amount_usd"], total_cost_usd=costs)


def decision(rules: dict[str, Any] | None = None, **changes: Any) -> DecisionReport:
    chosen = json.loads(parameters("default", rules or {}).model_dump_json())
    row = {"policy": "optimiser", "engine": "highs", "status": "ok", "reason": "", "notes": "", "gap_bps": 0.0}
    row |= {"objective_usd": 1900.0, "bound_usd": 1900.0, "hold_objective_usd": 1500.0, "break_even_days": 2.5}
    close = AUM - _COSTS
    daily = {"gas_usd": 15.0, "conversion_usd": 60.0, "aum_close_usd": close, "weighted_apy": 0.04}
    details = changes.pop("details", _details())
    daily["idle_usd"] = close - 399_930.0
    given = {
        "portfolio": "desk",
        "day": DAY,
        "run_id": "run",
        "row": row,
        "daily": daily,
        "details": details,
        "moves": _moves(),
        "labels": {
            pool: f"lender {symbol}" for pool, symbol in zip(details["pool_id"], details["symbol"], strict=True)
        },
        "parameters": chosen,
    }
    return DecisionReport(**{**given, **changes})


def positions() -> pd.DataFrame:
    return pd.DataFrame({"pool_id": ["usdc", "dai"], "token": ["USDC", "DAI"], "value_usd": [250_000.0, 149_930.0]})


def ledger() -> pd.DataFrame:
    rows = [("USDC", 600_000.0, 250_000.0, 0.999), ("DAI", 0.0, 149_930.0, 1.0), ("USDT", 0.0, 0.0, 1.0)]
    return pd.DataFrame(rows, columns=["token", "wallet_amount", "allocated_amount", "price_usd"])


def figures(rules: dict[str, Any] | None = None, curves: dict[str, RateCurve] | None = None) -> DecisionFigures:
    return decision_figures(decision(rules), positions(), ledger(), curves)


def test_money_by_pool_before_and_after():
    pools = figures().pools
    assert pools["label"].tolist() == ["lender USDC", "lender SDAI", "lender OLD"]
    assert pools["before_usd"].tolist() == [200_000.0, 0.0, 100_000.0]
    assert pools["after_usd"].tolist() == [250_000.0, 149_930.0, 0.0]


def test_money_by_token_in_pools_and_idle():
    tokens = figures().tokens
    assert tokens["token"].tolist() == ["USDC", "DAI"]
    assert tokens.loc[0, ["in_pools_usd", "idle_usd"]].tolist() == pytest.approx([249_750.0, 599_400.0])


def test_costs_by_type_are_all_costs_of_the_books():
    costs = figures().costs
    assert dict(zip(costs["type"], costs["usd"], strict=True)) == {
        "Gas of deposits": 10.0,
        "Gas of withdrawals": 3.0,
        "Gas of conversions": 2.0,
        "Conversion fees": 60.0,
    }
    assert costs["usd"].sum() == decision().costs_usd == _COSTS


def test_costs_that_no_move_names_are_not_hidden():
    report = decision()
    more = decision(daily={**report.daily, "gas_usd": 18.0})
    costs = decision_figures(more, positions(), ledger()).costs
    assert costs.iloc[-1].tolist() == ["Other", 3.0]


def test_without_dilution_the_rate_does_not_depend_on_the_amount():
    curve = figures({"dilution": "off"}).curves[0]
    assert curve.average_apy == pytest.approx(0.05) and curve.marginal_apy == pytest.approx(0.05)
    assert curve.chosen_usd == 250_000.0 and curve.chosen_apy == pytest.approx(0.05)
    assert curve.shared_apy[0] == pytest.approx(0.05) and (np.diff(curve.shared_apy) < 0).all()


def test_a_shared_reward_falls_by_its_formula():
    # f(V) = g V T / (T + V), f'(V) = g (T / (T + V)) ** 2, with g over 14 days and T = 2 million.
    curve = figures({"dilution": "pro_rata"}).curves[1]
    growth, share = growth_over(0.08, 14.0), 2e6 / (2e6 + curve.amount_usd)
    assert curve.average_apy == pytest.approx([annualised(growth * each, 14.0) for each in share])
    assert curve.marginal_apy == pytest.approx([annualised(growth * each**2, 14.0) for each in share])
    assert curve.chosen_apy == pytest.approx(annualised(growth * 2e6 / 2_149_930.0, 14.0))
    assert curve.shared_apy == pytest.approx(curve.average_apy)


def test_a_rate_curve_falls_faster_than_a_shared_reward():
    curves = {"usdc": RateCurve(total_supply_usd=20e6, kink=0.7, base_rate=0.0, slope1=0.04, slope2=0.6)}
    lending = figures({"dilution": "rate_curve"}, curves).curves[0]
    assert lending.average_apy[0] == pytest.approx(0.05)
    assert (lending.average_apy[1:] < 0.05).all() and (np.diff(lending.average_apy) < 0).all()
    shared = figures({"dilution": "rate_curve"}).curves[0]
    assert lending.average_apy[-1] != pytest.approx(shared.average_apy[-1])


def test_a_curve_ends_where_the_caps_do_and_never_below_what_is_held():
    ends = {curve.label: curve.amount_usd[-1] for curve in figures().curves}
    # The position cap is a quarter of AUM; 5 % of the TVL is below both positions, which were allowed to drift.
    assert ends == {"lender USDC": 250_000.0, "lender SDAI": 149_930.0}
    wide = {"tvl_limit_percentage": 0.1, "position_max_pct_pool_tvl": 0.1}
    assert figures(wide).curves[1].amount_usd[-1] == pytest.approx(200_000.0)


def test_a_pool_of_unknown_size_is_not_diluted():
    details = _details()
    details.loc[0, "tvl_usd"] = np.nan
    told = decision_figures(decision({"dilution": "pro_rata"}, details=details), positions(), ledger())
    assert told.curves[0].average_apy == pytest.approx(0.05)


@pytest.mark.parametrize("style", [charts.ChartStyle(), PHONE], ids=["wide", "phone"])
def test_every_picture_shows_something_and_cuts_nothing_off(style):
    for title, draw in PICTURES.values():
        figure = draw(figures(), style)
        image = matplotlib.image.imread(io.BytesIO(charts.to_png(figure, scale=1.0)))
        assert image.shape[1] == style.width_px
        assert 0.005 < (image[..., :3].min(axis=2) < 0.98).mean() < 0.9
        for axes in figure.axes:
            assert all(text.get_window_extent().x1 <= style.width_px for text in axes.texts)
        if style.titled:
            box = figure.legends[0]
            assert box.get_title().get_text() == title
            assert all(
                text.get_window_extent().y1 <= box.get_title().get_window_extent().y0 for text in box.get_texts()
            )


def test_bars_are_as_long_as_the_money_and_the_line_marks_what_was_before():
    axes = pool_chart(figures()).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([250_000, 149_930, 0, AUM - _COSTS - 399_930])
    crossed = [line.get_xdata()[0] for line in axes.get_lines() if line.get_xdata()[0] > 0]
    assert crossed == [200_000.0, 100_000.0]


def test_many_pools_are_added_up_in_a_last_bar():
    many = pd.DataFrame({"label": [f"p{n}" for n in range(20)], "before_usd": 0.0, "after_usd": 10.0})
    told = figures()
    wide = DecisionFigures(many, told.tokens, told.costs, 0.0, 200.0, (), "off")
    axes = pool_chart(wide).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()][-2:] == ["6 more pools", "idle in the wallet"]
    assert axes.patches[-2].get_width() == pytest.approx(60.0)


def test_the_chosen_amount_lies_on_its_curve():
    axes = apy_chart(figures({"dilution": "pro_rata"})).axes[0]
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], round(line.get_ydata()[0], 6)) for line in dots] == [
        (curve.chosen_usd, round(curve.chosen_apy, 6)) for curve in figures({"dilution": "pro_rata"}).curves
    ]


def test_a_day_without_a_decision_shows_what_is_held():
    report = decision(details=_details().iloc[:0], moves=_moves().iloc[:0])
    report = decision(
        details=report.details, moves=report.moves, daily={**report.daily, "gas_usd": 0.0, "conversion_usd": 0.0}
    )
    told = decision_figures(report, positions(), ledger())
    assert told.pools["before_usd"].tolist() == told.pools["after_usd"].tolist() == [250_000.0, 149_930.0]
    assert told.curves == () and told.costs["usd"].sum() == 0.0
    for draw in (pool_chart, token_chart, apy_chart, costs_chart):
        charts.to_png(draw(told), scale=1.0)
    page = decision_sheet(report, told)
    assert "Nothing was decided" in page and "APY against amount" not in page


def test_an_empty_book_has_pictures_too():
    empty = DecisionFigures(figures().pools.iloc[:0], figures().tokens.iloc[:0], figures().costs, 0.0, 0.0, (), "off")
    for _, draw in PICTURES.values():
        charts.to_png(draw(empty, PHONE), scale=1.0)


def test_the_page_tells_the_decision_and_escapes_names():
    report = decision(labels={"usdc": "lender <USDC>", "dai": "lender SDAI", "old": "OLD", "idle": "NEVER"})
    page = decision_sheet(report, decision_figures(report, positions(), ledger()))
    assert "lender <USDC>" not in page and "lender &lt;USDC&gt;" in page
    for part in ("+$400.00", "2.5 days", "$75.00", "4 moves of $449,930", "Not used", "gap 0.0000 bps", "http-equiv"):
        assert part in page
    assert "<script" not in page


def test_files_are_the_page_and_a_png_of_each_picture(tmp_path):
    report, told = decision(), figures()
    paths = write_decision(tmp_path / "out", report, told)
    assert [path.name for path in paths] == ["decision.html", *(f"{name}.png" for name in PICTURES)]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[1:])
    assert paths[0].read_text() == decision_sheet(report, told)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_decision(paths[0] / "below", report, told)
