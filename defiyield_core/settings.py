"""Where things are: source, warehouse, home folder, notifier; read from the environment, or given.

Belongs here: deployment configuration. Does not belong here: what a portfolio may do (see `parameters`).
Secrets stay in the environment: a setting never holds one, except inside a warehouse URL, which is never printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """One deployment.

    Attributes:
        source: see `sources.opening.open_source` (DEFIYIELD_SOURCE).
        warehouse: `duckdb:PATH` or `postgresql://...` (DEFIYIELD_WAREHOUSE; default a DuckDB file under `home`).
        home: folder for everything written outside the warehouse (DEFIYIELD_HOME, default `var`).
        portfolios: folder of portfolio files (DEFIYIELD_PORTFOLIOS, default: those shipped with the package).
        models: folder of trained models (DEFIYIELD_MODELS; None: `models` under `home`).
    """

    source: str
    warehouse: str
    home: Path
    portfolios: Path
    models: Path | None = None

    @property
    def model_store(self) -> Path:
        """Where trained models are kept; each is found by what it was trained on, so deployments may share it."""
        return self.models or self.home / "models"

    @property
    def forecast_store(self) -> Path:
        """Where forecasts of backtests are kept, beside the models: each is found by all that it was made from."""
        return self.model_store.with_name("forecasts")

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        source: str | None = None,
        warehouse: str | None = None,
    ) -> Settings:
        """Settings from the environment; the arguments win over it."""
        env = os.environ if environment is None else environment
        home = Path(env.get("DEFIYIELD_HOME") or "var").resolve()
        chosen = source or env.get("DEFIYIELD_SOURCE") or "simulated"
        kind = chosen.partition(":")[0]
        default = f"duckdb:{home / (kind + '.duckdb')}"
        return cls(
            source=chosen,
            warehouse=warehouse or env.get("DEFIYIELD_WAREHOUSE") or default,
            home=home,
            portfolios=Path(env.get("DEFIYIELD_PORTFOLIOS") or Path(__file__).parent / "portfolios"),
            models=Path(env["DEFIYIELD_MODELS"]).resolve() if env.get("DEFIYIELD_MODELS") else None,
        )
