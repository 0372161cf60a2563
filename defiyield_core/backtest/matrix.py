"""A matrix file: which runs a sweep makes, as portfolios x parameters x seeds.

Belongs here: reading and refusing the file, its cells. Does not belong here: running them (see `sweep`).

    name: caps
    portfolios: [baseline, high_max_allocation]
    modes: [carry]                              # default: each portfolio's own
    parameters: {conversion_rate: [0.0004, 0.001], max_alloc_percentage: [0.1, 0.25]}
    wallets: [{USDC: 100000}, {USDC: 1000000}]  # default: each portfolio's own
    seeds: [1, 2, 3]                            # of the simulated market, or of a policy with the option `seed`
    start: 2025-01-01
    end: 2025-06-01
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from defiyield_core.backtest.identity import portfolio_config
from defiyield_core.errors import ConfigurationError
from defiyield_core.portfolio.spec import PortfolioSpec, find_portfolio

SHIPPED = Path(__file__).parents[1] / "sweeps"
MOST_CELLS = 5000
_SEEDED_POLICIES = ("random_weights",)
_SIMULATED = "simulated"


class _MatrixFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    description: str = ""
    portfolios: Annotated[list[str], Field(min_length=1)]
    modes: list[Literal["carry", "independent", "compounded"]] = Field(default_factory=list)
    parameters: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    wallets: list[dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]] = Field(default_factory=list)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)
    start: date | None = None
    end: date | None = None


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        name: unique in the matrix. group: the same without the seed.
        source: that the run is made on. seed: None where nothing in the run is random.
    """

    name: str
    group: str
    spec: PortfolioSpec
    source: str
    seed: int | None


@dataclass(frozen=True)
class Matrix:
    """A sweep's runs. `notes` say what of the file has no effect."""

    name: str
    description: str
    cells: tuple[Cell, ...]
    start: date | None
    end: date | None
    notes: tuple[str, ...]


def matrix_path(name: str) -> Path:
    """The file of that path, or the one that comes with the package under that name.

    Raises:
        ConfigurationError: there is neither; the names there are.
    """
    given, shipped = Path(name), SHIPPED / f"{name}.yaml"
    if given.is_file():
        return given
    if shipped.is_file():
        return shipped
    known = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.yaml")))
    raise ConfigurationError(f"no matrix file '{name}'; those that come with the package: {known}")


def load_matrix(path: Path, portfolios: Path, source: str) -> Matrix:
    """The matrix of a file, for a source.

    Args:
        portfolios: folder of the portfolio files that it names.

    Raises:
        ConfigurationError: naming the file and what is wrong in it.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"matrix file {path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"matrix file {path}: expected a mapping of fields")
    try:
        file = _MatrixFile(**content)
        cells, notes = _cells(file, portfolios, source)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"matrix file {path}: {where}: {first['msg']}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"matrix file {path}: {error}") from error
    return Matrix(file.name, file.description, cells, file.start, file.end, notes)


def _cells(file: _MatrixFile, portfolios: Path, source: str) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    grid = [[(name, value) for value in values] for name, values in file.parameters.items()]
    count = len(file.portfolios) * max(len(file.modes), 1) * max(len(file.wallets), 1) * max(len(file.seeds), 1)
    for values in grid:
        count *= len(values)
    if count > MOST_CELLS:
        raise ConfigurationError(f"{count:,} runs are asked for, at most {MOST_CELLS:,} can be made")
    specs = [find_portfolio(portfolios, name) for name in file.portfolios]
    cells: list[Cell] = []
    unseeded: set[str] = set()
    modes: list[str | None] = [*file.modes] or [None]
    wallets: list[dict[str, float] | None] = [*file.wallets] or [None]
    for spec, mode, wallet, chosen in itertools.product(specs, modes, wallets, itertools.product(*grid)):
        variant = _variant(spec, mode, wallet, dict(chosen))
        group = _group(spec, mode, wallet, dict(chosen))
        asked = variant.source or source
        seeded = asked.partition(":")[0] == _SIMULATED or variant.policy in _SEEDED_POLICIES
        if file.seeds and not seeded:
            unseeded.add(spec.name)
        drawn: list[int | None] = [*file.seeds] if seeded else []
        cells += [_seeded(variant, group, asked, seed) for seed in drawn or [None]]
    _require_different(cells)
    notes = [f"seeds change nothing for {name}: neither its policy nor its market draws" for name in sorted(unseeded)]
    return tuple(cells), tuple(notes)


def _require_different(cells: list[Cell]) -> None:
    """Refuse runs that are equal under two names (0.1 and 1e-1), or different under one."""
    names: set[str] = set()
    runs: dict[str, str] = {}
    for cell in cells:
        run = json.dumps([portfolio_config(cell.spec), cell.source], sort_keys=True)
        if cell.name in names or run in runs:
            raise ConfigurationError(f"the run '{cell.name}' is asked for twice ('{runs.get(run, cell.name)}')")
        names.add(cell.name)
        runs[run] = cell.name


def _variant(
    spec: PortfolioSpec, mode: str | None, wallet: Mapping[str, float] | None, chosen: Mapping[str, Any]
) -> PortfolioSpec:
    # A sweep begins with the wallet of the file, or of the matrix: what an address holds is no part of a comparison.
    changed = replace(spec.with_overrides(chosen), addresses=())
    if wallet is not None:
        changed = replace(changed, wallet={token.upper(): amount for token, amount in wallet.items()})
    return replace(changed, mode=mode) if mode is not None else changed


def _group(spec: PortfolioSpec, mode: str | None, wallet: Mapping[str, float] | None, chosen: Mapping[str, Any]) -> str:
    parts = [spec.name, *([mode] if mode else [])]
    parts += ["+".join(f"{amount:.10g} {token.upper()}" for token, amount in (wallet or {}).items())] if wallet else []
    return " ".join([*parts, *(f"{name}={value}" for name, value in chosen.items())])


def _seeded(spec: PortfolioSpec, group: str, source: str, seed: int | None) -> Cell:
    """The cell of a seed: of the market where it is simulated, and of a policy that draws."""
    if seed is None:
        return Cell(group, group, spec, source, None)
    if spec.policy in _SEEDED_POLICIES:
        spec = replace(spec, policy_options={**spec.policy_options, "seed": seed})
    kind = source.partition(":")[0]
    return Cell(f"{group} seed={seed}", group, spec, f"{kind}:{seed}" if kind == _SIMULATED else source, seed)
