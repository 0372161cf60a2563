"""`defiyield lists`: show, add to and remove from the lists of tokens, blacklist and protocols."""

from __future__ import annotations

import argparse
import getpass
from datetime import datetime
from typing import Any

from defiyield_core.calendar import end_of, parse_day, utc_now
from defiyield_core.settings import Settings
from defiyield_core.universe.lists import LIST_KINDS, change_list, list_entries, seed_lists
from defiyield_core.warehouse.opening import open_warehouse


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("lists", help="show or change approved tokens, the blacklist and approved protocols")
    parser.add_argument("action", choices=("show", "add", "remove"))
    parser.add_argument("kind", choices=tuple(LIST_KINDS))
    parser.add_argument("name", nargs="?", help="token or protocol (to add or remove)")
    parser.add_argument("--why", help="reason; kept with the entry")
    parser.add_argument("--who", default=None, help="who changes it (default: the user name)")
    parser.add_argument("--as-of", help="show the list as it stood at the end of a day, YYYY-MM-DD")
    parser.add_argument("--pegged", action="store_true", help="a token that is pegged to the dollar")
    parser.add_argument("--address", help="a token's contract address")
    parser.add_argument("--chain", help="chain of the address (default Ethereum)")
    parser.add_argument("--wraps", help="token that this one wraps")
    parser.set_defaults(handler=handle)


def handle(arguments: argparse.Namespace, settings: Settings) -> int:
    """Show or change."""
    from defiyield_core.errors import ConfigurationError

    warehouse = open_warehouse(settings.warehouse)
    seed_lists(warehouse)
    if arguments.action == "show":
        moment: datetime | None = end_of(parse_day(arguments.as_of, "--as-of")) if arguments.as_of else None
        entries = list_entries(warehouse, arguments.kind, moment)
        print(entries.to_string(index=False) if len(entries) else f"the list of {arguments.kind} is empty")
        return 0
    if not arguments.name or not arguments.why:
        raise ConfigurationError(f"{arguments.action} needs a name and --why")
    fields: dict[str, Any] = {}
    if arguments.action == "add" and arguments.kind == "tokens":
        fields = {"pegged": arguments.pegged, "wraps": arguments.wraps, "address": arguments.address}
        fields["chain"] = (arguments.chain or "Ethereum") if arguments.address else arguments.chain
        fields = {name: value for name, value in fields.items() if value is not None}
    who = arguments.who or getpass.getuser()
    change_list(warehouse, arguments.kind, arguments.action, arguments.name, who, arguments.why, utc_now(), **fields)
    print(f"{arguments.action}: {arguments.name} ({arguments.kind}), by {who}: {arguments.why}")
    return 0
