#!/bin/bash
# vrrp-children: SIGKILL of the vrrp child, of the parent, of everything: one
# owner afterwards, nothing left behind.  Two routers, 150 and 100.  At the end, what a
# crash of everything left and a changed configuration no longer has: addresses, links, routes,
# rules, a table of nftables; and a note that is still held when the next process starts.
#   lab-netns run --directors 2 -- scenarios/vrrp-children.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
VIP=10.77.1.200
conf() { # NUMBER ADDRESS
    cat <<C
global_defs {
    router_id d$1
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority $(( 200 - 50 * $1 ))
    advert_int 1
    virtual_ipaddress {
        $2/24
    }
}
C
}
for i in 1 2; do conf $i $VIP >"$LAB_DIR/d$i.conf"; daemon d$i "$LAB_DIR/d$i.conf"; done
one_owner() { [[ $(owners $VIP) == d? ]]; }
settle() { # WHAT NODE SECONDS
    local t; t=$(now_us)
    if wait_owner $VIP "$2" "$3"; then ok "$1: on $2 after $(since_ms "$t") ms"; else not_ok "$1" "on '$(owners $VIP)', not on $2"; fi
    if never 1 eval '! owner_is $VIP '"$2"; then ok "$1: and there it stays"; else not_ok "$1: and there it stays" "on '$(owners $VIP)'"; fi
    check "$1: the client reaches it" on client1 ping -qc1 -W2 $VIP
}
settle "election" d1 8

# moves FILE: how often the address changed hands, from the adverts of a capture
moves() { vrrp-masters.py "$1" 1 | grep -c '^51 ' || :; }
# --- the vrrp child of the master
cap=$LAB_DIR/children.pcap
capture sw br-lan "$cap" 'ip proto 112'
on d1 ip -o monitor address >"$LAB_DIR/monitor" 2>&1 & monitor=$!
main=$(child_pid d1 main) vrrp=$(child_pid d1 vrrp)
check "the pid files name two processes" test "$main" != "$vrrp"
t=$(now_us); kill -KILL "$vrrp"
check "the vrrp child is killed: there is a new one" wait_until 10 child_new d1 vrrp "$vrrp"
echo "# a new vrrp child after $(since_ms "$t") ms"
check "its parent is the same" test "$(child_pid d1 main)" == "$main"
settle "the vrrp child was killed" d1 12
if [[ $(basename "$LAB_DAEMON") != keepalived ]]; then
    nap 4; capture_end sw br-lan; kill "$monitor"
    check "the new child went on as master: one reign, no other master's advert" test "$(moves "$cap")" == 1
    check "no advert came late" vrrp-masters.py --never-late "$cap" 1 10.77.1.11
    check "the address was never gone" eval '! grep -q "Deleted.*$VIP" "$LAB_DIR/monitor"'
    # A second death within a minute is answered later: the address is given up at once meanwhile.
    cap=$LAB_DIR/children-2.pcap; capture sw br-lan "$cap" 'ip proto 112'
    vrrp=$(child_pid d1 vrrp); t=$(now_us); kill -KILL "$vrrp"
    if wait_owner $VIP d2 3; then
        ms=$(since_ms "$t"); ok "killed again: a backup has the address after $ms ms"
        check "that is its skew time, not three adverts" test "$ms" -lt 1200
    else not_ok "killed again: a backup has the address"; fi
else
    capture_end sw br-lan; kill "$monitor"
    vrrp=$(child_pid d1 vrrp); kill -KILL "$vrrp"
fi
check "killed again: there is a new one" wait_until 10 child_new d1 vrrp "$vrrp"
settle "killed twice" d1 12

# --- the parent of the master: its children must not outlive it
tree "$main"; all=$TREE
kill -KILL "$main"
# shellcheck disable=SC2086
check "the parent is killed: its children go with it" wait_until 8 gone $all
settle "the parent was killed" d2 8
daemon d1 "$LAB_DIR/d1.conf"
settle "d1 is started again" d1 8

# --- everything at once: the kernel still has the address when d1 comes back as the lesser one
crash d1 daemon
check "all killed: d2 takes over" wait_until 8 has_addr d2 $VIP
check "(the dead one's kernel still has the address)" has_addr d1 $VIP
sed -i 's/priority 150/priority 50/' "$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
settle "d1 starts as a backup: it gives the stale address up" d2 6
check "an address of ours is gone from d1" eval '! has_addr d1 $VIP'

