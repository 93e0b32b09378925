#!/usr/bin/env python3
"""trap-sink.py PORT FILE - receives SNMPv2c notifications on 127.0.0.1 and appends one line for each:
OID=TYPE:VALUE, blank separated, in the order of the packet; sysUpTime is left out."""
import socket
import sys

TYPES = {2: "INTEGER", 4: "STRING", 6: "OID", 0x40: "IpAddress", 0x41: "Counter32",
         0x42: "Gauge32", 0x43: "Timeticks", 0x46: "Counter64"}


def element(data, at):
    """Tag, contents and where the next element begins (X.690, definite lengths)."""
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, at = int.from_bytes(data[at:at + size], "big"), at + size
    return tag, data[at:at + length], at + length


def elements(data):
    at, found = 0, []
    while at < len(data):
        tag, contents, at = element(data, at)
        found.append((tag, contents))
    return found


def oid(contents):
    numbers, value = [], 0
    for byte in contents:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first] + numbers[1:]))


def shown(tag, contents):
    if tag == 6:
        return oid(contents)
    if tag == 0x40:
        return ".".join(map(str, contents))
    if tag == 4:
        printable = all(32 <= byte < 127 for byte in contents)
        return contents.decode() if printable else contents.hex()
    return str(int.from_bytes(contents, "big", signed=tag == 2))


def line(packet):
    _, message, _ = element(packet, 0)
    pdu = elements(message)[2]
    bindings = elements(elements(pdu[1])[3][1])
    words = []
    for _, binding in bindings:
        (_, name), (tag, value) = elements(binding)
        if oid(name) != "1.3.6.1.2.1.1.3.0":
            words.append(f"{oid(name)}={TYPES.get(tag, hex(tag))}:{shown(tag, value)}")
    return " ".join(words)


def main():
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.bind(("127.0.0.1", int(sys.argv[1])))
    print("ready", flush=True)
    while True:
        packet = sink.recv(65535)
        with open(sys.argv[2], "a", encoding="utf-8") as file:
            file.write(line(packet) + "\n")


main()
