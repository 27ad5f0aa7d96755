#!/usr/bin/env python3
"""Where a server's processor time goes, in rows of tools/bench/compare.

Each server is loaded as there, once to fill it and once while perf samples its processes. The samples are put
together by what they belong to: the kernel, OpenSSL, nghttp2, the server's own code, Swift's runtime, and the other
libraries (of which the C library is most). The row `purge` is purges of tags one after the other, `start` is from
nothing to the first answer, a few times.
"""

import collections
import json
import os
import re
import shutil
import signal
import subprocess
import time
from types import SimpleNamespace

from compare import SERVERS, TITLES, Bench, Files, about, contenders
from purge import PurgeOrigin, wrk
from stage import LOAD_CPUS, ORIGIN_CPU, SERVER_CPU, Stage, parser, play, say

# How many samples a second of processor time: no divisor or multiple of what the kernel does at a rate of its own.
FREQUENCY = 1_999
OWN = "its own"
# A kind of code, and how the names of the files begin that hold it.
KINDS = {
    "kernel": r"\[kernel|\[unknown|\[guest",
    "OpenSSL": r"libcrypto|libssl",
    "nghttp2": r"libnghttp2",
    OWN: r"$",
    "Swift's runtime": r"libswift|libdispatch|libFoundation|libBlocksRuntime",
    "libraries": r".*\.so|\[vdso|ld-linux",
}
TOP = 5
# Where Weir has not always been first, beside the one that was.
USUAL = {"100k": "nginx", "h2-100k": "h2o", "h2-10m": "h2o", "miss": "haproxy", "start": "nginx",
         "purge": "varnish"}  # fmt: skip
OTHERS = ["start", "purge"]
STARTS = 5


def recording(path, *more):
    """The beginning of a command that samples."""
    return ["perf", "record", "--quiet", "-e", "cpu-clock", "-F", str(FREQUENCY), "-g", "-o", path, *more]


