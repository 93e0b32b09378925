#!/bin/bash
# bfd-track: instances that track a BFD session with a router (client1, the real keepalived): when the
# way there is lost while every link is up, the address moves within the detection time; a bfd, vrrp or
# parent process that dies or is reloaded moves nothing; one that hangs is not believed for ever.
# (keepalived 2.2.7 begins in FAULT, gives the address up when its bfd process is killed, and believes one
# that hangs for ever.)
#   lab-netns run --directors 2 -- scenarios/bfd-track.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
A=10.77.1.201 B=10.77.1.202 ROUTER=10.77.1.101
DETECTION=300
bfd() { # NAME NEIGHBOUR SOURCE
    printf 'bfd_instance %s {\n    neighbor_ip %s\n    source_ip %s\n    min_rx 100\n    min_tx 100\n    multiplier 3\n}\n' "$@"
}
conf() { # NUMBER [LINE_OF_B]
    bfd router $ROUTER 10.77.1.1$1
    cat <<C
vrrp_instance A {
    interface eth0
    virtual_router_id 51
    priority $(( 160 - 20 * $1 ))
    advert_int 1
    virtual_ipaddress {
        $A/24
    }
    track_bfd {
        router
    }
}
vrrp_instance B {
    interface eth0
    virtual_router_id 52
    priority $(( 160 - 20 * $1 ))
    advert_int 1
    virtual_ipaddress {
        $B/24
    }
    track_bfd {
        router weight -60
    }
    ${2:-}
}
C
}
timed() { local name=$1 secs=$2 t; shift 2; t=$(now_us); if wait_until "$secs" "$@"; then ok "$name ($(since_ms "$t") ms)"; else not_ok "$name" "A: $(owners $A), B: $(owners $B)"; fi; }
both_on() { owner_is $A "$1" && owner_is $B "$1"; }
steady() { # WHAT SECONDS
    if never "$2" eval '! both_on d1'; then ok "$1: nothing moves for $2 s"; else not_ok "$1: nothing moves" "A: $(owners $A), B: $(owners $B)"; fi
}
{ bfd d1 10.77.1.11 $ROUTER; bfd d2 10.77.1.12 $ROUTER; } >"$LAB_DIR/client1.conf"
PROGRAM=$LAB_PEER daemon client1 "$LAB_DIR/client1.conf"
for i in 1 2; do conf $i >"$LAB_DIR/d$i.conf"; daemon d$i "$LAB_DIR/d$i.conf"; done
timed "d1 is master of both" 15 both_on d1
nap 2

# --- the way to the router is lost, and no carrier with it
cap=$LAB_DIR/track.pcap
capture d1 eth0 "$cap" "(udp port 3784 and src host $ROUTER) or (ip proto 112 and src host 10.77.1.11)"
nap 1
t=$(now_us)
fault cut client1 d1
if wait_until 5 owner_is $A d2; then ok "A has moved $(since_ms "$t") ms after the cut"; else not_ok "A moves" "$(owners $A)"; fi
timed "B has moved, by its weight" 8 owner_is $B d2
capture_end d1 eth0
# From the last packet of the router's that came through to the resignation of A.
ms=$(tshark -r "$cap" -T fields -E separator=, -e frame.time_epoch -e bfd.sta -e vrrp.virt_rtr_id -e vrrp.prio 2>/dev/null |
    awk -F, '$2 != "" { last = $1 } last && $3 == 51 && $4 == 0 { printf "%d", ($1 - last) * 1000; exit }')
if [[ -n $ms ]] && (( ms >= DETECTION * 3 / 4 && ms <= DETECTION + 100 )); then ok "A was given up $ms ms after the router's last packet (detection time $DETECTION ms)"
else not_ok "A is given up within the detection time" "${ms:-no resignation}"; fi
check "the log says why" logged d1 '\(A\) fault: BFD session router'
check "and what" logged d1 '\(router\) Expired after 300 ms'
check "the link has its carrier" eval 'ip -n d1 -o link show eth0 | grep LOWER_UP >/dev/null'
kill -USR1 "$(child_pid d1 main)"
check "the data file names the session" wait_until 5 grep -q 'router: Fault, Bfd is down' "$LAB_DIR/nodes/d1/tmp/keepalived.data"
fault clear
timed "back: d1 is master of both" 15 both_on d1

# --- the processes die, one after the other
old=$(child_pid d1 bfd) mark=$(log_mark d1) theirs=$(log_mark client1); kill -KILL "$old"
steady "the bfd process was killed" 4
check "there is a new one" child_new d1 bfd "$old"
check "and its session is up" logged d1 '\(router\) (Entering Up state|Up until a moment ago, going on)' "$mark"
# As a rule it is back within the 300 ms; on a machine that is too busy for that, the session comes up anew.
say "the router noticed: $(tail -n "+$(( theirs + 1 ))" "$(daemon_log client1)" | grep -c '(d1) Entering Down' || :) times"
old=$(child_pid d1 vrrp); kill -KILL "$old"
steady "the vrrp process was killed" 4
check "there is a new one" child_new d1 vrrp "$old"
mark=$(log_mark d1)
fault cut client1 d1
timed "the new ones know each other: the address moves" 5 owner_is $A d2
fault clear
timed "and comes back" 15 both_on d1

# --- a reload of something else, and of the session's rates
mark=$(log_mark d1)
conf 1 'garp_master_repeat 3' | sed 's/min_tx 100/min_tx 150/' >"$LAB_DIR/d1.conf"
kill -HUP "$(child_pid d1 main)"
steady "a reload" 3
check "went through" logged d1 'Reload complete' "$mark"
check "with a poll sequence" logged d1 '\(router\) Starting poll sequence' "$mark"
check "and no session went down" eval '! logged d1 "Entering Down" "$mark"'

# --- a bfd process that hangs watches nothing
kill -STOP "$(child_pid d1 bfd)"
timed "a bfd process that hangs is not believed for ever" 9 owner_is $A d2
kill -CONT "$(child_pid d1 bfd)"
timed "it goes on: back again" 15 both_on d1

# --- an orderly end of everything
stop d1 daemon
timed "d1 stops: d2 takes over" 5 both_on d2
check "the router hears that it was taken down" logged client1 '\(d1\) .*Administratively Down'
lab_done
