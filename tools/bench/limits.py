#!/usr/bin/env python3
"""What limits cost: requests per second with a limit as a share of those without, for Weir
beside nginx's limit_req and HAProxy's stick tables, in one run; and how exact Weir's are.

Each server has one worker on processor 0, the load generator and the origin the others. The
limits are far above what is asked, so that all is let through. Rounds take servers and limits
in turn; of each the round with the least processor time per request counts. Then Weir is asked
for twice what a limit of 1000/s with a bucket of 1000 allows, and for as much as the load generator
can: what it lets through is compared with the bound.
"""

import datetime
import json
import os
import re
import shutil
import subprocess

from servers import Origin, Server, Weir
from stage import HERE, LOAD_CPUS, ORIGIN_CPU, PROCESSORS, SERVER_CPU, Stage, parser, play, say

LIMITS = [("none", "/1k/free/", 1), ("by address", "/1k/address/", 1),
          ("by a field, 10,000 keys", "/1k/header/", 100_000)]  # fmt: skip
# A second of tokens, so that a pause of the load generator costs none.
RATE, BURST = 1000, 1000
CONNECTIONS = 64


class LimitedWeir(Weir):
    def launch(self):
        self.spawn(self.binary, "run", self.configure("limits-weir.conf", ADMIN=self.admin))


class LimitedNginx(Server):
    def launch(self):
        config = self.configure("limits-nginx.conf")
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")


class HAProxy(Server):
    def launch(self):
        with open(os.path.join(self.directory, "1k"), "wb") as file:
            file.write(b"a" * 1024)
        self.spawn("haproxy", "-db", "-f", self.configure("limits-haproxy.cfg"))


def load(server, path, number, seconds, script="keys.lua"):
    """Requests, refusals and seconds of a run."""
    threads = max(1, len(PROCESSORS) - 2)
    script = os.path.join(HERE, "configs", script)
    output = subprocess.run(
        ["taskset", "-c", LOAD_CPUS, "wrk", f"-t{threads}", f"-c{CONNECTIONS}", f"-d{seconds}s"]
        + ["-s", script, f"http://127.0.0.1:{server.port}", "--", path + "0", str(number)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    if "Socket errors" in output:
        raise SystemExit(f"bench: {server.name} failed under load:\n{output}")
    requests = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return requests, int(refused[1]) if refused else 0, requests / rate


def measured(server, path, keys, seconds):
    load(server, path, keys, 1)
    before = sum(server.cpu())
    requests, refused, elapsed = load(server, path, keys, seconds)
    if refused:
        raise SystemExit(f"bench: {server.name} refused {refused} requests to {path}")
    return requests / elapsed, (sum(server.cpu()) - before) / requests * 1e6


def costs(options, running):
    best = {}
    for number in range(options.rounds):
        for name, server in running.items():
            for title, path, keys in LIMITS:
                say(f"round {number + 1} of {options.rounds}: {name}, limit {title}")
                figures = measured(server, path, keys, options.seconds)
                key = (name, title)
                if key not in best or figures[1] < best[key][1]:
                    best[key] = figures
    rows = ["| server | limit | requests/s | share | CPU µs/request | added |", "|---|---|---|---|---|---|"]
    for name in running:
        free = best[name, "none"]
        for title, _, _ in LIMITS:
            rate, cpu = best[name, title]
            rows.append(
                f"| {name} | {title} | {rate:,.0f} | {rate / free[0]:.1%} | {cpu:.2f} "
                f"| {cpu - free[1]:+.2f} |"
            )
    return rows


class ExactWeir(Weir):
    def launch(self):
        self.spawn(self.binary, "run", self.configure("limits-exact.conf", ADMIN=self.admin))

    def decisions(self):
        """When each request of the limited route ended (seconds), and whether it was let through."""
        with open(os.path.join(self.directory, "access.log")) as file:
            for line in file:
                one = json.loads(line)
                if one["route"].endswith("/exact/"):
                    when = datetime.datetime.fromisoformat(one["time"].replace("Z", "+00:00"))
                    yield when.timestamp(), one["status"] == 200


def exactness(common, options):
    """How far what was let through is from the bound of a bucket, over real runs. By the node's own log,
    whose times are of milliseconds: the load generator's clock begins before its first request."""
    lines = []
    pause = CONNECTIONS * 1000 // (2 * RATE)
    for name, script, number in ("twice", "paced.lua", pause), ("all", "keys.lua", 1):
        say(f"{options.exact} s over a limit of {RATE}/s, {script}")
        server = ExactWeir(f"weir-{name}", *common, binary=os.path.abspath(options.weir))
        try:
            server.start()
            load(server, "/1k/free/", 1, 1)
            load(server, "/1k/exact/", number, options.exact, script)
        finally:
            server.stop()
        asked = list(server.decisions())
        passed = [when for when, isPassed in asked if isPassed]
        elapsed = max(passed) - min(when for when, _ in asked)
        bound = BURST + RATE * elapsed
        lines.append(
            f"Asked {len(asked):,} times in {elapsed:.3f} s ({len(asked) / elapsed / RATE:.1f} times the "
            f"rate) under {RATE}/s burst={BURST}: {len(passed):,} let through, "
            f"{len(passed) / bound - 1:+.4%} of the bound."
        )
    return lines


def main():
    options = parser("limits", __doc__)
    options.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    options.add_argument("--seconds", type=int, default=6, help="length of a round (6)")
    options.add_argument("--exact", type=int, default=30, help="seconds of the run for exactness (30)")
    options = options.parse_args()
    with Stage() as stage:
        origin = stage.start(Origin("origin", stage.root, 0, ORIGIN_CPU))
        common = (stage.root, origin.port, SERVER_CPU)
        running = {"Weir": LimitedWeir("weir", *common, binary=options.weir)}
        running["nginx limit_req"] = LimitedNginx("nginx", *common)
        if shutil.which("haproxy"):
            running["HAProxy stick table"] = HAProxy("haproxy", *common)
        for server in running.values():
            stage.start(server)
        rows = costs(options, running) if options.rounds else []
        print("\n".join(rows + [""] + exactness(common, options)))
        print(f"\nload of the machine at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    play(main)
