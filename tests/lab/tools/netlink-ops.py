#!/usr/bin/python3
"""netlink-ops PCAP IPVS_FAMILY SINCE - what was asked of the kernel that changes it.

PCAP is a capture of an nlmon interface.  One line per request since that time:
addresses, routes, rules, links, and the commands of the IPVS family that change
its table.  Questions (dumps) do not count.
"""
import struct, sys

ROUTE = {16: "NEWLINK", 17: "DELLINK", 19: "SETLINK", 20: "NEWADDR", 21: "DELADDR", 24: "NEWROUTE", 25: "DELROUTE", 32: "NEWRULE", 33: "DELRULE"}
IPVS = {1: "NEW_SERVICE", 2: "SET_SERVICE", 3: "DEL_SERVICE", 5: "NEW_DEST", 6: "SET_DEST", 7: "DEL_DEST", 9: "NEW_DAEMON",
        10: "DEL_DAEMON", 12: "SET_CONFIG", 16: "ZERO", 17: "FLUSH"}
data = open(sys.argv[1], "rb").read()
family, since = int(sys.argv[2]), float(sys.argv[3])
link = struct.unpack("<I", data[20:24])[0] & 0xFFFF
if link != 253:
    sys.exit("netlink-ops: not a capture of netlink (link type %d)" % link)
at = 24
while at + 16 <= len(data):
    seconds, micro, size, _ = struct.unpack("<IIII", data[at:at + 16])
    packet = data[at + 16:at + 16 + size]
    at += 16 + size
    if seconds + micro / 1e6 < since or len(packet) < 16:
        continue
    protocol, = struct.unpack("!H", packet[14:16])
    message = packet[16:]
    while len(message) >= 16:
        length, kind, flags = struct.unpack("=IHH", message[:8])
        if length < 16 or length > len(message):
            break
        body = message[16:length]
        if flags & 1:  # a request, not what the kernel says
            name = None
            if protocol == 0:
                name = ROUTE.get(kind)
            elif protocol == 16 and kind == family and body:
                name = IPVS.get(body[0])
            if name:
                print(name)
        message = message[(length + 3) & ~3:]
