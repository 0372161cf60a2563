"""A set of scenarios: what may stand in it, its variants, its days, the parameters that differ."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.reporting.scenario_effects import parameter_effects
from defiyield_core.reporting.scenario_tradeoffs import compare, seed_spread, trade_offs
from defiyield_core.reporting.scenarios import NOT_SET, Scenario, checked, common_days, differing, variants
from tests.unit.reporting.scenario_frames import positions, scenario


def test_the_order_is_that_of_names_with_numbers_as_numbers():
    given = [scenario(name) for name in ("run_10", "run_2", "baseline", "run_1")]
    assert [item.name for item in checked(given)] == ["baseline", "run_1", "run_2", "run_10"]
    assert [item.name for item in checked(given[::-1])] == ["baseline", "run_1", "run_2", "run_10"]


def test_a_set_needs_runs_with_names_of_their_own():
    with pytest.raises(DataError, match="none"):
        checked([])
    with pytest.raises(DataError, match="twin named twice"):
        checked([scenario("twin"), scenario("twin"), scenario("other")])
    with pytest.raises(DataError, match="a name is needed"):
        scenario("  ")


@pytest.mark.parametrize("column", ["n_positions", "weighted_apy", "aum_close_usd"])
def test_rows_that_lack_a_column_are_refused_with_the_name_of_the_run(column):
    rows = scenario("desk").daily.drop(columns=column)
    with pytest.raises(DataError, match=f"'narrow'.*{column}"):
        scenario("narrow", daily=rows)


def test_concentration_is_known_from_positions_and_survives_dropping_them():
    whole = scenario("s", positions=positions({"a": 300.0, "b": 100.0}), hhi=None)
    assert whole.hhi == pytest.approx(0.75**2 + 0.25**2)
    lean = whole.lean()
    assert lean.positions is None and lean.hhi == pytest.approx(0.625)
    assert math.isnan(scenario("unknown", hhi=None).hhi)


def test_runs_that_differ_in_their_seed_only_are_one_variant():
    runs = [
        scenario(f"cap {cap} seed {seed}", seed=seed, parameters={"cap": cap}) for cap in (1, 2) for seed in (7, 8, 9)
    ]
    assert set(variants(runs).values()) == {"cap 1", "cap 2"}
    grouped = [
        scenario(run.name, seed=run.seed, parameters=run.parameters, group=f"g{run.parameters['cap']}") for run in runs
    ]
    assert variants(grouped)["cap 2 seed 8"] == "g2"


def test_a_group_of_a_whole_file_does_not_merge_what_differs():
    runs = [
        scenario(f"{cap}_{seed}", seed=seed, parameters={"cap": cap}, group="file") for cap in (1, 2) for seed in (0, 1)
    ]
    assert variants(runs) == {"1_0": "1", "1_1": "1", "2_0": "2", "2_1": "2"}


def test_equal_runs_without_a_seed_are_variants_of_their_own():
    assert variants([scenario("a"), scenario("b")]) == {"a": "a", "b": "b"}


def test_scenarios_are_cut_to_the_days_that_all_have():
    long, late = scenario("long", days=20), scenario("late", first="2025-01-11", days=20)
    cut, note = common_days((long, late))
    assert [len(item.daily) for item in cut] == [10, 10]
    assert note == "Compared on the 10 days that all runs have: 2025-01-11 to 2025-01-20."
    assert common_days((long, long)) == ((long, long), "")
    with pytest.raises(DataError, match="no day is in all"):
        common_days((long, scenario("other", first="2026-01-01")))


def test_only_what_differs_is_a_column():
    a = scenario("a", parameters={"cap": 0.25, "same": 1})
    b = scenario("b", parameters={"cap": 0.5, "same": 1, "extra": True}, policy="equal_weight")
    frame = differing([a, b])
    assert list(frame.columns) == ["policy", "cap", "extra"]
    assert frame.loc["a", "extra"] == NOT_SET and frame.loc["b", "extra"] is True
    assert differing([a]).empty


# Comparison


def test_the_best_comes_first_and_a_bound_has_no_rank():
    runs = [scenario("low", 1e-4), scenario("high", 2e-4), scenario("perfect_foresight", 5e-4)]
    means = compare(runs, "low").means
    assert list(means.index) == ["perfect_foresight", "high", "low"]
    assert means["rank"].tolist()[1:] == [1, 2] and pd.isna(means["rank"].iloc[0])
    assert not means.loc["perfect_foresight", "not_dominated"]


def test_the_baseline_is_found_by_name_or_refused():
    runs = [scenario("b seed 1", seed=1), scenario("b seed 2", seed=2), scenario("a", parameters={"x": 1})]
    assert compare(runs).baseline == "a"
    assert compare([*runs, scenario("baseline", parameters={"x": 2})]).baseline == "baseline"
    assert compare(runs, "b seed 2").baseline == "b"
    with pytest.raises(ConfigurationError, match=r"no scenario 'c'.*a, b"):
        compare(runs, "c")


def test_trade_offs_say_what_was_gained_and_what_it_cost():
    base = scenario("baseline", 1e-4, fee_usd=1000.0, hhi=0.2)
    bold = scenario("bold", 5e-4, fee_usd=3000.0, hhi=0.4, fall=0.001)
    calm = scenario("calm", 0.5e-4, fee_usd=100.0, hhi=0.1)
    poor = scenario("poor", 0.4e-4, fee_usd=1500.0, hhi=0.2)
    said = {sentence.split()[0]: sentence for sentence in trade_offs(compare([base, bold, calm, poor]))}
    assert "more than baseline. For that it paid $2,000 more in fees" in said["bold"]
    assert "fell deeper at worst" in said["bold"] and "(HHI 0.40 against 0.20)" in said["bold"]
    assert "less than baseline. In return it paid $900 less in fees" in said["calm"]
    assert "It got nothing in return. It also paid $500 more in fees" in said["poor"]


def test_a_sentence_counts_points_of_net_apy():
    base, more = scenario("baseline", 1e-4), scenario("more", 1.5e-4)
    points = (more.figures.net_apy - base.figures.net_apy) * 100
    expected = f"more earned {points:.2f} points a year more than baseline. Nothing else that is weighed was worse."
    assert trade_offs(compare([base, more])) == (expected,)


def test_equal_runs_are_called_equal():
    said = trade_offs(compare([scenario("baseline"), scenario("twin", 1e-4 + 1e-9)]))
    assert said == (
        "twin earned the same as baseline to a basis point a year. Nothing else that is weighed differs either.",
    )


def test_books_of_different_size_compare_fees_as_shares():
    base = scenario("baseline", fee_usd=1000.0)
    small = scenario("small", fee_usd=1000.0, opening_usd=100_000.0)
    comparison = compare([base, small])
    assert not comparison.in_usd
    assert "bps of NAV more in fees" in trade_offs(comparison)[0]


def test_seeds_are_compared_pairwise():
    # On another seed everything earns more: a variant without the poor seed must not look better for it.
    base = [scenario(f"base seed {seed}", rate, seed=seed) for seed, rate in ((1, 1e-4), (2, 3e-4))]
    other = [scenario("other seed 2", 2.9e-4, seed=2, parameters={"x": 1})]
    comparison = compare([*base, *other], "base")
    assert comparison.means.loc[other[0].name, "net_apy"] > comparison.means.loc["base", "net_apy"]
    assert comparison.more_apy(other[0].name) == pytest.approx(other[0].figures.net_apy - base[1].figures.net_apy)


def test_the_spread_over_seeds_counts_how_often_a_variant_is_ahead():
    rates = {"base": (1e-4, 2e-4, 3e-4), "other": (1.1e-4, 1.9e-4, 3.1e-4)}
    runs = [
        scenario(f"{name} seed {seed}", rate, seed=seed, parameters={"x": name})
        for name, each in rates.items()
        for seed, rate in enumerate(each)
    ]
    spread = seed_spread(compare(runs, "base")).set_index("variant")
    assert spread.loc["other", "ahead"] == pytest.approx(2 / 3) and math.isnan(spread.loc["base", "ahead"])
    own = [run.figures.net_apy for run in runs[3:]]
    assert spread.loc["other", ["worst", "best"]].tolist() == [min(own), max(own)]
    assert spread.loc["other", "deviation"] == pytest.approx(pd.Series(own).std())
    assert seed_spread(compare(runs[:1])).empty


# Which parameter matters


def _effect(runs: list[Scenario], baseline: str | None = None) -> pd.DataFrame:
    return parameter_effects(compare(runs, baseline)).set_index(["parameter", "value"])


def test_a_full_matrix_gives_the_means_by_value():
    runs = [
        scenario(f"{a}-{b}", 1e-4 * (1 + a) + 1e-5 * b, parameters={"a": a, "b": b}) for a in (0, 1) for b in (0, 1, 2)
    ]
    effects = _effect(runs)
    of_a1 = [run.figures.net_apy for run in runs if run.parameters["a"] == 1]
    assert effects.loc[("a", "1"), "mean_net_apy"] == pytest.approx(sum(of_a1) / 3)
    assert effects.loc[("a", "1"), ["lowest", "highest"]].tolist() == [min(of_a1), max(of_a1)]
    assert effects.index[0] == ("a", "0")  # it moves net APY most
    assert effects["is_matched"].all()


def test_one_at_a_time_each_value_is_held_against_the_run_that_differs_in_nothing_else():
    base = scenario("baseline", 2e-4, parameters={"cost": 1, "cap": 1})
    dear = scenario("dear", 1.9e-4, parameters={"cost": 2, "cap": 1})
    weak = scenario("weak", 0.2e-4, parameters={"cost": 1, "cap": 2})
    effects = _effect([base, dear, weak])
    # The plain mean of cost 1 would be dragged below cost 2 by `weak`.
    assert effects.loc[("cost", "1"), "mean_net_apy"] == pytest.approx(base.figures.net_apy)
    assert effects.loc[("cost", "2"), "mean_net_apy"] == pytest.approx(dear.figures.net_apy)


def test_without_a_partner_it_is_a_plain_mean_and_says_so():
    runs = [scenario("one", 1e-4, parameters={"a": 1, "b": 1}), scenario("two", 2e-4, parameters={"a": 2, "b": 3})]
    runs.append(scenario("three", 3e-4, parameters={"a": 1, "b": 2}))
    assert parameter_effects(compare(runs)).set_index("parameter")["is_matched"].to_dict() == {"a": False, "b": True}


def test_parameters_that_always_change_together_are_one_row():
    runs = [scenario(f"s{cap}", cap * 1e-4, parameters={"max": cap, "most": cap, "x": 3}) for cap in (1, 2)]
    effects = parameter_effects(compare(runs))
    assert effects["parameter"].tolist() == ["max, most"] * 2 and effects["value"].tolist() == ["1", "2"]


def test_many_numbers_become_ranges_in_order():
    runs = [scenario(f"s{number}", 1e-4, parameters={"cap": number / 8}) for number in range(8)]
    effects = parameter_effects(compare(runs))
    assert effects["value"].tolist() == ["0 to 0.125", "0.25 to 0.375", "0.5 to 0.625", "0.75 to 0.875"]
    assert effects["runs"].tolist() == [2, 2, 2, 2]


def test_nothing_differs_no_effect():
    assert parameter_effects(compare([scenario("a"), scenario("b")])).empty
