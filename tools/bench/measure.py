#!/usr/bin/env python3
"""Cache hits of Weir beside nginx's proxy_cache and Varnish, in one run.

Each server has one worker and, with all its processes and threads, processor 0; the load
generator and the origin have the others. Every server writes an access log. A scenario is
measured in rounds that take the servers in turn; before each, every object is fetched once.
The round with the least processor time per request counts: what disturbs adds, and never
takes away.
"""

import argparse
import json
import os
import platform
import re
import socket
import subprocess
import sys
import time

from servers import Floor, Nginx, Origin, Varnish, Weir
from stage import HERE, LOAD_CPUS, ORIGIN_CPU, PROCESSORS, SERVER_CPU, Stage, play, say

OBJECTS = 10_000
CONNECTIONS = 64
SCENARIOS = [
    ("1 KiB, 10,000 objects", "/1k/", OBJECTS, "off"),
    ("1 KiB, one object", "/1k/", 1, "off"),
    ("100 KiB, 10,000 objects", "/100k/", OBJECTS, "on"),
    ("100 KiB, one object", "/100k/", 1, "on"),
]


def arguments():
    parser = argparse.ArgumentParser(
        prog="tools/bench/hit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--servers", default="weir,nginx,varnish", help="of weir, weir-json (its own log format), "
        "nginx, varnish, floor (an epoll loop and nothing else), separated by commas")
    add("--rounds", type=int, default=3, help="rounds per scenario (3)")
    add("--seconds", type=int, default=8, help="length of a round (8)")
    add("--idle", type=int, default=5_000, help="idle connections for their memory (5000)")
    add("--quick", action="store_true", help="one round of 3 seconds, 1,000 idle connections")
    add("--json", action="store_true", help="print all figures as JSON instead of tables")
    add("--out", metavar="FILE", help="put the tables between the markers <!-- hit --> of FILE")
    add("--congestion", metavar="NAME", help="congestion control of the run (as root; put back)")
    add("--weir", metavar="BINARY", help="the weir that is measured (tools/bench/hit builds it)")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.idle = 1, 3, 1_000
    options.servers = [name for name in options.servers.split(",") if name]
    unknown = set(options.servers) - {"weir", "weir-json", "nginx", "varnish", "floor"}
    if unknown:
        parser.error(f"unknown server {', '.join(sorted(unknown))}")
    if {"weir", "weir-json"} & set(options.servers) and not options.weir:
        parser.error("--weir must name the binary")
    return options


def congestion(name=None):
    """The machine's congestion control, which all connections of the run have; sets it if named."""
    path = "/proc/sys/net/ipv4/tcp_congestion_control"
    if name:
        with open(path, "w") as setting:
            setting.write(name)
    with open(path) as setting:
        return setting.read().strip()


# Processors: 0 for what is measured, the last for the origin, all but 0 for the load.


def started(options, root, origin):
    """Each server under its name; two of nginx, with sendfile and without."""
    common = (root, origin.port, SERVER_CPU)
    running = {}
    for name in options.servers:
        if name == "weir":
            running["weir"] = Weir("weir", *common, binary=os.path.abspath(options.weir))
        elif name == "weir-json":
            running[name] = Weir(name, *common, binary=os.path.abspath(options.weir), log="json")
        elif name == "floor":
            running["floor"] = Floor("floor", *common)
        elif name == "varnish":
            running["varnish"] = Varnish("varnish", *common)
        else:
            for sendfile in "off", "on":
                server = Nginx(f"nginx-{sendfile}", *common, sendfile=sendfile)
                running[server.name] = server
    return running


def instance(running, name, sendfile):
    return running[f"nginx-{sendfile}" if name == "nginx" else name]


# Load


def fetch_all(server, prefix, count):
    """Fetches every object once, so that the server has them all."""
    last = count - 1
    glob = f"http://127.0.0.1:{server.port}{prefix}" + ("[0-%d]" % last if last else "0")
    subprocess.run(
        ["taskset", "-c", LOAD_CPUS, "curl", "-sSf", "-o", "/dev/null", glob], check=True
    )


