#!/bin/bash
# vrrp-hmac: three directors with keyed trailers (auth_hmac): versions 2 and 3,
# IPv4 and IPv6, multicast and unicast, replay protection by time and by growth.
# Python's hmac judges each packet; keys rotate by reloads with one master
# throughout, a key file that hangs delays nothing; captured adverts are sent again; a router with another key moves
# nobody; a vrrp process that dies is not taken for a replayer.  (A clock per host
# is nothing that namespaces have: steps of clocks are in the engine's tests.)
# keepalived 2.2.7 does not know these words.
#   lab-netns run --directors 3 -- scenarios/vrrp-hmac.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
NODES="d1 d2 d3"
ONE=0123456789abcdef0123456789abcdef TWO=hex:$(printf 'a5%.0s' {1..48}) BAD=ffffffffffffffffffffffffffffffff
VIPS=(10.77.1.201 10.77.1.202 fd77:1::203 10.77.1.204 fd77:1::205 10.77.1.206)
# NUMBER ACTIVE KEYS: one instance for each way of travelling
conf() {
    local i n version family peers extra
    for i in "${!VIPS[@]}"; do
        version=3 extra= peers=
        if (( i == 0 )); then version=2; fi
        if (( i == 5 )); then extra='        anti_replay monotonic'; fi
        family=10.77.1.1; if [[ ${VIPS[i]} == *:* ]]; then family=fd77:1::1; fi
        if (( i == 3 || i == 4 )); then
            peers="    unicast_src_ip $family$1"$'\n'"    unicast_peer {"$'\n'
            for n in 1 2 3; do (( n == $1 )) || peers+="        $family$n"$'\n'; done
            peers+="    }"
        fi
        cat <<T
vrrp_instance V$(( 51 + i )) {
    version $version
    state BACKUP
    interface eth0
    virtual_router_id $(( 51 + i ))
    priority $(( 170 - 20 * $1 ))
    advert_int 1
$peers
    auth_hmac {
$3
        active_key $2
$extra
    }
    virtual_ipaddress {
T
        if (( i == 2 )); then echo "        fe80::1:$(( 51 + i ))"; fi
        printf '        %s/%d\n    }\n}\n' "${VIPS[i]}" "$([[ ${VIPS[i]} == *:* ]] && echo 64 || echo 24)"
    done
}
# The second key is in a file of its own.
printf '%s\n' "$TWO" >"$LAB_DIR/two"; chmod 600 "$LAB_DIR/two"
K1="        key 1 $ONE" K2="        key 2 file:$LAB_DIR/two"
owned() { local v; for v in "${VIPS[@]}"; do owner_is "$v" "$1" || return 1; done; }
settle() { # WHAT NODE SECONDS
    local t; t=$(now_us)
    if wait_until "$3" owned "$2"; then ok "$1: all on $2 after $(since_ms "$t") ms"; else
        not_ok "$1" "$(for v in "${VIPS[@]}"; do echo "$v on '$(owners "$v")'"; done)"; fi
}
# count NODE WHICH: a counter, summed over its routers
count() {
    rm -f "$LAB_DIR/nodes/$1/tmp/keepalived.json"
    kill -s "$("$LAB_DAEMON" --signum=JSON)" "$(child_pid "$1" main)"
    wait_until 5 test -s "$LAB_DIR/nodes/$1/tmp/keepalived.json"
    nap 0.2
    python3 -c 'import json, sys
print(sum(one["stats"][sys.argv[2]] for one in json.load(open(sys.argv[1]))))' "$LAB_DIR/nodes/$1/tmp/keepalived.json" "$2"
}
hmac_check() { python3 "$LAB_HOME/tools/hmac-check.py" "$@"; }
reload() { # NODE ACTIVE KEYS
    local mark; mark=$(log_mark "$1")
    conf "${1#d}" "$2" "$3" >"$LAB_DIR/$1.conf"
    kill -HUP "$(bg_pid "$1" daemon)"
    wait_until 5 logged "$1" 'Reload complete' "$mark" || nap 1
}
filter='ip proto 112 or ip6 proto 112'
cap=$LAB_DIR/hmac.pcap
capture sw br-lan "$cap" "$filter"
for n in $NODES; do conf "${n#d}" 1 "$K1" >"$LAB_DIR/$n.conf"; daemon "$n" "$LAB_DIR/$n.conf"; done
settle "election" d1 9

# Keys rotate: learn the new one, send with it, forget the old one.
marks=(); for n in d2 d3; do marks+=("$(log_mark $n)"); done
for stage in "1 $K1"$'\n'"$K2" "2 $K1"$'\n'"$K2" "2 $K2"; do
    for n in d3 d1 d2; do
        reload $n "${stage%% *}" "${stage#* }"
        nap 1.2
        owned d1 || not_ok "rotation" "moved after the reload of $n"
    done
done
ok "keys rotate by reloads: all on d1 throughout"
check "and no backup has noticed" eval '! logged d2 "Entering MASTER" ${marks[0]} && ! logged d3 "Entering MASTER" ${marks[1]}'
check "nothing was dropped meanwhile" eval '[[ $(count d2 auth_ext_unknown_key)$(count d2 auth_ext_invalid_hmac)$(count d2 auth_ext_replay)$(count d2 auth_ext_stale)$(count d2 auth_ext_missing) == 00000 ]]'

# A key on a file system that hangs: adverts go on in time, with the old key until the new one comes.
mkdir -p "$LAB_DIR/slow"
if [[ -e /dev/fuse ]]; then
    bg d1 slow python3 "$LAB_HOME/tools/hanging-file.py" "$LAB_DIR/slow" "$TWO"
    check "(a file system that hangs)" wait_until 5 grep -q mounted "$(bg_log d1 slow)"
    slow=$LAB_DIR/slow.pcap; mark=$(log_mark d1)
    capture d1 eth0 "$slow" "$filter"
    conf 1 2 "        key 2 file:$LAB_DIR/slow/key" >"$LAB_DIR/d1.conf"; kill -HUP "$(bg_pid d1 daemon)"
    check "a reload with a key that cannot be read for now waits" wait_until 8 logged d1 'slow/key cannot be read, its file system does not answer; the old' "$mark"
    nap 3; capture_end d1 eth0
    check "the old configuration goes on meanwhile" eval 'owned d1 && ! logged d1 "Reload complete" "$mark"'
    check "no advert was late for it" vrrp-masters.py --never-late "$slow" 1 10.77.1.11
    kill -USR1 "$(bg_pid d1 slow)"
    check "the key is taken when it comes" wait_until 5 logged d1 'Reload complete' "$mark"
    nap 2
    reload d1 2 "$K2"
    on d1 umount -l "$LAB_DIR/slow"; stop d1 slow
    nap 2
    check "all on d1 throughout" eval 'owned d1 && ! logged d1 "Entering" "$mark"'
else echo "# SKIPPED: no FUSE in this kernel"; fi

# A process that dies goes on, or resigns, with stamps that are believed.
old=$(child_pid d1 vrrp); mark=$(log_mark d2)
kill -KILL "$old"
wait_until 8 child_new d1 vrrp "$old" || not_ok "no new vrrp process"
settle "the vrrp process of d1 was killed" d1 9
check "none of its adverts was called a replay" eval '[[ $(count d2 auth_ext_replay)$(count d3 auth_ext_replay) == 00 ]]'

# Captured adverts again: at once, and when they are old.
since=$(date +%s)
mark=$(log_mark d2)
nap 2.2
capture_end sw br-lan
check "every trailer is right (Python's hmac)" hmac_check "$cap" "1=$ONE" "2=$TWO"
tcpdump -Z root -r "$cap" -w "$cap.6" ip6 2>/dev/null
check "every advert over IPv6 is sound (tshark)" vrrp-check "$cap.6"
on client1 python3 "$LAB_HOME/tools/hmac-check.py" --replay eth0 "$cap" "$since" 9e9 >"$LAB_DIR/replayed" 2>&1 || :
check "adverts of a moment ago are sent again ($(cat "$LAB_DIR/replayed"))" eval '(( $(count d2 auth_ext_replay) > 5 ))'
nap 6
on client1 python3 "$LAB_HOME/tools/hmac-check.py" --replay eth0 "$cap" 0 "$since" >"$LAB_DIR/replayed" 2>&1 || :
check "and old ones ($(cat "$LAB_DIR/replayed"))" eval '(( $(count d2 auth_ext_stale) > 20 ))'
check "growing numbers do without a clock" eval '(( $(count d2 auth_ext_replay) > 20 ))'
nap 1
check "nobody has moved" eval 'owned d1 && ! logged d2 "Entering" $mark'
check "each is told once for each router" eval '(( $(tail -n +$((mark + 1)) "$(daemon_log d2)" | grep -cE "replayed|stale") <= 12 ))'

# Somebody with another key.
mark=$(log_mark d1)
reload d3 1 "        key 1 $ONE"$'\n'"        key 2 $BAD"
nap 6
check "d3 signs with a key that is retired: unknown" eval '(( $(count d1 auth_ext_unknown_key) > 3 ))'
reload d3 2 "        key 2 $BAD"
nap 4
check "and with a wrong one: invalid" eval '(( $(count d1 auth_ext_invalid_hmac) > 3 ))'
check "which moves nobody else" eval '! logged d1 "Entering" $mark'
reload d3 2 "$K2"
settle "the right key again" d1 6

# Others without any trailer.
printf 'vrrp_instance W {\n    interface eth0\n    virtual_router_id 52\n    version 3\n    priority 250\n    virtual_ipaddress {\n        %s/24\n    }\n}\n' "${VIPS[1]}" >"$LAB_DIR/client1.conf"
daemon client1 "$LAB_DIR/client1.conf"
nap 5
check "a router without a trailer is not believed" eval '(( $(count d1 auth_ext_missing) > 0 )) && has_addr d1 ${VIPS[1]}'
stop client1 daemon

t=$(now_us); stop d1 daemon
settle "d1 resigns, and is believed" d2 3
for n in d2 d3; do stop $n daemon; done
for v in "${VIPS[@]}"; do check "nothing is left of $v" owner_is "$v" ""; done
lab_done
