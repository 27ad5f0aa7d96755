#!/usr/bin/env python3
"""Weir and the other caches on the same work.

Each server has one worker and, with all its processes, processor 0; the generator and the origin have the
others. Each is configured as its own documentation advises for this work: tools/bench/configs/compare-*. Those
that are not installed are left out. The rows of processor time are measured in rounds that take the servers in
turn, and of each server's rounds the one with the least time counts: what disturbs adds, and never takes away.
All else is measured of one server after the other. Read the processor time per request first: the rate depends
on the generator too. H2O has no cache of responses: it serves files of its own, where that is comparable.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time

from measure import congestion, connect_idle, machine, sys_arguments, version
from purge import PurgeOrigin, PurgeVarnish, PurgeWeir, fill, purge_all, rate, wrk
from servers import Origin, Server, free_port, wait_for_port
from stage import LOAD_CPUS, ORIGIN_CPU, SERVER_CPU, Stage, parser, play, say

CLIENTS = 64
# The rows of processor time. key: title, path, objects, over what
HITS = {
    "1k": ("hit, 1 KiB", "1k", 1_000, "plain"),
    "100k": ("hit, 100 KiB", "100k", 200, "plain"),
    "10m": ("hit, 10 MiB", "10m", 2, "plain"),
    "limited": ("hit, 1 KiB, limited by address", "limited/1k", 1_000, "plain"),
    "tls-1k": ("hit, 1 KiB, TLS", "1k", 1_000, "tls"),
    "h2-1k": ("hit, 1 KiB, TLS, HTTP/2", "1k", 1_000, "h2"),
    "h2-100k": ("hit, 100 KiB, TLS, HTTP/2", "100k", 200, "h2"),
    "h2-10m": ("hit, 10 MiB, TLS, HTTP/2", "10m", 2, "h2"),
}
MISS = "miss, 1 KiB"
TITLES = {key: title for key, (title, *_) in HITS.items()} | {"miss": MISS}
# And the others.
OTHERS = ["collapse", "trace", "idle", "stored", "purge"]
ROWS = list(TITLES) + OTHERS
SIZES = {"1k": 1 << 10, "100k": 100 << 10, "10m": 10 << 20}
# Objects that are stored for the figures of memory and of a restart, and those that carry one tag.
STORED = 20_000
TAGGED = 100_000


def certify(directory):
    """Puts a certificate of its own into a directory."""
    key, certificate = f"{directory}/key.pem", f"{directory}/cert.pem"
    if os.path.exists(key):
        return
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt"]
        + ["ec_paramgen_curve:P-256", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    with open(f"{directory}/both.pem", "w") as both:
        for name in certificate, key:
            with open(name) as part:
                both.write(part.read())


class Files(Origin):
    """The origin."""

    def launch(self):
        for name, size in SIZES.items():
            with open(os.path.join(self.directory, name), "wb") as file:
                file.write(os.urandom(size))
        config = self.configure("compare-origin.conf")
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")


class Cache(Server):
    """A cache of so many MiB."""

    needs = None
    # Whether it has responses of an origin, limits, TLS, a store that outlives it, and tags (how it is then run).
    caches = True
    limits = secures = lasts = False
    tagged = None

    def __init__(self, name, root, origin, cpus, mib, binary):
        super().__init__(name, root, origin, cpus)
        self.mib, self.binary, self.secure = mib, binary, free_port()

    def configure(self, template, **values):
        certify(self.directory)
        return super().configure(template, MIB=self.mib, TLS=self.secure, **values)

    def give_away(self):
        """For servers that do not want to be root: all files to nobody."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "nobody", self.directory], check=True)


class Weir(Cache):
    limits = secures = lasts = True

    @staticmethod
    def tagged(name, root, origin, weir):
        return PurgeWeir(name, root, origin, SERVER_CPU, binary=weir)

    def launch(self):
        self.spawn(self.binary, "run", self.configure("compare-weir.conf"))


class Nginx(Cache):
    needs = "nginx"
    sendfile = "off"
    limits = secures = lasts = True

    def launch(self):
        config = self.configure("compare-nginx.conf", SENDFILE=self.sendfile)
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")


class NginxForLarge(Nginx):
    """What is dear for small answers is cheap for large ones."""

    sendfile = "on"


