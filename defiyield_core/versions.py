"""What computed a figure: this package's own source, and the libraries under it.

Belongs here: versions as text. Does not belong here: what is named by them (see `backtest.identity`).
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import defiyield_core

VERSIONED = (
    "numpy",
    "pandas",
    "scipy",
    "highspy",
    "cvxpy",
    "ortools",
    "lightgbm",
    "xgboost-cpu",
    "scikit-learn",
    "skforecast",
)
"""Packages whose version may change a figure."""


@cache
def code_version() -> str:
    """The version and a hash of the package's own source: an edited line makes another run."""
    root = Path(defiyield_core.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{defiyield_core.__version__}+{digest.hexdigest()[:10]}"


@cache
def versions() -> dict[str, str]:
    """Versions of everything that may change a figure."""
    return {"defiyield": code_version(), **{name: version(name) for name in VERSIONED}}
