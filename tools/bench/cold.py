#!/usr/bin/env python3
"""How long hot hits take while cold ones are read from the disk, of Weir beside nginx, in one run.

Each server has one worker on processor 0 and a control group whose memory is a fraction of what it
has stored. First it serves 1,000 objects of 1 KiB alone; then the same while other clients read
objects of 100 KiB, drawn evenly from all that are stored: most of these must come from the disk. The
load generators have the other processors. Needs root, for the control groups.
"""

import os
import re
import subprocess

import measure
from servers import Nginx, Origin, Weir
from stage import HERE, LOAD_CPUS, ORIGIN_CPU, SERVER_CPU, Stage, parser, play, say

HOT = ("/1k/", 1_000)


class Group:
    """A control group with a limit on its memory, of either version."""

    def __init__(self, name, limit):
        one = os.path.isdir("/sys/fs/cgroup/memory")
        parent = "/sys/fs/cgroup/memory" if one else "/sys/fs/cgroup"
        self.path = f"{parent}/weir-bench-{os.getpid()}-{name}"
        os.mkdir(self.path)
        with open(f"{self.path}/{'memory.limit_in_bytes' if one else 'memory.max'}", "w") as file:
            file.write(str(limit))

    def command(self, *command):
        return "sh", "-c", f'echo $$ > {self.path}/cgroup.procs; exec "$@"', "sh", *command

    def remove(self):
        os.rmdir(self.path)


class Grouped:
    """A server in a control group."""

    group = None

    def spawn(self, *command):
        return super().spawn(*self.group.command(*command))


class GroupedWeir(Grouped, Weir):
    pass


class GroupedNginx(Grouped, Nginx):
    pass


def arguments():
    options = parser("cold", __doc__)
    add = options.add_argument
    add("--objects", type=int, default=20_000, help="objects of 100 KiB that are stored (20000)")
    add("--memory", type=int, default=384, help="MiB that each server may have (384)")
    add("--seconds", type=int, default=10, help="length of each of the two measurements (10)")
    add("--readers", type=int, default=16, help="clients that read cold objects (16)")
    return options.parse_args()


def wrk(server, connections, seconds, script, prefix, count):
    path = os.path.join(HERE, "configs", script)
    return subprocess.Popen(
        ["taskset", "-c", LOAD_CPUS, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
        + ["--latency", "-s", path, f"http://127.0.0.1:{server.port}", "--", prefix, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def figures(process, server):
    output, _ = process.communicate()
    if process.returncode or "Socket errors" in output or "Non-2xx" in output:
        raise SystemExit(f"bench: {server.name} failed under load:\n{output}")
    units = {"us": 1e-3, "ms": 1, "s": 1e3}
    found = {}
    for share in "50", "99":
        value, unit = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)\b", output).groups()
        found[f"p{share}"] = float(value) * units[unit]
    value, unit = re.search(r"Latency\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)\b", output).groups()
    found["max"] = float(value) * units[unit]
    found["rate"] = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    return found


def measured(server, options):
    say(f"{server.name}: storing {options.objects} objects")
    measure.fetch_all(server, "/100k/", options.objects)
    measure.fetch_all(server, *HOT)
    # What is still to be written would be measured with it.
    os.sync()
    say(f"{server.name}: hot alone")
    alone = figures(wrk(server, 32, options.seconds, "objects.lua", *HOT), server)
    say(f"{server.name}: hot beside cold")
    cold = wrk(server, options.readers, options.seconds + 2, "random.lua", "/100k/", options.objects)
    beside = figures(wrk(server, 32, options.seconds, "objects.lua", *HOT), server)
    return {"alone": alone, "beside": beside, "cold": figures(cold, server)}


def report(options, results):
    lines = [
        measure.machine(measure.congestion()),
        "",
        f"    tools/bench/cold --objects {options.objects} --memory {options.memory}",
        "",
        "| server | | requests/s | p50, ms | p99, ms | longest, ms |",
        "|---|---|---:|---:|---:|---:|",
    ]
    titles = {"alone": "hot, alone", "beside": "hot, beside cold", "cold": "cold"}
    for name, result in results.items():
        for key, title in titles.items():
            one = result[key]
            lines.append(
                f"| {name} | {title} | {one['rate']:,.0f} | {one['p50']:.2f} | {one['p99']:.2f} "
                f"| {one['max']:.1f} |"
            )
    return "\n".join(lines)


def main():
    options = arguments()
    if os.geteuid() != 0:
        raise SystemExit("bench: control groups need root: run it by sudo")
    groups, results = [], {}
    try:
        with Stage() as stage:
            origin = stage.start(Origin("origin", stage.root, 0, ORIGIN_CPU))
            common = (stage.root, origin.port, SERVER_CPU)
            weir = GroupedWeir("weir", *common, binary=options.weir)
            nginx = GroupedNginx("nginx", *common, sendfile="on")
            for server in weir, nginx:
                server.group = Group(server.name, options.memory << 20)
                groups.append(server.group)
                results[server.name] = measured(stage.start(server), options)
                stage.stop(server)
    finally:
        # Empty by now.
        for group in groups:
            group.remove()
    print(report(options, results))


if __name__ == "__main__":
    play(main)
