#!/bin/bash
# lvs-bfd: real servers that are followed by BFD sessions (BFD_CHECK), with the real keepalived as their
# neighbour: out when the way to one is lost, in when it is back; processes that die change nothing.
# (keepalived 2.2.7 takes both servers out when its bfd process is killed.)
#   uml-run -- lab-netns run --directors 1 --reals 2 -- scenarios/lvs-bfd.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200
client_addresses
reals_direct $VIP
reals_http 80
bfd() { # NAME NEIGHBOUR SOURCE
    printf 'bfd_instance %s {\n    neighbor_ip %s\n    source_ip %s\n    min_rx 400\n    min_tx 400\n    multiplier 3\n}\n' "$@"
}
conf() { # LINE_OF_THE_CHECKS
    local s
    for s in 1 2; do bfd rs$s 10.77.1.2$s 10.77.1.11; done
    cat <<C
vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 1
    virtual_ipaddress {
        $VIP/24
    }
}
virtual_server $VIP 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
C
    for s in 1 2; do printf '    real_server 10.77.1.2%s 80 {\n        weight 1\n        BFD_CHECK {\n            name rs%s\n            %s\n        }\n    }\n' $s $s "$1"; done
    echo '}'
}
for s in 1 2; do
    bfd d1 10.77.1.11 10.77.1.2$s >"$LAB_DIR/rs$s.conf"
    PROGRAM=$LAB_PEER daemon rs$s "$LAB_DIR/rs$s.conf"
done
conf alpha >"$LAB_DIR/d1.conf"
netlink_watch d1
daemon d1 "$LAB_DIR/d1.conf"
timed "d1 is master" 12 owner_is $VIP d1
timed "with alpha, both servers are in when their sessions are up" 12 has_reals d1 2
spread "both serve" "5 rs1 5 rs2" -n 10 $VIP 80

# --- the way to one is lost, in one direction
fault cut rs1 d1 'ether type ip udp dport 3784'
timed "a lost session takes its server out" 5 has_reals d1 1
spread "the other one serves" "6 rs2" -n 6 $VIP 80
check "the log says so" logged d1 'BFD check of \[rs1\] RS\(\[10.77.1.21\]:tcp:80\) is DOWN'
kill -USR1 "$(child_pid d1 main)"
check "the data file as well" wait_until 5 grep -q 'BFD_CHECK rs1: down' "$LAB_DIR/nodes/d1/tmp/keepalived_check.data"
fault clear
timed "back again" 10 has_reals d1 2

# --- processes die; a reload
nap 2; before=$(table d1) mark=$(netlink_mark)
for child in bfd checkers; do
    old=$(child_pid d1 $child); kill -KILL "$old"
    timed "the $child process is killed: there is a new one" 10 child_new d1 $child "$old"
    nap 5
    check "the table is as before" eval '[[ $(table d1) == "$before" ]]'
done
conf 'alpha off' >"$LAB_DIR/d1.conf"; log=$(log_mark d1)
kill -HUP "$(child_pid d1 main)"
check "a reload of the checks" wait_until 10 logged d1 'Reload complete' "$log"
nap 2
ops=$(netlink_ops d1 "$mark" | { grep -E 'SERVICE|DEST|FLUSH' || :; } | xargs)
if [[ -z $ops ]]; then ok "nothing of this has touched the kernel's table"; else not_ok "the table was touched" "$ops"; fi

# --- the neighbour's end
stop rs2 daemon KILL
timed "a neighbour that dies takes its server out" 8 has_reals d1 1
PROGRAM=$LAB_PEER daemon rs2 "$LAB_DIR/rs2.conf"
timed "and is back with it" 12 has_reals d1 2
stop d1 daemon
check "all is removed at the end" eval '[[ -z $(table d1) ]]'
lab_done
