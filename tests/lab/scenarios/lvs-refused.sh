#!/bin/bash
# lvs-refused: what the kernel cannot do is told in words, once; everything else
# goes on, and is tried again when the kernel has learnt it.
#   uml-run -- lab-netns run --directors 1 --reals 1 -- scenarios/lvs-refused.sh
# keepalived 2.2.7 tells only the number.
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
service() { # ADDRESS SCHEDULER
    cat <<C
virtual_server $1 80 {
    delay_loop 1
    lb_algo $2
    lb_kind DR
    protocol TCP
    real_server 10.77.1.21 80 {
    }
    real_server 10.77.1.22 80 {
    }
}
C
}
# A kernel that cannot do it yet: the file system here is a copy that is thrown away.
module=$(find "/lib/modules/$(uname -r)/" -name 'ip_vs_sed.ko*')
[[ -n $module && ! -d /sys/module/ip_vs_sed ]] || die "no module to take away"
mv "$module" "$LAB_DIR/ip_vs_sed"
{
    echo "global_defs {"; echo "router_id d1"; echo "}"
    service 10.77.1.201 sed
    service 10.77.1.202 rr
    service 10.77.1.203 wrr
} >"$LAB_DIR/d1.conf"
daemon d1 "$LAB_DIR/d1.conf"
others() { lists "-A -t 10.77.1.202:80 -s rr" && lists "-a -t 10.77.1.202:80 -r 10.77.1.22:80" && lists "-A -t 10.77.1.203:80 -s wrr"; }
check "the other services are there" wait_until 15 others
# When these are back, the table has been looked at, and the first one been tried again.
for round in first second; do
    on d1 ipvsadm -C
    check "mended by the $round look" wait_until 15 others
done
check "the scheduler is named" logged d1 "adding service TCP 10.77.1.201:80: the kernel has no scheduler sed .module ip_vs_sed"
count=$(grep -c "TCP 10.77.1.201:80" "$(daemon_log d1)" || :)
check "told once, and not for each server ($count)" test "$count" = 1
mv "$LAB_DIR/ip_vs_sed" "$module"
check "tried again, it is there once the kernel knows its scheduler" wait_until 20 lists "-a -t 10.77.1.201:80 -r 10.77.1.22:80"
lab_done
