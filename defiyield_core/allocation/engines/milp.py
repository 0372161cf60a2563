"""The mixed-integer model of domain.md, section 8, in a tight form.

Belongs here: columns, rows and the way back from a solution to flows. Does not belong here: the search
(`branch_and_bound`), rows about the number of positions (`counts`) and about dilution (`tangents`), the plan.

The unit is a basis point of AUM, so that the solver's default tolerances mean cents. With `z_t` the USD left in
token t after every movement and before fees, "fees are paid out of the wallet in whatever split is best" is exactly
`z_t >= 0` for every token and `sum_t z_t >= gas + conversion fees`: no fee column is needed.
Forced exits are constants. Largest amounts (the M of each binary) come from caps, rooms and the cash that exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from defiyield_core.allocation.engines.dominance import dominated
from defiyield_core.allocation.engines.highs_solver import INFINITY, Cut, Rows, Terms, merged
from defiyield_core.allocation.engines.lazy import LazyRows
from defiyield_core.allocation.flows import Flows
from defiyield_core.allocation.limits import GROUPS, Limits, group_sums
from defiyield_core.allocation.problem import AllocationProblem
from defiyield_core.units import BPS_PER_UNIT, BoolArray, FloatArray, IntArray

PAD = 1e-6
"""Basis points of AUM kept back from budgets and added to minimums, so that rounding never breaks a rule."""
NEGLIGIBLE = 1e-6
"""Basis points of AUM under which an optional movement is not modelled."""
LEAST_MOVEMENT = 1e-3
"""Basis points of AUM; no deposit or partial withdrawal is smaller, even without a minimum transaction."""
LEAST_CONVERSION_COST = 1e-6
"""Of the amount converted; above the solver's tolerance on costs, and far too small to change a choice."""


@dataclass
class Model:
    """Rows for the solver, and where each variable is. Keys are pool indices, or (from token, to token).

    `least` is (amount, used, smallest amount) of each trade, kept by `lazy`.
    """

    problem: AllocationProblem
    limits: Limits
    unit_usd: float
    idle_charge: float
    rows: Rows = field(default_factory=Rows)
    deposit: dict[int, int] = field(default_factory=dict)
    deposit_used: dict[int, int] = field(default_factory=dict)
    withdrawal: dict[int, int] = field(default_factory=dict)
    withdrawal_used: dict[int, int] = field(default_factory=dict)
    conversion: dict[tuple[int, int], int] = field(default_factory=dict)
    conversion_used: dict[tuple[int, int], int] = field(default_factory=dict)
    token_terms: dict[int, Terms] = field(default_factory=dict)
    token_row: dict[int, int] = field(default_factory=dict)
    group_row: dict[int, int] = field(default_factory=dict)
    budget_row: int = -1
    least: list[tuple[int, int, float]] = field(default_factory=list)
    lazy: LazyRows = field(default_factory=lambda: LazyRows([], [], [], [], (0, 0)))
    opening: FloatArray = field(default_factory=lambda: np.zeros(0))
    deliverable: FloatArray = field(default_factory=lambda: np.zeros(0))

    def exact_cost(self, cost: FloatArray) -> FloatArray:
        """Costs for whole binaries: conversions are never free, so that none is larger than it need be."""
        exact, columns = cost.copy(), list(self.conversion.values())
        exact[columns] = np.minimum(cost[columns], -LEAST_CONVERSION_COST)
        return exact

    def movements(self) -> list[int]:
        """The binaries of optional movements."""
        return [*self.deposit_used.values(), *self.withdrawal_used.values(), *self.conversion_used.values()]

    def flows(self, x: FloatArray) -> Flows:
        """The dollars that a solution moves; forced exits included."""
        n, usd = len(self.problem.pool_ids), x * self.unit_usd
        deposits, withdrawals = np.zeros(n), np.where(self.limits.exits, self.limits.value_usd, 0.0)
        deposits[list(self.deposit)] = usd[list(self.deposit.values())]
        withdrawals[list(self.withdrawal)] = usd[list(self.withdrawal.values())]
        conversions = dict(zip(self.conversion, usd[list(self.conversion.values())].tolist(), strict=True))
        return Flows(deposits, withdrawals, conversions)


