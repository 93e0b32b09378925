#!/bin/bash
# bfd-interop: BFD sessions with the real keepalived (d2) and with FRR's bfdd (d3), IPv4 and IPv6: they
# come up and stay up, notice a cut on both ends, take other rates by poll sequences, and end in order.
#   lab-netns run --directors 3 -- scenarios/bfd-interop.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/frr.sh"
MULTIPLIER=3
session() { # NAME NEIGHBOUR SOURCE MILLISECONDS [LINE]
    cat <<C
bfd_instance $1 {
    neighbor_ip $2
    source_ip $3
    min_rx $4
    min_tx $4
    multiplier $MULTIPLIER
    ${5:-}
}
C
}
# Over IPv6 keepalived sends with hop limit 64 unless it is told otherwise, and FRR wants the 255 of RFC 5881.
conf_ours() { # MILLISECONDS
    printf 'global_defs {\n    bfd_process_name lab_bfd\n    bfd_priority -3\n    bfd_no_swap\n    bfd_rlimit_rttime 20000\n    bfd_cpu_affinity 0\n}\n'
    session ka4 10.77.1.12 10.77.1.11 "$1"
    session ka6 fd77:1::12 fd77:1::11 "$1"
    session frr4 10.77.1.13 10.77.1.11 "$1"
    session frr6 fd77:1::13 fd77:1::11 "$1" 'hoplimit 255'
}
conf_peer() { session our4 10.77.1.11 10.77.1.12 200; session our6 fd77:1::11 fd77:1::12 200; }
conf_frr() {
    local at
    echo bfd
    for at in "10.77.1.11 local-address 10.77.1.13" "fd77:1::11 local-address fd77:1::13"; do
        printf ' peer %s\n  receive-interval 200\n  transmit-interval 200\n  detect-multiplier %s\n' "$at" $MULTIPLIER
    done
}
entered() { tail -n "+$(( ${4:-0} + 1 ))" "$(daemon_log "$1")" | grep -c "($2) Entering $3 state"; }
up_here() { local s; for s in ka4 ka6 frr4 frr6; do [[ $(last "$s") == Up ]] || return 1; done; }
last() { grep -o "($1) Entering [A-Za-z]* state" "$(daemon_log d1)" | tail -1 | awk '{ print $3 }'; }
up_everywhere() { up_here && [[ $(frr_up d3) == 2 ]] && [[ $(grep -o '(our[46]) Entering [A-Za-z]* state' "$(daemon_log d2)" | sort -s -k1,1 | awk '{ l[$1] = $3 } END { for (s in l) print l[s] }' | sort | uniq -c | xargs) == "2 Up" ]]; }
timed() { local name=$1 secs=$2 t; shift 2; t=$(now_us); if wait_until "$secs" "$@"; then ok "$name ($(since_ms "$t") ms)"; else not_ok "$name"; fi; }

conf_ours 200 >"$LAB_DIR/d1.conf"; conf_peer >"$LAB_DIR/d2.conf"; conf_frr >"$LAB_DIR/d3.conf"
cap=$LAB_DIR/bfd.pcap
capture sw br-lan "$cap" 'udp port 3784'
PROGRAM=$LAB_PEER daemon d2 "$LAB_DIR/d2.conf"
frr d3 "$LAB_DIR/d3.conf"
daemon d1 "$LAB_DIR/d1.conf"
timed "four sessions come up on all ends" 15 up_everywhere
down() { grep -cE '\((ka|frr|our)[46]\) Entering Down state' "$(daemon_log "$1")" || :; }
calm() { [[ "$(down d1) $(down d2) $(frr_downs d3)" == "$1" ]]; }
before="$(down d1) $(down d2) $(frr_downs d3)"
if never 4 eval '! calm "$before"'; then ok "and stay up for four seconds"; else not_ok "they do not stay up" "$before, now $(down d1) $(down d2) $(frr_downs d3)"; fi

# --- the dump names them
kill -USR1 "$(child_pid d1 main)"
dump=$LAB_DIR/nodes/d1/tmp/keepalived_bfd.data
timed "the data file names the sessions" 5 eval '[[ $(grep -c "local state = Up" "$dump" 2>/dev/null) == 4 ]]'

# --- the process is as configured
pid=$(child_pid d1 bfd)
check "its pid file, its name" eval '[[ -n $pid && $(<"/proc/$pid/comm") == lab_bfd ]]'
check "its priority" eval '[[ $(awk "{ print \$19 }" "/proc/$pid/stat") == -3 ]]'
check "its memory is locked" eval '(( $(awk "/^VmLck/ { print \$2 }" "/proc/$pid/status") > 0 ))'
check "its CPU" grep -qx 'Cpus_allowed_list:.0' "/proc/$pid/status"
check "its limit" eval '[[ $(awk "/realtime timeout/ { print \$4, \$5 }" "/proc/$pid/limits") == "10000 20000" ]]'

