"""A real HTTP server on this machine that answers as it is told and keeps what it was sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET_PATH = "/services/T0SECRET/B0SECRET/xoxSecretToken"


@dataclass(frozen=True)
class Answer:
    """One answer: status, body, headers, and how long to wait before giving it."""

    status: int = 200
    body: str = "ok"
    headers: tuple[tuple[str, str], ...] = ()
    delay_seconds: float = 0.0


@dataclass
class Webhook:
    """The server's address and the payloads it received, in order, with their arrival times."""

    url: str = ""
    payloads: list[dict[str, Any]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)


@contextmanager
def webhook(*answers: Answer) -> Iterator[Webhook]:
    """A server that gives the answers in order, the last one again and again."""
    seen = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            seen.arrivals.append(time.monotonic())
            seen.payloads.append(json.loads(self.rfile.read(length)))
            answer = answers[min(len(seen.payloads), len(answers)) - 1]
            time.sleep(answer.delay_seconds)
            try:
                self.send_response(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body.encode())
            except OSError:  # the client gave up, as some tests want
                pass

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    seen.url = f"http://127.0.0.1:{server.server_address[1]}{SECRET_PATH}"
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
