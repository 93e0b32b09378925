#!/bin/bash
# vrrp-announce: virtual MACs of single addresses (use_vmac of a line,
# use_vmac_addr, vmac_addr_prefix), announcements spread over the interfaces of
# a garp_group and repeated on other interfaces (garp_extra_if).  The real
# keepalived runs first, on the same file: interfaces, addresses and
# announcements must be the same.
#   lab-netns run --layout routed --directors 1 -- scenarios/vrrp-announce.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
cat >"$LAB_DIR/d1.conf" <<'C'
global_defs {
    router_id d1
    vmac_addr_prefix at
    vrrp_garp_extra_if 1
}
garp_group {
    garp_interval 0.2
    gna_interval 0.1
    interfaces {
        eth0
        eth1
    }
}
vrrp_instance A {
    interface eth0
    use_vmac
    virtual_router_id 51
    priority 150
    garp_master_delay 0
    garp_master_repeat 2
    virtual_ipaddress {
        10.77.1.200/24
        10.77.1.201/24 dev eth0
        10.77.2.200/24 dev eth1 use_vmac
        10.77.2.201/24 dev eth1 use_vmac
        10.77.2.202/24 dev eth1
    }
    virtual_ipaddress_excluded {
        fd77:1::1:200/64
        fd77:2::1:200/64 dev eth1 use_vmac
    }
}
vrrp_instance B {
    interface eth0
    use_vmac_addr
    garp_extra_if all 1
    virtual_router_id 52
    priority 150
    garp_master_delay 0
    garp_master_repeat 2
    virtual_ipaddress {
        10.77.1.210/24
        10.77.1.211/24 use_vmac
        10.77.1.212/24 dev eth0
        10.77.2.210/24 dev eth1
    }
}
C
# (Where an instance of IPv4 has an IPv6 address too, the real one leaves IPv6 on, on the interface
# that has none of them: vrrp.51. And its interfaces of IPv6 answer for every IPv4 address of the host.)
# What is there: each virtual interface with its MAC and the one beneath, each address with its place.
state() { ip -n d1 -d -o link show type macvlan | sed -E 's/^[0-9]+: ([^:]+):.*link\/ether ([^ ]+) .*(macvlan mode [a-z]+).*/\1 \2 \3/' | sort; ip -n d1 -o addr | awk '$2 != "lo" && $4 !~ /^fe80/ { print $2, $4 }' | sort; }
settings() { on d1 sysctl -a 2>/dev/null | grep -E '^net\.(ipv4\.conf\.(vrrp|at|eth).*(arp_ignore|arp_filter|accept_local|rp_filter|promote_secondaries)|ipv6\.conf\.(vrrp|at).*(disable_ipv6|addr_gen_mode)) ' | grep -vE 'vrrp/51.disable_ipv6|at6/51.arp_ignore'; }
# rows FILTER: time, MAC and address of the announcements in the last capture
rows() { tshark -r "$cap" -n -Y "($1) and ((arp.opcode == 1 and arp.isgratuitous) or icmpv6.type == 136)" -T fields -e frame.time_relative -e eth.src -e arp.src.proto_ipv4 -e icmpv6.nd.na.target_address 2>/dev/null | tr -s '\t' ' '; }
up() { has_addr d1 10.77.1.210 && has_addr d1 10.77.2.200; }
before=$(state) settings_before=$(settings)
run() { # PROGRAM: what it makes, into $links, $values, $burst and $extra
    cap=$LAB_DIR/$(basename "$1").pcap
    for i in front back; do capture sw br-$i "$cap.$i" 'arp or icmp6'; done
    PROGRAM=$1 daemon d1 "$LAB_DIR/d1.conf"
    wait_until 8 up || not_ok "$1 is master"
    nap 6.5
    links=$(state) values=$(settings) rules=$(on d1 nft list ruleset)
    for i in front back; do capture_end sw br-$i; done
    mergecap -w "$cap" "$cap.front" "$cap.back"
    burst=$(rows arp | cut -d' ' -f2- | sort -u)
    extra=$(rows arp | cut -d' ' -f2- | sort | uniq -c | awk '$1 >= 5 { print $2, $3 }')
    extra6=$(rows icmpv6 | cut -d' ' -f2- | sort | uniq -c | awk '$1 >= 5 { print $2, $3 }')
}
same() { # WHAT REAL OURS
    if [[ $2 == "$3" ]]; then ok "$1"; else not_ok "$1" "$(diff <(echo "$2") <(echo "$3") | tr '\n' '|')"; fi
}
run "$LAB_PEER"
real_links=$links real_values=$values real_burst=$burst real_extra=$extra real_extra6=$extra6
stop d1 daemon
same "the real one leaves nothing" "$before" "$(state)"
# (but the settings beneath, where two virtual MACs stood on one interface)
for i in eth0 eth1; do on d1 sysctl -qw net.ipv4.conf.$i.arp_ignore=0 net.ipv4.conf.$i.arp_filter=0; done
run "$LAB_DAEMON"
same "the interfaces, their MACs and the addresses on them are the real one's" "$real_links" "$links"
same "and their settings" "$real_values" "$values"
check "interfaces of IPv6 do not answer for addresses of IPv4" test "$(on d1 sysctl -n net.ipv4.conf.at6/51.arp_ignore)" == 1
same "each address is announced from the same MAC" "$real_burst" "$burst"
same "the same are repeated on other interfaces" "$real_extra" "$extra"
same "of IPv6 too" "$real_extra6" "$extra6"
check "that is one for each of them" eval '[[ $(wc -l <<<"$extra") == 3 && -n $extra6 ]]'
# (the real one sends what had to wait once only)
twice() { rows arp | cut -d' ' -f2- | sort | uniq -c | awk '$1 < 2 { bad++ } END { exit bad > 0 || NR != 9 }'; }
check "and each of the others is announced twice" twice
# Nothing leaves within the pause of the group, on whatever interface. A slow machine may hold one back
# on its way, so that the next one is close behind.
gaps() {
    rows "$1" | sort -n | awk -v pause="$2" '
        NR > 1 && $1 - last < 0.95 * pause { short++; print }
        NR > 1 && $1 - last < 0.5 * pause { bad++ }
        { last = $1 } END { exit bad > 0 || short > NR / 4 || NR < 8 }'
}
check "announcements of the group are 0.2 s apart" gaps arp 0.2
check "those of IPv6 0.1 s" gaps icmpv6 0.1
check "membership reports of all of them are sent from beneath" eval '[[ $rules == *at.51* && $rules == *at1.52* ]]'
# --- somebody deletes one of them
ip -n d1 link del at.51
check "a deleted interface is made anew, with its addresses" wait_until 5 eval '[[ -n $(ip -n d1 -o addr show dev at.51 to 10.77.2.201 2>/dev/null) ]]'
# --- the settings beneath are put back by an orderly stop (after a crash nobody knows what they were)
stop d1 daemon
same "the settings beneath are as before" "$settings_before" "$(settings)"
daemon d1 "$LAB_DIR/d1.conf"
wait_until 8 up || not_ok "master once more"
# --- a crash leaves the interfaces; the next process adopts them
index=$(ip -n d1 -o link show at1.52 | cut -d: -f1)
crash d1 daemon
check "a crash leaves the interface" ip -n d1 link show at1.52
mark=$(log_mark d1)
daemon d1 "$LAB_DIR/d1.conf"
check "it is master again" wait_until 8 eval 'up && logged d1 "\(B\) Entering MASTER" "$mark"'
check "on the same interface" eval '[[ $(ip -n d1 -o link show at1.52 | cut -d: -f1) == "$index" ]]'
# --- a reload takes the words away
sed -i -e '/use_vmac_addr/d' -e 's/ dev eth1 use_vmac$/ dev eth1/' "$LAB_DIR/d1.conf"
kill -HUP "$(bg_pid d1 daemon)"
check "a reload without the words: the addresses are beneath" wait_until 5 eval '[[ -n $(ip -n d1 -o addr show dev eth1 to 10.77.2.210) && -n $(ip -n d1 -o addr show dev eth1 to 10.77.2.200) ]]'
check "and the interfaces are gone" wait_until 5 eval '! ip -n d1 link show at.51 && ! ip -n d1 link show at1.52 && ip -n d1 link show vrrp.51'
stop d1 daemon
same "nothing is left" "$before" "$(state)"
lab_done
