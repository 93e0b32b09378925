#!/bin/bash
# bfd-multihop: sessions over a router (gw) with FRR's bfdd (RFC 5883): port 4784, TTL as far as max_hops
# allows; with too few hops allowed nothing comes up.  keepalived 2.2.7 has no multihop port; FRR has it.
#   lab-netns run --layout routed --directors 1 --reals 1 -- scenarios/bfd-multihop.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/frr.sh"
timed() { local name=$1 secs=$2 t; shift 2; t=$(now_us); if wait_until "$secs" "$@"; then ok "$name ($(since_ms "$t") ms)"; else not_ok "$name"; fi; }
# d1 reaches the back over the router only.
ip -n d1 addr flush dev eth1
ip -n d1 link set eth1 down
for net in "10.77.2.0/24 via 10.77.1.254" "fd77:2::/64 via fd77:1::254"; do ip -n d1 route replace $net; done
conf() { # HOPS
    local i=0 at
    for at in "10.77.2.21 10.77.1.11" "fd77:2::21 fd77:1::11"; do
        i=$(( i + 1 ))
        printf 'bfd_instance far%s {\n    neighbor_ip %s\n    source_ip %s\n    min_rx 200\n    min_tx 200\n    multiplier 3\n    multihop\n    ttl 255\n    max_hops %s\n}\n' \
            $i ${at} "$1"
    done
}
{
    echo bfd
    for at in "10.77.1.11 multihop local-address 10.77.2.21" "fd77:1::11 multihop local-address fd77:2::21"; do
        printf ' peer %s\n  receive-interval 200\n  transmit-interval 200\n  detect-multiplier 3\n  minimum-ttl 254\n' "$at"
    done
} >"$LAB_DIR/rs1.conf"
cap=$LAB_DIR/multihop.pcap
capture rs1 eth0 "$cap" 'udp port 4784'
wait_until 10 on d1 ping -c 1 -W 1 10.77.2.21 || die "no way to rs1"
frr rs1 "$LAB_DIR/rs1.conf"
conf 1 >"$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
up() { [[ $(frr_up rs1) == 2 ]] && (( $(grep -c 'Entering Up state' "$(daemon_log d1)") >= 2 )); }
timed "two sessions over a router come up" 15 up
nap 2
check "and stay up" eval '! logged d1 "Entering Down state"'
fault cut rs1 '*'
timed "a cut behind the router is noticed" 5 eval '[[ $(grep -c "Expired after 600 ms" "$(daemon_log d1)") == 2 ]]'
fault clear
timed "back again" 10 eval '[[ $(grep -c "Entering Up state" "$(daemon_log d1)") == 4 ]]'
mark=$(log_mark d1)
conf 0 >"$LAB_DIR/d1.conf"
kill -HUP "$(child_pid d1 main)"
timed "one hop less, and they are dropped" 5 eval '[[ $(tail -n "+$(( mark + 1 ))" "$(daemon_log d1)" | grep -c "TTL 254 is below 255") == 2 ]]'
timed "and down" 5 eval '[[ $(tail -n "+$(( mark + 1 ))" "$(daemon_log d1)" | grep -c "Expired after") == 2 ]]'
stop d1 daemon
capture_end rs1 eth0
judged=$(tshark -r "$cap" -Y 'ip.src == 10.77.1.11 or ipv6.src == fd77:1::11' -T fields -E separator=, -E occurrence=f \
    -e ip.ttl -e ipv6.hlim -e udp.srcport -e udp.dstport -e bfd.version -e _ws.malformed 2>/dev/null |
    awk -F, '{ n++ } ($1 "" $2) != 254 || $3 < 49152 || $4 != 4784 || $5 != 1 || $6 != "" { print } END { if (n < 20) print "only " n " packets" }' | head -10)
if [[ -z $judged ]]; then ok "tshark finds nothing wrong"; else not_ok "tshark" "$judged"; fi
lab_done