def build(problem: AllocationProblem, limits: Limits, every_pool: bool = False) -> Model:
    """The model of a problem whose AUM is above zero, without the number of positions and without dilution.

    Args:
        every_pool: model also the deposits that an optimal plan can do without.
    """
    model = Model(problem, limits, limits.aum_usd / BPS_PER_UNIT, limits.idle_charge)
    value = limits.value_usd / model.unit_usd
    exiting = np.where(limits.exits, value, 0.0)
    model.opening = problem.wallet_usd / model.unit_usd + exiting @ limits.token_share
    # Also what is worth less than its own gas: selling it may free a place or room in its group.
    sellable = np.where(limits.can_withdraw & (value > NEGLIGIBLE), value, 0.0)
    model.deliverable = model.opening + sellable @ limits.token_share
    cash = float(model.deliverable.sum())
    _add_withdrawals(model, np.flatnonzero(sellable), value)
    unneeded = np.zeros(len(value), dtype=bool) if every_pool else dominated(problem, limits, cash * model.unit_usd)
    _add_deposits(model, cash, np.flatnonzero(limits.can_deposit & ~unneeded))
    _add_conversions(model)
    _add_token_rows(model)
    _add_budget(model)
    _add_groups(model, value)
    model.lazy = _lazy_rows(model)
    return model


def _add_withdrawals(model: Model, pools: IntArray, value: FloatArray) -> None:
    rows, limits, unit = model.rows, model.limits, model.unit_usd
    most = value[pools]
    minimum = np.maximum(limits.min_transaction_usd, _self_paid_minimum_usd(model, pools)) / unit + PAD
    least = np.minimum(np.maximum(minimum, LEAST_MOVEMENT), most)
    gas = -limits.withdrawal_gas_usd[pools] / unit * (1.0 - model.idle_charge)
    growth = -_linear_growth(limits)[pools] - model.idle_charge
    largest = most.tolist()
    binaries = rows.switched(gas.tolist(), growth.tolist(), largest)
    rows.links(binaries, largest)
    model.least += zip((used + 1 for used in binaries), binaries, least.tolist(), strict=True)
    for pool, used in zip(pools.tolist(), binaries, strict=True):
        model.withdrawal[pool], model.withdrawal_used[pool] = used + 1, used


def _linear_growth(limits: Limits) -> FloatArray:
    """(n,) growth of a dollar; 0 where dilution's tangents say it."""
    return np.where(limits.yields.is_linear, limits.growth, 0.0)


def _add_deposits(model: Model, cash: float, open_pools: IntArray) -> None:
    rows, limits, unit = model.rows, model.limits, model.unit_usd
    room = np.minimum(limits.room_usd[open_pools] / unit, cash)
    room_for_one = (room > NEGLIGIBLE) & (room >= limits.min_transaction_usd / unit)
    chosen = room_for_one & _may_matter(model, open_pools, room, limits.deposit_gas_usd[open_pools] / unit)
    pools, room = open_pools[chosen], room[chosen]
    least = max(limits.min_transaction_usd / unit + PAD, LEAST_MOVEMENT)
    gas = -(limits.deposit_gas_usd[pools] / unit) * (1.0 - model.idle_charge)
    growth = _linear_growth(limits)[pools] + model.idle_charge
    most = room.tolist()
    binaries = rows.switched(gas.tolist(), growth.tolist(), most)
    model.least += [(used + 1, used, min(least, largest)) for used, largest in zip(binaries, most, strict=True)]
    written = 0
    for place, (pool, used) in enumerate(zip(pools.tolist(), binaries, strict=True)):
        model.deposit[pool], model.deposit_used[pool] = used + 1, used
        if pool in model.withdrawal_used:
            rows.links(binaries[written : place + 1], most[written : place + 1])
            rows.row([(used, 1.0), (model.withdrawal_used[pool], 1.0)], upper=1.0)
            written = place + 1
    rows.links(binaries[written:], most[written:])


def _may_matter(model: Model, pools: IntArray, most: FloatArray, gas: FloatArray) -> BoolArray:
    """Not where the whole room cannot earn its own gas, unless the position is needed for the count or to place
    cash."""
    limits = model.limits
    if model.idle_charge > 0:
        return np.ones(len(pools), dtype=bool)
    needed = limits.countable[pools] & (limits.value_usd[pools] == 0) & (limits.required_pools > 0)
    return np.asarray(needed | (limits.growth[pools] * most > gas))


def _add_conversions(model: Model) -> None:
    problem, limits, unit = model.problem, model.limits, model.unit_usd
    gas, rate = problem.gas.conversion_usd / unit, problem.parameters.conversion_rate
    keep = 1.0 - model.idle_charge
    pairs = _convertible_pairs(model, max(gas, NEGLIGIBLE))
    most = list(pairs.values())
    certain = ((limits.forced_target >= 0) & (model.opening > NEGLIGIBLE)).tolist()
    count = len(pairs)
    binaries = model.rows.switched(
        [-gas * keep] * count, [-rate * keep] * count, most, [1.0 if certain[source] else 0.0 for source, _ in pairs]
    )
    model.rows.links(binaries, most)
    model.conversion_used = dict(zip(pairs, binaries, strict=True))
    model.conversion = {pair: used + 1 for pair, used in model.conversion_used.items()}


