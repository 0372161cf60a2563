"""HTTP for public APIs: retries, rate limits, budgets, and no secret in any message.

Belongs here: getting JSON from a hostile, slow or broken server. Does not belong here: what the JSON means.
The interface is synchronous; `get_many` runs a bounded number of requests at once and answers per request.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any

import httpx

from defiyield_core.errors import SourceError
from defiyield_core.sources.payload import clean

SECRET_NAMES = frozenset({"apikey", "api_key", "key", "token", "access_token", "x-cmc_pro_api_key", "authorization"})
"""Query fields and headers (lower case) whose values are never shown."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
WORTH_RETRYING = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_REDIRECTS = 3
HIDDEN = "***"


@dataclass(frozen=True)
class HttpPolicy:
    """How patient a client is.

    Attributes:
        attempts: requests made for one answer, the first included.
        backoff_seconds: upper end of the first random wait; it doubles with every attempt, up to
        `backoff_cap_seconds`.
        timeout_seconds: for connecting, and for every pause of the server.
        budget_seconds: for one `get_json` or one whole `get_many`, waits included.
        max_body_bytes: a longer body (after decompression) is refused.
        max_concurrency: requests of one `get_many` at a time.
        requests_per_second: by host name; `default_requests_per_second` for every other host.
    """

    attempts: int = 5
    backoff_seconds: float = 0.5
    backoff_cap_seconds: float = 30.0
    timeout_seconds: float = 30.0
    budget_seconds: float = 600.0
    max_body_bytes: int = 64 * 1024 * 1024
    max_concurrency: int = 8
    requests_per_second: Mapping[str, float] = field(default_factory=dict)
    default_requests_per_second: float = 10.0


@dataclass(frozen=True)
class Clock:
    """Time and chance, so that tests can hold them: rising seconds, waiting, the present, a number in [0, 1)."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    chance: Callable[[], float] = random.random


@dataclass(frozen=True)
class HttpRequest:
    """One GET. Values under `SECRET_NAMES` are kept out of every message; so is the whole query."""

    url: str
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class TokenBucket:
    """At most `rate` starts a second, a burst of one second's worth; threads queue by reservation."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self._interval = 1.0 / rate
        self._burst = max(1.0, rate) * self._interval
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock.monotonic() - self._burst

    def reserve(self, deadline: float) -> float | None:
        """Seconds to wait for a turn; None, and nothing reserved, when it would come after `deadline`."""
        with self._lock:
            now = self._clock.monotonic()
            turn = max(self._next, now - self._burst + self._interval)
            wait = max(0.0, turn - now)
            if now + wait > deadline:
                return None
            self._next = turn + self._interval
            return wait

    def hold(self, seconds: float) -> None:
        """No new turn for `seconds`: the server asked everyone to wait."""
        with self._lock:
            self._next = max(self._next, self._clock.monotonic() + seconds)