class Profile:
    """Samples of a server's processes, from `__enter__` to `__exit__`."""

    def __init__(self, server):
        self.server, self.path, self.own = server, os.path.join(server.directory, "perf.data"), set()

    def __enter__(self):
        pids = self.server.pids()
        # As perf has them: a file that was replaced has a remark behind its name.
        self.own = {os.path.basename(os.readlink(f"/proc/{pid}/exe").split(" (")[0]) for pid in pids}
        self.perf = subprocess.Popen(
            ["taskset", "-c", LOAD_CPUS, *recording(self.path, "-p", ",".join(map(str, pids)))],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        # Until it has its file it sees nothing.
        while not os.path.exists(self.path) and self.perf.poll() is None:
            time.sleep(0.01)
        time.sleep(0.2)
        return self

    def __exit__(self, *_):
        self.perf.send_signal(signal.SIGINT)
        problem = self.perf.communicate()[1].strip()
        if not os.path.exists(self.path) or os.path.getsize(self.path) == 0:
            raise SystemExit(f"bench: perf has nothing: {problem}")

    def shares(self):
        """Percent of the samples by kind, and by function the most: (percent, file, name)."""
        output = subprocess.run(
            ["perf", "report", "-i", self.path, "--no-children", "-g", "none", "--stdio"]
            + ["-F", "overhead,dso,symbol", "--field-separator", "\t"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        kinds, functions = dict.fromkeys(KINDS, 0.0), []
        for line in output.splitlines():
            fields = [field.strip() for field in line.split("\t")]
            if len(fields) < 3 or line.startswith("#"):
                continue
            share, file, name = float(fields[0].rstrip("%")), fields[1], fields[2]
            kinds[self.kind(file)] += share
            # Without its mark (in the kernel or not). What has no name is a place in hand-written code.
            name = re.sub(r"^\[.\]\s*", "", name)
            if not name.startswith("0x"):
                functions.append((share, file, name))
        functions.sort(reverse=True)
        return {"kinds": kinds, "functions": functions[:20]}

    def kind(self, file):
        if file in self.own:
            return OWN
        return next((kind for kind, names in KINDS.items() if re.match(names, file)), OWN)


def readable(names):
    """Names of functions without what they are made of; Swift's are mangled in perf's reports."""
    try:
        plain = subprocess.run(
            ["swift", "demangle", "--simplified"], input="\n".join(names), capture_output=True, text=True, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        plain = names
    # Nor the processor that one of the C library is for, or its version.
    spare = r"^.* in |<.*?>|\(.*|@.*|(?<=^__mem[a-z]{3})_.*|(?<=^__mem[a-z]{4})_.*"
    return {name: re.sub(spare, "", text).strip() for name, text in zip(names, plain)}


def table(found):
    """Lines of Markdown. found: (title, server, shares)"""
    used = [kind for kind in KINDS if any(one["kinds"][kind] >= 0.5 for _, _, one in found)]
    names = readable(sorted({name for _, _, one in found for _, _, name in one["functions"][:TOP]}))
    lines = ["| % of processor time | server | " + " | ".join(used) + " | most of it in |"]
    lines.append("|---|---|" + "---:|" * len(used) + "---|")
    for title, server, one in found:
        cells = " | ".join(f"{one['kinds'][kind]:.0f}" for kind in used)
        most = ", ".join(f"`{names[name]}` {share:.0f}" for share, _, name in one["functions"][:TOP])
        lines.append(f"| {title} | {server} | {cells} | {most} |")
    return "\n".join(lines) + "\n"


def of_row(bench, origin, row, names):
    """Profiles of a row of processor time."""
    found = []
    taking_part = contenders(names, bench, origin)
    try:
        for one in taking_part:
            if not one.takes_part(row):
                continue
            say(f"{one.name}: {TITLES[row]}")
            server = one.serving(row)
            bench.row(row, server, 0)
            with Profile(server) as profile:
                bench.row(row, server, 1)
            found.append((TITLES[row], one.name, profile.shares()))
    finally:
        for one in taking_part:
            one.stop()
    return found


def of_purges(bench, names):
    found = []
    for name in names:
        kind = SERVERS[name]
        if not kind.tagged:
            continue
        say(f"{name}: purges")
        origin = PurgeOrigin("purge-origin", bench.root, 0, ORIGIN_CPU)
        server = None
        try:
            origin.start()
            server = kind.tagged(f"purge-{name}", bench.root, origin.port, bench.options.weir)
            server.start()
            wrk(server, "purge.lua", 1, "tag")
            with Profile(server) as profile:
                wrk(server, "purge.lua", bench.seconds, "tag")
            found.append(("purges of tags", name, profile.shares()))
        finally:
            for one in (server, origin):
                if one:
                    one.stop()
                    shutil.rmtree(one.directory, ignore_errors=True)
    return found


def of_starts(bench, origin, names):
    found = []
    for name in names:
        say(f"{name}: starts")
        several = [of_start(bench, origin, name, number) for number in range(STARTS)]
        kinds = {kind: sum(one["kinds"][kind] for one in several) / STARTS for kind in KINDS}
        functions = collections.Counter()
        for one in several:
            for share, file, function in one["functions"]:
                functions[file, function] += share / STARTS
        most = [(share, file, function) for (file, function), share in functions.most_common(20)]
        found.append(("cold start", name, {"kinds": kinds, "functions": most}))
    return found


def of_start(bench, origin, name, number):
    server = SERVERS[name](f"start-{name}-{number}", bench.root, origin.port, SERVER_CPU, 1_000, bench.options.weir)
    profile, spawn = Profile(server), server.spawn

    def sampled(*command):
        profile.own.add(os.path.basename(os.path.realpath(shutil.which(command[0]) or command[0])))
        return spawn(*recording(profile.path, "--", *command))

    server.spawn = sampled
    try:
        bench.first_answer(server)
    finally:
        server.stop()
    try:
        return profile.shares()
    finally:
        shutil.rmtree(server.directory, ignore_errors=True)


def put_into(path, text):
    begin, end = "<!-- profiles -->\n", "<!-- end -->\n"
    with open(path) as file:
        page = file.read()
    if begin not in page:
        raise SystemExit(f"bench: {path} has no line {begin.strip()}")
    before, rest = page.split(begin, 1)
    with open(path, "w") as file:
        file.write(before + begin + text + end + rest.split(end, 1)[1])


def main():
    made = parser("profiles", __doc__)
    made.add_argument("--servers", help="which of them, separated by commas (weir and the one to beat)")
    made.add_argument("--only", default=",".join(USUAL), metavar="ROW,…", help="of " + ", ".join([*TITLES, *OTHERS]))
    made.add_argument("--seconds", type=int, default=4, help="length of a row (4)")
    made.add_argument("--json", action="store_true", help="print twenty functions of each as JSON instead")
    made.add_argument("--out", metavar="FILE", help="put the table between the markers <!-- profiles --> of FILE")
    options = made.parse_args()
    rows = options.only.split(",")
    if unknown := set(rows) - {*TITLES, *OTHERS}:
        made.error(f"unknown row {', '.join(sorted(unknown))}")
    if unknown := set((options.servers or "weir").split(",")) - set(SERVERS):
        made.error(f"unknown server {', '.join(sorted(unknown))}")
    found = []
    with Stage() as stage:
        origin = stage.start(Files("origin", stage.root, 0, ORIGIN_CPU))
        how = SimpleNamespace(weir=options.weir, replay=options.weir, seconds=options.seconds, quick=False)
        bench = Bench(how, stage.root)
        for row in rows:
            names = options.servers.split(",") if options.servers else ["weir", USUAL.get(row, "nginx")]
            if row == "purge":
                found += of_purges(bench, names)
            elif row == "start":
                found += of_starts(bench, origin, names)
            else:
                found += of_row(bench, origin, row, names)
    if not found:
        raise SystemExit("bench: there is nothing to profile")
    report = about({name: None for _, name, _ in found}, "profiles") + table(found)
    if options.out:
        put_into(options.out, report)
    print(json.dumps(found, indent=2) if options.json else report, end="")


if __name__ == "__main__":
    play(main)
