#!/usr/bin/env python3
"""TLS and HTTP/2 of Weir beside nginx and HAProxy, in one run: hits by HTTP/1.1 over TLS 1.3 and
by HTTP/2, handshakes, and the memory of an idle connection.

Each server has one worker and, with all its processes and threads, processor 0; the load
generators (h2load, openssl s_time) and the origin have the others. Every server writes an access
log but HAProxy, which has nobody to write to. The certificate is ECDSA P-256. The servers take
turns; the round with the least processor time counts.
"""

import argparse
import os
import re
import resource
import shutil
import ssl
import socket
import subprocess
import sys
import tempfile
import time

import measure
from servers import Nginx, Origin, Server, Weir

# title, path, objects, h2load's arguments
SCENARIOS = [
    ("1 KiB, HTTP/1.1, 64 connections", "/1k/", 100, ["--h1", "-c64"]),
    ("1 KiB, HTTP/2, 16 connections of 32 streams", "/1k/", 100, ["-c16", "-m32"]),
    ("100 KiB, HTTP/2, 16 connections of 32 streams", "/100k/", 20, ["-c16", "-m32"]),
    ("10 MiB, HTTP/2, 4 connections of 4 streams", "/10m/", 2, ["-c4", "-m4"]),
]
HANDSHAKES = [("full handshake", ["-new"]), ("resumed handshake", ["-reuse"])]


class Secure:
    """A server with a certificate in its directory."""

    def certify(self):
        for name in "cert.pem", "key.pem", "both.pem":
            shutil.copy(os.path.join(os.path.dirname(self.directory), name), self.directory)


class TLSWeir(Secure, Weir):
    def launch(self):
        self.certify()
        config = self.configure("weir-tls.conf", ADMIN=self.admin)
        self.spawn(self.binary, "run", config)


class TLSNginx(Secure, Nginx):
    def launch(self):
        self.certify()
        config = self.configure("nginx-tls.conf")
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")


class TLSHAProxy(Secure, Server):
    def launch(self):
        self.certify()
        self.spawn("haproxy", "-f", self.configure("haproxy-tls.cfg"))


