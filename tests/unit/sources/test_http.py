"""Getting JSON from servers that are slow, broken or hostile, against a real local server."""

from __future__ import annotations

import gzip
import logging
import math
import threading
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx
import pytest

from defiyield_core.errors import SourceError
from defiyield_core.sources.http import Clock, HttpClient, HttpPolicy, HttpRequest, TokenBucket, shown
from tests.unit.sources.conftest import FakeTime, LocalServer, Reply

SECRET = "sk-very-secret-0123456789"


def quick(fake_time: FakeTime, **policy: float) -> HttpClient:
    fields = {"attempts": 3, "default_requests_per_second": 1e6, "budget_seconds": 100.0, **policy}
    return HttpClient(HttpPolicy(**fields), fake_time.clock)


def test_an_answer_is_parsed_and_the_query_and_headers_are_sent(server: LocalServer, client: HttpClient) -> None:
    server.routes["/x"] = [Reply({"value": [1, 2]})]
    assert client.get_json(f"{server.url}/x", {"a": "1 2"}, {"X-Mine": "yes"}) == {"value": [1, 2]}
    assert server.asked[0].query == {"a": "1 2"}
    assert server.asked[0].headers["X-Mine"] == "yes"


def test_500_then_200_is_the_200_after_a_random_wait(
    server: LocalServer, client: HttpClient, fake_time: FakeTime
) -> None:
    server.routes["/x"] = [Reply(status=500), Reply(status=503), Reply([1])]
    assert client.get_json(f"{server.url}/x") == [1]
    assert fake_time.slept == [0.25, 0.5]  # chance 0.5 of ceilings 0.5 s and 1 s


def test_retry_after_in_seconds_is_waited_for_in_full(
    server: LocalServer, client: HttpClient, fake_time: FakeTime
) -> None:
    server.routes["/x"] = [Reply(status=429, headers={"Retry-After": "7"}), Reply([1])]
    assert client.get_json(f"{server.url}/x") == [1]
    assert math.isclose(sum(fake_time.slept), 7.0)


def test_retry_after_as_a_date_is_waited_for(server: LocalServer, client: HttpClient, fake_time: FakeTime) -> None:
    later = format_datetime(datetime(2025, 6, 2, 1, 0, 9, tzinfo=UTC), usegmt=True)
    server.routes["/x"] = [Reply(status=503, headers={"Retry-After": later}), Reply([1])]
    assert client.get_json(f"{server.url}/x") == [1]
    assert math.isclose(sum(fake_time.slept), 9.0)


def test_a_retry_after_beyond_the_budget_fails_at_once(server: LocalServer, fake_time: FakeTime) -> None:
    server.routes["/x"] = [Reply(status=429, headers={"Retry-After": "3600"})]
    with quick(fake_time) as client, pytest.raises(SourceError, match="status 429; gave up after 1 attempts"):
        client.get_json(f"{server.url}/x")
    assert fake_time.slept == []


def test_attempts_are_bounded(server: LocalServer, client: HttpClient) -> None:
    server.routes["/x"] = [Reply(status=500)]
    with pytest.raises(SourceError, match="gave up after 3 attempts"):
        client.get_json(f"{server.url}/x")
    assert server.times("/x") == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_retried_and_says_what_the_server_said(
    server: LocalServer, client: HttpClient, status: int
) -> None:
    server.routes["/x"] = [Reply({"status": {"error_code": 1006, "error_message": "not in your plan"}}, status=status)]
    with pytest.raises(SourceError, match=f"status {status} \\('not in your plan'\\)"):
        client.get_json(f"{server.url}/x")
    assert server.times("/x") == 1


def test_json_that_was_cut_off_is_asked_for_again(server: LocalServer, client: HttpClient) -> None:
    server.routes["/x"] = [Reply(b'{"data": [1, 2'), Reply({"data": [1, 2, 3]})]
    assert client.get_json(f"{server.url}/x") == {"data": [1, 2, 3]}


def test_a_connection_that_breaks_in_the_body_is_asked_for_again(server: LocalServer, client: HttpClient) -> None:
    server.routes["/x"] = [Reply(b"[1, 2]", announce_bytes=500), Reply([1, 2])]
    assert client.get_json(f"{server.url}/x") == [1, 2]


def test_json_nested_beyond_reason_is_an_error_and_no_crash(server: LocalServer, client: HttpClient) -> None:
    server.routes["/x"] = [Reply(b"[" * 200_000)]
    with pytest.raises(SourceError, match="not valid JSON"):
        client.get_json(f"{server.url}/x")


