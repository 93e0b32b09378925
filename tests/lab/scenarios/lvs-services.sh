#!/bin/bash
# lvs-services: what happens to a service when servers come and go: quorum with
# its scripts, sorry server, inhibit_on_failure, dynamic weights, HTTP status.
#   uml-run -- lab-netns run --layout routed --directors 1 --reals 3 -- scenarios/lvs-services.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200
client_addresses
for r in 1 2 3; do ip -n rs$r route replace default via 10.77.2.11; done
reals_http 80
for w in up down; do printf '#!/bin/sh\necho %s "$@" >>%s/quorum\n' $w "$LAB_DIR" >"$LAB_DIR/quorum_$w"; done
# misc_dynamic: exit 0 is up as configured, 1 down, N is a weight of N-2
printf '#!/bin/sh\nexit $(cat %s/load)\n' "$LAB_DIR" >"$LAB_DIR/measure"
chmod 755 "$LAB_DIR"/quorum_* "$LAB_DIR/measure"
echo 0 >"$LAB_DIR/load"; : >"$LAB_DIR/quorum"
echo 0 >"$LAB_DIR/spare"; echo 0 >"$LAB_DIR/closed"
TCP='        TCP_CHECK {
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }'
cat >"$LAB_DIR/d1.conf" <<C
global_defs {
    router_id d1
    script_user root
}
track_file spare {
    file $LAB_DIR/spare
}
track_file closed {
    file $LAB_DIR/closed
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
virtual_server $VIP 80 {
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
    quorum 2
    quorum_up $LAB_DIR/quorum_up
    quorum_down $LAB_DIR/quorum_down
    sorry_server 10.77.2.23 80
    real_server 10.77.2.21 80 {
        weight 1
$TCP
    }
    real_server 10.77.2.22 80 {
        weight 1
$TCP
    }
}
virtual_server $VIP 81 {
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.77.2.21 80 {
        weight 3
$TCP
    }
    real_server 10.77.2.22 80 {
        weight 3
        inhibit_on_failure
$TCP
    }
}
virtual_server $VIP 82 {
    delay_loop 1
    lb_algo wrr
    lb_kind NAT
    protocol TCP
    real_server 10.77.2.21 80 {
        weight 1
$TCP
    }
    real_server 10.77.2.23 80 {
        weight 1
        MISC_CHECK {
            misc_path $LAB_DIR/measure
            misc_timeout 2
            misc_dynamic
        }
    }
}
virtual_server $VIP 84 {
    delay_loop 1
    lb_algo wrr
    lb_kind NAT
    protocol TCP
    real_server 10.77.2.21 80 {
        weight 2
        FILE_CHECK {
            track_file spare
            weight 1
        }
    }
    real_server 10.77.2.22 80 {
        weight 2
        FILE_CHECK {
            track_file closed
            weight 0
        }
        MISC_CHECK {
            misc_path /nonexistent/check
        }
    }
}
virtual_server $VIP 83 {
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.77.2.21 80 {
        weight 1
        HTTP_GET {
            url {
                path /status/503
                status_code 503
            }
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }
    }
    real_server 10.77.2.23 80 {
        weight 1
        HTTP_GET {
            url {
                path /status/404
                status_code 200
            }
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }
    }
}
C
daemon d1 "$LAB_DIR/d1.conf"
quorum() { [[ $(tail -1 "$LAB_DIR/quorum") == "$1" ]]; }
timed "d1 is master" 12 owner_is $VIP d1
# keepalived takes a fresh server for alive until its first check says no
timed "a wrong status code: out" 15 eval '! lists "$VIP:83 -r 10.77.2.23:80"'
check "the status code that was asked for: in" lists "$VIP:83 -r 10.77.2.21:80 -m -w 1"
spread "quorum: both serve, the sorry server does not" "10 rs1 10 rs2" -n 20 $VIP 80

stop rs2 http KILL
timed "rs2 is dead: below the quorum, the sorry server stands in" 12 lists "$VIP:80 -r 10.77.2.23:80"
timed "quorum_down ran, without arguments" 3 quorum down
spread "the sorry server answers alone" "10 rs3" -n 10 $VIP 80
timed "inhibit_on_failure: the dead server stays, with weight 0" 5 lists "$VIP:81 -r 10.77.2.22:80 -m -w 0"
spread "and gets nothing" "10 rs1" -n 10 $VIP 81
bg rs2 http lab-http serve rs2 80
timed "rs2 is back: quorum again, the sorry server is gone" 12 eval '! lists "$VIP:80 -r 10.77.2.23:80"'
timed "quorum_up ran" 3 quorum up
spread "both serve again" "10 rs1 10 rs2" -n 20 $VIP 80
timed "the weight is back" 5 lists "$VIP:81 -r 10.77.2.22:80 -m -w 3"

timed "MISC_CHECK: exit 0 is the configured weight" 5 lists "$VIP:82 -r 10.77.2.23:80 -m -w 1"
echo 5 >"$LAB_DIR/load"
timed "MISC_CHECK: exit 5 is weight 3" 6 lists "$VIP:82 -r 10.77.2.23:80 -m -w 3"
spread "wrr 1:3" "5 rs1 15 rs3" -n 20 $VIP 82
echo 1 >"$LAB_DIR/load"
timed "MISC_CHECK: exit 1 is down" 6 eval '! lists "$VIP:82 -r 10.77.2.23:80"'
echo 0 >"$LAB_DIR/load"
timed "MISC_CHECK: exit 0 is up again" 6 lists "$VIP:82 -r 10.77.2.23:80 -m -w 1"
echo 3 >"$LAB_DIR/spare"
timed "FILE_CHECK: 3 is added to a weight of 2" 6 lists "$VIP:84 -r 10.77.2.21:80 -m -w 5"
check "the other server is as configured, also with a check whose program is not there" lists "$VIP:84 -r 10.77.2.22:80 -m -w 2"
echo 1 >"$LAB_DIR/closed"
timed "FILE_CHECK of weight 0: 1 takes the server out" 6 eval '! lists "$VIP:84 -r 10.77.2.22:80"'
echo 0 >"$LAB_DIR/closed"
timed "and 0 puts it back" 6 lists "$VIP:84 -r 10.77.2.22:80 -m -w 2"
stop d1 daemon
check "no service is left" eval '[[ -z $(table d1) ]]'
lab_done
