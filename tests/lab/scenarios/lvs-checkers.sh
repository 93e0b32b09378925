#!/bin/bash
# lvs-checkers: each checker beside each thing that a server may do, with this
# program and with the real keepalived, one after the other on the same
# configuration and the same servers: in the table or not, and how soon.
# Where the two differ the reason stands in DIFFERS below; any other difference
# is a failure, and so is a verdict that comes later than the file allows.
# LAB_CELLS=huge: answers that never end, apart from the rest: keepalived reads
# them without a pause, and its other checks are late or fail.
#   uml-run -- lab-netns run --layout routed --directors 1 --reals 1 -- scenarios/lvs-checkers.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200 RS=10.77.2.21
# CHECKER MANNER VERDICT ("-": closed port, "x": no answer to any packet)
CELLS=(
    "tcp up in" "tcp - out" "tcp x out" "tcp silent in" "tcp reset in"
    "http up in" "http keeps-open in" "http - out" "http x out" "http silent out" "http reset out" "http reset-midway out"
    "http ends-midway out" "http stalls-midway out" "http short in" "http drips out" "http garbage out"
    "http status-500 out"
    "ssl up in" "ssl keeps-open in" "ssl - out" "ssl x out" "ssl plain out" "ssl alert out" "ssl silent out" "ssl garbage out"
    "ssl reset out" "ssl ends-midway out" "ssl drips out"
    "smtp up in" "smtp no-goodbye in" "smtp - out" "smtp x out" "smtp silent out" "smtp reset out" "smtp garbage out"
    "smtp busy out" "smtp two-lines in" "smtp ends-midway out" "smtp stalls-midway out"
    "dns up in" "dns - out" "dns x out" "dns silent out" "dns servfail out" "dns garbage out"
    "udp silent in" "udp - out" "udp x in"
    "ping up in" "ping x out"
    "misc 0 in" "misc 1 out" "misc hangs out"
)
# cells in which keepalived 2.2.7 thinks otherwise, and why
declare -A DIFFERS=(
    ["smtp two-lines"]="keepalived takes a reply of several lines for a failure"
    ["smtp no-goodbye"]="keepalived waits for the answer to QUIT"
    ["http keeps-open"]="keepalived waits for the end of the connection, not for Content-Length"
    ["ssl keeps-open"]="keepalived waits for the end of the connection, not for Content-Length"
    ["http drips"]="keepalived waits for each piece anew, not for the answer"
)
if [[ ${LAB_CELLS:-} == huge ]]; then
    CELLS=("tcp up in" "http huge out" "ssl huge out" "smtp huge out" "dns silent out")
    DIFFERS=(
        ["http huge"]="keepalived reads on for ever, and the server stays in the table"
        ["ssl huge"]="keepalived reads on for ever, and the server stays in the table"
        ["smtp huge"]="keepalived logs an overflow for each read, and the server stays in the table"
    )
fi
LIMIT=7000      # ms from the start: start and first check 2 s; connection, handshake and answer 1 s each; 2 s for a slow machine
ip -n d1 addr add $VIP/24 dev eth0
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x -keyout "$LAB_DIR/key" -out "$LAB_DIR/certificate" 2>/dev/null
for w in "0 exit 0" "1 exit 1" "hangs exec sleep 60"; do
    read -r name text <<<"$w"; printf '#!/bin/sh\n%s\n' "$text" >"$LAB_DIR/program-$name"; chmod 755 "$LAB_DIR/program-$name"
done
block() { # CHECKER MANNER PORT
    local words="connect_timeout 1
   retry 0
   delay_before_retry 1"
    case $1 in
    tcp) echo "TCP_CHECK { $words }" ;;
    http) echo "HTTP_GET { url { path /
 status_code 200
 }
 $words }" ;;
    ssl) echo "SSL_GET { url { path /
 status_code 200
 }
 $words }" ;;
    smtp) echo "SMTP_CHECK { $words
 helo_name lab
 }" ;;
    dns) echo "DNS_CHECK { $words
 type A
 name example.org
 }" ;;
    udp) echo "UDP_CHECK { $words }" ;;
    ping) echo "PING_CHECK { $words }" ;;
    misc) echo "MISC_CHECK {
 misc_path $LAB_DIR/program-$2
 misc_timeout 1
 retry 0
 }" ;;
    esac | sed 's/{ /{\n /; s/{ path/{\n path/; s/ }$/\n }/'
}
# each closed UDP port is told of
on rs1 sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=10000
rows=() port=1000
{
    printf 'global_defs {\n router_id d1\n script_user root\n}\nvirtual_server %s 80 {\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n' $VIP
    for cell in "${CELLS[@]}"; do
        read -r kind manner _ <<<"$cell"; port=$(( port + 1 )) host=$RS
        if [[ $kind == ping && $manner == x ]]; then host=10.77.2.99; fi
        printf ' real_server %s %s {\n  weight 1\n' "$host" $port
        block "$kind" "$manner" $port
        echo ' }'
    done
    echo '}'
} >"$LAB_DIR/d1.conf"
port=1000
for cell in "${CELLS[@]}"; do
    read -r kind manner _ <<<"$cell"; port=$(( port + 1 ))
    case $kind:$manner in
    ping:*|misc:*|*:-) ;;
    *:x) proto=tcp; if [[ $kind == dns || $kind == udp ]]; then proto=udp; fi
         on rs1 iptables-legacy -t mangle -A PREROUTING -p $proto --dport $port -j DROP ;;
    *) rows+=("$kind:$manner:$port") ;;
    esac
