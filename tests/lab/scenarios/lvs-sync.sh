#!/bin/bash
# lvs-sync: the kernel's connection sync daemon follows the instance: backup,
# master, backup again; a reload with other arguments; nothing is left behind.
# ipvsadm judges.
#   uml-run -- lab-netns run --directors 2 -- scenarios/lvs-sync.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200
configure() { # NODE GLOBAL_LINE [INSTANCE_LINE]
    local n=$1 i=${1#d}
    cat >"$LAB_DIR/$n.conf" <<C
global_defs {
    router_id $n
    $2
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority $(( 200 - 50 * i ))
    advert_int 0.2
    version 3
    ${3:-}
    virtual_ipaddress {
        $VIP/24
    }
}
virtual_server $VIP 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 10.77.1.21 80 {
        weight 1
    }
}
C
}
syncd() { on "$1" ipvsadm --list --daemon | sed 's/ *$//'; }
runs() { [[ "$(syncd "$1")" == *"$2"* ]]; } # NODE TEXT
only() { runs "$1" "$2" && ! runs "$1" "$3"; }
for n in d1 d2; do
    configure $n "lvs_sync_daemon eth0 inst VI_1 id 7 maxlen 1400 port 9000 ttl 2 group 224.0.0.99"
    daemon $n "$LAB_DIR/$n.conf"
done
timed "d1 is master" 8 owner_is $VIP d1
timed "d1 sends" 8 only d1 "master sync daemon" "backup sync daemon"
timed "d2 listens" 8 only d2 "backup sync daemon" "master sync daemon"
for argument in "mcast=eth0" "syncid=7" "maxlen=1400" "group=224.0.0.99" "port=9000" "ttl=2"; do
    check "d1: $argument" runs d1 "$argument"
done
check "what ipvsadm says" syncd d1
stop d1 daemon
timed "d1 has stopped: d2 sends" 8 only d2 "master sync daemon" "backup sync daemon"
check "nothing runs on d1" eval '[[ -z "$(syncd d1)" ]]'
daemon d1 "$LAB_DIR/d1.conf"
timed "d1 is back: it sends" 8 only d1 "master sync daemon" "backup sync daemon"
timed "d2 listens again" 8 only d2 "backup sync daemon" "master sync daemon"
configure d1 "" "lvs_sync_daemon_interface eth0"
kill -HUP "$(child_pid d1 main)"
timed "a reload to the old word: id of the instance" 8 only d1 "syncid=51" "syncid=7"
configure d1 ""
kill -HUP "$(child_pid d1 main)"
timed "a reload without it ends it" 8 eval '[[ -z "$(syncd d1)" ]]'
stop d1 daemon
stop d2 daemon
lab_done
