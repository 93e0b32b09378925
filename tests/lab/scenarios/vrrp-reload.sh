#!/bin/bash
# vrrp-reload: SIGHUP with the same file: no kernel change, no script, no
# packet out of turn.  With one address more: that address, and no other.
# A bad file changes nothing.  (keepalived 2.2.7 sends an advert out of turn as
# it reloads, and ends with a file that lacks a mandatory word.)
#   lab-netns run --directors 2 -- scenarios/vrrp-reload.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
VIP=10.77.1.200 MORE=10.77.1.201
write_script() { # FILE: a notify script that notes its arguments
    printf '#!/bin/sh\necho "$@" >>%s\n' "$2" >"$1"; chmod 755 "$1"
}
for i in 1 2; do
    write_script "$LAB_DIR/note$i" "$LAB_DIR/notes$i"; : >"$LAB_DIR/notes$i"
    cat >"$LAB_DIR/d$i.conf" <<C
global_defs {
    router_id d$i
    script_user root
    vrrp_garp_master_refresh 0
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority $(( 200 - 50 * i ))
    advert_int 1
    notify $LAB_DIR/note$i
    virtual_ipaddress {
        $VIP/24
    }
}
C
    daemon d$i "$LAB_DIR/d$i.conf"
done
check "election" wait_owner $VIP d1 8
capture client1 eth0 "$LAB_DIR/reload.pcap" 'ip proto 112 or arp'
nap 6.5                             # past the second burst of announcements, 5 s after the election
for i in 1 2; do bg d$i monitor ip -ts monitor address route link rule; done
seconds() { printf '%s' "$EPOCHREALTIME"; }
# a span of time with COMMAND in its middle, then what happened in it
reload_of() { # NODE
    local p v; p=$(child_pid "$1" main); v=$(child_pid "$1" vrrp)
    since=$(seconds); nap 2.2
    kill -HUP "$p"
    nap 3.5; until=$(seconds)
    check "$1: the parent is the same" test "$(child_pid "$1" main)" == "$p"
    check "$1: the vrrp child is the same" test "$(child_pid "$1" vrrp)" == "$v"
}
lines() { wc -l <"$1"; }
for n in d1 d2; do
    k=$(lines "$(bg_log $n monitor)") s=$(lines "$LAB_DIR/notes${n#d}") l=$(log_mark $n)
    reload_of $n
    check "$n reloaded (its log says so)" logged $n '[Rr]eload' "$l"
    if [[ $(lines "$(bg_log $n monitor)") == "$k" ]]; then ok "$n, same file: the kernel was not touched"; else not_ok "$n, same file: kernel changes" "$(tail -n +$((k + 1)) "$(bg_log $n monitor)" | tr '\n' ';')"; fi
    check "$n, same file: no script ran" test "$(lines "$LAB_DIR/notes${n#d}")" == "$s"
    check "$n, same file: every advert on its beat" vrrp-masters.py --regular "$LAB_DIR/reload.pcap" 1 10.77.1.11 "$since" "$until"
    check "$n, same file: no announcement" test "$(vrrp-masters.py --arp "$LAB_DIR/reload.pcap" "$since" "$until")" == 0
done
# one address more
k=$(lines "$(bg_log d1 monitor)") s=$(lines "$LAB_DIR/notes1")
sed -i "s|^        $VIP/24|&\n        $MORE/24|" "$LAB_DIR/d1.conf"
kill -HUP "$(child_pid d1 main)"
check "one address more: it is there" wait_until 5 has_addr d1 $MORE
nap 1
check "one address more: the first one was not touched" eval '! tail -n +$((k + 1)) "$(bg_log d1 monitor)" | grep "inet $VIP/" >/dev/null'
check "one address more: no script ran" test "$(lines "$LAB_DIR/notes1")" == "$s"
check "one address more: still the master" owner_is $VIP d1
sed -i "/$MORE/d" "$LAB_DIR/d1.conf"
kill -HUP "$(child_pid d1 main)"
check "the address is gone again" wait_until 5 eval '! has_addr d1 $MORE'
check "and the first one is there" owner_is $VIP d1
# a file that is not one: the old one goes on
cp "$LAB_DIR/d1.conf" "$LAB_DIR/good"
printf 'vrrp_instance VI_1 {\n    interface eth0\n    virtual_router_id\n' >"$LAB_DIR/d1.conf"
kill -HUP "$(child_pid d1 main)" || :
if never 3 eval '! owner_is $VIP d1'; then ok "a broken file: everything stays as it was"; else not_ok "a broken file" "on '$(owners $VIP)'"; fi
check "a broken file: the daemon goes on" bg_alive d1 daemon
cp "$LAB_DIR/good" "$LAB_DIR/d1.conf"
kill -HUP "$(child_pid d1 main)" || :
if never 1 eval '! owner_is $VIP d1'; then ok "and with the good one again"; else not_ok "and with the good one again" "on '$(owners $VIP)'"; fi
for i in 1 2; do stop d$i daemon; done
check "nothing is left" owner_is $VIP ""
lab_done
