#!/usr/bin/env python3
"""Misses of 1 KiB of Weir beside nginx, in one run: proxied as they are, and stored on the way;
and of Weir alone, with five tags each, into a store that is full and evicts.

Each server has one worker and, with all its processes and threads, processor 0; the load
generator and the origin (nginx, connections kept) have the others. Both write an access log.
The servers take turns; the round with the least processor time per request counts.
"""

import measure
from servers import Nginx, Origin, Weir
from stage import ORIGIN_CPU, SERVER_CPU, Stage, parser, play, say

SCENARIOS = [
    ("1 KiB, proxied", "/pass/", 10_000, "objects.lua"),
    # So many that hardly any is asked for twice.
    ("1 KiB, stored", "/fill/", 1_000_000_000, "random.lua"),
]
FULL = ("1 KiB, five tags, into a full store", "/tags/", 1_000_000_000, "random.lua")


class MissNginx(Nginx):
    def launch(self):
        config = self.configure("nginx-miss.conf")
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")


class MissWeir(Weir):
    size = "4GiB"

    def launch(self):
        config = self.configure("weir-miss.conf", ADMIN=self.admin, SIZE=self.size)
        self.spawn(self.binary, "run", config)


class FullWeir(MissWeir):
    """Its store is so small that it is full after some seconds, and evicts from then on."""

    size = "256MiB"

    def evicted(self):
        return self.figure("weir_store_evictions_total")

    def fill(self, prefix, count, script):
        while self.evicted() == 0:
            say("filling the store")
            measure.load(self, prefix, count, 2, script)


def measured(server, origin, prefix, count, script, seconds):
    asked = origin.requests()
    user, system = server.cpu()
    requests, elapsed = measure.load(server, prefix, count, seconds, script)
    user, system = server.cpu()[0] - user, server.cpu()[1] - system
    misses = origin.requests() - asked - 1
    if misses < requests * 0.99:
        raise SystemExit(f"bench: {server.name} asked the origin {misses} of {requests} times")
    return {
        "requests_per_second": requests / elapsed,
        "cpu_us": (user + system) / requests * 1e6,
        "user_us": user / requests * 1e6,
    }


def into_full_store(server, origin, seconds):
    """One round of fills into a full store, of which each must have evicted another."""
    title, prefix, count, script = FULL
    before = server.evicted()
    figures = measured(server, origin, prefix, count, seconds=seconds, script=script)
    evicted = server.evicted() - before
    if evicted < figures["requests_per_second"] * seconds * 0.9:
        raise SystemExit(f"bench: {title}: only {evicted} objects were evicted")
    return figures


def report(results):
    lines = [
        measure.machine(measure.congestion()),
        "",
        "| miss | server | requests/s | CPU µs/request | of it user | CPU to nginx's |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for title, servers in results.items():
        for name, one in servers.items():
            share = one["cpu_us"] / servers["nginx"]["cpu_us"] if "nginx" in servers else None
            lines.append(
                f"| {title} | {name} | {one['requests_per_second']:,.0f} | {one['cpu_us']:.2f} "
                f"| {one['user_us']:.2f} | {f'{share:.2f}' if share else ''} |"
            )
    return "\n".join(lines)


def main():
    options = parser("miss", __doc__)
    options.add_argument("--rounds", type=int, default=5, help="rounds per scenario (5)")
    options.add_argument("--seconds", type=int, default=8, help="length of a round (8)")
    options = options.parse_args()
    results = {}
    with Stage() as stage:
        origin = stage.start(Origin("origin", stage.root, 0, ORIGIN_CPU))
        common = (stage.root, origin.port, SERVER_CPU)
        weir = stage.start(MissWeir("weir", *common, binary=options.weir))
        nginx = stage.start(MissNginx("nginx", *common, sendfile="off"))
        for title, prefix, count, script in SCENARIOS:
            rounds = {"weir": [], "nginx": []}
            for number in range(options.rounds):
                for server in weir, nginx:
                    say(f"{title}: round {number + 1} of {options.rounds}, {server.name}")
                    rounds[server.name].append(
                        measured(server, origin, prefix, count, script, options.seconds)
                    )
            results[title] = {
                name: min(figures, key=lambda one: one["cpu_us"])
                for name, figures in rounds.items()
            }
        full = stage.start(FullWeir("weir-full", *common, binary=options.weir))
        full.fill(*FULL[1:])
        rounds = []
        for number in range(options.rounds):
            say(f"{FULL[0]}: round {number + 1} of {options.rounds}")
            rounds.append(into_full_store(full, origin, options.seconds))
        results[FULL[0]] = {"weir": min(rounds, key=lambda one: one["cpu_us"])}
    print(report(results))


if __name__ == "__main__":
    play(main)
