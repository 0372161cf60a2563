"""The model store: round trips, refusals, and never a model from later."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.forecasting.boosting import LightGBM, XGBoost
from defiyield_core.forecasting.combination import Combination
from defiyield_core.forecasting.global_model import GlobalModel
from defiyield_core.forecasting.port import forecast_days
from defiyield_core.forecasting.registry import with_store
from defiyield_core.forecasting.store import ModelKey, ModelStore, StoredModel
from tests.unit.forecasting.small import assert_same, market, quick

DAY = date(2025, 3, 3)
NAMES = ("a", "b", "c")
ENGINES = {"lightgbm": LightGBM(rounds=5), "xgboost": XGBoost(rounds=5)}
by_engine = pytest.mark.parametrize("engine", list(ENGINES.values()), ids=list(ENGINES))


def trained(engine: LightGBM | XGBoost, through: date = DAY, fingerprint: str = "f" * 64) -> StoredModel:
    """A small model of three features."""
    random = np.random.default_rng(1)
    rows = random.random((300, 3)).astype(np.float32)
    key = ModelKey(engine.name, "1", "apy", 7, through - timedelta(days=364), through, fingerprint, NAMES, {"x": 1})
    return StoredModel(key, engine.train(rows, rows[:, 0] - rows[:, 1].astype(float)), {"rows": 300.0})


def place_of(root: Path) -> Path:
    """The directory of the only model."""
    (manifest,) = root.rglob("manifest.json")
    return manifest.parent


@by_engine
def test_a_model_comes_back_with_its_predictions_and_its_manifest(engine: LightGBM | XGBoost, tmp_path: Path) -> None:
    store, model = ModelStore(tmp_path, engine), trained(engine)
    store.put(model)
    again = store.get(model.key)
    assert again is not None
    rows = np.random.default_rng(7).random((50, 3)).astype(np.float32)
    np.testing.assert_array_equal(again.booster.predict(rows), model.booster.predict(rows))
    assert again.key == model.key and again.metrics == {"rows": 300.0}
    manifest = json.loads((place_of(tmp_path) / "manifest.json").read_text())
    assert {"name", "version", "trained_from", "trained_through", "fingerprint", "features", "settings"} <= set(
        manifest
    )
    assert sorted(path.name for path in place_of(tmp_path).iterdir()) == sorted(["manifest.json", manifest["file"]])


def spoilt_text(place: Path, engine: LightGBM | XGBoost) -> None:
    """A file of the right hash that its library cannot read."""
    text = f"{engine.opening}rubbish"
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (place / f"model{engine.suffix}").write_text(text)
    (place / "manifest.json").write_text(json.dumps(manifest))


DAMAGES = {
    "changed": (lambda place, engine: (place / f"model{engine.suffix}").open("ab").write(b" "), "sha256 is not"),
    "emptied": (lambda place, engine: (place / f"model{engine.suffix}").write_text(""), "sha256 is not"),
    "gone": (lambda place, engine: (place / f"model{engine.suffix}").unlink(), "cannot be read"),
    "no manifest": (lambda place, engine: (place / "manifest.json").write_text(""), "not JSON"),
    "unreadable": (spoilt_text, "not a model that"),
}


@by_engine
@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_model_is_moved_aside_told_and_trained_again(
    engine: LightGBM | XGBoost, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, model = ModelStore(tmp_path, engine), trained(engine)
    store.put(model)
    spoil, said = DAMAGES[damage]
    spoil(place_of(tmp_path), engine)
    assert store.get(model.key) is None
    (warning,) = caplog.messages
    assert said in warning and "the model is trained again" in warning and "\n" not in warning
    assert not list(tmp_path.glob("*/*/[!.]*")) and len(list(tmp_path.glob("*/*/.*"))) == 1
    store.put(model)
    assert store.get(model.key) is not None and len(caplog.messages) == 1


def test_a_model_in_the_place_of_another_is_not_that_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = LightGBM(rounds=5)
    store, early, late = ModelStore(tmp_path, engine), trained(engine), trained(engine, DAY + timedelta(days=7))
    store.put(early)
    store.put(late)
    shutil.rmtree(store._place(early.key))
    shutil.copytree(store._place(late.key), store._place(early.key))
    assert store.get(early.key) is None
    assert "2025-03-10" in caplog.messages[0]
    again = store.get(late.key)
    assert again is not None and again.key.trained_through == late.key.trained_through


def test_a_key_is_the_same_after_json_has_made_lists_of_its_settings(tmp_path: Path) -> None:
    engine = LightGBM(rounds=5)
    store, model = ModelStore(tmp_path, engine), trained(engine)
    paired = replace(model, key=replace(model.key, settings={"pair": (1, 2.5), "none": None}))
    store.put(paired)
    assert store.get(paired.key) is not None


def test_a_run_over_a_damaged_store_gives_the_forecasts_of_a_run_over_a_sound_one(tmp_path: Path) -> None:
    history = market()
    first = len(history.days) - 8
    sound = forecast_days(with_store(quick(), tmp_path), history, first, (7,))
    for file in tmp_path.rglob("model.txt"):
        file.write_text("")
    assert_same(sound, forecast_days(with_store(quick(), tmp_path), history, first, (7,)))
    assert all(file.stat().st_size for file in tmp_path.glob("*/*/[!.]*/model.txt"))


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "lightgbm").write_text("a file where a directory belongs")
    with pytest.raises(DataError, match="cannot be written"):
        ModelStore(tmp_path, LightGBM(rounds=5)).put(trained(LightGBM(rounds=5)))


def test_other_features_are_refused_and_so_is_their_order(tmp_path: Path) -> None:
    engine = LightGBM(rounds=5)
    ModelStore(tmp_path, engine).put(trained(engine))
    for names in (("a", "b"), ("b", "a", "c")):
        with pytest.raises(DataError, match="other features"):
            ModelStore(tmp_path, engine).load(place_of(tmp_path), names)


def test_a_pickle_is_refused_even_with_the_right_hash(tmp_path: Path) -> None:
    engine = LightGBM(rounds=5)
    store, model = ModelStore(tmp_path, engine), trained(engine)
    store.put(model)
    place = place_of(tmp_path)
    content = pickle.dumps({"tree": 1})
    manifest = json.loads((place / "manifest.json").read_text()) | {"sha256": hashlib.sha256(content).hexdigest()}
    (place / "model.txt").write_bytes(content)
    (place / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="not in the text format"):
        store.load(place, NAMES)
    (place / "model.pkl").write_bytes(content)
    (place / "manifest.json").write_text(json.dumps(manifest | {"file": "model.pkl"}))
    with pytest.raises(DataError, match="not a model of lightgbm in a file model"):
        store.load(place, NAMES)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"engine": "lightgbm", "file": "model.txt"}'])
def test_a_broken_manifest_is_refused(text: str, tmp_path: Path) -> None:
    engine = LightGBM(rounds=5)
    store, model = ModelStore(tmp_path, engine), trained(engine)
    store.put(model)
    (place_of(tmp_path) / "manifest.json").write_text(text)
    with pytest.raises(DataError):
        store.load(place_of(tmp_path), NAMES)
    assert store.get(model.key) is None


def test_a_model_of_another_engine_is_refused(tmp_path: Path) -> None:
    light = LightGBM(rounds=5)
    ModelStore(tmp_path, light).put(trained(light))
    with pytest.raises(DataError, match="not a model of xgboost"):
        ModelStore(tmp_path, XGBoost(rounds=5)).load(place_of(tmp_path), NAMES)


def test_other_data_or_settings_have_no_stored_model(tmp_path: Path) -> None:
    engine = LightGBM(rounds=5)
    store, model = ModelStore(tmp_path, engine), trained(engine)
    store.put(model)
    assert store.get(replace(model.key, fingerprint="e" * 64)) is None


def test_a_walk_from_stored_models_is_the_walk_that_trained_them(tmp_path: Path) -> None:
    history = market()
    first = len(history.days) - 8
    trains = with_store(Combination(quick()), tmp_path)
    trained_now = forecast_days(trains, history, first, (7,))
    written = len(list(tmp_path.rglob("manifest.json")))
    assert written > 0
    from_disk = with_store(Combination(quick(Untrainable(rounds=15))), tmp_path)
    assert_same(trained_now, forecast_days(from_disk, history, first, (7,)))
    assert len(list(tmp_path.rglob("manifest.json"))) == written


class Untrainable(LightGBM):
    """LightGBM that must find its models."""

    def train(self, rows: np.ndarray, target: np.ndarray) -> object:  # type: ignore[override]
        """Refused."""
        raise AssertionError("a stored model was expected")


def test_revised_data_train_a_new_model(tmp_path: Path) -> None:
    history = market()
    last = len(history.days) - 1
    model = with_store(quick(), tmp_path)
    forecast_days(model, history, last, (1,))
    apy = history.series["apy"].copy()
    apy[last - 30, 0] += 1e-6
    forecast_days(model, replace(history, series={**history.series, "apy": apy}), last, (1,))
    assert len(list(tmp_path.rglob("manifest.json"))) == 2


def test_a_baseline_has_nothing_to_store(tmp_path: Path) -> None:
    from defiyield_core.forecasting.baselines import Ewma

    assert with_store(Ewma(), tmp_path) == Ewma()
    assert isinstance(with_store(quick(), tmp_path), GlobalModel)


def used_on(store: ModelStore, model: StoredModel, moment: float) -> None:
    """Store a model as if it was last used at a moment, in seconds since 1970."""
    store.put(model)
    manifest = store._place(model.key) / "manifest.json"
    os.utime(manifest, (moment, moment))


def test_pruning_keeps_the_models_that_were_used_last(tmp_path: Path) -> None:
    engine = LightGBM(rounds=5)
    store = ModelStore(tmp_path, engine)
    models = [trained(engine, DAY + timedelta(weeks=week)) for week in range(4)]
    for moment, model in enumerate(models):
        used_on(store, model, 1000.0 + moment)
    assert store.get(models[0].key) is not None
    assert store.prune(2) == 2
    assert [store.get(model.key) is not None for model in models] == [True, False, False, True]
    assert store.prune(2) == 0
    assert store.prune(0) == 2
    assert not list(tmp_path.rglob("model.txt"))


def test_pruning_leaves_other_engines_and_fresh_drafts_alone(tmp_path: Path) -> None:
    light, extreme = LightGBM(rounds=5), XGBoost(rounds=5)
    ModelStore(tmp_path, light).put(trained(light))
    ModelStore(tmp_path, extreme).put(trained(extreme))
    day = tmp_path / "lightgbm" / DAY.isoformat()
    fresh, old = (day / f".apy_7d_{'f' * 24}-{digit * 32}" for digit in "ab")
    for draft in (fresh, old):
        draft.mkdir()
        (draft / "manifest.json").write_text("{}")
    os.utime(old, (1000.0, 1000.0))
    assert ModelStore(tmp_path, light).prune(0) == 1
    assert fresh.is_dir() and not old.exists()
    assert ModelStore(tmp_path, extreme).get(trained(extreme).key) is not None


def test_a_negative_number_of_models_cannot_be_kept(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot keep -1 models"):
        ModelStore(tmp_path, LightGBM()).prune(-1)


def test_a_model_put_again_replaces_the_one_there(tmp_path: Path) -> None:
    engine = LightGBM(rounds=5)
    store, model = ModelStore(tmp_path, engine), trained(engine)
    store.put(model)
    (place_of(tmp_path) / "model.txt").write_text("spoilt")
    store.put(model)
    again = store.get(model.key)
    assert again is not None and again.booster.text() == model.booster.text()
    assert len(list(tmp_path.glob("lightgbm/*/*"))) == 1


def test_a_model_that_is_pruned_while_it_is_read_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LightGBM(rounds=5)
    store, model = ModelStore(tmp_path, engine), trained(engine)
    store.put(model)
    load = ModelStore.load

    def pruned_first(self: ModelStore, place: Path, features: tuple[str, ...]) -> StoredModel:
        self.prune(0)
        return load(self, place, features)

    monkeypatch.setattr(ModelStore, "load", pruned_first)
    assert store.get(model.key) is None


_WORKER = """
import sys
from pathlib import Path
from defiyield_core.forecasting.boosting import LightGBM
from defiyield_core.forecasting.store import ModelStore
from tests.unit.forecasting.test_store import trained
engine = LightGBM(rounds=5)
store, model = ModelStore(Path(sys.argv[1]), engine), trained(engine)
for turn in range(30):
    store.put(model)
    found = store.get(model.key)
    assert found is None or found.booster.text() == model.booster.text()
    store.prune(turn % 2)
"""


def test_processes_may_put_get_and_prune_the_same_model_at_once(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", _WORKER, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for worker in workers:
        _, problems = worker.communicate()
        assert worker.returncode == 0, problems
    ModelStore(tmp_path, LightGBM(rounds=5)).prune(0)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
