#!/bin/bash
# snmp-vrrp: what the vrrp process shows and tells over SNMP, beside the real keepalived with the same
# configuration: object by object, notification by notification; values that can be set; an agent that
# is killed, and one that hangs.
#   lab-netns run --directors 1 -- scenarios/snmp-vrrp.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$LAB_HOME/lib/snmp.sh"
echo 3 >"$LAB_DIR/number"
ip -n d1 link add other0 type veth peer name other1
ip -n d1 link set other1 up; ip -n d1 link set other0 up
ip -n d1 addr add 10.9.0.1/24 dev other0
ip -n d1 link add track0 type veth peer name track1
ip -n d1 link set track1 up; ip -n d1 link set track0 up
snmp_words='    enable_snmp_vrrp
    enable_snmp_rfcv2
    enable_snmp_rfcv3
    enable_traps
    snmp_socket /run/agentx'
configuration() { # SNMP WORDS
    cat <<C
global_defs {
    router_id d1
    script_user root
$1
    notification_email {
        a@example.net
        b@example.net
    }
    notification_email_from d1@example.net
    smtp_server 192.0.2.9 2525
    smtp_connect_timeout 7
    smtp_alert_vrrp
}
track_file tf1 {
    file $LAB_DIR/number
    weight 2
}
vrrp_track_process tp1 {
    process no-such-program
    weight 5
    quorum 1
    delay 2
}
vrrp_script sc1 {
    script "/usr/bin/true one"
    interval 2
    weight 3
    rise 1
    fall 2
}
vrrp_script sc2 {
    script "/usr/bin/false"
    interval 5
    timeout 3
    weight -4
}
vrrp_script sc3 {
    script "/usr/bin/true"
    interval 100
}
bfd_instance bfd1 {
    neighbor_ip 10.77.1.99
    weight 4
}
vrrp_sync_group G1 {
    group {
        V1
        V2
    }
    notify_master "/usr/bin/true gm"
    notify_backup "/usr/bin/true gb"
    notify_fault "/usr/bin/true gf"
    notify_stop "/usr/bin/true gs"
    notify "/usr/bin/true g"
    track_script {
        sc3
    }
    sync_group_tracking_weight
}
vrrp_instance V1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 150
    version 3
    advert_int 0.5
    notify_master "/usr/bin/true im"
    notify_backup "/usr/bin/true ib"
    notify_fault "/usr/bin/true if"
    notify_stop "/usr/bin/true is"
    notify_deleted "/usr/bin/true id"
    notify_master_rx_lower_pri "/usr/bin/true ir"
    notify "/usr/bin/true i"
    accept
    virtual_ipaddress {
        10.77.1.201/24 brd 10.77.1.255 label eth0:one
        10.77.1.202
    }
    virtual_ipaddress_excluded {
        10.77.3.203/24 dev other0 scope link
        fd00:77::103/64
    }
    track_script {
        sc1
        sc2 weight -8
    }
    track_file {
        tf1
    }
    track_process {
        tp1
    }
    track_bfd {
        bfd1
    }
    virtual_routes {
        10.81.0.0/16 via 10.77.1.253 dev eth0 metric 7 mtu lock 1400
        10.82.0.0/16 src 10.77.1.201 dev eth0 scope link table 100 hoplimit 5 advmss 1200 rtt 300 rttvar 400 reordering 4 window 500 cwnd lock 6 ssthresh 70 rto_min 200 initcwnd 8 initrwnd 9 quickack 1 congctl reno realms 3/4 tos 8
        10.83.0.0/16 nexthop via 10.77.1.251 dev eth0 weight 2 nexthop via 10.77.1.252 dev eth0 onlink weight 3
        blackhole 10.84.0.0/16
        unreachable 10.85.0.0/16
        2001:db8:1::/48 via fd00:77::9 dev eth0 pref high
    }
    virtual_rules {
        from 10.81.0.0/16 table 100 priority 200
        to 10.82.0.0/16 lookup 101 preference 201 iif eth0 oif other0 tos 4 fwmark 5/7
        from 10.83.0.0/16 to 10.84.0.0/16 blackhole priority 202
        not from 10.85.0.0/16 goto 250 priority 203
        from 2001:db8::/32 prohibit priority 204
        from 10.87.0.0/16 table 250 priority 205 uidrange 5-10 suppress_prefixlength 3 suppress_ifgroup 4 realms 6/7
        iif eth0 nop priority 250
        from 10.86.0.0/16 tunnel-id 5000000000 table 100 priority 251
    }
    promote_secondaries
}
vrrp_instance V2 {
    state BACKUP
    interface eth0
    virtual_router_id 52
    priority 100
    version 2
    advert_int 2
    dont_track_primary
    authentication {
        auth_type PASS
        auth_pass secret12
    }
    virtual_ipaddress {
        10.77.1.204
    }
}
vrrp_instance V3 {
    state BACKUP
    interface eth0
    virtual_router_id 53
    priority 90
    nopreempt
    version 3
    garp_master_delay 2
    notify_deleted
    track_interface {
        track0
    }
    virtual_ipaddress {
        fe80::77
        fd00:77::105/64
    }
    smtp_alert
}
vrrp_instance V4 {
    state BACKUP
    interface eth0
    virtual_router_id 54
    priority 80
    version 3
    unicast_src_ip 10.77.1.11
    unicast_peer {
        10.77.1.12
    }
    preempt_delay 3
    virtual_ipaddress {
        10.77.3.206 dev other0
    }
    no_accept
}
vrrp_instance V5 {
    interface eth0
    use_vmac vr5
    virtual_router_id 55
    priority 255
    version 2
    virtual_ipaddress {
        10.77.1.207
    }
}
static_ipaddress {
    10.77.1.220/32 dev other0
}
static_routes {
    10.91.0.0/16 dev eth0
}
static_rules {
    from 10.92.0.0/16 table 100 priority 300
}
C
}
configuration "$snmp_words" >"$LAB_DIR/d1.conf"
configuration '' >"$LAB_DIR/without.conf"
# What differs, and why.
cat >"$LAB_DIR/objects" <<'L'
^. K\.1\.1\.0	the version is each program's own
^. K\.2\.3\.1\.11\.[1345]	"primary interface tracked" is said of a track_interface line that names it; here of what is done
^. K\.2\.3\.1\.27\.[25]	0 for version 2, which is no value of this object
^. K\.2\.6\.1\.11\.[2-5]\.	"not advertised" said of addresses that are
^. K\.2\.8\.1\.28\.1\.8	the upper half of a tunnel id is lost
^> K\.2\.8\.1\.33\.	the origin of a rule has no value there
^. 2787\.1\.3\.1\.7\.2\.52	a master does not know its own address
^> 2787\..*\.2\.55	a router with a virtual MAC is missing in its tables
^. K\.2\.6\.1\.7\.5\.1	an interface that is made anew has another number
L
cat >"$LAB_DIR/notifications" <<'L'
L
all=("$KEEPALIVED" "$VRRP_V2" "$VRRP_V3")
trap_sink d1
snmpd_start d1
masters() { for vip in 10.77.1.201 10.77.1.204 fd00:77::105 10.77.3.206 10.77.1.207; do has_addr d1 "$vip" || return 1; done; }
shown() { snmp d1 walk "$KEEPALIVED.2.3.1.4" | grep -c 'INTEGER: 2$' | grep -qx 5; }
# life PROGRAM FILE: from its start to its end; what is shown in FILE, what is told in FILE.told
life() {
    PROGRAM=$1 daemon d1 "$LAB_DIR/d1.conf"
    wait_until 20 masters || die "$1 does not become master"
    wait_until 10 shown || die "$1 does not show it"
    wait_until 10 says d1 "$KEEPALIVED.2.9.1.6.2" 'INTEGER: 2' || die "$1 does not run its scripts"
    walks d1 "$2" "${all[@]}"
    # Times are of the moment.
    sed -i '/^2787\.1\.3\.1\.13\./d; /^6527\.1\.1\.1\.1\.12\./d' "$2"
    ip -n d1 link set track0 down
    wait_until 10 eval 'says d1 "$KEEPALIVED.2.3.1.4.3" "INTEGER: 3"' || die "$1 does not see the fault"
    ip -n d1 link set track0 up
    wait_until 20 masters || die "$1 does not become master again"
    wait_until 10 shown || die "$1 does not show it again"
    stop d1 daemon
    wait_until 10 told 'STRING:V5 K.2.3.1.4=INTEGER:5' || die "$1 does not tell its end"
    nap 0.5
    notifications | sort >"$2.told"
    : >"$LAB_DIR/traps"
}
life "$LAB_PEER" "$LAB_DIR/theirs"
life "$LAB_DAEMON" "$LAB_DIR/ours"
if [[ $(basename "$LAB_DAEMON") == keepalived ]]; then sed -i '/another number$/!d' "$LAB_DIR/objects"; fi
agree "tables" "$LAB_DIR/theirs" "$LAB_DIR/ours" "$LAB_DIR/objects"
agree "notifications" "$LAB_DIR/theirs.told" "$LAB_DIR/ours.told" "$LAB_DIR/notifications"

