#!/usr/bin/python3
"""failover-figures LABEL=DIR... - what the captures of `failover` say.

Per program and way of losing the master, in milliseconds:
  takeover   the event to the first gratuitous ARP of the next master
  beyond     how much later than the protocol allows: 3 x interval + skew after the
             last advert heard, or the skew after the advert of priority 0
"""
import os, socket, statistics, struct, sys

VIP, OLD, NEW, NEW_MAC = "10.77.1.200", "10.77.1.11", "10.77.1.12", bytes.fromhex("02770100000c")
SKEW = (256 - 120) / 256
LIMIT = 3 + SKEW


def capture(path):
    """(time, kind, source, priority): kind is "advert" or "announcement"."""
    data = open(path, "rb").read()
    scale = 1e9 if struct.unpack("<I", data[:4])[0] == 0xA1B23C4D else 1e6
    at = 24
    while at + 16 <= len(data):
        seconds, part, size, _ = struct.unpack("<IIII", data[at:at + 16])
        f = data[at + 16:at + 16 + size]
        at += 16 + size
        when, kind = seconds + part / scale, f[12:14]
        if kind == b"\x08\0" and len(f) > 40 and f[23] == 112:
            yield when, "advert", socket.inet_ntoa(f[26:30]), f[14 + (f[14] & 15) * 4 + 2]
        elif kind == b"\x08\x06" and len(f) >= 42 and f[28:32] == f[38:42] == socket.inet_aton(VIP) and f[6:12] == NEW_MAC:
            yield when, "announcement", NEW, None


def figures(directory):
    """{mode: ([takeover], [beyond])}"""
    seen, found = list(capture(os.path.join(directory, "capture.pcap"))), {}
    for line in open(os.path.join(directory, "events")):
        event, mode = float(line.split()[0]), line.split()[1]
        first = next((t for t, kind, *_ in seen if kind == "announcement" and t > event), None)
        if mode == "stop":
            base = next((t for t, kind, source, p in seen if kind == "advert" and source == OLD and p == 0 and t > event - 0.01), None)
            allowed = SKEW
        else:
            base = max((t for t, kind, source, p in seen if kind == "advert" and source == OLD and t <= event + 0.02), default=None)
            allowed = LIMIT
        if first is None or base is None:
            print("%s: an event without a takeover (%s at %.3f)" % (directory, mode, event), file=sys.stderr)
            continue
        takeover, beyond = found.setdefault(mode, ([], []))
        takeover.append((first - event) * 1e3)
        beyond.append((first - base - allowed) * 1e3)
    return found


good = False
print("%-22s %-9s %4s  %21s  %8s  %21s" % ("program", "mode", "runs", "takeover, ms", "limit", "beyond the limit, ms"))
print("%-22s %-9s %4s  %10s %10s  %8s  %10s %10s" % ("", "", "", "median", "worst", "", "median", "worst"))
for word in sys.argv[1:]:
    label, directory = word.split("=", 1)
    try:
        found = figures(directory)
    except OSError as error:
        print("%s: %s" % (label, error), file=sys.stderr)
        continue
    for mode, (takeover, beyond) in found.items():
        good = True
        print("%-22s %-9s %4d  %10.1f %10.1f  %8.1f  %10.2f %10.2f" % (
            label, mode, len(takeover), statistics.median(takeover), max(takeover), (SKEW if mode == "stop" else LIMIT) * 1e3,
            statistics.median(beyond), max(beyond)))
sys.exit(0 if good else 1)
