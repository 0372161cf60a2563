"""Postgres URLs: which forms are understood, and how one is shown without its password.

Belongs here: text only. Does not belong here: connecting.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

from defiyield_core.errors import ConfigurationError

_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg2")


@dataclass(frozen=True)
class PostgresUrl:
    """A URL that libpq understands, and what may be said about it.

    Attributes:
        dsn: the URL with the scheme `postgresql`; holds the password.
        shown: user, host and database, for people.
        database: the database's name.
        names_schema: the URL sets a `search_path` of its own in its `options`.
    """

    dsn: str
    shown: str
    database: str
    names_schema: bool
    _secrets: tuple[str, ...]

    @classmethod
    def parse(cls, url: str) -> PostgresUrl:
        """Understand a URL, `?host=/folder/of/socket` included.

        Raises:
            ConfigurationError: it is no Postgres URL, or its port is no number.
        """
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            raise ConfigurationError("a Postgres warehouse is written postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        query = parse_qs(parts.query)
        try:
            port = parts.port
        except ValueError:
            raise ConfigurationError("the port in the Postgres URL is not a number from 0 to 65535") from None
        user = unquote(parts.username or query.get("user", [""])[0])
        database = unquote(parts.path.lstrip("/")) or query.get("dbname", [user])[0]
        host = parts.hostname or query.get("host", ["local socket"])[0]
        shown = f"{user}@{host}" + (f":{port}" if port else "") + f"/{database}"
        given = [parts.password or "", *query.get("password", []), *query.get("sslpassword", [])]
        secrets = {form for secret in given if secret for form in (secret, unquote(secret), quote(secret, safe=""))}
        return cls(
            dsn=urlunsplit(("postgresql", *parts[1:])),
            shown=f"Postgres {shown}",
            database=database,
            names_schema="search_path" in query.get("options", [""])[0],
            _secrets=tuple(sorted(secrets, key=len, reverse=True)),
        )

    def scrub(self, text: str) -> str:
        """The first line of a message of the server, with the password blotted out."""
        line = text.strip().partition("\n")[0]
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line

    def __repr__(self) -> str:
        return f"PostgresUrl({self.shown})"
