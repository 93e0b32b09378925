#!/bin/bash
# vrrp-matrix: ours (d1) and another implementation (d2), every kind of instance
# that both can do side by side, each twice: ours first by priority, the other
# first.  Each dies, comes back, stops in order: one master each, in time.
#   [LAB_OTHER=frr] lab-netns run --directors 2 -- scenarios/vrrp-matrix.sh
# keepalived: IPv4 in versions 2 and 3 and IPv6 in version 3, by multicast and
#   unicast, with and without virtual MACs on both sides.
# FRR's vrrpd: the same without unicast, which it does not have; it always has
#   virtual MACs, ours has them or not.
# Version 2 over IPv6 is no cell: RFC 3768 is for IPv4, keepalived goes over to
#   version 3 by itself, vrrpd refuses it.
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
other=${LAB_OTHER:-keepalived}
FRR=/usr/lib/frr
kinds=() # VERSION FAMILY TRANSPORT VMAC
for v in "2 4" "3 4" "3 6"; do for t in multicast unicast; do for m in plain vmac; do
    if [[ $other == frr && $t == unicast ]]; then continue; fi
    kinds+=("$v $t $m")
done; done; done
vrids=() declare -A vip what first kind
for k in "${!kinds[@]}"; do for o in 1 2; do
    id=$(( 11 + 2 * k + o - 1 )); vrids+=("$id"); kind[$id]=${kinds[k]} first[$id]=d$o
    read -r v f t m <<<"${kinds[k]}"
    vip[$id]=10.77.1.$(( 150 + id )); if [[ $f == 6 ]]; then vip[$id]=fd77:1::1:$id; fi
    what[$id]="VRRPv$v IPv$f $t $m, $([[ $o == 1 ]] && echo ours || echo "the other") first"
done; done
priority() { [[ ${first[$2]} == "$1" ]] && echo 150 || echo 100; } # NODE VRID

