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
}
virtual_server_group web {
    10.77.1.210 80
    10.77.1.211 80
}
C
    printf 'virtual_server 10.77.1.200 80 {\n    protocol TCP\n'; server 10.77.1.21 80
    printf 'virtual_server group web {\n    protocol TCP\n'; server 10.77.1.21 81
    printf 'virtual_server fwmark 7 {\n    protocol TCP\n'; server 10.77.1.21 82
} >"$LAB_DIR/d1.conf"
bg d1 sink "$LAB_HOME/tools/smtp-sink.py" 2525 "$LAB_DIR/mail"
wait_until 20 grep -q ready "$(bg_log d1 sink)" || die "no mail server"
: >"$LAB_DIR/mail"; : >"$LAB_DIR/lines"
reals_http 80
sorted() { [[ $(LC_ALL=C sort "$LAB_DIR/lines") == "$(LC_ALL=C sort <<<"$1")" ]]; }
mailed() { [[ $(sed -n '/^Subject: \|^=> /s/\\r\\n$//p' "$LAB_DIR/mail" | paste -sd '\t\n' | LC_ALL=C sort -u) == "$(LC_ALL=C sort <<<"$1")" ]]; }
daemon d1 "$LAB_DIR/d1.conf"
check "the services as they begin" wait_until 20 sorted 'VS FWM 7 UP
VS [10.77.1.200]:tcp:80 UP
VS [web]:0 UP'
check "and by mail" wait_until 10 mailed 'Subject: [d1] Virtualserver FWM 7 - UP	=> Starting with quorum up 1+0=1 <= 1 <=
Subject: [d1] Virtualserver [10.77.1.200]:tcp:80 - UP	=> Starting with quorum up 1+0=1 <= 1 <=
Subject: [d1] Virtualserver [web]:0 - UP	=> Starting with quorum up 1+0=1 <= 1 <='
wait_until 10 eval '(( $(grep -c "TCP connection to .* success" "$(daemon_log d1)") == 3 ))' || die "servers were not asked"
: >"$LAB_DIR/lines"; : >"$LAB_DIR/mail"
stop rs1 http
check "the server goes, and with it the services" wait_until 20 sorted 'RS [10.77.1.21]:tcp:80 [10.77.1.200]:tcp:80 DOWN
RS [10.77.1.21]:tcp:81 [web]:0 DOWN
RS [10.77.1.21]:none:82 FWM 7 DOWN
VS FWM 7 DOWN
VS [10.77.1.200]:tcp:80 DOWN
VS [web]:0 DOWN'
check "and by mail" wait_until 10 mailed 'Subject: [d1] Realserver [10.77.1.21]:tcp:80 of virtual server [10.77.1.200]:tcp:80 - DOWN	=> TCP CHECK failed on service <=
Subject: [d1] Realserver [10.77.1.21]:tcp:81 of virtual server [web]:0 - DOWN	=> TCP CHECK failed on service <=
Subject: [d1] Realserver [10.77.1.21]:none:82 of virtual server FWM 7 - DOWN	=> TCP CHECK failed on service <=
Subject: [d1] Virtualserver FWM 7 - DOWN	=> Lost quorum 1+0=1 <= 0 <=
Subject: [d1] Virtualserver [10.77.1.200]:tcp:80 - DOWN	=> Lost quorum 1+0=1 <= 0 <=
Subject: [d1] Virtualserver [web]:0 - DOWN	=> Lost quorum 1+0=1 <= 0 <='
: >"$LAB_DIR/lines"
reals_http 80
check "the server comes back" wait_until 20 sorted 'RS [10.77.1.21]:tcp:80 [10.77.1.200]:tcp:80 UP
RS [10.77.1.21]:tcp:81 [web]:0 UP
RS [10.77.1.21]:none:82 FWM 7 UP
VS FWM 7 UP
VS [10.77.1.200]:tcp:80 UP
VS [web]:0 UP'
: >"$LAB_DIR/lines"
stop d1 daemon
check "without omega the end is told to nobody" sorted ''
check "the FIFO is gone" eval '! test -e "$LAB_DIR/lvs.fifo"'
lab_done
