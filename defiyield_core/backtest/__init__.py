"""A backtest: the daily pipeline over past days, in memory, straight from a source.

Belongs here: running a range, its outputs. Does not belong here: the day itself (see `portfolio`).
"""