daemon d1 "$LAB_DIR/d1.conf"
wait_until 20 masters || die "no master"
wait_until 10 shown || die "nothing is shown"
snmp d1 bulkwalk -Cr37 "$KEEPALIVED.2" >"$LAB_DIR/bulk"
snmp d1 walk "$KEEPALIVED.2" >"$LAB_DIR/next"
check "GETBULK and GETNEXT see the same" cmp "$LAB_DIR/bulk" "$LAB_DIR/next"
up_time() { snmp d1 get "$VRRP_V3.1.1.1.1.12.2.$1" | sed 's/.*(\(.*\)).*/\1/'; }
check "a router has been up since it is backup: $(up_time 52.1)" eval '(( $(up_time 52.1) > 200 && $(up_time 52.1) < 3000 ))'
check "names come in order" eval 'cut -d" " -f1 "$LAB_DIR/next" | sort -CV'
K=$KEEPALIVED
sets() { [[ $(snmp d1 set "$1" "$2" "$3") == *" = "* ]]; }
check "a priority can be set" sets "$K.2.3.1.7.2" i 77
check "and is so" says d1 "$K.2.3.1.7.2" 'INTEGER: 77'
check "a priority of 0 cannot" eval '! sets "$K.2.3.1.7.2" i 0'
check "nor one that is text" eval '! sets "$K.2.3.1.7.2" s x'
check "preempt can be set" sets "$K.2.3.1.13.2" i 2
check "and is so" says d1 "$K.2.3.1.13.2" 'INTEGER: 2'
check "a name cannot be set" eval '! sets "$K.2.3.1.2.2" s x'
check "what is not there is said not to be" eval 'snmp d1 get "$K.2.3.1.2.77" | grep -q "No Such Instance"'
if [[ $(basename "$LAB_DAEMON") == keepalived ]]; then stop d1 daemon; lab_done; exit; fi

