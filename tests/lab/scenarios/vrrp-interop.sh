#!/bin/bash
# vrrp-interop: three nodes, one of them the real keepalived, twelve instances
# at once: versions 2 and 3 (IPv6: 3), multicast and unicast, each with the real
# one as first, second and last by priority.  One master each, in time, always.
# With LAB_AUTH=AH: version 2 behind authentication headers.
#   [LAB_FAMILY=6] [LAB_AUTH=AH] lab-netns run --directors 3 -- scenarios/vrrp-interop.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
PEER_NODE=d1            # d2, d3: the program under test
# VRID -> priorities of d1 d2 d3
order=([0]="150 120 100" [1]="120 150 100" [2]="100 120 150")
names=(first second last) kinds=("2 multicast" "2 unicast" "3 multicast" "3 unicast")
family=${LAB_FAMILY:-4} node=10.77.1.1 filter='ip proto 112 or arp'
if [[ $family == 6 ]]; then kinds=("3 multicast" "3 unicast") node=fd77:1::1 filter='ip6 proto 112 or icmp6'; fi
auth=${LAB_AUTH:-PASS}
if [[ $auth == AH ]]; then kinds=("2 multicast" "2 unicast") filter='ip proto 51 or arp'; fi
vrids=() declare -A vip what
for k in "${!kinds[@]}"; do for o in 0 1 2; do
    id=$(( 51 + 3 * k + o )); vrids+=("$id"); vip[$id]=10.77.1.$(( 149 + id ))
    if [[ $family == 6 ]]; then vip[$id]=fd77:1::1:$id; fi
    what[$id]="VRRPv${kinds[k]}, the real one ${names[o]}"
done; done

conf() { # NODE_NUMBER
    local id k o p n
    printf 'global_defs {\n    router_id d%s\n}\n' "$1"
    for id in "${vrids[@]}"; do
        k=$(( (id - 51) / 3 )) o=$(( (id - 51) % 3 ))
        read -ra p <<<"${order[o]}"
        cat <<C
vrrp_instance VI_$id {
    version ${kinds[k]% *}
    state BACKUP
    interface eth0
    virtual_router_id $id
    priority ${p[$1-1]}
    advert_int 1
C
        if [[ ${kinds[k]} == 2* ]]; then printf '    authentication {\n        auth_type %s\n        auth_pass 1111\n    }\n' "$auth"; fi
        if [[ ${kinds[k]} == *unicast ]]; then
            printf '    unicast_src_ip %s\n    unicast_peer {\n' "$node$1"
            for n in 1 2 3; do (( n == $1 )) || printf '        %s\n' "$node$n"; done
            printf '    }\n'
        fi
        if [[ $family == 6 ]]; then printf '    virtual_ipaddress {\n        fe80::1:%s\n        %s/64\n    }\n}\n' "$id" "${vip[$id]}"
        else printf '    virtual_ipaddress {\n        %s/24\n    }\n}\n' "${vip[$id]}"; fi
    done
}
start() { # NODE
    conf "${1#d}" >"$LAB_DIR/$1.conf"
    if [[ $1 == "$PEER_NODE" ]]; then PROGRAM=$LAB_PEER daemon "$1" "$LAB_DIR/$1.conf"; else daemon "$1" "$LAB_DIR/$1.conf"; fi
}
# holders: fills HOLDS[vrid] with the nodes that hold its address; one ip(8) per node
declare -A HOLDS=()
holders() {
    local n id text
    for id in "${vrids[@]}"; do HOLDS[$id]=; done
    for n in d1 d2 d3; do
        [[ ! -e $LAB_DIR/nodes/$n/off ]] || continue
        text=$(ip -n "$n" -o "-$family" addr show dev eth0)
        for id in "${vrids[@]}"; do
            if [[ $text == *" ${vip[$id]}/"* ]]; then HOLDS[$id]+="${HOLDS[$id]:+ }$n"; fi
        done
    done
}
# expected ALIVE...: WANT[vrid] = the node of highest priority among those
declare -A WANT=()
expected() {
    local id n p best
    for id in "${vrids[@]}"; do
        best=0 WANT[$id]=
        read -ra p <<<"${order[(id - 51) % 3]}"
        for n; do if (( p[${n#d}-1] > best )); then best=${p[${n#d}-1]} WANT[$id]=$n; fi; done
    done
}
settled() { local id; holders; for id in "${vrids[@]}"; do [[ ${HOLDS[$id]} == "${WANT[$id]}" ]] || return 1; done; }
# settle WHAT SECONDS ALIVE...
settle() {
    local name=$1 secs=$2 t id; shift 2; expected "$@"; t=$(now_us)
    if wait_until "$secs" settled; then ok "$name: ${#vrids[@]} addresses, each on its node ($(since_ms "$t") ms)"; return; fi
    for id in "${vrids[@]}"; do
        [[ ${HOLDS[$id]} == "${WANT[$id]}" ]] || not_ok "$name" "${what[$id]}: on '${HOLDS[$id]}', should be on ${WANT[$id]}"
    done
}
calm() { # WHAT: for two seconds, nothing moves
    if never 2 eval '! settled'; then ok "$1: nothing moves for two seconds"; else not_ok "$1: nothing moves" "$(for id in "${vrids[@]}"; do echo -n "$id:${HOLDS[$id]} "; done)"; fi
}
cap=$LAB_DIR/interop.pcap
capture sw br-lan "$cap" "$filter"
for n in d1 d2 d3; do start $n; done
settle "election" 8 d1 d2 d3
calm "election"
# --- V-133: d3 is a backup of these two, d1 their master, d2 the next; nothing is sent to them meanwhile
if [[ $family == 6 ]]; then
    port() { on "$1" cat /sys/class/net/eth0/address; }
    knows() { local id; for id in 51 54; do [[ $(ip -n d3 -6 neigh show "${vip[$id]}" dev eth0) == *" lladdr $(port "$1") "* ]] || return 1; done; }
    check "a backup has asked for the addresses" eval 'on d3 ping -qc1 -W2 ${vip[51]} && on d3 ping -qc1 -W2 ${vip[54]} && knows d1'
    stop d1 daemon; settle "d1 stops" 3 d2 d3
    check "the backup has heard where the addresses are now" wait_until 2 knows d2
    start d1; settle "d1 is back" 8 d1 d2 d3
fi
for n in d1 d2 d3; do
    read -ra rest <<<"$(tr ' ' '\n' <<<"d1 d2 d3" | grep -v $n | xargs)"
    who=$([[ $n == "$PEER_NODE" ]] && echo "the real one" || echo ours)
    power_off $n;       settle "$n ($who) loses power" 6 "${rest[@]}"
    power_on $n; start $n
                        settle "$n ($who) is back" 8 d1 d2 d3
    stop $n daemon;     settle "$n ($who) stops in order" 3 "${rest[@]}"
    start $n;           settle "$n ($who) is started" 8 d1 d2 d3
    fault port $n down; settle "$n ($who) loses its link" 6 "${rest[@]}"
    fault port $n up;   settle "$n ($who) has it again" 8 d1 d2 d3
done
calm "at the end"
for n in d1 d2 d3; do stop $n daemon; done
capture_end sw br-lan
check "every advert is sound (tshark)" vrrp-check "$cap"
check "never two masters for longer than a hand-over" vrrp-masters.py "$cap" 1
lab_done
