"""PoPs of a fleet on one machine: their engine, the network between them, and talk with their admins."""

import asyncio
import json
import os
import signal
import subprocess
import time

from servers import children, free_port

TOKEN = "a-token-for-the-benchmark"
HERE = os.path.dirname(os.path.abspath(__file__))
TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """A program with a directory of its own, ended by its process id."""

    def __init__(self, directory, *command, talks=False):
        self.directory, self.command, self.talks = directory, command, talks
        self.process = None

    def start(self):
        os.makedirs(self.directory, exist_ok=True)
        pipe = subprocess.PIPE if self.talks else None
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=pipe or subprocess.DEVNULL, stdout=pipe or log, stderr=log, cwd=self.directory
            )

    def hurry(self):
        """What stands for a network is not to wait for a processor, where that may be said."""
        try:
            os.setpriority(os.PRIO_PROCESS, self.process.pid, -15)
        except PermissionError:
            pass

    def say(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def cpu(self):
        """Processor time so far, in seconds, of it and all below it."""
        total = 0
        for pid in children(self.process.pid):
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    fields = stat.read().rsplit(")", 1)[1].split()
            except FileNotFoundError:
                continue
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def kill(self):
        """At once, the children first: a supervisor would start another."""
        for pid in children(self.process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


class Engine(Process):
    """A Redis that keeps its data."""

    def __init__(self, root, name="redis"):
        self.port = free_port()
        super().__init__(
            os.path.join(root, name), "redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
            "--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--loglevel", "warning",
        )  # fmt: skip


class Network(Process):
    """What is between the engine and so many PoPs: see delay.c. `ports` are where the engine is for each."""

    def __init__(self, root, engine, rtt, count):
        program = os.path.join(root, "delay")
        if not os.path.exists(program):
            subprocess.run(["clang", "-O2", "-o", program, os.path.join(HERE, "delay.c")], check=True)
        each = str(round(rtt * 500))
        super().__init__(
            os.path.join(root, "network"), program, str(engine.port), each, str(count), talks=True
        )

    def start(self):
        super().start()
        self.hurry()
        self.ports = [int(port) for port in self.process.stdout.readline().split()]


class PoP(Process):
    """A node with one worker and a small store. `more` is added to its configuration."""

    def __init__(self, root, weir, number, engine, more=""):
        self.name, self.admin, self.port = f"pop-{number}", free_port(), free_port()
        directory = os.path.join(root, self.name)
        os.makedirs(directory)
        path = os.path.join(directory, "edge.conf")
        with open(path, "w") as file:
            file.write(
                f"node_name {self.name};\nworkers 1;\nlisten 127.0.0.1:{self.port};\n"
                f'admin 127.0.0.1:{self.admin} {{ token "{TOKEN}"; }}\naccess_log off;\n'
                "store ./store { size 8M; }\nclient { idle_timeout 300s; }\n"
                f"fleet bench {{ server 127.0.0.1:{engine}; }}\n{more}\n"
            )
        self.link = None
        super().__init__(directory, weir, "run", path)

    async def ask(self, method, path, body=None):
        """One request on the connection that is kept, and its answer's content."""
        if self.link is None:
            self.link = await asyncio.open_connection("127.0.0.1", self.admin, limit=1 << 24)
        reader, writer = self.link
        content = json.dumps(body).encode() if body else b""
        fields = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n" if body else ""
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{fields}\r\n".encode()
            + content
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        answer = await reader.readexactly(int(head.split("content-length:")[1].split("\r\n")[0]))
        if " 200 " not in head.split("\r\n")[0]:
            raise SystemExit(f"bench: {self.name} answers {answer.decode()}")
        return json.loads(answer)

    async def fleet(self):
        """What it says of the fleet; nothing if it does not answer."""
        try:
            return await self.ask("GET", "/v1/fleet")
        except (OSError, asyncio.IncompleteReadError):
            self.link = None
            return {"in_step": False}

    async def in_step(self):
        return (await self.fleet())["in_step"]


async def until(what, condition, patience=180, pause=0.1):
    end = time.monotonic() + patience
    while not await condition():
        if time.monotonic() > end:
            raise SystemExit(f"bench: no end of waiting for {what}")
        await asyncio.sleep(pause)


class Busy:
    """How busy the machine is meanwhile, in shares of all its processors."""

    def __init__(self, **groups):
        self.groups = groups
        self.begin = (time.monotonic(), self.machine(), self.ours())

    @staticmethod
    def machine():
        with open("/proc/stat") as stat:
            user, nice, system, _, _, interrupt, soft = map(int, stat.readline().split()[1:8])
        return (user + nice + system + interrupt + soft) / TICKS

    def ours(self):
        return {name: sum(one.cpu() for one in group) for name, group in self.groups.items()} | {
            "the benchmark": time.process_time()
        }

    def shares(self):
        whole = (time.monotonic() - self.begin[0]) * os.cpu_count()
        now = self.ours()
        shares = {name: (now[name] - self.begin[2][name]) / whole for name in now}
        all_of_it = (self.machine() - self.begin[1]) / whole
        return shares | {"others": max(0, all_of_it - sum(shares.values())), "all": all_of_it}