# A wrong password, and a TTL that is not 255.
packet() { # VERSION VRID VIP TTL PASSWORD
    on client1 /usr/bin/python3 "$LAB_HOME/tools/vrrp-advert.py" eth0 10.77.1.101 "$@"
}
packet 2 52 10.77.1.204 255 wrong
check "a wrong password is told" wait_until 10 told '2787.0.2 2787.1.5.0=IpAddress:10.77.1.101 2787.1.6.0=INTEGER:3'
check "and counted" wait_until 5 says d1 "$VRRP_V2.2.4.1.4.2.52" 'Counter32: 1'
packet 3 51 10.77.1.201 64
check "a protocol error is told" wait_until 10 told '6527.0.2 6527.1.2.5.1.6.2.51.1=INTEGER:1'
check "and counted" wait_until 5 says d1 "$VRRP_V3.1.2.5.1.5.2.51.1" 'Counter64: 1'

# A reload takes it away, and brings it back; a priority that was set is what the file says.
main=$(child_pid d1 main)
cp "$LAB_DIR/without.conf" "$LAB_DIR/d1.conf"; kill -HUP "$main"
check "a reload takes it away" wait_until 10 eval 'snmp d1 get "$K.1.2.0" | grep -q "No Such Object"'
configuration "$snmp_words" >"$LAB_DIR/d1.conf"; kill -HUP "$main"
check "and brings it back" wait_until 10 says d1 "$K.2.3.1.7.2" 'INTEGER: 100'

# The same agent over TCP, and back.
over_tcp() { on d1 ss -Htn state established dport = :705 | grep -q .; }
configuration "${snmp_words//\/run\/agentx/tcp:127.0.0.1:705}" >"$LAB_DIR/d1.conf"; kill -HUP "$main"
check "the agent is asked over TCP" wait_until 10 over_tcp
check "and shows the same" wait_until 10 says d1 "$K.2.3.1.7.2" 'INTEGER: 100'
configuration "$snmp_words" >"$LAB_DIR/d1.conf"; kill -HUP "$main"
check "and by its socket again" wait_until 10 eval '! over_tcp'
check "with the same to show" wait_until 10 says d1 "$K.2.3.1.7.2" 'INTEGER: 100'

# An agent that hangs, then dies: adverts do not care.
gap() { # longest time between two adverts of V1, ms
    tcpdump -tt -nn -r "$LAB_DIR/adverts.pcap" 2>/dev/null |
        awk '{ if (last) { gap = ($1 - last) * 1000; if (gap > most) most = gap } last = $1; count++ } END { printf "%d", (count > 10) ? most : 99999 }'
}
mark=$(log_mark d1)
capture d1 eth0 "$LAB_DIR/adverts.pcap" 'ip proto 112 and src 10.77.1.11 and ip[21] = 51'
kill -STOP "$(bg_pid d1 snmpd)"
ip -n d1 link set track0 down                 # V3 goes, and is told to nobody
nap 4
ip -n d1 link set track0 up
crash d1 snmpd
check "the loss is said once" wait_until 15 logged d1 'no SNMP agent at /run/agentx' "$mark"
ip -n d1 link set track0 down
wait_until 10 logged d1 '\(V3\) Entering FAULT' "$mark" || die "no fault"
nap 3
capture_end d1 eth0
check "no advert was late: $(gap) ms" eval '(( $(gap) < 620 ))'
: >"$LAB_DIR/traps"
snmpd_start d1
check "an agent that is there again is found" wait_until 40 says d1 "$K.1.2.0" 'Hex-STRING: 64 31'
check "what was lost is counted" wait_until 5 logged d1 '[0-9]+ SNMP notifications were lost' "$mark"
check "it was said once" eval '(( $(tail -n +"$mark" "$(daemon_log d1)" | grep -c "no SNMP agent") == 1 ))'
ip -n d1 link set track0 up
check "and notifications go on" wait_until 20 told 'STRING:V3 K.2.3.1.4=INTEGER:2'
stop d1 daemon
check "up to the last word" wait_until 5 told 'STRING:V1 K.2.3.1.4=INTEGER:5'
lab_done
