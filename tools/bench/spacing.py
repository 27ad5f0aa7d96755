#!/usr/bin/env python3
"""How evenly requests leave a leaky bucket: an origin notes when each reaches it, while clients ask for
more than the rate, so that there is always a line. Printed is a histogram of the gaps between two
requests, as shares of the price of one (1/rate)."""

import argparse
import asyncio
import os
import shutil
import subprocess
import tempfile
import threading
import time

from servers import Weir, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
PROCESSORS = sorted(os.sched_getaffinity(0))
SERVER_CPU = str(PROCESSORS[0])
LOAD_CPUS = ",".join(map(str, PROCESSORS[1:])) or SERVER_CPU
BOUNDS = [0, 0.5, 0.8, 0.9, 0.95, 0.98, 1.02, 1.05, 1.1, 1.2, 1.5, 2, float("inf")]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Origin(threading.Thread):
    """Answers, and notes when each request came."""

    def __init__(self):
        super().__init__(daemon=True)
        self.port, self.times = free_port(), []
        self.ready = threading.Event()

    def run(self):
        asyncio.run(self.serve())

    async def serve(self):
        server = await asyncio.start_server(self.answer, "127.0.0.1", self.port, backlog=1024)
        self.ready.set()
        async with server:
            await server.serve_forever()

    async def answer(self, reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.times.append(time.monotonic_ns())
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


class LimitedWeir(Weir):
    def launch(self):
        path = self.configure("spacing.conf", ADMIN=self.admin, RATE=self.rate)
        self.spawn(self.binary, "run", path)


def measure(options, origin, root, rate):
    server = LimitedWeir(
        f"weir-{rate}", root, origin.port, SERVER_CPU, binary=os.path.abspath(options.weir)
    )
    server.rate = rate
    try:
        server.start()
        del origin.times[:]
        subprocess.run(
            ["taskset", "-c", LOAD_CPUS, "wrk", "-t1", "-c128", f"-d{options.seconds}s"]
            + [f"http://127.0.0.1:{server.port}/"], check=True, capture_output=True,
        )  # fmt: skip
    finally:
        server.stop()
    # Without the first second, in which the line forms, and the last requests, when the clients leave.
    begin, end = origin.times[0] + 10**9, origin.times[-1] - 10**9
    times = [one for one in origin.times if begin <= one <= end]
    return [(later - one) * rate / 1e9 for one, later in zip(times, times[1:])], times


def report(rate, gaps, times):
    gaps = sorted(gaps)
    seconds = (times[-1] - times[0]) / 1e9
    mean = (len(times) - 1) / seconds
    lines = [
        f"{rate}/s: {len(times):,} requests in {seconds:.1f} s, {mean / rate - 1:+.3%} of the rate; "
        f"least gap {gaps[0] / rate * 1e3:.3f} ms, median {gaps[len(gaps) // 2] / rate * 1e3:.3f}, "
        f"99 % within {gaps[int(len(gaps) * 0.99)] / rate * 1e3:.3f}, "
        f"most {gaps[-1] / rate * 1e3:.3f}",
        "", "| gap, in prices | requests | |", "|---|---:|---|",
    ]  # fmt: skip
    for low, high in zip(BOUNDS, BOUNDS[1:]):
        count = sum(low <= gap < high for gap in gaps)
        name = f"{low} to {high}" if high < float("inf") else f"{low} and more"
        bar = "#" * round(40 * count / len(gaps))
        lines.append(f"| {name} | {count / len(gaps):.2%} | `{bar}` |" if bar else
                     f"| {name} | {count / len(gaps):.2%} | |")  # fmt: skip
    return lines + [""]


def main():
    parser = argparse.ArgumentParser(
        prog="tools/bench/spacing", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--weir", required=True, metavar="BINARY", help="the weir that is measured")
    parser.add_argument("--rates", default="50,500", help="rates, by commas (50,500)")
    parser.add_argument("--seconds", type=int, default=15, help="length of a run (15)")
    options = parser.parse_args()
    root = tempfile.mkdtemp(prefix="weir-bench-")
    origin = Origin()
    origin.start()
    origin.ready.wait(10)
    try:
        for rate in map(int, options.rates.split(",")):
            gaps, times = measure(options, origin, root, rate)
            print("\n".join(report(rate, gaps, times)))
        print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
