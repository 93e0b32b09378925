#!/bin/bash
# snmp-check: what the check process shows and tells over SNMP, beside the real keepalived with the same
# configuration and table: object by object, figures of real traffic among them, notification by
# notification; weights that can be set.
#   lab-netns run --directors 1 --reals 1 -- scenarios/snmp-check.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$LAB_HOME/lib/lvs.sh"
. "$LAB_HOME/lib/snmp.sh"
cat >"$LAB_DIR/d1.conf" <<'C'
global_defs {
    router_id d1
    script_user root
    enable_snmp_checker
    enable_traps
    snmp_socket /run/agentx
    smtp_server 192.0.2.9
    lvs_timeouts tcp 900 tcpfin 120 udp 300
    lvs_sync_daemon eth0 id 7 port 8850 ttl 2
}
virtual_server_group web {
    10.77.1.210 80
    10.77.1.211-213 80
    fwmark 9
}
virtual_server_group four {
    10.77.1.220-222 81
    fwmark 11
}
virtual_server 10.77.1.200 80 {
    protocol TCP
    delay_loop 1
    lvs_sched wrr
    lvs_method NAT
    persistence_timeout 60
    persistence_granularity 255.255.255.0
    virtualhost example.net
    quorum 2
    hysteresis 1
    quorum_up "/usr/bin/true up"
    quorum_down "/usr/bin/true down"
    ha_suspend
    alpha
    omega
    smtp_alert
    retry 1
    delay_before_retry 1
    warmup 0
    snmp_name first
    weight 3
    connect_timeout 4
    sorry_server 10.77.1.99 80
    real_server 10.77.1.21 80 {
        weight 4
        uthreshold 100
        lthreshold 50
        inhibit_on_failure
        notify_up "/usr/bin/true rup"
        notify_down "/usr/bin/true rdown"
        smtp_alert
        snmp_name one
        TCP_CHECK {
            connect_timeout 1
        }
    }
    real_server 10.77.1.22 80 {
        virtualhost rs.example.net
        delay_loop 2
        retry 5
        delay_before_retry 2
        warmup 4
        lvs_method TUN type gue port 6080 csum
        TCP_CHECK {
            connect_timeout 1
        }
        TCP_CHECK {
            connect_port 81
            connect_timeout 1
            retry 1
        }
    }
}
virtual_server fwmark 7 {
    delay_loop 6
    lvs_sched sh
    sh-port
    sh-fallback
    lvs_method NAT
    real_server 10.77.1.23 53 {
        weight 1
    }
}
virtual_server group web {
    protocol TCP
    delay_loop 2
    lvs_sched mh
    mh-port
    mh-fallback
    lvs_method TUN type gre csum
    persistence_timeout 50
    inhibit_on_failure
    real_server 10.77.1.21 80 {
        weight 2
    }
}
virtual_server fd00:77::200 80 {
    protocol UDP
    lvs_sched rr
    lvs_method NAT
    ops
    persistence_timeout 40
    persistence_granularity 96
    sorry_server fd00:77::99 80
    sorry_server_inhibit
    real_server fd00:77::21 80 {
        weight 1
    }
}
virtual_server group four {
    protocol UDP
    lvs_sched fo
    lvs_method NAT
    real_server 10.77.1.21 80 {
        weight 2
    }
}
virtual_server 10.77.1.201 0 {
    protocol SCTP
    lvs_sched wlc
    lvs_method NAT
    quorum 2
    persistence_timeout 30
    real_server 10.77.1.21 0 {
        weight 2
    }
}
C
cat >"$LAB_DIR/objects" <<'L'
^. K\.1\.1\.0	the version is each program's own
^< K\.3\.3\.1\.51\.[235]	a prefix length of 4294967295 of services that are not IPv6
L
cat >"$LAB_DIR/notifications" <<'L'
K\.3\.4\.1\.4=STRING:0a4d0116 K\.3\.4\.1\.5=Gauge32:80 K\.3\.4\.1\.6=INTEGER:2	a server that is down is told to be down once more at the end
K\.3\.3\.1\.2=INTEGER:1 K\.3\.3\.1\.4=Gauge32:7 K\.3\.3\.1\.8=INTEGER:[24]	a mark is of no protocol, not of UDP
K\.3\.3\.1\.6=STRING:0a4d01c9 K\.3\.3\.1\.7=Gauge32:0 K\.3\.3\.1\.8=INTEGER:[23]	SCTP is not UDP
L
K=$KEEPALIVED
trap_sink d1
snmpd_start d1
reals_http 80
ip -n d1 addr add 10.77.1.200/32 dev eth0
up() { says d1 "$K.3.4.1.6.1.2" 'INTEGER: 1' && says d1 "$K.3.3.1.23.1" 'INTEGER: 1'; }
connections() { says d1 "$K.3.3.1.38.1" "Counter64: $1" && says d1 "$K.3.4.1.27.1.2" "Counter64: $1"; }
failed() { says d1 "$K.3.4.1.13.1.3" 'Gauge32: 2'; }
# life PROGRAM FILE: from its start to its end; what is shown in FILE, what is told in FILE.told
life() {
    PROGRAM=$1 daemon d1 "$LAB_DIR/d1.conf"
    wait_until 30 up || die "$1 does not find the server"
    wait_until 20 failed || die "$1 does not count its failures"
    on client1 lab-http get -n 3 -t 500 10.77.1.200 80 >/dev/null 2>&1 || :
    wait_until 20 connections 3 || say "$1: $(snmp d1 get "$K.3.3.1.38.1" "$K.3.4.1.27.1.2" | xargs)"
    walks d1 "$2.all" "$K"
    # Rates are of the moment, and the kernel's connections outlive the first of the two.
    sed -E '/^K\.3\.(3\.1\.(3[2-6]|4[1-9]|50)|4\.1\.(1[5-7]|2[2-6]|3[0-9]))\./d' "$2.all" >"$2"
    stop rs1 http
    wait_until 20 eval 'says d1 "$K.3.4.1.6.1.2" "INTEGER: 2" && says d1 "$K.3.3.1.23.1" "INTEGER: 2"' || die "$1 does not see it go"
    reals_http 80
    wait_until 20 up || die "$1 does not see it back"
    stop d1 daemon
    wait_until 10 told 'K.3.3.1.6=STRING:0a4d01c9 K.3.3.1.7=Gauge32:0 K.3.3.1.8=INTEGER:'"$3"' K.3.3.1.23=INTEGER:3' || die "$1 does not tell its end"
    nap 0.5
    notifications | sort >"$2.told"
    : >"$LAB_DIR/traps"
    on d1 ipvsadm -C
}
life "$LAB_PEER" "$LAB_DIR/theirs" 2
ours=3; [[ $(basename "$LAB_DAEMON") != keepalived ]] || ours=2
life "$LAB_DAEMON" "$LAB_DIR/ours" "$ours"
if (( ours == 2 )); then : >"$LAB_DIR/objects"; : >"$LAB_DIR/notifications"; fi
agree "tables" "$LAB_DIR/theirs" "$LAB_DIR/ours" "$LAB_DIR/objects"
agree "notifications" "$LAB_DIR/theirs.told" "$LAB_DIR/ours.told" "$LAB_DIR/notifications"
check "three connections were counted" grep -qx 'K.3.4.1.27.1.2 = Counter64: 3' "$LAB_DIR/ours"
check "and live" grep -qE '^K\.3\.4\.1\.15\.1\.2 = Gauge32: [3-9]$' "$LAB_DIR/ours.all"
check "and their packets" eval '! grep -qx "K.3.3.1.39.1 = Counter64: 0" "$LAB_DIR/ours"'

daemon d1 "$LAB_DIR/d1.conf"
wait_until 30 up || die "the server is not found"
sets() { [[ $(snmp d1 set "$1" "$2" "$3") == *" = "* ]]; }
check "a weight can be set" sets "$K.3.4.1.7.1.2" i 77
check "and is so" says d1 "$K.3.4.1.7.1.2" 'INTEGER: 77'
check "and in the kernel" wait_until 5 eval 'lists "-t 10.77.1.200:80 -r 10.77.1.21:80 -m -w 77"'
check "a threshold cannot be set" eval '! sets "$K.3.4.1.8.1.2" u 5'
if (( ours == 3 )); then
    check "nor a weight below 0" eval '! sets "$K.3.4.1.7.1.2" i -1'
    check "nor that of the sorry server" eval '! sets "$K.3.4.1.7.1.1" i 5'
    kill -HUP "$(child_pid d1 main)"
    check "a reload puts it back" wait_until 10 says d1 "$K.3.4.1.7.1.2" 'INTEGER: 4'
fi
stop d1 daemon
lab_done
