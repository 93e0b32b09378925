#!/usr/bin/python3
"""vrrp-inject - which adverts does a VRRP router believe, and which disturb it?

  vrrp-inject --config VERSION                      prints a configuration, one instance per case
  vrrp-inject IFACE MY_ADDRESS PEER_ADDRESS VERSION

The peer is master of every instance (priority 100, interval 1 s).  To each we
send one kind of advert, every 0.3 s, for ten seconds.  Judged from the wire
alone, so any implementation can be the peer:
  believed   it must fall silent
  rejected   it must go on, each second: a rejected packet touches no timer
             (V-080: keepalived 2.2.7 arms its timer anew and stays silent)
  answered   it must go on, each second or sooner (lower priority, priority 0)
One TAP-like line per case.
"""
import select, socket, struct, sys, time

FIRST_VRID, FIRST_HOST, PASSWORD = 100, 130, b"1111\0\0\0\0"
EVERY, LENGTH, GROUP = 0.3, 10.0, "224.0.0.18"
listing = sys.argv[1] == "--config"
version = int(sys.argv[2] if listing else sys.argv[4])
iface, me, peer = (None,) * 3 if listing else sys.argv[1:4]


def ones_sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def advert(case, prio=200, ver=None, kind=1, ttl=255, addresses=None, count=None, checksum="good", interval=None,
           source=None, auth_type=None, auth=PASSWORD, cut=0, pad=b"", vrid=None):
    """One Ethernet frame."""
    ver, source = version if ver is None else ver, source or me
    addresses = [vip(case)] if addresses is None else addresses
    count = len(addresses) if count is None else count
    vrid = FIRST_VRID + case if vrid is None else vrid
    body = b"".join(socket.inet_aton(a) for a in addresses)
    if ver == 2:
        auth_type = 1 if auth_type is None else auth_type
        packet = struct.pack("!BBBBBBH", 0x20 | kind, vrid, prio, count, auth_type, 1 if interval is None else interval, 0)
        packet += body + auth
    else:
        packet = struct.pack("!BBBBHH", ver << 4 | kind, vrid, prio, count, 100 if interval is None else interval, 0) + body
    packet = packet[:len(packet) - cut] + pad
    pseudo = b""
    if ver != 2 and checksum != "no pseudo header":
        pseudo = socket.inet_aton(source) + socket.inet_aton(GROUP) + struct.pack("!BBH", 0, 112, len(packet))
    value = {"zero": 0}.get(checksum, ones_sum(pseudo + packet))
    if checksum == "bad":
        value ^= 0x1234
    packet = packet[:6] + struct.pack("!H", value)[:max(0, len(packet) - 6)] + packet[8:]
    head = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(packet), 0, 0, ttl, 112, 0) + socket.inet_aton(source) + socket.inet_aton(GROUP)
    head = head[:10] + struct.pack("!H", ones_sum(head)) + head[12:]
    mac = bytes.fromhex(open("/sys/class/net/%s/address" % iface).read().strip().replace(":", ""))
    return b"\x01\0\x5e\0\0\x12" + mac + b"\x08\0" + head + packet


def vip(case):
    return "10.77.1.%d" % (FIRST_HOST + case)


CASES = [  # what, arguments of advert(), verdict (None: only reported)
    ("a valid advert of higher priority", dict(), "believed"),
    ("priority 255", dict(prio=255), "believed"),
    ("lower priority", dict(prio=50), "answered"),
    ("priority 0", dict(prio=0), "answered"),
    ("a bad checksum", dict(checksum="bad"), "rejected"),
    ("checksum zero", dict(checksum="zero"), "rejected"),
    ("TTL 254", dict(ttl=254), "rejected"),
    ("TTL 1", dict(ttl=1), "rejected"),
    ("another VRID", dict(vrid=99), "rejected"),
    ("VRID 0", dict(vrid=0), "rejected"),
    ("the other version", dict(ver=5 - version), "rejected"),
    ("version 4", dict(ver=4), "rejected"),
    ("type 2", dict(kind=2), "rejected"),
    ("a packet cut by four bytes", dict(cut=4), "rejected"),
    ("a packet of seven bytes", dict(cut=13 if version == 2 else 5), "rejected"),
    ("two addresses promised, one there", dict(count=2), "rejected"),
    ("no address", dict(addresses=[]), None),
    ("another address", dict(addresses=["10.77.1.99"]), None),
    ("from its own address", dict(source="peer"), None),
]
if version == 2:
    CASES += [
        ("a wrong password", dict(auth=b"2222\0\0\0\0"), "rejected"),
        ("no authentication", dict(auth_type=0, auth=b"\0" * 8), "rejected"),
        ("another interval", dict(interval=7), "rejected"),
    ]
