#!/bin/bash
# vrrp-needs: the interfaces of a router's addresses, routes and rules count as its own do: while one
# is down it is in FAULT, unless the line says no_track, and a weight for it counts for nothing.
# The real keepalived is asked for the same.
#   lab-netns run --layout routed --directors 2 -- scenarios/vrrp-needs.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"

instance() { # VRID PRIORITY LINES
    printf 'vrrp_instance V%s {\n    interface eth0\n    virtual_router_id %s\n    priority %s\n    advert_int 1\n%b\n}\n' "$1" "$1" "$2" "$3"
}
addresses() { printf '    virtual_ipaddress {\\n        %s\\n    }\\n' "$1"; }
other() { printf '    %s {\\n        %s\\n    }\\n' "$1" "$2"; }
conf() { # NUMBER
    local p=$(( 200 - 50 * $1 )) weight; weight=$(other track_interface 'eth1 weight 20')
    printf 'global_defs {\n    router_id d%s\n}\n' "$1"
    instance 1 $p "$(addresses '10.77.2.201/24 dev eth1')"
    instance 2 $p "$(addresses '10.77.2.202/24 dev eth1 no_track')"
    instance 3 $p "$(addresses 10.77.1.203/24)$(other virtual_ipaddress_excluded '10.77.2.203/24 dev eth1')"
    instance 4 $p "$weight$(addresses '10.77.2.204/24 dev eth1')"
    instance 5 $p "$weight$(addresses '10.77.2.205/24 dev eth1 no_track')"
    instance 6 $p "$(addresses 10.77.1.206/24)$(other virtual_routes '10.90.6.0/24 dev eth1')"
    instance 7 $p "$(addresses 10.77.1.207/24)$(other virtual_routes '10.90.7.0/24 dev eth1 no_track')"
    instance 8 $p "$(addresses 10.77.1.208/24)$(other virtual_rules 'from 10.90.8.0/24 iif eth1 table 100')"
    instance 9 $p "$(addresses 10.77.1.209/24)$(other virtual_rules 'from 10.90.9.0/24 oif eth1 table 100')"
    instance 10 $p "$(addresses 10.77.1.210/24)$(other virtual_rules 'from 10.90.10.0/24 iif eth1 table 100 no_track')"
    instance 11 $p "$(addresses '10.77.2.211/24 dev eth1')"
    instance 12 $p "$(addresses 10.77.1.212/24)"
    printf 'vrrp_sync_group G {\n    group {\n        V11\n        V12\n    }\n    track_interface {\n        eth1 weight 30\n    }\n}\n'
}
for n in 1 2; do conf $n >"$LAB_DIR/d$n.conf"; done
# Who speaks for what, with which priority: "VRID NODE PRIORITY", one line each.
heard() {
    on d2 timeout 2.2 tcpdump -nlvi eth0 'ip proto 112' 2>/dev/null |
        sed -nE 's/^ *10\.77\.1\.1([12]) > .* vrid ([0-9]+), prio ([0-9]+).*/\2 d\1 \3/p' | sort -un
}
heard_is() { HEARD=$(heard || :); [[ $HEARD == "$1" ]]; }
expect() { # WHAT LINES
    if wait_until 20 heard_is "$2"; then ok "$1"; else not_ok "$1" "$(diff <(echo "$2") <(echo "$HEARD") || :)"; fi
}
all_well='1 d1 150
2 d1 150
3 d1 150
4 d1 150
5 d1 170
6 d1 150
7 d1 150
8 d1 150
9 d1 150
10 d1 150
11 d1 150
12 d1 180'
eth1_down='1 d2 100
2 d1 150
3 d2 100
4 d2 100
5 d1 150
6 d2 100
7 d1 150
8 d2 100
9 d2 100
10 d1 150
11 d2 100
12 d2 130'
for who in steadfast keepalived; do
    PROGRAM=$LAB_DAEMON; if [[ $who == keepalived ]]; then PROGRAM=$LAB_PEER; fi
    for n in d1 d2; do daemon $n "$LAB_DIR/$n.conf"; done
    expect "$who: d1 is master of all, a weight counts where no address is" "$all_well"
    ip -n d1 link set eth1 down
    expect "$who: eth1 of d1 is down, what needs it goes to d2" "$eth1_down"
    ip -n d1 link set eth1 up
    expect "$who: eth1 is up again, all come back" "$all_well"
    for n in d1 d2; do stop $n daemon; done
done
# Down from the first moment on.
PROGRAM=$LAB_DAEMON
ip -n d1 link set eth1 down
for n in d1 d2; do daemon $n "$LAB_DIR/$n.conf"; done
expect "begun with eth1 down" "$eth1_down"
lab_done
