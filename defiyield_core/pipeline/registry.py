"""Every step in the order in which a day runs through them. Adding one is one entry in the tuple of its phase."""

from __future__ import annotations

from defiyield_core.pipeline.forecast_steps import FORECAST_STEPS
from defiyield_core.pipeline.ingest_steps import INGEST_STEPS
from defiyield_core.pipeline.score_steps import SCORE_STEPS
from defiyield_core.pipeline.step import Step
from defiyield_core.pipeline.universe_steps import UNIVERSE_STEPS

DECISION_STEPS: tuple[Step, ...] = (*UNIVERSE_STEPS[:1], *INGEST_STEPS, *UNIVERSE_STEPS[1:], *FORECAST_STEPS)
"""What decisions need. The lists come first: they say which tokens need prices."""
STEPS: tuple[Step, ...] = (*DECISION_STEPS, *SCORE_STEPS)
STEP_BY_NAME: dict[str, Step] = {step.name: step for step in STEPS}
