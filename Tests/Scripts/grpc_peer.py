"""gRPC by its own library (tools/setup-peers): a server, and a client that goes through whatever is between.

Usage: grpc_peer.py serve        prints a line of JSON with its port on 127.0.0.1, and serves without TLS until
                                 its standard input ends
       grpc_peer.py call PORT    makes calls of every kind, prints a line of JSON for each, and ends

Messages are bytes as they are: what they mean is no matter here.
"""
import json
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "/test.Echo/"


class Echo(grpc.GenericRpcHandler):
    """Four methods, one of each kind, and one that fails."""

    def __init__(self):
        self.cancelled = threading.Event()

    def service(self, details):
        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Large": grpc.unary_unary_rpc_method_handler(lambda request, context: request * 100_000),
            "Down": grpc.unary_stream_rpc_method_handler(self.down),
            "Up": grpc.stream_unary_rpc_method_handler(self.up),
            "Both": grpc.stream_stream_rpc_method_handler(self.both),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Hang": grpc.unary_stream_rpc_method_handler(self.hang),
            "Cancelled": grpc.unary_unary_rpc_method_handler(self.was_cancelled),
        }
        return kinds.get(details.method.removeprefix(SERVICE))

    def unary(self, request, context):
        asked = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-first", asked.get("x-asked", "-"))])
        context.set_trailing_metadata([("x-last", "end"), ("x-last-bin", b"\x00\xff")])
        return b"echo " + request

    def down(self, request, context):
        for number in range(3):
            yield b"%s %d" % (request, number)

    def up(self, requests, context):
        return b"+".join(requests)

    def both(self, requests, context):
        for request in requests:
            yield b"got " + request

    def fail(self, request, context):
        context.set_trailing_metadata([("x-why", "because")])
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more; 100% gone")

    def hang(self, request, context):
        context.add_callback(self.cancelled.set)
        yield b"begun"
        self.cancelled.wait()

    def was_cancelled(self, request, context):
        return b"yes" if self.cancelled.wait(30) else b"no"


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"port": port}), flush=True)
    sys.stdin.read()
    server.stop(None)


def call(port):
    def say(name, **facts):
        print(json.dumps({"call": name, **facts}), flush=True)

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        unary = channel.unary_unary(SERVICE + "Unary")
        answer, sent = unary.with_call(b"a", metadata=[("x-asked", "this")], timeout=60)
        first, last = dict(sent.initial_metadata()), dict(sent.trailing_metadata())
        say(
            "unary", answer=answer.decode(), first=first.get("x-first"), last=last.get("x-last"),
            binary=list(last.get("x-last-bin", b"")))
        large = channel.unary_unary(
            SERVICE + "Large")(b"0123456789", timeout=60)
        say("large", length=len(large))
        down = channel.unary_stream(SERVICE + "Down")(b"d", timeout=60)
        say("down", answer=[message.decode() for message in down])
        up = channel.stream_unary(SERVICE + "Up")(iter([b"1", b"2", b"3"]), timeout=60)
        say("up", answer=up.decode())

        # The next message goes out when the answer to the one before has come.
        heard = threading.Semaphore(0)

        def questions():
            for number in range(3):
                yield b"%d" % number
                heard.acquire()

        answers = []
        for message in channel.stream_stream(SERVICE + "Both")(questions(), timeout=60):
            answers.append(message.decode())
            heard.release()
        say("both", answer=answers)
        for name in ["Fail", "Missing"]:
            try:
                channel.unary_unary(SERVICE + name)(b"", timeout=60)
            except grpc.RpcError as error:
                metadata = dict(error.trailing_metadata() or ())
                say(name.lower(), code=error.code().name, details=error.details(), why=metadata.get("x-why"))
        hanging = channel.unary_stream(SERVICE + "Hang")(b"", timeout=60)
        begun = next(hanging).decode()
        hanging.cancel()
        cancelled = channel.unary_unary(SERVICE + "Cancelled")(b"", timeout=60)
        say("hang", answer=begun, cancelled=cancelled.decode())


if sys.argv[1] == "serve":
    serve()
else:
    call(int(sys.argv[2]))