def test_a_silent_server_times_out(server: LocalServer, fake_time: FakeTime) -> None:
    server.routes["/x"] = [Reply([1], stall_seconds=30)]
    with (
        quick(fake_time, attempts=2, timeout_seconds=0.1) as client,
        pytest.raises(SourceError, match=r"no answer within 0\.1 s; gave up after 2 attempts"),
    ):
        client.get_json(f"{server.url}/x")


def test_a_server_that_is_not_there_is_an_error(fake_time: FakeTime) -> None:
    with quick(fake_time) as client, pytest.raises(SourceError, match="the connection broke"):
        client.get_json("http://127.0.0.1:9/x")


def test_an_oversize_body_is_refused_without_another_attempt(server: LocalServer, fake_time: FakeTime) -> None:
    server.routes["/x"] = [Reply(b"[" + b"1," * 600_000 + b"1]")]
    with (
        quick(fake_time, max_body_bytes=1_000_000) as client,
        pytest.raises(SourceError, match="more than 1000000 bytes"),
    ):
        client.get_json(f"{server.url}/x")
    assert server.times("/x") == 1


def test_the_size_limit_counts_what_a_compressed_body_becomes(server: LocalServer, fake_time: FakeTime) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    server.routes["/x"] = [Reply(bomb, headers={"Content-Encoding": "gzip"})]
    with (
        quick(fake_time, max_body_bytes=1_000_000) as client,
        pytest.raises(SourceError, match="more than 1000000 bytes"),
    ):
        client.get_json(f"{server.url}/x")


def test_a_redirect_on_the_same_host_is_followed_without_the_query_being_doubled(
    server: LocalServer, client: HttpClient
) -> None:
    server.routes["/old"] = [Reply(status=301, headers={"Location": "/new?kept=1"})]
    server.routes["/new"] = [Reply({"ok": True})]
    assert client.get_json(f"{server.url}/old", {"apikey": SECRET}) == {"ok": True}
    assert server.asked[-1].query == {"kept": "1"}


def test_a_redirect_to_another_host_is_refused(server: LocalServer, client: HttpClient) -> None:
    server.routes["/x"] = [Reply(status=302, headers={"Location": f"http://evil.example/?{SECRET}"})]
    with pytest.raises(SourceError, match=r"redirects to another host, evil\.example") as caught:
        client.get_json(f"{server.url}/x", {}, {"X-CMC_PRO_API_KEY": SECRET})
    assert SECRET not in str(caught.value)


def test_a_redirect_loop_ends(server: LocalServer, client: HttpClient) -> None:
    server.routes["/x"] = [Reply(status=307, headers={"Location": "/x"})]
    with pytest.raises(SourceError, match="redirects more than 3 times"):
        client.get_json(f"{server.url}/x")


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"message": f"Invalid key {SECRET}"}, status=403),
        Reply({"message": f"Invalid key {SECRET}"}, status=500),
        Reply(b"not json " + SECRET.encode()),
        Reply([1], stall_seconds=30),
        Reply(status=302, headers={"Location": f"http://other.example/{SECRET}"}),
        Reply(b"x" * 10, announce_bytes=500),
    ],
    ids=["refused", "broken", "no json", "silent", "redirect", "cut"],
)
def test_no_failure_shows_a_key_in_its_error_or_in_a_log(
    server: LocalServer, fake_time: FakeTime, caplog: pytest.LogCaptureFixture, reply: Reply
) -> None:
    server.routes["/x"] = [reply]
    caplog.set_level(logging.DEBUG)
    with quick(fake_time, attempts=2, timeout_seconds=0.1) as client, pytest.raises(SourceError) as caught:
        client.get_json(f"{server.url}/x", {"apikey": SECRET, "page": "1"}, {"X-CMC_PRO_API_KEY": SECRET})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.__cause__)
    assert SECRET not in caplog.text
    assert server.asked[0].query["apikey"] == SECRET  # it was sent, after all


