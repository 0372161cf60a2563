"""Portfolio files."""

from __future__ import annotations

from pathlib import Path

import pytest

from defiyield_core.errors import ConfigurationError
from defiyield_core.policies import policy_for
from defiyield_core.portfolio.spec import find_portfolio, load_portfolio, load_portfolios
from defiyield_core.settings import Settings

SHIPPED = Settings.from_environment({}).portfolios


def test_the_shipped_portfolios_load_and_their_policies_exist():
    specs = load_portfolios(SHIPPED)
    assert {"live", "baseline", "high_max_allocation", "equal_weight", "hold_aave_usdc"} <= set(specs)
    for spec in specs.values():
        policy_for(spec.policy, spec.parameters, spec.policy_options)
    assert specs["baseline"].wallet == {"USDC": 1_000_000}
    assert specs["high_max_allocation"].parameters.position_cap_share == 0.5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: A\nwallet: {USDC: 1}", "name"),
        ("name: a\nwallet: {}", "wallet"),
        ("name: a\nwallet: {USDC: -1}", "wallet"),
        ("name: a\nwallet: {USDC: .nan}", "wallet"),
        ("name: a\nwallet: {USDC: 1, usdc: 2}", "every token once"),
        ("name: a\nwallet: {USDC: 1}\nflows: {2025-01-01: {dai: 1, DAI: 2}}", "flows of 2025-01-01"),
        ("name: a\nwallet: {USDC: 1}\nflows: {2025-01-01: {DAI: .inf}}", "finite"),
        ("name: a\nwallet: {USDC: 1}\noverrides: {min_pool: 2}", "min_pool"),
        ("name: a\nwallet: {USDC: 1}\npreset: bold", "bold"),
        ("name: a\nwallet: {USDC: 1}\noverrides: {icebox_low_depth: 0.5}", "icebox_low_depth.*every portfolio"),
        ("name: a\nwallet: {USDC: 1}\ncolour: red", "colour"),
        ("- a list", "mapping"),
        ("name: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_with_its_path_and_field(tmp_path: Path, text: str, words: str):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words) as refused:
        load_portfolio(path)
    assert "wrong.yaml" in str(refused.value) and "\n" not in str(refused.value)


def test_two_files_with_one_name_and_an_unknown_name_are_refused(tmp_path: Path):
    for file in ("one.yaml", "two.yaml"):
        (tmp_path / file).write_text("name: same\nwallet: {USDC: 1}")
    with pytest.raises(ConfigurationError, match="taken"):
        load_portfolios(tmp_path)
    with pytest.raises(ConfigurationError, match="there are baseline"):
        find_portfolio(SHIPPED, "nobody")
    with pytest.raises(ConfigurationError, match="does not exist"):
        load_portfolios(tmp_path / "missing")


def test_an_unknown_policy_or_option_is_refused():
    rules = find_portfolio(SHIPPED, "baseline").parameters
    with pytest.raises(ConfigurationError, match="unknown policy 'magic'"):
        policy_for("magic", rules, {})
    with pytest.raises(ConfigurationError, match="speed"):
        policy_for("equal_weight", rules, {"speed": 3})
    with pytest.raises(ConfigurationError, match="protocol and token"):
        policy_for("hold_pool", rules, {})
