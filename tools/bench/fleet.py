#!/usr/bin/env python3
"""A fleet of PoPs and its Redis on this machine, with a network between them that takes half of --rtt each way.

hits      what the fleet block costs on a hit: two nodes, one with and one without, in rounds by turns; the
          round with the least processor time per request counts.
purges    how long a purge takes from the moment in which a PoP accepts it until it is in force in the last of
          all. PoPs in turn are asked to purge tags at each of the rates of --rates, for --seconds; the last
          purges of that time are looked at (a PoP keeps 1,024 records), by the times at which each PoP put
          them into force (GET /v1/purges; all have the same clock, to the millisecond). The floor is what the
          network takes for a message of as many bytes at the same rate, by the same ways and engine: from one
          PoP's place to the engine, and from there to the last of all.
back      how long it takes after a fault's end until all PoPs are in step again and have all purges: engine
          killed and started again, PoPs killed and started again, a fifth of the PoPs cut off.
limits    how exact a limit is that a region shares, with three times its rate at one PoP, at all, and at one
          after another: what was let through, of burst + rate * time.

The network is a program (delay.c), since most kernels' own delay (tc netem) is not there to be used. On a machine
that is saturated the figures are those of waiting for a processor: each table says how busy it was.
"""

import asyncio
import collections
import json
import os
import statistics
import sys
import time

import fleet_limits
from measure import measured as measured_hits
from pops import Busy, Engine, Network, PoP, until
from servers import Origin, Weir
from stage import ORIGIN_CPU, SERVER_CPU, Stage, parser, say

NOWHERE = "origin none 127.0.0.1:1;\nsite * { route / { origin none; } }"


def share(values, part):
    return values[min(len(values) - 1, int(len(values) * part))]


def figures(values):
    values = sorted(values)
    return {"count": len(values), "p50_ms": share(values, 0.5), "p99_ms": share(values, 0.99), "most_ms": values[-1]}


# Hits


class FleetWeir(Weir):
    """With a fleet block, or without."""

    def __init__(self, *arguments, engine=None, **more):
        super().__init__(*arguments, **more)
        self.engine = engine

    def launch(self):
        path = self.configure("weir.conf", ADMIN=self.admin)
        with open(path, "a") as file:
            # Both have it: answers are to be of the same length.
            file.write("\nnode_name measured;\n")
            if self.engine:
                file.write(f"fleet hits {{ server 127.0.0.1:{self.engine}; }}\n")
        self.spawn(self.binary, "run", path)


def hits(options, stage):
    engine = stage.start(Engine(stage.root, "redis-hits"))
    origin = stage.start(Origin("origin-hits", stage.root, 0, ORIGIN_CPU))
    common = (stage.root, origin.port, SERVER_CPU)
    nodes = {
        "without": FleetWeir("without", *common, binary=options.weir),
        "with": FleetWeir("with", *common, binary=options.weir, engine=engine.port),
    }
    for node in nodes.values():
        stage.start(node)
    while nodes["with"].figure("weir_fleet_in_step") != 1:
        time.sleep(0.1)
    rounds = {name: [] for name in nodes}
    for number in range(options.rounds):
        # The one that begins a round changes: what a machine's neighbours do grows and wanes.
        for name in sorted(nodes, reverse=number % 2 == 0):
            say(f"hits: round {number + 1} of {options.rounds}, {name} a fleet")
            rounds[name].append(measured_hits(nodes[name], origin, "/1k/", 10_000, options.hit_seconds))
    for server in [*nodes.values(), origin, engine]:
        stage.stop(server)
    best = {name: min(all_of, key=lambda one: one["cpu_us"]) for name, all_of in rounds.items()}
    ratios = [one["cpu_us"] / other["cpu_us"] for one, other in zip(rounds["with"], rounds["without"])]
    return {**best, "ratio": best["with"]["cpu_us"] / best["without"]["cpu_us"],
            "ratio_of_rounds": statistics.median(ratios)}  # fmt: skip


# Purges


def redis_command(*words):
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Floor:
    """Messages by the ways that purges go, of about as many bytes, and nothing else."""

    def __init__(self, ports):
        self.ports = ports
        self.sent, self.last, self.heard = {}, {}, collections.Counter()

    async def listen(self, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(redis_command("SUBSCRIBE", "floor"))
        await reader.readuntil(b":1\r\n")
        self.ready += 1
        rest = b""
        while data := await reader.read(1 << 16):
            now = time.monotonic()
            *whole, rest = (rest + data).split(b"!\r\n")
            for message in whole:
                number = int(message[message.rindex(b"@") + 1 :])
                self.last[number] = now
                self.heard[number] += 1

    async def run(self, rate, count):
        self.ready = 0
        listeners = [asyncio.ensure_future(self.listen(port)) for port in self.ports]

        async def are_ready():
            return self.ready == len(self.ports)

        await until("the floor's listeners", are_ready, pause=0.05)
        talkers = [await asyncio.open_connection("127.0.0.1", port) for port in self.ports]
        # One way there and back first: connections through the network are slow to begin.
        await asyncio.sleep(0.5)
        begun = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0, begun + number / rate - time.monotonic()))
            self.sent[number] = time.monotonic()
            talkers[number % len(talkers)][1].write(
                redis_command("PUBLISH", "floor", b"x" * 230 + b"@%d!" % number)
            )

        async def have_all():
            return sum(self.heard.values()) == count * len(self.ports)

        await until("the floor's messages", have_all, pause=0.05)
        for one in listeners:
            one.cancel()
        for _, writer in talkers:
            writer.close()
        return figures([(self.last[number] - self.sent[number]) * 1000 for number in self.sent])


