#!/bin/bash
# vrrp-routes: routes and rules go with the master; static entries stand always.
# Failover moves them, what somebody removes is put back, a crash leaves nothing
# stale, a reload changes what differs and nothing else.  (keepalived 2.2.7
# leaves the routes of a crashed predecessor; the attributes are the same.)
#   lab-netns run --directors 2 -- scenarios/vrrp-routes.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
VIP=10.77.1.200
conf() { # NODE-NUMBER [MORE-ROUTES]
    cat <<C
global_defs {
    router_id d$1
}
static_ipaddress {
    192.0.2.$1/32 dev eth0
}
static_routes {
    198.51.100.0/24 dev eth0 metric 7
}
static_rules {
    from 198.51.100.7 table 77 priority 1700
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority $(( 200 - 50 * $1 ))
    advert_int 1
    virtual_ipaddress {
        $VIP/24
    }
    virtual_routes {
        10.100.0.0/16 via 10.77.1.99 dev eth0 src $VIP metric 5
        10.101.0.0/16 dev eth0 table 100 mtu 1400 initcwnd 20
        10.102.0.0/16 nexthop via 10.77.1.98 dev eth0 weight 2 nexthop via 10.77.1.99 dev eth0
        blackhole 10.103.0.0/16
        2001:db8:100::/48 dev eth0 metric 9
        ${2:-}
    }
    virtual_rules {
        from 10.100.0.0/16 table 100 priority 1000
        to 10.101.0.0/16 fwmark 7 table 100 priority 1001
        iif eth0 prohibit priority 1002
    }
}
C
}
state() { # NODE: its routes and rules of protocol 18, in a stable form
    { ip -n "$1" route show table all proto 18; ip -n "$1" -6 route show table all proto 18; ip -n "$1" rule; } |
        sed 's/ *$//' | grep -v 'lookup \(local\|main\|default\)' | sort
}
has() { state "$1" | grep -E -- "$2" >/dev/null; }        # NODE REGEX
all_of() { has "$1" '^10.100.0.0/16' && has "$1" '^10.101.0.0/16' && has "$1" '^10.102.0.0/16' && has "$1" '^blackhole 10.103' && has "$1" '^2001:db8:100' && has "$1" '^1000:' && has "$1" '^1001:' && has "$1" '^1002:'; }
none_of() { ! has "$1" '^(10\.10|blackhole|2001:db8:100|100[012]:)'; }
statics() { has_addr "$1" "192.0.2.${1#d}" && has "$1" '^198.51.100.0/24' && has "$1" '^1700:'; }
for i in 1 2; do conf $i >"$LAB_DIR/d$i.conf"; daemon d$i "$LAB_DIR/d$i.conf"; done
check "election" wait_owner $VIP d1 8
check "the master has its routes and rules" wait_until 3 all_of d1
check "the backup has none" none_of d2
for n in d1 d2; do check "$n has the static entries" wait_until 3 statics $n; done
state d1 | sed 's/^/# /'
# what somebody else removes
ip -n d1 route del 198.51.100.0/24 proto 18; ip -n d2 rule del priority 1700; ip -n d2 addr del 192.0.2.2/32 dev eth0
for n in d1 d2; do check "$n: static entries are put back" wait_until 3 statics $n; done
l=$(log_mark d1)
ip -n d1 route del 10.101.0.0/16 table 100
check "a lost route is taken back" wait_until 5 eval 'has d1 "^10.101.0.0/16" && owner_is $VIP d1'
if [[ $LAB_DAEMON != *keepalived ]]; then check "as master anew" wait_until 5 logged d1 'removed by someone else' "$l"; fi
check "and everything is there" wait_until 5 all_of d1
# failover
fault port d1 down
check "failover: d2 has everything" wait_until 8 all_of d2
fault port d1 up
check "back on d1" wait_until 12 all_of d1
check "nothing stays on d2" wait_until 5 none_of d2
# reload
if [[ $LAB_DAEMON != *keepalived ]]; then
    bg d1 monitor ip monitor route rule; nap 0.3
    conf 1 '10.104.0.0/16 dev eth0' >"$LAB_DIR/d1.conf"; kill -HUP "$(child_pid d1 main)"
    check "one route more" wait_until 5 has d1 '^10.104.0.0/16'
    check "no other was touched" eval '! grep -vE "10.104.0.0/16|^$" "$(bg_log d1 monitor)"'
    conf 1 >"$LAB_DIR/d1.conf"; kill -HUP "$(child_pid d1 main)"
    check "and gone again" wait_until 5 eval '! has d1 "^10.104.0.0/16"'
    check "the rest is there" all_of d1
fi
# a crash and a start as backup
crash d1 daemon
check "a crash leaves them behind" all_of d1
check "d2 takes over" wait_until 8 all_of d2
sed -i 's/priority 150/priority 50/' "$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
check "what the crash left is removed by the next start" wait_until 8 none_of d1
check "static entries stand" wait_until 3 statics d1
for i in 1 2; do stop d$i daemon; done
for n in d1 d2; do check "$n: nothing is left" test -z "$(state $n)"; done
lab_done