class _RetryableError(Exception):
    """A failure that another attempt may cure; `wait` is what the server asked for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class HttpClient:
    """GETs JSON. Safe to share between threads; close it, or use it in a `with`."""

    def __init__(self, policy: HttpPolicy | None = None, clock: Clock | None = None) -> None:
        self.policy = policy or HttpPolicy()
        self.clock = clock or Clock()
        limits = httpx.Limits(
            max_connections=self.policy.max_concurrency, max_keepalive_connections=self.policy.max_concurrency
        )
        self._client = httpx.Client(
            limits=limits,
            timeout=self.policy.timeout_seconds,
            follow_redirects=False,
            headers={"Accept": "application/json", "User-Agent": "defiyield"},
        )
        self._buckets: dict[str, TokenBucket] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get_json(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        retry_if: Callable[[object], bool] | None = None,
    ) -> object:
        """The JSON at an address.

        Retried with exponential backoff and full jitter, at least as long as `Retry-After` says: connection
        failures, timeouts, cut or invalid JSON, status 408, 425, 429 and 5xx, and answers for which `retry_if`
        holds (the last such answer is returned).

        Raises:
            SourceError: no usable answer within the attempts and the budget; the message has neither query nor
            key.
        """
        deadline = self.clock.monotonic() + self.policy.budget_seconds
        return self._get(HttpRequest(url, params or {}, headers or {}), deadline, retry_if)

    def get_many(
        self, requests: Sequence[HttpRequest], *, retry_if: Callable[[object], bool] | None = None
    ) -> list[object | SourceError]:
        """Per request its JSON, or the `SourceError` that `get_json` would raise. All share one time budget."""
        deadline = self.clock.monotonic() + self.policy.budget_seconds

        def answer(request: HttpRequest) -> object | SourceError:
            try:
                return self._get(request, deadline, retry_if)
            except SourceError as error:
                return error

        if not requests:
            return []
        with ThreadPoolExecutor(max_workers=min(self.policy.max_concurrency, len(requests))) as pool:
            return list(pool.map(answer, requests))

    def _get(self, request: HttpRequest, deadline: float, retry_if: Callable[[object], bool] | None) -> object:
        where, secrets = shown(request.url), _secrets(request)
        reason = "the time budget was already spent"
        for attempt in range(self.policy.attempts):
            try:
                answer = self._attempt(request, deadline, secrets)
                last = attempt + 1 == self.policy.attempts
                if last or retry_if is None or not retry_if(answer):
                    return answer
                failure = _RetryableError("it asked to come back later")
            except _RetryableError as error:
                failure = error
            reason = failure.reason
            if attempt + 1 < self.policy.attempts and not self._wait(request.url, attempt, failure.wait, deadline):
                break
        raise SourceError(
            f"GET {where} failed: {scrub(reason, secrets)}; gave up after {attempt + 1} attempts; try again later"
        )

    def _wait(self, url: str, attempt: int, asked: float, deadline: float) -> bool:
        """Wait before another attempt; False when there is no time left for it."""
        ceiling = min(self.policy.backoff_cap_seconds, self.policy.backoff_seconds * 2.0**attempt)
        pause = max(asked, self.clock.chance() * ceiling)
        if self.clock.monotonic() + pause >= deadline:
            return False
        if asked:
            self._bucket(url).hold(asked)
        self.clock.sleep(pause)
        return True

    def _attempt(self, request: HttpRequest, deadline: float, secrets: Sequence[str]) -> object:
        turn = self._bucket(request.url).reserve(deadline)
        if turn is None:
            raise _RetryableError("the rate limit leaves no turn within the time budget")
        if turn:
            self.clock.sleep(turn)
        where = shown(request.url)
        try:
            status, body = self._exchange(request, deadline)
        except httpx.TimeoutException:
            raise _RetryableError(f"no answer within {self.policy.timeout_seconds:g} s") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError):
            raise SourceError(f"'{where}' cannot be asked: the address or the key has illegal characters") from None
        except httpx.HTTPError as error:
            said = f": {clean(error)}" if isinstance(error, httpx.ConnectError) else ""  # others may quote a header
            raise _RetryableError(f"the connection broke ({type(error).__name__}{said})") from None
        parsed = _parse(body)
        if status == 200:
            if parsed is _INVALID:
                raise _RetryableError(f"the answer of {len(body)} bytes is not valid JSON, it may have been cut off")
            return parsed
        said = scrub(_said(parsed), secrets)
        raise SourceError(f"GET {where} was refused with status {status}{said}; check the key and the address")

    def _exchange(self, request: HttpRequest, deadline: float) -> tuple[int, bytes]:
        """Status and body of the answer, after redirects within the same host."""
        url, params = httpx.URL(request.url), dict(request.params)
        for _ in range(MAX_REDIRECTS + 1):
            timeout = max(0.001, min(self.policy.timeout_seconds, deadline - self.clock.monotonic()))
            with self._client.stream(
                "GET", url, params=params or None, headers=dict(request.headers), timeout=timeout
            ) as response:
                if response.status_code not in REDIRECTS:
                    if response.status_code in WORTH_RETRYING:
                        raise _RetryableError(f"status {response.status_code}", self._asked_wait(response))
                    return response.status_code, self._body(response, deadline)
                target = url.join(response.headers.get("location", ""))
                if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
                    raise SourceError(
                        f"GET {shown(str(url))} redirects to another host, {target.host}, which is refused; "
                        "check the base address"
                    )
                url, params = target, {}
        raise SourceError(f"GET {shown(request.url)} redirects more than {MAX_REDIRECTS} times; check the base address")

    def _body(self, response: httpx.Response, deadline: float) -> bytes:
        chunks, size = [], 0
        for chunk in response.iter_bytes(65536):
            size += len(chunk)
            if size > self.policy.max_body_bytes:
                raise SourceError(
                    f"GET {shown(str(response.url))} sends more than {self.policy.max_body_bytes} bytes, "
                    "which is refused; check the address"
                )
            if self.clock.monotonic() > deadline:
                raise _RetryableError("the time budget ended while the answer was being read")
            chunks.append(chunk)
        return b"".join(chunks)

    def _asked_wait(self, response: httpx.Response) -> float:
        """Seconds of `Retry-After`, given as a number or as a date; 0 when there is none."""
        text = response.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text)
        try:
            moment = parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return 0.0
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - self.clock.now()).total_seconds())

    def _bucket(self, url: str) -> TokenBucket:
        host = shown(url).partition("://")[2].partition("/")[0].partition(":")[0]
        with self._lock:
            if host not in self._buckets:
                rate = self.policy.requests_per_second.get(host, self.policy.default_requests_per_second)
                self._buckets[host] = TokenBucket(rate, self.clock)
            return self._buckets[host]


def shown(url: str) -> str:
    """An address without user, query and fragment: what may be printed."""
    bare = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else bare


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret replaced by asterisks."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(request: HttpRequest) -> list[str]:
    pairs = [*request.params.items(), *request.headers.items()]
    return [value for name, value in pairs if name.lower() in SECRET_NAMES and value]


_INVALID: Any = object()


def _parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _INVALID


def _said(parsed: object) -> str:
    """What the server's error body says, in the shapes that the known APIs use."""
    if not isinstance(parsed, dict):
        return ""
    status = parsed.get("status")
    said = status.get("error_message") if isinstance(status, dict) else parsed.get("message") or parsed.get("error")
    return f" ('{clean(said)}')" if isinstance(said, str) else ""


class _HideQueries(logging.Filter):
    """httpx logs whole addresses, keys included: show them without their query."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(shown(str(arg)) if isinstance(arg, httpx.URL) else arg for arg in record.args)
        return True


class _DropHeaders(logging.Filter):
    """httpcore logs the headers of answers, and a redirect's `Location` repeats the query: leave them out."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "headers.complete" not in record.getMessage()


logging.getLogger("httpx").addFilter(_HideQueries())
for _name in ("httpcore.http11", "httpcore.http2", "httpcore.proxy"):
    logging.getLogger(_name).addFilter(_DropHeaders())
