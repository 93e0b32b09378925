#!/bin/bash
# vrrp-tell: what goes into the FIFOs, byte for byte, and by mail; the readers
# are started and ended; FIFOs without a reader hold nobody up.
# keepalived 2.2.7 says STOP only after its readers have gone, leaves out after
# a reload what a group says too, and has no state_dump_file, no
# reload_file and no reload_check_config of 2.4.
#   lab-netns run --directors 2 -- scenarios/vrrp-tell.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
VIP=10.77.1.200
cat >"$LAB_DIR/reader" <<C
#!/bin/sh
echo "\$@" >>$LAB_DIR/\$1.started
exec cat "\$2" >>$LAB_DIR/\$1.lines
C
chmod 755 "$LAB_DIR/reader"
conf() { # NODE PRIORITY
    cat <<C
global_defs {
    router_id $1
    script_user root
    $(if [[ $1 == d1 ]]; then cat <<G
    notify_fifo $LAB_DIR/all.fifo
    notify_fifo_script "$LAB_DIR/reader all"
    vrrp_notify_fifo $LAB_DIR/vrrp.fifo nobody
    vrrp_notify_fifo_script "$LAB_DIR/reader vrrp"
    vrrp_notify_priority_changes
    fifo_write_vrrp_states_on_reload
    process_name ha
    reload_file $LAB_DIR/marker/reloading
    reload_time_file $LAB_DIR/when
    vrrp_process_name elector
    vrrp_cpu_affinity 0
    umask 0137
    state_dump_file $LAB_DIR/state.txt
    notification_email {
        first@example.net
        second@example.net
    }
    notification_email_from d1@example.net
    smtp_server 127.0.0.1 2525
    smtp_helo_name helo.example.net
    smtp_connect_timeout 5
    smtp_alert
G
    fi)
}
vrrp_script healthy {
    script "/usr/bin/test ! -e $LAB_DIR/sick.$1"
    interval 1
    weight -10
    fall 1
    rise 1
}
vrrp_sync_group G {
    group {
        VI_1
    }
    track_script {
        healthy
    }
}
vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    priority $2
    virtual_ipaddress {
        $VIP/24
    }
}
C
}
conf d1 150 >"$LAB_DIR/d1.conf"; conf d2 100 >"$LAB_DIR/d2.conf"
bg d1 sink "$LAB_HOME/tools/smtp-sink.py" 2525 "$LAB_DIR/mail"
wait_until 10 grep -q ready "$(bg_log d1 sink)" || die "no mail server"
: >"$LAB_DIR/mail"
# the first two lines, which stand in either order at a start, are sorted
lines() { [[ $({ head -2 "$LAB_DIR/$1.lines" | LC_ALL=C sort; tail -n +3 "$LAB_DIR/$1.lines"; }) == "$2" ]]; }
mkdir "$LAB_DIR/marker"
daemon d1 "$LAB_DIR/d1.conf"
check "d1 becomes master" wait_owner $VIP d1 8
daemon d2 "$LAB_DIR/d2.conf"
start='GROUP "G" BACKUP 0
INSTANCE "VI_1" BACKUP 150
INSTANCE "VI_1" MASTER 150
GROUP "G" MASTER 0'
check "notify_fifo: start and election" wait_until 3 lines all "$start"
check "vrrp_notify_fifo: the same" wait_until 3 lines vrrp "$start"
check "the readers got the path as their last argument" eval '[[ $(cat "$LAB_DIR/all.started") == "all $LAB_DIR/all.fifo" && $(cat "$LAB_DIR/vrrp.started") == "vrrp $LAB_DIR/vrrp.fifo" ]]'
check "the FIFOs' owners and modes" eval '[[ $(stat -c "%U:%G %a" "$LAB_DIR"/{all,vrrp}.fifo | xargs) == "root:root 640 nobody:nogroup 640" ]]'
: >"$LAB_DIR/sick.d1"
check "priority changes" wait_until 5 lines all "$start"'
INSTANCE "VI_1" MASTER_PRIORITY 140'
rm "$LAB_DIR/sick.d1"
check "priority changes back" wait_until 5 lines all "$start"'
INSTANCE "VI_1" MASTER_PRIORITY 140
INSTANCE "VI_1" MASTER_PRIORITY 150'
marked=$(stat -c %Y.%y "$LAB_DIR/marker")
: >"$LAB_DIR/all.lines"
sed -i 's/priority 150/priority 160/' "$LAB_DIR/d1.conf"
kill -s HUP "$(child_pid d1 main)"
check "reload_file came and went" wait_until 5 eval '[[ $(stat -c %Y.%y "$LAB_DIR/marker") != "$marked" && -z $(ls "$LAB_DIR/marker") ]]'
# keepalived leaves the instance out when its group says the same
check "a reload: where everything is" wait_until 5 eval '[[ $(grep -v _PRIORITY "$LAB_DIR/all.lines") == "INSTANCE \"VI_1\" MASTER 160
GROUP \"G\" MASTER 0" ]]'
mark=$(log_mark d1)
date -d '+2 sec' '+%Y-%m-%d %H:%M:%S' >"$LAB_DIR/when.new"; mv "$LAB_DIR/when.new" "$LAB_DIR/when"
check "reload_time_file: a reload at its time, and the file goes" wait_until 8 eval 'logged d1 "Reload complete" $mark && ! test -e "$LAB_DIR/when"'
check "the processes have their names" eval '[[ $(cat /proc/$(child_pid d1 main)/comm /proc/$(child_pid d1 vrrp)/comm | xargs) == "ha elector" ]]'
check "vrrp runs on its CPU" grep -qx 'Cpus_allowed_list:.0' "/proc/$(child_pid d1 vrrp)/status"
kill -s USR1 "$(child_pid d1 main)"
check "the state goes to its file" wait_until 5 grep -q 'VRRP Instance = VI_1' "$LAB_DIR/state.txt"
check "with the umask's mode" eval '[[ $(stat -c %a "$LAB_DIR/state.txt") == 640 ]]'
kill -s 36 "$(child_pid d1 main)"
json() { python3 -c 'import json, sys
data = json.load(open(sys.argv[1]))[0]["data"]
print(data["iname"], data["state"], data["vipset"], data["vips"][0])' "$LAB_DIR/nodes/d1/tmp/keepalived.json"; }
check "SIGJSON: the routers as JSON" wait_until 5 eval '[[ $(json) == "VI_1 2 True $VIP/24 dev eth0 scope global set" ]]'
mails='Subject: [d1] VRRP Group G - Entering BACKUP state
Subject: [d1] VRRP Group G - Entering MASTER state
Subject: [d1] VRRP Instance VI_1 - Entering BACKUP state
Subject: [d1] VRRP Instance VI_1 - Entering MASTER state'
subjects() { sed -n 's/^\(Subject: .*\)\\r\\n$/\1/p' "$LAB_DIR/mail" | LC_ALL=C sort; }
check "a mail for each state of instance and group" wait_until 5 eval '[[ $(subjects) == "$mails" ]]'
text='HELO helo.example.net
MAIL FROM:<d1@example.net>
RCPT TO:<first@example.net>
RCPT TO:<second@example.net>
DATA
From: d1@example.net
Subject: [d1] VRRP Instance VI_1 - Entering MASTER state
X-Mailer: Keepalived
To: first@example.net, second@example.net

=> VRRP Instance is now owning VRRP VIPs <=

.
QUIT'
check "the mail itself, line by line" eval '[[ $(sed "s/.r.n$//; /^Date: /d" "$LAB_DIR/mail" | grep -B6 -A7 "^Subject: .*VI_1 - Entering MASTER") == "$text" ]]'
check "its date is one" grep -qE '^Date: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} [+-][0-9]{4}' "$LAB_DIR/mail"
# A group of one is an error to a config test, so from here on every file is refused.
mark=$(log_mark d1)
sed -i "s|^    reload_file|    reload_check_config $LAB_DIR/problems\n    reload_file|" "$LAB_DIR/d1.conf"
kill -s HUP "$(child_pid d1 main)"
check "reload_check_config is taken over" wait_until 5 logged d1 'Reload complete' "$mark"
sed -i 's/priority 160/priority 999/' "$LAB_DIR/d1.conf"
kill -s HUP "$(child_pid d1 main)"
check "what a test would fault is refused" wait_until 5 logged d1 'Reload refused'
check "and its problems are in the file" grep -q 999 "$LAB_DIR/problems"
stop d1 daemon
check "stop: STOP of instance and group" wait_until 3 eval '[[ $(tail -2 "$LAB_DIR/all.lines") == "INSTANCE \"VI_1\" STOP 160
GROUP \"G\" STOP 0" ]]'
check "and by mail, before the end" eval '[[ $(subjects) == *"Group G - Stopping"*"Instance VI_1 - Stopping"* ]]'
check "the readers are ended" wait_until 3 eval '! pgrep -f "cat $LAB_DIR/"'
check "the FIFOs are gone" eval '! ls "$LAB_DIR"/*.fifo'
stop d2 daemon
lab_done
