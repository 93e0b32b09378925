#!/bin/bash
# no-ipvs: virtual servers on a kernel without IPVS.  The daemon says so, and
# VRRP goes on.  (keepalived stops altogether.)  Skipped where there is IPVS.
#   lab-netns run --directors 1 -- scenarios/no-ipvs.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
if on d1 ipvsadm -Ln >/dev/null 2>&1; then echo "# this kernel has IPVS: nothing to see"; ok "skipped"; lab_done; exit; fi
VIP=10.77.1.200
cat >"$LAB_DIR/d1.conf" <<C
global_defs {
    router_id d1
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
    lb_kind DR
    protocol TCP
    real_server 10.77.1.21 80 {
        weight 1
        TCP_CHECK {
            connect_timeout 1
        }
    }
}
C
daemon d1 "$LAB_DIR/d1.conf"
check "it says that the kernel has no IPVS" wait_until 10 logged d1 '(IPVS|ip_vs)'
check "VRRP takes the address" wait_owner $VIP d1 10
if never 5 eval '! bg_alive d1 daemon || ! owner_is $VIP d1'; then ok "and goes on for five seconds"; else not_ok "it goes on" "on '$(owners $VIP)'"; fi
# once, or now and then: not in every line
check "it does not say so all the time" eval '(( $(grep -cE "(IPVS|ip_vs)" "$(daemon_log d1)") < 20 ))'
grep -E '(IPVS|ip_vs)' "$(daemon_log d1)" | head -3 | sed 's/^/# /' || :
stop d1 daemon
check "nothing is left" owner_is $VIP ""
lab_done
