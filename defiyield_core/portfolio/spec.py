"""Portfolios as code: one YAML file each, read by both packages.

Belongs here: the frozen `PortfolioSpec`, reading and refusing files. Does not belong here: deciding or booking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from defiyield_core.errors import ConfigurationError
from defiyield_core.parameters import Parameters, parameters

MODES = ("carry", "independent", "compounded")
"""What each day is decided from (see `portfolio.modes`)."""
WARMUP_DAYS = 34
"""Days of data before a portfolio's first decision: 30 of rolling statistics, 3 of a gap carried, 1 for the change."""
MINIMUM_WARMUP_DAYS = 30
SHARED_FIELDS = tuple(
    name
    for name in Parameters.model_fields
    if name.startswith(("icebox_low", "icebox_close", "icebox_recovery", "group1_max_abs", "group2_max_abs"))
    or name.endswith(("_std_7d", "_std_30d"))
    or name == "min_history_days"
)
"""Thresholds of the tables `pool_groups` and `icebox_tokens`, which all portfolios read."""


class _PortfolioFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    description: str = ""
    policy: str = "optimiser"
    mode: Literal["carry", "independent", "compounded"] = "carry"
    policy_options: dict[str, Any] = Field(default_factory=dict)
    wallet: dict[str, float]
    preset: str = "default"
    overrides: dict[str, Any] = Field(default_factory=dict)
    first_day: date | None = None
    source: str | None = None
    addresses: list[str] = Field(default_factory=list)
    flows: dict[date, dict[str, float]] = Field(default_factory=dict)


@dataclass(frozen=True)
class PortfolioSpec:
    """One portfolio.

    Attributes:
        policy: name in the policy registry; `policy_options` are its own settings.
        wallet: starting token amounts.
        first_day: first decision; None for the first day that the data allow.
        source: source this portfolio insists on; None takes the deployment's.
        addresses: on-chain accounts of a live portfolio; a paper portfolio has none.
        flows: external deposits (positive) and withdrawals of wallet tokens, by day.
        mode: what each day is decided from (see `portfolio.modes`).
    """

    name: str
    description: str
    policy: str
    parameters: Parameters
    wallet: Mapping[str, float]
    policy_options: Mapping[str, Any] = field(default_factory=dict)
    first_day: date | None = None
    source: str | None = None
    addresses: tuple[str, ...] = ()
    flows: Mapping[date, Mapping[str, float]] = field(default_factory=dict)
    mode: str = "carry"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigurationError(f"unknown mode '{self.mode}': choose one of {', '.join(MODES)}")
        if self.mode != "carry" and (self.addresses or self.flows):
            raise ConfigurationError(
                f"portfolio {self.name}: mode {self.mode} begins every day with the starting wallet: "
                "it goes with neither addresses nor external flows"
            )

    def with_overrides(self, overrides: Mapping[str, Any]) -> PortfolioSpec:
        """A copy with some parameters replaced (the command line's `--set`).

        Raises:
            ConfigurationError: a value is wrong, or it is one that all portfolios share.
        """
        return replace(self, parameters=_own(self.parameters.with_overrides(overrides)))


def _own(chosen: Parameters) -> Parameters:
    """The parameters, refused when they change what is computed once for all portfolios: risk groups and icebox."""
    shared = parameters()
    changed = [name for name in SHARED_FIELDS if getattr(chosen, name) != getattr(shared, name)]
    if changed:
        raise ConfigurationError(
            f"{', '.join(changed)}: risk groups and the icebox are the same for every portfolio: no override"
        )
    return chosen


def load_portfolio(path: Path) -> PortfolioSpec:
    """The portfolio in one file.

    Raises:
        ConfigurationError: naming the file and the field.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"portfolio file {path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"portfolio file {path}: expected a mapping of fields")
    try:
        file = _PortfolioFile(**content)
        chosen = _own(parameters(file.preset, file.overrides))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"portfolio file {path}: {where}: {first['msg']}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"portfolio file {path}: {error}") from error
    wrong = {token: amount for token, amount in file.wallet.items() if not 0 <= amount < float("inf")}
    if wrong or not file.wallet:
        raise ConfigurationError(f"portfolio file {path}: wallet amounts must be finite and not negative: {wrong}")
    return PortfolioSpec(
        name=file.name,
        description=file.description,
        policy=file.policy,
        parameters=chosen,
        wallet=_by_name(file.wallet, f"portfolio file {path}: wallet"),
        policy_options=file.policy_options,
        first_day=file.first_day,
        source=file.source,
        addresses=tuple(address.lower() for address in file.addresses),
        flows={day: _by_name(sums, f"portfolio file {path}: flows of {day}") for day, sums in file.flows.items()},
        mode=file.mode,
    )


def _by_name(amounts: Mapping[str, float], where: str) -> dict[str, float]:
    """Amounts by upper-case token; refused when a token stands there twice or an amount is not finite."""
    named = {token.upper(): amount for token, amount in amounts.items()}
    if len(named) < len(amounts) or not all(math.isfinite(amount) for amount in named.values()):
        raise ConfigurationError(f"{where}: every token once, with a finite amount (got {dict(amounts)})")
    return named


def load_portfolios(folder: Path) -> dict[str, PortfolioSpec]:
    """Every portfolio of a folder by name, in alphabetical order.

    Raises:
        ConfigurationError: no such folder, a wrong file, or two files with one name.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"portfolio folder {folder} does not exist (DEFIYIELD_PORTFOLIOS)")
    found: dict[str, PortfolioSpec] = {}
    for path in sorted(folder.glob("*.yaml")):
        spec = load_portfolio(path)
        if spec.name in found:
            raise ConfigurationError(f"portfolio file {path}: the name '{spec.name}' is taken by another file")
        found[spec.name] = spec
    return dict(sorted(found.items()))


def find_portfolio(folder: Path, name: str) -> PortfolioSpec:
    """The portfolio by that name: of the folder, which is what a deployment runs, or of those kept below it.

    Raises:
        ConfigurationError: listing the names there are.
    """
    known = load_portfolios(folder)
    if name in known:
        return known[name]
    kept: dict[str, PortfolioSpec] = {}
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        kept |= {other: spec for other, spec in load_portfolios(below).items() if other not in kept}
    if name not in kept:
        beside = f", and {', '.join(kept)} below it" if kept else ""
        raise ConfigurationError(f"no portfolio '{name}': there are {', '.join(known) or 'none'} in {folder}{beside}")
    return kept[name]
