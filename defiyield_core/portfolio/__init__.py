"""A portfolio through time: its specification, state, accrual, execution and books.

The accounting identities live here. Does not belong here: how a decision is found (see `allocation`).
"""
