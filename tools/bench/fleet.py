#!/usr/bin/env python3
"""How long a purge takes from the moment in which one PoP accepts it until it is in force in all.

Starts a Redis and so many PoPs (one worker and a small store each) on loopback. Between each of them and the
Redis stands a relay that takes half of --rtt each way. Then PoPs in turn are asked to purge tags, at each of
the rates of --rates. What each PoP notes of every purge (GET /v1/purges) has the time at which it put it into
force; all have the same clock, to the millisecond. The floor is what the network takes: from the PoP to the
engine, and from there to the others.
"""

import asyncio
import collections
import json
import os
import socket
import subprocess
import sys
import time

from stage import Stage, parser, say

TOKEN = "a-token-for-the-benchmark"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A program with a directory of its own, ended by its process id."""

    def __init__(self, directory, *command):
        self.directory, self.command = directory, command

    def start(self):
        os.makedirs(self.directory, exist_ok=True)
        with open(os.path.join(self.directory, "log"), "wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.directory)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Relay:
    """Passes bytes on after a while, in order."""

    def __init__(self, target, delay):
        self.target, self.delay = target, delay

    async def start(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer):
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        for one, other in ((reader, upstream[1]), (upstream[0], writer)):
            asyncio.ensure_future(self.carry(one, other))

    async def carry(self, reader, writer):
        loop = asyncio.get_running_loop()

        def late(data):
            if not writer.is_closing():
                writer.write(data) if data else writer.close()

        try:
            while data := await reader.read(1 << 16):
                loop.call_later(self.delay, late, data)
        except OSError:
            pass
        loop.call_later(self.delay, late, b"")


class PoP:
    def __init__(self, number, port):
        self.name, self.admin = f"pop-{number}", port
        self.link = None

    async def ask(self, method, path, body=None):
        """One request on the connection that is kept, and its answer's content."""
        if self.link is None:
            self.link = await asyncio.open_connection("127.0.0.1", self.admin, limit=1 << 24)
        reader, writer = self.link
        content = json.dumps(body).encode() if body else b""
        fields = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n" if body else ""
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{fields}\r\n".encode()
            + content
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        answer = await reader.readexactly(length)
        if " 200 " not in head.split("\r\n")[0]:
            raise SystemExit(f"bench: {self.name} answers {answer.decode()}")
        return json.loads(answer)

    async def in_step(self):
        try:
            return (await self.ask("GET", "/v1/fleet"))["in_step"]
        except OSError:
            self.link = None
            return False


CONFIGURATION = """
node_name {name};
workers 1;
listen 127.0.0.1:0;
admin 127.0.0.1:{admin} {{ token "{token}"; }}
access_log off;
store ./store {{ size 8M; }}
fleet bench {{ server 127.0.0.1:{engine}; pop {name}; }}
origin none 127.0.0.1:1;
site * {{ route / {{ origin none; }} }}
"""


async def until(what, condition, patience=120):
    end = time.monotonic() + patience
    while not await condition():
        if time.monotonic() > end:
            raise SystemExit(f"bench: no end of waiting for {what}")
        await asyncio.sleep(0.1)


async def measure(pops, rate, count):
    """Latencies of `count` purges at so many a second, ms."""
    label = f"r{rate}-{time.monotonic_ns()}"
    queues = collections.defaultdict(list)
    for number in range(count):
        queues[number % len(pops)].append(number)
    begun = time.monotonic() + 0.2

    async def order(place):
        for number in queues[place]:
            await asyncio.sleep(max(0, begun + number / rate - time.monotonic()))
            await pops[place].ask("POST", "/v1/purge", {"tag": f"{label}-{number}"})

    await asyncio.gather(*(order(place) for place in range(len(pops))))
    taken = time.monotonic() - begun
    await until("the last purge", lambda: all_have(pops, label, count))
    times = collections.defaultdict(list)
    for pop in pops:
        for record in (await pop.ask("GET", "/v1/purges?limit=1000"))["purges"]:
            tag = (record["order"].get("tags") or [""])[0] if isinstance(record["order"], dict) else ""
            if tag.startswith(label):
                times[tag].append(stamp(record["time"]))
    whole = [all_times for all_times in times.values() if len(all_times) == len(pops)]
    return sorted(max(each) - min(each) for each in whole), count / taken


def stamp(text):
    """2026-01-01T00:00:00.000Z in ms, of the day: purges at midnight are left to luck."""
    hours, minutes, seconds = text[11:-1].split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(seconds) * 1000)


async def all_have(pops, label, count):
    for pop in pops:
        records = (await pop.ask("GET", "/v1/purges?limit=50"))["purges"]
        texts = json.dumps([record["order"] for record in records])
        if not any(f"{label}-{count - 1 - back}" in texts for back in range(min(len(pops), 20))):
            return False
    return True


def share(values, part):
    return values[min(len(values) - 1, int(len(values) * part))]


async def main(options, stage):
    engine = free_port()
    stage.start(
        Process(
            os.path.join(stage.root, "redis"), "redis-server", "--port", str(engine), "--bind", "127.0.0.1",
            "--save", "", "--appendonly", "yes", "--loglevel", "warning",
        )
    )  # fmt: skip
    pops = []
    for number in range(options.pops):
        pop = PoP(number, free_port())
        relay = await Relay(engine, options.rtt / 2000).start()
        directory = os.path.join(stage.root, pop.name)
        os.makedirs(directory)
        path = os.path.join(directory, "edge.conf")
        with open(path, "w") as file:
            file.write(CONFIGURATION.format(name=pop.name, admin=pop.admin, engine=relay, token=TOKEN))
        stage.start(Process(directory, options.weir, "run", path))
        pops.append(pop)
    say(f"{options.pops} PoPs, {options.rtt} ms there and back to the engine")
    for pop in pops:
        await until(f"{pop.name} to be in step", pop.in_step)
    print(f"floor: {options.rtt:.0f} ms (from a PoP to the engine, and from there to the others)")
    print("| asked, purges/s | done | purges | p50, ms | p99, ms | most, ms |")
    print("|---|---|---|---|---|---|")
    for rate in options.rates:
        values, done = await measure(pops, rate, min(900, max(20, rate * options.seconds)))
        if not values:
            raise SystemExit("bench: no purge was seen everywhere")
        print(
            f"| {rate} | {done:.0f} | {len(values)} | {share(values, 0.5)} | {share(values, 0.99)} | {values[-1]} |",
            flush=True,
        )


if __name__ == "__main__":
    options = parser("fleet", __doc__)
    options.add_argument("--pops", type=int, default=50, help="how many PoPs (50)")
    options.add_argument("--rtt", type=float, default=80, help="ms to the engine and back (80)")
    options.add_argument("--rates", type=int, nargs="+", default=[1, 100, 1000], help="purges/s (1 100 1000)")
    options.add_argument("--seconds", type=int, default=20, help="of each rate, at most 900 purges (20)")
    options = options.parse_args()
    with Stage() as stage:
        asyncio.run(main(options, stage))
    sys.exit(0)
