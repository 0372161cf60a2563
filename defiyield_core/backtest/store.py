"""Where runs are kept: finished ones by their id, and the journals of those under way.

Belongs here: folders, locks, tidying. Does not belong here: what a run's files hold (see `outputs`).

A finished run appears at once, by renaming a folder: there is never half a run under an id.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from defiyield_core.errors import ConfigurationError

KEPT_RUNS = 200


class RunStore:
    """Runs under a folder. Ids are hex digits."""

    def __init__(self, folder: Path, *, kept: int = KEPT_RUNS) -> None:
        self.folder = folder
        self._kept = kept

    def finished(self, run_id: str) -> Path | None:
        """The folder of a finished run; None where there is none."""
        folder = self.folder / run_id
        return folder if folder.is_dir() else None

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
        """Let `write` fill a folder, and make it the finished run; its journals are no longer needed."""
        staged, final = self.folder / f"{run_id}.new", self.folder / run_id
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        write(staged)
        shutil.rmtree(final, ignore_errors=True)
        staged.rename(final)
        shutil.rmtree(self.folder / f"{run_id}.part", ignore_errors=True)
        return final

    def tidy(self) -> None:
        """Remove the oldest finished runs beyond those that are kept."""
        runs = [path for path in self.folder.glob("*") if path.is_dir() and not path.suffix]
        by_age = sorted(runs, key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in by_age[self._kept :]:
            shutil.rmtree(path, ignore_errors=True)


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
