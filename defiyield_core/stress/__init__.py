"""Stress and Monte Carlo: a market that something is done to, and what a portfolio makes of it.

Belongs here: events, the sources that inject them, catalogues of cases, their runs and outcomes. Does not belong here:
the day itself (see `portfolio`), running an undisturbed range (see `backtest`).
"""
