#!/usr/bin/env python3
"""A server of HTTP/2 that answers each connection once: http2-server.py PORT FILE [CERTIFICATE KEY].

What stands in FILE when somebody asks: a number is the health that gRPC is told (1 SERVING,
2 NOT_SERVING, ...), `status N` its grpc-status, any other text a page."""
import socket
import ssl
import sys
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, HEADERS, DATA = 4, 1, 0
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def field(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def answer(text):
    yield frame(SETTINGS, 0, 0, b"")
    status = text.removeprefix("status ")
    if not status.isdigit():
        yield frame(HEADERS, END_HEADERS, 1, b"\x88")
        yield frame(DATA, END_STREAM, 1, text.encode())
        return
    yield frame(HEADERS, END_HEADERS, 1, b"\x88" + field(b"content-type", b"application/grpc"))
    if status == text:
        yield frame(DATA, 0, 1, bytes([0, 0, 0, 0, 2, 8, int(text)]))
        status = "0"
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, field(b"grpc-status", status.encode()))


def asked(client):
    """Reads until a request has come: before that an answer would be against the rules."""
    got = b""
    while part := client.recv(4096):
        got += part
        rest = got[len(PREFACE):]
        while len(rest) >= 9:
            if rest[3] == HEADERS:
                return got.startswith(PREFACE)
            rest = rest[9 + int.from_bytes(rest[:3], "big"):]
    return False


def talk(client, path, context):
    try:
        if context:
            client = context.wrap_socket(client, server_side=True)
        if asked(client):
            with open(path) as file:
                client.sendall(b"".join(answer(file.read().strip())))
            while client.recv(4096):
                pass
    except OSError:
        pass
    finally:
        client.close()


def main():
    port, path, *identity = sys.argv[1:]
    context = None
    if identity:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*identity)
        context.set_alpn_protocols(["h2"])
    server = socket.create_server(("", int(port)), backlog=64)
    while True:
        client, _ = server.accept()
        threading.Thread(target=talk, args=(client, path, context), daemon=True).start()


main()
