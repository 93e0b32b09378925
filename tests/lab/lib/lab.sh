# lab.sh - the lab's library.  Source it from a scenario that runs inside
# `lab-netns run -- SCENARIO`.  It needs bash, iproute2, util-linux, nftables;
# the same file serves on the host kernel and in user-mode Linux.
#
# Vocabulary
#   lan    an Ethernet segment: bridge br-LAN in the namespace "sw"
#   node   a "host": own network, mount and UTS namespace, own /run, own
#          TMPDIR, hostname = node name.  "sw" (the switch) is a node too.
#   port   the switch end of a node's link, named NODE.IF (d1.eth0)
#
# Everything lives below $LAB_DIR:
#   nodes/NODE/pid        pid (in the lab's pid namespace) that holds the node
#   nodes/NODE/tmp        the node's TMPDIR
#   nodes/NODE/TAG.{pid,log}   background commands started with `bg`
#   links                 "NODE IF LAN" per line
#   vars                  shell variables about the topology (DIRECTORS=...)

LAB_HOME=${LAB_HOME:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
: "${LAB_DIR:?lab.sh: LAB_DIR is not set; run me through lab-netns}"
# shellcheck disable=SC1091
[[ ! -e $LAB_DIR/vars ]] || . "$LAB_DIR/vars"

# ---------------------------------------------------------------- messages
LAB_T0=${EPOCHREALTIME}
lab_clock() { local n=${EPOCHREALTIME}; printf '%d.%03d' $(( (${n/./} - ${LAB_T0/./}) / 1000000 )) $(( (${n/./} - ${LAB_T0/./}) / 1000 % 1000 )); }
say()  { printf '[%8s] %s\n' "$(lab_clock)" "$*" >&2; }
die()  { printf '[%8s] FATAL %s\n' "$(lab_clock)" "$*" >&2; exit 1; }

# ok NAME / not_ok NAME [WHY]: one TAP-like line each on stdout;
# check NAME CMD...: ok when CMD succeeds (it runs in a subshell; its output is shown when it fails).  `lab_done` gives the exit status.
LAB_PASS=0 LAB_FAIL=0
ok()     { LAB_PASS=$((LAB_PASS+1)); printf 'ok - %s (t=%ss)\n' "$1" "$(lab_clock)"; }
not_ok() { lab_dump "$1"; LAB_FAIL=$((LAB_FAIL+1)); printf 'not ok - %s (t=%ss)%s\n' "$1" "$(lab_clock)" "${2:+: $2}"; }
# lab_dump WHAT: what every process of the lab was doing, for the post mortem
# (tests/lab/run keeps it as "dump" among the artefacts)
lab_dump() {
    local n
    {
        printf '=== %s (t=%ss)\n' "$1" "$(lab_clock)"
        ps -eLo pid,ppid,sid,stat,wchan:28,args
        for n in ${DIRECTORS:-}; do printf -- '--- %s\n' "$n"; ip -n "$n" -o addr; ip -n "$n" route; done
        ipvs_dump
    } >>"$LAB_DIR/dump" 2>&1 || :
}
check() {
    local name=$1 out; shift
    if out=$("$@" 2>&1); then ok "$name"; else
        if [[ -n $out ]]; then tail -n 30 <<<"$out" | sed 's/^/#   /'; fi
        not_ok "$name" "failed: $*"
    fi
}
lab_done() { printf '# %d passed, %d failed, %ss\n' "$LAB_PASS" "$LAB_FAIL" "$(lab_clock)"; (( LAB_FAIL == 0 && LAB_PASS > 0 )); }

# now_us: a clock in microseconds; since T0: milliseconds since then
now_us()   { printf '%s' "${EPOCHREALTIME/./}"; }
since_ms() { local n=${EPOCHREALTIME/./}; printf '%d' $(( (n - $1) / 1000 )); }

# wait_until SECONDS CMD...: poll (every 50 ms) until CMD succeeds
wait_until() {
    local until=$(( $(now_us) + ${1%.*} * 1000000 )); shift
    while ! "$@" >/dev/null 2>&1; do
        (( $(now_us) < until )) || return 1
        nap 0.05
    done
}
# never SECONDS CMD...: CMD must stay false for that long
never() { ! wait_until "$@"; }
# nap SECONDS: a sleep that forks nothing (fork+exec costs 25 ms in UML)
exec {_LAB_NAP}<> <(:)
nap() { read -rt "$1" -u "$_LAB_NAP" || :; }

# ------------------------------------------------------------------- nodes
node_pid() { local p; read -r p <"$LAB_DIR/nodes/$1/pid" && printf '%s' "$p"; }

# on NODE CMD...: run in the node, foreground
on() {
    local n=$1 p; shift
    read -r p <"$LAB_DIR/nodes/$n/pid"
    TMPDIR="$LAB_DIR/nodes/$n/tmp" nsenter -t "$p" -n -m -u -- "$@"
}

# bg NODE TAG CMD...: run in the node, background, output to a log.
# The pid written is the command's own (nsenter execs), so `stop` ends it.
bg() {
    local n=$1 tag=$2 p; shift 2
    read -r p <"$LAB_DIR/nodes/$n/pid"
    : >>"$LAB_DIR/nodes/$n/$tag.log"    # there before anybody looks into it
    TMPDIR="$LAB_DIR/nodes/$n/tmp" setsid nsenter -t "$p" -n -m -u -- "$@" \
        >>"$LAB_DIR/nodes/$n/$tag.log" 2>&1 </dev/null &
    printf '%s\n' $! >"$LAB_DIR/nodes/$n/$tag.pid"
    disown $!       # bash still reaps it, but does not report its death
}
bg_pid() { local p; read -r p <"$LAB_DIR/nodes/$1/$2.pid" && printf '%s' "$p"; }
bg_alive() { kill -0 "$(bg_pid "$1" "$2")" 2>/dev/null; }
bg_log() { printf '%s' "$LAB_DIR/nodes/$1/$2.log"; }

# tree PID: it and its descendants, parents first.  Forks nothing.
tree() {
    local queue=("$1") p kids out=
    while (( ${#queue[@]} )); do
        p=${queue[0]}; queue=("${queue[@]:1}"); out+="${out:+ }$p"
        kids=; { read -r kids <"/proc/$p/task/$p/children"; } 2>/dev/null || :
        # shellcheck disable=SC2206
        queue+=($kids)
    done
    TREE=$out
}
# gone PID...: none of them lives (a zombie does not)
gone() {
    local p s
    for p; do
        s=; { read -r s <"/proc/$p/stat"; } 2>/dev/null || continue
        s=${s##*) }; [[ $s == [ZX]* ]] || return 1
    done
}

# stop NODE TAG [SIGNAL [SECONDS]]: signal it; wait; then KILL what is left.
stop() {
    local p sig=${3:-TERM} secs=${4:-8} TREE
    p=$(bg_pid "$1" "$2") || return 0
    tree "$p"
    kill -s "$sig" "$p" 2>/dev/null || :
    # shellcheck disable=SC2086
    if ! wait_until "$secs" gone $TREE; then
        say "stop $1 $2: not gone after $secs s, killed"; kill -s KILL $TREE 2>/dev/null || :
    fi
    rm -f "$LAB_DIR/nodes/$1/$2.pid"
}
# crash NODE TAG: KILL all its processes, frozen first: else a child that sees
# its parent die still says goodbye (an advert of priority 0).
crash() {
    local p TREE; p=$(bg_pid "$1" "$2") || return 0
    tree "$p"
    # shellcheck disable=SC2086
    kill -s STOP $TREE 2>/dev/null || :
    tree "$p"                       # a child forked meanwhile
    # shellcheck disable=SC2086
    kill -s KILL $TREE 2>/dev/null || :
    # shellcheck disable=SC2086
    wait_until 5 gone $TREE || :
    rm -f "$LAB_DIR/nodes/$1/$2.pid"
}

# power_off NODE: every command started there dies at once and the cable goes
# dead; power_on NODE: back as new - whatever the dead left (addresses, vmac
# interfaces, firewall) is gone, the plan's addresses are there again.
power_off() {
    local n=$1 f i l
    while read -r l i _; do if [[ $l == "$n" ]]; then ip -n sw link set "$n.$i" down; fi; done <"$LAB_DIR/links"
    for f in "$LAB_DIR/nodes/$n"/*.pid; do
        if [[ -e $f ]]; then f=${f##*/}; crash "$n" "${f%.pid}"; fi
    done
    : >"$LAB_DIR/nodes/$n/off"
}
power_on() {
    local n=$1 i l
    on "$n" bash -c '
        for i in $(ip -o link show type macvlan | sed "s/^[0-9]*: //; s/[@:].*//") $(ip -o link show type ipvlan 2>/dev/null | sed "s/^[0-9]*: //; s/[@:].*//"); do ip link del "$i"; done
        for i in $(ip -o link show type veth | sed "s/^[0-9]*: //; s/[@:].*//"); do ip link set "$i" down; ip addr flush dev "$i"; done
        ip addr flush dev lo; ip addr add 127.0.0.1/8 dev lo; ip addr add ::1/128 dev lo
        ip route flush table main; ip -6 route flush table main
        nft flush ruleset; ! command -v ipvsadm || ipvsadm -C; rm -rf /run/[!ln]*' >/dev/null 2>&1 || :
    while read -r l i _; do if [[ $l == "$n" ]]; then ip -n sw link set "$n.$i" up; fi; done <"$LAB_DIR/links"
    ip -n "$n" -batch "$LAB_DIR/nodes/$n/batch"
    rm -f "$LAB_DIR/nodes/$n/off"
}

# --------------------------------------------------------------- addresses
# has_addr NODE ADDR: is ADDR configured there (and the node switched on)?
has_addr() {
    [[ ! -e $LAB_DIR/nodes/$1/off ]] || return 1
    local o; o=$(ip -n "$1" -o addr show to "$2" 2>/dev/null) && [[ -n $o ]]
}
# owners ADDR: the directors that hold it, blank separated
owners() { local n out=; for n in $DIRECTORS; do if has_addr "$n" "$1"; then out+="${out:+ }$n"; fi; done; printf '%s' "$out"; }
owner_is() { [[ $(owners "$1") == "$2" ]]; }     # exactly that set
wait_owner() { wait_until "$3" owner_is "$1" "$2"; } # ADDR NODE SECONDS

# ------------------------------------------------------------------- daemon
# The program under test is LAB_DAEMON (the real keepalived unless it is set);
# LAB_PEER is the real keepalived, for scenarios that mix the two.
: "${LAB_DAEMON:=keepalived}" "${LAB_PEER:=keepalived}"
# /run is private to the node, so these are the usual pid files.
LAB_DAEMON_ARGS="--dont-fork --no-syslog --log-console --log-detail --pid /run/main.pid --vrrp_pid /run/vrrp.pid --checkers_pid /run/checkers.pid --bfd_pid /run/bfd.pid"
# daemon NODE CONF [EXTRA ARGS...]: start it there; PROGRAM=... for another one
daemon() {
    local n=$1 conf=$2; shift 2
    on "$n" rm -f /run/main.pid /run/vrrp.pid /run/checkers.pid /run/bfd.pid
    # shellcheck disable=SC2086
    bg "$n" daemon "${PROGRAM:-$LAB_DAEMON}" $LAB_DAEMON_ARGS --use-file "$conf" "$@"
}
daemon_log() { bg_log "$1" daemon; }
# child_pid NODE main|vrrp|checkers|bfd: from its pid file, if that process lives
child_pid() { local p; p=$(on "$1" cat "/run/$2.pid" 2>/dev/null) && [[ -n $p ]] && kill -0 "$p" 2>/dev/null && printf '%s' "$p"; }
# child_new NODE KIND OLDPID: there is another one now
child_new() { local p; p=$(child_pid "$1" "$2") && [[ $p != "$3" ]]; }
# logged NODE TEXT [FROM_LINE]: the daemon's log has it (after that line)
logged() { tail -n "+$(( ${3:-0} + 1 ))" "$(daemon_log "$1")" | grep -E -- "$2" >/dev/null; }
log_mark() { wc -l <"$(daemon_log "$1")"; }
ipvs_dump() { local n; for n in $DIRECTORS; do echo "--- ipvs $n"; on "$n" ipvsadm -Ln 2>/dev/null || :; done; }
# table NODE: one line per service and server, in a stable form
table() { on "$1" ipvsadm -Sn 2>/dev/null | sort; }
# reals NODE: how many servers with weight above 0 are in its table
reals() { on "$1" ipvsadm -Sn 2>/dev/null | grep -- ' -r ' | grep -vc -- ' -w 0' || :; }
has_reals() { [[ $(reals "$1") == "$2" ]]; }

# ------------------------------------------------------------------ capture
# capture NODE IF FILE [FILTER...]: returns when tcpdump is listening
capture() {
    local n=$1 i=$2 f=$3 tag=cap.$2; shift 3
    bg "$n" "$tag" tcpdump -Z root -B 8192 -i "$i" -s 0 -U --immediate-mode -w "$f" "$@"
    wait_until 10 grep -q '^tcpdump: listening' "$(bg_log "$n" "$tag")" || die "tcpdump did not start on $n/$i"
}
capture_end() { nap 0.3; stop "$1" "cap.$2" INT; }

# ------------------------------------------------------------------- faults
# All frame faults are nftables rules of family "bridge" in the switch, so
# that the node under test sees nothing but the effect.  (This family is the
# one that every kernel of ours has: UML's has no ip/inet/netdev family.)
nft_run() { ip netns exec sw nft "$@"; }
_fault_table() {
    if [[ -e $LAB_DIR/fault.table ]]; then return; fi
    nft_run -f - <<<'table bridge lab {
        chain faults { type filter hook forward priority 0; policy accept; }
    }'
    : >"$LAB_DIR/fault.table"
}
# _side iifname|oifname NODE[:IF]|'*'
_side() {
    [[ $2 == '*' ]] && return
    local n=${2%%:*} i=eth0; [[ $2 == *:* ]] && i=${2#*:}
    printf '%s "%s" ' "$1" "$n.$i"
}
# fault cut FROM TO [NFT-MATCH]     drop frames that go FROM -> TO (one way);
#                                   FROM/TO: NODE, NODE:IF or '*'
# fault loss FROM TO PERCENT [NFT-MATCH]  drop that share of them
# fault block NODE[:IF]             switch port stops forwarding, carrier stays
# fault port NODE[:IF] down|up      switch port down: the node loses carrier
# fault link NODE[:IF] down|up      the node's own interface, administratively
# fault clear                       undo cut/loss/block
fault() {
    local what=$1 n i m; shift
    case $what in
    cut)  _fault_table; m="$(_side iifname "$1")$(_side oifname "$2")${3:-}"
          nft_run add rule bridge lab faults "$m counter drop" ;;
    loss) _fault_table; m="$(_side iifname "$1")$(_side oifname "$2")${4:-}"
          if (( $3 < 100 )); then m+=" numgen random mod 100 < $3"; fi
          nft_run add rule bridge lab faults "$m counter drop" ;;
    block) n=${1%%:*} i=eth0; [[ $1 == *:* ]] && i=${1#*:}
          ip netns exec sw bridge link set dev "$n.$i" state 0; echo "$n.$i" >>"$LAB_DIR/fault.block" ;;
    port) n=${1%%:*} i=eth0; [[ $1 == *:* ]] && i=${1#*:}
          ip -n sw link set "$n.$i" "$2" ;;
    link) n=${1%%:*} i=eth0; [[ $1 == *:* ]] && i=${1#*:}
          ip -n "$n" link set "$i" "$2" ;;
    clear)
          if [[ -e $LAB_DIR/fault.table ]]; then nft_run delete table bridge lab; rm -f "$LAB_DIR/fault.table"; fi
          if [[ -e $LAB_DIR/fault.block ]]; then
              while read -r m; do ip netns exec sw bridge link set dev "$m" state 3; done <"$LAB_DIR/fault.block"
              rm -f "$LAB_DIR/fault.block"
          fi ;;
    list) if [[ -e $LAB_DIR/fault.table ]]; then nft_run list table bridge lab; fi ;;
    *) die "fault: what is $what?" ;;
    esac
}
