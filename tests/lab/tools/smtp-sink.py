#!/usr/bin/env python3
"""A mail server that keeps everything: smtp-sink.py PORT FILE [refuse]

Each line that it gets goes to FILE, with its line end shown; `refuse` answers RCPT with 550."""
import socket
import sys

port, path = int(sys.argv[1]), sys.argv[2]
refuse = sys.argv[3:] == ["refuse"]
server = socket.create_server(("127.0.0.1", port), backlog=16)
print("ready", flush=True)
while True:
    client, _ = server.accept()
    lines = client.makefile("rb")
    with open(path, "a") as log:
        client.sendall(b"220 sink\r\n")
        body = False
        for line in lines:
            log.write(line.decode("latin-1").replace("\r", "\\r").replace("\n", "\\n") + "\n")
            log.flush()
            word = line[:4].upper()
            if body:
                if line == b".\r\n":
                    body = False
                    client.sendall(b"250 kept\r\n")
            elif word == b"DATA":
                body = True
                client.sendall(b"354 go on\r\n")
            elif word == b"RCPT" and refuse:
                client.sendall(b"550 nobody here\r\n")
            elif word == b"QUIT":
                client.sendall(b"221 bye\r\n")
                break
            else:
                client.sendall(b"250 well\r\n")
    client.close()