def _convertible_pairs(model: Model, least: float) -> dict[tuple[int, int], float]:
    """(from token, to token) and the largest amount: what there is of the one, what deposits may take of the other.

    Args:
        least: a token of which there is no more is not converted unless it must be.
    """
    problem, targets, deliverable = model.problem, model.limits.forced_target.tolist(), model.deliverable.tolist()
    absorb: dict[int, float] = {}
    for pool, column in model.deposit.items():
        members = problem.pool_tokens[pool]
        share = model.rows.upper[column] / len(members)
        for token in members:
            absorb[token] = absorb.get(token, 0.0) + share
    supplies = deliverable.copy()
    for token, target in enumerate(targets):
        if target >= 0:  # what arrives by force may be converted onwards
            supplies[target] += deliverable[token]
    pairs: dict[tuple[int, int], float] = {}
    for source, (supply, forced) in enumerate(zip(supplies, targets, strict=True)):
        if forced >= 0:
            if supply > 0:
                pairs[source, forced] = supply
        elif supply > least:
            pairs.update({(source, token): min(supply, most) for token, most in absorb.items() if token != source})
    return pairs


def _add_token_rows(model: Model) -> None:
    """`z_t >= 0`; a forced token ends at zero: all of it is converted but the gas of the legs that bring it in."""
    terms: dict[int, Terms] = {token: [] for token in range(len(model.problem.tokens))}
    for pool, column in model.withdrawal.items():
        shares = model.limits.token_share[pool].tolist()
        for token in model.problem.pool_tokens[pool]:
            terms[token].append((column, shares[token]))
    for pool, column in model.deposit.items():
        members = model.problem.pool_tokens[pool]
        part = -1.0 / len(members)
        for token in members:
            terms[token].append((column, part))
    for (source, target), column in model.conversion.items():
        terms[source].append((column, -1.0))
        terms[target].append((column, 1.0))
    model.token_terms = {token: row for token, row in terms.items() if row}
    openings, targets = model.opening.tolist(), model.limits.forced_target.tolist()
    for token, row in model.token_terms.items():
        opening = openings[token]
        if targets[token] >= 0:
            used, constant = _self_paid(model, token)
            terms_less_gas = row + [(c, -g) for c, g in used]
            model.token_row[token] = model.rows.row(terms_less_gas, constant - opening, constant - opening)
        else:
            model.token_row[token] = model.rows.row(row, lower=-opening)
    _add_timing(model)


def _self_paid_minimum_usd(model: Model, pools: IntArray) -> FloatArray:
    """(pools,) smallest withdrawal whose legs in forced tokens can pay their own gas."""
    if not (model.limits.forced_target >= 0).any():
        return np.zeros(len(pools))
    legs, share = model.limits.forced_legs[pools], model.limits.token_share[pools]
    gas_usd = model.problem.gas.withdrawal_usd * legs
    return np.divide(gas_usd, share, out=np.zeros(share.shape), where=legs > 0).max(axis=1, initial=0.0)


def _self_paid(model: Model, token: int) -> tuple[Terms, float]:
    """Gas paid in a forced token: (column of the withdrawal, gas) of optional withdrawals, and the constant of
    exits."""
    gas, legs = model.problem.gas.withdrawal_usd / model.unit_usd, model.limits.forced_legs[:, token]
    optional = [(column, gas * int(legs[p])) for p, column in model.withdrawal_used.items() if legs[p]]
    return optional, gas * int(legs[model.limits.exits].sum())


def _lazy_rows(model: Model) -> LazyRows:
    tokens, least = model.problem.pool_tokens, model.limits.min_transaction_usd / model.unit_usd
    upper, opening = model.rows.upper, model.opening.tolist()
    legs = []
    for pool, amount in model.deposit.items():
        members, used = tokens[pool], model.deposit_used[pool]
        share, largest, needed = 1.0 / len(members), upper[amount] / len(members), least / len(members)
        for token in members:
            legs.append((amount, used, token, share, min(opening[token], largest), largest, opening[token] < needed))
    withdrawn = []
    for pool, amount in model.withdrawal.items():
        shares, used = model.limits.token_share[pool].tolist(), model.withdrawal_used[pool]
        withdrawn += [(amount, used, token, shares[token]) for token in tokens[pool]]
    converted = [(column, target) for (_, target), column in model.conversion_used.items()]
    return LazyRows(model.least, legs, withdrawn, converted, (len(model.opening), len(model.rows.cost)))