# --- and a stale address that the new configuration no longer has
stop d1 daemon
sed -i 's/priority 50/priority 150/' "$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
settle "d1 first again" d1 8
crash d1 daemon
check "all killed again: d2 takes over" wait_until 8 has_addr d2 $VIP
daemon d1 "$LAB_DIR/d1.conf"
settle "d1 comes back to its own address" d1 8
check "with the address once" eval '[[ $(ip -n d1 -o -4 addr show dev eth0 | grep -c " $VIP/") == 1 ]]'
for i in 1 2; do stop d$i daemon; done
check "nothing is left" owner_is $VIP ""

# --- a crash of everything, then a configuration that no longer has what was left. Beside it on the
# host: another daemon with an address, and an address with the same mark that nobody noted.
# (keepalived leaves it all there.)
if [[ $(basename "$LAB_DAEMON") != keepalived ]]; then
    KEPT=10.77.1.201 NEW=10.77.1.202 OTHER=10.77.1.210 STRANGE=10.77.1.220 MOVED=10.77.1.203
    other() { # ADDRESS...: the configuration of the other daemon
        printf 'global_defs {\n nftables theirs\n}\n'
        printf 'vrrp_instance OTHER {\n interface eth0\n no_accept\n virtual_router_id 60\n virtual_ipaddress {\n'
        printf '  %s/24\n' "$@"; printf ' }\n'
        printf ' virtual_routes {\n  10.110.0.0/16 dev eth0 metric 60\n }\n virtual_rules {\n  from 10.110.0.0/16 table 60 priority 1060\n }\n}\n'
    }
    routed() { # what is there of the dead one's, and of the living one's
        { ip -n d1 route show table all; ip -n d1 -6 route show table all; ip -n d1 rule; ip -n d1 -6 rule; on d1 nft list tables; } |
            grep -oE '10\.110\.0\.0/16 dev eth0 (table 7 )?.*metric [0-9]+|blackhole 10\.111|10\.112\.0\.0/16 via [0-9.]+|2001:db8:110::|^(1006|1007|1060):|table ip (dead|theirs|strange)' | sed 's/ proto.*metric/ metric/' | LC_ALL=C sort | xargs
    }
    other $OTHER >"$LAB_DIR/other.conf"
    bg d1 other "$LAB_DAEMON" --dont-fork --no-syslog --log-console --pid /run/other.pid --vrrp_pid /run/other-vrrp.pid --use-file "$LAB_DIR/other.conf"
    conf 1 "$VIP/24
        $KEPT/24
        $MOVED" >"$LAB_DIR/d1.conf"
    sed -i 's/^global_defs {/&\n    nftables dead/' "$LAB_DIR/d1.conf"
    cat >>"$LAB_DIR/d1.conf" <<C
vrrp_instance MAC {
    interface eth0
    use_vmac
    no_accept
    virtual_router_id 61
    virtual_ipaddress {
        10.77.1.230/24
    }
    virtual_routes {
        10.110.0.0/16 dev eth0
        10.110.0.0/16 dev eth0 table 7 metric 5
        blackhole 10.111.0.0/16
        10.112.0.0/16 via 10.77.1.98 dev eth0
        2001:db8:110::/48 dev eth0
    }
    virtual_rules {
        from 10.110.0.0/16 table 7 priority 1006
        to 2001:db8:110::/48 table 7 priority 1007
    }
}
C
    daemon d1 "$LAB_DIR/d1.conf"
    held() { local a; for a; do has_addr d1 "$a" || return 1; done; }
    check "two daemons on one host have their addresses" wait_until 8 held $VIP $KEPT $MOVED 10.77.1.230 $OTHER
    check "the files of both say what they may have made" eval 'on d1 grep -q " $VIP/24" "/run/steadfast/!run!vrrp.pid" && on d1 grep -q "vrrp.61 00:00:5e:00:01:3d" "/run/steadfast/!run!vrrp.pid" && on d1 grep -q " $OTHER/24" "/run/steadfast/!run!other-vrrp.pid"'
    crash d1 daemon
    other $OTHER $MOVED >"$LAB_DIR/other.conf"; kill -HUP "$(bg_pid d1 other)"
    check "(the other daemon has an address of the dead one now)" wait_until 5 on d1 grep -q " $MOVED/24" "/run/steadfast/!run!other-vrrp.pid"
    # (RTM_NEWADDR with IFA_LOCAL and IFA_PROTO; not every ip(8) can)
    on d1 python3 -c 'import socket, struct, sys
