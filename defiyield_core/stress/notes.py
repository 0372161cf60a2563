"""What a reader must know to read a stress run: which forecasts, which markets, what an event leaves alone.

Belongs here: these sentences and when each is needed. Does not belong here: figures and layout (see `report`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from defiyield_core.reporting.survivorship import SIMULATED, SURVIVORSHIP
from defiyield_core.stress.cases import BOOTSTRAP, EVENT_KINDS, MARKET
from defiyield_core.stress.outcomes import StressRun

LOSS = (
    "A loss is what the undisturbed run had more at the end; a case may also gain. APY, losses and drawdowns are net "
    "of gas and conversion fees."
)
LENT = (
    "In cases of events, {forecaster} forecasts with the models that the undisturbed run had trained up to the same "
    "day: they see the event in their inputs, but have not learnt from it. --retrain trains every case's own, which "
    "takes several times as long."
)
CHEAPER = (
    "Draws and simulated markets are forecast by {others}, not by the portfolio's {forecaster}, whose models would "
    "have to be trained for each (--retrain does that). They are held against an undisturbed run with the same "
    "forecaster."
)
OTHER_MARKET = (
    "A simulated market is another market: its loss against the undisturbed run says how different it is, not what "
    "anything did to it."
)
EVENTS = (
    "Events are aimed at what the undisturbed portfolio held most of, or next most, at the close before. They change "
    "what the source says from their day on; nothing before it changes, and no decision sees them coming."
)
LEFT_ALONE = (
    "A depeg moves prices alone: TVL and rates of pools that hold the token stay as they were. A freeze shuts pools to "
    "withdrawals and deposits. What lasts holds to the end of the range."
)
DRAWN = (
    "A draw keeps which pools there are on each day, their TVL, prices and gas, and gives each day the rates of "
    "another one, all pools together. It says what the order of days was worth, not what other rates would be."
)


@dataclass(frozen=True)
class Telling:
    """What a report says besides the outcomes.

    Attributes:
        source: of the undisturbed run. seed: of the cases. forecaster: the portfolio's.
        lends: cases of events use the models of the undisturbed run.
        facts: more names and values for the end of the page.
    """

    source: str
    seed: int
    forecaster: str
    lends: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)


def notes(run: StressRun, telling: Telling) -> list[str]:
    """What figures mean: a sentence or two each."""
    kinds = {one.kind for one in run.outcomes}
    others = sorted({one.forecaster for one in run.outcomes if one.forecaster})
    said = [LOSS]
    if telling.lends and kinds & set(EVENT_KINDS):
        said.append(LENT.format(forecaster=telling.forecaster))
    if others:
        said.append(CHEAPER.format(others=", ".join(others), forecaster=telling.forecaster))
    if MARKET in kinds:
        said.append(OTHER_MARKET)
    return said


def method(run: StressRun, telling: Telling) -> list[str]:
    """How cases were made, and what none of them knows."""
    kinds = {one.kind for one in run.outcomes}
    said = [EVENTS, LEFT_ALONE] if kinds & set(EVENT_KINDS) else []
    if BOOTSTRAP in kinds:
        said.append(DRAWN)
    return [*said, SIMULATED if telling.source.startswith("simulated") else SURVIVORSHIP]
