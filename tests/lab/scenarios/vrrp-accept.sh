#!/bin/bash
# vrrp-accept: no_accept and vrrp_strict keep traffic from the virtual addresses
# with nftables; what somebody else removes comes back, a crash leaves no gap,
# the end leaves nothing.  d2 is the real keepalived.
#   lab-netns run --directors 2 -- scenarios/vrrp-accept.sh
# (keepalived as the program under test does not put a removed table back)
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
OPEN=10.77.1.200 SHUT=10.77.1.201 STRICT=10.77.1.202 SHUT6=fd77:1::1:201 LOCAL6=fe80::1:201
conf() { # NUMBER
    cat <<C
global_defs {
    router_id d$1
    nftables lab
    nftables_counters
}
$(instance "$1" OPEN 50 eth0 "$OPEN/24" accept)
$(instance "$1" SHUT 51 eth0 "$SHUT/24" no_accept)
$(instance "$1" STRICT 52 eth0 "$STRICT/24" "strict_mode on")
$(instance "$1" SHUT6 53 eth0 "$LOCAL6/64
        $SHUT6/64" no_accept)
C
}
instance() { # NUMBER NAME VRID INTERFACE ADDRESSES WORDS
    cat <<C
vrrp_instance $2 {
    version 3
    state BACKUP
    interface $4
    virtual_router_id $3
    priority $(( 200 - 50 * $1 ))
    advert_int 1
    $6
    virtual_ipaddress {
        $5
    }
}
C
}
for i in 1 2; do conf $i >"$LAB_DIR/d$i.conf"; done
daemon d1 "$LAB_DIR/d1.conf"; PROGRAM=$LAB_PEER daemon d2 "$LAB_DIR/d2.conf"
ADDRESSES="$OPEN $SHUT $STRICT $SHUT6 $LOCAL6"
all_on() { local a; for a in $ADDRESSES; do owner_is "$a" "$1" || return 1; done; }
settle() { check "$1: every address is on ${2:-no node}" wait_until "$3" all_on "$2"; }
refused() { ! on client1 ping -qc1 -W1 "$1"; }
expected() { # WHAT
    on client1 ip neigh flush dev eth0
    check "$1: with accept the client gets an answer" on client1 ping -qc1 -W2 $OPEN
    check "$1: with no_accept it gets none" refused $SHUT
    check "$1: in strict mode neither" refused $STRICT
    check "$1: nor over IPv6" refused $SHUT6
    check "$1: nor from the link-local address" refused "$LOCAL6%eth0"
    check "$1: but its neighbours are known" eval '[[ $(ip -n client1 neigh show $SHUT) == *lladdr* && $(ip -n client1 neigh show $SHUT6) == *lladdr* ]]'
}
elements() { on "$1" nft list set "$2" lab "$3" 2>/dev/null | sed -n 's/.*elements = { \(.*\) }/\1/p'; }
settle "election" d1 8
expected "on ours"
check "the table is the one of the configuration" eval '[[ $(elements d1 ip vips) == "$SHUT, $STRICT" && $(elements d1 ip6 vips) == "$SHUT6" && $(elements d1 ip6 vips_link_local) == "$LOCAL6 . \"eth0\"" ]]'
check "the backup refuses nothing" eval '[[ -z $(elements d2 ip vips) ]]'
check "packets are counted" eval 'on d1 nft list chain ip lab in | grep "counter packets [1-9]" >/dev/null'

on d1 nft flush ruleset
check "somebody flushes nftables: the table comes back" wait_until 3 eval '[[ $(elements d1 ip vips) == "$SHUT, $STRICT" && $(elements d1 ip6 vips) == "$SHUT6" ]]'
check "and it is told" wait_until 3 logged d1 'nft has removed the table lab or a part of it, it is put back'
expected "after that"
on d1 nft add table ip other
check "what others have is left alone" eval 'on d1 nft list table ip other'

# --- a reload moves an address from refused to accepted, and nothing else
sed -i '/vrrp_instance SHUT {/,/^}/s/no_accept/accept/' "$LAB_DIR/d1.conf"
kill -HUP "$(child_pid d1 main)"
check "reload with accept: the client gets an answer" wait_until 5 on client1 ping -qc1 -W1 $SHUT
check "and the others are refused as before" eval 'refused $STRICT && refused $SHUT6'
conf 1 >"$LAB_DIR/d1.conf"
kill -HUP "$(child_pid d1 main)"
check "reload with no_accept: it gets none" wait_until 5 refused $SHUT

# --- a killed child: its successor takes the table over
vrrp=$(child_pid d1 vrrp)
kill -KILL "$vrrp"
check "the child is killed: no answer in between" never 2 on client1 ping -qc1 -W1 $SHUT
check "there is another child" wait_until 5 child_new d1 vrrp "$vrrp"
settle "the child was killed" d1 8
expected "with its successor"

stop d1 daemon
settle "ours stops" d2 5
expected "on the real one"
check "no table of ours is left, others are" eval '! on d1 nft list table ip lab && ! on d1 nft list table ip6 lab && on d1 nft list table ip other'
daemon d1 "$LAB_DIR/d1.conf"
settle "ours is back" d1 10
expected "on ours again"
stop d1 daemon; stop d2 daemon
settle "the end" "" 5
lab_done
