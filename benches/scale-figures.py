#!/usr/bin/python3
"""scale-figures --line PREFIX    one JSON line of what a run of `scale` wrote
scale-figures --table FILE        the table of such lines: medians, the worst takeover

PREFIX is PROGRAM,CELL,RUN; the files of its windows are PREFIX,calm and PREFIX,busy
(begin, end, nanoseconds of master and backup, kilobytes of both) with captures beside them.
"""
import json, socket, statistics, struct, sys


def adverts(path):
    """(time, (interface, VRID), last byte of the source) of a capture on "any"."""
    data = open(path, "rb").read()
    kind = struct.unpack("<I", data[20:24])[0] & 0xFFFF
    scale = 1e9 if struct.unpack("<I", data[:4])[0] == 0xA1B23C4D else 1e6
    at = 24
    while at + 16 <= len(data):
        seconds, part, size, _ = struct.unpack("<IIII", data[at:at + 16])
        p = data[at + 16:at + 16 + size]
        at += 16 + size
        b = p[20:] if kind == 276 else p[16:]
        if len(b) > 28 and b[9] == 112:
            # the cable is the third byte of the source: 10.80.CABLE.NODE
            yield seconds + part / scale, (b[14], b[(b[0] & 15) * 4 + 1]), b[15]


def share(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else float("nan")


def line(prefix):
    program, cell, run = prefix.rsplit("/", 1)[-1].split(",")
    instances, version, interval = int(cell.split(":")[0]), int(cell.split(":")[1]), float(cell.split(":")[2])
    out = {"program": program, "cell": cell, "run": int(run)}
    for window in ("calm", "busy"):
        words = open("%s,%s" % (prefix, window)).read().split()
        seconds = float(words[1]) - float(words[0])
        last, late, count = {}, [], 0
        for when, router, node in adverts("%s,%s.pcap" % (prefix, window)):
            if node == 1:
                count += 1
                if router in last:
                    late.append(abs(when - last[router] - interval) * 1e3)
                last[router] = when
        sent = instances / interval * seconds
        out[window] = {
            "master_percent": int(words[2]) / seconds / 1e7, "backup_percent": int(words[3]) / seconds / 1e7,
            "master_us": int(words[2]) / sent / 1e3, "backup_us": int(words[3]) / sent / 1e3,
            "master_kb": int(words[4]), "backup_kb": int(words[5]),
            "p99": share(late, 0.99), "worst": max(late, default=float("nan")), "seen": count, "routers": len(last),
        }
    heard, first = {}, {}
    for when, router, node in adverts(prefix + ",takeover.pcap"):
        if node == 1:
            heard[router] = when
        elif router in heard:
            first.setdefault(router, when)
    limit = 3 * interval + 156 / 256 * (interval if version == 3 else 1)
    late = [(first[r] - heard[r] - limit) * 1e3 for r in first]
    out["takeover"] = {"median": statistics.median(late) if late else float("nan"), "worst": max(late, default=float("nan")), "routers": len(late)}
    print(json.dumps(out), flush=True)


def table(path):
    rows = [json.loads(text) for text in open(path) if text.startswith("{")]
    print("%-12s %-12s %4s | %8s %8s | %8s %8s | %8s %8s | %9s %9s | %9s %9s | %9s %9s" % (
        "cell", "program", "runs", "master", "backup", "us/adv", "us/adv", "MB", "MB", "p99 ms", "worst", "busy p99", "worst", "takeover", "worst"))
    for key in dict.fromkeys((r["cell"], r["program"]) for r in rows):
        same = [r for r in rows if (r["cell"], r["program"]) == key]
        middle = lambda window, word: statistics.median(r[window][word] for r in same)
        most = lambda window, word: max(r[window][word] for r in same)
        print("%-12s %-12s %4d | %7.2f%% %7.2f%% | %8.1f %8.1f | %8.1f %8.1f | %9.2f %9.1f | %9.2f %9.1f | %9.2f %9.1f" % (
            *key, len(same), middle("calm", "master_percent"), middle("calm", "backup_percent"),
            middle("calm", "master_us"), middle("calm", "backup_us"), middle("calm", "master_kb") / 1024, middle("calm", "backup_kb") / 1024,
            middle("calm", "p99"), most("calm", "worst"), middle("busy", "p99"), most("busy", "worst"),
            middle("takeover", "median"), most("takeover", "worst")))


if sys.argv[1] == "--line":
    line(sys.argv[2])
else:
    table(sys.argv[2])
