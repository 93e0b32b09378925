#!/bin/bash
# named-keepalived: started through a link of that name, the program shows what
# scripts and people look for: process names, version line, banner, exit codes.
#   lab-netns run --directors 1 -- scenarios/named-keepalived.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
VIP=10.77.1.200
mkdir "$LAB_DIR/bin"; ln -s "$LAB_DAEMON" "$LAB_DIR/bin/keepalived"; K=$LAB_DIR/bin/keepalived
cat >"$LAB_DIR/d1.conf" <<C
global_defs {
    router_id d1
}
vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 1
    virtual_ipaddress {
        $VIP/24
    }
}
C
check "--version starts as keepalived's" eval '[[ $("$K" --version 2>&1) == "Keepalived v"[0-9]* ]]'
check "--signum=RELOAD is 1" eval '[[ $("$K" --signum=RELOAD) == 1 ]]'
rc=0; on d1 "$K" -t -f "$LAB_DIR/d1.conf" >/dev/null 2>&1 || rc=$?
check "-t of a good file: 0" test $rc == 0
sed 's/virtual_router_id 51/virtual_router_id/' "$LAB_DIR/d1.conf" >"$LAB_DIR/bad.conf"
rc=0; on d1 "$K" -t -f "$LAB_DIR/bad.conf" >/dev/null 2>&1 || rc=$?
check "-t without a mandatory word: 2" test $rc == 2
sed 's/priority 150/priority 1500/' "$LAB_DIR/d1.conf" >"$LAB_DIR/bad.conf"
rc=0; on d1 "$K" -t -f "$LAB_DIR/bad.conf" >/dev/null 2>&1 || rc=$?
check "-t of an ordinary error: 5" test $rc == 5
PROGRAM=$K daemon d1 "$LAB_DIR/d1.conf"
check "it is master" wait_owner $VIP d1 8
check "the banner" logged d1 'Starting Keepalived v[0-9]'
check "the line of the master" logged d1 '\(VI_1\) Entering MASTER STATE'
check "the parent's process name" eval '[[ $(<"/proc/$(child_pid d1 main)/comm") == keepalived ]]'
check "the vrrp child's process name" eval '[[ $(<"/proc/$(child_pid d1 vrrp)/comm") == keepalived* ]]'
check "no check process: there is nothing to check" eval '! child_pid d1 checkers'
kill -USR1 "$(child_pid d1 main)"
check "SIGUSR1 writes the usual file" wait_until 5 test -s "$LAB_DIR/nodes/d1/tmp/keepalived.data"
kill -USR2 "$(child_pid d1 main)"
check "SIGUSR2 writes the usual file" wait_until 5 test -s "$LAB_DIR/nodes/d1/tmp/keepalived.stats"
pid=$(bg_pid d1 daemon)
rc=0; on d1 "$K" --dont-fork --no-syslog --log-console --use-file "$LAB_DIR/d1.conf" --pid /run/main.pid --vrrp_pid /run/vrrp.pid >"$LAB_DIR/second.log" 2>&1 || rc=$?
check "a second one sees that it is already running" grep -qi 'already running' "$LAB_DIR/second.log"
check "the first one goes on" kill -0 "$pid"
stop d1 daemon
check "no address is left" owner_is $VIP ""
check "no pid file is left" eval '[[ -z $(on d1 sh -c "ls /run/*.pid 2>/dev/null") ]]'
lab_done
