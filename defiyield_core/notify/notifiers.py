"""Ways to send a message: Slack's webhook, and the log.

Belongs here: sending, retrying, and keeping the webhook's address secret. Does not belong here: what a message says.
A webhook's address is a password: it is in no log line, no error and no representation.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from defiyield_core.notify.message import Message
from defiyield_core.notify.plain import render_text
from defiyield_core.notify.slack import fallback_text, render_slack_blocks

WEBHOOK_VARIABLE = "DEFIYIELD_SLACK_WEBHOOK"
_LOG = logging.getLogger(__name__)
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_TOO_MANY_REQUESTS = 429


class Notifier(Protocol):
    """Sends messages. `send` says whether the message arrived and never raises."""

    def send(self, message: Message) -> bool:
        """Deliver the message."""
        ...


@dataclass(frozen=True)
class LogNotifier:
    """Writes messages to a logger, at the level of their severity."""

    logger: logging.Logger = field(default_factory=lambda: _LOG)

    def send(self, message: Message) -> bool:
        """Log the message as text."""
        try:
            self.logger.log(_LEVELS.get(message.severity, logging.INFO), "%s", render_text(message))
        except Exception as error:  # a notifier never fails a run
            self.logger.error("a message could not be rendered: %s: %s", type(error).__name__, error)
            return False
        return True


@dataclass(frozen=True)
class SlackNotifier:
    """Posts messages to an incoming webhook; one that does not arrive goes to the log in full instead.

    Attributes:
        timeout_seconds: of connecting, writing and reading, each.
        retry_seconds: wait before the one retry where the server names no time in `Retry-After`.
        longest_wait_seconds: a server that asks for more gets no retry: a run does not wait for it.
    """

    webhook_url: str = field(repr=False)
    timeout_seconds: float = 10.0
    retry_seconds: float = 1.0
    longest_wait_seconds: float = 30.0

    def send(self, message: Message) -> bool:
        """Post the message. Retried once after a failed connection, 429 or a server's error."""
        try:
            problem = self._deliver(message)
        except Exception as error:  # a notifier never fails a run; the text of an error may hold the address
            problem = type(error).__name__
        if problem:
            _LOG.error("Slack did not take the message (%s); it follows here", problem)
            LogNotifier().send(message)
        return not problem

    def _deliver(self, message: Message) -> str:
        """What went wrong; empty when the message arrived."""
        payload = {"text": fallback_text(message), "blocks": render_slack_blocks(message)}
        problem, wait = self._post(payload)
        if problem and wait is not None:
            time.sleep(wait)
            problem, _ = self._post(payload)
        return problem

    def _post(self, payload: Mapping[str, object]) -> tuple[str, float | None]:
        """One attempt: the problem (empty for none), and how long to wait before a retry (None: do not)."""
        try:
            with _unheard(self.webhook_url):
                answer = httpx.post(self.webhook_url, json=payload, timeout=self.timeout_seconds)
        except httpx.TransportError as error:
            return type(error).__name__, self.retry_seconds
        if answer.is_success:
            return "", None
        problem = f"HTTP {answer.status_code} {self._redacted(answer.text[:200])}".strip()
        if answer.status_code != _TOO_MANY_REQUESTS and not answer.is_server_error:
            return problem, None
        wait = _retry_after(answer.headers.get("Retry-After"))
        wait = self.retry_seconds if wait is None else wait
        return problem, wait if wait <= self.longest_wait_seconds else None

    def _redacted(self, text: str) -> str:
        """The text without the address or its path, on one line."""
        secret = urlsplit(self.webhook_url).path.strip("/")
        parts = [self.webhook_url, secret, *(part for part in secret.split("/") if len(part) >= 6)]
        for part in filter(None, parts):
            text = text.replace(part, "[webhook]")
        return " ".join(text.split())


def notifier_from_environment(environment: Mapping[str, str] | None = None) -> Notifier:
    """Slack when DEFIYIELD_SLACK_WEBHOOK holds an address, the log otherwise.

    What is no http(s) address is refused in the log, without repeating it, and the log is used: a wrong setting of the
    notifier fails no run either.
    """
    env = os.environ if environment is None else environment
    url = (env.get(WEBHOOK_VARIABLE) or "").strip()
    if not url:
        return LogNotifier()
    if not _is_address(url):
        _LOG.error("%s is not an address of the form https://...; notifications go to the log", WEBHOOK_VARIABLE)
        return LogNotifier()
    return SlackNotifier(url)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _retry_after(header: str | None) -> float | None:
    """Seconds that the header asks for (a number or a date); None when it asks for nothing readable."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


class _Unheard(logging.Filter):
    """Drops log records that name an address."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._secrets = tuple(filter(None, (url, urlsplit(url).path.strip("/"))))

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return not any(secret in text for secret in self._secrets)


@contextmanager
def _unheard(url: str) -> Iterator[None]:
    """While sending: httpx logs every address it asks for, and this one must not be."""
    logger = logging.getLogger("httpx")
    silence = _Unheard(url)
    logger.addFilter(silence)
    try:
        yield
    finally:
        logger.removeFilter(silence)
