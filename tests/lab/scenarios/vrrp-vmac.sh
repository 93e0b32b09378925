#!/bin/bash
# vrrp-vmac: virtual MAC addresses.  Two routers, IPv4 and IPv6, d2 the real
# keepalived; the address keeps its MAC when it moves, the interfaces come and
# go with the daemon, a crashed one's are taken over, a deleted one is made anew.
# Behind them is another network, to which they route.
# (The real keepalived leaves arp_announce, so that its kernel asks for clients in the name of the
# virtual address, and it answers for addresses of IPv4 on its interface of IPv6.)
#   lab-netns run --layout routed --directors 2 --reals 1 -- scenarios/vrrp-vmac.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
V4=10.77.1.200 V6=fd77:1::1:200
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
cap=$LAB_DIR/vmac.pcap
# ("ip6 proto 0": reports of IPv6 stand behind a hop-by-hop header)
capture sw br-front "$cap" 'ip proto 112 or ip6 proto 112 or arp or icmp or icmp6 or igmp or ip6 proto 0'
beyond=$LAB_DIR/beyond.pcap
capture sw br-back "$beyond" 'ip proto 112 or ip6 proto 112 or icmp or icmp6'
# the virtual addresses are the client's way to the server; answers come back through "gw"
S4=10.77.2.21 S6=fd77:2::21
on client1 ip route add $S4 via $V4; on client1 ip route add $S6 via $V6
beneath() { on d1 sysctl -n net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_filter net.ipv4.conf.eth0.arp_announce | xargs; }
before=$(beneath)
for i in 1 2; do conf $i >"$LAB_DIR/d$i.conf"; done
daemon d1 "$LAB_DIR/d1.conf"; PROGRAM=$LAB_PEER daemon d2 "$LAB_DIR/d2.conf"
both() { owner_is $V4 "$1" && owner_is $V6 "$1"; }
settle() { # WHAT NODE SECONDS
    local t; t=$(now_us)
    if wait_until "$3" both "$2"; then ok "$1: both addresses on $2 after $(since_ms "$t") ms"; else not_ok "$1" "on '$(owners $V4)' and '$(owners $V6)', not on $2"; fi
}
check_client() { # WHAT
    on client1 ip neigh flush dev eth0
    check "$1: the client reaches the IPv4 address" on client1 ping -qc1 -W2 $V4
    check "$1: and the IPv6 address" on client1 ping -qc1 -W2 $V6
}
settle "election" d1 8
check_client "on ours"
# --- V-144, V-142, V-194, V-195
through() { on client1 ping -qc1 -W1 $S4 && on client1 ping -qc1 -W1 $S6; }
check "what comes to the virtual MAC is routed" through
check "the master is in the group of its IPv6 address" eval '[[ $(ip -n d1 -6 maddr show dev vrrp6.52) == *ff02::1:ff01:200* ]]'
check "the virtual MAC is in no address" eval '[[ $(ip -n d1 -6 -o addr | grep -ci 5eff:fe) == 0 ]]'
on client1 ip neigh flush dev eth0
check "the real addresses are there to manage it" eval 'on client1 ping -qc1 -W2 10.77.1.11 && on client1 ping -qc1 -W2 fd77:1::11'
check "the interfaces are macvlans in private mode" eval '[[ $(ip -n d1 -d link show vrrp.51) == *"macvlan mode private"* && $(ip -n d1 -d link show vrrp6.52) == *"macvlan mode private"* ]]'
check "the address is on the virtual interface" eval '[[ -n $(ip -n d1 -o addr show dev vrrp.51 to $V4) ]]'
check "settings as keepalived has them, and arp_announce" eval '[[ $(on d1 sysctl -n net.ipv4.conf.vrrp/51.arp_ignore net.ipv4.conf.vrrp/51.accept_local net.ipv4.conf.vrrp/51.rp_filter net.ipv4.conf.vrrp/51.promote_secondaries net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_filter net.ipv4.conf.eth0.arp_announce net.ipv6.conf.vrrp/51.disable_ipv6 | xargs) == "1 1 0 1 1 1 2 1" ]]'
stop d1 daemon
settle "ours stops" d2 3
check_client "on the real one"
check "no virtual interface of ours is left" eval '! ip -n d1 link show vrrp.51 && ! ip -n d1 link show vrrp6.52'
check "the settings beneath are as before" eval '[[ $(beneath) == "$before" ]]'
daemon d1 "$LAB_DIR/d1.conf"
settle "ours is back" d1 8
check_client "ours again"
# --- somebody deletes the interface
ip -n d1 link del vrrp.51
check "a deleted interface is made anew" wait_until 5 ip -n d1 link show vrrp.51
settle "and the address comes back" d1 10
# --- a crash leaves the interfaces; the next process adopts them
index=$(ip -n d1 -o link show vrrp6.52 | cut -d: -f1)
crash d1 daemon
settle_d2() { has_addr d2 $V4 && has_addr d2 $V6; }
check "all killed: the real one takes over" wait_until 8 settle_d2
daemon d1 "$LAB_DIR/d1.conf"
settle "started on what the dead one left" d1 8
check "the interface is the same one" eval '[[ $(ip -n d1 -o link show vrrp6.52 | cut -d: -f1) == "$index" ]]'
check_client "after the crash"
stop d1 daemon; stop d2 daemon
check "no firewall is left" eval '! on d1 nft list table ip keepalived && ! on d1 nft list table ip6 keepalived'
check "nothing is left" eval '! ip -n d1 link show vrrp.51 && ! ip -n d1 link show vrrp6.52 && both ""'
capture_end sw br-front; capture_end sw br-back
check "every advert is sound (tshark)" vrrp-check "$cap"
macs=$(tshark -r "$cap" -n -Y 'arp.opcode==2 && arp.src.proto_ipv4==10.77.1.200' -T fields -e arp.src.hw_mac 2>/dev/null | sort -u | xargs)
# (the real keepalived answers on its IPv6 interface as well)
check "whoever asks for the address is told a virtual MAC" eval '[[ $macs == 00:00:5e:00:01:33* && $macs != *02:77:* ]]'
macs=$(tshark -r "$cap" -n -Y 'vrrp' -T fields -e eth.src 2>/dev/null | sort -u | xargs)
check "adverts come from the virtual MACs only" test "$macs" == "00:00:5e:00:01:33 00:00:5e:00:02:34"
# --- V-214: membership reports of the virtual interfaces leave by the one beneath
reports() { tshark -r "$cap" -n -Y "($1) and $2(eth.src[0:4] == 00:00:5e:00)" -T fields -e frame.time_relative -e eth.src -e _ws.col.Info 2>/dev/null; }
for kind in 'igmp' 'icmpv6.type == 143 or icmpv6.type == 131 or icmpv6.type == 132'; do
    check "reports are seen (${kind%% *})" eval '[[ -n $(reports "$kind" not) ]]'
    seen=$(reports "$kind" "")
    check "none of them comes from a virtual MAC" eval '[[ -z $seen ]] || { echo "$seen"; false; }'
