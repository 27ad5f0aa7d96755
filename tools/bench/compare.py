#!/usr/bin/env python3
"""Weir and the other caches, one after the other, on the same work.

Each server has one worker and, with all its processes, processor 0; the generator and the origin have the
others. Each is configured as its own documentation advises for this work: tools/bench/configs/compare-*. Those
that are not installed are left out. Read the processor time per request first: the rate depends on the
generator too.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time

from measure import connect_idle
from servers import Origin, Server, free_port, wait_for_port
from stage import LOAD_CPUS, ORIGIN_CPU, SERVER_CPU, Stage, parser, play, say

CLIENTS = 64
# title, path, objects
HITS = [("hit, 1 KiB", "1k", 1_000), ("hit, 100 KiB", "100k", 200), ("hit, 10 MiB", "10m", 2)]
LIMITED = ("hit, 1 KiB, limited by address", "limited/1k", 1_000)
# title, path, objects, HTTP/2?
SECURE = [
    ("hit, 1 KiB, TLS", "1k", 1_000, False),
    ("hit, 1 KiB, TLS, HTTP/2", "1k", 1_000, True),
    ("hit, 100 KiB, TLS, HTTP/2", "100k", 200, True),
    ("hit, 10 MiB, TLS, HTTP/2", "10m", 2, True),
]
MISS = "miss, 1 KiB"
ROWS = [title for title, *_ in HITS] + [LIMITED[0]] + [title for title, *_ in SECURE] + [MISS]
# Objects that are stored for the figures of memory and of a restart.
STORED = 20_000


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
        for name, size in ("1k", 1 << 10), ("100k", 100 << 10), ("10m", 10 << 20):
            with open(os.path.join(self.directory, name), "wb") as file:
                file.write(os.urandom(size))
        config = self.configure("compare-origin.conf")
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")


class Cache(Server):
    """A cache of so many MiB."""

    needs = None
    limits = secures = lasts = False

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


SERVERS = {
    "weir": Weir,
    "nginx": Nginx,
    "varnish": Varnish,
    "haproxy": HAProxy,
    "trafficserver": TrafficServer,
    "squid": Squid,
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

    def secure_hits(self, server, path, count, http2):
        """Over TLS 1.3; HTTP/2 with 16 connections of 32 streams, 10 MiB with fewer."""
        how = ["--insecure"]
        if http2:
            streams, clients = (4, 16) if path == "10m" else (32, 512)
            how += ["--http2", "--streams", str(streams), "--clients", str(clients)]
        return self.hits(server, path, count, *how, secure=True)

    def misses(self, server):
        recording = self.recording("misses", [f"/1k/miss-{number}" for number in range(20_000)])
        return self.replay(
            server, recording, "--clients", str(CLIENTS), "--loops", "0", "--shift-keys",
            "--duration", str(self.seconds),
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

    def stored(self, server, origin):
        """What 20,000 objects of 1 KiB take, and what is left of them after a kill -9."""
        count = STORED // 10 if self.options.quick else STORED
        recording = self.recording("stored", [f"/1k/kept-{number}" for number in range(count)])
        before = server.memory()
        self.replay(server, recording, "--clients", "16")
        time.sleep(1)
        result = {"object": (server.memory() - before) / count}
        if not server.lasts:
            return result
        time.sleep(2)
        for pid in server.pids():
            os.kill(pid, signal.SIGKILL)
        for process in server.processes:
            process.wait()
        server.processes.clear()
        begin = time.monotonic()
        server.launch()
        while True:
            try:
                with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
                    connection.sendall(b"GET /1k/kept-0 HTTP/1.0\r\nHost: bench\r\n\r\n")
                    if connection.recv(4096)[8:12] == b" 200":
                        break
            except OSError:
                pass
            if time.monotonic() - begin > 60:
                raise SystemExit(f"{server.name} does not come back")
            time.sleep(0.002)
        result["restart_ms"] = (time.monotonic() - begin) * 1_000
        asked = origin.requests()
        self.replay(server, recording, "--clients", "16")
        result["warm"] = 1 - (origin.requests() - asked - 1) / count
        return result

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


def measured(bench, name, kind, root, origin):
    options, result = bench.options, {}
    common = (root, origin.port, SERVER_CPU, 4_000, options.weir)
    server = kind(name, *common)
    large = NginxForLarge(f"{name}-large", *common) if kind is Nginx else server
    try:
        server.start()
        if large is not server:
            large.start()
        # Idle connections first, while memory holds nothing else.
        result["idle"] = bench.idle(server, 200 if options.quick else 2_000)
        for title, path, count in HITS:
            say(f"{name}: {title}")
            result[title] = bench.hits(server if path == "1k" else large, path, count)
        if server.limits:
            say(f"{name}: {LIMITED[0]}")
            result[LIMITED[0]] = bench.hits(server, *LIMITED[1:])
        for title, path, count, http2 in SECURE if server.secures else []:
            say(f"{name}: {title}")
            result[title] = bench.secure_hits(server if path == "1k" else large, path, count, http2)
        say(f"{name}: misses")
        result[MISS] = bench.misses(server)
        say(f"{name}: a thousand clients, one key")
        result["collapse"] = bench.collapse(server, origin)
        say(f"{name}: {STORED:,} objects, kept over a kill -9")
        result |= bench.stored(server, origin)
    finally:
        server.stop()
        if large is not server:
            large.stop()
    say(f"{name}: a trace through a small store")
    result["trace"] = bench.trace(kind)
    shutil.rmtree(server.directory, ignore_errors=True)
    return result


# Reports


def table(results):
    lines = ["| CPU µs/request (requests/s) | " + " | ".join(results) + " |", "|---|" + "---:|" * len(results)]
    for row in ROWS:
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
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    others = [
        ("origin asked by 1,000 clients for one key", lambda one: f"{one['collapse']:,}"),
        ("trace: hit ratio", lambda one: f"{one['trace']['hit_ratio']:.3f}"),
        ("trace: byte hit ratio", lambda one: f"{one['trace']['byte_hit_ratio']:.3f}"),
        ("trace: CPU µs/request", lambda one: f"{one['trace']['cpu_us']:.1f}"),
        ("an idle connection, KiB", lambda one: f"{one['idle'] / 1024:.2f}"),
        ("an object of 1 KiB, private memory, bytes", lambda one: f"{one['object']:,.0f}"),
        ("kill -9 to the first answer, ms", lambda one: f"{one['restart_ms']:,.0f}" if "warm" in one else "–"),
        ("of the objects then still stored", lambda one: f"{one['warm']:.1%}" if "warm" in one else "–"),
    ]
    for title, cell in others:
        lines.append(f"| {title} | " + " | ".join(cell(one) for one in results.values()) + " |")
    return "\n".join(lines) + "\n"


def chart(results):
    """Bars of the processor time of each row, against the largest."""
    height, y, body = 0, 8, ""
    for row in ROWS:
        largest = max((one[row]["cpu_us"] for one in results.values() if row in one), default=1)
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
    made.add_argument("--seconds", type=int, default=8, help="length of a round (8)")
    made.add_argument("--quick", action="store_true", help="rounds of one second, a short trace")
    made.add_argument("--json", action="store_true", help="print all figures as JSON instead of a table")
    made.add_argument("--out", metavar="FILE", help="put the table between the markers <!-- compare --> of FILE")
    options = made.parse_args()
    options.replay = os.path.abspath(options.replay or options.weir)
    if options.quick:
        options.seconds = 1
    names = options.servers.split(",")
    if unknown := set(names) - set(SERVERS):
        made.error(f"unknown server {', '.join(sorted(unknown))}")
    results = {}
    with Stage() as stage:
        origin = stage.start(Files("origin", stage.root, 0, ORIGIN_CPU))
        bench = Bench(options, stage.root)
        for name in names:
            kind = SERVERS[name]
            if kind.needs and not shutil.which(kind.needs, path=os.environ["PATH"] + ":/usr/sbin"):
                say(f"{name} is not installed and left out")
                continue
            try:
                results[name] = measured(bench, name, kind, stage.root, origin)
            except (SystemExit, subprocess.CalledProcessError, OSError) as problem:
                # The others are worth measuring all the same.
                say(f"{name} is left out: {problem}")
    if not results:
        raise SystemExit("bench: there is nothing to compare")
    report = table(results)
    if options.out:
        put_into(options.out, report, chart(results))
    print(json.dumps(results, indent=2) if options.json else report, end="")


if __name__ == "__main__":
    play(main)
