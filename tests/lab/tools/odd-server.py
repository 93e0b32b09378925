#!/usr/bin/env python3
"""Servers that behave as servers sometimes do: odd-server.py CERTIFICATE KEY KIND:MANNER:PORT...

KIND is tcp, http, ssl, smtp, dns or udp; what each MANNER does is below."""
import socket
import ssl
import struct
import sys
import threading
import time

ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"
GARBAGE = b"\x00\xff\x01\xfe\n\r\n\n" * 64


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def wait_for_end(client):
    while client.recv(4096):
        pass


def last_word(client, manner, word):
    half = word[: len(word) // 2]
    if manner == "reset-midway":
        client.sendall(half)
        time.sleep(0.2)
        reset(client)
        return
    if manner == "ends-midway":
        client.sendall(half)
        client.shutdown(socket.SHUT_WR)
    elif manner == "stalls-midway":
        client.sendall(half)
    elif manner == "drips":
        for byte in word:
            client.sendall(bytes([byte]))
            time.sleep(0.3)
    elif manner == "garbage":
        client.sendall(GARBAGE)
    elif manner == "huge":
        client.sendall(word.replace(b"Content-Length: 5\r\n", b""))
        while True:
            client.sendall(b"x" * 65536)
    else:
        client.sendall(word)
        if manner == "up":
            return
    wait_for_end(client)


def talk(client, kind, manner, context):
    if manner == "silent":
        wait_for_end(client)
        return
    if manner == "reset":
        reset(client)
        return
    if manner in ("plain", "alert"):
        client.recv(4096)
        client.sendall(b"HTTP/1.0 400 No\r\n\r\n" if manner == "plain" else b"\x15\x03\x03\x00\x02\x02\x46")
        wait_for_end(client)
        return
    if kind == "ssl":
        client = context.wrap_socket(client, server_side=True)
    if kind in ("http", "ssl"):
        client.recv(4096)
        word = ANSWER.replace(b"200 OK", b"500 No") if manner == "status-500" else ANSWER
        if manner == "short":
            word = ANSWER.replace(b"hello", b"he")
            client.sendall(word)
            client.shutdown(socket.SHUT_WR)
        else:
            last_word(client, manner, word)
    elif kind == "smtp":
        if manner == "busy":
            last_word(client, "up", b"421 later\r\n")
            return
        if manner in ("garbage", "huge"):
            last_word(client, manner, b"220-")
            return
        client.sendall(b"220 here\r\n")
        client.recv(4096)
        last_word(client, manner, b"250-here\r\n250 well\r\n" if manner == "two-lines" else b"250 well\r\n")
        if manner == "up":
            client.recv(4096)
            client.sendall(b"221 bye\r\n")
    else:
        wait_for_end(client)


def connection(client, *how):
    try:
        talk(client, *how)
    except OSError:
        pass
    finally:
        client.close()


def stream(listener, *how):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=connection, args=(client, *how), daemon=True).start()


def datagrams(server, kind, manner):
    while True:
        heard, peer = server.recvfrom(2048)
        if kind == "dns" and len(heard) > 12:
            code = 2 if manner == "servfail" else 0
            answer = heard[:2] + bytes([heard[2] | 0x80, 0x80 | code]) + heard[4:]
        else:
            answer = b"pong"
        if manner == "garbage":
            answer = b"\xff" * 99
        if manner != "silent":
            server.sendto(answer, peer)


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    for row in sys.argv[3:]:
        kind, manner, port = row.split(":")
        if kind in ("dns", "udp"):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind(("", int(port)))
            how = (datagrams, (server, kind, manner))
        else:
            server = socket.create_server(("", int(port)), backlog=64)
            how = (stream, (server, kind, manner, context))
        threading.Thread(target=how[0], args=how[1], daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


main()
