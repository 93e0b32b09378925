# lvs.sh - what the scenarios with IPVS share.  Source it after lab.sh.

# reals_http [PORT...]: an HTTP server on every real server, answering with its name
reals_http() {
    local n
    for n in $REALS; do bg "$n" http lab-http serve "$n" "$@"; done
    for n in $REALS; do wait_until 10 grep -q ready "$(bg_log "$n" http)" || die "no http on $n"; done
}
# reals_direct ADDRESS: they take packets for it and do not answer ARP (direct routing)
reals_direct() {
    local n
    for n in $REALS; do
        on "$n" sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
        ip -n "$n" addr add "$1/32" dev lo
    done
}
# Every service is asked from a source address of its own: the kernel keeps
# connection entries for minutes, and a client port used again would follow
# the entry of an earlier test.
SOURCE=120
client_addresses() {
    local i
    { for ((i = 110; i <= 190; i++)); do echo "addr add 10.77.1.$i/24 dev eth0"; echo "addr add fd77:1::$i/64 dev eth0 nodad"; done; } | ip -n client1 -batch -
}
# get ARGS...: lab-http get from the next source address; its output in GOT
get() {
    local source=10.77.1.$SOURCE
    if [[ "$*" == *:*:* ]]; then source=fd77:1::$SOURCE; fi
    SOURCE=$((SOURCE + 1))
    GOT=$(on client1 lab-http get -b "$source" "$@") || :
}
summary() { grep -v maxgap <<<"$GOT" | sort -k2 | xargs; }
# spread WHAT "10 rs1 10 rs2" ARGS...: exactly that, and no failure
spread() {
    local what=$1 want="fail 0 $2"; shift 2
    get "$@"
    if [[ $(summary) == "$want" ]]; then ok "$what: $want"; else not_ok "$what" "wanted $want, got $(summary)"; fi
}
# lists TEXT: a piece of a line of d1's table
lists() { [[ $(table d1) == *"$1"* ]]; }
# timed WHAT SECONDS CMD...
timed() {
    local what=$1 secs=$2 t; shift 2; t=$(now_us)
    if wait_until "$secs" "$@"; then ok "$what ($(since_ms "$t") ms)"; else not_ok "$what" "not within $secs s: $*"; fi
}

# stream_on DIRECTOR SERVER_ADDRESS VIP SECONDS: an open connection of client1,
# on that very server (round robin: it comes to its turn)
stream_on() {
    local try director=$1 server=$2
    for try in 1 2 3 4 5 6; do
        bg client1 stream lab-http stream -t 10000 "$3" 80 "$4"
        if wait_until 2 eval 'on $director ipvsadm -Lcn | grep "ESTABLISHED.* $server:80" >/dev/null'; then return; fi
        stop client1 stream KILL
    done
    die "no connection on $2 in $try attempts"
}

# netlink_watch NODE: everything that is said to the kernel by netlink in that
# node, from now on; netlink_mark: a point in it; netlink_ops NODE MARK: what
# changed the kernel since then, one request a line (tools/netlink-ops.py).
netlink_watch() {
    ip -n "$1" link add nlmon0 type nlmon
    ip -n "$1" link set nlmon0 up
    IPVS_FAMILY=$(on "$1" genl ctrl get name IPVS | grep -o 'ID: *0x[0-9a-f]*' | head -1)
    IPVS_FAMILY=$(( ${IPVS_FAMILY#ID:} ))
    capture "$1" nlmon0 "$LAB_DIR/$1.netlink.pcap"
}
netlink_ops() { nap 0.5; /usr/bin/python3 "$LAB_HOME/tools/netlink-ops.py" "$LAB_DIR/$1.netlink.pcap" "$IPVS_FAMILY" "$2"; }
netlink_mark() { printf '%s' "$EPOCHREALTIME"; }
