# frr.sh - FRR's bfdd as a neighbour.  Source it after lab.sh.

# frr NODE CONF: zebra and bfdd there, as the user frr
frr() {
    local n=$1 conf=$2
    on "$n" install -d -o frr -g frr /run/frr
    on "$n" install -o frr -g frr -m 640 /dev/null /run/frr/zebra.conf
    on "$n" install -o frr -g frr -m 640 "$conf" /run/frr/bfdd.conf
    bg "$n" zebra /usr/lib/frr/zebra --vty_socket /run/frr -z /run/frr/zserv.api -i /run/frr/zebra.pid \
        -f /run/frr/zebra.conf --log stdout
    wait_until 10 on "$n" test -S /run/frr/zserv.api || die "zebra did not start on $n: $(tail -3 "$(bg_log "$n" zebra)")"
    bg "$n" bfdd /usr/lib/frr/bfdd --vty_socket /run/frr -z /run/frr/zserv.api -i /run/frr/bfdd.pid \
        --bfdctl /run/frr/bfdd.sock -f /run/frr/bfdd.conf --log stdout
    wait_until 10 on "$n" test -S /run/frr/bfdd.vty || die "bfdd did not start on $n: $(tail -3 "$(bg_log "$n" bfdd)")"
}
frr_show() { on "$1" vtysh --vty_socket /run/frr -d bfdd -c 'show bfd peers json' 2>/dev/null; }
# one value per session, in the order of bfdd
frr_each() { frr_show "$1" | python3 -c 'import json, sys; print(*[eval(sys.argv[1], {}, {"p": p}) for p in json.load(sys.stdin)])' "$2"; }
frr_up() { frr_each "$1" 'p["status"]' | tr ' ' '\n' | grep -cx up || :; }
# what its neighbour says: receive and transmit intervals, diagnostics
frr_interval() { frr_each "$1" 'p["remote-receive-interval"]'; }
frr_remote() { frr_each "$1" 'p["remote-diagnostic"]'; }
# how often its sessions went down
frr_downs() {
    on "$1" vtysh --vty_socket /run/frr -d bfdd -c 'show bfd peers counters json' 2>/dev/null |
        python3 -c 'import json, sys; print(sum(p["session-down"] for p in json.load(sys.stdin)))'
}
