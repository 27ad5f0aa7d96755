#!/usr/bin/env python3
"""Purges of Weir beside Varnish with xkey, in one run.

Each server has processor 0 with all its processes and threads; the load and the origin have the
others. First as many purges as go in a while, of tags and of URLs, over PURGE requests of 32
connections. Then objects that all carry one tag are fetched, and that tag is purged: how long the
answer takes, whether the very next requests on connections that were open before (they are spread
over the workers) see it, and how long hits on other objects take before it and while what it
reached is deleted. Of Weir also how long the admin listener takes to answer while its processor is
full of hits.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from measure import HERE, LOAD_CPUS, ORIGIN_CPU, PROCESSORS, SERVER_CPU, machine, say
from servers import Server, Varnish, Weir, wait_for_port


class PurgeOrigin(Server):
    def launch(self):
        config = self.configure("purge-origin.conf")
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")


class PurgeWeir(Weir):
    def launch(self):
        self.spawn(self.binary, "run", self.configure("purge-weir.conf", ADMIN=self.admin))


class PurgeVarnish(Varnish):
    def launch(self):
        vcl = self.configure("purge-varnish.vcl")
        work = os.path.join(self.directory, "work")
        jail = ["-j", "none"] if os.geteuid() == 0 else []
        self.spawn(
            "varnishd", *jail, "-F", "-n", work, "-a", f"127.0.0.1:{self.port}", "-f", vcl,
            "-s", "malloc,8g", "-p", "thread_pools=1", "-p", "timeout_idle=300",
        )  # fmt: skip
        wait_for_port(self.port, self.processes, self.name)


def wrk(server, script, seconds, *arguments, connections=32, latency=False):
    command = ["taskset", "-c", LOAD_CPUS, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += ["--latency"] if latency else []
    command += ["-s", os.path.join(HERE, "configs", script), f"http://127.0.0.1:{server.port}"]
    output = subprocess.run(
        command + ["--", *map(str, arguments)], check=True, capture_output=True, text=True
    ).stdout
    if "Socket errors" in output or "Non-2xx" in output:
        raise SystemExit(f"bench: {server.name} failed under load:\n{output}")
    return output


def rate(output):
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def percentile(output):
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", output).groups()
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def fill(server, prefix, count):
    """Fetches every object once, in pieces, each of which begins a little before the end of the last."""
    done = 0
    while done < count:
        output = wrk(server, "sequence.lua", 5, prefix, count, done)
        done += max(1, int(re.search(r"(\d+) requests in", output)[1]) - 64)


def connection(server):
    return socket.create_connection(("127.0.0.1", server.port), 30)


def ask(link, text):
    """Sends a request; returns its status, its head and how many ms the answer took."""
    begin = time.perf_counter()
    link.sendall(text.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = link.recv(65536)
        if not part:
            raise SystemExit("bench: a server closed a connection that it should keep")
        answer += part
    head, content = answer.split(b"\r\n\r\n", 1)
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length and len(content) < int(length[1]):
        content += link.recv(65536)
    elapsed = (time.perf_counter() - begin) * 1000
    return int(head.split()[1]), head.decode().lower(), elapsed


def get(link, path):
    return ask(link, f"GET {path} HTTP/1.1\r\nHost: {host(link)}\r\n\r\n")


def host(link):
    """What wrk says, so that the two speak of the same objects."""
    return f"127.0.0.1:{link.getpeername()[1]}"


def disk(directory):
    """How many ms the disk takes to have 256 bytes more at the end of a file: median of 31, and the longest."""
    path = os.path.join(directory, "written")
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        # As a journal is: its room is taken beforehand.
        os.write(file, bytes(1 << 20))
        os.fsync(file)
        times = []
        for number in range(31):
            begin = time.perf_counter()
            os.pwrite(file, b"x" * 256, number * 256)
            os.fdatasync(file)
            times.append((time.perf_counter() - begin) * 1e3)
            time.sleep(0.01)
    finally:
        os.close(file)
        os.unlink(path)
    times.sort()
    return times[15], times[-1]


def purge_all(server, objects):
    """Purges the tag that all have; the answer's time, and whether all who ask next see it."""
    links = [connection(server) for _ in range(16)]
    paths = [f"/tagged/{number * (objects // 16)}" for number in range(16)]
    for link, path in zip(links, paths):
        get(link, path)
        if "; hit" not in get(link, path)[1]:
            raise SystemExit(f"bench: {server.name} has not stored {path}")
    with connection(server) as purger:
        order = f"PURGE / HTTP/1.1\r\nHost: {host(purger)}\r\nxkey-purge: all\r\n\r\n"
        status, head, elapsed = ask(purger, order)
    if status != 200:
        raise SystemExit(f"bench: {server.name} did not purge: {head}")
    seen = sum("; hit" not in get(link, path)[1] for link, path in zip(links, paths))
    for link in links:
        link.close()
    return elapsed, seen


