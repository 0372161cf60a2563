"""Sending to a real local server: what arrives, what is retried, and that nothing ever raises or leaks."""

from __future__ import annotations

import logging
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from defiyield_core.notify import (
    LogNotifier,
    Message,
    Pairs,
    SlackNotifier,
    Text,
    notifier_from_environment,
    render_text,
)
from defiyield_core.notify.notifiers import WEBHOOK_VARIABLE, _retry_after
from tests.unit.notify.server import SECRET_PATH, Answer, webhook

MESSAGE = Message("baseline · 2025-04-29", (Pairs((("AUM", "$1,000,000"),)), Text("all quiet")), ("look <here>",))
TOKEN = SECRET_PATH.rsplit("/", 1)[-1]


@pytest.fixture(autouse=True)
def everything_is_logged(caplog):
    caplog.set_level(logging.DEBUG)


def _fast(url: str, **options) -> SlackNotifier:
    return SlackNotifier(url, **{"timeout_seconds": 5.0, "retry_seconds": 0.01, **options})


def test_a_message_arrives_as_blocks_with_a_line_for_notifications(caplog):
    with webhook(Answer()) as server:
        assert _fast(server.url).send(MESSAGE) is True
    (payload,) = server.payloads
    assert payload["blocks"][0]["text"]["text"] == "baseline · 2025-04-29"
    assert payload["text"] == "baseline · 2025-04-29: AUM $1,000,000"
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_passing_failure_is_retried_once(status):
    with webhook(Answer(status, "busy"), Answer()) as server:
        assert _fast(server.url).send(MESSAGE) is True
    assert len(server.payloads) == 2
    assert server.payloads[0] == server.payloads[1]


def test_a_lasting_failure_ends_after_one_retry_and_the_message_is_in_the_log(caplog):
    with webhook(Answer(500, "oops")) as server:
        assert _fast(server.url).send(MESSAGE) is False
    assert len(server.payloads) == 2
    assert "HTTP 500 oops" in caplog.text
    assert render_text(MESSAGE) in caplog.text


def test_a_refusal_is_not_retried(caplog):
    with webhook(Answer(400, "invalid_blocks")) as server:
        assert _fast(server.url).send(MESSAGE) is False
    assert len(server.payloads) == 1
    assert "invalid_blocks" in caplog.text


def test_the_retry_waits_as_long_as_the_server_asks():
    with webhook(Answer(429, "slow down", (("Retry-After", "0.4"),)), Answer()) as server:
        assert _fast(server.url).send(MESSAGE) is True
    assert server.arrivals[1] - server.arrivals[0] >= 0.4


def test_a_server_that_asks_for_too_long_a_wait_gets_no_retry():
    with webhook(Answer(429, "", (("Retry-After", "3600"),))) as server:
        assert _fast(server.url).send(MESSAGE) is False
    assert len(server.payloads) == 1


def test_a_silent_server_times_out_without_raising(caplog):
    with webhook(Answer(delay_seconds=1.5)) as server:
        assert _fast(server.url, timeout_seconds=0.15).send(MESSAGE) is False
    assert len(server.payloads) == 2
    assert "ReadTimeout" in caplog.text


def test_a_closed_port_is_a_failure_and_no_exception(caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert _fast(f"http://127.0.0.1:{port}{SECRET_PATH}").send(MESSAGE) is False
    assert "ConnectError" in caplog.text


@pytest.mark.parametrize("url", ["", "hooks", "http://[::1", "https://exa mple/x", "ftp://127.0.0.1/x", "http://\x00"])
def test_an_address_that_is_none_fails_without_raising(url):
    assert _fast(url).send(MESSAGE) is False


def test_a_message_that_cannot_be_rendered_raises_nowhere(caplog):
    broken = Message("t", (Pairs(((1, 2),)),))  # type: ignore[arg-type]
    with webhook(Answer()) as server:
        assert _fast(server.url).send(broken) is False
    assert LogNotifier().send(Message("t", (None,))) is False  # type: ignore[arg-type]
    assert "could not be rendered" in caplog.text


@pytest.mark.parametrize("answer", [Answer(), Answer(404, f"no_service {SECRET_PATH} {TOKEN}"), Answer(500, TOKEN)])
def test_the_address_is_in_no_log_line_and_no_representation(answer, caplog):
    with webhook(answer) as server:
        notifier = _fast(server.url)
        notifier.send(MESSAGE)
        logging.getLogger("httpx").info("other requests are still logged")
    for text in (caplog.text, repr(notifier), str(notifier)):
        assert TOKEN not in text and "B0SECRET" not in text
    assert "other requests are still logged" in caplog.text


def test_a_redirect_is_not_followed():
    with webhook(Answer(302, "", (("Location", "/elsewhere"),))) as server:
        assert _fast(server.url).send(MESSAGE) is False
    assert len(server.payloads) == 1


@pytest.mark.parametrize(("severity", "level"), [("info", 20), ("warning", 30), ("error", 40)])
def test_the_log_takes_a_message_at_its_severity(severity, level, caplog):
    assert LogNotifier().send(Message("title", severity=severity)) is True
    assert [record.levelno for record in caplog.records] == [level]


def test_the_environment_chooses_slack_when_it_holds_an_address():
    address = f"https://127.0.0.1{SECRET_PATH}"
    assert notifier_from_environment({WEBHOOK_VARIABLE: address}) == SlackNotifier(address)
    assert isinstance(notifier_from_environment({}), LogNotifier)
    assert isinstance(notifier_from_environment({WEBHOOK_VARIABLE: "  "}), LogNotifier)


def test_a_wrong_address_in_the_environment_is_told_without_repeating_it(caplog):
    assert isinstance(notifier_from_environment({WEBHOOK_VARIABLE: f"htps:/{TOKEN}"}), LogNotifier)
    assert WEBHOOK_VARIABLE in caplog.text and TOKEN not in caplog.text


def test_retry_after_is_read_as_seconds_or_as_a_date():
    assert _retry_after("7") == 7.0
    soon = _retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True))
    assert soon is not None and 15 < soon <= 20
    assert _retry_after("soon") is None and _retry_after(None) is None
    assert _retry_after("-5") == 0.0
