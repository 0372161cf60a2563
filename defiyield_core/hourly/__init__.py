"""Backtests at steps shorter than a day over a simulated market: market, certificate of inaction, loop, records.

Belongs here: everything that a step of an hour needs beyond a day's. Does not belong here: the optimiser
(`allocation`), the day's books (`portfolio`), the daily market (`history`, `sources`).
"""
