#!/bin/bash
# lvs-namespace: net_namespace_ipvs: servers are checked from the daemon's own
# network namespace, the table is made in another one, and follows; a reload
# with another name is refused, the end leaves nothing.
#   uml-run -- lab-netns run --directors 1 --reals 1 -- scenarios/lvs-namespace.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
reals_http 80
on d1 ip netns add lvs
# The kernel takes servers only where it has a table of its own addresses.
on d1 ip -n lvs link set lo up
conf() { # NAMESPACE
    printf 'net_namespace_ipvs %s\nglobal_defs {\n router_id d1\n}\nvirtual_server 10.77.1.200 80 {\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server 10.77.1.21 80 {\n  weight %s\n  TCP_CHECK {\n   connect_timeout 1\n   retry 0\n  }\n }\n}\n' "$@"
}
conf lvs 1 >"$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
there() { on d1 ip netns exec lvs ipvsadm -Ln | awk '$2 == "10.77.1.21:80" { print $4 }'; }
has_weight() { [[ $(there) == "$1" ]]; }
timed "the table is there" 8 has_weight 1
check "and nothing is in the daemon's own namespace" eval '[[ -z $(table d1) ]]'
stop rs1 http KILL
timed "a dead server leaves it" 8 has_weight ""
bg rs1 http lab-http serve rs1 80
timed "and comes back" 8 has_weight 1
conf lvs 7 >"$LAB_DIR/d1.conf"; kill -HUP "$(child_pid d1 main)"
timed "a reload changes the weight there" 8 has_weight 7
conf other 9 >"$LAB_DIR/d1.conf"; kill -HUP "$(child_pid d1 main)"
check "another namespace is refused" wait_until 5 logged d1 "net_namespace_ipvs"
check "and nothing changes" has_weight 7
stop d1 daemon
check "no service is left" eval '[[ -z $(on d1 ip netns exec lvs ipvsadm -Sn) ]]'
lab_done
