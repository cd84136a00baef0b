"""Attacks the telemetry endpoint at a port of loopback, in one of several ways, until it is killed; see scripts/bench-telemetry."""

import selectors
import socket
import sys

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
    sent = {}

    def connect():
        stream = socket.socket()
        stream.setblocking(False)
        stream.connect_ex(("127.0.0.1", port))
        selector.register(stream, selectors.EVENT_WRITE | selectors.EVENT_READ)
        sent[stream] = 0

    def close(stream):
        selector.unregister(stream)
        stream.close()
        del sent[stream]
        connect()

    for _ in range(200):
        connect()
    while True:
        for key, events in selector.select(0.01):
            stream = key.fileobj
            try:
                if events & selectors.EVENT_READ and not stream.recv(65536):
                    close(stream)
                    continue
                if events & selectors.EVENT_WRITE and sent[stream] == 0:
                    sent[stream] = 1
                    stream.send(SENT[kind])
                    selector.modify(stream, selectors.EVENT_READ)
            except OSError:
                close(stream)
        if kind == "slow":
            for stream in list(sent):
                try:
                    stream.send(REQUEST[sent[stream] : sent[stream] + 1])
                    sent[stream] += 1
                except BlockingIOError:
                    pass
                except OSError:
                    close(stream)


main()