# --- a reload: other rates, nobody goes down
conf_ours 300 >"$LAB_DIR/d1.conf"
kill -HUP "$(child_pid d1 main)"
timed "other rates are polled for" 5 eval '[[ $(grep -c "Starting poll sequence" "$(daemon_log d1)") -ge 8 ]]'
timed "FRR has taken them" 5 eval '[[ $(frr_interval d3) == "300 300" ]]'
if never 3 eval '! calm "$before"'; then ok "no session went down by the reload"; else not_ok "a session went down by the reload"; fi

# --- cut, both ends notice; back again
for peer in d2 d3; do
    mark=$(log_mark d1) t=$(now_us)
    fault cut $peer d1; fault cut d1 $peer
    both() { [[ $(tail -n "+$(( mark + 1 ))" "$(daemon_log d1)" | grep -c 'Entering Down state') == 2 ]]; }
    if wait_until 5 both; then
        ms=$(since_ms "$t")
        # three intervals of 300 ms, and what the lab's own look every 50 ms adds
        if (( ms <= 1500 )); then ok "cut from $peer: both sessions are down after $ms ms"; else not_ok "cut from $peer: slow" "$ms ms"; fi
    else not_ok "cut from $peer: noticed"; fi
    fault clear
    timed "back from $peer: all are up again" 12 up_everywhere
done

# --- killed: a new process, the sessions come back, the parent lives
before="$(down d1) $(down d2) $(frr_downs d3)"
old=$(child_pid d1 bfd) mark=$(log_mark d1); kill -KILL "$old"
timed "the bfd process is killed: there is a new one" 10 child_new d1 bfd "$old"
# With 900 ms to go, it is back before anybody has noticed.
timed "it goes on with every session" 12 eval '[[ $(tail -n "+$(( mark + 1 ))" "$(daemon_log d1)" | grep -cE "going on$") == 4 ]] && up_everywhere'
if never 3 eval '! calm "$before"'; then ok "no neighbour has noticed"; else not_ok "a neighbour has noticed" "$before, now $(down d1) $(down d2) $(frr_downs d3)"; fi

# --- an orderly end is told as one
mark=$(log_mark d2)
stop d1 daemon
timed "keepalived hears that it was taken down" 5 eval '[[ $(tail -n "+$(( mark + 1 ))" "$(daemon_log d2)" | grep -c "Remote diagnostic - Administratively Down") == 2 ]]'
if wait_until 5 eval '[[ $(frr_remote d3) == "administratively down administratively down" ]]'; then ok "FRR as well"; else not_ok "FRR hears that it was taken down" "$(frr_show d3)"; fi

# --- not at all with -B
daemon d1 "$LAB_DIR/d1.conf" --no_bfd
check "with -B there is no bfd process" never 2 child_pid d1 bfd
stop d1 daemon

# --- passive: silent until the other speaks
conf_ours 200 | sed 's/multiplier.*/&\n    passive/' >"$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
timed "passive sessions come up when the others speak" 15 up_everywhere
stop d1 daemon
capture_end sw br-lan

# --- every packet of ours by tshark's dissector
fields=$LAB_DIR/packets
tshark -r "$cap" -Y 'ip.src == 10.77.1.11 or ipv6.src == fd77:1::11' -T fields -E separator=, -E occurrence=f \
    -e frame.number -e ip.ttl -e ipv6.hlim -e udp.srcport -e udp.dstport -e bfd.version -e bfd.sta -e bfd.flags.p -e bfd.flags.f \
    -e bfd.detect_time_multiplier -e bfd.my_discriminator -e bfd.desired_min_tx_interval -e bfd.message_length -e bfd.flags.c -e bfd.flags.m -e _ws.malformed 2>/dev/null >"$fields"
judged=$(awk -F, '
    { n++; up = ($7 == "0x3" || $7 == "0x03") }
    $4 < 49152 || $5 != 3784 || $6 != 1 || $10 != 3 || $13 != 24 || $16 != "" { print "frame " $1 ": " $0 }
    $2 != "" && $2 != 255 { print "frame " $1 ": TTL " $2 }
    ($8 == 1 || $8 == "True") && ($9 == 1 || $9 == "True") { print "frame " $1 ": P and F" }
    !up && $12 < 1000000 { print "frame " $1 ": faster than a second while not up" }
    END { if (n < 100) print "only " n " packets" }' "$fields" | head -20)
if [[ -z $judged ]]; then ok "tshark finds nothing wrong with $(wc -l <"$fields") packets"; else not_ok "tshark" "$judged"; fi
lab_done
