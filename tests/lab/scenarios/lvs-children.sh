#!/bin/bash
# lvs-children: the check child is killed, then everything: traffic goes on,
# the table stays, and a restart takes over what is there and clears the rest.
# (keepalived 2.2.7 asks the kernel for everything anew, and leaves a stale server and a stale service.)
#   uml-run -- lab-netns run --directors 1 --reals 3 -- scenarios/lvs-children.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200
client_addresses
reals_direct $VIP
reals_http 80
conf() { # SERVER...
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
    for s; do cat <<C
    real_server 10.77.1.2$s 80 {
        weight 1
        TCP_CHECK {
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }
    }
C
    done
    echo '}'
}
conf 1 2 3 >"$LAB_DIR/d1.conf"
netlink_watch d1
daemon d1 "$LAB_DIR/d1.conf"
timed "d1 is master" 12 owner_is $VIP d1
timed "three servers" 10 has_reals d1 3
nap 2
stream_on d1 10.77.1.21 $VIP 120
before=$(table d1)
# --- the check child
check_child=$(child_pid d1 checkers) mark=$(netlink_mark)
bg client1 load lab-http get -w 6 -i 20 -t 1000 -b 10.77.1.180 $VIP 80
nap 1
kill -KILL "$check_child"
timed "the check child is killed: there is a new one" 10 child_new d1 checkers "$check_child"
wait_until 12 eval '! bg_alive client1 load' || :
if grep -qx 'fail 0' "$(bg_log client1 load)"; then ok "not one request was lost: $(xargs <"$(bg_log client1 load)")"; else not_ok "requests lost" "$(xargs <"$(bg_log client1 load)")"; fi
ops=$(netlink_ops d1 "$mark" | xargs)
if [[ -z $ops ]]; then ok "the new one found everything right"; else not_ok "the new one changed the kernel" "$ops"; fi
check "the table is as before" eval '[[ $(table d1) == "$before" ]]'
check "the open connection goes on" bg_alive client1 stream
check "the address did not move" owner_is $VIP d1
stop rs2 http KILL
timed "the new one checks: a dead server is out" 12 has_reals d1 2
bg rs2 http lab-http serve rs2 80
timed "and in again" 12 has_reals d1 3
# --- everything at once; it comes back with one server less in its file
crash d1 daemon
check "all killed: the kernel still balances" eval 'on client1 lab-http get -n 6 -b 10.77.1.181 $VIP 80'
conf 1 2 >"$LAB_DIR/d1.conf"; mark=$(netlink_mark)
daemon d1 "$LAB_DIR/d1.conf"
timed "the stale server is gone" 10 has_reals d1 2
nap 5
ops=$(netlink_ops d1 "$mark" | { grep -E 'SERVICE|DEST|FLUSH' || :; } | xargs)
if [[ $ops == DEL_DEST ]]; then ok "what was right was not touched: '$ops'"; else not_ok "the restart" "asked of the kernel: '$ops', should be DEL_DEST"; fi
check "the open connection went on through all of it" bg_alive client1 stream
check "the address is there, once" eval '[[ $(ip -n d1 -o -4 addr show dev eth0 | grep -c " $VIP/") == 1 ]]'
# --- killed in the middle of a reload that takes a service away
conf 1 2 >"$LAB_DIR/d1.conf"
printf 'virtual_server %s 81 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 10.77.1.21 81 {\n }\n}\n' $VIP >>"$LAB_DIR/d1.conf"
kill -HUP "$(child_pid d1 main)"
timed "one service more" 10 lists "-A -t $VIP:81"
conf 1 2 >"$LAB_DIR/d1.conf"; check_child=$(child_pid d1 checkers)
kill -STOP "$check_child"; mark=$(log_mark d1); kill -HUP "$(child_pid d1 main)"
wait_until 5 logged d1 "Reloading" "$mark" || :; nap 0.3
kill -KILL "$check_child"
timed "a new check process" 12 child_new d1 checkers "$check_child"
timed "the service that was to go is gone" 10 eval '! lists "$VIP:81"'
check "the other one is there" has_reals d1 2
# --- the parent
main=$(child_pid d1 main); tree "$main"; all=$TREE
kill -KILL "$main"
# shellcheck disable=SC2086
check "the parent is killed: its children go with it" wait_until 10 gone $all
check "nothing is left: no service, no address" wait_until 5 eval '[[ -z $(table d1) ]] && owner_is $VIP ""'
daemon d1 "$LAB_DIR/d1.conf"
timed "started again: master" 12 owner_is $VIP d1
timed "started again: two servers" 10 has_reals d1 2
stop d1 daemon
check "stopped: no service, no address" eval '[[ -z $(table d1) ]] && owner_is $VIP ""'
lab_done
