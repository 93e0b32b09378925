#!/bin/bash
# vrrp-alike: rules of the real keepalived that no keyword names.  Both programs are asked the same, on
# d2; d1 is the real one.
#   lab-netns run --layout routed --directors 2 -- scenarios/vrrp-alike.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
printf '#!/bin/sh\nexit 0\n' >"$LAB_DIR/good"; printf '#!/bin/sh\nexec sleep 300\n' >"$LAB_DIR/service"
printf '#!/bin/sh\necho >>%s/stopped\n' "$LAB_DIR" >"$LAB_DIR/end"; chmod 755 "$LAB_DIR"/{good,service,end}
instance() { # NAME VRID PRIORITY INTERFACE ADDRESS LINES
    printf 'vrrp_instance %s {\n    interface %s\n    virtual_router_id %s\n    priority %s\n    advert_int 1\n%b\n    virtual_ipaddress {\n%b\n    }\n}\n' \
        "$1" "$4" "$2" "$3" "$6" "$5"
}
globals() { printf 'global_defs {\n    router_id %s\n    script_user root\n}\n' "$1"; }
members() { instance A 51 "$1" eth0 10.77.1.201/24 ''; instance B 52 "$1" eth1 10.77.2.202/24 ''; }
group='vrrp_sync_group G {\n    group {\n        A\n        B\n    }\n}\n'
{ globals d1; members 150; printf '%b' "$group"; } >"$LAB_DIR/both.conf"
{ globals d1; instance A 51 150 eth0 10.77.1.201/24 ''; } >"$LAB_DIR/only.conf"
cp "$LAB_DIR/both.conf" "$LAB_DIR/d1.conf"
{ globals d2; members 100; printf '%b' "$group"; } >"$LAB_DIR/group.conf"
# Many instances; after a reload none is left on eth1, and C announces its address again and again.
many=$(for n in $(seq 1 95); do printf '        fd77:9::%x\\n' "$n"; done)
script='vrrp_script good {\n    script %s\n    interval 1\n    rise 4\n    fall 4\n    init_fail\n    weight 20\n}\n'
single() {
    globals d2
    # shellcheck disable=SC2059
    printf "$script" "$LAB_DIR/good"
    instance C 53 100 eth0 10.77.1.203/24 "    notify_master $LAB_DIR/service\n    notify_stop $LAB_DIR/end\n${1:-}"
    instance M 54 100 eth0 "$many" '    version 3'
    instance S 55 100 eth0 10.77.1.205/24 '    track_script {\n        good\n    }'
}
{ single; instance E 56 100 eth1 10.77.2.206/24 ''; } >"$LAB_DIR/before.conf"
single '    garp_master_refresh 1' >"$LAB_DIR/after.conf"