def arguments():
    parser = argparse.ArgumentParser(
        prog="tools/bench/tls",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--servers", default="weir,nginx,haproxy", help="which of them, separated by commas")
    add("--rounds", type=int, default=3, help="rounds per scenario (3)")
    add("--seconds", type=int, default=6, help="length of a round (6)")
    add("--idle", type=int, default=1000, help="idle connections for their memory (1000)")
    add("--only", default="", help="only scenarios with this in their title")
    add("--weir", metavar="BINARY", required=True, help="the weir that is measured")
    return parser.parse_args()


def certificates(root):
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", "ec", "-pkeyopt"]
        + ["ec_paramgen_curve:P-256", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", f"{root}/key.pem", "-out", f"{root}/cert.pem"],
        check=True,
        capture_output=True,
    )
    with open(f"{root}/both.pem", "w") as both:
        for name in "cert.pem", "key.pem":
            with open(f"{root}/{name}") as part:
                both.write(part.read())


def started(options, root, origin):
    common = (root, origin.port, measure.SERVER_CPU)
    running = {}
    for name in options.servers.split(","):
        if name == "weir":
            running[name] = TLSWeir(name, *common, binary=os.path.abspath(options.weir))
        elif name == "nginx":
            running[name] = TLSNginx(name, *common, sendfile="on")
        else:
            running[name] = TLSHAProxy(name, *common)
    return running


def urls(server, root, prefix, count):
    path = os.path.join(root, "urls")
    with open(path, "w") as file:
        for number in range(count):
            file.write(f"https://127.0.0.1:{server.port}{prefix}{number}\n")
    return path


def fetch_all(server, prefix, count):
    last = count - 1
    glob = f"https://127.0.0.1:{server.port}{prefix}" + ("[0-%d]" % last if last else "0")
    subprocess.run(
        ["taskset", "-c", measure.LOAD_CPUS, "curl", "-sSfk", "-o", "/dev/null", glob], check=True
    )


def hits(server, root, prefix, count, flags, seconds):
    path = urls(server, root, prefix, count)
    before = server.cpu()
    output = subprocess.run(
        ["taskset", "-c", measure.LOAD_CPUS, "h2load", *flags, f"-D{seconds}"]
        + ["--warm-up-time=0", "-i", path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    after = server.cpu()
    done = int(re.search(r"(\d+) succeeded", output)[1])
    failed = int(re.search(r"(\d+) failed", output)[1])
    if failed > done / 1000 or done == 0:
        raise SystemExit(f"bench: {server.name} failed under load:\n{output}")
    return figures(before, after, done, seconds)


def handshakes(server, flags, seconds):
    before = server.cpu()
    output = subprocess.run(
        ["taskset", "-c", measure.LOAD_CPUS, "openssl", "s_time", "-connect"]
        + [f"127.0.0.1:{server.port}", "-time", str(seconds), "-www", "/1k/0", *flags],
        capture_output=True,
        text=True,
    ).stdout
    after = server.cpu()
    found = re.search(r"(\d+) connections in (\d+) real seconds", output)
    if not found:
        raise SystemExit(f"bench: no handshakes with {server.name}:\n{output}")
    # s_time asks by HTTP/1.0 and names no host: an error would be cheap for one and dear for another.
    size = re.search(r"(\d+) bytes read per connection", output)
    if not size or int(size[1]) < 1024:
        raise SystemExit(f"bench: {server.name} answers handshakes with something else:\n{output}")
    return figures(before, after, int(found[1]), int(found[2]))


def figures(before, after, count, seconds):
    user, system = after[0] - before[0], after[1] - before[1]
    return {
        "per_second": count / seconds,
        "cpu_us": (user + system) / count * 1e6,
        "user_us": user / count * 1e6,
    }


# Preface, SETTINGS, and a request for /1k/0 without tables.
def first_bytes():
    fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/1k/0")]
    fields.append((b":authority", b"bench"))
    block = b"".join(
        b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in fields
    )
    head = len(block).to_bytes(3, "big") + b"\x01\x05\0\0\0\x01"
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]) + head + block


def connect_idle(port, count):
    """HTTP/2 connections that have had one answer each, and are kept."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    connections = []
    for _ in range(count):
        plain = socket.create_connection(("127.0.0.1", port), 10)
        connection = context.wrap_socket(plain)
        connection.sendall(first_bytes())
        data = b""
        ended = False
        while not ended:
            part = connection.recv(65536)
            if not part:
                raise SystemExit("bench: a server closed a connection that it should keep")
            data += part
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                length, kind, flags = int.from_bytes(data[:3], "big"), data[3], data[4]
                ended = ended or kind in (0, 1) and flags & 1 == 1
                data = data[9 + length :]
        connections.append(connection)
    return connections


def memory(server, count):
    for connection in connect_idle(server.port, 50):
        connection.close()
    time.sleep(1)
    before = server.memory()
    connections = connect_idle(server.port, count)
    time.sleep(1)
    after = server.memory()
    for connection in connections:
        connection.close()
    return (after - before) / count


def report(results, memories):
    lines = [machine(), ""]
    lines += [
        "| what | server | a second | CPU µs each | of it user | CPU to nginx's |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for title, servers in results.items():
        for name, one in servers.items():
            share = one["cpu_us"] / servers["nginx"]["cpu_us"] if "nginx" in servers else None
            lines.append(
                f"| {title} | {name} | {one['per_second']:,.0f} | {one['cpu_us']:.1f} "
                f"| {one['user_us']:.1f} | {f'{share:.2f}' if share else ''} |"
            )
    if memories:
        lines += ["", "| server | an idle TLS HTTP/2 connection |", "|---|---:|"]
        lines += [f"| {name} | {one / 1024:.1f} KiB |" for name, one in memories.items()]
    return "\n".join(lines)


def machine():
    return (
        f"{measure.machine(measure.congestion())[:-17]} HAProxy "
        f"{measure.version('haproxy', '-v')}, h2load {measure.version('h2load', '--version')}."
    )


def main():
    options = arguments()
    if len(measure.PROCESSORS) < 2:
        raise SystemExit("bench: one processor is not enough: the load must not share it")
    if (busy := os.getloadavg()[0]) > 0.5:
        measure.say(f"the machine is busy (load {busy:.1f}); figures will be higher")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    root = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(root, 0o755)
    running = []
    results, memories = {}, {}
    try:
        certificates(root)
        origin = Origin("origin", root, 0, measure.ORIGIN_CPU)
        running.append(origin.start())
        servers = started(options, root, origin)
        for server in servers.values():
            running.append(server)
            server.start()
        if not options.only or "idle" in options.only:
            for name, server in servers.items():
                measure.say(f"memory: {name}, {options.idle} idle connections")
                memories[name] = memory(server, options.idle)
        for title, prefix, count, flags in SCENARIOS:
            if options.only not in title:
                continue
            rounds = {name: [] for name in servers}
            for number in range(options.rounds):
                for name, server in servers.items():
                    measure.say(f"{title}: round {number + 1} of {options.rounds}, {name}")
                    fetch_all(server, prefix, count)
                    rounds[name].append(hits(server, root, prefix, count, flags, options.seconds))
            results[title] = {n: min(r, key=lambda o: o["cpu_us"]) for n, r in rounds.items()}
        for title, flags in HANDSHAKES:
            if options.only not in title:
                continue
            rounds = {name: [] for name in servers}
            for number in range(options.rounds):
                for name, server in servers.items():
                    measure.say(f"{title}: round {number + 1} of {options.rounds}, {name}")
                    rounds[name].append(handshakes(server, flags, options.seconds))
            results[title] = {n: min(r, key=lambda o: o["cpu_us"]) for n, r in rounds.items()}
    finally:
        for server in reversed(running):
            server.stop()
        shutil.rmtree(root, ignore_errors=True)
    print(report(results, memories))


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
