#!/bin/bash
# lvs-forwarding: what the kernel can do with a packet, each with real requests:
# NAT, direct routing, tunnels (ipip, gre, gue), IPv4, IPv6, each in the other,
# TCP, UDP and SCTP, marks, persistence, every scheduler; and a server that is
# killed under load: no request is lost elsewhere, none gets to it afterwards.
#   uml-run -- lab-netns run --layout routed --directors 1 --reals 3 -- scenarios/lvs-forwarding.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
client_addresses
declare -A A4=([NAT]=10.77.1.200 [DR]=10.77.1.201 [TUN4]=10.77.1.202 [GRE]=10.77.1.203 [GUE]=10.77.1.204 [MARK]=10.77.1.205 [MIX]=10.77.1.206)
declare -A A6=([NAT]=fd77:1::200 [DR]=fd77:1::201 [TUN4]=fd77:1::202 [GRE]=fd77:1::203 [MIX]=fd77:1::206)
for w in "${!A4[@]}"; do echo "addr add ${A4[$w]}/24 dev eth0"; done | ip -n d1 -batch -
for w in "${!A6[@]}"; do echo "addr add ${A6[$w]}/64 dev eth0 nodad"; done | ip -n d1 -batch -
modprobe -aq fou fou6 ip_gre ip6_gre ipip ip6_tunnel sit sctp 2>/dev/null || :
for r in 1 2 3; do
    ip -n rs$r -batch - <<<"rule add from 10.77.2.2$r table 100
route add default via 10.77.2.11 table 100
link add ipip0 type ipip local 10.77.2.2$r remote any
link set ipip0 up
link add gre0x type gre local 10.77.2.2$r remote any
link set gre0x up
link add sit0x type sit local 10.77.2.2$r remote any
link set sit0x up
addr add ${A4[TUN4]}/32 dev ipip0
addr add ${A4[GRE]}/32 dev gre0x
addr add ${A4[GUE]}/32 dev ipip0
addr add ${A4[MIX]}/32 dev ipip0"
    ip -n rs$r -6 -batch - <<<"rule add from fd77:2::2$r table 100
route add default via fd77:2::11 table 100
link add ip6t type ip6tnl mode any local fd77:2::2$r remote ::
link set ip6t up
link add gre6x type ip6gre local fd77:2::2$r remote ::
link set gre6x up
addr add ${A6[DR]}/128 dev lo nodad
addr add ${A6[TUN4]}/128 dev lo nodad
addr add ${A6[GRE]}/128 dev lo nodad
addr add ${A6[MIX]}/128 dev lo nodad"
    for i in ipip0 gre0x sit0x ip6t all; do on rs$r sysctl -qw net.ipv4.conf.$i.rp_filter=0 2>/dev/null || :; done
    # what is in the UDP packets goes to ipip0
    ip -n rs$r fou add port 6080 gue
    bg rs$r udp lab-http udp-serve rs$r 10.77.2.2$r 5353
