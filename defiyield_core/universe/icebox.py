"""The icebox: tokens off their peg (domain, section 5).

Belongs here: when a token enters and leaves, and why. Does not belong here: what follows for pools (see `eligibility`).

Judged are all tokens with a candle, except ETH, BTC and their wrappers, and except tokens that the approved list marks
as not pegged: wrappers (judged by what they wrap) and fund shares. Days on which the price source had nothing at all
say nothing about any token: they are left out of every count of consecutive days, and the state lasts over them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from defiyield_core.calendar import DayArray, Window
from defiyield_core.panel import ObjectArray, Panel, lagged, newest_observed, to_long, to_panel
from defiyield_core.parameters import Parameters
from defiyield_core.units import BoolArray, FloatArray, IntArray

NEVER_PEGGED = frozenset({"ETH", "WETH", "STETH", "WSTETH", "BTC", "WBTC"})
NO_PRICE_DAYS = 2
"""A token that had prices enters after more than this many days without."""
ROUNDING = 1e-12
"""`1 - 0.02` is not exactly 0.98: a price on the threshold counts as a breach."""


@dataclass(frozen=True)
class IceboxState:
    """State of n tokens on each day.

    Attributes:
        inside: (n_days, n) in the icebox at the end of the day.
        reason_code: (n_days, n) of the newest breach: 1 low, 2 close, 3 both, 4 no price.
    """

    inside: BoolArray
    reason_code: IntArray


_REASONS = np.array(["", "low", "close", "low+close", "no_price"], dtype=object)


def icebox_states(low: FloatArray, close: FloatArray, parameters: Parameters) -> IceboxState:
    """The state of every token through time.

    Enters: the low at or under `1 - low_depth` on each of `low_days` days, or the close at or under `1 - close_depth`
    on `close_days` days, or prices before and none for more than 2 days. Leaves: a price on every one of the recovery
    days, no low breached in `recovery_low_days` and no close in `recovery_close_days`.

    Args:
        low, close: (n_days, n) USD, consecutive days of a source that was up; NaN where a token has no candle.
    """
    priced = ~np.isnan(close)
    low_breach = low <= 1.0 - parameters.icebox_low_depth + ROUNDING
    close_breach = close <= 1.0 - parameters.icebox_close_depth + ROUNDING
    by_low = _each_of(low_breach, parameters.icebox_low_days)
    by_close = _each_of(close_breach, parameters.icebox_close_days)
    newest = newest_observed(close)
    day = np.arange(len(close))[:, None]
    by_silence = (newest >= 0) & (day - newest > NO_PRICE_DAYS)
    entering = by_low | by_close | by_silence
    leaving = _each_of(priced & ~low_breach, parameters.icebox_recovery_low_days)
    leaving &= _each_of(priced & ~close_breach, parameters.icebox_recovery_close_days)
    last_entry, last_exit = _newest(entering), _newest(leaving)
    inside = last_entry > last_exit
    code = np.where(by_silence, 4, by_low + 2 * by_close)
    return IceboxState(inside, np.take_along_axis(code, np.maximum(last_entry, 0), axis=0))


def _each_of(facts: BoolArray, days: int) -> BoolArray:
    """True where the fact held on the day and on each of the `days - 1` days before."""
    values = np.where(facts, 1.0, np.nan)
    held = facts.copy()
    for lag in range(1, days):
        held &= ~np.isnan(lagged(values, lag, 0))
    return held


def _newest(facts: BoolArray) -> IntArray:
    return newest_observed(np.where(facts, 1.0, np.nan))


def pegged_days(tokens: ObjectArray, days: DayArray, approved: pd.DataFrame) -> BoolArray:
    """(n_days, n) whether a token is taken as pegged, by the newest entry of the approved list made up to each day.

    Args:
        approved: rows of `approved_tokens`.
    """
    pegged = np.tile(~np.isin(tokens.astype(str), sorted(NEVER_PEGGED)), (len(days), 1))
    position = {token: index for index, token in enumerate(tokens)}
    entries = approved.sort_values("added_at", kind="stable")
    for token, added_at, is_pegged in zip(entries["token"], entries["added_at"], entries["pegged"], strict=True):
        if token in position:
            pegged[days >= np.datetime64(added_at, "D"), position[token]] = bool(is_pegged)
    return pegged


def icebox_rows(candles: pd.DataFrame, approved: pd.DataFrame, parameters: Parameters, window: Window) -> pd.DataFrame:
    """Rows of `icebox_tokens` for the window: one per token and day inside, and one on the day of leaving.

    Args:
        candles: rows of `token_daily` from the first stored day to the end of the window.
        approved: rows of `approved_tokens`.
    """
    wanted = window.days()
    up = np.unique(np.concatenate([candles["date"].to_numpy(dtype="datetime64[D]"), wanted]))
    axis = np.arange(up[0], up[-1] + 1)
    panel = to_panel(candles, ("low_usd", "close_usd"), id_column="token", days=axis)
    with_prices = np.flatnonzero((~np.isnan(panel["close_usd"])).any(axis=1))
    state = icebox_states(panel["low_usd"][with_prices], panel["close_usd"][with_prices], parameters)
    return _rows(panel, state, with_prices, pegged_days(panel.ids, axis, approved), panel.index_of(window.start))


def _rows(panel: Panel, state: IceboxState, with_prices: IntArray, pegged: BoolArray, first: int) -> pd.DataFrame:
    """Spread the states over all calendar days and write down those of the window."""
    at = np.searchsorted(with_prices, np.arange(len(panel.days)), side="right") - 1
    begun = (at >= 0)[:, None]
    if not len(with_prices):
        nothing = np.zeros((1, len(panel.ids)))
        at, state = np.zeros_like(at), IceboxState(nothing.astype(bool), nothing.astype(np.int64))
    inside = begun & pegged & state.inside[at]
    before = np.concatenate([np.zeros((1, inside.shape[1]), dtype=bool), inside[:-1]])
    left = before & ~inside
    entered = inside & ~before
    added_at = panel.days.astype("datetime64[ns]")[_newest(entered)]
    reason = np.where(left, "recovered", _REASONS[state.reason_code[at]])
    today = np.broadcast_to(panel.days.astype("datetime64[ns]")[:, None], inside.shape)
    columns = {
        "status": np.where(left, "left", np.where(entered, "entered", "held")).astype(object),
        "reason": reason.astype(object),
        "added_at": added_at,
        "removed_at": np.where(left, today, np.datetime64("NaT", "ns")),
        "low_usd": panel["low_usd"],
        "close_usd": panel["close_usd"],
    }
    shown = {name: values[first:] for name, values in columns.items()}
    return to_long(panel.days[first:], panel.ids, (inside | left)[first:], shown, id_column="token")
