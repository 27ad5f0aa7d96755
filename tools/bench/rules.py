#!/usr/bin/env python3
"""What rules and a token that is known add to a hit: processor time per request on routes with neither,
with five rules, with a token, and with both, of one node in one run.

Every request is the same but for its path: a browser's, with a cookie and a token of some 300 bytes. The
node has processor 0, the load generator and the origin the others. Rounds take the routes in turn, and
of each the round with the least processor time counts.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import subprocess
import time

from servers import Origin, Weir
from stage import HERE, LOAD_CPUS, ORIGIN_CPU, PROCESSORS, SERVER_CPU, Stage, parser, play, say

ROUTES = [
    ("neither", "/1k/free/"),
    ("five rules", "/1k/rules/"),
    ("a known token", "/1k/jwt/"),
    ("five rules and a known token", "/1k/both/"),
    ("five that edit fields, and a known token", "/1k/edits/"),
]
SECRET = b"a secret that is as long as the hash that it is for, and no secret"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def token():
    header = {"alg": "HS256", "kid": "key-1", "typ": "JWT"}
    claims = {
        "iss": "https://issuer.example", "aud": "shop", "sub": "customer-4711",
        "exp": int(time.time()) + 86_400, "role": "customer", "plan": "gold",
        "jti": "0e7f3c52-88b1-4c6e-9d0a-1f2e3d4c5b6a",
    }  # fmt: skip
    text = encoded(json.dumps(header).encode()) + b"." + encoded(json.dumps(claims).encode())
    signature = hmac.new(SECRET, text, hashlib.sha256).digest()
    return (text + b"." + encoded(signature)).decode()


class RuledWeir(Weir):
    def launch(self):
        key = {"kty": "oct", "kid": "key-1", "k": encoded(SECRET).decode()}
        with open(os.path.join(self.directory, "keys.json"), "w") as file:
            json.dump({"keys": [key]}, file)
        self.spawn(self.binary, "run", self.configure("rules-weir.conf", ADMIN=self.admin))


def load(server, path, objects, seconds, bearer):
    """Requests, and how many seconds they took."""
    threads = max(1, len(PROCESSORS) - 2)
    script = os.path.join(HERE, "configs", "rules.lua")
    output = subprocess.run(
        ["taskset", "-c", LOAD_CPUS, "wrk", f"-t{threads}", "-c64", f"-d{seconds}s", "-s", script]
        + [f"http://127.0.0.1:{server.port}", "--", path, str(objects), bearer],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    if "Socket errors" in output or "Non-2xx" in output:
        raise SystemExit(f"bench: {path} failed under load:\n{output}")
    requests = int(re.search(r"(\d+) requests in", output)[1])
    return requests, requests / float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def measured(server, origin, path, objects, seconds, bearer):
    load(server, path, objects, 1, bearer)
    asked = origin.requests()
    user, system = server.cpu()
    requests, elapsed = load(server, path, objects, seconds, bearer)
    user, system = server.cpu()[0] - user, server.cpu()[1] - system
    misses = origin.requests() - asked - 1
    if misses > requests / 1000:
        raise SystemExit(f"bench: {path} missed {misses} of {requests} times; no hits")
    return (user + system) / requests * 1e6, user / requests * 1e6, requests / elapsed


def main():
    options = parser("rules", __doc__)
    options.add_argument("--rounds", type=int, default=5, help="rounds (5)")
    options.add_argument("--seconds", type=int, default=4, help="length of a round (4)")
    options.add_argument("--objects", type=int, default=100, help="objects that are asked for (100)")
    options = options.parse_args()
    bearer = token()
    with Stage() as stage:
        origin = stage.start(Origin("origin", stage.root, 0, ORIGIN_CPU))
        server = stage.start(
            RuledWeir("weir", stage.root, origin.port, SERVER_CPU, binary=options.weir)
        )
        best = {}
        for number in range(options.rounds):
            for title, path in ROUTES:
                say(f"round {number + 1} of {options.rounds}: {title}")
                figures = measured(
                    server, origin, path, options.objects, options.seconds, bearer
                )
                if title not in best or figures[0] < best[title][0]:
                    best[title] = figures
        free = best[ROUTES[0][0]]
        print("| a 1 KiB hit with | CPU µs/request | added | of it user | requests/s |")
        print("|---|---:|---:|---:|---:|")
        for title, _ in ROUTES:
            total, user, rate = best[title]
            print(
                f"| {title} | {total:.2f} | {total - free[0]:+.2f} | {user - free[1]:+.2f} "
                f"| {rate:,.0f} |"
            )
        print(f"\nload of the machine at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    play(main)
