"""Where runs are kept: finished ones by their id, and the journals of those under way.

Belongs here: folders, locks, tidying. Does not belong here: what a run's files hold (see `outputs`).

A finished run appears at once, by renaming a folder: there is never half a run under an id.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from defiyield_core.errors import ConfigurationError

KEPT_RUNS = 200
LEFT_SECONDS = 7 * 86_400.0
"""After so long what a killed run left behind is no longer gone on with."""


class RunStore:
    """Runs under a folder. Ids are hex digits."""

    def __init__(self, folder: Path, *, kept: int = KEPT_RUNS) -> None:
        self.folder = folder
        self._kept = kept

    def finished(self, run_id: str) -> Path | None:
        """The folder of a finished run, which now counts as used; None where there is none."""
        folder = self.folder / run_id
        if not folder.is_dir():
            return None
        os.utime(folder)
        return folder

    @contextmanager
    def under_way(self, run_id: str) -> Iterator[Path]:
        """The folder for a run's journals, held against other processes while it is in use.

        Raises:
            ConfigurationError: another process is computing the same run.
        """
        folder = self.folder / f"{run_id}.part"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigurationError(f"run {run_id} is being computed by another process") from error
            yield folder

    def finish(self, run_id: str, write: Callable[[Path], object]) -> Path:
        """Let `write` fill a folder, and make it the finished run; its journals are no longer needed.

        Where two processes finish the same run, one of the two, which are equal, stays.
        """
        final, staged = self.folder / run_id, self._beside(run_id, "new")
        staged.mkdir(parents=True)
        try:
            write(staged)
            self._discard(final)
            with suppress(OSError):  # another process was faster
                staged.rename(final)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        self._discard(self.folder / f"{run_id}.part")
        return final

    def tidy(self) -> None:
        """Remove the finished runs that were not used for longest beyond those that are kept, and what was left lying
        about for a week."""
        folders = [path for path in self.folder.glob("*") if path.is_dir()]
        runs = sorted((path for path in folders if not path.suffix), key=_used, reverse=True)
        begun = time.time() - LEFT_SECONDS
        left = [path for path in folders if path.suffix in (".part", ".new", ".old") and _used(path) < begun]
        for path in (*runs[self._kept :], *left):
            self._discard(path)

    def _discard(self, folder: Path) -> None:
        """Remove a folder, so that a kill half way leaves nothing that looks whole."""
        aside = self._beside(folder.name, "old")
        with suppress(OSError):
            folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _beside(self, name: str, what: str) -> Path:
        return self.folder / f"{name}.{uuid4().hex[:12]}.{what}"


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process has just removed it
        return 0.0


def fill(out: Path, finished: Path) -> None:
    """Copy a finished run into a folder of the user's choice, each file at once.

    Raises:
        ConfigurationError: the folder cannot be made or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in sorted(finished.iterdir()):
            staged = out / f".{path.name}.new"
            shutil.copyfile(path, staged)
            staged.replace(out / path.name)
    except OSError as error:
        raise ConfigurationError(f"--out {out}: cannot be written: {error}") from error
