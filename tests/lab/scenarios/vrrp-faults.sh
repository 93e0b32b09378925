#!/bin/bash
# vrrp-faults: two routers (150, 100) and a network, or a scheduler, that
# misbehaves: one-way cuts, a port that forwards nothing, loss, a frozen master.
# Two masters while they cannot hear each other, one as soon as they can.
#   lab-netns run --directors 2 -- scenarios/vrrp-faults.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
VIP=10.77.1.200
for i in 1 2; do
    cat >"$LAB_DIR/d$i.conf" <<C
global_defs {
    router_id d$i
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority $(( 200 - 50 * i ))
    advert_int 1
    virtual_ipaddress {
        $VIP/24
    }
}
C
    daemon d$i "$LAB_DIR/d$i.conf"
done
expect() { # WHAT OWNERS SECONDS
    local t; t=$(now_us)
    if wait_owner $VIP "$2" "$3"; then ok "$1: on $2 ($(since_ms "$t") ms)"; else not_ok "$1" "on '$(owners $VIP)', should be on '$2'"; fi
}
stays() { if never 4 eval "! owner_is $VIP '$2'"; then ok "$1: stays on $2"; else not_ok "$1" "on '$(owners $VIP)'"; fi; }
expect "election" d1 8
fault cut d1 d2 'ip protocol vrrp'; expect "only the adverts of d1 are lost: two masters" "d1 d2" 6
fault clear;                        expect "healed" d1 2
fault cut d2 d1;                    stays  "d2 is mute: a backup has nothing to say" d1
fault clear
fault block d1;                     expect "the switch forwards nothing for d1: two masters" "d1 d2" 6
fault clear;                        expect "healed" d1 2
fault loss d1 d2 30;                nap 5; echo "# 30 % loss for 5 s: owners $(owners $VIP)"
fault clear;                        expect "loss healed" d1 2
# a master that does not run for a while (a suspended virtual machine): the
# other takes over; when it runs again, what is in its mailbox comes first
tree "$(bg_pid d1 daemon)"; frozen=$TREE
# shellcheck disable=SC2086
kill -STOP $frozen;                 expect "d1 is frozen: its address stays, d2 has it too" "d1 d2" 6
nap 2
# shellcheck disable=SC2086
kill -CONT $frozen;                 expect "thawed" d1 3
stays "and settled" d1
# a backup that does not run for longer than the master needs to be thought dead
tree "$(bg_pid d2 daemon)"; frozen=$TREE; mark=$(log_mark d2)
# shellcheck disable=SC2086
kill -STOP $frozen; nap 6
# shellcheck disable=SC2086
kill -CONT $frozen
if never 3 eval '! owner_is $VIP d1'; then ok "a backup that was frozen takes nothing over"; else not_ok "a frozen backup took over" "on '$(owners $VIP)'"; fi
if logged d2 'Entering MASTER' "$mark"; then echo "# d2 thought itself master for a moment"; fi
for i in 1 2; do stop d$i daemon; done
check "nothing is left" owner_is $VIP ""
lab_done
