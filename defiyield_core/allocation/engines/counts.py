"""Rows of the model about the number of positions: at least so many that count, at most so many at all.

Belongs here: the binaries and rows of both rules. Does not belong here: when they are needed (`highs`: most problems
satisfy them by themselves, and are solved without).
"""

from __future__ import annotations

import numpy as np

from defiyield_core.allocation.engines.milp import PAD, Model


def at_least(model: Model) -> None:
    """At least the required number of positions that count."""
    rows, limits, value = model.rows, model.limits, model.limits.value_usd / model.unit_usd
    needed, terms = limits.required_pools, []
    for pool in map(int, np.flatnonzero(limits.countable)):
        held, floor = float(value[pool]), float(limits.floor_usd[pool] / model.unit_usd)
        if held > 0 and pool not in model.withdrawal:
            needed -= 1
        elif held > 0 and held <= floor:
            needed -= 1
            terms.append((model.withdrawal_used[pool], -1.0))
        elif held > 0:
            counts = rows.binary(0.0)
            rows.row([(model.withdrawal[pool], 1.0), (counts, min(floor + PAD, held))], upper=held)
            terms.append((counts, 1.0))
        elif pool in model.deposit:
            terms.append((_counting_deposit(model, pool, floor), 1.0))
    if needed > -sum(1 for _, sign in terms if sign < 0):
        rows.row(terms, lower=float(needed))


def _counting_deposit(model: Model, pool: int, floor: float) -> int:
    """The binary that says that a new position is large enough to count."""
    rows, used, amount = model.rows, model.deposit_used[pool], model.deposit[pool]
    least, most = model.limits.min_transaction_usd / model.unit_usd, rows.upper[amount]
    if floor <= least:
        return used
    counts = rows.binary(0.0, switch=used)
    least, floor = min(least + PAD, most), min(floor + PAD, most)
    rows.row([(counts, 1.0), (used, -1.0)], upper=0.0)
    rows.row([(amount, 1.0), (used, -least), (counts, least - floor)], lower=0.0)
    if floor >= most < model.limits.floor_usd[pool] / model.unit_usd:
        rows.upper[counts] = 0.0
    return counts


def at_most(model: Model) -> None:
    """At most the allowed number of positions: a new one takes a place, a position sold in full frees one."""
    rows, limits, value = model.rows, model.limits, model.limits.value_usd / model.unit_usd
    places, terms = limits.allowed_pools, []
    for pool in map(int, np.flatnonzero((value > 0) & ~limits.exits)):
        places -= 1
        if pool in model.withdrawal:
            used = model.withdrawal_used[pool]
            left = rows.binary(0.0, switch=used)
            rows.row([(model.withdrawal[pool], 1.0), (left, -float(value[pool]))], lower=0.0)
            terms.append((left, -1.0))
    terms.extend((used, 1.0) for pool, used in model.deposit_used.items() if value[pool] == 0)
    if terms:
        rows.row(terms, upper=float(places))
