#!/bin/bash
# vrrp-failover: N routers, priorities 150, 120, 100, 90, 80, as in the guides.
# Every way to lose the master, each with the time it took, and the way back.
#   LAB_VRRP_VERSION=2|3 lab-netns run --directors 2|3|5 -- scenarios/vrrp-failover.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
: "${LAB_VRRP_VERSION:=2}" "${LAB_ADVERT_INT:=1}"
VIP=10.77.1.200 EXTRA=10.77.1.201
priority=([1]=150 [2]=120 [3]=100 [4]=90 [5]=80)
read -ra nodes <<<"$DIRECTORS"

conf() { # NUMBER
    cat <<C
global_defs {
    router_id d$1
    vrrp_version $LAB_VRRP_VERSION
    vrrp_garp_master_delay 1
}
vrrp_instance VI_1 {
    state $( (( $1 == 1 )) && echo MASTER || echo BACKUP )
    interface eth0
    virtual_router_id 51
    priority ${priority[$1]}
    advert_int $LAB_ADVERT_INT
$( (( LAB_VRRP_VERSION == 3 )) || printf '    authentication {\n        auth_type PASS\n        auth_pass 1111\n    }' )
    virtual_ipaddress {
        $VIP/24 dev eth0 label eth0:v
    }
    virtual_ipaddress_excluded {
        $EXTRA/24 dev eth0
    }
}
C
}
# The protocol's limit, in ms: 3 x interval + skew of the one that takes over
limit() { awk -v a="$LAB_ADVERT_INT" -v p="${priority[$1]}" -v v="$LAB_VRRP_VERSION" 'BEGIN { print int(1000 * (3 * a + (256 - p) / 256 * (v == 3 ? a : 1))) }'; }
# move WHAT NODE LIMIT_MS: the addresses are there, in time (and 400 ms for a busy machine), and answer
move() {
    local t ms; t=$(now_us)
    if ! wait_owner $VIP "d$2" 12; then not_ok "$1" "$VIP on '$(owners $VIP)', not on d$2"; return; fi
    ms=$(since_ms "$t")
    if (( ms <= $3 + 400 )); then ok "$1: on d$2 after $ms ms (limit $3)"; else not_ok "$1" "$ms ms, limit $3"; fi
    check "$1: the client reaches it" on client1 ping -qc1 -W2 $VIP
    check "$1: the excluded address went along" wait_owner $EXTRA "d$2" 1
}
cap=$LAB_DIR/failover.pcap
capture sw br-lan "$cap" 'ip proto 112 or arp'
for n in "${nodes[@]}"; do conf "${n#d}" >"$LAB_DIR/$n.conf"; daemon "$n" "$LAB_DIR/$n.conf"; done
move "election" 1 5000
power_off d1;               move "d1 loses power" 2 "$(limit 2)"
power_on d1; daemon d1 "$LAB_DIR/d1.conf"
                            move "d1 is back and preempts" 1 5000
# a stop says so: the others wait for their skew only
stop d1 daemon;             move "d1 stops in order" 2 "$(( $(limit 2) - 3000 * ${LAB_ADVERT_INT%.*} ))"
check "nothing is left on d1" eval '! has_addr d1 $VIP && ! has_addr d1 $EXTRA'
if (( ${#nodes[@]} > 2 )); then
    fault port d2 down;     move "d2 loses its link" 3 "$(limit 3)"
    check "d2 says so" wait_until 2 logged d2 'FAULT STATE'
    fault port d2 up;       move "d2 has it again" 2 5000
    crash d2 daemon         # its kernel keeps the address: the cable must go for one owner
    fault port d2 down;     wait_until 8 has_addr d3 $VIP || :
    check "d2 is killed: d3 holds the address" has_addr d3 $VIP
    fault port d2 up
    daemon d2 "$LAB_DIR/d2.conf"; move "d2 is back" 2 5000
else
    fault port d2 down
    check "d2 without link gives the address up" wait_owner $VIP "" 5
    fault port d2 up;       move "d2 has its link again" 2 5000
fi
daemon d1 "$LAB_DIR/d1.conf"; move "d1 is back" 1 5000
fault link d1 down;         move "the interface of d1 goes down" 2 "$(limit 2)"
fault link d1 up;           move "it is up again" 1 5000
if never 3 eval '! owner_is $VIP d1'; then ok "three calm seconds"; else not_ok "calm" "on '$(owners $VIP)'"; fi
for n in "${nodes[@]}"; do stop "$n" daemon; done
check "nothing is left anywhere" owner_is $VIP ""
capture_end sw br-lan
check "every advert is sound (tshark)" vrrp-check "$cap"
check "never two masters" vrrp-masters.py "$cap" "$LAB_ADVERT_INT"
check "priority 0 was sent on stop" eval '[[ -n $(tshark -r "$cap" -Y "vrrp.prio == 0" 2>/dev/null) ]]'
lab_done
