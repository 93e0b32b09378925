#!/bin/bash
# lvs-ha: two directors with VRRP, checks and IPVS; the master dies and is
# stopped under load: how much of it does a client lose?
#   uml-run -- lab-netns run --directors 2 --reals 3 -- scenarios/lvs-ha.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200
client_addresses
reals_direct $VIP
reals_http 80
for i in 1 2; do
    {
        cat <<C
global_defs {
    router_id d$i
}
vrrp_instance VI_1 {
    state $( ((i == 1)) && echo MASTER || echo BACKUP)
    interface eth0
    virtual_router_id 51
    priority $(( 200 - 50 * i ))
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    virtual_ipaddress {
        $VIP/24
    }
}
virtual_server $VIP 80 {
    delay_loop 1
    lb_algo rr
    lb_kind DR
    protocol TCP
C
        for r in 1 2 3; do cat <<C
    real_server 10.77.1.2$r 80 {
        weight 1
        HTTP_GET {
            url {
                path /
                status_code 200
            }
            connect_timeout 1
            retry 1
            delay_before_retry 1
        }
    }
C
        done
        echo '}'
    } >"$LAB_DIR/d$i.conf"
    daemon d$i "$LAB_DIR/d$i.conf"
done
timed "d1 is master" 12 owner_is $VIP d1
for i in 1 2; do timed "d$i has three servers" 12 has_reals d$i 3; done
nap 2
spread "balanced by d1" "4 rs1 4 rs2 4 rs3" -n 12 $VIP 80
load() { # SECONDS
    SOURCE=$((SOURCE + 1))
    : >"$(bg_log client1 load)"
    bg client1 load lab-http get -w "$1" -i 20 -t 300 -b 10.77.1.$SOURCE $VIP 80
    nap 1
}
# loaded WHAT GAP_MS: the load is over; the longest time without an answer
loaded() {
    local gap
    wait_until 20 eval '! bg_alive client1 load' || :
    gap=$(awk '$1 == "maxgap_ms" { print $2 }' "$(bg_log client1 load)")
    if [[ -n $gap ]] && (( gap <= $2 )); then ok "$1: $(xargs <"$(bg_log client1 load)")"; else not_ok "$1" "$(xargs <"$(bg_log client1 load)"), limit $2 ms"; fi
}
load 9; power_off d1
timed "d1 loses power: d2 is master" 8 owner_is $VIP d2
loaded "the client without service, at most 3 x interval + skew" 4500
spread "balanced by d2" "4 rs1 4 rs2 4 rs3" -n 12 $VIP 80
power_on d1; daemon d1 "$LAB_DIR/d1.conf"
timed "d1 is master again" 15 owner_is $VIP d1
timed "d1 has three servers" 12 has_reals d1 3
nap 2
load 5; stop d1 daemon
timed "d1 stops in order: d2 is master" 8 owner_is $VIP d2
loaded "the client without service, about the skew" 2000
check "nothing is left on d1" eval '[[ -z $(table d1) ]]'
stop d2 daemon
lab_done
