"""A proxy before a tracking server that fails as networks and servers do, by seeded chance."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# "lost": the server did it, and nobody hears of it.
FAULTS = ("500", "503", "429", "lost", "slow", "cut")
SLOW_SECONDS = 3.0


class FaultyProxy:
    """Forwards to a server; a share of the requests fails.

    Args:
        target: Address of the server.
        share: Of the requests that fail.
        seed: Of the chance.
    """

    def __init__(self, target: str, share: float, seed: int = 0) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        self._target = (parts.hostname, parts.port)
        self._share = share
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.faults: Counter[str] = Counter()
        self.requests = 0
        self.headers: list[Mapping[str, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                proxy.handle(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.handle_one)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length", 0)))
        with self._lock:
            self.requests += 1
            self.headers.append(dict(request.headers))
            fault = ""
            # The first answers tell a study whether the address is right at all.
            if self.requests > 5 and self._random.random() < self._share:
                fault = self._random.choice(FAULTS)
                self.faults[fault] += 1
        if fault.isdigit():
            return self._answer(request, int(fault), b"{}", {})
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        if fault == "cut":
            request.close_connection = True
            return None
        try:
            status, answer, headers = self._forward(request, body)
        except OSError:
            return self._answer(request, 502, b"{}", {})
        if fault == "lost":
            return self._answer(request, 500, b"{}", {})
        return self._answer(request, status, answer, headers)

    def _forward(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, bytes, Mapping[str, str]]:
        connection = http.client.HTTPConnection(*self._target, timeout=60)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "host"}
        headers["Host"] = f"{self._target[0]}:{self._target[1]}"
        connection.request(request.command, request.path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        kept = {k: v for k, v in response.getheaders() if k.lower() == "content-type"}
        return response.status, answer, kept

    def _answer(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str]
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
