"""The model store: trained models in their library's text format, each beside a manifest that says what it is.

Belongs here: writing, finding, refusing and pruning models; the cache of a run. Does not belong here: training.

    ROOT/<forecaster>/<trained_through>/<point>_<horizon>d_<fingerprint>/manifest.json, model.txt or model.json

A model is returned only for the very data, features and settings that it was trained with. Nothing is ever unpickled.
What is damaged is moved aside, told in the log and trained again. The directory must be writable by trusted users only:
a sha256 beside its file guards against accidents, and the libraries that read the text can be crashed by one that was
made up.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from defiyield_core.errors import ConfigurationError, DataError
from defiyield_core.forecasting.boosting import Booster, Engine

_LOG = logging.getLogger(__name__)
_MANIFEST = "manifest.json"
_ATTEMPTS = 5
"""Another process may take a model away, or put the same one, between two steps of this one."""
_DRAFT_SECONDS = 86_400.0


@dataclass(frozen=True)
class ModelKey:
    """What a model is, before it is trained: two models of the same key are the same model.

    Attributes:
        name: the forecaster. point: `apy` (mean over the horizon) or `apy_at`.
        trained_through: last day whose observations were used; the model may be used from this day on.
        fingerprint: sha256 of everything that decides the trees: data of the training window, features and settings.
    """

    name: str
    version: str
    point: str
    horizon_days: int
    trained_from: date
    trained_through: date
    fingerprint: str
    features: tuple[str, ...]
    settings: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True)
class StoredModel:
    """A trained model: what it is, the trees, and how well they fit."""

    key: ModelKey
    booster: Booster
    metrics: Mapping[str, float]


class Models(Protocol):
    """Where a walk finds models, and leaves those it had to train."""

    def get(self, key: ModelKey) -> StoredModel | None:
        """The model of exactly this key, if there is one."""
        ...

    def put(self, model: StoredModel) -> None:
        """Keep a model."""
        ...


class MemoryModels:
    """The newest models of this process."""

    def __init__(self, limit: int = 600) -> None:
        self._models: OrderedDict[ModelKey, StoredModel] = OrderedDict()
        self._limit = limit
        self._lock = threading.Lock()

    def get(self, key: ModelKey) -> StoredModel | None:
        """The model of exactly this key, if there is one."""
        with self._lock:
            return self._models.get(key)

    def put(self, model: StoredModel) -> None:
        """Keep a model; the oldest one leaves when there are too many."""
        with self._lock:
            self._models[model.key] = model
            if len(self._models) > self._limit:
                self._models.popitem(last=False)


@dataclass(frozen=True)
class ModelStore:
    """Models of one engine in a directory."""

    root: Path
    engine: Engine

    def put(self, model: StoredModel) -> None:
        """Write a model; it appears whole or not at all, even when the power fails.

        Raises:
            DataError: the directory cannot be written.
        """
        text = model.booster.text()
        file = f"model{self.engine.suffix}"
        manifest = {
            **_key_json(model.key),
            "engine": self.engine.name,
            "file": file,
            "metrics": dict(model.metrics),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        place = self._place(model.key)
        draft = _aside(place)
        try:
            draft.mkdir(parents=True)
            _write(draft / file, text)
            _write(draft / _MANIFEST, json.dumps(manifest, indent=1, sort_keys=True))
            _flush(draft)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise DataError(f"{place}: cannot be written: {error.strerror}") from error
        for _ in range(_ATTEMPTS):
            try:
                draft.rename(place)
            except OSError:
                _remove(place)
                continue
            _flush(place.parent)
            return
        _remove(draft)
        raise DataError(f"{place}: cannot be written; is another file in its place?")

    def get(self, key: ModelKey) -> StoredModel | None:
        """The model of exactly this key; None when it is not stored. What is returned counts as used now.

        What is in its place but damaged, or another model, is moved aside for a day; the model is then trained again.
        """
        place = self._place(key)
        problem = ""
        for _ in range(_ATTEMPTS):
            if not (place / _MANIFEST).is_file():
                return None
            try:
                model = self.load(place, key.features)
            except DataError as error:
                problem = str(error)
                continue
            if _text(model.key) != _text(key):
                problem = f"{place}: another model, trained through {model.key.trained_through}, is in its place"
                break
            with suppress(OSError):
                os.utime(place / _MANIFEST)
            return model
        aside = _aside(place)
        with suppress(OSError):
            place.rename(aside)
            os.utime(aside)
            _LOG.warning("%s; moved to %s, and the model is trained again", problem, aside)
        return None

    def prune(self, keep: int) -> int:
        """Remove all but the `keep` last used models of the engine, and what was moved aside or left by a
        dead process a day ago.

        Other processes may read and write meanwhile: a model is moved aside whole before its files go, and one that is
        missed is trained again.

        Returns:
            The number of models removed.

        Raises:
            ConfigurationError: `keep` is negative.
        """
        if keep < 0:
            raise ConfigurationError(f"cannot keep {keep} models: give 0 or more")
        folder = self.root / self.engine.name
        for draft in folder.glob(f"*/.*-{'?' * 32}"):
            if _used_at(draft) < time.time() - _DRAFT_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)
        places = [path.parent for path in folder.glob(f"*/*/{_MANIFEST}") if not path.parent.name.startswith(".")]
        last_used = sorted(places, key=lambda place: (_used_at(place / _MANIFEST), str(place)), reverse=True)
        return sum(_remove(place) for place in last_used[keep:])

    def load(self, place: Path, features: tuple[str, ...]) -> StoredModel:
        """Read one model's directory.

        Args:
            features: names that the caller will predict with, in order.

        Raises:
            DataError: the manifest cannot be read or names another engine or format, the file's sha256 is not the
                manifest's, its library cannot read it, or the model was trained on other features.
        """
        manifest = _manifest(place / _MANIFEST)
        expected = f"model{self.engine.suffix}"
        if manifest.get("engine") != self.engine.name or manifest.get("file") != expected:
            raise DataError(f"{place}: not a model of {self.engine.name} in a file {expected}")
        content = _content(place / expected)
        if hashlib.sha256(content).hexdigest() != manifest.get("sha256"):
            raise DataError(f"{place / expected}: its sha256 is not the manifest's; train the model again")
        text = content.decode("utf-8", errors="replace")
        if not text.startswith(self.engine.opening):
            raise DataError(f"{place / expected}: not in the text format of {self.engine.name}")
        key = _key(manifest, place)
        if key.features != features:
            raise DataError(f"{place}: trained on other features than the ones given; train the model again")
        return StoredModel(key, self.engine.read(text), manifest.get("metrics", {}))

    def _place(self, key: ModelKey) -> Path:
        folder = f"{key.point}_{key.horizon_days}d_{key.fingerprint[:24]}"
        return self.root / key.name / key.trained_through.isoformat() / folder


@dataclass(frozen=True)
class Layered:
    """A fast store in front of a lasting one."""

    fast: Models
    lasting: Models

    def get(self, key: ModelKey) -> StoredModel | None:
        """From the fast one, else from the lasting one."""
        model = self.fast.get(key)
        if model is None:
            model = self.lasting.get(key)
            if model is not None:
                self.fast.put(replace(model, key=key))
        return model

    def put(self, model: StoredModel) -> None:
        """Keep it in both."""
        self.lasting.put(model)
        self.fast.put(model)


def _aside(place: Path) -> Path:
    """A hidden neighbour that nobody else has."""
    return place.with_name(f".{place.name}-{uuid4().hex}")


def _write(path: Path, text: str) -> None:
    """Write a file to the disk itself, not only to the system's memory."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Names in a directory reach the disk, where the system can do that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove(place: Path) -> bool:
    """Take a directory away whole; False when it is not there."""
    gone = _aside(place)
    try:
        place.rename(gone)
    except OSError:
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True


def _used_at(path: Path) -> float:
    """Seconds since 1970; 0 for what another process has just removed."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _key_json(key: ModelKey) -> dict[str, Any]:
    days = {name: getattr(key, name).isoformat() for name in ("trained_from", "trained_through")}
    return {**asdict(key), **days, "features": list(key.features)}


def _text(key: ModelKey) -> str:
    """What is compared: JSON makes a list of a tuple."""
    return json.dumps(_key_json(key), sort_keys=True)


def _key(manifest: Mapping[str, Any], place: Path) -> ModelKey:
    try:
        return ModelKey(
            name=manifest["name"],
            version=manifest["version"],
            point=manifest["point"],
            horizon_days=int(manifest["horizon_days"]),
            trained_from=date.fromisoformat(manifest["trained_from"]),
            trained_through=date.fromisoformat(manifest["trained_through"]),
            fingerprint=manifest["fingerprint"],
            features=tuple(manifest["features"]),
            settings=manifest["settings"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{place / _MANIFEST}: {error!r}; train the model again") from error


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_content(path))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise DataError(f"{path}: not a JSON object")
    return manifest


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
