"""Where the live APIs are, how fast they may be asked, and the keys to them.

Belongs here: base addresses, keys and rates, read from the environment. Does not belong here: asking (see `live`).
Keys are never part of a repr.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from defiyield_core.errors import ConfigurationError
from defiyield_core.sources.coinmarketcap import PRO_URL
from defiyield_core.sources.defillama import COINS_URL, YIELDS_URL
from defiyield_core.sources.etherscan import URL as SCAN_URL
from defiyield_core.sources.ethgastracker import URL as GAS_URL
from defiyield_core.sources.http import HttpPolicy, shown

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
POLICY = HttpPolicy(
    requests_per_second={
        "yields.llama.fi": 8.0,
        "coins.llama.fi": 4.0,
        "pro-api.coinmarketcap.com": 0.5,
        "www.ethgastracker.com": 1.0,
        "api.etherscan.io": 3.0,
    }
)
"""Rates within what the free plans allow."""


@dataclass(frozen=True)
class Endpoints:
    """Base addresses, without a slash at the end."""

    defillama: str = YIELDS_URL
    defillama_coins: str = COINS_URL
    coinmarketcap: str = PRO_URL
    ethgastracker: str = GAS_URL
    etherscan: str = SCAN_URL


@dataclass(frozen=True)
class Keys:
    """API keys; None where there is none."""

    coinmarketcap: str | None = field(default=None, repr=False)
    etherscan: str | None = field(default=None, repr=False)
    ethgastracker: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys that there are, to be kept out of every message."""
        return tuple(key for key in (self.coinmarketcap, self.etherscan, self.ethgastracker) if key)


def endpoints_from(environment: Mapping[str, str] | None = None) -> Endpoints:
    """Base addresses: `DEFIYIELD_DEFILLAMA_URL`, `..._DEFILLAMA_COINS_URL`, `..._COINMARKETCAP_URL`,
    `..._ETHGASTRACKER_URL` and `..._ETHERSCAN_URL`, each defaulting to the public API.

    Raises:
        ConfigurationError: an address is no https address (plain http is allowed on this machine only).
    """
    env = os.environ if environment is None else environment
    defaults = Endpoints()
    return Endpoints(
        **{
            name: _address(env, f"DEFIYIELD_{name.upper()}_URL", getattr(defaults, name))
            for name in Endpoints.__dataclass_fields__
        }
    )


def keys_from(environment: Mapping[str, str] | None = None) -> Keys:
    """Keys: `COINMARKETCAP_API_KEY`, `ETHERSCAN_API_KEY`, `ETHGASTRACKER_API_KEY` (optional, like the others).

    Raises:
        ConfigurationError: a key has characters that cannot be sent; the message does not show it.
    """
    env = os.environ if environment is None else environment
    return Keys(
        coinmarketcap=_key(env, "COINMARKETCAP_API_KEY"),
        etherscan=_key(env, "ETHERSCAN_API_KEY"),
        ethgastracker=_key(env, "ETHGASTRACKER_API_KEY"),
    )


def _address(env: Mapping[str, str], name: str, default: str) -> str:
    address = (env.get(name) or default).strip().rstrip("/")
    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in LOCAL_HOSTS
    if not (parts.hostname and (parts.scheme == "https" or local)):
        raise ConfigurationError(
            f"{name} is '{shown(address)}': use an https address (plain http is for this machine only)"
        )
    return address


def _key(env: Mapping[str, str], name: str) -> str | None:
    key = (env.get(name) or "").strip()
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(f"{name} has characters that cannot be sent; copy the key again")
    return key or None
