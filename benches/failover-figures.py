#!/usr/bin/python3
"""failover-figures DIR... - what the captures of `failover` say.  DIR is PROGRAM,VERSION:INTERVAL:ADDRESSES,MODE.

Per program and way of losing the master, in milliseconds:
  takeover   the event to the first gratuitous ARP of the next master; of a killed child to the
             next advert, whoever sends it
  beyond     how much later than the protocol allows: 3 x interval + skew after the last advert
             heard, or the skew after the advert of priority 0; of an advert of the same master,
             how much later than the interval
  added      the new master's first advert until its last address is in the kernel
  announced  the same until the last address has been announced
"""
import os, re, socket, statistics, struct, sys, time

OLD, NEW, NEW_MAC = "10.77.1.11", "10.77.1.12", bytes.fromhex("02770100000c")


def capture(path):
    """(time, "advert", source, priority) or (time, "announcement", address, None), of the new master"""
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
        elif kind == b"\x08\x06" and len(f) >= 42 and f[28:32] == f[38:42] and f[6:12] == NEW_MAC:
            yield when, "announcement", f[28:32], None


def monitored(path):
    """Times at which addresses came."""
    if not os.path.exists(path):
        return []
    found = (re.match(r"\[(\S+)\.(\d+)\] \d+: \S+\s+inet 10\.78\.", line) for line in open(path))
    return [time.mktime(time.strptime(m[1], "%Y-%m-%dT%H:%M:%S")) + float("0." + m[2]) for m in found if m]


def figures(directory, version, interval, addresses, mode):
    """Lists of takeover, beyond, added, announced; how often the address moved."""
    seen, came = list(capture(os.path.join(directory, "capture.pcap"))), monitored(os.path.join(directory, "monitor"))
    takeover, beyond, added, announced, moves = [], [], [], [], 0
    skew = (256 - 120) / 256 * (interval if version == 3 else 1)
    for line in open(os.path.join(directory, "events")):
        event, end = map(float, line.split())
        window = [x for x in seen if event - 2 * interval - 0.5 < x[0] < end]
        new = next((t for t, kind, who, p in window if kind == "advert" and who == NEW and t > event), None)
        if new is None and mode == "child":
            old = [t for t, kind, who, p in window if kind == "advert" and who == OLD and p > 0]
            late = max(b - a for a, b in zip(old, old[1:]) if b > event)
            takeover.append((min(t for t in old if t > event) - event) * 1e3)
            beyond.append((late - interval) * 1e3)
            continue
        first = next((t for t, kind, *_ in window if kind == "announcement" and t > event), None)
        if first is None:
            print("%s: an event without a takeover at %.3f" % (directory, event), file=sys.stderr)
            continue
        moves += 1
        goodbye = [t for t, kind, who, p in window if kind == "advert" and who == OLD and p == 0 and event - 0.01 < t <= new]
        heard = [t for t, kind, who, p in window if kind == "advert" and who == OLD and p > 0 and t <= new]
        base, allowed = (goodbye[-1], skew) if goodbye else (heard[-1], 3 * interval + skew)
        takeover.append((first - event) * 1e3)
        beyond.append((first - base - allowed) * 1e3)
        each = {}
        for t, kind, what, _ in window:
            if kind == "announcement" and t > event:
                each.setdefault(what, t)
        if len(each) == addresses:
            announced.append((max(each.values()) - new) * 1e3)
        else:
            print("%s: %d of %d addresses announced at %.3f" % (directory, len(each), addresses, event), file=sys.stderr)
        mine = [t for t in came if event < t < end]
        if mine:
            added.append((max(mine) - new) * 1e3)
    return takeover, beyond, added, announced, moves


def pair(values):
    return "%9.2f %9.2f" % (statistics.median(values), max(values)) if values else "%9s %9s" % ("-", "-")


good = False
print("%-9s %6s %5s %-9s %-12s %4s %5s | %19s | %19s | %19s | %19s" % (
    "version", "every", "addr.", "mode", "program", "runs", "moves", "takeover, ms", "beyond, ms", "added, ms", "announced, ms"))
print("%-57s" % "" + " | %9s %9s" % ("median", "worst") * 4)
order = sorted(sys.argv[1:], key=lambda word: [sys.argv.index(w) for w in sys.argv if w.split(",")[1:] == word.split(",")[1:]][0])
for directory in order:
    program, cell, mode = os.path.basename(directory).split(",")
    version, interval, addresses = int(cell.split(":")[0]), float(cell.split(":")[1]), int(cell.split(":")[2])
    try:
        takeover, beyond, added, announced, moves = figures(directory, version, interval, addresses, mode)
    except OSError as error:
        print("%s: %s" % (directory, error), file=sys.stderr)
        continue
    good |= bool(takeover)
    print("VRRPv%d    %4g s %5d %-9s %-12s %4d %5d | %s | %s | %s | %s" % (
        version, interval, addresses, mode, program, len(takeover), moves, pair(takeover), pair(beyond), pair(added), pair(announced)))
sys.exit(0 if good else 1)
