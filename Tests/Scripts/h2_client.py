"""A page and what it needs, over one HTTP/2 connection with TLS, by the h2 package (tools/setup-h2).

Usage: h2_client.py PORT AUTHORITY.pem REQUEST…   with REQUEST as METHOD:PATH[:BYTES], all sent at once

Prints a line of JSON for each answer. The package checks what the node sends as RFC 9113 wants it: any
breach raises, and ends the program with an error.
"""
import json
import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings

PORT, AUTHORITY, REQUESTS = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
HOST = "a.example"
# A window that is small, so that the node has to wait for it.
WINDOW = 20_000


class Stream:
    """A request and what has come for it."""

    def __init__(self, request):
        self.method, self.path, *rest = request.split(":")
        self.left = int(rest[0]) if rest else 0
        self.fields, self.trailers, self.received, self.is_over = {}, {}, 0, False


def connect():
    context = ssl.create_default_context(cafile=AUTHORITY)
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", PORT), timeout=30)
    secure = context.wrap_socket(plain, server_hostname=HOST)
    assert secure.selected_alpn_protocol() == "h2", secure.selected_alpn_protocol()
    return secure


def begin(connection, streams):
    for request in REQUESTS:
        stream = Stream(request)
        number = connection.get_next_available_stream_id()
        fields = [(":method", stream.method), (":scheme", "https"), (":authority", HOST),
                  (":path", stream.path)]
        connection.send_headers(number, fields, end_stream=stream.left == 0)
        streams[number] = stream


def send_content(connection, streams):
    for number, stream in streams.items():
        while stream.left > 0:
            room = min(connection.local_flow_control_window(number),
                       connection.max_outbound_frame_size, stream.left)
            if room == 0:
                break
            stream.left -= room
            connection.send_data(number, b"x" * room, end_stream=stream.left == 0)


def take(connection, streams, event):
    if isinstance(event, h2.events.ResponseReceived):
        streams[event.stream_id].fields = dict(event.headers)
    elif isinstance(event, h2.events.DataReceived):
        streams[event.stream_id].received += len(event.data)
        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    elif isinstance(event, h2.events.TrailersReceived):
        streams[event.stream_id].trailers = dict(event.headers)
    elif isinstance(event, h2.events.StreamEnded):
        streams[event.stream_id].is_over = True
    elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
        raise SystemExit(f"ended by the node: {event}")


def main():
    peer = connect()
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
    streams = {}
    begin(connection, streams)
    while not all(stream.is_over for stream in streams.values()):
        send_content(connection, streams)
        peer.sendall(connection.data_to_send())
        data = peer.recv(65_536)
        if not data:
            raise SystemExit("the node has closed the connection")
        for event in connection.receive_data(data):
            take(connection, streams, event)
    connection.close_connection()
    peer.sendall(connection.data_to_send())
    for stream in streams.values():
        print(json.dumps({"path": stream.path, "status": int(stream.fields[":status"]),
                          "length": stream.received, "fields": stream.fields,
                          "trailers": stream.trailers}))


main()
