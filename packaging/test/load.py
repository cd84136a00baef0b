#!/usr/bin/python3
"""A caller that uses pika: sends requests, and counts the replies.

    load.py COUNT N [--until FILE]

Publishes COUNT requests for N, each confirmed, and prints "sent" when the broker has them all. With --until
it keeps COUNT requests open until FILE exists: each answer is followed by a new request. Then it
waits until everything is answered and prints one line, {"sent": .., "answered": .., "missing": .., "duplicates": ..,
"wrong": ..}; the exit status is 0 if nothing is missing, duplicated or wrong.
"""

import json
import os
import sys
import time

import pika

MAX_WAIT = 120  # seconds, for the last answer
MAX_LOAD = 240  # seconds, if nothing ends the load


class Load:
    def __init__(self, n):
        self.connection = pika.BlockingConnection(pika.ConnectionParameters("localhost", heartbeat=0))
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.replies = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.basic_consume(self.replies, self.answered, auto_ack=True)
        self.n = str(n)
        self.expected = fibonacci(n).encode()
        self.open = set()
        self.sent = self.done = self.duplicates = self.wrong = 0

    def send(self):
        number = str(self.sent)
        properties = pika.BasicProperties(reply_to=self.replies, correlation_id=number, delivery_mode=2)
        # Raises an exception if the broker has no such queue or does not confirm.
        self.channel.basic_publish("", "rpc_queue", self.n, properties, mandatory=True)
        self.open.add(number)
        self.sent += 1

    def answered(self, _channel, _method, properties, body):
        number = properties.correlation_id
        if number not in self.open:
            self.duplicates += 1
            return
        self.open.remove(number)
        self.done += 1
        if body != self.expected:
            self.wrong += 1
            print("wrong:", body[:200], file=sys.stderr)

    def listen(self, seconds):
        self.connection.process_data_events(time_limit=seconds)


def fibonacci(n):
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    a, b = 0, 1
    for bit in bin(n)[2:]:
        a, b = a * (2 * b - a), a * a + b * b
        if bit == "1":
            a, b = b, a + b
    return str(a)


def main():
    count, n = int(sys.argv[1]), int(sys.argv[2])
    until = sys.argv[4] if len(sys.argv) > 4 else None
    load = Load(n)
    for _ in range(count):
        load.send()
    print("sent", flush=True)
    end = time.monotonic() + MAX_LOAD
    while until and not os.path.exists(until) and time.monotonic() < end:
        load.listen(0.1)
        for _ in range(count - len(load.open)):
            load.send()
    end = time.monotonic() + MAX_WAIT
    while load.open and time.monotonic() < end:
        load.listen(0.2)
    # A duplicate would arrive soon after.
    load.listen(2)
    result = {
        "sent": load.sent,
        "answered": load.done,
        "missing": len(load.open),
        "duplicates": load.duplicates,
        "wrong": load.wrong,
    }
    print(json.dumps(result), flush=True)
    sys.exit(0 if load.done == load.sent and not load.duplicates and not load.wrong else 1)


main()
