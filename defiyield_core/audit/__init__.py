"""An audit of a backtest: how much of what it claims would survive an honest look.

Belongs here: trials that hide or spoil what a run should not have needed, and what becomes of its APY. Does not belong
here: events that might happen to a portfolio (see `stress`), the run itself (see `backtest`).
"""
