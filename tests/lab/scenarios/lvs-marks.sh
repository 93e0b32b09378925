#!/bin/bash
# lvs-marks: nftables_ipvs: packets to the addresses of a group get a mark, by
# the table that the real keepalived makes; a reload changes it in one step and
# marks stay with their groups, what somebody else removes comes back, a check
# process that was killed leaves no gap, the end leaves nothing.
#   lab-netns run --directors 1 -- scenarios/lvs-marks.sh
# (this kernel needs no IPVS for it, so the real one has no part in this)
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
conf() { # GROUPS
    printf 'global_defs {\n router_id d1\n nftables_ipvs lab\n nftables_ipvs_start_fwmark 500\n}\n'
    local g
    for g in "$@"; do
        case $g in
        A) printf 'virtual_server_group A {\n 10.77.1.200-204 80\n fd77:1::200 80\n}\n'; service A TCP; service A UDP ;;
        B) printf 'virtual_server_group B {\n 10.77.1.210\n}\n'; service B TCP ;;
        C) printf 'virtual_server_group C {\n 10.77.1.220 80\n}\n'; service C TCP ;;
        esac
    done
}
service() { printf 'virtual_server group %s {\n lb_algo rr\n lb_kind DR\n protocol %s\n delay_loop 60\n real_server 10.77.1.99 80 {\n  TCP_CHECK {\n  }\n }\n}\n' "$@"; }
conf A B >"$LAB_DIR/d1.conf"
ip -n d1 addr add 10.77.1.200/24 dev eth0; ip -n d1 addr add 10.77.1.202/24 dev eth0
ip -n d1 addr add 10.77.1.205/24 dev eth0; ip -n d1 addr add 10.77.1.210/24 dev eth0
ip -n d1 addr add fd77:1::200/64 dev eth0 nodad
daemon d1 "$LAB_DIR/d1.conf"
list() { on d1 nft list map "$1" lab "$2" 2>/dev/null | tr -d ' \t\n'; }
has() { [[ $(list "$1" "$2") == *"$3"* ]]; }
check "the map of addresses and ports" wait_until 5 has ip tcp_map 'elements={10.77.1.200-10.77.1.204.80:0x000001f4}'
check "the same of UDP has a mark of its own" has ip udp_map ':0x000001f5}'
check "every port of an address" has ip tcp_any_map 'elements={10.77.1.210.0-65535:0x000001f6}'
check "the same group over IPv6" has ip6 tcp_map 'elements={fd77:1::200.80:0x000001f4}'
on d1 nft -f - <<'N'
table inet seen {
    chain in {
        type filter hook input priority 10;
        tcp dport { 80, 81, 9000 } meta mark 500 counter comment "500"
        tcp dport { 80, 81, 9000 } meta mark 502 counter comment "502"
        udp dport 80 meta mark 501 counter comment "501"
        tcp dport { 80, 81, 9000 } meta mark 0 counter comment "none"
    }
}
N
seen() { on d1 nft -a list table inet seen | sed -n "s/.*counter packets \([0-9]*\) .*comment \"$1\".*/\1/p"; }
knock() { on client1 timeout 2 bash -c "echo >/dev/$1/$2/$3" 2>/dev/null || :; }
marked() { # MARK PROTOCOL ADDRESS PORT
    local before; before=$(seen "$1"); knock "$2" "$3" "$4"; (( $(seen "$1") > before ))
}
check "a packet to the group is marked" marked 500 tcp 10.77.1.200 80
check "and to another of its addresses" marked 500 tcp 10.77.1.202 80
check "UDP too" marked 501 udp 10.77.1.200 80
check "IPv6 too" marked 500 tcp fd77:1::200 80
check "any port of the other group" marked 502 tcp 10.77.1.210 9000
check "not the address behind the range" marked none tcp 10.77.1.205 80
check "not another port" marked none tcp 10.77.1.200 81
conf C B >"$LAB_DIR/d1.conf"; kill -HUP "$(child_pid d1 main)"
check "after a reload the new group has a mark" wait_until 5 has ip tcp_map 'elements={10.77.1.220.80:0x000001f4}'
check "and the one that stays has its own" has ip tcp_any_map ':0x000001f6}'
check "of the one that went nothing is left" eval '! on d1 nft list table ip6 lab 2>/dev/null'
on d1 nft delete table ip lab
check "removed by somebody: it comes back" wait_until 12 has ip tcp_map 10.77.1.220
check "and that is told" wait_until 3 logged d1 "the table lab or a part of it was removed"
old=$(child_pid d1 checkers); kill -KILL "$old"
check "the check process killed: the table stays" has ip tcp_map 10.77.1.220
check "its successor has it" wait_until 10 child_new d1 checkers "$old"
check "with the same marks" has ip tcp_any_map ':0x000001f'
stop d1 daemon
check "the end leaves nothing" eval '! on d1 nft list table ip lab 2>/dev/null'
lab_done
