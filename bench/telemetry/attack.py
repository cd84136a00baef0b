"""Attacks the telemetry endpoint at a port of loopback, in one of several ways, until it is killed; see scripts/bench-telemetry."""

import selectors
import socket
import sys
import time

CONNECTIONS = 200
# Slow ones send a byte every 10 ms each, a part of them every millisecond: 20,000 segments per second in all.
PARTS = 10
PACE = 0.001
REQUEST = b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 4000 + b"\r\n\r\n"
# What is sent at once by each kind of connection; those that are slow send more later.
SENT = {
    "slow": b"",
    "connections": b"",
    "scrapes": b"GET /metrics HTTP/1.1\r\n\r\n",
    "headers": b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 100_000,
    "tls": bytes.fromhex("16030102000100") * 100,
}


def main():
    port, kind = int(sys.argv[1]), sys.argv[2]
    selector = selectors.DefaultSelector()
    # How many bytes each connection has sent, once it is established.
    sent = {}

    def connect():
        stream = socket.socket()
        stream.setblocking(False)
        stream.connect_ex(("127.0.0.1", port))
        selector.register(stream, selectors.EVENT_WRITE | selectors.EVENT_READ)
        sent[stream] = None

    def close(stream):
        selector.unregister(stream)
        stream.close()
        del sent[stream]
        connect()

    def send_more(part):
        for stream in list(sent)[part::PARTS]:
            try:
                if sent[stream] is not None:
                    stream.send(REQUEST[sent[stream] : sent[stream] + 1])
                    sent[stream] += 1
            except BlockingIOError:
                pass
            except OSError:
                close(stream)

    for _ in range(CONNECTIONS):
        connect()
    due = time.monotonic() + PACE
    part = 0
    while True:
        for key, events in selector.select(max(0, due - time.monotonic())):
            stream = key.fileobj
            try:
                if events & selectors.EVENT_READ and not stream.recv(65536):
                    close(stream)
                    continue
                if events & selectors.EVENT_WRITE:
                    selector.modify(stream, selectors.EVENT_READ)
                    sent[stream] = stream.send(SENT[kind])
            except OSError:
                close(stream)
        if time.monotonic() >= due:
            # What is late is left out.
            due = max(due + PACE, time.monotonic())
            part = (part + 1) % PARTS
            if kind == "slow":
                send_more(part)


main()