done
reals_direct ${A4[DR]}
reals_http 80
on d1 iptables-legacy -t mangle -A PREROUTING -d ${A4[MARK]} -p tcp -j MARK --set-mark 9
SCHEDULERS="rr wrr lc wlc lblc lblcr sh mh dh fo ovf sed nq"
CHECK=$'TCP_CHECK {\n   connect_timeout 1\n   retry 1\n   delay_before_retry 1\n  }'
{
    printf 'global_defs {\n router_id d1\n}\n'
    service() { # WHAT SCHEDULER KIND PROTOCOL PORT FAMILY EXTRA
        local r host
        printf 'virtual_server %s {\n delay_loop 1\n lb_algo %s\n lb_kind %s\n protocol %s\n %s\n' "$1" "$2" "$3" "$4" "${7:-}"
        for r in 1 2 3; do
            host=10.77.2.2$r; if [[ $6 == 6 ]]; then host=fd77:2::2$r; fi
            if [[ $4 == TCP ]]; then printf ' real_server %s %s {\n  weight 1\n  %s\n }\n' $host "$5" "${CHECK/connect_timeout/connect_port 80
   connect_timeout}"
            else printf ' real_server %s %s {\n  weight 1\n }\n' $host "$5"; fi
        done
        echo '}'
    }
    service "${A4[NAT]} 80" rr NAT TCP 80 4
    service "${A6[NAT]} 80" rr NAT TCP 80 6
    service "${A4[DR]} 80" rr DR TCP 80 4
    service "${A6[DR]} 80" rr DR TCP 80 6
    service "${A4[TUN4]} 80" rr TUN TCP 80 4
    service "${A6[TUN4]} 80" rr TUN TCP 80 6
    service "${A4[GRE]} 80" rr "TUN type gre" TCP 80 4
    service "${A6[GRE]} 80" rr "TUN type gre" TCP 80 6
    service "${A4[GUE]} 80" rr "TUN type gue port 6080" TCP 80 4
    service "${A6[MIX]} 80" rr TUN TCP 80 4
    service "${A4[MIX]} 80" rr TUN TCP 80 6
    service "${A4[NAT]} 5353" rr NAT UDP 5353 4
    service "${A4[NAT]} 7000" rr NAT SCTP 7000 4
    service "fwmark 9" rr NAT TCP 80 4
    service "${A4[NAT]} 81" rr NAT TCP 80 4 "persistence_timeout 60"
    port=9000; for s in $SCHEDULERS; do port=$(( port + 1 )); service "${A4[NAT]} $port" $s NAT TCP 80 4; done
} >"$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
timed "every service with three servers" 15 has_reals d1 $(( 3 * (15 + 13) ))
nap 2
EACH="10 rs1 10 rs2 10 rs3"
spread "NAT, IPv4" "$EACH" -n 30 "${A4[NAT]}" 80
spread "NAT, IPv6" "$EACH" -n 30 "${A6[NAT]}" 80
spread "direct routing, IPv4" "$EACH" -n 30 "${A4[DR]}" 80
spread "direct routing, IPv6" "$EACH" -n 30 "${A6[DR]}" 80
spread "ipip, IPv4" "$EACH" -n 30 "${A4[TUN4]}" 80
spread "ipip, IPv6" "$EACH" -n 30 "${A6[TUN4]}" 80
spread "gre, IPv4" "$EACH" -n 30 "${A4[GRE]}" 80
spread "gre, IPv6" "$EACH" -n 30 "${A6[GRE]}" 80
spread "gue, IPv4" "$EACH" -n 30 "${A4[GUE]}" 80
spread "IPv6 in IPv4" "$EACH" -n 30 "${A6[MIX]}" 80
spread "IPv4 in IPv6" "$EACH" -n 30 "${A4[MIX]}" 80
spread "a mark" "$EACH" -n 30 "${A4[MARK]}" 80
GOT=$(on client1 lab-http udp-get -n 30 -t 500 "${A4[NAT]}" 5353) || :
# a port that the client happens to use again stays with its server
NEAR='(8|9|10|11|12)'
if [[ $(summary) =~ ^fail\ 0\ $NEAR\ rs1\ $NEAR\ rs2\ $NEAR\ rs3$ ]]; then ok "UDP: $(summary)"; else not_ok "UDP" "$(summary)"; fi
get -n 12 "${A4[NAT]}" 81
if [[ $(summary) =~ ^"fail 0 12 rs"[123]$ ]]; then ok "persistence: $(summary)"; else not_ok "persistence" "$(summary)"; fi
# SCTP, where this kernel speaks it: each server says its name
if on rs1 /usr/bin/python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)' 2>/dev/null; then
    for r in 1 2 3; do bg rs$r sctp /usr/bin/python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132); s.bind(('10.77.2.2$r', 7000)); s.listen(16); print('ready', flush=True)
while True:
    c, _ = s.accept(); c.sendall(b'rs$r'); c.close()"; done
    for r in 1 2 3; do wait_until 10 grep -q ready "$(bg_log rs$r sctp)" || die "no SCTP on rs$r"; done
    GOT=$(on client1 /usr/bin/python3 -c "
import collections, socket
seen = collections.Counter()
for _ in range(9):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132); s.settimeout(3); s.connect(('${A4[NAT]}', 7000)); seen[s.recv(99).decode()] += 1; s.close()
print(*('%d %s' % (n, k) for k, n in sorted(seen.items())))" 2>&1) || :
    if [[ $GOT == "3 rs1 3 rs2 3 rs3" ]]; then ok "SCTP: $GOT"; else not_ok "SCTP" "$(tail -1 <<<"$GOT")"; fi
else
    echo "# no SCTP in this kernel"
fi
port=9000
for s in $SCHEDULERS; do
    port=$(( port + 1 ))
    get -n 6 "${A4[NAT]}" $port
    if lists "${A4[NAT]}:$port -s $s" && [[ $(summary) == "fail 0 "* ]]; then ok "scheduler $s: $(summary)"; else not_ok "scheduler $s" "$(summary)"; fi
done
# --- killed under load.  Two checks a second apart, and the answer of each: by then it must be out.
DETECTION=4
bg client1 load lab-http get -w 9 -i 10 -t 1000 -b 10.77.1.190 "${A4[DR]}" 80
nap 2
stop rs2 http KILL; t=$(now_us)
timed "rs2 is dead: out of every service that checks it" $DETECTION eval '[[ $(table d1 | grep -c "10.77.2.22:.*-w 1") == 2 ]]'
after=$(since_ms "$t")
wait_until 15 eval '! bg_alive client1 load' || :
got=$(xargs <"$(bg_log client1 load)") lost=$(awk '$1 == "fail" { print $2 }' "$(bg_log client1 load)")
# every third request is its turn: until it is out those are lost, and no other
total=$(awk '$2 ~ /^rs/ { n += $1 } END { print n }' "$(bg_log client1 load)")
one=$(awk '$2 == "rs1" { print $1 }' "$(bg_log client1 load)") three=$(awk '$2 == "rs3" { print $1 }' "$(bg_log client1 load)")
check "lost are requests of the dead server before its verdict only: $got" eval '(( lost * 10 <= after / 3 + 30 && one - three <= 2 && three - one <= 2 && total > 100 ))'
spread "none gets to it afterwards" "15 rs1 15 rs3" -n 30 "${A4[DR]}" 80
stop d1 daemon
check "no service is left" eval '[[ -z $(table d1) ]]'
lab_done