done
# rows FILE FILTER, none FILE FILTER, some FILE FILTER: the packets of a capture
rows() { tshark -r "$1" -n -Y "$2" -T fields -e frame.time_relative -e eth.src -e eth.dst -e _ws.col.Info 2>/dev/null; }
none() { local seen; seen=$(rows "$@"); [[ -z $seen ]] || { echo "$seen"; false; }; }
some() { [[ -n $(rows "$@") ]]; }
virtual4=00:00:5e:00:01:33 virtual6=00:00:5e:00:02:34
# --- V-141
solicited="icmpv6.type == 136 and icmpv6.nd.na.flag.s == 1 and icmpv6.nd.na.target_address == $V6"
check "solicitations are answered" some "$cap" "$solicited"
check "always as a router, with the virtual MAC" none "$cap" "$solicited and not (icmpv6.nd.na.flag.r == 1 and eth.src == $virtual6 and icmpv6.opt.linkaddr == $virtual6)"
# --- V-144: what went through came to the virtual MACs
check "what was routed came to the virtual MACs" eval 'some "$cap" "icmp.type == 8 and ip.dst == $S4 and eth.dst == $virtual4" && some "$cap" "icmpv6.type == 128 and ipv6.dst == $S6 and eth.dst == $virtual6"'
check "and went on" eval 'some "$beyond" "icmp.type == 8 and ip.dst == $S4" && some "$beyond" "icmpv6.type == 128 and ipv6.dst == $S6"'
# --- V-006: both route, and both hear the adverts
check "no advert has come to the other network" none "$beyond" vrrp
# --- V-177 (the real one's kernel asks with its physical MAC, in the name of the virtual address)
check "the physical MAC never asks for a virtual address" none "$cap" "arp.src.proto_ipv4 == $V4 and eth.src == 02:77:01:00:00:0b"
# --- V-195
check "the real address answers with the real MAC only" eval 'some "$cap" "arp.opcode == 2 and arp.src.proto_ipv4 == 10.77.1.11" && none "$cap" "arp.opcode == 2 and arp.src.proto_ipv4 == 10.77.1.11 and not (arp.src.hw_mac == 02:77:01:00:00:0b and eth.src == 02:77:01:00:00:0b)"'
lab_done
