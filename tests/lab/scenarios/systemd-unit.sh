#!/bin/bash
# systemd-unit: packaging/steadfast.service, started for real: readiness,
# reload, a bad file refused, restart after a crash, the watchdog, a clean stop.
#   uml-run --systemd -- env LAB_DIR=DIR scenarios/systemd-unit.sh
set -euo pipefail
export DIRECTORS=
. "$(dirname "$0")/../lib/lab.sh"
[[ $(</proc/1/comm) == systemd ]] || die "pid 1 is not systemd: uml-run --systemd"
U=steadfast.service
cp "$LAB_HOME/../../packaging/$U" /etc/systemd/system/$U
cp "$LAB_DAEMON" /usr/sbin/steadfast            # the machine's file system is a throw-away copy
echo 'STEADFAST_OPTIONS="--log-detail"' >/etc/default/steadfast
foreign=0; if [[ ${LAB_DAEMON##*/} == keepalived ]]; then foreign=1; fi
if (( foreign )); then # the real keepalived feeds no watchdog
    mkdir -p /etc/systemd/system/$U.d; printf '[Service]\nWatchdogSec=0\n' >/etc/systemd/system/$U.d/no-watchdog.conf
fi
systemctl is-system-running --wait >/dev/null || :
ip link add eth0 type veth peer name far; ip addr add 10.77.1.11/24 dev eth0; ip link set eth0 up; ip link set far up
mkdir -p /etc/keepalived
conf() {
    cat >/etc/keepalived/keepalived.conf <<C
global_defs {
    router_id d1
    vrrp_version 3
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 0.3
    virtual_ipaddress {
        $1
    }
}
C
}
conf 10.77.1.200/24
# Of the host's own units it may think what it likes.
out=$(systemd-analyze verify /etc/systemd/system/$U 2>&1 | grep "$U" || :)
[[ -z $out ]] && ok "systemd-analyze verify" || not_ok "systemd-analyze verify" "$out"
echo "# $(systemd-analyze security --offline=true /etc/systemd/system/$U 2>/dev/null | tail -1)"
systemctl daemon-reload
prop() { systemctl show -p "$1" --value $U; }
vip() { [[ -n $(ip -o addr show to "$1") ]]; }
t=$(now_us)
if timeout 30 systemctl start $U; then ok "start, ready notified ($(since_ms "$t") ms)"; else not_ok "start" "$(journalctl -u $U -n 5 --no-pager)"; fi
check "active" systemctl is-active -q $U
pid=$(prop MainPID)
check "main pid $pid lives" kill -0 "$pid"
check "it is master" wait_until 15 vip 10.77.1.200
status=$(prop StatusText); echo "# status: ${status:-none}"
(( foreign )) || check "it has a status line" test -n "$status"
conf 10.77.1.201/24
check "reload" timeout 30 systemctl reload $U
check "reload: the new address is there" wait_until 10 vip 10.77.1.201
check "reload: the old one is gone" wait_until 5 eval '! vip 10.77.1.200'
check "reload kept the process" test "$(prop MainPID)" == "$pid"
# a bad file: the reload fails, and says so; nothing moves
cp /etc/keepalived/keepalived.conf /etc/keepalived/good
printf 'vrrp_instance VI_1 {\n    interface nowhere\n    virtual_router_id 300\n' >/etc/keepalived/keepalived.conf
if timeout 30 systemctl reload $U 2>/dev/null; then not_ok "a bad file" "systemctl reload accepted it"; else ok "a bad file: systemctl reload refuses it"; fi
if never 2 eval '! vip 10.77.1.201'; then ok "a bad file: the address stays"; else not_ok "a bad file: the address stays"; fi
check "a bad file: the same process" test "$(prop MainPID)" == "$pid"
cp /etc/keepalived/good /etc/keepalived/keepalived.conf
check "dumps go to the real /tmp" eval 'systemctl kill -s USR1 --kill-who=main $U && wait_until 5 test -s /tmp/keepalived.data'
systemctl kill -s KILL --kill-who=main $U
check "killed: restarted with a new pid" wait_until 20 eval '[[ $(prop MainPID) != 0 && $(prop MainPID) != '"$pid"' && $(prop ActiveState) == active ]]'
check "master again" wait_until 15 vip 10.77.1.201
if (( ! foreign )); then
    pid=$(prop MainPID)
    mkdir -p /etc/systemd/system/$U.d; printf '[Service]\nWatchdogSec=2\n' >/etc/systemd/system/$U.d/short.conf
    systemctl daemon-reload; systemctl restart $U; pid=$(prop MainPID)
    if never 6 eval '[[ $(prop MainPID) != $pid ]]'; then ok "three watchdog periods: fed"; else not_ok "the watchdog was not fed" "$(journalctl -u $U -n 5 --no-pager)"; fi
    kill -STOP "$pid"
    check "the watchdog ends a hung one, and it is started again" wait_until 20 eval '[[ $(prop MainPID) != 0 && $(prop MainPID) != '"$pid"' && $(prop ActiveState) == active ]]'
    check "master again" wait_until 15 vip 10.77.1.201
fi
t=$(now_us); timeout 30 systemctl stop $U
if vip 10.77.1.201; then not_ok "stop leaves the address"; else ok "stop removes the address ($(since_ms "$t") ms)"; fi
check "stopped clean" test "$(prop Result)" == success
check "no process left in its cgroup" eval '[[ -z $(cat /sys/fs/cgroup/system.slice/'$U'/cgroup.procs 2>/dev/null) ]]'
journalctl -u $U --no-pager -n 200 >"$LAB_DIR/journal" || :
check "its log is in the journal" grep -q 'MASTER STATE' "$LAB_DIR/journal"
(( LAB_FAIL == 0 )) || tail -30 "$LAB_DIR/journal" | sed 's/^/# /'
lab_done