else:
    CASES += [
        # RFC 9568 sums so, RFC 5798 the other way: both are in use, and both are believed.
        ("a checksum without the pseudo header", dict(checksum="no pseudo header"), "believed"),
        ("another interval", dict(interval=150), "believed"),
    ]

if listing:
    print("global_defs {\n    router_id d1\n    vrrp_version %d\n}" % version)
    for i in range(len(CASES)):
        lines = ["state BACKUP", "interface eth0", "virtual_router_id %d" % (FIRST_VRID + i), "priority 100", "advert_int 1"]
        if version == 2:
            lines.append("authentication {\n        auth_type PASS\n        auth_pass 1111\n    }")
        lines.append("virtual_ipaddress {\n        %s/24\n    }" % vip(i))
        print("vrrp_instance V%d {\n    %s\n}" % (FIRST_VRID + i, "\n    ".join(lines)))
    sys.exit(0)

rx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800))
rx.bind((iface, 0x800))
rx.setsockopt(263, 1, struct.pack("iHH8s", socket.if_nametoindex(iface), 1, 0, b""))  # hear the group
tx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
tx.bind((iface, 0))


def listen(until, seen):
    """Note the time of each of the peer's adverts of priority above 0, by VRID."""
    while (left := until - time.monotonic()) > 0:
        if not select.select([rx], [], [], left)[0]:
            return
        frame, address = rx.recvfrom(2048)
        if address[2] == socket.PACKET_OUTGOING or len(frame) < 42 or frame[23] != 112 or socket.inet_ntoa(frame[26:30]) != peer:
            continue
        vrrp = frame[14 + (frame[14] & 15) * 4:]
        if len(vrrp) > 2 and vrrp[2] > 0:
            seen.setdefault(vrrp[1], []).append(time.monotonic())


deadline = time.monotonic() + 20
while True:  # everybody must be master before we begin
    seen = {}
    listen(time.monotonic() + 1.5, seen)
    mute = [CASES[i][0] for i in range(len(CASES)) if FIRST_VRID + i not in seen]
    if not mute:
        break
    if time.monotonic() > deadline:
        print("not ok - the peer is not master of the instances of:", "; ".join(mute))
        sys.exit(1)

frames = []
for i, (what, arguments, want) in enumerate(CASES):
    arguments = {k: peer if v == "peer" else v for k, v in arguments.items()}
    frames.append(advert(i, **arguments))
seen, start = {}, time.monotonic()
beat = start
while beat < start + LENGTH:
    for f in frames:
        tx.send(f)
    beat += EVERY
    listen(beat, seen)

fails = 0
for i, (what, arguments, want) in enumerate(CASES):
    times = [t - start for t in seen.get(FIRST_VRID + i, [])]
    gap = max(b - a for a, b in zip([0.0] + times, times + [LENGTH]))
    silent = not any(t > 2.0 for t in times)
    figures = "%d adverts in %.0f s, longest silence %.2f s" % (len(times), LENGTH, gap)
    if want is None:
        print("# v%d %s: %s (%s)" % (version, what, "silent" if silent else "goes on", figures))
        continue
    if want == "believed":
        good = silent
    elif want == "rejected":
        good = gap < 1.4 and len(times) <= LENGTH + 2
    else:
        good = gap < 1.4
    fails += not good
    print("%s - v%d %s: %s (%s)" % ("ok" if good else "not ok", version, what, want, figures))
sys.exit(1 if fails else 0)
