"""Forecasts of APY, TVL and gas: the port, the baselines, the registry."""