class Varnish(Cache):
    needs = "varnishd"

    @staticmethod
    def tagged(name, root, origin, _):
        return PurgeVarnish(name, root, origin, SERVER_CPU)

    def launch(self):
        work = os.path.join(self.directory, "work")
        jail = ["-j", "none"] if os.geteuid() == 0 else []
        self.spawn(
            "varnishd", *jail, "-F", "-n", work, "-a", f"127.0.0.1:{self.port}",
            "-f", self.configure("varnish.vcl"), "-s", f"malloc,{self.mib}m",
            "-p", "thread_pools=1", "-p", "timeout_idle=300",
        )  # fmt: skip
        wait_for_port(self.port, self.processes, self.name)
        self.spawn("varnishncsa", "-n", work, "-w", f"{self.directory}/access.log")


class HAProxy(Cache):
    needs = "haproxy"
    limits = secures = True

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.mib = min(self.mib, 4095)

    def launch(self):
        self.spawn("haproxy", "-db", "-f", self.configure("compare-haproxy.cfg"))


class Squid(Cache):
    needs = "squid"

    def launch(self):
        config = self.configure("compare-squid.conf")
        self.give_away()
        self.spawn("squid", "-N", "-n", f"bench{self.port}", "-f", config)


class TrafficServer(Cache):
    needs = "traffic_server"
    secures = lasts = True

    def launch(self):
        base = os.path.join(self.directory, "ats")
        for name in "etc", "log", "run", "cache":
            os.makedirs(os.path.join(base, name), exist_ok=True)
        records = self.configure("compare-ats-records.config", RAM=min(self.mib, 1024) << 20)
        shutil.copy(records, os.path.join(base, "etc", "records.config"))
        with open(os.path.join(base, "etc", "remap.config"), "w") as file:
            file.write(f"map / http://127.0.0.1:{self.origin}/\n")
        with open(os.path.join(base, "etc", "storage.config"), "w") as file:
            file.write(f"{base}/cache {max(self.mib, 64)}M\n")
        with open(os.path.join(base, "etc", "ip_allow.yaml"), "w") as file:
            file.write("ip_allow:\n- apply: in\n  ip_addrs: 0/0\n  action: allow\n  methods: ALL\n")
        with open(os.path.join(base, "etc", "ssl_multicert.config"), "w") as file:
            file.write("dest_ip=* ssl_cert_name=cert.pem ssl_key_name=key.pem\n")
        for name in "plugin.config", "cache.config":
            open(os.path.join(base, "etc", name), "w").close()
        environment = {
            "PROXY_CONFIG_CONFIG_DIR": f"{base}/etc",
            "PROXY_CONFIG_BIN_PATH": "/usr/bin",
            "PROXY_CONFIG_LOG_LOGFILE_DIR": f"{base}/log",
            "PROXY_CONFIG_LOCAL_STATE_DIR": f"{base}/run",
            "PROXY_CONFIG_ADMIN_USER_ID": "nobody" if os.geteuid() == 0 else "#-1",
        }
        self.give_away()
        self.spawn("env", *(f"{name}={value}" for name, value in environment.items()), "traffic_server")


class H2O(Cache):
    """No cache: files of its own, each under the name that the others are asked for."""

    needs = "h2o"
    caches = False
    secures = True

    def launch(self):
        config = self.configure("compare-h2o.conf", OWNER="user: root" if os.geteuid() == 0 else "")
        for path, count in {(path, count) for _, path, count, _ in HITS.values() if path in SIZES}:
            folder = os.path.join(self.directory, "files", path)
            os.makedirs(folder, exist_ok=True)
            for number in range(count):
                with open(os.path.join(folder, str(number)), "wb") as file:
                    file.write(os.urandom(SIZES[path]))
        self.spawn("h2o", "-c", config)


SERVERS = {
    "weir": Weir,
    "nginx": Nginx,
    "varnish": Varnish,
    "haproxy": HAProxy,
    "trafficserver": TrafficServer,
    "squid": Squid,
    "h2o": H2O,
}


# The work


