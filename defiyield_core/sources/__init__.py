"""Where data comes from: live APIs, a recorded directory, or a simulated market, behind one port.

Belongs here: fetching and parsing. Parsers are pure functions from a payload to rows; all sources feed the same ones.
Does not belong here: judging pools, writing tables.
"""

from defiyield_core.sources.opening import open_source
from defiyield_core.sources.port import Fetched, Source

__all__ = ["Fetched", "Source", "open_source"]
