#!/usr/bin/env python3
"""What it costs a hit that an operator sees what a node does: nodes with the access log, traces,
Server-Timing and readers of its figures, each alone and all together, beside one with nothing on.

Each node has one worker on processor 0, with its log's thread and all others; the load generator, the
origin and the collector of traces have the others. Rounds take the nodes in turn, so that what
changes on the machine meets all of them; of each the round with the least processor time per
request counts, and the median of the rounds' differences to the node with nothing on stands beside it.
What cannot be turned off (the figures themselves, the lists of what is hit most) is in all of them.
"""

import os
import socket
import socketserver
import statistics
import threading
import time

from measure import fetch_all, load
from servers import Origin, Weir
from stage import ORIGIN_CPU, SERVER_CPU, Stage, parser, play, say

TOKEN = "measured-not-guarded-0123456789"


class SeenWeir(Weir):
    """`on` names what is on: of log, combined, traces, timing and readers."""

    def __init__(self, name, *arguments, on, collector, **more):
        super().__init__(name, *arguments, **more)
        self.on, self.collector = on, collector

    def launch(self):
        log = f"{self.directory}/access.log"
        config = self.configure(
            "seeing-weir.conf",
            ADMIN=self.admin,
            LOG=f"{log} json" if "log" in self.on else f"{log} combined" if "combined" in self.on else "off",
            SITE="server_timing on;" if "timing" in self.on else "",
            TRACE=f"trace {{ collector http://127.0.0.1:{self.collector}; sample 1%; }}"
            if "traces" in self.on
            else "",
        )
        self.spawn(self.binary, "run", config)


class Collector:
    """Takes traces and forgets them."""

    def __init__(self):
        self.taken = 0
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while line := self.rfile.readline():
                    length = 0
                    while (field := self.rfile.readline()) not in (b"\r\n", b""):
                        if field.lower().startswith(b"content-length:"):
                            length = int(field.split(b":")[1])
                    self.rfile.read(length)
                    outer.taken += 1
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Readers:
    """A dashboard that is open, and a scraper that comes every second, until the end of a `with`."""

    def __init__(self, server):
        self.server, self.isOver, self.read = server, threading.Event(), 0

    def __enter__(self):
        self.threads = [threading.Thread(target=one, daemon=True) for one in (self.watch, self.scrape)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.isOver.set()
        for thread in self.threads:
            thread.join(5)
        if self.read == 0:
            raise SystemExit("bench: the dashboard was shown nothing")

    def watch(self):
        with socket.create_connection(("127.0.0.1", self.server.admin), 10) as link:
            link.sendall(f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
            link.settimeout(0.5)
            while not self.isOver.is_set():
                try:
                    self.read += len(link.recv(65536))
                except TimeoutError:
                    pass

    def scrape(self):
        while not self.isOver.wait(1):
            self.server.figure("weir_requests_total")


def measured(server, seconds, count):
    fetch_all(server, "/1k/", count)
    load(server, "/1k/", count, 1)
    before = sum(server.cpu())
    if "readers" in server.on:
        with Readers(server):
            requests, elapsed = load(server, "/1k/", count, seconds)
    else:
        requests, elapsed = load(server, "/1k/", count, seconds)
    # What waits for the log's thread is this round's, too.
    time.sleep(0.1)
    return requests / elapsed, (sum(server.cpu()) - before) / requests * 1e6


KINDS = [
    ("nothing", ()),
    ("access log, combined", ("combined",)),
    ("access log, JSON", ("log",)),
    ("traces of 1 %", ("traces",)),
    ("Server-Timing", ("timing",)),
    ("dashboard and scraper", ("readers",)),
    ("all, the log combined", ("combined", "traces", "timing", "readers")),
    ("all, the log JSON", ("log", "traces", "timing", "readers")),
]


def main():
    options = parser("seeing", __doc__)
    options.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    options.add_argument("--seconds", type=int, default=4, help="length of a round (4)")
    options.add_argument("--objects", type=int, default=1_000, help="objects of 1 KiB (1000)")
    options.add_argument("--only", help="kinds by number from 1, separated by commas; the first is what is compared with")
    options = options.parse_args()
    kinds = [KINDS[int(one) - 1] for one in options.only.split(",")] if options.only else KINDS
    figures = {name: [] for name, _ in kinds}
    collector = Collector()
    with Stage() as stage:
        origin = stage.start(Origin("origin", stage.root, 0, ORIGIN_CPU))
        servers = {}
        for number, (name, on) in enumerate(kinds):
            common = (f"weir-{number}", stage.root, origin.port, SERVER_CPU)
            servers[name] = stage.start(SeenWeir(*common, on=on, collector=collector.port, binary=options.weir))
        for number in range(options.rounds):
            for name, server in servers.items():
                say(f"round {number + 1} of {options.rounds}: {name}")
                figures[name].append(measured(server, options.seconds, options.objects))
        for name, on in kinds:
            if "traces" in on and servers[name].figure("weir_trace") == 0:
                raise SystemExit(f"bench: {name}: nothing was traced")
    if any("traces" in on for _, on in kinds) and collector.taken == 0:
        raise SystemExit("bench: the collector got nothing")
    first = kinds[0][0]
    base = min(cpu for _, cpu in figures[first])
    print("| on | requests/s | CPU µs/request | added | share | median of rounds |\n|---|---:|---:|---:|---:|---:|")
    for name, _ in kinds:
        rate, cpu = min(figures[name], key=lambda one: one[1])
        rounds = [mine[1] / other[1] - 1 for mine, other in zip(figures[name], figures[first])]
        print(
            f"| {name} | {rate:,.0f} | {cpu:.2f} | {cpu - base:+.2f} | {cpu / base - 1:+.1%} "
            f"| {statistics.median(rounds):+.1%} |"
        )
    print(f"\nload of the machine at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    play(main)