def load(server, prefix, count, seconds, requests="objects.lua"):
    """Runs the load generator; returns how many requests, and how long it took."""
    threads = max(1, len(PROCESSORS) - 2)
    script = os.path.join(HERE, "configs", requests)
    url = f"http://127.0.0.1:{server.port}"
    output = subprocess.run(
        ["taskset", "-c", LOAD_CPUS, "wrk", f"-t{threads}", f"-c{CONNECTIONS}", f"-d{seconds}s"]
        + ["-s", script, url, "--", prefix, str(count)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    if "Socket errors" in output or "Non-2xx" in output:
        raise SystemExit(f"bench: {server.name} failed under load:\n{output}")
    requests = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    return requests, requests / rate


def measured(server, origin, prefix, count, seconds):
    fetch_all(server, prefix, count)
    asked = origin.requests()
    user, system = server.cpu()
    requests, elapsed = load(server, prefix, count, seconds)
    user, system = server.cpu()[0] - user, server.cpu()[1] - system
    misses = origin.requests() - asked - 1
    if misses > requests / 1000:
        raise SystemExit(f"bench: {server.name} missed {misses} of {requests} times; no hits")
    return {
        "requests": requests,
        "requests_per_second": requests / elapsed,
        "cpu_us": (user + system) / requests * 1e6,
        "user_us": user / requests * 1e6,
        "busy": (user + system) / elapsed,
        "misses": misses,
    }


def scenarios(options, running, origin):
    results = {}
    for title, prefix, count, sendfile in SCENARIOS:
        rounds = {name: [] for name in options.servers}
        for number in range(options.rounds):
            for name in options.servers:
                say(f"{title}: round {number + 1} of {options.rounds}, {name}")
                server = instance(running, name, sendfile)
                rounds[name].append(measured(server, origin, prefix, count, options.seconds))
        results[title] = {
            name: min(figures, key=lambda one: one["cpu_us"]) for name, figures in rounds.items()
        }
    return results


# Memory


def connect_idle(port, count):
    """Opens connections that have had one answer each, and are kept."""
    request = b"GET /1k/0 HTTP/1.1\r\nHost: bench\r\n\r\n"
    connections = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), 10)
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += receive(connection)
        head, content = answer.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
        while len(content) < length:
            content += receive(connection)
        connections.append(connection)
    return connections


def receive(connection):
    part = connection.recv(65536)
    if not part:
        raise SystemExit("bench: a server closed a connection that it should keep")
    return part


def memory(options, running):
    """Private memory with an empty store, and what an idle connection adds."""
    results = {}
    for name in options.servers:
        say(f"memory: {name}, {options.idle} idle connections")
        server = instance(running, name, "off")
        time.sleep(1)
        empty = server.memory()
        for connection in connect_idle(server.port, 100):
            connection.close()
        time.sleep(1)
        before = server.memory()
        connections = connect_idle(server.port, options.idle)
        time.sleep(1)
        after = server.memory()
        for connection in connections:
            connection.close()
        results[name] = {
            "empty_bytes": empty,
            "idle_connection_bytes": (after - before) / options.idle,
        }
    return results


# Reports


def ratio(results, name, key):
    weir = results.get("weir")
    return f"{results[name][key] / weir[key]:.2f}" if weir and weir[key] else "–"


def tables(hits, memories, control):
    lines = [machine(control), "", f"    tools/bench/hit {' '.join(sys_arguments())}".rstrip(), ""]
    lines += [
        "| hit | server | requests/s | CPU µs/request | of it user | CPU to Weir's |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for title, results in hits.items():
        for name, one in results.items():
            lines.append(
                f"| {title} | {name} | {one['requests_per_second']:,.0f} | {one['cpu_us']:.2f} "
                f"| {one['user_us']:.2f} | {ratio(results, name, 'cpu_us')} |"
            )
    lines += [
        "",
        "| server | private memory, empty store | an idle connection |",
        "|---|---:|---:|",
    ]
    for name, one in memories.items():
        lines.append(
            f"| {name} | {one['empty_bytes'] / 2**20:.1f} MiB "
            f"| {one['idle_connection_bytes'] / 2**10:.2f} KiB |"
        )
    return "\n".join(lines) + "\n"


def sys_arguments():
    """The arguments as the user gave them, without what tools/bench/hit added."""
    given = sys.argv[1:]
    if given[:1] == ["--weir"]:
        given = given[2:]
    kept, skip = [], False
    for argument in given:
        if skip or argument == "--out" or argument.startswith("--out="):
            skip = argument == "--out"
            continue
        kept.append(argument)
    return kept


def version(*command):
    output = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+(\.\d+)?", output.stdout + output.stderr)
    return found[0] if found else "?"


def machine(control):
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*:\s*(.*)", info.read())
    return (
        f"{len(PROCESSORS)} processors ({model[1] if model else platform.machine()}), Linux "
        f"{platform.release().split('-')[0]}, {control}; nginx {version('nginx', '-v')}, "
        f"Varnish {version('varnishd', '-V')}; {CONNECTIONS} connections."
    )


def put_into(path, text):
    """Replaces what stands between the markers; the rest of the file stays."""
    begin, end = "<!-- hit -->\n", "<!-- end -->\n"
    page = begin + end
    if os.path.exists(path):
        with open(path) as file:
            page = file.read()
    if begin not in page or end not in page.split(begin, 1)[1]:
        raise SystemExit(f"bench: {path} has no lines {begin.strip()} and {end.strip()}")
    before, rest = page.split(begin, 1)
    after = rest.split(end, 1)[1]
    with open(path, "w") as file:
        file.write(before + begin + text + end + after)


def main():
    options = arguments()
    usual = congestion()
    with Stage() as stage:
        try:
            if options.congestion:
                congestion(options.congestion)
            origin = stage.start(Origin("origin", stage.root, 0, ORIGIN_CPU))
            servers = started(options, stage.root, origin)
            for server in servers.values():
                stage.start(server)
            memories = memory(options, servers)
            hits = scenarios(options, servers, origin)
        finally:
            if options.congestion:
                congestion(usual)
    report = tables(hits, memories, options.congestion or usual)
    if options.out:
        put_into(options.out, report)
    if options.json:
        print(json.dumps({"hits": hits, "memory": memories}, indent=2))
    else:
        print(report, end="")


if __name__ == "__main__":
    play(main)
