#!/usr/bin/python3
"""A name server for one name: answers mq.fibrpc.test with 127.0.0.1, on 127.0.0.1:53."""

import socket

NAME = b"\2mq\6fibrpc\4test\0"

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
while True:
    query, caller = server.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    known = question[:-4].lower() == NAME
    is_a = known and question[-4:-2] == b"\0\1"
    flags = b"\x85\x80" if known else b"\x85\x83"
    reply = query[:2] + flags + b"\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0" + question
    if is_a:
        reply += b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4" + bytes([127, 0, 0, 1])
    server.sendto(reply, caller)
