#!/usr/bin/env python3
"""`weir replay` beside wrk and h2load, on the same work: do they measure the same, and what does each cost?

The server, nginx with one worker that serves a file, has processor 0; the generators take turns on the last
one, each with one thread. The first figure is what a request costs the generator in processor time, which is
what limits how much one core can drive; then the rates and the latencies that they report. Where the server has
little to do it waits for the generator, and who costs less drives more; what the server compresses for each
request keeps it busy, and what it answers 5,000 times a second (limit_req) keeps it to a rate that no machine's
noise moves: there all generators have to report the same.

A round is four runs: the other, `weir replay` twice, the other again, so that what drifts weighs on both alike. Of
all rounds the median counts, also of the ratio of both. "The other's own" are the rates of its two runs in the middle
half of the rounds, one to the other: what lies between them cannot be told from chance.
"""

import argparse
import base64
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile

from servers import Server, free_port

PROCESSORS = sorted(os.sched_getaffinity(0))
CLIENTS = 64
PACED = "5,000/s by the server"
# Title, path, generator, and how many requests share a connection.
WORK = [
    ("HTTP/1.1, 1 KiB", "1k", "wrk", 1),
    ("HTTP/1.1, 100 KiB", "100k", "wrk", 1),
    ("HTTP/1.1, compressed by the server", "text", "wrk", 1),
    (f"HTTP/1.1, {PACED}", "paced", "wrk", 1),
    ("HTTP/2, 1 KiB", "1k", "h2load", 8),
    ("HTTP/2, compressed by the server", "text", "h2load", 8),
    (f"HTTP/2, {PACED}", "paced", "h2load", 8),
]
FIELD = "Accept-Encoding: gzip"


class Files(Server):
    """nginx with three files, over HTTP/1.1 and over HTTP/2 without TLS."""

    def launch(self):
        self.h2 = free_port()
        for name, size in ("1k", 1 << 10), ("100k", 100 << 10):
            with open(os.path.join(self.directory, name), "wb") as file:
                file.write(os.urandom(size))
        with open(os.path.join(self.directory, "text"), "wb") as file:
            file.write(base64.b64encode(os.urandom(12 << 10)))
        config = self.configure("replay-nginx.conf", H2PORT=self.h2)
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")


def timed(command):
    """Runs a generator; what it printed, and its processor time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(
        ["taskset", "-c", str(PROCESSORS[-1]), *command], check=True, capture_output=True, text=True
    ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return output, used


def milliseconds(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def wrk(server, path, seconds, _):
    output, used = timed(
        ["wrk", "--latency", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "-H", FIELD]
        + [f"http://127.0.0.1:{server.port}/{path}"]
    )
    if "Socket errors" in output or "Non-2xx" in output:
        raise SystemExit(f"bench: wrk failed:\n{output}")
    requests = int(re.search(r"(\d+) requests in", output)[1])
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),
        "cpu_us": used / requests * 1e6,
        "p50_ms": milliseconds(re.search(r"^ +50%\s+(\S+)", output, re.MULTILINE)[1]),
        "p99_ms": milliseconds(re.search(r"^ +99%\s+(\S+)", output, re.MULTILINE)[1]),
    }


def h2load(server, path, seconds, streams):
    output, used = timed(
        ["h2load", "-t1", f"-c{CLIENTS // streams}", f"-m{streams}", f"-D{seconds}", "-H", FIELD]
        + [f"http://127.0.0.1:{server.h2}/{path}"]
    )
    requests = int(re.search(r"(\d+) succeeded", output)[1])
    rate = float(re.search(r"finished in .*?, ([\d.]+) req/s", output)[1])
    return {"rate": rate, "cpu_us": used / requests * 1e6, "p50_ms": None, "p99_ms": None}


def replay(server, path, seconds, streams, binary):
    recording = os.path.join(server.directory, f"urls-{path}")
    with open(recording, "w") as file:
        file.write(f"/{path}\n")
    port, more = server.port, []
    if streams > 1:
        port, more = server.h2, ["--http2", "--streams", str(streams)]
    output, used = timed(
        [binary, "replay", recording, "--to", f"http://127.0.0.1:{port}", "--pace", "max"]
        + ["--clients", str(CLIENTS), "--loops", "0", "--duration", str(seconds), "--header", FIELD]
        + ["--json", *more]
    )
    report = json.loads(output)
    if report["failed"]:
        raise SystemExit(f"bench: weir replay failed: {report['errors']}")
    return {
        "rate": report["rate"],
        "cpu_us": used / report["answers"] * 1e6,
        "p50_ms": report["latency"]["percentiles"]["50"] / 1e3,
        "p99_ms": report["latency"]["percentiles"]["99"] / 1e3,
    }


def median(runs):
    return {
        key: statistics.median(one[key] for one in runs) if runs[0][key] is not None else None
        for key in runs[0]
    }


def compared(rounds, other):
    """Of rounds of four runs: both generators' medians, the ratio of their rates, and the other's to its own."""

    def rate(run):
        return run["rate"]

    ratios = [(rate(two) + rate(three)) / (rate(one) + rate(four)) for one, two, three, four in rounds]
    own = sorted(rate(four) / rate(one) for one, _, _, four in rounds)
    cut = len(own) // 4
    return {
        other: median([run for one, _, _, four in rounds for run in (one, four)]),
        "weir replay": median([run for _, two, three, _ in rounds for run in (two, three)]),
        "ratio": statistics.median(ratios),
        "own": (own[cut], own[len(own) - 1 - cut]),
    }


def figure(value):
    return "–" if value is None else f"{value:.2f}"


def main():
    parser = argparse.ArgumentParser(prog="tools/bench/replay", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each, of four runs (5)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a run (2)")
    parser.add_argument("--only", default="", metavar="TEXT", help="work whose title has that")
    parser.add_argument("--quick", action="store_true", help="one round of runs of a second")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 1
    if (busy := os.getloadavg()[0]) > 0.5:
        print(f"bench: the machine is busy (load {busy:.1f}): rates will differ by chance", file=sys.stderr)
    root = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(root, 0o755)
    server = Files("files", root, 0, str(PROCESSORS[0]))
    results = {}
    try:
        server.start()
        for title, path, other, streams in WORK:
            if options.only not in title:
                continue
            generator = wrk if other == "wrk" else h2load
            first = lambda: generator(server, path, options.seconds, streams)
            second = lambda: replay(server, path, options.seconds, streams, os.path.abspath(options.weir))
            rounds = [(first(), second(), second(), first()) for _ in range(options.rounds)]
            results[title] = compared(rounds, other)
    finally:
        server.stop()
        shutil.rmtree(root, ignore_errors=True)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print("| work | generator | requests/s | CPU µs/request | p50 ms | p99 ms | rate to the other's | the other's own "
          "| work of a core |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for title, both in results.items():
        other, *_ = both.values()
        for name, one in list(both.items())[:2]:
            # Who waits for the server most of the time drives nothing.
            work = "" if title.endswith(PACED) else f"{other['cpu_us'] / one['cpu_us']:.2f}"
            last = f" | | {work}" if one is other else (
                f" {both['ratio']:.3f} | {both['own'][0]:.3f} to {both['own'][1]:.3f} | {work}"
            )
            print(
                f"| {title} | {name} | {one['rate']:,.0f} | {one['cpu_us']:.2f} | {figure(one['p50_ms'])} "
                f"| {figure(one['p99_ms'])} |{last} |"
            )


if __name__ == "__main__":
    main()