conf() { # NODE: in keepalived's dialect
    local n=${1#d} id v f t m node
    printf 'global_defs {\n    router_id %s\n}\n' "$1"
    for id in "${vrids[@]}"; do
        read -r v f t m <<<"${kind[$id]}"
        printf 'vrrp_instance VI_%d {\n    version %s\n    state BACKUP\n    interface eth0\n    virtual_router_id %d\n    priority %d\n    advert_int 1\n' \
            "$id" "$v" "$id" "$(priority "$1" "$id")"
        if [[ $m == vmac ]]; then printf '    use_vmac\n'; fi
        node=10.77.1.1; if [[ $f == 6 ]]; then node=fd77:1::1; fi
        if [[ $t == unicast ]]; then printf '    unicast_src_ip %s\n    unicast_peer {\n        %s\n    }\n' "$node$n" "$node$(( 3 - n ))"; fi
        printf '    virtual_ipaddress {\n'
        if [[ $f == 6 ]]; then printf '        fe80::1:%s\n        %s/64\n' "$id" "${vip[$id]}"; else printf '        %s/24\n' "${vip[$id]}"; fi
        printf '    }\n}\n'
    done
}
frr_conf() {
    local id v f t m
    printf 'log stdout\ninterface eth0\n'
    for id in "${vrids[@]}"; do
        read -r v f t m <<<"${kind[$id]}"
        printf ' vrrp %d version %d\n vrrp %d priority %d\n vrrp %d advertisement-interval 1000\n' "$id" "$v" "$id" "$(priority d2 "$id")" "$id"
        if [[ $f == 6 ]]; then printf ' vrrp %d ipv6 fe80::1:%s\n vrrp %d ipv6 %s\n' "$id" "$id" "$id" "${vip[$id]}"; else printf ' vrrp %d ip %s\n' "$id" "${vip[$id]}"; fi
    done
}
# FRR's interfaces are there before it, with the addresses; it takes them up and down.  Those
# that it took down when it stopped it does not take up again (8.4): new ones at each start.
frr_links() {
    local id f mac
    for id in "${vrids[@]}"; do ip -n d2 link del "vrrp$id" 2>/dev/null || :; done
    for id in "${vrids[@]}"; do
        read -r _ f _ <<<"${kind[$id]}"
        mac=$(printf '00:00:5e:00:0%d:%02x' $(( f == 6 ? 2 : 1 )) "$id")
        echo "link add vrrp$id link eth0 type macvlan mode bridge"
        echo "link set vrrp$id address $mac addrgenmode random"
        if [[ $f == 6 ]]; then echo "addr add fe80::1:$id/128 dev vrrp$id nodad"; echo "addr add ${vip[$id]}/64 dev vrrp$id nodad"; else echo "addr add ${vip[$id]}/24 dev vrrp$id"; fi
        echo "link set vrrp$id up"
    done | ip -n d2 -batch -
}
start() { # NODE
    conf "$1" >"$LAB_DIR/$1.conf"
    if [[ $1 == d1 ]]; then daemon d1 "$LAB_DIR/d1.conf"; return; fi
    if [[ $other == keepalived ]]; then PROGRAM=$LAB_PEER daemon d2 "$LAB_DIR/d2.conf"; return; fi
    frr_conf >"$LAB_DIR/frr.conf"
    on d2 rm -rf /run/frr; on d2 install -d -o frr -g frr /run/frr
    frr_links
    bg d2 zebra $FRR/zebra -f /dev/null -i /run/frr/zebra.pid -z /run/frr/zserv.api --vty_socket /run/frr
    wait_until 10 on d2 test -S /run/frr/zserv.api || die "no zebra"
    bg d2 daemon $FRR/vrrpd -f "$LAB_DIR/frr.conf" -i /run/frr/vrrpd.pid -z /run/frr/zserv.api --vty_socket /run/frr
}
halt() { stop "$1" daemon; if [[ $1$other == d2frr ]]; then stop d2 zebra; fi; } # NODE: in order
# holders: HOLDS[vrid] = the nodes that hold its address and use it
declare -A HOLDS=() WANT=()
holders() {
    local n id text
    for id in "${vrids[@]}"; do HOLDS[$id]=; done
    for n in d1 d2; do
        [[ ! -e $LAB_DIR/nodes/$n/off ]] || continue
        if [[ $n$other == d2frr ]]; then
            bg_alive d2 daemon || continue
            text=$(ip -n d2 -o link show | sed -n 's/^[0-9]*: \(vrrp[0-9]*\)@.*LOWER_UP.*/ up \1 /p')
        else text=$(ip -n "$n" -o addr show); fi
        for id in "${vrids[@]}"; do
            if [[ $n$other == d2frr ]]; then if [[ $text == *" up vrrp$id "* ]]; then HOLDS[$id]+="${HOLDS[$id]:+ }$n"; fi
            elif [[ $text == *" ${vip[$id]}/"* ]]; then HOLDS[$id]+="${HOLDS[$id]:+ }$n"; fi
        done
    done
}
settled() { local id; holders; for id in "${vrids[@]}"; do [[ ${HOLDS[$id]} == "${WANT[$id]}" ]] || return 1; done; }
settle() { # WHAT SECONDS [THE ONLY NODE]
    local id t; t=$(now_us)
    for id in "${vrids[@]}"; do WANT[$id]=${3:-${first[$id]}}; done
    if wait_until "$2" settled; then ok "$1: ${#vrids[@]} addresses, each on its node ($(since_ms "$t") ms)"; return; fi
    for id in "${vrids[@]}"; do
        [[ ${HOLDS[$id]} == "${WANT[$id]}" ]] || not_ok "$1" "${what[$id]} (VRID $id): on '${HOLDS[$id]}', should be on ${WANT[$id]}"
    done
}
cap=$LAB_DIR/matrix.pcap
capture sw br-lan "$cap" 'ip proto 112 or ip6 proto 112 or arp or icmp6'
start d2; start d1
settle "election" 12
# vrrpd's first advert over IPv6 has no address to come from when its interface has just come up
# ("Failed to find address to bind"): until the second one, ours is master as well.
if [[ $other == frr ]]; then nap 1.5; settle "after vrrpd's first adverts" 6; fi
if never 2 eval '! settled'; then ok "nothing moves for two seconds"; else not_ok "something moves" "$(declare -p HOLDS)"; fi
for n in d1 d2; do
    rest=d$(( 3 - ${n#d} )) who=$([[ $n == d1 ]] && echo ours || echo "$other")
    power_off $n;           settle "$who dies" 6 $rest
    power_on $n; start $n;  settle "$who is back" 12
    halt $n;                settle "$who stops in order" 6 $rest
    start $n;               settle "$who is started" 12
done
halt d1; halt d2
capture_end sw br-lan
# Of each cell: adverts of both priorities, of its version, from the MACs that it should have.
declare -A seen=()
while read -r id v p mac; do
    if [[ $mac == 00:00:5e:00:0[12]:$(printf %02x "$id") ]]; then mac=virtual; else mac=own; fi
    seen[$id,$p]+=" v$v,$mac"
done < <(tshark -r "$cap" -n -Y 'vrrp && vrrp.prio > 0 && !icmp && !icmpv6' -T fields -e vrrp.virt_rtr_id -e vrrp.version -e vrrp.prio -e eth.src 2>/dev/null | sort -u)
for id in "${vrids[@]}"; do
    read -r v f t m <<<"${kind[$id]}"
    mine=own; if [[ "$t $m" == "multicast vmac" ]]; then mine=virtual; fi    # unicast has its own, keepalived's too
    theirs=$mine; if [[ $other == frr ]]; then theirs=virtual; fi
    got=${seen[$id,$(priority d1 "$id")]:-} their_got=${seen[$id,$(priority d2 "$id")]:-}
    if [[ $got == " v$v,$mine" && $their_got == " v$v,$theirs" ]]; then ok "cell: ${what[$id]}"; else not_ok "cell: ${what[$id]}" "adverts of ours:$got, of the other:$their_got"; fi
done
# From the last advert of one to the first of the other, after whatever happened: never above
# 3 intervals and the skew of priority 100.  (vrrpd's first one over IPv6 is lost, see above.)
slow=$(vrrp-masters.py "$cap" 1 | awk -v frr="$([[ $other == frr ]] && echo 1)" 'NF == 6 {
    if ($1 == vrid && $2 - to > 3.609 + 0.15 && !(frr && $1 >= 19 && $4 != "fe80::77:1ff:fe00:b" && $2 - to < 4.8)) print
    vrid = $1; to = $3 }')
check "each takeover inside the limit" eval '[[ -z $slow ]] || { echo "$slow"; false; }'
check "every advert is sound (tshark)" vrrp-check "$cap"
check "never two masters for longer than a hand-over" vrrp-masters.py "$cap" 1
lab_done
