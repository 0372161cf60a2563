"""The interpreter of plan rows: the one meaning of a plan, for the engine, the re-evaluation and the portfolio.

Belongs here: what one row does to balances. Does not belong here: which rows a plan has (`plan`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from defiyield_core.allocation.problem import AllocationProblem, Transaction
from defiyield_core.errors import AllocationError
from defiyield_core.units import FloatArray

OVERDRAFT_SHARE = 1e-12
"""Of AUM: an overdraft up to here is float rounding and is set to zero."""


def execute(problem: AllocationProblem, transactions: Iterable[Transaction]) -> tuple[FloatArray, FloatArray]:
    """Run the rows one by one on the problem's balances.

    A WITHDRAWAL moves tokens from a pool to the wallet, a CONVERSION swaps the gross value at the problem's prices,
    an ALLOCATION moves tokens from the wallet to a pool, a HOLD moves nothing. After the movement, the row's costs
    leave the wallet in `fee_token`.

    Returns:
        Wallet (m,) and positions (n, m), in token amounts.

    Raises:
        AllocationError: a row takes more than there is, or names a pool or token that the problem does not have.
    """
    wallet, positions = problem.wallet.copy(), problem.positions.copy()
    pools = {pool: index for index, pool in enumerate(problem.pool_ids)}
    tokens = {token: index for index, token in enumerate(problem.tokens)}
    prices = problem.token_prices
    slack_usd = OVERDRAFT_SHARE * problem.aum_usd
    for row in transactions:
        try:
            token, to_token = tokens[row.token], tokens[row.to_token]
            if row.type == "WITHDRAWAL":
                pool = pools[row.from_location]
                positions[pool, token] = _less(positions[pool, token], row.amount, slack_usd / prices[token], row)
                wallet[token] += row.amount
            elif row.type == "CONVERSION":
                wallet[token] = _less(wallet[token], row.amount, slack_usd / prices[token], row)
                wallet[to_token] += row.amount * prices[token] / prices[to_token]
            elif row.type == "ALLOCATION":
                wallet[token] = _less(wallet[token], row.amount, slack_usd / prices[token], row)
                positions[pools[row.to_location], token] += row.amount
            if row.total_cost_usd > 0:
                payer = tokens[row.fee_token or ""]
                fee = row.total_cost_usd / prices[payer]
                wallet[payer] = _less(wallet[payer], fee, slack_usd / prices[payer], row, f"its fee in {row.fee_token}")
        except KeyError as error:
            raise AllocationError(f"plan row {row.seq} ({row.type}): unknown pool or token {error}") from None
    return wallet, positions


def _less(balance: float, amount: float, slack: float, row: Transaction, what: str = "") -> float:
    rest = balance - amount
    if rest < -slack or not np.isfinite(rest):
        raise AllocationError(
            f"plan row {row.seq} ({row.type} of {row.token}): {what or 'the movement'} takes {amount:.9g}"
            f" where {balance:.9g} is left; reorder or shrink the rows before it"
        )
    return max(rest, 0.0)
