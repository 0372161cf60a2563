"""The exception tree. Every message says what was wrong, where, and what to do about it.

The command line prints any `DefiYieldError` as one line and exits with 2.
"""

from __future__ import annotations


class DefiYieldError(Exception):
    """Base of every error that a user can cause or must act on."""


class ConfigurationError(DefiYieldError):
    """A setting, parameter or portfolio file is wrong."""


class DataError(DefiYieldError):
    """Data does not meet its contract: the message names the table, the rows and the rule."""


class SourceError(DefiYieldError):
    """A data source could not be read."""


class WarehouseError(DefiYieldError):
    """The database could not be opened, read or written."""


class AllocationError(DefiYieldError):
    """A problem is malformed, or a decision failed its re-evaluation outside the solver."""


class LedgerError(DefiYieldError):
    """An accounting identity does not hold."""
