#!/bin/bash
# vrrp-vrf: an instance within a VRF, without an interface (`vrf`, unicast), and
# one with a virtual MAC on an interface of the VRF, which joins it too.  This
# needs a kernel with VRF, so it runs in user-mode Linux.
#   lab-netns run --directors 2 -- scenarios/vrrp-vrf.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
A=10.77.1.200 B=10.77.1.210
vrf() { # NODE
    ip -n "$1" link add red type vrf table 10; ip -n "$1" link set red up
    # (becoming a part of it takes the IPv6 addresses away for a moment)
    ip -n "$1" link set eth0 master red
}
conf() { # NUMBER
    cat <<C
global_defs {
    router_id d$1
}
vrrp_instance A {
    vrf red
    virtual_router_id 51
    priority $(( 160 - 20 * $1 ))
    unicast_src_ip 10.77.1.1$1
    unicast_peer {
        10.77.1.1$(( 3 - $1 ))
    }
    virtual_ipaddress {
        $A/24 dev eth0
    }
}
vrrp_instance B {
    interface eth0
    use_vmac
    virtual_router_id 52
    priority $(( 160 - 20 * $1 ))
    virtual_ipaddress {
        $B/24
    }
}
C
}
for i in 1 2; do vrf d$i; conf $i >"$LAB_DIR/d$i.conf"; daemon d$i "$LAB_DIR/d$i.conf"; done
settle() { # WHAT ADDRESS NODE SECONDS
    local t; t=$(now_us)
    if wait_owner "$2" "$3" "$4"; then ok "$1: on $3 after $(since_ms "$t") ms"; else not_ok "$1" "on '$(owners "$2")', not on $3"; fi
}
settle "the instance within the VRF" $A d1 10
settle "the virtual MAC" $B d1 10
never 3 eval 'has_addr d2 $A || has_addr d2 $B' || not_ok "two masters"
check "the virtual interface is in the VRF" eval '[[ $(ip -n d1 -d link show vrrp.52) == *"master red"*"vrf_slave table 10"* ]]'
# (routes of a VRF are in its table)
check "a client reaches both" eval 'on client1 ping -qc1 -W3 $A && on client1 ping -qc1 -W3 $B'
mark=$(log_mark d1)
ip -n d1 link set red down
check "the VRF is down: FAULT, and why" wait_until 5 logged d1 'fault: interface red is down' "$mark"
settle "the other one has it" $A d2 6
ip -n d1 link set red up
settle "it is up again" $A d1 10
ip -n d1 link del red
check "the VRF is gone: FAULT" wait_until 5 logged d1 'fault: interface red does not exist' "$mark"
settle "the other one has it" $A d2 6
check "the virtual interface has left it, too" wait_until 5 eval '[[ $(ip -n d1 -d link show vrrp.52) != *"master red"* ]]'
vrf d1
settle "a VRF of that name is made anew" $A d1 10
check "and the virtual interface is in it" wait_until 5 eval '[[ $(ip -n d1 -d link show vrrp.52) == *"master red"* ]]'
settle "with its address" $B d1 10
for i in 1 2; do stop d$i daemon; done
for v in $A $B; do check "nothing is left of $v" owner_is $v ""; done
lab_done
