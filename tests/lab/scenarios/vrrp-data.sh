#!/bin/bash
# vrrp-data: the file that the vrrp process writes on SIGUSR1, beside the real keepalived's with the same
# configuration, line by line, up to the interfaces, which keepalived lists and this program does not.
#   lab-netns run --directors 1 -- scenarios/vrrp-data.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$LAB_HOME/lib/snmp.sh"
cat >"$LAB_DIR/d1.conf" <<'C'
global_defs {
    router_id d1
    script_user root
    vrrp_version 3
    vrrp_garp_master_refresh 60
    vrrp_garp_lower_prio_delay 3
    vrrp_garp_lower_prio_repeat 2
}
vrrp_script good {
    script "/usr/bin/true a"
    interval 1
    timeout 2
    weight 10
    rise 2
    fall 3
}
vrrp_sync_group both {
    group {
        one
        two
    }
    sync_group_tracking_weight
    notify "/usr/bin/true sync"
    notify_master "/usr/bin/true master"
}
vrrp_instance one {
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 1
    version 2
    garp_master_delay 1
    authentication {
        auth_type PASS
        auth_pass secret
    }
    notify "/usr/bin/true any"
    notify_master "/usr/bin/true m"
    notify_backup "/usr/bin/true b"
    notify_fault "/usr/bin/true f"
    notify_stop "/usr/bin/true s"
    virtual_ipaddress {
        10.77.1.240
        10.77.1.241/24 brd 10.77.1.255 dev eth0 scope link label eth0:x
        10.77.1.242/32 no_track
        10.77.1.243 dev eth0 peer 10.77.9.1
    }
    virtual_ipaddress_excluded {
        10.77.1.250/28 brd +
        fd00:77:1::50/64
        fd00:77:1::51
        fd00:77:1::52/64 home -nodad preferred_lft forever
    }
    track_interface {
        lo
    }
    track_script {
        good
    }
}
vrrp_instance two {
    interface eth0
    virtual_router_id 52
    priority 90
    nopreempt
    garp_master_refresh 10
    unicast_src_ip fd77:1::11
    unicast_peer {
        fd77:1::12
        fd77:1::13
    }
    virtual_ipaddress {
        fe80::52/64
        fd00:77:1::60/64
    }
}
vrrp_instance three {
    interface eth0
    use_vmac
    virtual_router_id 53
    priority 254
    preempt_delay 2
    virtual_ipaddress {
        10.77.1.230/24
    }
}
C
cat >"$LAB_DIR/differences" <<'L'
^[<>]    (Last transition|Read timeout|In this state for|Next timer in) =	the same told otherwise, and of the moment
^<    Flags:	keepalived's own
^<      Using unicast	as before
^<    (Number of config faults|Total priority) =	a configuration with faults is not begun, a priority beyond its limits not kept
^<    Use VMAC, i/f name	the interface's line says it
^<    Password = secret	a secret is not written
^<    (Unicast checksum compatibility|fd_in)	keepalived's own
^>    (Late adverts|Latest advert|Rivals) =	told here only
^<    Num member fault	as before
^<    (Result|Insecure|Script uid:gid) =	as before
^<    VRRP instances :	as before
^<    State = idle	as before
^<.*uid:gid	accounts are looked up where a script is run
^> +(Backup|Master|Fault|Stop|Generic) state transition script =	as before
L
DATA=$LAB_DIR/nodes/d1/tmp/keepalived.data
# sections FILE: without the global part, which lvs-data compares, and what keepalived has alone
sections() {
    awk '/^------< /{ on = /VRRP (Topology|Sync groups|Scripts)/ } on' "$1"
}
# written: everybody is master and has all addresses but one, which the kernel refuses: in its network
# there is one of another scope
written() {
    rm -f "$DATA"
    kill -USR1 "$(child_pid d1 main)"
    wait_until 3 grep -q 'Status = GOOD' "$DATA" || return 1
    nap 0.2
    [[ $(grep -c '^   State = MASTER' "$DATA") == 3 && $(grep -c '^     .* set$' "$DATA") == 10 ]]
}
life() { # PROGRAM FILE
    PROGRAM=$1 daemon d1 "$LAB_DIR/d1.conf"
    wait_until 20 child_pid d1 main || die "$1 does not start"
    wait_until 30 written || die "$1 does not write it: $(grep -c ' set$' "$DATA") addresses, $(grep 'State =' "$DATA" | xargs)"
    sections "$DATA" >"$2"
    stop d1 daemon
}
life "$LAB_PEER" "$LAB_DIR/theirs"
life "$LAB_DAEMON" "$LAB_DIR/ours"
if [[ $(basename "$LAB_DAEMON") == keepalived ]]; then printf '%s\t-\n' '^[<>]    (Last transition|Read timeout) =' >"$LAB_DIR/differences"; fi
agree "the files" "$LAB_DIR/theirs" "$LAB_DIR/ours" "$LAB_DIR/differences"
check "what the kernel refused is not set" grep -qE "^     10.77.1.241/24 .* label eth0:x$" "$LAB_DIR/ours"
lab_done