body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, socket.if_nametoindex("eth0")) + struct.pack("=HH4s", 8, 2, socket.inet_aton(sys.argv[1])) + struct.pack("=HHB3x", 5, 11, 18)
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
netlink.send(struct.pack("=IHHII", 16 + len(body), 20, 0x605, 1, 0) + body)
sys.exit(struct.unpack_from("=i", netlink.recv(4096), 16)[0] != 0)' $STRANGE
    check "what the dead one made is there" held $VIP $KEPT $MOVED 10.77.1.230 $OTHER $STRANGE
    on d1 nft add table ip strange
    ip -n d1 route add 10.110.0.0/16 dev eth0 metric 99 proto 18
    DEAD="1006: 1007: 10.110.0.0/16 dev eth0 table 7 metric 5 10.112.0.0/16 via 10.77.1.98 2001:db8:110:: blackhole 10.111 table ip dead"
    LIVING="1060: 10.110.0.0/16 dev eth0 metric 60 10.110.0.0/16 dev eth0 metric 99 table ip strange table ip theirs"
    all_routed() { local word; for word in $1; do [[ " $(routed) " == *" $word "* ]] || return 1; done; }
    check "so are its routes, rules and its table of nftables, and those of others" all_routed "$DEAD $LIVING"
    ip -n d1 -o monitor address >"$LAB_DIR/monitor" 2>&1 & monitor=$!
    conf 1 "$KEPT/24
        $NEW" >"$LAB_DIR/d1.conf"; mark=$(log_mark d1)
    # (a route of the dead one's with another next hop)
    sed -i '$d' "$LAB_DIR/d1.conf"; printf '    virtual_routes {\n        10.112.0.0/16 via 10.77.1.99 dev eth0\n    }\n}\n' >>"$LAB_DIR/d1.conf"
    daemon d1 "$LAB_DIR/d1.conf"
    check "what the configuration no longer has is removed" wait_until 5 eval '! has_addr d1 $VIP && ! ip -n d1 link show vrrp.61'
    check "with a word in the log" eval 'logged d1 "$VIP/24 on eth0 was left by a process that died" $mark && logged d1 "vrrp.61 was left by a process that died" $mark'
    left_routed() { [[ $(routed) == "$1" ]]; }
    check "so are routes, rules and the table, and nothing of others" wait_until 8 left_routed "10.110.0.0/16 dev eth0 metric 60 10.110.0.0/16 dev eth0 metric 99 10.112.0.0/16 via 10.77.1.99 1060: table ip strange table ip theirs"
    check "with words in the log" eval 'logged d1 "routes and rules \(7\) were left by a process that died" $mark && logged d1 "table dead was left by a process that died" $mark'
    check "what it has is there, old and new" wait_until 8 held $KEPT $NEW
    check "the other daemon has its addresses, and the strange one is there" held $OTHER $MOVED $STRANGE
    kill "$monitor"
    check "and nobody touched them" eval '! grep -E "Deleted.*($OTHER|$MOVED|$STRANGE)/" "$LAB_DIR/monitor"'
    # --- the note is still held when the next one starts: it is taken later
    crash d1 daemon; conf 1 "$NEW" >"$LAB_DIR/d1.conf"; mark=$(log_mark d1)
    bg d1 holder python3 -c 'import fcntl, struct, time
note = open("/run/steadfast/!run!vrrp.pid", "r+")
fcntl.fcntl(note, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
print("held", flush=True)
time.sleep(1000)'
    check "(somebody holds the note)" wait_until 5 grep -q held "$(bg_log d1 holder)"
    daemon d1 "$LAB_DIR/d1.conf"
    check "it starts without the note" wait_until 8 eval 'held $NEW && logged d1 "still has its note" $mark'
    check "and takes nothing over meanwhile" held $KEPT
    stop d1 holder
    check "it takes the note later: what was left goes" wait_until 5 eval '! held $KEPT && on d1 grep -q " $NEW/24" "/run/steadfast/!run!vrrp.pid" && ! on d1 grep -q " $KEPT/" "/run/steadfast/!run!vrrp.pid"'
    check "what it has stays" wait_until 8 held $NEW $OTHER $MOVED $STRANGE
    for tag in daemon other; do stop d1 $tag; done
    check "both leave nothing, and no file" eval '! held $KEPT && ! held $NEW && ! held $OTHER && ! held $MOVED && [[ -z $(on d1 ls /run/steadfast) ]]'
fi
lab_done