def stamp(text):
    """2026-01-01T00:00:00.000Z in ms, of the day: purges at midnight are left to luck."""
    hours, minutes, seconds = text[11:-1].split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


async def order(pops, rate, count, label):
    """Has PoPs purge in turn; returns how many orders a second were accepted."""
    queues = collections.defaultdict(list)
    for number in range(count):
        queues[number % len(pops)].append(number)
    begun = time.monotonic() + 0.2

    async def give(place):
        for number in queues[place]:
            await asyncio.sleep(max(0, begun + number / rate - time.monotonic()))
            await pops[place].ask("POST", "/v1/purge", {"tag": f"{label}-{number}"})

    await asyncio.gather(*(give(place) for place in range(len(pops))))
    return count / max(time.monotonic() - begun, (count - 1) / rate)


async def have_all(pops, count, before):
    """Whether each has applied all that the others were asked for."""
    for number, said in enumerate(await asyncio.gather(*(pop.fleet() for pop in pops))):
        own = len(range(number, count, len(pops)))
        if not said["in_step"] or said["waiting"] or said["applied"] - before[number] < count - own:
            return False
    return True


async def latencies(pops, rate, count):
    label = f"r{rate}-{time.monotonic_ns()}"
    before = [said["applied"] for said in await asyncio.gather(*(pop.fleet() for pop in pops))]
    done = await order(pops, rate, count, label)
    await until("the last purge", lambda: have_all(pops, count, before))
    times = collections.defaultdict(list)
    for pop in pops:
        for record in (await pop.ask("GET", "/v1/purges?limit=1000"))["purges"]:
            tag = (record["order"].get("tags") or [""])[0] if isinstance(record["order"], dict) else ""
            if tag.startswith(label):
                times[tag].append(stamp(record["time"]))
    whole = [all_times for all_times in times.values() if len(all_times) == len(pops)]
    if len(whole) < 0.8 * min(count, 1000):
        raise SystemExit(f"bench: of {min(count, 1000)} purges only {len(whole)} were seen at all PoPs")
    return {**figures([max(each) - min(each) for each in whole]), "asked": rate, "done": done}


async def purges(options, engine, network, pops):
    results = []
    for rate in options.rates:
        count = max(10, rate * options.seconds)
        say(f"purges: {rate}/s for {count / rate:.0f} s")
        floor = await Floor(network.ports).run(rate if rate > 20 else 20, min(max(rate * 3, 60), 2000))
        busy = Busy(PoPs=pops, engine=[engine], network=[network])
        result = await latencies(pops, rate, count)
        results.append({**result, "floor": floor, "busy": busy.shares(), "load": os.getloadavg()[0]})
    return results


# After faults


async def until_back(pops, begun):
    """Seconds from `begun` until all are in step and at the log's end."""

    async def are_back():
        nonlocal asked
        asked = time.monotonic()
        all_of_it = await asyncio.gather(*(pop.fleet() for pop in pops))
        ends = {said["position"] for said in all_of_it if said["in_step"] and not said["waiting"]}
        return all(said["in_step"] and not said["waiting"] for said in all_of_it) and len(ends) == 1 and (
            ends == {said["last_position"] for said in all_of_it}
        )

    asked = begun
    await until("all PoPs to be back", are_back, pause=0.05)
    # As it was when they were asked, or at the latest when they answered.
    return (time.monotonic() + asked) / 2 - begun


