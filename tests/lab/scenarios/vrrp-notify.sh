#!/bin/bash
# vrrp-notify: which scripts run, with which arguments, in which order; a sync
# group moves together; a tracked script costs priority; a tracked interface
# means FAULT.
#   lab-netns run --directors 2 -- scenarios/vrrp-notify.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
VIP=10.77.1.200 VIP2=10.77.1.201
printf '#!/bin/sh\necho "$@" >>%s/notes\n' "$LAB_DIR" >"$LAB_DIR/generic"
for s in master backup fault stop; do printf '#!/bin/sh\necho %s "$@" >>%s/states\n' "$s" "$LAB_DIR" >"$LAB_DIR/on_$s"; done
printf '#!/bin/sh\ntest ! -e %s/sick\n' "$LAB_DIR" >"$LAB_DIR/healthy"
chmod 755 "$LAB_DIR"/generic "$LAB_DIR"/on_* "$LAB_DIR"/healthy
: >"$LAB_DIR/notes"; : >"$LAB_DIR/states"
ip -n d1 -batch - <<<$'link add probe0 type veth peer name probe1\nlink set probe0 up\nlink set probe1 up'
for i in 1 2; do
    {
        cat <<C
global_defs {
    router_id d$i
    script_user root
}
vrrp_script healthy {
    script $LAB_DIR/healthy
    interval 1
    weight -60
    fall 1
    rise 1
}
vrrp_sync_group G {
    group {
        VI_1
        VI_2
    }
    $( ((i == 1)) && echo "notify $LAB_DIR/generic" || :)
}
C
        for v in 1 2; do cat <<C
vrrp_instance VI_$v {
    state BACKUP
    interface eth0
    virtual_router_id 5$v
    priority $(( 200 - 50 * i ))
    advert_int 1
C
            if (( i == 1 && v == 1 )); then cat <<C
    notify $LAB_DIR/generic
    notify_master $LAB_DIR/on_master
    notify_backup $LAB_DIR/on_backup
    notify_fault $LAB_DIR/on_fault
    notify_stop $LAB_DIR/on_stop
    track_interface {
        probe0
    }
C
            fi
            printf '    virtual_ipaddress {\n        10.77.1.%s/24\n    }\n}\n' $(( 199 + v ))
        done
    } >"$LAB_DIR/d$i.conf"
done
# the tracked script has a group of its own: weights do not act on members
cat >"$LAB_DIR/single" <<C
vrrp_instance VI_3 {
    state BACKUP
    interface eth0
    virtual_router_id 53
    priority @PRIO@
    advert_int 1
    track_script {
        healthy
    }
    virtual_ipaddress {
        10.77.1.202/24
    }
}
C
for i in 1 2; do sed "s/@PRIO@/$(( 170 - 20 * i ))/" "$LAB_DIR/single" >>"$LAB_DIR/d$i.conf"; done
# only d1 is ever sick
sed -i "s|script $LAB_DIR/healthy|script /usr/bin/true|" "$LAB_DIR/d2.conf"
both() { owner_is $VIP "$1" && owner_is $VIP2 "$1"; }
noted() { [[ $(tail -1 "$LAB_DIR/$1") == "$2" ]]; }
for i in 1 2; do daemon d$i "$LAB_DIR/d$i.conf"; done
check "election: the group together" wait_until 8 both d1
check "election: notify INSTANCE VI_1 MASTER 150" wait_until 3 grep -qx 'INSTANCE VI_1 MASTER 150' "$LAB_DIR/notes"
check "election: notify of the group" wait_until 3 grep -qx 'GROUP G MASTER 0' "$LAB_DIR/notes"
check "election: BACKUP came before MASTER" eval '[[ $(grep "^INSTANCE VI_1" "$LAB_DIR/notes" | xargs -d "\n") == "INSTANCE VI_1 BACKUP 150 INSTANCE VI_1 MASTER 150" ]]'
check "election: notify_backup, then notify_master, without arguments" eval '[[ $(xargs -d "\n" <"$LAB_DIR/states") == "backup master" ]]'
ip -n d1 link set probe0 down
check "a tracked interface goes down: both move" wait_until 8 both d2
check "notify INSTANCE VI_1 FAULT 150" wait_until 3 grep -qx 'INSTANCE VI_1 FAULT 150' "$LAB_DIR/notes"
check "notify_fault" wait_until 3 noted states fault
check "notify of the group: FAULT" wait_until 3 grep -qx 'GROUP G FAULT 0' "$LAB_DIR/notes"
ip -n d1 link set probe0 up
check "it is up again: both come back" wait_until 10 both d1
check "notify_backup and notify_master again" wait_until 3 eval '[[ $(xargs -d "\n" <"$LAB_DIR/states") == "backup master fault backup master" ]]'
check "VI_3 is on d1" wait_owner 10.77.1.202 d1 8
: >"$LAB_DIR/sick"
check "the script fails: 60 less, VI_3 moves" wait_owner 10.77.1.202 d2 10
check "and the group does not" both d1
rm "$LAB_DIR/sick"
check "the script succeeds: VI_3 comes back" wait_owner 10.77.1.202 d1 10
: >"$LAB_DIR/notes"
stop d1 daemon
check "stop: notify_stop ran" wait_until 3 noted states stop
check "stop: notify INSTANCE VI_1 STOP 150" wait_until 3 grep -qx 'INSTANCE VI_1 STOP 150' "$LAB_DIR/notes"
stop d2 daemon
check "no script was left running" eval '! pgrep -f "$LAB_DIR/healthy"'
lab_done
