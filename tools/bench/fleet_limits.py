"""How exact a limit is that the PoPs of a region share: part of tools/bench/fleet."""

import asyncio
import os
import time

from pops import Busy, Engine, Network, PoP, until
from servers import Origin
from stage import ORIGIN_CPU, say

RATE, BURST = 200, 200
MODES = "leased", "exact"
PATTERNS = "at one PoP", "at all", "at one after another"


def configuration(origin):
    lines = [f"origin app 127.0.0.1:{origin};", "site * {"]
    for mode in MODES:
        more = "consistency=exact timeout=2s" if mode == "exact" else ""
        lines.insert(0, f"limit {mode} {{ token_bucket {RATE}/s burst={BURST}; key header.x-key; scope region {more}; }}")
        lines.append(f"  route /1k/{mode}/ {{ origin app; limit {mode}; }}")
    return "\n".join([*lines, "  route / { origin app; }", "}"])


async def get(link, path, key):
    reader, writer = link
    writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nX-Key: {key}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
    return int(head.split()[1])


async def run(pops, mode, pattern, seconds):
    """Asks at three times the rate, at fixed times whether or not answers have come; counts what is let through."""
    path, key = f"/1k/{mode}/0", pattern.replace(" ", "-")
    asked_rate, passed, refused, other = 3 * RATE, 0, 0, 0
    queues = [asyncio.Queue() for _ in pops]
    times = [time.monotonic(), 0.0]

    async def client(place):
        nonlocal passed, refused, other
        link = await asyncio.open_connection("127.0.0.1", pops[place].port)
        while await queues[place].get():
            try:
                status = await get(link, path, key)
            except (asyncio.IncompleteReadError, ConnectionError):
                # A connection that was idle for long enough is closed by the PoP, which has answered nothing.
                link[1].close()
                link = await asyncio.open_connection("127.0.0.1", pops[place].port)
                status = await get(link, path, key)
            passed, refused = passed + (status == 200), refused + (status == 429)
            other += status not in (200, 429)
            if status == 200:
                times[1] = time.monotonic()
        link[1].close()

    # An exact answer takes the way to the engine and back: at one PoP as many wait as come meanwhile.
    each = 160 if pattern != "at all" else 24
    clients = [asyncio.ensure_future(client(place)) for place in range(len(pops)) for _ in range(each)]
    await asyncio.sleep(0.5)
    times[0] = begun = time.monotonic()
    count = asked_rate * seconds
    for number in range(count):
        due = begun + number / asked_rate
        if due > time.monotonic():
            await asyncio.sleep(due - time.monotonic())
        place = {"at one PoP": 0, "at all": number % len(pops)}.get(
            pattern, int(number / asked_rate / 5) % len(pops)
        )
        queues[place].put_nowait(True)
    for queue in queues:
        for _ in range(each):
            queue.put_nowait(False)
    await asyncio.gather(*clients)
    if other:
        raise SystemExit(f"bench: {other} answers were neither 200 nor 429")
    elapsed = times[1] - begun
    return {"mode": mode, "pattern": pattern, "asked": count, "passed": passed, "refused": refused,
            "seconds": elapsed, "bound": BURST + RATE * elapsed}  # fmt: skip


async def measure(options, stage):
    engine = stage.start(Engine(stage.root, "redis-limits"))
    network = stage.start(Network(stage.root, engine, options.rtt, options.limit_pops))
    origin = stage.start(Origin("origin-limits", stage.root, 0, ORIGIN_CPU))
    pops = [
        stage.start(PoP(stage.root, options.weir, f"limited-{number}", port, configuration(origin.port)))
        for number, port in enumerate(network.ports)
    ]

    async def know_each_other():
        for pop in pops:
            said = await pop.fleet()
            if not said["in_step"] or len(said["pops"] or []) != len(pops):
                return False
        return True

    await until("the PoPs to know each other", know_each_other)
    # What they say of limits, twice a second.
    await asyncio.sleep(2)
    results = []
    for mode in MODES:
        for pattern in PATTERNS:
            say(f"limits: {mode}, {pattern}, {options.limit_seconds} s")
            busy = Busy(PoPs=pops, engine=[engine], network=[network])
            result = await run(pops, mode, pattern, options.limit_seconds)
            results.append({**result, "busy": busy.shares(), "load": os.getloadavg()[0]})
    for server in [*pops, origin, network, engine]:
        stage.stop(server)
    return {"pops": options.limit_pops, "rtt_ms": options.rtt, "rate": RATE, "burst": BURST, "runs": results}


def table(limits):
    lines = [
        f"{limits['pops']} PoPs, {limits['rtt_ms']:.0f} ms there and back, a limit of {limits['rate']}/s "
        f"burst={limits['burst']}:",
        "",
        "| consistency | asked | times | let through | bound | of it | processors busy |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for one in limits["runs"]:
        lines.append(
            f"| {one['mode']} | {one['pattern']} | {one['asked']} | {one['passed']} | {one['bound']:.0f} "
            f"| {one['passed'] / one['bound']:.1%} | {one['busy']['all']:.0%} |"
        )
    return lines
