"""Listens at a port of loopback in place of the telemetry endpoint, until it is killed; see scripts/bench-telemetry.

It accepts at the endpoint's pace, has as many connections, reads of each once, and answers nothing, so that an attack on it
shows what the attackers themselves take from the rest of the machine.
"""

import collections
import socket
import sys
import time

MAX_OPEN = 4
# Time between two connections.
PACE = 0.002


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=256)
    streams = collections.deque()
    while True:
        stream, _ = listener.accept()
        stream.setblocking(False)
        streams.append(stream)
        if len(streams) > MAX_OPEN:
            oldest = streams.popleft()
            try:
                oldest.recv(65536)
            except OSError:
                pass
            oldest.close()
        time.sleep(PACE)


main()
