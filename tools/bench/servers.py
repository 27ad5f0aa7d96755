"""The servers that are measured: how each is started, found in /proc, and stopped."""

import os
import signal
import socket
import subprocess
import time
import urllib.request

CONFIGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "configs")


GIVEN = set()


def free_port():
    """A port that nobody listens on, and that was not given before: it is only used later."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def wait_for_port(port, processes, name):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if any(process.poll() is not None for process in processes):
                break
            time.sleep(0.05)
    raise SystemExit(f"bench: {name} does not answer on port {port}; see what it says above")


def children(pid):
    """The process and all below it."""
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as listed:
                for child in listed.read().split():
                    found += children(int(child))
    except FileNotFoundError:
        pass
    return found


class Server:
    """Something that listens, in a directory of its own, pinned to some processors."""

    def __init__(self, name, root, origin, cpus):
        self.name, self.origin, self.cpus = name, origin, cpus
        self.port = free_port()
        self.directory = os.path.join(root, name)
        self.processes = []
        os.mkdir(self.directory)

    def configure(self, template, **values):
        """Writes a configuration from its template and returns where."""
        values |= dict(
            DIR=self.directory,
            PORT=self.port,
            ORIGIN=self.origin,
            USER="user root;" if os.geteuid() == 0 else "",
        )
        with open(os.path.join(CONFIGS, template)) as source:
            text = source.read()
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        path = os.path.join(self.directory, template)
        with open(path, "w") as target:
            target.write(text)
        return path

    def spawn(self, *command):
        process = subprocess.Popen(
            ["taskset", "-c", self.cpus, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def start(self):
        self.launch()
        wait_for_port(self.port, self.processes, self.name)
        return self

    def pids(self):
        return [pid for process in self.processes for pid in children(process.pid)]

    def cpu(self):
        """User and system time used so far, in seconds, by every process and thread of it."""
        user = system = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    fields = stat.read().rsplit(")", 1)[1].split()
            except FileNotFoundError:
                continue
            user += int(fields[11])
            system += int(fields[12])
        ticks = os.sysconf("SC_CLK_TCK")
        return user / ticks, system / ticks

    def memory(self, line="RssAnon"):
        """Private (or another kind of) resident memory in bytes, of all its processes."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/status") as status:
                    for text in status:
                        if text.startswith(line + ":"):
                            total += int(text.split()[1]) * 1024
            except FileNotFoundError:
                continue
        return total

    def stop(self):
        # The last started is the one that reads from the others.
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Origin(Server):
    def launch(self):
        for name, size in ("1k", 1 << 10), ("100k", 100 << 10), ("10m", 10 << 20):
            with open(os.path.join(self.directory, name), "wb") as file:
                file.write(os.urandom(size))
        config = self.configure("origin.conf")
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")

    def requests(self):
        """How many it has answered, the one that asks included."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(b"GET /requests HTTP/1.0\r\n\r\n")
            text = b""
            while part := connection.recv(4096):
                text += part
        return int(text.split(b"requests\n")[1].split()[2])


class Nginx(Server):
    """`sendfile` off is nginx at its best for small answers, on for large ones."""

    def __init__(self, *arguments, sendfile):
        super().__init__(*arguments)
        self.sendfile = sendfile

    def launch(self):
        config = self.configure("nginx.conf", SENDFILE=self.sendfile)
        self.spawn("nginx", "-p", self.directory, "-c", config, "-e", f"{self.directory}/error.log")


class Varnish(Server):
    def launch(self):
        vcl = self.configure("varnish.vcl")
        work = os.path.join(self.directory, "work")
        jail = ["-j", "none"] if os.geteuid() == 0 else []
        self.spawn(
            "varnishd", *jail, "-F", "-n", work, "-a", f"127.0.0.1:{self.port}", "-f", vcl,
            "-s", "malloc,2g", "-p", "thread_pools=1", "-p", "timeout_idle=300",
        )  # fmt: skip
        wait_for_port(self.port, self.processes, self.name)
        self.spawn("varnishncsa", "-n", work, "-w", f"{self.directory}/access.log")


class Weir(Server):
    """`log` is the access log's format: combined, as the others', or json, its default."""

    def __init__(self, *arguments, binary, log="combined"):
        super().__init__(*arguments)
        self.binary = binary
        self.log = log
        self.admin = free_port()

    def configure(self, template, **values):
        return super().configure(template, FORMAT=self.log, **values)

    def launch(self):
        self.spawn(self.binary, "run", self.configure("weir.conf", ADMIN=self.admin))

    def figure(self, name):
        """The sum of a metric over its labels."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}/metrics",
            headers={"Authorization": "Bearer measured-not-guarded-0123456789"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


class Floor(Server):
    """What any server costs: see floor.c."""

    def launch(self):
        binary = os.path.join(self.directory, "floor")
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "floor.c")
        subprocess.run(["clang", "-O2", "-o", binary, source], check=True)
        self.spawn(binary, str(self.port))
