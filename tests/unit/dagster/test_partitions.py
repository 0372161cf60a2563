"""Which days there are."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from defiyield_core.calendar import Window
from defiyield_core.errors import ConfigurationError
from defiyield_core.settings import Settings
from defiyield_dagster.partitions import daily_partitions, range_tags, window_of_run


def of(source: str, **environment: str):  # type: ignore[no-untyped-def]
    return daily_partitions(Settings(source, "memory:", Path(), Path()), environment)


def test_a_simulated_market_has_its_days_after_34_of_warm_up() -> None:
    keys = of("simulated").get_partition_keys()
    assert (keys[0], keys[-1], len(keys)) == ("2025-02-04", "2025-06-03", 120)


@pytest.mark.recorded
def test_a_recorded_market_has_the_days_it_was_recorded_on(recorded_dir: Path) -> None:
    keys = of(f"recorded:{recorded_dir}").get_partition_keys()
    assert len(keys) > 300 and date.fromisoformat(keys[0]) < date.fromisoformat(keys[-1]) < date.today()


def test_a_live_market_begins_on_a_fixed_day_and_ends_yesterday() -> None:
    live = of("live")
    assert live.get_first_partition_key() == "2025-01-01"
    assert not live.has_partition_key(date.today().isoformat())


def test_the_first_day_can_be_set_and_a_wrong_one_is_refused() -> None:
    assert of("simulated", DEFIYIELD_PARTITIONS_START="2025-03-01").get_first_partition_key() == "2025-03-01"
    with pytest.raises(ConfigurationError, match="DEFIYIELD_PARTITIONS_START 'March'"):
        of("simulated", DEFIYIELD_PARTITIONS_START="March")


def test_a_runs_days_come_from_its_tags() -> None:
    window = Window(date(2025, 3, 1), date(2025, 3, 4))
    assert window_of_run(range_tags(window)) == window
    assert window_of_run({"dagster/partition": "2025-03-02"}) == Window(date(2025, 3, 2), date(2025, 3, 2))
    assert window_of_run({"other": "tag"}) is None
