"""Presets, bounds and the id of the eligibility rules."""

from __future__ import annotations

import pytest

from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import PRESETS, parameters


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_is_valid(preset):
    assert parameters(preset).horizon_days > 0


def test_default_differs_from_seed_where_the_domain_says_so():
    seed, default = parameters("seed"), parameters("default")
    assert (seed.horizon_days, default.horizon_days) == (1, 14)
    assert seed.full_allocation and not default.full_allocation
    assert (seed.gas, default.gas) == ("flat_21k", "realistic")
    assert default.min_position_usd(1_000_000) == 10_000 and seed.min_position_usd(1_000_000) == 50
    assert parameters("small_book").required_pools == 1


def test_the_tightest_cap_counts_and_profit_optimisation_lifts_it():
    rules = parameters("seed", {"max_alloc_percentage": 0.2, "position_max_pct_pool_tvl": 0.01})
    assert rules.position_cap_share == 0.2 and rules.pool_tvl_share == 0.01
    loose = rules.with_overrides({"profit_optimization": True})
    assert loose.position_cap_share == 1.0 and loose.required_pools == 1


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ({"max_alloc_percentage": 1.2}, "max_alloc_percentage"),
        ({"horizon_days": 0}, "horizon_days"),
        ({"prices": "guess"}, "prices"),
        ({"no_such": 1}, "no_such"),
        ({"pool_apy_limit": float("nan")}, "pool_apy_limit"),
        ({"pool_pair_tvl_ratio_min": 0.9}, "pool_pair_tvl_ratio_min"),
    ],
)
def test_a_wrong_value_is_refused_by_name(override, word):
    with pytest.raises(ConfigurationError, match=word):
        parameters("default", override)


def test_the_ruleset_changes_with_eligibility_and_with_nothing_else():
    default = parameters()
    assert default.with_overrides({"max_alloc_percentage": 0.5}).ruleset == default.ruleset
    assert default.with_overrides({"pool_tvl_limit": 1.0}).ruleset != default.ruleset