async def back(options, engine, network, pops):
    some = pops[-max(1, len(pops) // 5) :]
    results = {}

    async def during(what, fault, end, asked):
        say(f"back: {what}")
        orders = asyncio.ensure_future(order(asked, 20, 20 * options.fault_seconds, f"b{time.monotonic_ns()}"))
        await asyncio.sleep(0.5)
        fault()
        await orders
        end()
        results[what] = await until_back(pops, time.monotonic())

    def cut():
        network.say(f"cut {len(pops) - len(some)} {len(pops) - 1}")

    def start_pops():
        for pop in some:
            pop.link = None
            pop.start()

    await during("engine killed, started with its data", engine.kill, engine.start, pops)
    others = pops[: -len(some)] or pops[:1]
    await during(f"{len(some)} of {len(pops)} PoPs cut off", cut, lambda: network.say("mend"), pops)
    if others != some:
        await during(
            f"{len(some)} of {len(pops)} PoPs killed, started again",
            lambda: [pop.kill() for pop in some], start_pops, others,
        )  # fmt: skip
    return results


# Everything


async def fleet(options, stage):
    engine = stage.start(Engine(stage.root))
    engine.hurry()
    network = stage.start(Network(stage.root, engine, options.rtt, options.pops))
    pops = [stage.start(PoP(stage.root, options.weir, number, port, NOWHERE))
            for number, port in enumerate(network.ports)]  # fmt: skip
    say(f"{options.pops} PoPs, {options.rtt:.0f} ms there and back to the engine")
    for pop in pops:
        await until(f"{pop.name} to be in step", pop.in_step)
    rest = Busy(PoPs=pops, engine=[engine], network=[network])
    await asyncio.sleep(3)
    results = {"pops": options.pops, "rtt_ms": options.rtt, "busy_at_rest": rest.shares()}
    if "purges" in options.only:
        results["purges"] = await purges(options, engine, network, pops)
    if "back" in options.only:
        results["back"] = await back(options, engine, network, pops)
    for server in [*pops, network, engine]:
        stage.stop(server)
    return results


def shares(busy):
    return f"{busy['all']:.0%}: PoPs {busy['PoPs']:.0%}, others {busy['others']:.0%}"


def table(results):
    lines = []
    if "hits" in results:
        lines += ["| node | requests/s | CPU µs/request | ratio | median of rounds |", "|---|---:|---:|---:|---:|"]
        for name, title in ("without", "without a fleet"), ("with", "in a fleet"):
            one = results["hits"][name]
            ends = f"{results['hits']['ratio']:.3f} | {results['hits']['ratio_of_rounds']:.3f}" if name == "with" else "|"
            lines.append(f"| {title} | {one['requests_per_second']:,.0f} | {one['cpu_us']:.2f} | {ends} |")
        lines.append("")
    if "purges" in results:
        lines += [
            f"{results['pops']} PoPs, {results['rtt_ms']:.0f} ms there and back to the engine:", "",
            "| purges/s | done | looked at | p50, ms | floor's | p99, ms | floor's | most, ms | processors busy |",
            "|---:|---:|---:|---:|---:|---:|---:|---:|---|",
        ]  # fmt: skip
        for one in results["purges"]:
            floor = one["floor"]
            lines.append(
                f"| {one['asked']} | {one['done']:.0f} | {one['count']} | {one['p50_ms']} | {floor['p50_ms']:.0f} "
                f"| {one['p99_ms']} | {floor['p99_ms']:.0f} | {one['most_ms']} | {shares(one['busy'])} |"
            )
        lines += ["", f"At rest the processors were busy {shares(results['busy_at_rest'])}.", ""]
    if "back" in results:
        lines += ["| fault | all in step again after, s |", "|---|---:|"]
        lines += [f"| {what} | {seconds:.2f} |" for what, seconds in results["back"].items()] + [""]
    if "limits" in results:
        lines += fleet_limits.table(results["limits"])
    return "\n".join(lines)


def main():
    options = parser("fleet", __doc__)
    add = options.add_argument
    add("--only", default="hits,purges,back,limits", help="of hits, purges, back, limits, separated by commas")
    add("--pops", type=int, default=50, help="how many PoPs (50)")
    add("--rtt", type=float, default=80, help="ms to the engine and back (80)")
    add("--rates", type=int, nargs="+", default=[1, 100, 1000], help="purges/s (1 100 1000)")
    add("--seconds", type=int, default=20, help="of each rate (20)")
    add("--fault-seconds", type=int, default=5, help="of each fault (5)")
    add("--rounds", type=int, default=4, help="rounds of hits (4)")
    add("--hit-seconds", type=int, default=3, help="of a round of hits (3)")
    add("--limit-pops", type=int, default=10, help="PoPs that share a limit (10)")
    add("--limit-seconds", type=int, default=20, help="of each load on a limit (20)")
    add("--json", action="store_true", help="print the figures as JSON")
    options = options.parse_args()
    options.only = options.only.split(",")
    results = {}
    with Stage() as stage:
        if "hits" in options.only:
            results["hits"] = hits(options, stage)
        if {"purges", "back"} & set(options.only):
            results |= asyncio.run(fleet(options, stage))
        if "limits" in options.only:
            results["limits"] = asyncio.run(fleet_limits.measure(options, stage))
    results["load"] = os.getloadavg()[0]
    print(json.dumps(results, indent=2) if options.json else table(results))


if __name__ == "__main__":
    main()
    sys.exit(0)
