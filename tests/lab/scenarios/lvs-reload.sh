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
# What somebody else does to our part of the table is mended; what is theirs is left alone.
# (keepalived never looks: these are ours only.)
if [[ ${LAB_DAEMON##*/} != keepalived ]]; then
    on d1 ipvsadm -A -t 10.9.9.9:99 -s wlc
    on d1 ipvsadm -a -t 10.9.9.9:99 -r 10.9.9.1:99 -m
    on d1 ipvsadm -d -t $VIP:80 -r 10.77.1.22:80
    timed "a server that someone took out is back" 12 lists "$VIP:80 -r 10.77.1.22:80"
    on d1 ipvsadm -e -t $VIP:80 -r 10.77.1.21:80 -g -w 99
    timed "a weight that someone changed is right again" 12 lists "$VIP:80 -r 10.77.1.21:80 -g -w 5"
    check "the foreign service is untouched" lists "10.9.9.9:99 -r 10.9.9.1:99"
    on d1 ipvsadm -C
    timed "after ipvsadm -C everything of ours is there again" 12 has_reals d1 2
    on d1 ipvsadm -A -t 10.9.9.9:99 -s wlc
fi
stop d1 daemon
if [[ ${LAB_DAEMON##*/} != keepalived ]]; then
    check "at the end only the foreign service is left" eval '[[ $(table d1 | wc -l) == 1 && $(table d1) == *10.9.9.9:99* ]]'
else
    check "no service is left" eval '[[ -z $(table d1) ]]'
fi
lab_done
