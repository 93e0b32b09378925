#!/bin/bash
# vrrp-links: interfaces that go down, vanish, come back and change their names
# by chance, under a seed (LAB_SEED): at rest a router is in FAULT if and only if
# a reason holds, and the kernel has what the routers want.  Then what somebody
# else removes, lost events of the kernel, a source address that comes late.
#   lab-netns run --directors 2 -- scenarios/vrrp-links.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
# The same by default, so that a change is judged by what was there before it.
SEED=${LAB_SEED:-3} ROUNDS=${LAB_ROUNDS:-25}
cat >"$LAB_DIR/d1.conf" <<'C'
global_defs {
    router_id d1
    vrrp_version 3
    dynamic_interfaces allow_if_changes
    disable_local_igmp
    vrrp_netlink_monitor_rcv_bufs 4096
}
static_ipaddress {
    192.0.2.9/32 dev eth0
}
vrrp_instance A {
    interface x0
    virtual_router_id 61
    advert_int 0.1
    virtual_ipaddress {
        10.90.1.200/24
        10.91.1.200/24 dev y0
    }
}
vrrp_instance V {
    interface x0
    use_vmac
    virtual_router_id 62
    advert_int 0.1
    virtual_ipaddress {
        10.90.1.210/24
    }
}
vrrp_instance W {
    interface x0
    use_vmac w6
    virtual_router_id 63
    advert_int 0.1
    virtual_ipaddress {
        fe80::63
        fd90::200/64
    }
}
vrrp_instance T {
    interface eth0
    virtual_router_id 64
    advert_int 0.1
    promote_secondaries
    track_interface {
        y0
    }
    virtual_ipaddress {
        10.77.1.200/24
        10.77.1.201/24 no_track
    }
}
vrrp_instance U {
    interface eth0
    virtual_router_id 65
    advert_int 0.1
    unicast_src_ip 10.77.1.99
    unicast_peer {
        10.77.1.12
    }
    virtual_ipaddress {
        10.77.1.220/24
    }
}
C
ip() { command ip -n d1 "$@"; }
make() { # INTERFACE NETWORK
    ip link add "$1" type veth peer name "p$1"
    on d1 sysctl -qw "net.ipv6.conf.$1.accept_dad=0"
    ip link set "p$1" up; ip link set "$1" up
    ip addr add "10.$2.1.1/24" dev "$1"
}
make x0 90; make y0 91
settings() { on d1 sysctl -n net.ipv4.conf.eth0.promote_secondaries net.ipv4.igmp_link_local_mcast_reports | xargs; }
before=$(settings)
daemon d1 "$LAB_DIR/d1.conf"
state() { grep -oE "\($1\) Entering [A-Z]+ STATE" "$(daemon_log d1)" | tail -n 1 | cut -d' ' -f3; }
there() { [[ -n $(ip -o addr show dev "$1" to "$2" 2>/dev/null) ]]; }
# running INTERFACE: it is there, up, with a carrier
running() { [[ $(ip -o link show "$1" 2>/dev/null) == *LOWER_UP* ]]; }
has4() { [[ -n $(ip -o -4 addr show dev "$1" to "$2" 2>/dev/null) ]]; }
has6() { [[ -n $(ip -o -6 addr show dev "$1" scope link -tentative to fe80::/10 2>/dev/null) ]]; }
# links_local: the virtual MAC has its own link-local address and the virtual one
links_local() { (( $(ip -o -6 addr show dev w6 scope link | wc -l) == 2 )); }
# is NAME WHETHER: its state is what the oracle says
is() { if [[ $2 == good ]]; then [[ $(state "$1") == MASTER ]]; else [[ $(state "$1") == FAULT ]]; fi; }
# model WHETHER INTERFACE ADDRESS: the address is there if the router is good and the interface exists
model() { if [[ $1 == good ]] && ip link show "$2" >/dev/null 2>&1; then there "$2" "$3"; else ! there "$2" "$3"; fi; }
rest() {
    local a=bad v=bad w=bad t=bad
    if running x0 && has4 x0 10.90.1.1; then v=good; fi
    if running x0 && has6 x0; then w=good; fi
    if running y0; then t=good; fi
    # One of its addresses is on y0.
    if [[ $v$t == goodgood ]]; then a=good; fi
    is A $a && is V $v && is W $w && is T $t &&
        model $a x0 10.90.1.200 && model $a y0 10.91.1.200 && model $v vrrp.62 10.90.1.210 &&
        model $w w6 fd90::200 && model $w w6 fe80::63 && { [[ $w == bad ]] || links_local; } && model $t eth0 10.77.1.200 && model $t eth0 10.77.1.201
}
check "at rest" wait_until 10 rest
# --- by chance
RANDOM=$SEED trail=
one() { # a change of the links
    local i=x0 n=90; if (( RANDOM % 3 == 0 )); then i=y0 n=91; fi
    case $(( RANDOM % 10 )) in
    0|1) echo "down $i"; ip link set $i down ;;
    2|3) echo "up $i"; ip link set $i up; if ! has4 $i 10.$n.1.1; then ip addr add 10.$n.1.1/24 dev $i; fi ;;
    4) echo "rename $i"; ip link set $i down; ip link set $i name other; nap 0.0$(( RANDOM % 10 )); ip link set other name $i; ip link set $i up ;;
    5) echo "rename $i for long"; ip link set $i name "z$i"; if (( RANDOM % 2 )); then nap 0.3; fi; ip link set "z$i" name $i ;;
    6) echo "delete $i"; ip link del $i; if (( RANDOM % 2 )); then nap 0.2; fi; make $i $n ;;
    7) echo "delete a virtual MAC"; ip link del "$( ((RANDOM % 2)) && echo vrrp.62 || echo w6)" ;;
    8) echo "rename a virtual MAC"; ip link set "$( ((RANDOM % 2)) && echo vrrp.62 || echo w6)" name strange ;;
    9) echo "no carrier $i"; ip link set "p$i" down; nap 0.1; ip link set "p$i" up ;;
    esac 2>/dev/null || :
}
bad=0
for (( round = 1; round <= ROUNDS; round++ )); do
    steps=$(( 1 + RANDOM % 3 ))
    # (not in a subshell: the numbers must go on)
    for (( step = 0; step < steps; step++ )); do one >>"$LAB_DIR/trail"; done
    if ! wait_until 8 rest; then
        bad=1; not_ok "seed $SEED, round $round" "$(tail -n "$steps" "$LAB_DIR/trail" | tr '\n' ',') $(for n in A V W T; do echo "$n=$(state $n)"; done | xargs) $(ip -o link | awk -F: '{ print $2 }' | xargs)"
        break
    fi
