#!/bin/bash
# lvs-tell: what the check process writes into its FIFO, byte for byte, and
# what it says by mail.
#   lab-netns run --directors 1 --reals 1 -- scenarios/lvs-tell.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$LAB_HOME/lib/lvs.sh"
printf '#!/bin/sh\nexec cat "$1" >>%s/lines\n' "$LAB_DIR" >"$LAB_DIR/reader"; chmod 755 "$LAB_DIR/reader"
server() { # ADDRESS PORT
    printf '    quorum_down "/usr/bin/true"\n    delay_loop 1\n    lvs_sched rr\n    smtp_alert\n    real_server %s %s {\n        weight 1\n        TCP_CHECK {\n            connect_timeout 1\n            connect_port 80\n        }\n    }\n}\n' "$1" "$2"
}
{
    cat <<C
global_defs {
    router_id d1
    script_user root
    lvs_notify_fifo $LAB_DIR/lvs.fifo
    lvs_notify_fifo_script $LAB_DIR/reader
    notification_email {
        first@example.net
    }
    notification_email_from d1@example.net
    smtp_server 127.0.0.1 2525
    ${EXTRA:-}
}
virtual_server_group web {
    10.77.1.210 80
    10.77.1.211 80
}
C
    printf 'virtual_server 10.77.1.200 80 {\n'; server 10.77.1.21 80
    printf 'virtual_server group web {\n    protocol TCP\n'; server 10.77.1.21 81
    printf 'virtual_server fwmark 7 {\n    protocol TCP\n'; server 10.77.1.21 82
} >"$LAB_DIR/d1.conf"
bg d1 sink "$LAB_HOME/tools/smtp-sink.py" 2525 "$LAB_DIR/mail"
wait_until 20 grep -q ready "$(bg_log d1 sink)" || die "no mail server"
: >"$LAB_DIR/mail"; : >"$LAB_DIR/lines"
reals_http 80
lines() { [[ $(sort "$LAB_DIR/lines" | tr '\0' '@') == "$1" ]]; }
subjects() { sed -n 's/^Subject: \(.*\)\\r\\n$/\1/p' "$LAB_DIR/mail" | sort; }
daemon d1 "$LAB_DIR/d1.conf"
check "three services" wait_until 20 eval '[[ $(on d1 ipvsadm -Sn | grep -c -- -a) == 4 ]]'
nap 3
if [[ -n ${LAB_SHOW:-} ]]; then tr '\0' '@' <"$LAB_DIR/lines" | sed 's/^/# start: /'; fi
: >"$LAB_DIR/lines"
stop rs1 http
check "the server goes: RS and VS lines, each with its NUL" wait_until 15 lines '@RS [10.77.1.21]:tcp:81 [web]:tcp DOWN'
if [[ -n ${LAB_SHOW:-} ]]; then tr '\0' '@' <"$LAB_DIR/lines" | sed 's/^/# down: /'; fi
: >"$LAB_DIR/lines"
reals_http 80
nap 6
if [[ -n ${LAB_SHOW:-} ]]; then tr '\0' '@' <"$LAB_DIR/lines" | sed 's/^/# up: /'; fi
: >"$LAB_DIR/lines"
stop d1 daemon
if [[ -n ${LAB_SHOW:-} ]]; then tr '\0' '@' <"$LAB_DIR/lines" | sed 's/^/# stop: /'; cat "$LAB_DIR/mail" | sed 's/^/# /';  sed 's/^/## /' "$(daemon_log d1)"; fi
lab_done