def busy(server, seconds):
    """How long /v1/status, and a purge by the admin listener, take while wrk fills the processor with hits."""
    wrk(server, "sequence.lua", 2, "/other/", 1000)
    script = os.path.join(HERE, "configs", "sequence.lua")
    user, system = server.cpu()
    begin = time.perf_counter()
    load = subprocess.Popen(
        ["taskset", "-c", LOAD_CPUS, "wrk", "-t1", "-c64", f"-d{seconds}s", "-s", script,
         f"http://127.0.0.1:{server.port}", "--", "/other/", "1000"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(1)
    token = "Authorization: Bearer measured-not-guarded-0123456789\r\n"
    body = '{"tag": "nobody"}'
    orders = {
        "status": f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n{token}\r\n",
        "order": f"POST /v1/purge HTTP/1.1\r\nHost: localhost\r\n{token}Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}",
    }
    times = {name: [] for name in orders}
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        # What is measured is the node, and not how long this process waits for a processor beside wrk.
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    except PermissionError:
        say("as root the load generator would not be in the way of what measures the answers")
    with socket.create_connection(("127.0.0.1", server.admin), 30) as link:
        while time.perf_counter() - begin < seconds - 0.5:
            for name, text in orders.items():
                status, head, elapsed = ask(link, text)
                if status != 200:
                    raise SystemExit(f"bench: the admin listener does not do {name}: {head}")
                times[name].append(elapsed)
            time.sleep(0.01)
    if os.getpriority(os.PRIO_PROCESS, 0) != usual:
        os.setpriority(os.PRIO_PROCESS, 0, usual)
    spent = sum(server.cpu()) - user - system
    share = spent / (time.perf_counter() - begin)
    results = {"busy_share": share, "busy_rate": rate(load.communicate()[0])}
    for name, all_of in times.items():
        all_of.sort()
        results[f"{name}_p50_ms"] = all_of[len(all_of) // 2]
        results[f"{name}_p99_ms"] = all_of[int(len(all_of) * 0.99)]
        results[f"{name}_max_ms"] = all_of[-1]
        results[f"{name}_count"] = len(all_of)
    return results


def measured(server, options):
    results = {}
    for kind in "tag", "url":
        say(f"{server.name}: purges by {kind}")
        user, system = server.cpu()
        output = wrk(server, "purge.lua", options.seconds, kind)
        spent = sum(server.cpu()) - user - system
        results[f"{kind}s_per_second"] = rate(output)
        requests = int(re.search(r"(\d+) requests in", output)[1])
        results[f"{kind}_cpu_us"] = spent / requests * 1e6
    say(f"{server.name}: fetching {options.objects} objects")
    fill(server, "/tagged/", options.objects)
    wrk(server, "sequence.lua", 2, "/other/", 1000)
    say(f"{server.name}: hits before the purge")
    quiet = wrk(server, "sequence.lua", options.seconds, "/other/", 1000, connections=8, latency=True)
    results["p99_before_ms"] = percentile(quiet)
    say(f"{server.name}: purging a tag of all")
    script = os.path.join(HERE, "configs", "sequence.lua")
    load = subprocess.Popen(
        ["taskset", "-c", LOAD_CPUS, "wrk", "-t1", "-c8", f"-d{options.sweep}s", "--latency", "-s", script,
         f"http://127.0.0.1:{server.port}", "--", "/other/", "1000"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(1)
    results["disk_ms"], results["disk_max_ms"] = disk(server.directory)
    results["answer_ms"], results["seen_at_once"] = purge_all(server, options.objects)
    results["p99_during_ms"] = percentile(load.communicate()[0])
    if isinstance(server, PurgeWeir):
        say(f"{server.name}: the admin listener beside hits")
        results |= busy(server, max(3, options.seconds))
    return results


def arguments():
    parser = argparse.ArgumentParser(
        prog="tools/bench/purge", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--servers", default="weir,varnish", help="of weir, varnish, separated by commas")
    add("--objects", type=int, default=1_000_000, help="objects with the one tag (1000000)")
    add("--seconds", type=int, default=8, help="length of a load (8)")
    add("--sweep", type=int, default=45, help="seconds of load around the purge (45: the sweeper begins within 30)")
    add("--json", action="store_true", help="print the figures as JSON")
    add("--weir", metavar="BINARY", help="the weir that is measured (tools/bench/purge builds it)")
    return parser.parse_args()


def table(results):
    lines = [machine("as set"), "", f"    tools/bench/purge {' '.join(given())}".rstrip(), ""]
    lines += [
        "| server | tags purged/s | CPU µs each | URLs purged/s | CPU µs each | one tag of all: answer, ms "
        "| 256 bytes to the disk meanwhile, ms (longest) | next requests that see it | hits' p99 before, ms | during, ms |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one in results.items():
        lines.append(
            f"| {name} | {one['tags_per_second']:,.0f} | {one['tag_cpu_us']:.1f} "
            f"| {one['urls_per_second']:,.0f} | {one['url_cpu_us']:.1f} | {one['answer_ms']:.2f} "
            f"| {one['disk_ms']:.2f} ({one['disk_max_ms']:.2f}) | {one['seen_at_once']} of 16 | {one['p99_before_ms']:.2f} | {one['p99_during_ms']:.2f} |"
        )
    for name, one in results.items():
        if "status_p50_ms" not in one:
            continue
        lines += [
            "",
            f"The admin listener of {name} while its processor serves {one['busy_rate']:,.0f} hits a second "
            f"({one['busy_share'] * 100:.0f} % of it):",
            "",
            "| request | answers | median, ms | p99, ms | longest, ms |",
            "|---|---:|---:|---:|---:|",
        ]
        for title, kind in ("`GET /v1/status`", "status"), ("`POST /v1/purge`, a tag", "order"):
            lines.append(
                f"| {title} | {one[f'{kind}_count']} | {one[f'{kind}_p50_ms']:.2f} "
                f"| {one[f'{kind}_p99_ms']:.2f} | {one[f'{kind}_max_ms']:.2f} |"
            )
    return "\n".join(lines) + "\n"


def given():
    arguments = sys.argv[1:]
    return arguments[2:] if arguments[:1] == ["--weir"] else arguments


def main():
    options = arguments()
    if len(PROCESSORS) < 2:
        raise SystemExit("bench: one processor is not enough: the load must not share it")
    root = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(root, 0o755)
    running, results = [], {}
    try:
        origin = PurgeOrigin("origin", root, 0, ORIGIN_CPU)
        running.append(origin.start())
        for name in options.servers.split(","):
            common = (name, root, origin.port, SERVER_CPU)
            if name == "weir":
                server = PurgeWeir(*common, binary=os.path.abspath(options.weir))
            else:
                server = PurgeVarnish(*common)
            running.append(server)
            server.start()
            results[name] = measured(server, options)
            running.pop().stop()
    finally:
        for server in reversed(running):
            server.stop()
        shutil.rmtree(root, ignore_errors=True)
    print(json.dumps(results, indent=2) if options.json else table(results), end="\n" if options.json else "")


if __name__ == "__main__":
    main()
