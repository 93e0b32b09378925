#!/bin/bash
# vrrp-track: files and processes that move priorities or cause FAULT.
#   lab-netns run --directors 2 -- scenarios/vrrp-track.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
A=10.77.1.201 B=10.77.1.202
conf() { # NUMBER
    cat <<C
global_defs {
    router_id d$1
}
track_file number {
    file $LAB_DIR/number$1
    weight 1
    init_file 0
}
vrrp_track_process proc {
    process lab-tracked$1
    quorum 1
}
vrrp_script gone {
    script /nonexistent/check
    user root
}
vrrp_instance A {
    interface eth0
    virtual_router_id 51
    priority $(( 160 - 20 * $1 ))
    advert_int 1
    virtual_ipaddress {
        $A/24
    }
    track_file {
        number
    }
    # A program that is not there is not tracked: the instance works all the same.
    track_script {
        gone
    }
}
vrrp_instance B {
    interface eth0
    virtual_router_id 52
    priority $(( 160 - 20 * $1 ))
    advert_int 1
    virtual_ipaddress {
        $B/24
    }
    track_process {
        proc
    }
}
C
}
for i in 1 2; do cp "$(command -v sleep)" "$LAB_DIR/lab-tracked$i"; done
for i in 1 2; do
    bg d$i tracked "$LAB_DIR/lab-tracked$i" 1000
    conf $i >"$LAB_DIR/d$i.conf"
    daemon d$i "$LAB_DIR/d$i.conf"
done
settle() { # WHAT ADDRESS NODE SECONDS
    local t; t=$(now_us)
    if wait_owner "$2" "$3" "$4"; then ok "$1: on $3 after $(since_ms "$t") ms"; else not_ok "$1" "on '$(owners "$2")', not on $3"; fi
}
settle "election of A" $A d1 8
settle "election of B" $B d1 8
check "init_file was written" test "$(cat "$LAB_DIR/number1")" == 0
echo -30 >"$LAB_DIR/number1"
settle "the file says -30: A goes" $A d2 8
echo 0 >"$LAB_DIR/new"; mv "$LAB_DIR/new" "$LAB_DIR/number1"
settle "the file is replaced: A comes back" $A d1 8
echo -254 >"$LAB_DIR/number1"
settle "the file says -254: FAULT, A goes at once" $A d2 3
rm "$LAB_DIR/number1"
settle "no file is 0: A comes back" $A d1 8
stop d1 tracked KILL
settle "the process is gone: FAULT, B goes" $B d2 4
bg d1 tracked "$LAB_DIR/lab-tracked1" 1000
settle "the process is there again: B comes back" $B d1 8
for i in 1 2; do stop d$i daemon; done
lab_done
