# snmp.sh - what the scenarios with SNMP share.  Source it after lab.sh.
KEEPALIVED=.1.3.6.1.4.1.9586.100.5 VRRP_V2=.1.3.6.1.2.1.68 VRRP_V3=.1.3.6.1.2.1.207

# snmpd_start NODE: an agent with a configuration, a socket and a folder of its own.  SNMPD_START=again
# when it was there before.
snmpd_start() {
    cat >"$LAB_DIR/snmpd.conf" <<C
master agentx
agentXSocket /run/agentx,tcp:127.0.0.1:705
agentXTimeout 5
agentaddress udp:127.0.0.1:161
rwcommunity public
trap2sink 127.0.0.1:1162 public
C
    on "$1" mkdir -p /run/snmp
    on "$1" rm -f /run/agentx
    bg "$1" snmpd env SNMP_PERSISTENT_DIR=/run/snmp MIBS= snmpd -f -Lo -C -c "$LAB_DIR/snmpd.conf"
    wait_until 30 snmp "$1" get .1.3.6.1.2.1.1.3.0 || die "snmpd does not answer"
}
# trap_sink NODE: what is told, one line each, in $LAB_DIR/traps
trap_sink() {
    : >"$LAB_DIR/traps"
    bg "$1" sink "$LAB_HOME/tools/trap-sink.py" 1162 "$LAB_DIR/traps"
    wait_until 20 grep -q ready "$(bg_log "$1" sink)" || die "no receiver of notifications"
}
# snmp NODE get|getnext|set|walk|bulkwalk ARGS...: numbers only, one line per object
snmp() {
    local n=$1 what=$2; shift 2
    on "$n" env MIBS= "snmp$what" -v2c -c public -t 2 -r 1 -On -Oe -OU -Ox 127.0.0.1 "$@" 2>&1 |
        awk '/^\./ { if (line != "") print line; line = $0; next } NF { line = line " " $0 } END { if (line != "") print line }' |
        sed "s/^$KEEPALIVED\./K./; s/^$VRRP_V2\./2787./; s/^$VRRP_V3\./6527./; s/  */ /g; s/ \$//"
}
# says NODE OBJECT VALUE: that is its value
says() { [[ $(snmp "$1" get "$2") == *" = $3" ]]; }
# walks NODE FILE SUBTREE...: all objects of these
walks() {
    local n=$1 file=$2 tree; shift 2
    for tree; do snmp "$n" walk "$tree"; done >"$file"
}
# notifications: what was told, by short names, without what snmpd says of itself
notifications() {
    grep -v '1\.3\.6\.1\.6\.3\.1\.1\.5\.' "$LAB_DIR/traps" |
        sed "s/${KEEPALIVED#.}\./K./g; s/${VRRP_V2#.}\./2787./g; s/${VRRP_V3#.}\./6527./g; s/^[0-9.]*=OID://" || :
}
# told TEXT: some notification has it
told() { notifications | grep -F -- "$1" >/dev/null; }
# agree WHAT THEIRS OURS LIST: both files agree, but for lines that an expression of LIST names; each of
# these must be needed.  A line of LIST: EXPRESSION TAB REASON.
agree() {
    local what=$1 theirs=$2 ours=$3 list=$4 differing expression
    differing=$(diff "$theirs" "$ours" | grep '^[<>]' || :)
    sed -n 's/ *\t.*//p' "$list" >"$LAB_DIR/expressions"
    check "$what agree: $(wc -l <"$ours") lines" eval '! grep -vEf "$LAB_DIR/expressions" <<<"$differing" | grep .'
    while read -r expression; do
        check "$what: the difference $expression is there" eval 'grep -qE -- "$expression" <<<"$differing"'
    done <"$LAB_DIR/expressions"
}
