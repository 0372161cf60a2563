"""Matrix files: the cells they make and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from defiyield_core.backtest.matrix import SHIPPED, load_matrix, matrix_path
from defiyield_core.errors import ConfigurationError
from defiyield_core.settings import Settings

PORTFOLIOS = Settings.from_environment({}).portfolios


def matrix(tmp_path: Path, text: str, source: str = "recorded:/data"):
    path = tmp_path / "matrix.yaml"
    path.write_text(text)
    return load_matrix(path, PORTFOLIOS, source)


def test_cells_are_every_combination(tmp_path):
    text = """
name: caps
portfolios: [baseline, low_tvl_limit]
modes: [carry, compounded]
parameters: {conversion_rate: [0.0004, 0.001], horizon_days: [7, 14, 30]}
wallets: [{usdc: 1000}]
start: 2025-02-01
"""
    made = matrix(tmp_path, text)
    assert len(made.cells) == 2 * 2 * 2 * 3 and made.start is not None and made.end is None
    last = made.cells[-1]
    assert last.name == "low_tvl_limit compounded 1000 USDC conversion_rate=0.001 horizon_days=30"
    assert (last.spec.mode, last.spec.wallet) == ("compounded", {"USDC": 1000.0})
    assert (last.spec.parameters.conversion_rate, last.spec.parameters.horizon_days) == (0.001, 30.0)
    assert last.spec.parameters.tvl_limit_percentage == 0.01
    assert len({cell.name for cell in made.cells}) == len(made.cells)


def test_seeds_draw_markets_and_policies_and_nothing_else(tmp_path):
    text = "name: seeds\nportfolios: [baseline, random_weights]\nseeds: [4, 5]\n"
    recorded = matrix(tmp_path, text)
    assert [(cell.name, cell.seed) for cell in recorded.cells] == [
        ("baseline", None),
        ("random_weights seed=4", 4),
        ("random_weights seed=5", 5),
    ]
    assert recorded.cells[2].spec.policy_options["seed"] == 5
    assert recorded.notes == ("seeds change nothing for baseline: neither its policy nor its market draws",)
    simulated = matrix(tmp_path, text, "simulated:9")
    assert [cell.source for cell in simulated.cells] == ["simulated:4", "simulated:5"] * 2 and not simulated.notes


def test_wrong_files_are_refused_with_their_reason(tmp_path):
    head = "name: x\nportfolios: [baseline]\n"
    for text, words in (
        ("- a list", "mapping"),
        ("name: x\nportfolios: []\n", "portfolios"),
        ("name: x\nportfolios: [nobody]\n", "no portfolio 'nobody'"),
        (head + "parameters: {nonsense: [1]}", "nonsense"),
        (head + "parameters: {conversion_rate: []}", "conversion_rate"),
        (head + "parameters: {conversion_rate: [0.1, 0.1]}", "asked for twice"),
        (head + "parameters: {pool_tvl_limit: [1000000, 1.0e+6]}", "asked for twice"),
        (head + "modes: [sideways]", "modes"),
        (head + "seeds: [-1]", "seeds"),
        (head + "colour: blue", "colour"),
        (head + "wallets: [{USDC: .inf}]", "wallets"),
        (head + "parameters: {icebox_low_days: [1, 3]}", "the same for every portfolio"),
        (head + f"seeds: {list(range(6000))}", "at most"),
        ("{", "cannot be read"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            matrix(tmp_path, text)


def test_the_files_that_come_with_the_package_can_be_read():
    for path in SHIPPED.glob("*.yaml"):
        made = load_matrix(matrix_path(path.stem), PORTFOLIOS, "recorded:/data")
        assert made.name == path.stem and made.cells
    assert len(load_matrix(matrix_path("limits_and_costs"), PORTFOLIOS, "recorded:/data").cells) == 200
    with pytest.raises(ConfigurationError, match="limits_and_costs"):
        matrix_path("nothing")


def test_a_portfolio_that_insists_on_a_source_keeps_it_and_an_address_plays_no_part(tmp_path):
    folder = tmp_path / "portfolios"
    folder.mkdir()
    text = "name: own\nwallet: {USDC: 10}\nsource: simulated:9\naddresses: ['0xAB']\n"
    (folder / "own.yaml").write_text(text)
    path = tmp_path / "matrix.yaml"
    path.write_text("name: own\nportfolios: [own]\n")
    (cell,) = load_matrix(path, folder, "simulated:6").cells
    assert cell.source == "simulated:9" and cell.spec.addresses == ()