done
bg rs1 odd /usr/bin/python3 "$LAB_HOME/tools/odd-server.py" "$LAB_DIR/certificate" "$LAB_DIR/key" "${rows[@]}"
wait_until 20 grep -q ready "$(bg_log rs1 odd)" || die "no servers: $(cat "$(bg_log rs1 odd)")"
# judged PROGRAM: runs it; OUT[cell]: ms until the server was out of the table, else "in"
judged() {
    local t cell kind port host seen=0 lines ms
    declare -gA OUT=()
    PROGRAM=$1 daemon d1 "$LAB_DIR/d1.conf"
    t=$(now_us)
    wait_until 10 eval '[[ $(table d1) == *"$RS:1001"* ]]' || die "$1 has no table"
    while ms=$(since_ms "$t"); (( ms < 6500 )); do
        lines=$(on d1 ipvsadm -Sn) port=1000
        for cell in "${CELLS[@]}"; do
            read -r kind manner _ <<<"$cell"; port=$(( port + 1 )) host=$RS
            if [[ $kind$manner == pingx ]]; then host=10.77.2.99; fi
            if [[ $lines == *"$host:$port "* ]]; then OUT[$cell]=in
            elif [[ ${OUT[$cell]:-in} == in ]]; then OUT[$cell]=$ms; fi
        done
        nap 0.05
    done
    on d1 rm -f /tmp/keepalived_check.data
    kill -USR1 "$(child_pid d1 main)"
    wait_until 5 eval '[[ -s $(echo "$LAB_DIR/nodes/d1/tmp/"*check*) ]]' || :
    cat "$LAB_DIR/nodes/d1/tmp/"*check* >"$LAB_DIR/status.$2" 2>/dev/null || :
    rm -f "$LAB_DIR/nodes/d1/tmp/"*check*
    RSS=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$(child_pid d1 checkers)/status")
    cp "$(daemon_log d1)" "$LAB_DIR/log.$2"
    stop d1 daemon; on d1 ipvsadm -C
    rm -f "$(daemon_log d1)"
}
judged "$LAB_DAEMON" ours; declare -A OURS; for c in "${CELLS[@]}"; do OURS[$c]=${OUT[$c]}; done; ours_rss=$RSS
judged "$LAB_PEER" peer
printf '# %-22s %-8s %12s %14s\n' cell wanted "$(basename "$LAB_DAEMON"), ms" keepalived
for cell in "${CELLS[@]}"; do
    read -r kind manner want <<<"$cell"
    ours=${OURS[$cell]} peer=${OUT[$cell]} name="$kind $manner" note=
    verdict() { if [[ $1 == in ]]; then echo in; else echo out; fi; }
    if [[ $(verdict "$ours") != "$want" ]]; then note="NOT AS WANTED"
    elif [[ $ours != in ]] && (( ours > LIMIT )); then note="TOO LATE"
    elif [[ $(verdict "$peer") != "$want" && -z ${DIFFERS[$name]:-} ]]; then note="DIFFERS WITHOUT A REASON"
    elif [[ $(verdict "$peer") == "$want" && -n ${DIFFERS[$name]:-} ]]; then note="DOES NOT DIFFER"
    fi
    line=$(printf '%-22s %-8s %12s %14s  %s' "$name" "$want" "$ours" "$peer" "${DIFFERS[$name]:-}")
    if [[ -z $note ]]; then ok "$line"; else not_ok "$line" "$note"; fi
done
# each bad server with its reason, in the log and in the status
reasons=$(grep -vE 'Activating|Removing|Adding|Lost quorum|Gained quorum' "$LAB_DIR/log.ours") port=1000 unsaid=
for cell in "${CELLS[@]}"; do
    port=$(( port + 1 ))
    if [[ $cell == *" out" && $reasons != *":$port"[^0-9]* ]]; then unsaid+=" $cell,"; fi
done
if [[ -z $unsaid ]]; then ok "the log says why each bad server is out"; else not_ok "no reason in the log" "$unsaid"; fi
bad=$(printf '%s\n' "${CELLS[@]}" | grep -c ' out$')
if [[ $(basename "$LAB_DAEMON") != keepalived ]]; then
    check "and so does the status, for all $bad" eval '(( $(grep -cE "^ *[A-Z_]+: (down|no result yet, taken as down): " "$LAB_DIR/status.ours") == bad ))'
fi
echo "# most memory of the check process: $ours_rss kB, keepalived $RSS kB"
check "memory is bounded" eval '(( ours_rss < 100000 ))'
lab_done
