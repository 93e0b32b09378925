#!/bin/bash
# lvs-begin: how services begin, by reload too, what is told of it and to whom:
# scripts, FIFO and table of this program (d1) and of the real keepalived (d2),
# which must be the same in each phase.
#   uml-run -- lab-netns run --directors 2 --reals 3 -- scenarios/lvs-begin.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
GOOD=10.77.1.21 SORRY=10.77.1.23
reals_http 80
printf '#!/bin/bash\necho "$*" >>%s/$HOSTNAME.told\n' "$LAB_DIR" >"$LAB_DIR/call"
printf '#!/bin/bash\nwhile IFS= read -r line; do echo "$line" >>%s/$HOSTNAME.told; done <"$1"\n' "$LAB_DIR" >"$LAB_DIR/reader"
chmod 755 "$LAB_DIR/call" "$LAB_DIR/reader"
service() { # PORT|"group NAME" METHOD WORDS...
    local target="10.77.1.200 $1"; if [[ $1 == group* ]]; then target=$1; fi
    printf 'virtual_server %s {\n delay_loop 1\n lb_algo rr\n lb_kind %s\n protocol TCP\n' "$target" "$2"
    printf ' quorum_up "%s %s up"\n quorum_down "%s %s down"\n' "$LAB_DIR/call" "$1" "$LAB_DIR/call" "$1"
    printf ' %s\n' "${@:3}"
}
server() { # PORT ADDRESS SERVER_PORT WORDS...
    printf ' real_server %s %s {\n  notify_up "%s"\n  notify_down "%s"\n' "$2" "$3" \
        "$LAB_DIR/call $1 $2:$3 up" "$LAB_DIR/call $1 $2:$3 down"
    printf '  %s\n' "${@:4}"
    if [[ $* != *HTTP_GET* ]]; then printf '  TCP_CHECK {\n   connect_timeout 1\n  }\n'; fi
    echo ' }'
}
followed() { # PORT CHECK WORDS...: a server that is not probed
    printf ' real_server %s 80 {\n  notify_up "%s"\n  notify_down "%s"\n  %s {\n' $GOOD \
        "$LAB_DIR/call $1 $GOOD:80 up" "$LAB_DIR/call $1 $GOOD:80 down" "$2"
    printf '   %s\n' "${@:3}"; printf '  }\n }\n'
}
globals() {
    printf 'global_defs {\n router_id lab\n script_user root\n lvs_notify_fifo /run/fifo\n lvs_notify_fifo_script %s\n}\n' "$LAB_DIR/reader"
}
conf() {
    globals
    # the script of a quorum that is there from the beginning; a server that is dead
    service 80 NAT; server 80 $GOOD 80; server 80 10.77.1.22 9; echo '}'
    # a quorum that the hysteresis keeps from being gained
    service 81 NAT 'quorum 2' 'hysteresis 1'; server 81 $GOOD 80; server 81 10.77.1.22 80; echo '}'
    # alpha: nothing is told of the service, and then that one is up and the other down
    service 82 NAT alpha; server 82 $GOOD 80; server 82 10.77.1.22 9; echo '}'
    # alpha, with somebody to apologise: that is told at once
    service 83 NAT alpha "sorry_server $SORRY 80"; server 83 $GOOD 80; echo '}'
    # the living one stays for its connections
    service 84 NAT 'quorum 2' "sorry_server $SORRY 80"
    server 84 $GOOD 80 inhibit_on_failure; server 84 10.77.1.22 9 inhibit_on_failure; echo '}'
    # the table has the port of the service, the check asks at that of the server
    service 85 DR; server 85 $GOOD 80 'HTTP_GET {' 'url {' 'path /' 'status_code 200' '}' 'connect_timeout 1' '}'; echo '}'
    # a session is awaited, and down: that is told
    printf 'bfd_instance nobody {\n neighbor_ip 10.77.1.99\n}\n'
    service 89 NAT alpha; followed 89 BFD_CHECK 'name nobody' alpha; echo '}'
    # a member without a port makes the group persistent
    printf 'virtual_server_group any {\n 10.77.1.201\n 10.77.1.202 80\n}\n'
    service 'group any' NAT; server any $GOOD 80; echo '}'
    if (( $1 )); then service 86 NAT; server 86 10.77.1.22 80; echo '}'; fi
}
told() { LC_ALL=C sort "$LAB_DIR/$1.told"; }
phase() { for n in d1 d2; do : >"$LAB_DIR/$n.told"; done; }
agreed() { # WHAT TEXT: both have told just that
    local what=$1 text n; text=$(LC_ALL=C sort <<<"$2")
    for n in d1 d2; do
        if wait_until 30 eval '[[ $(told $n) == "$text" ]]'; then ok "$what, $n"
        else not_ok "$what, $n" "$(diff <(echo "$text") <(told $n) | grep '^[<>]' | xargs -d '\n')"; fi
    done
}
same_table() { wait_until 10 eval '[[ $(table d1) == "$(table d2)" ]]'; }
V=10.77.1.200
conf 0 >"$LAB_DIR/lab.conf"
phase
PROGRAM=$LAB_DAEMON daemon d1 "$LAB_DIR/lab.conf"
PROGRAM=$LAB_PEER daemon d2 "$LAB_DIR/lab.conf"
agreed "the start" "80 up
VS [$V]:tcp:80 UP
80 10.77.1.22:9 down
RS [10.77.1.22]:tcp:9 [$V]:tcp:80 DOWN
82 $GOOD:80 up
RS [$GOOD]:tcp:80 [$V]:tcp:82 UP
82 up
VS [$V]:tcp:82 UP
82 10.77.1.22:9 down
RS [10.77.1.22]:tcp:9 [$V]:tcp:82 DOWN
83 down
VS [$V]:tcp:83 DOWN
83 $GOOD:80 up
RS [$GOOD]:tcp:80 [$V]:tcp:83 UP
83 up
VS [$V]:tcp:83 UP
84 up
VS [$V]:tcp:84 UP
84 10.77.1.22:9 down
RS [10.77.1.22]:tcp:9 [$V]:tcp:84 DOWN
84 down
VS [$V]:tcp:84 DOWN
85 up
VS [$V]:tcp:85 UP
89 $GOOD:80 down
RS [$GOOD]:tcp:80 [$V]:tcp:89 DOWN
group any up
VS [any]:0 UP"
check "the tables are the same" same_table
check "the sorry server stands in, and the living one stays without weight" eval 'lists "$V:84 -r $SORRY:80 -m -w 1" && lists "$V:84 -r $GOOD:80 -m -w 0"'
check "a service of every port is persistent" lists "10.77.1.201:0 -s rr -p 360"
check "the port is the service's" lists "$V:85 -r $GOOD:85 -g -w 1"
phase
conf 1 >"$LAB_DIR/lab.conf"
for n in d1 d2; do kill -HUP "$(child_pid $n main)"; done
agreed "a service that a reload brings" "86 up
VS [$V]:tcp:86 UP"
check "the tables are the same" same_table
phase
stop rs1 http KILL
down() { printf '%s\n' "$1 $GOOD:80 down" "RS [$GOOD]:tcp:${2:-80} [$V]:tcp:$1 DOWN"; }
gone() { printf '%s\n' "$1 down" "VS [$V]:tcp:$1 DOWN"; }
agreed "a server that dies" "$(for s in 80 81 82 83 84; do down $s; done; down 85 85; for s in 80 82 83 85; do gone $s; done)
any $GOOD:80 down
RS [$GOOD]:tcp:80 [any]:0 DOWN
group any down
VS [any]:0 DOWN"
check "the tables are the same" same_table
for n in d1 d2; do stop $n daemon; done
# One address defined twice: the servers of both serve.  (A reload of that makes keepalived
# take the second's servers out and in.)  Nobody is told of a server that a file keeps out.  (A
# reload makes keepalived take it in and out.)
echo 5 >"$LAB_DIR/closed"
{
    globals
    service 87 NAT; server 87 10.77.1.22 80; echo '}'
    service 87 NAT; server 87 $SORRY 80; echo '}'
    printf 'track_file closed {\n file %s/closed\n}\n' "$LAB_DIR"
    service 88 NAT; followed 88 FILE_CHECK 'track_file closed' 'weight 0'; echo '}'
} >"$LAB_DIR/lab.conf"
phase
PROGRAM=$LAB_DAEMON daemon d1 "$LAB_DIR/lab.conf"
PROGRAM=$LAB_PEER daemon d2 "$LAB_DIR/lab.conf"
agreed "a service that is defined twice" "87 up
VS [$V]:tcp:87 UP
87 up
VS [$V]:tcp:87 UP"
check "the servers of both serve" eval 'lists "$V:87 -r 10.77.1.22:80 -m -w 1" && lists "$V:87 -r $SORRY:80 -m -w 1"'
check "the tables are the same" same_table
for n in d1 d2; do stop $n daemon; done
lab_done
