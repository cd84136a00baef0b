#!/usr/bin/env python3
"""A client in the way of the tutorial that keeps many requests in flight, as fast as pika allows: its own event loop,
direct reply-to without acks, no deadlines. Reads one number per line and prints the replies in the same order.

  pipelined.py PORT QUEUE IN_FLIGHT <numbers >answers
"""

import sys
from collections import deque

import pika

REPLY_TO = "amq.rabbitmq.reply-to"


class Pipeline:
    def __init__(self, port, queue, in_flight):
        self.queue, self.in_flight = queue, in_flight
        self.numbers = map(bytes.strip, sys.stdin.buffer)
        self.waiting = deque()  # ids in the order of publishing
        self.answers = {}
        self.asked = 0
        parameters = pika.ConnectionParameters("127.0.0.1", port)
        self.connection = pika.SelectConnection(parameters, on_open_callback=self.opened)

    def run(self):
        self.connection.ioloop.start()

    def opened(self, connection):
        connection.channel(on_open_callback=self.ready)

    def ready(self, channel):
        self.channel = channel
        channel.basic_consume(REPLY_TO, self.answered, auto_ack=True, callback=lambda _: self.fill())

    def fill(self):
        while len(self.waiting) < self.in_flight:
            number = next(self.numbers, None)
            if number is None:
                break
            self.asked += 1
            identity = str(self.asked)
            self.waiting.append(identity)
            properties = pika.BasicProperties(reply_to=REPLY_TO, correlation_id=identity)
            self.channel.basic_publish("", self.queue, number, properties)
        if not self.waiting:
            sys.stdout.buffer.flush()
            self.connection.close()
            self.connection.ioloop.stop()

    def answered(self, _channel, _method, properties, body):
        self.answers[properties.correlation_id] = body
        while self.waiting and self.waiting[0] in self.answers:
            sys.stdout.buffer.write(self.answers.pop(self.waiting.popleft()) + b"\n")
        self.fill()


if __name__ == "__main__":
    _, port, queue, in_flight = sys.argv
    Pipeline(int(port), queue, int(in_flight)).run()
