#!/bin/bash
# lvs-modes: one director with VRRP, checks and IPVS; NAT, direct routing and
# tunnels, TCP and UDP, IPv4 and IPv6, firewall marks, weights, persistence;
# real HTTP through all of it; a real server dies and comes back.
#   uml-run -- lab-netns run --layout routed --directors 1 --reals 3 -- scenarios/lvs-modes.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
NAT=10.77.1.200 DR=10.77.1.201 TUN=10.77.1.202 MARKED=10.77.1.203 NAT6=fd77:1::200
client_addresses
# Answers to NAT go back through the director, the others by the gateway: by source.
for r in 1 2 3; do
    ip -n rs$r -batch - <<<"rule add from 10.77.2.2$r table 100
route add default via 10.77.2.11 table 100
link add ipip0 type ipip local 10.77.2.2$r remote any
link set ipip0 up
addr add $TUN/32 dev ipip0"
    ip -n rs$r -6 -batch - <<<"rule add from fd77:2::2$r table 100
route add default via fd77:2::11 table 100"
    on rs$r sysctl -qw net.ipv4.conf.ipip0.rp_filter=0
    bg rs$r udp lab-http udp-serve rs$r 10.77.2.2$r 5353
done
reals_direct $DR
reals_http 80 81 443
printf '#!/bin/sh\nexec true\n' >"$LAB_DIR/fine"; chmod 755 "$LAB_DIR/fine"
on d1 iptables-legacy -t mangle -A PREROUTING -d $MARKED -p tcp -m multiport --dports 80,443 -j MARK --set-mark 7

server() { # ADDRESS PORT WEIGHT CHECK-LINES
    printf '    real_server %s %s {\n        weight %s\n%s\n    }\n' "$1" "$2" "$3" "$4"
}
TCP='        TCP_CHECK {
            connect_timeout 2
        }'
HTTP='        HTTP_GET {
            url {
                path /
                status_code 200
            }
            connect_timeout 2
            retry 1
            delay_before_retry 1
        }'
MISC="        MISC_CHECK {
            misc_path $LAB_DIR/fine
            misc_timeout 3
        }"
{
    cat <<C
global_defs {
    router_id d1
    script_user root
}
vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 1
    virtual_ipaddress {
        $NAT/24
        $DR/24
        $TUN/24
        $MARKED/24
    }
    virtual_ipaddress_excluded {
        $NAT6/64
    }
}
C
    service() { # WHAT SCHEDULER KIND PROTOCOL EXTRA
        printf 'virtual_server %s {\n    delay_loop 1\n    lb_algo %s\n    lb_kind %s\n    protocol %s\n%s' "$1" "$2" "$3" "$4" "${5:+    $5
}"
    }
    service "$NAT 80" rr NAT TCP;      for r in 1 2 3; do server 10.77.2.2$r 80 1 "$TCP"; done; echo '}'
    service "$NAT 81" wrr NAT TCP;     for r in 1 2 3; do server 10.77.2.2$r 80 $r "$HTTP"; done; echo '}'
    service "$NAT 82" rr NAT TCP "persistence_timeout 60"; for r in 1 2 3; do server 10.77.2.2$r 80 1 "$TCP"; done; echo '}'
    service "$NAT 5353" rr NAT UDP;    for r in 1 2 3; do server 10.77.2.2$r 5353 1 "$MISC"; done; echo '}'
    service "$DR 80" rr DR TCP;        for r in 1 2 3; do server 10.77.2.2$r 80 1 "$HTTP"; done; echo '}'
    service "$TUN 80" rr TUN TCP;      for r in 1 2 3; do server 10.77.2.2$r 80 1 "$TCP"; done; echo '}'
    service "fwmark 7" rr NAT TCP;     for r in 1 2 3; do server 10.77.2.2$r 0 1 "${TCP/connect_timeout/connect_port 80
            connect_timeout}"; done; echo '}'
    service "$NAT6 80" rr NAT TCP;     for r in 1 2 3; do server fd77:2::2$r 80 1 "$TCP"; done; echo '}'
} >"$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
timed "d1 is master" 12 owner_is $NAT d1
timed "eight services with three servers each" 12 has_reals d1 24
nap 2                                                       # every server was asked once
spread "NAT, rr" "10 rs1 10 rs2 10 rs3" -n 30 $NAT 80
spread "NAT, wrr 1:2:3" "5 rs1 10 rs2 15 rs3" -n 30 $NAT 81
spread "direct routing, rr" "10 rs1 10 rs2 10 rs3" -n 30 $DR 80
spread "tunnels, rr" "10 rs1 10 rs2 10 rs3" -n 30 $TUN 80
spread "NAT, IPv6" "10 rs1 10 rs2 10 rs3" -n 30 $NAT6 80
spread "firewall mark: port 80" "10 rs1 10 rs2 10 rs3" -n 30 $MARKED 80
spread "firewall mark: port 443" "10 rs1 10 rs2 10 rs3" -n 30 $MARKED 443
GOT=$(on client1 lab-http udp-get -n 30 -t 500 $NAT 5353) || :
if [[ $(summary) == "fail 0 10 rs1 10 rs2 10 rs3" ]]; then ok "UDP: $(summary)"; else not_ok "UDP" "$(summary)"; fi
get -n 12 $NAT 82
if [[ $(summary) =~ ^"fail 0 12 rs"[123]$ ]]; then ok "persistence: one client, one server: $(summary)"; else not_ok "persistence" "$(summary)"; fi
check "the kernel's table says so too" eval '[[ $(table d1) == *"-A -t $NAT:82 -s rr -p 60"* ]]'
check "forwarding methods in the table" eval '[[ $(table d1 | grep -c -- " -m ") == 18 && $(table d1 | grep -c -- " -g ") == 3 && $(table d1 | grep -c -- " -i ") == 3 ]]'
# a server dies: gone from each of the seven services that ask it
stop rs2 http KILL
timed "rs2 is dead: out of every service that checks it" 15 has_reals d1 17
spread "without rs2, NAT" "10 rs1 10 rs3" -n 20 $NAT 80
spread "without rs2, direct routing" "10 rs1 10 rs3" -n 20 $DR 80
bg rs2 http lab-http serve rs2 80 81 443
timed "rs2 is back" 15 has_reals d1 24
spread "with rs2 again" "10 rs1 10 rs2 10 rs3" -n 30 $NAT 80
stop d1 daemon
check "no service is left" eval '[[ -z $(table d1) ]]'
check "no address is left" owner_is $NAT ""
lab_done