class Bench:
    def __init__(self, options, root):
        self.options, self.root = options, root
        self.seconds = options.seconds

    def recording(self, name, lines):
        path = os.path.join(self.root, name)
        if not os.path.exists(path):
            with open(path, "w") as file:
                file.write("\n".join(lines) + "\n")
        return path

    def replay(self, server, recording, *more, secure=False):
        """Replays at a server; the report, and the server's processor time for each answer."""
        before = sum(server.cpu())
        to = f"https://127.0.0.1:{server.secure}" if secure else f"http://127.0.0.1:{server.port}"
        output = subprocess.run(
            ["taskset", "-c", LOAD_CPUS, self.options.replay, "replay", recording, "--json", "--quiet"]
            + ["--to", to, "--pace", "max", *more],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        report = json.loads(output)
        report["cpu_us"] = (sum(server.cpu()) - before) / max(report["answers"], 1) * 1e6
        return report

    def hits(self, server, path, count, *more, secure=False):
        """Hits of so many objects; each is fetched once before."""
        names = [f"/{path}/{number}" for number in range(count)]
        random.Random(1).shuffle(names)
        recording = self.recording(f"hits-{path.replace('/', '-')}", names)
        self.replay(server, recording, "--clients", "4", "--timeout", "60", *more, secure=secure)
        return self.replay(
            server, recording, "--clients", str(CLIENTS), "--loops", "0", "--timeout", "60",
            "--duration", str(self.seconds), *more, secure=secure,
        )  # fmt: skip

    def row(self, key, server, number):
        """One round of a row of processor time."""
        if key == "miss":
            return self.misses(server, number)
        _, path, count, over = HITS[key]
        how = [] if over == "plain" else ["--insecure"]
        if over == "h2":
            # TLS 1.3; 16 connections of 32 streams, of 10 MiB with fewer.
            streams, clients = (4, 16) if path == "10m" else (32, 512)
            how += ["--http2", "--streams", str(streams), "--clients", str(clients)]
        return self.hits(server, path, count, *how, secure=over != "plain")

    def misses(self, server, number):
        names = [f"/1k/miss-{number}-{index}" for index in range(20_000)]
        return self.replay(
            server, self.recording(f"misses-{number}", names), "--clients", str(CLIENTS), "--loops", "0",
            "--shift-keys", "--duration", str(self.seconds),
        )  # fmt: skip

    def collapse(self, server, origin):
        """A thousand clients ask at once for what takes the origin two seconds; how often it is asked."""
        recording = self.recording("collapse", ["/slow/one"] * 1_000)
        before = origin.requests()
        self.replay(server, recording, "--clients", "1000", "--timeout", "120")
        return origin.requests() - before - 1

    def idle(self, server, count):
        before = server.memory()
        connections = connect_idle(server.port, count)
        time.sleep(1)
        added = (server.memory() - before) / count
        for connection in connections:
            connection.close()
        return added

    def stored(self, kind, origin):
        """A server that begins with nothing: its start, what 20,000 objects of 1 KiB take, and what is left of
        them after a kill -9."""
        recording = self.recording("stored", [f"/1k/kept-{number}" for number in range(STORED)])
        server = kind(f"stored-{kind.__name__}", self.root, origin.port, SERVER_CPU, 1_000, self.options.weir)
        try:
            result = {"cold_ms": self.first_answer(server)}
            time.sleep(1)
            before = server.memory()
            self.replay(server, recording, "--clients", "16")
            time.sleep(1)
            result["object"] = (server.memory() - before) / STORED
            if server.lasts:
                # What is written down now and then has been by now.
                time.sleep(2)
                for pid in server.pids():
                    os.kill(pid, signal.SIGKILL)
                for process in server.processes:
                    process.wait()
                server.processes.clear()
                result["restart_ms"] = self.first_answer(server)
                asked = origin.requests()
                self.replay(server, recording, "--clients", "16")
                result["warm"] = 1 - (origin.requests() - asked - 1) / STORED
            return result
        finally:
            server.stop()
            shutil.rmtree(server.directory, ignore_errors=True)

    def first_answer(self, server):
        """Starts a server; how many ms pass until it has given an answer."""
        begin = time.monotonic()
        server.launch()
        while True:
            try:
                with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
                    connection.sendall(b"GET /1k/kept-0 HTTP/1.0\r\nHost: bench\r\n\r\n")
                    if connection.recv(4096)[8:12] == b" 200":
                        return (time.monotonic() - begin) * 1_000
            except OSError:
                pass
            if time.monotonic() - begin > 60:
                raise SystemExit(f"{server.name} does not answer")
            time.sleep(0.002)

    def purge(self, kind):
        """Objects that all carry one tag: what its purge takes, and tags that few carry, one after the other."""
        count = TAGGED // 10 if self.options.quick else TAGGED
        origin = PurgeOrigin("purge-origin", self.root, 0, ORIGIN_CPU)
        server = None
        try:
            origin.start()
            server = kind.tagged(f"purge-{kind.__name__}", self.root, origin.port, self.options.weir)
            server.start()
            before = sum(server.cpu())
            output = wrk(server, "purge.lua", self.seconds, "tag")
            spent = sum(server.cpu()) - before
            fill(server, "/tagged/", count)
            answer, seen = purge_all(server, count)
            return {
                "rate": rate(output), "cpu_us": spent / (rate(output) * self.seconds) * 1e6,
                "objects": count, "answer_ms": answer, "seen": seen,
            }  # fmt: skip
        finally:
            for one in (server, origin):
                if one:
                    one.stop()
                    shutil.rmtree(one.directory, ignore_errors=True)

    def trace(self, kind):
        """A trace by Zipf's law whose objects are twenty times what the store holds, through a new server."""
        count = 20_000 if self.options.quick else 200_000
        draw, objects = random.Random(7), 20_000
        weights = [1 / (rank + 1) ** 0.9 for rank in range(objects)]
        keys = draw.choices(range(objects), weights, k=count)
        recording = self.recording(
            f"trace-{count}.csv", ["time,key,size"] + [f"0,{key},{(key * 7919) % 65536 + 256}" for key in keys]
        )
        origin = StandIn("stand-in", self.root, 0, ORIGIN_CPU, self.options.replay, recording)
        server = kind(f"trace-{kind.__name__}", self.root, origin.port, SERVER_CPU, 32, self.options.weir)
        try:
            origin.start()
            server.start()
            report = self.replay(server, recording, "--clients", "16")
        finally:
            server.stop()
            figures = origin.figures()
            shutil.rmtree(origin.directory)
        figures["cpu_us"] = report["cpu_us"]
        figures["hit_ratio"] = 1 - figures["requests"] / report["answers"]
        figures["byte_hit_ratio"] = 1 - figures["bytes"] / report["contentBytes"]
        return figures


class StandIn(Server):
    """The trace's origin."""

    def __init__(self, name, root, origin, cpus, binary, recording):
        super().__init__(name, root, origin, cpus)
        self.binary, self.recording = binary, recording

    def launch(self):
        self.output = open(os.path.join(self.directory, "figures"), "w+")
        command = [self.binary, "replay", self.recording, "--origin", "--listen", f"127.0.0.1:{self.port}"]
        self.processes.append(
            subprocess.Popen(["taskset", "-c", self.cpus, *command], stdout=self.output)
        )

    def figures(self):
        self.stop()
        self.output.seek(0)
        text = self.output.read()
        self.output.close()
        return json.loads(text)


class Contender:
    """A server that takes part, and what was measured of it."""

    def __init__(self, name, kind, root, origin, weir):
        self.name, self.kind, self.result = name, kind, {}
        common = (root, origin.port, SERVER_CPU, 4_000, weir)
        self.server = kind(name, *common)
        self.large = NginxForLarge(f"{name}-large", *common) if kind is Nginx else self.server

    def start(self):
        for server in {self.server, self.large}:
            server.start()

    def stop(self):
        for server in {self.server, self.large}:
            server.stop()
            shutil.rmtree(server.directory, ignore_errors=True)

    def takes_part(self, row):
        if row in HITS:
            over = HITS[row][3]
            return self.kind.limits if row == "limited" else over == "plain" or self.kind.secures
        if row == "purge":
            return self.kind.tagged is not None
        return row == "idle" or self.kind.caches

    def attempt(self, row, work):
        """Measures a row; one that fails is left out, and the others are measured all the same."""
        say(f"{self.name}: {TITLES.get(row, row)}")
        try:
            return work()
        except (SystemExit, subprocess.CalledProcessError, OSError) as problem:
            say(f"{self.name} is left out of it: {problem}")
            return None

    def serving(self, row):
        """The one of its servers that has a row's work."""
        return self.large if row in HITS and not HITS[row][1].endswith("1k") else self.server

    def round(self, bench, row, number):
        """A round of a row of processor time; the best counts."""
        one = self.attempt(row, lambda: bench.row(row, self.serving(row), number))
        best = self.result.get(TITLES[row])
        if one and (best is None or one["cpu_us"] < best["cpu_us"]):
            self.result[TITLES[row]] = one

    def other(self, bench, row, origin):
        """A row that is measured once."""
        work = {
            "idle": lambda: bench.idle(self.server, 200 if bench.options.quick else 2_000),
            "collapse": lambda: bench.collapse(self.server, origin),
            "stored": lambda: bench.stored(self.kind, origin),
            "trace": lambda: bench.trace(self.kind),
            "purge": lambda: bench.purge(self.kind),
        }[row]
        found = self.attempt(row, work)
        if found is None:
            return
        self.result |= found if row == "stored" else {row: found}


def contenders(names, bench, origin):
    """Those that are there and come up."""
    found = []
    for name in names:
        kind = SERVERS[name]
        if kind.needs and not shutil.which(kind.needs, path=os.environ["PATH"] + ":/usr/sbin"):
            say(f"{name} is not installed and left out")
            continue
        one = Contender(name, kind, bench.root, origin, bench.options.weir)
        try:
            one.start()
            found.append(one)
        except (SystemExit, subprocess.CalledProcessError, OSError) as problem:
            say(f"{name} is left out: {problem}")
            one.stop()
    return found


def measured(bench, names, rows, origin):
    taking_part = contenders(names, bench, origin)
    try:
        # Idle connections first, while memory holds nothing else.
        if "idle" in rows:
            for one in taking_part:
                one.other(bench, "idle", origin)
        for row in [row for row in TITLES if row in rows]:
            for number in range(bench.options.rounds):
                for one in taking_part:
                    if one.takes_part(row):
                        one.round(bench, row, number)
        for one in taking_part:
            if "collapse" in rows and one.takes_part("collapse"):
                one.other(bench, "collapse", origin)
    finally:
        for one in taking_part:
            one.stop()
    # These have servers of their own, each alone.
    for row in "stored", "trace", "purge":
        for one in taking_part:
            if row in rows and one.takes_part(row):
                one.other(bench, row, origin)
    return {one.name: one.result for one in taking_part}


# Reports


def table(results):
    """All rows that somebody has taken part in."""
    lines = ["| CPU µs/request (requests/s) | " + " | ".join(results) + " |", "|---|" + "---:|" * len(results)]
    for row in TITLES.values():
        best = min((one[row]["cpu_us"] for one in results.values() if row in one), default=0)
        cells = []
        for one in results.values():
            if row not in one:
                cells.append("–")
                continue
            cell = f"{one[row]['cpu_us']:,.1f}"
            cell = f"**{cell}**" if one[row]["cpu_us"] == best else cell
            failed = f", {one[row]['failed']:,} failed" if one[row]["failed"] else ""
            cells.append(f"{cell} ({one[row]['rate']:,.0f}{failed})")
        if any(row in one for one in results.values()):
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
    others = [
        ("origin asked by 1,000 clients for one key", "collapse", lambda it: f"{it:,}"),
        ("trace: hit ratio", "trace", lambda it: f"{it['hit_ratio']:.3f}"),
        ("trace: byte hit ratio", "trace", lambda it: f"{it['byte_hit_ratio']:.3f}"),
        ("trace: requests to the origin", "trace", lambda it: f"{it['requests']:,}"),
        ("trace: CPU µs/request", "trace", lambda it: f"{it['cpu_us']:.1f}"),
        ("an idle connection, KiB", "idle", lambda it: f"{it / 1024:.2f}"),
        ("an object of 1 KiB, private memory, bytes", "object", lambda it: f"{it:,.0f}"),
        ("cold: from nothing to the first answer, ms", "cold_ms", lambda it: f"{it:,.0f}"),
        ("warm: kill -9 to the first answer, ms", "restart_ms", lambda it: f"{it:,.0f}"),
        ("of the objects then still stored", "warm", lambda it: f"{it:.1%}"),
        ("one tag's purges: a second", "purge", lambda it: f"{it['rate']:,.0f}"),
        ("one tag's purges: CPU µs each", "purge", lambda it: f"{it['cpu_us']:.1f}"),
        ("purge of a tag that all objects carry: answer, ms", "purge",
         lambda it: f"{it['answer_ms']:.1f} ({it['objects']:,})"),
        ("of the next 16 requests, those that see it", "purge", lambda it: f"{it['seen']}"),
    ]  # fmt: skip
    for title, key, cell in others:
        if any(key in one for one in results.values()):
            cells = (cell(one[key]) if key in one else "–" for one in results.values())
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def about(results, script="compare"):
    """The machine, the versions and the command, as every table of docs/benchmarks.md has them."""
    versions = {
        "haproxy": "HAProxy " + version("haproxy", "-v"), "trafficserver":
        "Traffic Server " + version("traffic_server", "-V"), "squid": "Squid " + version("squid", "-v"),
        "h2o": "H2O " + version("h2o", "--version"),
    } if results else {}  # fmt: skip
    more = ", ".join(text for name, text in versions.items() if name in results)
    return (
        machine(congestion()) + (f" {more}." if more else "")
        + f"\n\n    tools/bench/{script} {' '.join(sys_arguments())}".rstrip() + "\n\n"
    )  # fmt: skip


def chart(results):
    """Bars of the processor time of each row, against the largest."""
    height, y, body = 0, 8, ""
    for row in TITLES.values():
        largest = max((one[row]["cpu_us"] for one in results.values() if row in one), default=0)
        if largest == 0:
            continue
        body += f'<text class="h" x="0" y="{y + 12}">{row}: CPU µs a request</text>'
        y += 20
        for name, one in results.items():
            if row not in one:
                continue
            width = 420 * one[row]["cpu_us"] / largest
            style = "w" if name == "weir" else "o"
            body += f'<text x="96" y="{y + 11}" text-anchor="end">{name}</text>'
            body += f'<rect class="{style}" x="104" y="{y}" width="{width:.1f}" height="14" rx="2"/>'
            body += f'<text x="{112 + width:.1f}" y="{y + 11}">{one[row]["cpu_us"]:,.1f}</text>'
            y += 18
        y += 10
    height = y
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 {height}" width="620" height="{height}">'
        "<style>text{font:12px system-ui,sans-serif;fill:#333}.h{font-weight:600}.w{fill:#1666c0}.o{fill:#9aa5b1}"
        "@media(prefers-color-scheme:dark){text{fill:#dde3ea}.w{fill:#5aa9f8}.o{fill:#5b6672}}</style>"
        f"{body}</svg>\n"
    )


