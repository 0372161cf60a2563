"""What the chain says a live portfolio's wallet holds, against what the model expects.

Belongs here: reading observed balances and naming differences. Does not belong here: booking them: a difference is for
a person to explain (a plan not executed, a deposit not announced) before it becomes an external flow in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from defiyield_core.calendar import Window
from defiyield_core.portfolio.state import WALLET
from defiyield_core.warehouse.port import Warehouse

TOLERANCE_USD = 1.0
"""Smaller differences are rounding of gas and prices, and not reported (tokens are taken at a dollar)."""


def observed_wallet(warehouse: Warehouse, addresses: Sequence[str], day: date) -> dict[str, float] | None:
    """Token amounts of the addresses together at the end of a day; None when no balance was observed on it."""
    if not addresses:
        return None
    rows = warehouse.read("raw_etherscan_account_balances", Window(day, day))
    rows = rows[rows["address"].isin(addresses)]
    if not len(rows):
        return None
    return {str(token): float(amount) for token, amount in rows.groupby("token")["amount"].sum().items()}


def wallet_differences(
    warehouse: Warehouse, portfolio: str, addresses: Sequence[str], approved: Sequence[str], day: date
) -> tuple[str, ...]:
    """A sentence for every approved token whose observed balance is not the expected one; none without observations.

    Balances at the end of a day are what the plan of the day before should have left: the day's own plan is executed
    afterwards.
    """
    observed, before = observed_wallet(warehouse, addresses, day), day - timedelta(days=1)
    rows = warehouse.read("portfolio_state", Window(before, before), scope={"portfolio": portfolio})
    if observed is None or not len(rows):
        return ()
    rows = rows[rows["location"] == WALLET]
    expected: Mapping[str, float] = dict(zip(rows["token"], rows["amount"], strict=True))
    told = []
    for token in sorted({*expected, *observed} & set(approved)):
        on_chain, modelled = observed.get(token, 0.0), expected.get(token, 0.0)
        if abs(on_chain - modelled) > TOLERANCE_USD:
            told.append(
                f"{portfolio} {day}: the wallet holds {on_chain:,.2f} {token} on chain, the plan of {before} should "
                f"have left {modelled:,.2f}"
            )
    return tuple(told)
