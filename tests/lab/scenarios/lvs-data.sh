#!/bin/bash
# lvs-data: the file that the check process writes on SIGUSR1, beside the real keepalived's with the same
# configuration, line by line.
#   uml-run -- lab-netns run --directors 1 --reals 1 -- scenarios/lvs-data.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$LAB_HOME/lib/lvs.sh"
. "$LAB_HOME/lib/snmp.sh"
cat >"$LAB_DIR/d1.conf" <<'C'
global_defs {
    router_id d1
    script_user root
    notification_email {
        root@example.org
    }
    notification_email_from d1@example.org
    smtp_server 192.0.2.9 2525
    lvs_timeouts tcp 900 tcpfin 120 udp 300
    lvs_sync_daemon eth0 id 7 port 8850 ttl 2
    lvs_flush
    lvs_notify_fifo /run/fifo
    checker_priority -3
    default_interface eth0
}
track_file level {
    file /run/level
    weight 2
    init_file 3
}
virtual_server_group web {
    10.77.1.210 80
    10.77.1.211-213 80
    fwmark 9
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
    warmup 1
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
    real_server 10.77.1.11 9 {
        virtualhost rs.example.net
        lvs_method TUN type gue port 6080 csum
        TCP_CHECK {
            connect_port 9
            connect_timeout 1
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
    lvs_method TUN type gre csum
    persistence_timeout 50
    inhibit_on_failure
    real_server 10.77.1.21 80 {
        weight 2
    }
    real_server 10.77.1.22 80 {
        lvs_method DR
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
    sorry_server_lvs_method DR
    real_server fd00:77::21 80 {
        weight 1
    }
}
virtual_server group web {
    protocol UDP
    lvs_sched fo
    lvs_method NAT
    real_server 10.77.1.21 80 {
        weight 2
        FILE_CHECK {
            track_file level
            weight 3 reverse
        }
    }
}
virtual_server 10.77.1.202 80 {
    protocol TCP
    lvs_sched wlc
    flag-1
    lvs_method DR
    delay_loop 1
    real_server 10.77.1.21 80 {
        HTTP_GET {
            url {
                path /
                status_code 200
            }
            url {
                path /b
                status_code 200-204 301
                regex "."
                regex_min_offset 0
                regex_max_offset 500
            }
            bindto 10.77.1.11
            bind_if eth0
            connect_timeout 2
            fwmark 5
            virtualhost check.example
            http_protocol 1.1
            fast_recovery
            retry 2
            delay_before_retry 2
            warmup 1
        }
        PING_CHECK {
            retry 2
            warmup 1
        }
        UDP_CHECK {
            payload 010203
            require_reply 01X2XX
            min_reply_length 2
            max_reply_length 200
            warmup 1
        }
        DNS_CHECK {
            type TXT
            name example.org
            warmup 1
        }
        MISC_CHECK {
            misc_path "/usr/bin/true a b"
            misc_timeout 5
            misc_dynamic
            warmup 1
        }
    }
}
C
cat >"$LAB_DIR/differences" <<'L'
^<  No test config before reload	a new configuration is always tried first
^[<>]  LVS (TCP|UDP) timeout = 300	keepalived gives the third timeout the name of the first
^<.*uid:gid	accounts are looked up where a script is run
^> +(Quorum|RS) (up|down) notify script =	as before
^>  LVS notify fifo = /run/fifo	as before
^[<>]  Gratuitous ARP lower priority (delay|repeat)	keepalived has -1 until an instance has them
^<  libnftnl version	nftables is spoken to without that library
^<  (VRRP|Checker|BFD) realtime limit = 10000	a process is not killed for that unless it is written
^>  Default interface = eth0	of vrrp: keepalived's check process does not know it
^<  System is compiled with LVS	the kernel says what it can
^<    previous effective_weight = 0	a weight is never added to what it was
^>    [A-Z]+_(CHECK|GET): 	what a check has found is told here only
^<    Virtualhost = check.example	a virtual host is shown with the url that it is of
^>      Virtual host = check.example	as before
^<      Regex ref count	keepalived's own
^<    Last (ran|status)	of a script, the verdict is kept
L
ip -n d1 addr add 10.77.1.200/32 dev eth0
reals_http 80
DATA=$LAB_DIR/nodes/d1/tmp/keepalived_check.data
# written: all of it is in the file, and each check has a result
written() {
    rm -f "$DATA"
    kill -USR1 "$(child_pid d1 main)"
    wait_until 3 grep -q 'Keepalive method = FILE_CHECK' "$DATA" || return 1
    nap 0.2
    ! grep -q 'Has run = no' "$DATA" && grep -q '^   Tracking instances' "$DATA" && grep -q '^   quorum_state_up = 0' "$DATA"
}
life() { # PROGRAM FILE
    PROGRAM=$1 daemon d1 "$LAB_DIR/d1.conf"
    wait_until 20 child_pid d1 main || die "$1 does not start"
    wait_until 30 written || die "$1 does not write it: $(grep -c 'Has run = no' "$DATA") without a result"
    # these are of the moment
    sed -E 's/(Last ran|Retries iterations) = .*/\1 =/' "$DATA" >"$2"
    stop d1 daemon
    on d1 ipvsadm -C
}
life "$LAB_PEER" "$LAB_DIR/theirs"
life "$LAB_DAEMON" "$LAB_DIR/ours"
if [[ $(basename "$LAB_DAEMON") == keepalived ]]; then : >"$LAB_DIR/differences"; fi
agree "the files" "$LAB_DIR/theirs" "$LAB_DIR/ours" "$LAB_DIR/differences"
check "a dead server is told of" grep -qE '^   TCP_CHECK: down: |^   num failed checkers = 1' "$LAB_DIR/ours"
lab_done
