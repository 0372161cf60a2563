"""Figures as text, and the plain-text tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from defiyield_core.reporting.figures import amount, basis_points, count, percent, usd
from defiyield_core.reporting.tables import Column, TextTable


@pytest.mark.parametrize(
    ("value", "text"),
    [(1_000_000.4, "$1,000,000"), (12.345, "$12.35"), (-3.1, "-$3.10"), (-0.001, "$0.00"), (9_999.5, "$9,999.50")],
)
def test_dollars_have_cents_only_where_they_matter(value, text):
    assert usd(value) == text


def test_signed_figures_show_the_plus_but_never_a_signed_zero():
    assert usd(5.0, signed=True) == "+$5.00"
    assert percent(0.0000001, signed=True) == "0.00%"
    assert basis_points(-0.00123, signed=True) == "-12 bps"


@pytest.mark.parametrize("write", [usd, percent, basis_points, amount])
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_unknown_is_said(write, value):
    assert write(value) == "n/a"


def test_small_amounts_keep_their_digits():
    assert amount(0.00012345) == "0.00012345"
    assert amount(1234.5) == "1,234.50"


def test_counts_agree_with_their_noun():
    assert [count(1, "row"), count(1200, "entry", "entries")] == ["1 row", "1,200 entries"]


TABLE = TextTable(
    (Column("Pool"), Column("Value", numeric=True)),
    (("aave-v3 USDC", "$1.00"), ("x", "$1,000.00")),
    footer=("all", "$1,001.00"),
)


def test_numbers_stand_right_and_text_left():
    assert TABLE.render().split("\n") == [
        "Pool              Value",
        "------------  ---------",
        "aave-v3 USDC      $1.00",
        "x             $1,000.00",
        "------------  ---------",
        "all           $1,001.00",
    ]


def test_text_is_shortened_to_fit_and_numbers_are_not():
    lines = TABLE.render(max_width=18).split("\n")
    assert lines[2] == "aave-v…      $1.00"
    assert lines[3].endswith("$1,000.00")
    assert max(map(len, lines)) == 18 - 1 + 1


def test_a_cell_cannot_break_out_of_its_row():
    table = TextTable((Column("A"),), (("one\ntwo\x1b[31m",),))
    assert table.render().split("\n")[2] == "one two [31m"


def test_wide_letters_take_two_columns():
    table = TextTable((Column("A"), Column("B")), (("稳定", "x"), ("abcd", "y")))
    assert table.render().split("\n")[2:] == ["稳定  x", "abcd  y"]


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="2 cells"):
        TextTable((Column("A"),), (("1", "2"),))


@given(st.lists(st.tuples(st.text(max_size=60), st.integers().map(str)), min_size=1, max_size=6))
def test_every_row_is_one_line_whatever_it_holds(rows):
    table = TextTable((Column("A"), Column("B", numeric=True)), tuple(rows))
    assert len(table.layout(40).body) == len(rows)
    assert all(line.isprintable() or "\u3000" in line for line in table.layout(40).head)
    assert len(table.render(40).split("\n")) == len(rows) + 2
