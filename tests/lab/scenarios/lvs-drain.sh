#!/bin/bash
# lvs-drain: drain_time and slow_start, words that keepalived does not have, on
# a real IPVS.  A server that a reload takes out keeps its open connection and
# gets no new one; it leaves the table when that ends, or when its time is over.
# A server that comes back gets its weight in steps.
#   uml-run -- lab-netns run --directors 1 --reals 3 -- scenarios/lvs-drain.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200
client_addresses
reals_direct $VIP
reals_http 80
ip -n d1 addr add $VIP/32 dev eth0
conf() { # DRAIN SERVER...
    printf 'global_defs {\n router_id d1\n}\nvirtual_server %s 80 {\n delay_loop 1\n lb_algo rr\n lb_kind DR\n protocol TCP\n drain_time %s\n' $VIP "$1"; shift
    local s
    for s in "$@"; do printf ' real_server 10.77.1.2%s 80 {\n  weight 10\n  slow_start 5\n  TCP_CHECK {\n   connect_timeout 1\n   retry 0\n  }\n }\n' "$s"; done
    echo '}'
}
conf 60 1 2 3 >"$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
weight() { on d1 ipvsadm -Ln | awk -v s="10.77.1.2$1:80" '$2 == s { print $4 }'; }
has_weight() { [[ $(weight "$1") == "$2" ]]; }
all_serve() { has_weight 1 10 && has_weight 2 10 && has_weight 3 10; }
hup() { kill -HUP "$(child_pid d1 main)"; }
timed "three servers" 8 all_serve
stream_on d1 10.77.1.22 $VIP 60
conf 60 1 3 >"$LAB_DIR/d1.conf"; hup
timed "taken out: weight 0 at once" 5 has_weight 2 0
spread "new requests go to the others" "10 rs1 10 rs3" -n 20 $VIP 80
sleep_s=$(now_us); while (( $(since_ms "$sleep_s") < 3000 )); do :; done
check "it stays as long as its connection does" has_weight 2 0
check "which still runs" eval 'on d1 ipvsadm -Lcn | grep "ESTABLISHED.* 10.77.1.22:80" >/dev/null'
stop client1 stream KILL
timed "the connection has ended: it leaves the table" 8 has_weight 2 ""
check "and that is told" wait_until 2 logged d1 "Removing drained service .10.77.1.22.:tcp:80 .*its last connection"
conf 3 1 2 3 >"$LAB_DIR/d1.conf"; hup
timed "back again" 8 all_serve
stream_on d1 10.77.1.22 $VIP 60
conf 3 1 3 >"$LAB_DIR/d1.conf"; hup
timed "taken out with 3 s" 5 has_weight 2 0
timed "its time is over: it leaves, connection or not" 6 has_weight 2 ""
check "and that is told" wait_until 2 logged d1 "Removing drained service .10.77.1.22.:tcp:80 .*its time is over"
stop client1 stream KILL
stop rs3 http KILL
timed "a dead server leaves at once" 8 has_weight 3 ""
bg rs3 http lab-http serve rs3 80
declare -A SEEN=()
watch_ramp() { local w; w=$(weight 3); if [[ -n $w ]]; then SEEN[$w]=1; fi; [[ $w == 10 ]]; }
t=$(now_us); timed "it comes back to its whole weight" 15 watch_ramp
check "in steps" eval '(( ${#SEEN[@]} >= 4 )) && [[ -n ${SEEN[1]:-}${SEEN[2]:-}${SEEN[3]:-} ]]'
check "in its time" eval '(( $(since_ms "$t") >= 3500 ))'
stop d1 daemon
check "no service is left" eval '[[ -z $(table d1) ]]'
lab_done