def put_into(path, text, drawing):
    """Replaces what stands between the markers; the chart goes beside the page."""
    begin, end = "<!-- compare -->\n", "<!-- end -->\n"
    with open(path) as file:
        page = file.read()
    if begin not in page:
        raise SystemExit(f"bench: {path} has no line {begin.strip()}")
    before, rest = page.split(begin, 1)
    after = rest.split(end, 1)[1]
    name = "benchmarks-compare.svg"
    with open(os.path.join(os.path.dirname(path) or ".", name), "w") as file:
        file.write(drawing)
    with open(path, "w") as file:
        file.write(f"{before}{begin}![Processor time of a request]({name})\n\n{text}{end}{after}")


def main():
    made = parser("compare", __doc__)
    made.add_argument("--replay", help="the weir that replays, if it is another")
    made.add_argument("--servers", default=",".join(SERVERS), help="which of them, separated by commas")
    made.add_argument("--only", default=",".join(ROWS), metavar="ROW,…", help="of " + ", ".join(ROWS))
    made.add_argument("--rounds", type=int, default=1, help="rounds of each row of processor time (1)")
    made.add_argument("--seconds", type=int, default=8, help="length of a round (8)")
    made.add_argument("--quick", action="store_true", help="rounds of one second, a short trace, fewer objects to be purged")
    made.add_argument("--json", action="store_true", help="print all figures as JSON instead of a table")
    made.add_argument("--out", metavar="FILE", help="put the table between the markers <!-- compare --> of FILE")
    options = made.parse_args()
    options.replay = os.path.abspath(options.replay or options.weir)
    if options.quick:
        options.seconds = 1
    names, rows = options.servers.split(","), options.only.split(",")
    if unknown := set(names) - set(SERVERS):
        made.error(f"unknown server {', '.join(sorted(unknown))}")
    if unknown := set(rows) - set(ROWS):
        made.error(f"unknown row {', '.join(sorted(unknown))}")
    with Stage() as stage:
        origin = stage.start(Files("origin", stage.root, 0, ORIGIN_CPU))
        results = measured(Bench(options, stage.root), names, rows, origin)
    if not results:
        raise SystemExit("bench: there is nothing to compare")
    report = about(results) + table(results)
    if options.out:
        put_into(options.out, report, chart(results))
    print(json.dumps(results, indent=2) if options.json else report, end="")


if __name__ == "__main__":
    play(main)
