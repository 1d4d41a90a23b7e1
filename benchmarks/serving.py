"""Loads a served model from a second process: ``python -m benchmarks.serving --model models:/…``.

Starts ``mlflow models serve`` on a registered model of text and asks it over HTTP, for some
seconds, from one client and from several at once: answers a second, and how long one takes.
"""

import argparse
import http.client
import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Sequence

from benchmarks.machine import describe
from benchmarks.server import served

WORDS = ["the", "a", "film", "was", "not", "good", "bad", "very", "acting", "plot", "dull"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="such as models:/imdb-lstm@champion")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--column", default="review")
    options = parser.parse_args()
    print(describe())
    print("| reviews a request | clients | reviews a second | median (ms) | 95% (ms) | 99% (ms) |")
    print("|---|---|---|---|---|---|")
    began = time.monotonic()
    with served(options.model) as port:
        print(f"ready after {time.monotonic() - began:.0f} s\n", file=sys.stderr)
        for reviews in (1, 32):
            for clients in options.clients:
                times = load(port, options.column, reviews, clients, options.seconds)
                cuts = statistics.quantiles(times, n=100)
                cells = [
                    str(reviews),
                    str(clients),
                    f"{len(times) * reviews / options.seconds:.0f}",
                ]
                cells += [f"{1000 * cuts[share - 1]:.0f}" for share in (50, 95, 99)]
                print(f"| {' | '.join(cells)} |", flush=True)


def load(port: int, column: str, reviews: int, clients: int, seconds: float) -> Sequence[float]:
    """Seconds of each answer, from clients that ask again as soon as they have one."""
    times: list[float] = []
    end = [0.0]

    def ask(seed: int, *, warm: bool) -> None:
        texts = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while warm or time.monotonic() < end[0]:
            rows = [
                {column: " ".join(texts.choices(WORDS, k=texts.randint(20, 300)))}
                for _ in range(reviews)
            ]
            body = json.dumps({"dataframe_records": rows})
            began = time.monotonic()
            connection.request("POST", "/invocations", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            found = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{answer.status}: {found.decode()}")
            if warm:
                break
            times.append(time.monotonic() - began)
        connection.close()

    ask(0, warm=True)  # a shape that is new to the server is compiled
    end[0] = time.monotonic() + seconds
    threads = [
        threading.Thread(target=ask, args=(seed,), kwargs={"warm": False})
        for seed in range(1, clients + 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


if __name__ == "__main__":
    main()
