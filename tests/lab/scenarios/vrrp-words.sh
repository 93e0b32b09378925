#!/bin/bash
# vrrp-words: links that flap within interface_up_down_delays, a source address
# that goes and comes (track_src_ip), a master that slept for too long
# (timer_expired_backup), polled links (linkbeat_interfaces), limited real-time runs.
#   lab-netns run --directors 2 -- scenarios/vrrp-words.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
A=10.77.1.201 B=10.77.1.202 C=10.77.1.203
conf() { # NUMBER
    cat <<T
global_defs {
    router_id d$1
    vrrp_rt_priority 10
    vrrp_rlimit_rttime 500000
    vrrp_rx_bufs_policy 20000
    config_save_dir $LAB_DIR/saved$1
    tmp_config_directory $LAB_DIR
}
interface_up_down_delays {
    eth0 1.5 0.5
}
vrrp_instance A {
    interface eth0
    virtual_router_id 51
    priority $(( 160 - 20 * $1 ))
    advert_int 1
    virtual_ipaddress {
        $A/24
    }
}
vrrp_instance B {
    interface eth0
    virtual_router_id 52
    priority $(( 160 - 20 * $1 ))
    advert_int 1
    mcast_src_ip 10.77.2.$1
    track_src_ip
    virtual_ipaddress {
        $B/24
    }
}
vrrp_instance C {
    interface eth0
    virtual_router_id 53
    priority $(( 160 - 20 * $1 ))
    state BACKUP
    nopreempt
    timer_expired_backup 100
    advert_int 1
    virtual_ipaddress {
        $C/24
    }
}
T
}
for i in 1 2; do
    ip -n d$i addr add 10.77.2.$i/32 dev eth0
    conf $i >"$LAB_DIR/d$i.conf"
    daemon d$i "$LAB_DIR/d$i.conf"
done
settle() { # WHAT ADDRESS NODE SECONDS
    local t; t=$(now_us)
    if wait_owner "$2" "$3" "$4"; then ok "$1: on $3 after $(since_ms "$t") ms"; else not_ok "$1" "on '$(owners "$2")', not on $3"; fi
}
for v in $A $B $C; do settle "election" $v d1 8; done

mark=$(log_mark d1)
for _ in 1 2; do fault port d1 down; nap 0.8; fault port d1 up; nap 0.3; done
check "a link that is down for less than its delay is no fault" eval '! logged d1 "Entering (FAULT|BACKUP)" $mark'
check "and nobody has taken over" eval "owner_is $A d1 && owner_is $C d1"
t=$(now_us); fault port d1 down
if wait_until 4 logged d1 'Entering FAULT' "$mark"; then ms=$(since_ms "$t"); check "a link that stays down counts after its delay ($ms ms)" eval '(( ms > 1400 && ms < 2500 ))'; else not_ok "no fault"; fi
wait_owner $A d2 6 || :
fault port d1 up
settle "and up again" $A d1 8

settle "the source of B is there" $B d1 8
ip -n d1 addr del 10.77.2.1/32 dev eth0
settle "it is removed: FAULT, B goes at once" $B d2 3
ip -n d1 addr add 10.77.2.1/32 dev eth0
settle "it is there again" $B d1 8

# C may not preempt: it is on d2 since the link was down.
settle "C" $C d2 3
tree "$(bg_pid d2 daemon)"; mark=$(log_mark d2)
# shellcheck disable=SC2086
kill -STOP $TREE; wait_until 6 has_addr d1 $C || not_ok "d1 has not taken over"
nap 1
# shellcheck disable=SC2086
kill -CONT $TREE
settle "d2 slept for too long" $C d1 3
check "and is a backup" logged d2 '\(C\) Entering BACKUP' "$mark"

# A reload: polled links without delays.
sed -i -e '/^interface_up_down_delays/,/^}/d' "$LAB_DIR/d1.conf"
printf 'linkbeat_interfaces {\n    eth0 ETHTOOL\n}\n' >>"$LAB_DIR/d1.conf"
mark=$(log_mark d1)
kill -HUP "$(bg_pid d1 daemon)"
check "its link is polled" wait_until 3 logged d1 'link of eth0 is polled by ETHTOOL' "$mark"
saved() { ls "$LAB_DIR"/saved1/keepalived.conf.*.[01] "$LAB_DIR"/saved1/keepalived_vrrp.*.1.{pre,post}; }
check "configurations and states are saved" eval '[[ $(saved | wc -l) == 4 ]]'
limits() { prlimit --pid "$(child_pid d1 vrrp)" --rttime --noheadings --output SOFT,HARD | tr -s ' '; }
check "its real-time runs are limited" eval '[[ $(limits) == *"250000 500000"* ]]'
fault port d1 down
settle "its link is down" $A d2 6
for i in 1 2; do stop d$i daemon; done
for v in $A $B $C; do check "nothing is left of $v" owner_is $v ""; done
lab_done