heard() { # INTERFACE
    on d2 timeout 1.5 tcpdump -nlvi "$1" -Q out 'ip proto 112 or ip6 proto 112' 2>/dev/null || :
}
announces() { # ADDRESS SECONDS: how often d2 announces it meanwhile
    on d2 timeout "$2" tcpdump -nli eth0 -Q out "arp and arp[24:4] = $(printf '0x%02x%02x%02x%02x' ${1//./ })" 2>/dev/null | wc -l || :
}
is_master() { has_addr d2 "$1"; }
masters() { # ADDRESS...: d2 is master of all of them
    local a; for a; do is_master "$a" || return 1; done
}
none() { ! is_master 10.77.1.201 && ! is_master 10.77.2.202; }
calm() { ! logged d2 'Entering MASTER STATE' "$1"; }
says() { heard eth0 | grep -cE -- "$1"; }                        # PATTERN
rarely() { (( $(announces "$1" 3) <= 5 )); }                    # ADDRESS
often() { (( $(announces "$1" 4.5) >= 3 )); }                   # ADDRESS
for who in steadfast keepalived; do
    PROGRAM=$LAB_PEER daemon d1 "$LAB_DIR/d1.conf"
    check "$who: d1 is master of the group" wait_owner 10.77.1.201 d1 8
    PROGRAM=$LAB_DAEMON; if [[ $who == keepalived ]]; then PROGRAM=$LAB_PEER; fi
    mark=$(log_mark d2 2>/dev/null || echo 0); daemon d2 "$LAB_DIR/group.conf"
    wait_until 10 logged d2 '\(B\) Entering BACKUP STATE' "$mark"
    fault cut d1:eth1 d2:eth1
    check "$who: a member that hears its master keeps its group back" never 9 is_master 10.77.2.202
    check "$who: no member was master for a moment" calm "$mark"
    fault cut d1:eth0 d2:eth0
    check "$who: no member hears a master, and all become it" wait_until 9 masters 10.77.1.201 10.77.2.202
    fault clear
    check "$who: they hear their master again, and are backups" wait_until 9 none
    cp "$LAB_DIR/only.conf" "$LAB_DIR/d1.conf"; mark=$(log_mark d2)
    kill -HUP "$(child_pid d1 main)"
    check "$who: a reload takes a member out of the master" wait_until 5 logged d2 '\(B\) Backup received priority 0' "$mark"
    check "$who: the other one hears it, and keeps the group back" never 5 is_master 10.77.2.202
    check "$who: no member was master for a moment then" calm "$mark"
    stop d1 daemon
    check "$who: a stop of the master is followed at once" wait_until 2 masters 10.77.1.201 10.77.2.202
    stop d2 daemon; cp "$LAB_DIR/both.conf" "$LAB_DIR/d1.conf"

    cp "$LAB_DIR/before.conf" "$LAB_DIR/d2.conf"
    daemon d2 "$LAB_DIR/d2.conf"
    check "$who: d2 is master of all" wait_until 12 masters 10.77.1.203 fd77:9::1 fd77:9::5f 10.77.1.205 10.77.2.206
    check "$who: 89 addresses of IPv6 fit an advert, the others are held only" says 'vrid 54, prio 100.*addrs\(89\)'
    check "$who: the first good result counts, whatever init_fail and rise say" says 'vrid 55, prio 120'
    check "$who: nothing is announced all the time" wait_until 9 rarely 10.77.1.203
    bg d2 eth1 tcpdump -nlvi eth1 -Q out 'ip proto 112'
    wait_until 5 grep -q 'prio 100' "$(bg_log d2 eth1)"
    cp "$LAB_DIR/after.conf" "$LAB_DIR/d2.conf"
    kill -HUP "$(child_pid d2 main)"
    check "$who: what a reload removes says so, the last one on its interface too" \
        wait_until 5 grep -q 'vrid 56, prio 0' "$(bg_log d2 eth1)"
    stop d2 eth1; rm "$(bg_log d2 eth1)"
    check "$who: a refresh that a reload sets is heeded by a master" often 10.77.1.203
    check "$who: the others have stayed masters" masters 10.77.1.203 fd77:9::5f
    fits=89; if [[ $who == steadfast ]]; then fits=76; fi # the real one looks when it reads its file
    ip -n d2 link set eth0 mtu 1280
    check "$who: with smaller packets, $fits addresses are in the advert" wait_until 5 says "vrid 54, prio 100.*addrs\\($fits\\)"
    check "$who: the others are held" masters fd77:9::1 fd77:9::5f
    ip -n d2 link set eth0 mtu 1500
    check "$who: and 89 when they are large again" wait_until 5 says 'vrid 54, prio 100.*addrs\(89\)'
    rm -f "$LAB_DIR/stopped"; stop d2 daemon
    check "$who: a script that does not end does not keep the last one from being run" test -e "$LAB_DIR/stopped"

    daemon d2 "$LAB_DIR/after.conf" --dont-release-vrrp
    check "$who: d2 is master again, to keep its addresses" wait_until 12 masters 10.77.1.203 10.77.1.205
    bg d2 eth0 tcpdump -nlvi eth0 -Q out 'ip proto 112'
    wait_until 5 grep -q 'prio 100' "$(bg_log d2 eth0)"
    stop d2 daemon
    check "$who: and does: nobody is called to take them" never 1 grep -q 'prio 0' "$(bg_log d2 eth0)"
    check "$who: they stay" masters 10.77.1.203 10.77.1.205
    stop d2 eth0; rm "$(bg_log d2 eth0)"
    for a in 203 205; do ip -n d2 addr del "10.77.1.$a/24" dev eth0; done
    ip -n d2 -6 addr flush dev eth0 to fd77:9::/64
done
lab_done
