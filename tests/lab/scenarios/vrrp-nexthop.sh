#!/bin/bash
# vrrp-nexthop: what a host learns from the router that its next hop is: answers of
# proxy ARP (V-178), redirects (V-190), solicitations (V-192).  With a virtual MAC, IPv4
# and IPv6.  The same is asked of d1, the program under test, and then of d2, the real
# keepalived: it is the kernel that speaks, and both programs give it the same to speak with.
#   lab-netns run --layout routed --directors 2 --reals 1 -- scenarios/vrrp-nexthop.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
V4=10.77.1.200 V6=fd77:1::1:200 BEHIND=10.77.2.21 FAR=203.0.113.9 NEAR=10.77.1.77
MAC4=00:00:5e:00:01:33
conf() { # NUMBER
    cat <<C
global_defs {
    router_id d$1
}
vrrp_instance V4 {
    state BACKUP
    interface eth0
    use_vmac
    virtual_router_id 51
    priority $(( 200 - 50 * $1 ))
    advert_int 1
    virtual_ipaddress {
        $V4/24
    }
}
vrrp_instance V6 {
    state BACKUP
    interface eth0
    use_vmac vrrp6.52
    version 3
    virtual_router_id 52
    priority $(( 200 - 50 * $1 ))
    advert_int 1
    virtual_ipaddress {
        fe80::1:200
        $V6/64
    }
}
C
}
for i in 1 2; do conf $i >"$LAB_DIR/d$i.conf"; done
both() { owner_is $V4 "$1" && owner_is $V6 "$1"; }
rows() { tshark -r "$1" -n -Y "$2" -T fields -e frame.time_relative -e eth.src -e eth.dst -e _ws.col.Info 2>/dev/null; }
none() { local seen; seen=$(rows "$@"); [[ -z $seen ]] || { echo "$seen"; false; }; }
some() { [[ -n $(rows "$@") ]]; }
real() { ip -n "$1" -o link show eth0 | grep -o 'link/ether [^ ]*' | cut -d' ' -f2; }
ask() { on client1 ping -qc2 -i0.3 -W1 "$1" >/dev/null || :; }

# facts NODE WHOSE: what comes from the node while it is master
facts() {
    local node=$1 who=$2 cap=$LAB_DIR/$1.pcap mac own
    mac=$(real "$node"); own=10.77.1.1${node#d}
    capture sw br-front "$cap" 'arp or icmp or icmp6'
    # --- proxy ARP, where the operator wants it on the virtual interface
    on "$node" sysctl -qw net.ipv4.conf.vrrp/51.proxy_arp=1 net.ipv4.neigh.vrrp/51.proxy_delay=0
    on client1 ip route replace $BEHIND dev eth0; on client1 ip neigh flush dev eth0
    wait_until 5 on client1 ping -qc1 -W1 $BEHIND || echo "# $who: $BEHIND does not answer"
    nap 0.3
    on "$node" sysctl -qw net.ipv4.conf.vrrp/51.proxy_arp=0
    # --- a redirect: the way on is on the same link, and is left as it came
    on "$node" ip route replace $FAR/32 via $NEAR dev eth0
    on client1 ip route replace $FAR via $V4; on client1 ip neigh flush dev eth0
    ask $FAR; nap 0.5
    on "$node" ip route replace $FAR/32 via $NEAR dev vrrp.51
    on "$node" sysctl -qw net.ipv4.conf.all.send_redirects=1 net.ipv4.conf.vrrp/51.send_redirects=1 net.ipv4.icmp_errors_use_inbound_ifaddr=0
    ask $FAR; nap 0.5
    on client1 ip route get $FAR >"$LAB_DIR/$node.first" || :
    on client1 ip route flush cache
    on "$node" sysctl -qw net.ipv4.icmp_errors_use_inbound_ifaddr=1
    nap 1; ask $FAR; nap 0.5
    on client1 ip route get $FAR >"$LAB_DIR/$node.second" || :
    on "$node" sysctl -qw net.ipv4.icmp_errors_use_inbound_ifaddr=0
    on "$node" ip route del $FAR/32; on client1 ip route del $FAR; on client1 ip route flush cache
    # --- a solicitation: for a host that nobody is, from the router itself and for somebody behind it
    on "$node" ping -qc1 -W1 fd77:1::77 >/dev/null || :
    on "$node" ping -qc1 -W1 -I $V6 fd77:1::78 >/dev/null || :
    on rs1 ip route replace fd77:1::79 via fd77:2::1${node#d}
    on rs1 ping -qc1 -W1 fd77:1::79 >/dev/null || :
    capture_end sw br-front
    for filter in "arp.opcode == 2 and arp.src.proto_ipv4 == $BEHIND" "icmp.type == 5" "icmpv6.type == 135 and (icmpv6.nd.ns.target_address == fd77:1::77 or icmpv6.nd.ns.target_address == fd77:1::78 or icmpv6.nd.ns.target_address == fd77:1::79)"; do
        tshark -r "$cap" -n -Y "$filter" -T fields -e eth.src -e ip.src -e ipv6.src -e icmpv6.opt.linkaddr -e _ws.col.Info 2>/dev/null | sort | uniq -c | sed "s/^/# $who: /"
    done
    local proxy="arp.opcode == 2 and arp.src.proto_ipv4 == $BEHIND" target way="icmp.type == 5 and icmp.redir_gw == $NEAR"
    if [[ $who == ours ]]; then
        # --- V-178
        check "$who: proxy ARP answers" some "$cap" "$proxy"
        check "$who: with the virtual MAC, and no other" none "$cap" "$proxy and not (arp.src.hw_mac == $MAC4 and eth.src == $MAC4)"
    fi
    # --- V-190: the source is the kernel's choice
    check "$who: redirects come from the router's own address" some "$cap" "$way and ip.src == $own"
    check "$who: which the host passes over" grep -q "via $V4 " "$LAB_DIR/$node.first"
    check "$who: or from the virtual one, where the kernel is set so" some "$cap" "$way and ip.src == $V4"
    check "$who: and from no other" none "$cap" "$way and not (ip.src == $own or ip.src == $V4)"
    # --- V-192: by the routing table, solicitations leave by the interface beneath
    for target in fd77:1::77 fd77:1::78 fd77:1::79; do
        target="icmpv6.type == 135 and icmpv6.nd.ns.target_address == $target"
        check "$who: solicits (${target##* })" some "$cap" "$target"
        check "$who: with the physical MAC, without and within" none "$cap" "$target and not (eth.src == $mac and icmpv6.opt.linkaddr == $mac)"
    done
}
daemon d1 "$LAB_DIR/d1.conf"
check "the program under test is master" wait_until 8 both d1
facts d1 ours
stop d1 daemon
PROGRAM=$LAB_PEER daemon d2 "$LAB_DIR/d2.conf"
check "the real one is master" wait_until 8 both d2
facts d2 real
stop d2 daemon
lab_done