def test_a_success_is_logged_without_its_query(
    server: LocalServer, client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    server.routes["/x"] = [Reply([1])]
    caplog.set_level(logging.DEBUG)
    client.get_json(f"{server.url}/x", {"apikey": SECRET})
    assert f"{server.url}/x" in caplog.text
    assert SECRET not in caplog.text


def test_a_key_that_cannot_be_sent_is_an_error_that_hides_it(client: HttpClient) -> None:
    with pytest.raises(SourceError) as caught:
        client.get_json("http://127.0.0.1:9/x", {}, {"X-CMC_PRO_API_KEY": f"{SECRET}\n"})
    assert SECRET not in str(caught.value)


def test_a_request_does_not_show_its_key() -> None:
    assert SECRET not in repr(HttpRequest("https://a.example/x", {"apikey": SECRET}, {"authorization": SECRET}))


def test_an_address_is_shown_without_user_query_and_fragment() -> None:
    assert shown(f"https://user:{SECRET}@a.example/b/c?apikey={SECRET}#x") == "https://a.example/b/c"


def test_an_unusable_address_is_an_error(client: HttpClient) -> None:
    for address in ("ftp://a.example/x", "nonsense", "http://[::1"):
        with pytest.raises(SourceError):
            client.get_json(address)


def test_many_requests_answer_each_for_itself_in_order(server: LocalServer, client: HttpClient) -> None:
    for number in range(20):
        server.routes[f"/{number}"] = [Reply(number) if number % 5 else Reply(status=404)]
    answers = client.get_many([HttpRequest(f"{server.url}/{number}") for number in range(20)])
    for number, answer in enumerate(answers):
        assert isinstance(answer, SourceError) if number % 5 == 0 else answer == number


def test_no_requests_are_no_answers(client: HttpClient) -> None:
    assert client.get_many([]) == []


def test_never_more_requests_at_once_than_allowed(server: LocalServer, fake_time: FakeTime) -> None:
    lock, here, most = threading.Lock(), [0], [0]

    def route(_: object) -> Reply:
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        threading.Event().wait(0.01)
        with lock:
            here[0] -= 1
        return Reply([1])

    server.routes["/x"] = route
    with quick(fake_time, max_concurrency=3) as client:
        client.get_many([HttpRequest(f"{server.url}/x") for _ in range(15)])
    assert 1 < most[0] <= 3


def test_a_spent_budget_answers_the_remaining_requests_with_an_error(server: LocalServer, fake_time: FakeTime) -> None:
    server.routes["/x"] = [Reply([1])]
    with quick(fake_time, default_requests_per_second=1.0, budget_seconds=3.5, max_concurrency=1) as client:
        answers = client.get_many([HttpRequest(f"{server.url}/x") for _ in range(8)])
    assert [isinstance(answer, SourceError) for answer in answers] == [False] * 4 + [True] * 4
    assert "rate limit leaves no turn" in str(answers[-1])


def test_an_answer_that_asks_to_come_back_is_asked_again_and_returned_in_the_end(
    server: LocalServer, client: HttpClient
) -> None:
    server.routes["/x"] = [Reply({"busy": True}), Reply({"busy": False})]
    assert client.get_json(f"{server.url}/x", retry_if=lambda answer: answer == {"busy": True}) == {"busy": False}
    server.routes["/y"] = [Reply({"busy": True})]
    assert client.get_json(f"{server.url}/y", retry_if=lambda answer: True) == {"busy": True}
    assert server.times("/y") == 3


def test_a_token_bucket_lets_a_burst_through_and_then_keeps_the_rate() -> None:
    time = FakeTime()
    bucket = TokenBucket(4.0, time.clock)
    waits = [bucket.reserve(1e9) for _ in range(8)]
    assert waits == [0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_turn_after_the_deadline_is_not_reserved() -> None:
    bucket = TokenBucket(1.0, FakeTime().clock)
    assert bucket.reserve(10.0) == 0.0
    assert bucket.reserve(0.5) is None
    assert bucket.reserve(10.0) == 1.0


def test_one_server_asking_to_wait_holds_every_request_to_it(server: LocalServer, fake_time: FakeTime) -> None:
    bucket = TokenBucket(1e6, fake_time.clock)
    bucket.hold(30.0)
    assert bucket.reserve(1e9) == pytest.approx(30.0)


def test_the_real_clock_moves() -> None:
    clock = Clock()
    before = clock.monotonic()
    clock.sleep(0.002)
    assert clock.monotonic() > before
    assert 0.0 <= clock.chance() < 1.0
    assert clock.now().tzinfo is UTC


def test_the_filter_leaves_other_log_records_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logging.getLogger("httpx").info("plain %s %d", "text", 3)
    logging.getLogger("httpx").info("at %s", httpx.URL(f"https://a.example/b?key={SECRET}"))
    assert "plain text 3" in caplog.text
    assert "at https://a.example/b" in caplog.text
    assert SECRET not in caplog.text