def _add_timing(model: Model) -> None:
    """Gas of withdrawals is paid before forced conversions arrive, so it cannot come out of their proceeds."""
    forced = {token for token in model.token_terms if model.limits.forced_target[token] >= 0}
    if not forced:
        return
    arrivals = {int(model.limits.forced_target[token]) for token in forced}
    problem, limits = model.problem, model.limits
    gas = problem.gas.withdrawal_usd / model.unit_usd + (PAD if problem.gas.withdrawal_usd > 0 else 0.0)
    total: Terms = []
    constant = 0.0
    for token in range(len(problem.tokens)):
        if token in arrivals:
            spare = model.rows.column(0.0, float(model.deliverable[token]))
            later = {column for (s, t), column in model.conversion.items() if s in forced and t == token}
            row = model.token_terms[token]
            model.rows.row([*row, (spare, -1.0)], lower=-float(model.opening[token]))
            early = [(c, v) for c, v in row if v > 0 and c not in later and c in set(model.withdrawal.values())]
            model.rows.row([*early, (spare, -1.0)], lower=-float(model.opening[token]))
            total.append((spare, 1.0))
        elif token not in forced:
            total.extend(model.token_terms.get(token, []))
            constant += float(model.opening[token])
    others = np.array([len(members) for members in problem.pool_tokens]) - limits.forced_legs.sum(axis=1)
    total.extend((used, -gas * int(others[pool])) for pool, used in model.withdrawal_used.items() if others[pool])
    certain = int(others[limits.exits].sum())
    if certain or any(others[pool] for pool in model.withdrawal):
        model.rows.row(merged(total), lower=gas * certain - constant)


def _fee_terms(model: Model) -> tuple[Terms, float]:
    """Every fee as (column, fee in units), and the gas of forced exits; each a little more than it is."""
    unit, limits, problem = model.unit_usd, model.limits, model.problem
    deposit_gas = (limits.deposit_gas_usd / unit + PAD).tolist()
    withdrawal_gas = limits.withdrawal_gas_usd / unit + PAD
    own_gas, conversion_gas = withdrawal_gas.tolist(), problem.gas.conversion_usd / unit + PAD
    terms: Terms = [(c, deposit_gas[p]) for p, c in model.deposit_used.items()]
    terms += [(c, own_gas[p]) for p, c in model.withdrawal_used.items()]
    terms += [(c, conversion_gas) for c in model.conversion_used.values()]
    terms += [(c, problem.parameters.conversion_rate) for c in model.conversion.values()]
    return terms, float(withdrawal_gas[limits.exits].sum())


def _add_budget(model: Model) -> None:
    """Deposits and fees are paid out of the wallet and the withdrawals: what remains is idle."""
    fees, exit_gas = _fee_terms(model)
    terms = [(c, 1.0) for c in model.deposit.values()] + [(c, -1.0) for c in model.withdrawal.values()]
    if terms or fees or exit_gas:
        model.budget_row = model.rows.row(terms + fees, upper=float(model.opening.sum()) - exit_gas)


def _add_groups(model: Model, value: FloatArray) -> None:
    limits, group = model.limits, model.problem.group.tolist()
    kept = group_sums(model.problem.group, np.where(limits.exits, 0.0, value))
    room = (limits.group_cap_usd / model.unit_usd - kept).tolist()
    for number in GROUPS:
        terms = [(c, 1.0) for p, c in model.deposit.items() if group[p] == number]
        if terms:
            terms += [(c, -1.0) for p, c in model.withdrawal.items() if group[p] == number]
            model.group_row[number] = model.rows.row(terms, upper=room[number - 1])


def fees_pinned(model: Model, payers: Mapping[int, Terms], constants: Mapping[int, float]) -> list[Cut]:
    """Rows that make each token keep what it was chosen to pay.

    Args:
        payers: per token, fees as (column, units); constants: per token, fees of forced exits.
    """
    rows: list[Cut] = []
    for token in payers.keys() | constants.keys():
        fees = [(column, -fee) for column, fee in payers.get(token, [])]
        least = constants.get(token, 0.0) + PAD - float(model.opening[token])
        rows.append((merged(model.token_terms.get(token, []) + fees), least, INFINITY))
    return rows
