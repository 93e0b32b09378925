#!/bin/bash
# vrrp-reject: valid and hostile adverts, every 0.3 s, against a master.
#   LAB_VRRP_VERSION=2|3 lab-netns run --directors 1 -- scenarios/vrrp-reject.sh
# keepalived 2.2.7 fails here, on purpose of the test: V-080.
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
: "${LAB_VRRP_VERSION:=2}"
inject() { /usr/bin/python3 "$LAB_HOME/tools/vrrp-inject.py" "$@"; }
inject --config "$LAB_VRRP_VERSION" >"$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
capture client1 eth0 "$LAB_DIR/inject.pcap" 'ip proto 112'
rc=0
on client1 /usr/bin/python3 "$LAB_HOME/tools/vrrp-inject.py" eth0 10.77.1.101 10.77.1.11 "$LAB_VRRP_VERSION" \
    >"$LAB_DIR/inject.out" || rc=$?
capture_end client1 eth0
cat "$LAB_DIR/inject.out"
LAB_PASS=$(grep -c '^ok' "$LAB_DIR/inject.out" || :) LAB_FAIL=$(grep -c '^not ok' "$LAB_DIR/inject.out" || :)
cases=$(( LAB_PASS + LAB_FAIL ))
check "the injector ran to its end (exit $rc, $cases cases)" eval "(( rc <= 1 && cases > 15 ))"
check "the daemon still runs" bg_alive d1 daemon
lab_done
