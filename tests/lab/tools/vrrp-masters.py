#!/usr/bin/python3
"""vrrp-masters - who was master when, from a capture.

  vrrp-masters PCAP INTERVAL_S        per VRID: the reigns, as "FROM TO SOURCE PRIORITY ADVERTS"
  vrrp-masters --regular PCAP INTERVAL_S ADDRESS [SINCE UNTIL]
                                      the adverts of ADDRESS in that time: are all of them on their beat?
                                      SINCE, UNTIL: seconds since the epoch
  vrrp-masters --never-late PCAP INTERVAL_S ADDRESS    the same, but one may come before its time
  vrrp-masters --arp PCAP SINCE UNTIL number of gratuitous ARP packets in that time

Exit 1 if two routers were master of one VRID at a time: each sent an advert of
priority above 0 after the other's, within two intervals.  (A preempted master
may send one more: that is a hand-over, not two masters.)
"""
import socket, struct, sys


def packets(path):
    """(time, ethertype, bytes above Ethernet) of a capture file."""
    data = open(path, "rb").read()
    scale = 1e9 if struct.unpack("<I", data[:4])[0] == 0xA1B23C4D else 1e6
    at = 24
    while at + 16 <= len(data):
        seconds, part, size, _ = struct.unpack("<IIII", data[at:at + 16])
        frame = data[at + 16:at + 16 + size]
        at += 16 + size
        if len(frame) == size and size >= 14:
            yield seconds + part / scale, struct.unpack("!H", frame[12:14])[0], frame[14:]


def adverts(path):
    """(time, source, VRID, priority)"""
    for when, kind, b in packets(path):
        if kind == 0x800 and len(b) > 28 and b[9] in (51, 112):
            vrrp = b[(b[0] & 15) * 4 + (24 if b[9] == 51 else 0):]
            yield when, socket.inet_ntoa(b[12:16]), vrrp[1], vrrp[2]
        elif kind == 0x86DD and len(b) > 48 and b[6] == 112:
            yield when, socket.inet_ntop(socket.AF_INET6, b[8:24]), b[41], b[42]


def regular(path, interval, address, since=0.0, until=9e18, early=False):
    """All gaps of each VRID within 10 % (and 60 ms, for a busy machine) of the interval."""
    last, bad, n = {}, 0, 0
    for when, source, vrid, _ in adverts(path):
        if source != address or not since <= when <= until:
            continue
        n += 1
        if vrid in last:
            gap = when - last[vrid]
            if abs(gap - interval) > interval * 0.1 + 0.06 and not (early and gap < interval):
                bad += 1
                print("VRID %d: %.3f s between two adverts, at %.3f" % (vrid, gap, when))
        last[vrid] = when
    print("%d adverts of %s, %d out of turn" % (n, address, bad))
    return 1 if bad or not n else 0


def reigns(path, interval):
    by_vrid, bad = {}, 0
    for advert in adverts(path):
        by_vrid.setdefault(advert[2], []).append(advert)
    for vrid, all_of in sorted(by_vrid.items()):
        runs = []  # [from, to, source, priority, count]
        for when, source, _, priority in all_of:
            if priority == 0:
                continue
            if runs and runs[-1][2] == source:
                runs[-1][1], runs[-1][3] = when, priority
                runs[-1][4] += 1
            else:
                runs.append([when, when, source, priority, 1])
        for r in runs:
            print("%d %.3f %.3f %s %d %d" % (vrid, *r))
        # A B A B within two intervals: neither gives in
        for a, b, c, d in zip(runs, runs[1:], runs[2:], runs[3:]):
            if a[2] == c[2] and b[2] == d[2] and c[0] - a[1] < 2 * interval and d[0] - b[1] < 2 * interval:
                bad += 1
                print("VRID %d: two masters, %s and %s, at %.3f" % (vrid, a[2], b[2], c[0]))
    if not by_vrid:
        print("no VRRP at all")
    return 1 if bad or not by_vrid else 0


def gratuitous(path, since, until):
    """ARP packets that announce (sender and target address are the same)."""
    return sum(1 for when, kind, b in packets(path)
               if kind == 0x806 and since <= when <= until and len(b) >= 28 and b[14:18] == b[24:28])


words = sys.argv[1:]
if words[0] == "--regular":
    sys.exit(regular(words[1], float(words[2]), words[3], *map(float, words[4:6])))
if words[0] == "--never-late":
    sys.exit(regular(words[1], float(words[2]), words[3], early=True))
if words[0] == "--arp":
    print(gratuitous(words[1], float(words[2]), float(words[3])))
else:
    sys.exit(reigns(words[0], float(words[1])))
