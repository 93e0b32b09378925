#!/usr/bin/python3
"""hmac-check - are the trailers of `auth_hmac` in a capture right?

  hmac-check PCAP KEY_ID=KEY...       KEY: text, or hex:...
  hmac-check --replay IFACE PCAP [SINCE UNTIL]    sends captured adverts again, as they were, from here

It knows Python's hmac and nothing of ours.  Checked of each VRRP packet: the
trailer is there (28 bytes behind the message), made with a key of the list for
this sender, the stamps of each sender and router grow, and its seconds are at
most two away from the capture's.  The checksum of IPv4 is that of the message;
tshark, which takes the trailer for a part of it, says otherwise.  Exit 0 when all is well; prints how many
packets, by VRID and key.
"""
import collections, hashlib, hmac, ipaddress, socket, struct, sys


def packets(path):
    """(time, frame) of a capture file."""
    data = open(path, "rb").read()
    scale = 1e9 if struct.unpack("<I", data[:4])[0] == 0xA1B23C4D else 1e6
    at = 24
    while at + 16 <= len(data):
        seconds, part, size, _ = struct.unpack("<IIII", data[at:at + 16])
        frame = data[at + 16:at + 16 + size]
        at += 16 + size
        if len(frame) == size:
            yield seconds + part / scale, frame


def adverts(path):
    """(time, source, destination, what follows the IP header, frame)"""
    for when, frame in packets(path):
        kind, b = frame[12:14], frame[14:]
        if kind == b"\x08\0" and len(b) > 28 and b[9] == 112:
            head, length = (b[0] & 15) * 4, struct.unpack("!H", b[2:4])[0]
            yield when, ipaddress.ip_address(b[12:16]), b[16:20], b[head:length], frame
        elif kind == b"\x86\xdd" and len(b) > 48 and b[6] == 112:
            length = struct.unpack("!H", b[4:6])[0]
            yield when, ipaddress.ip_address(b[8:24]), b[24:40], b[40:40 + length], frame


def ones_sum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def replay(iface, path, since, until):
    tx = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    tx.bind((iface, 0))
    mac = bytes.fromhex(open("/sys/class/net/%s/address" % iface).read().strip().replace(":", ""))
    n = 0
    for when, _, _, _, frame in adverts(path):
        if since <= when <= until:
            # The switch would take the sender's own address for moved.
            tx.send(frame[:6] + mac + frame[12:])
            n += 1
    print("%d packets" % n)
    return 0 if n else 1


def check(path, keys):
    count, bad, last = collections.Counter(), 0, {}
    for when, source, destination, packet, _ in adverts(path):
        version, vrid, addresses = packet[0] >> 4, packet[1], packet[3]
        length = 8 + addresses * len(source.packed) + (8 if version == 2 else 0)
        message, trailer = packet[:length], packet[length:]
        why = None
        if len(trailer) != 28:
            why = "a trailer of %d bytes" % len(trailer)
        else:
            kind, key, reserved, seconds, fraction, number = struct.unpack("!BBHIHH", trailer[:12])
            stamp = seconds << 32 | fraction << 16 | number
            pseudo = bytes([source.version, version, vrid, 0]) + source.packed.ljust(16, b"\0")
            covered = pseudo + message[:6] + b"\0\0" + message[8:] + trailer[:12] + bytes(16)
            summed = message
            if version == 3:
                summed = source.packed + destination + struct.pack("!HH", 112, len(message)) + message
            # One advert goes to each unicast peer.
            before = last.get((source, vrid), (0, b""))
            last[source, vrid] = (stamp, trailer)
            if kind != 1 or reserved or key not in keys:
                why = "type %d, key %d, reserved %d" % (kind, key, reserved)
            elif hmac.new(keys[key], covered, hashlib.sha256).digest()[:16] != trailer[12:]:
                why = "a wrong HMAC, key %d" % key
            elif stamp <= before[0] and trailer != before[1]:
                why = "a stamp that was there before"
            elif source.version == 4 and ones_sum(summed):
                why = "a wrong checksum"
            elif abs(seconds - when) > 2:
                why = "a stamp %.1f s from now" % (seconds - when)
        if why:
            bad += 1
            print("at %.3f, %s, VRID %d: %s" % (when, source, vrid, why))
        else:
            count[vrid, key] += 1
    for (vrid, key), n in sorted(count.items()):
        print("%6d  VRID %d, key %d" % (n, vrid, key))
    print("# %d trailers, %d bad" % (sum(count.values()), bad))
    return 1 if bad or not count else 0


if sys.argv[1] == "--replay":
    since, until = [float(x) for x in sys.argv[4:6]] or [0.0, 9e18]
    sys.exit(replay(sys.argv[2], sys.argv[3], since, until))
given = {}
for word in sys.argv[2:]:
    number, key = word.split("=", 1)
    given[int(number)] = bytes.fromhex(key[4:]) if key.startswith("hex:") else key.encode()
sys.exit(check(sys.argv[1], given))