done
if (( ! bad )); then ok "seed $SEED: $(wc -l <"$LAB_DIR/trail") changes, at rest after each round"; fi
for i in x0 y0; do ip link set $i up 2>/dev/null || :; n=$([[ $i == x0 ]] && echo 90 || echo 91); has4 $i 10.$n.1.1 || ip addr add 10.$n.1.1/24 dev $i; done
check "all links are up: at rest" wait_until 10 rest
# --- what somebody else removes
announced() { grep -c "Sending/queueing gratuitous ARPs on eth0 for $1" "$(daemon_log d1)"; }
mark=$(log_mark d1) count=$(announced 10.77.1.200)
ip addr del 10.77.1.200/24 dev eth0
check "a removed address comes back" wait_until 2 there eth0 10.77.1.200
check "with a reason in the log" wait_until 2 logged d1 '\(T\) 10.77.1.200 was removed by someone else' "$mark"
check "it is announced anew" wait_until 2 eval '(( $(announced 10.77.1.200) > count ))'
ip addr del 10.77.1.201/24 dev eth0; ip addr del 192.0.2.9/32 dev eth0
check "those that nobody tracks come back, too" wait_until 2 eval 'there eth0 10.77.1.201 && there eth0 192.0.2.9 && logged d1 "10.77.1.201/24 was removed" $mark && logged d1 "192.0.2.9/32 was removed" $mark'
check "nobody has moved" eval '! logged d1 "Entering" $mark'
# the same address with another prefix is another address
mark=$(log_mark d1)
ip addr add 10.77.1.200/32 dev eth0; nap 0.2; ip addr del 10.77.1.200/32 dev eth0; nap 0.2
check "the same address with another prefix may come and go" eval 'there eth0 10.77.1.200 && ! logged d1 removed $mark'
for _ in 1 2 3 4; do wait_until 4 there eth0 10.77.1.200 || :; nap 0.2; ip addr del 10.77.1.200/24 dev eth0 || :; done
check "removed again and again: left alone for a while" wait_until 3 logged d1 '\(T\) 10.77.1.200 is removed again and again' "$mark"
check "another one may have it meanwhile" wait_until 2 logged d1 '\(T\) Entering BACKUP' "$mark"
check "then it is taken back" wait_until 10 eval 'there eth0 10.77.1.200 && rest'
# --- a virtual MAC that is set down, or loses its link-local address
ip link set w6 down; check "a virtual MAC that is set down is up again, with all addresses" wait_until 4 eval 'running w6 && there w6 fd90::200 && rest'
ip addr flush dev w6 scope link
check "its link-local addresses come back" wait_until 4 eval 'there w6 fe80::63 && links_local'
# --- events of the kernel's are lost
mark=$(log_mark d1) vrrp=$(child_pid d1 vrrp)
kill -STOP "$vrrp"
for (( i = 0; i < 2000; i++ )); do echo "addr add 127.9.$(( i / 250 )).$(( i % 250 + 1 ))/32 dev lo"; done >"$LAB_DIR/many"
ip -batch "$LAB_DIR/many"
ip addr del 10.77.1.200/24 dev eth0; ip addr del 10.90.1.210/24 dev vrrp.62
kill -CONT "$vrrp"
check "lost events are noticed" wait_until 5 logged d1 'events were lost, reading everything again' "$mark"
check "and what they would have told is put right" wait_until 10 rest
# --- a source that is there later than the daemon
check "without its source address a unicast router is in FAULT" eval '[[ $(state U) == FAULT ]]'
ip addr add 10.77.1.99/32 dev eth0
check "it begins when the address is there" wait_until 5 eval '[[ $(state U) == MASTER ]] && there eth0 10.77.1.220'
ip addr del 10.77.1.99/32 dev eth0
check "and ends with it" wait_until 5 eval '[[ $(state U) == FAULT ]] && ! there eth0 10.77.1.220'
# --- settings
check "secondaries are promoted, local groups not reported" test "$(settings)" == "1 0"
stop d1 daemon
check "the settings are as before" test "$(settings)" == "$before"
check "no address is left" eval '! there eth0 10.77.1.200 && ! there x0 10.90.1.200 && ! there eth0 192.0.2.9 && ! ip link show vrrp.62 && ! ip link show w6'
lab_done
