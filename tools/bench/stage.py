"""What every benchmark stands on: a directory for its servers, all of which are stopped in the end."""

import argparse
import os
import resource
import shutil
import signal
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PROCESSORS = sorted(os.sched_getaffinity(0))
# Where the servers are, and where what loads them and what is behind them.
SERVER_CPU = str(PROCESSORS[0])
LOAD_CPUS = ",".join(map(str, PROCESSORS[1:])) or SERVER_CPU
ORIGIN_CPU = str(PROCESSORS[-1])


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def parser(name, description):
    """For a benchmark's options; that which is measured is one of them, and its script gives it."""
    made = argparse.ArgumentParser(
        prog=f"tools/bench/{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--weir", required=True, metavar="BINARY", type=os.path.abspath, help="the weir that is measured"
    )
    return made


class Stage:
    """A directory, and the servers that have been started in it."""

    def __init__(self, processors=2):
        if len(PROCESSORS) < processors:
            raise SystemExit("bench: one processor is not enough: the load must not share it")
        if (busy := os.getloadavg()[0]) > 0.5:
            say(f"the machine is busy (load {busy:.1f}); figures will be higher than on a quiet one")
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.running = []

    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix="weir-bench-")
        os.chmod(self.root, 0o755)
        return self

    def start(self, server):
        # Before it is started: what does not come up is to be stopped as well.
        self.running.append(server)
        server.start()
        return server

    def stop(self, server):
        self.running.remove(server)
        server.stop()

    def __exit__(self, *_):
        # The last started is the one that reads from the others.
        for server in reversed(self.running):
            server.stop()
        shutil.rmtree(self.root, ignore_errors=True)


def play(main):
    """Runs a benchmark. Ended by a signal as by Ctrl-C, its servers are stopped on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
