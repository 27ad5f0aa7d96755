#!/usr/bin/env python3
"""How soon a dead server leaves the rotation, and what clients notice of it.

Three nginx with checks every second behind Weir, under load by wrk. One of them dies (SIGKILL), or hangs
(SIGSTOP: the kernel goes on accepting), and comes back. Reported are the time from there until the checks
have taken it out, the requests that it failed, and how many of them were tried again; the run fails if a
client saw an error, or if more requests failed than were in flight or sent to it while it was in rotation.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from servers import Server, free_port, wait_for_port

CONNECTIONS = 32

NGINX = """@USER@
worker_processes 1; daemon off; pid @DIR@/nginx.pid; error_log @DIR@/error.log;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000000;
  server { listen 127.0.0.1:@PORT@; location / { return 200 "@DIR@"; } }
}
"""

WEIR = """workers 1;
listen 127.0.0.1:@PORT@;
admin 127.0.0.1:@ADMIN@;
origin app {
  @SERVERS@
  health GET /health every=1s timeout=500ms fall=2 rise=2;
  try_timeout 1s;
}
site * { origin app; }
"""


class Backend(Server):
    def configure(self):
        path = os.path.join(self.directory, "nginx.conf")
        text = NGINX
        user = "user root;" if os.geteuid() == 0 else ""
        for key, value in dict(USER=user, DIR=self.directory, PORT=self.port).items():
            text = text.replace(f"@{key}@", str(value))
        with open(path, "w") as target:
            target.write(text)
        return path

    def launch(self):
        self.processes = []
        config = self.configure()
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")

    def all(self, number):
        for pid in self.pids():
            os.kill(pid, number)


class Edge(Server):
    def __init__(self, *arguments, binary, servers):
        super().__init__(*arguments)
        self.binary, self.servers, self.admin = binary, servers, free_port()

    def launch(self):
        path = os.path.join(self.directory, "edge.conf")
        lines = "\n  ".join(f"server 127.0.0.1:{server.port};" for server in self.servers)
        text = WEIR
        for key, value in dict(PORT=self.port, ADMIN=self.admin, SERVERS=lines).items():
            text = text.replace(f"@{key}@", str(value))
        with open(path, "w") as target:
            target.write(text)
        self.spawn(self.binary, "run", path)

    def report(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/v1/origins", timeout=10) as answer:
            return json.load(answer)["origins"][0]


def wait_for(edge, index, state, began):
    """Seconds until the server is in a state."""
    while time.monotonic() - began < 60:
        if edge.report()["servers"][index]["state"] == state:
            return time.monotonic() - began
        time.sleep(0.01)
    raise SystemExit(f"bench: the server is not {state} after a minute")


class Load(threading.Thread):
    def __init__(self, port, seconds):
        super().__init__()
        self.port, self.seconds = port, seconds
        self.text = ""

    def run(self):
        self.text = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.seconds}s", f"http://127.0.0.1:{self.port}/"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    def requests(self):
        return int(re.search(r"(\d+) requests in", self.text).group(1))

    def errors(self):
        lines = [line for line in self.text.splitlines() if "Non-2xx" in line or "Socket err" in line]
        return "; ".join(line.strip() for line in lines)


def run(edge, backend, index, kind, signal_number):
    before = edge.report()
    load = Load(edge.port, 12)
    load.start()
    time.sleep(2)
    began = time.monotonic()
    backend.all(signal_number)
    out = wait_for(edge, index, "down", began)
    time.sleep(1)
    began = time.monotonic()
    if kind == "dies":
        for process in backend.processes:
            process.wait()
        backend.launch()
        wait_for_port(backend.port, backend.processes, backend.name)
    else:
        backend.all(signal.SIGCONT)
    back = wait_for(edge, index, "up", began)
    load.join()
    after = edge.report()
    failed = after["servers"][index]["failures"] - before["servers"][index]["failures"]
    retried = after["retries"] - before["retries"]
    if load.errors():
        raise SystemExit(f"bench: clients saw errors when a server {kind}: {load.errors()}")
    # Each client has one request in flight; one that hangs takes a try's time of each, while it is in rotation.
    if kind == "hangs" and failed > CONNECTIONS * 3 or failed > retried:
        raise SystemExit(f"bench: {failed} requests failed, {retried} were tried again")
    return out, back, load.requests(), failed, retried


def main():
    parser = argparse.ArgumentParser(
        prog="tools/bench/failover", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each kind (3)")
    parser.add_argument("--weir", metavar="BINARY", required=True, help="the weir that is measured")
    options = parser.parse_args()
    root = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(root, 0o755)
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    running = []
    rows = []
    try:
        backends = [Backend(f"server-{number}", root, 0, cpus) for number in range(3)]
        for backend in backends:
            running.append(backend.start())
        edge = Edge("weir", root, 0, cpus, binary=os.path.abspath(options.weir), servers=backends)
        running.append(edge.start())
        for number in range(options.rounds):
            for kind, signal_number in ("dies", signal.SIGKILL), ("hangs", signal.SIGSTOP):
                index = number % 3
                rows.append((kind, *run(edge, backends[index], index, kind, signal_number)))
    finally:
        for server in reversed(running):
            server.stop()
        shutil.rmtree(root, ignore_errors=True)
    print("| a server | out after, s | back after, s | requests | it failed | tried again | clients' errors |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind, out, back, requests, failed, retried in rows:
        print(f"| {kind} | {out:.2f} | {back:.2f} | {requests:,} | {failed} | {retried} | 0 |")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
