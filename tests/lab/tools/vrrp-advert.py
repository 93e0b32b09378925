#!/usr/bin/python3
"""vrrp-advert IFACE MY_ADDRESS VERSION VRID VIP TTL [PASSWORD] - sends one advert of priority 1, interval 2 s
(version 2) or 0.5 s (version 3)."""
import socket
import struct
import sys

iface, me, version, vrid, vip, ttl = sys.argv[1:7]
password = (sys.argv[7] if len(sys.argv) > 7 else "").encode()


def ones_sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


group = "224.0.0.18"
if version == "2":
    packet = struct.pack("!BBBBBBH", 0x21, int(vrid), 1, 1, 1 if password else 0, 2, 0)
    packet += socket.inet_aton(vip) + password.ljust(8, b"\0")[:8]
    pseudo = b""
else:
    packet = struct.pack("!BBBBHH", 0x31, int(vrid), 1, 1, 50, 0) + socket.inet_aton(vip)
    pseudo = socket.inet_aton(me) + socket.inet_aton(group) + struct.pack("!BBH", 0, 112, len(packet))
packet = packet[:6] + struct.pack("!H", ones_sum(pseudo + packet)) + packet[8:]
sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, int(ttl))
sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(me))
sender.sendto(packet, (group, 0))
