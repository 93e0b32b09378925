#!/usr/bin/env python3
"""hanging-file.py FOLDER TEXT - a file system with one file, FOLDER/key, whose reads are answered
only from SIGUSR1 on, as on a network file system whose server is away (FUSE protocol 7.31).

Prints "mounted" and, for each read that waits, "waits"."""
import ctypes
import os
import select
import signal
import struct
import sys

folder, text = sys.argv[1], sys.argv[2].encode() + b"\n"
device = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
if libc.mount(b"hanging", folder.encode(), b"fuse", 0, options.encode()):
    sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
print("mounted", flush=True)

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, INTERRUPT, FORGETS = 1, 2, 3, 14, 15, 18, 25, 26, 36, 42
waiting, opened = [], False


def attributes(node):
    mode, size = (0o40755, 0) if node == 1 else (0o100600, len(text))
    return struct.pack("=QQQQQQIIIIIIIIII", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(unique, body=b"", error=0):
    os.write(device, struct.pack("=IiQ", 16 + len(body), -error, unique) + body)


def let_go(*_):
    global opened
    opened = True
    while waiting:
        unique, wanted = waiting.pop()
        answer(unique, text[wanted])


signal.signal(signal.SIGUSR1, let_go)
while True:
    select.select([device], [], [])
    request = os.read(device, 1 << 20)
    _, kind, unique, node = struct.unpack_from("=IIQQ", request)
    body = request[40:]
    if kind == INIT:
        answer(unique, struct.pack("=IIIIHHIIHHI", 7, 31, 65536, 0, 8, 6, 65536, 1, 0, 0, 0) + bytes(24))
    elif kind == LOOKUP:
        if body.rstrip(b"\0") == b"key":
            answer(unique, struct.pack("=QQQQII", 2, 0, 1, 1, 0, 0) + attributes(2))
        else:
            answer(unique, error=2)
    elif kind == GETATTR:
        answer(unique, struct.pack("=QII", 1, 0, 0) + attributes(node))
    elif kind == OPEN:
        answer(unique, struct.pack("=QIi", 1, 1, 0))  # no cache
    elif kind == READ:
        offset, size = struct.unpack_from("=QI", body, 8)
        wanted = slice(offset, offset + size)
        if opened or offset:
            answer(unique, text[wanted])
        else:
            print("waits", flush=True)
            waiting.append((unique, wanted))
    elif kind in (RELEASE, FLUSH):
        answer(unique)
    elif kind not in (FORGET, FORGETS, INTERRUPT):
        answer(unique, error=38)
