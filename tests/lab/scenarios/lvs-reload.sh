#!/bin/bash
# lvs-reload: SIGHUP on an IPVS director, with every netlink request recorded.
# The same file: none.  One real server more: one NEW_DEST, and nothing else.
# A connection goes on through all of it; a hand-made change is healed.
#   uml-run -- lab-netns run --directors 1 --reals 3 -- scenarios/lvs-reload.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200
client_addresses
reals_direct $VIP
reals_http 80
server() { cat <<C
    real_server 10.77.1.2$1 80 {
        weight $2
        TCP_CHECK {
            connect_timeout 1
        }
    }
C
}
conf() { # SERVER:WEIGHT...
    local s
    cat <<C
global_defs {
    router_id d1
}
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
    delay_loop 1
    lb_algo rr
    lb_kind DR
    protocol TCP
C
    for s; do server "${s%:*}" "${s#*:}"; done
    echo '}'
}
conf 1:1 2:1 >"$LAB_DIR/d1.conf"
netlink_watch d1
daemon d1 "$LAB_DIR/d1.conf"
timed "d1 is master" 12 owner_is $VIP d1
timed "two servers" 10 has_reals d1 2
nap 2
started=$(netlink_ops d1 0 | grep -v '^NEWLINK' | sort | uniq -c | xargs)
echo "# the start was: $started"
check "the watch sees the start" eval '[[ $started == *NEW_SERVICE* && $started == *NEW_DEST* && $started == *NEWADDR* ]]'
stream_on d1 10.77.1.21 $VIP 120
# reload_ops WHAT WANT: what a SIGHUP asks of the kernel, in order
reload_ops() {
    local mark ops p; p=$(child_pid d1 main)
    mark=$(netlink_mark)
    kill -HUP "$p"; nap 4
    ops=$(netlink_ops d1 "$mark" | xargs)
    if [[ $ops == "$2" ]]; then ok "$1: '${ops:-nothing}'"; else not_ok "$1" "asked of the kernel: '$ops', should be '$2'"; fi
}
reload_ops "the same file" ""
conf 1:1 2:1 3:1 >"$LAB_DIR/d1.conf";   reload_ops "one server more" "NEW_DEST"
check "it is there" has_reals d1 3
conf 3:1 1:1 2:1 >"$LAB_DIR/d1.conf";   reload_ops "another order in the file" ""
conf 3:1 1:5 2:1 >"$LAB_DIR/d1.conf";   reload_ops "another weight" "SET_DEST"
conf 1:5 2:1 >"$LAB_DIR/d1.conf";       reload_ops "one server less" "DEL_DEST"
check "the open connection went on through all of it" bg_alive client1 stream
# a dead server must not get traffic again after a reload
stop rs2 http KILL
timed "rs2 is dead" 10 has_reals d1 1
reload_ops "the same file, with a dead server" ""
check "the dead one stays out" has_reals d1 1
bg rs2 http lab-http serve rs2 80
timed "rs2 is back" 10 has_reals d1 2
stop d1 daemon
check "no service is left" eval '[[ -z $(table d1) ]]'
lab_done
