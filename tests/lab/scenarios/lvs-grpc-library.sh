#!/bin/bash
# lvs-grpc-library: GRPC_CHECK asks servers of the real gRPC library (Debian's
# python3-grpcio), in plain text and over verified TLS.  Ours only: keepalived
# has no such check.
#   uml-run -- lab-netns run --directors 1 --reals 3 -- scenarios/lvs-grpc-library.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200
ip -n d1 addr add $VIP/32 dev eth0
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x -addext subjectAltName=DNS:health.example \
    -keyout "$LAB_DIR/key" -out "$LAB_DIR/certificate" 2>/dev/null
says() { # SERVER LINE...: what it says from now on
    printf '%s\n' "${@:2}" >"$LAB_DIR/says-rs$1.new"; mv "$LAB_DIR/says-rs$1.new" "$LAB_DIR/says-rs$1"
}
server() { # NUMBER [CERTIFICATE KEY]
    : >"$(bg_log "rs$1" grpc)"
    bg "rs$1" grpc "$LAB_HOME/tools/grpc-health-server.py" 9777 "$LAB_DIR/says-rs$1" "${@:2}"
    server_says "$1" ready || die "no gRPC server: $(cat "$(bg_log "rs$1" grpc)")"
}
server_says() { wait_until 30 grep -q "$2" "$(bg_log "rs$1" grpc)"; }
says 1 "shop.Cart 1"; says 2 "- 1"; says 3 "- 1"
for n in 1 2 3; do : >"$LAB_DIR/nodes/rs$n/grpc.log"; done
server 1
server 2 "$LAB_DIR/certificate" "$LAB_DIR/key"
server 3
words="connect_port 9777
   connect_timeout 3
   retry 0"
cat >"$LAB_DIR/d1.conf" <<END
global_defs {
 router_id d1
}
SSL {
 ca $LAB_DIR/certificate
}
virtual_server $VIP 80 {
 delay_loop 1
 lb_algo rr
 lb_kind DR
 protocol TCP
 real_server 10.77.1.21 80 {
  GRPC_CHECK {
   service shop.Cart
   $words
  }
 }
 real_server 10.77.1.22 80 {
  GRPC_CHECK {
   tls
   verify
   enable_sni
   authority health.example
   $words
  }
 }
 real_server 10.77.1.23 80 {
  GRPC_CHECK {
   service shop.Till
   $words
  }
 }
}
END
daemon d1 "$LAB_DIR/d1.conf"
is_there() { [[ $(on d1 ipvsadm -Ln) == *"10.77.1.2$1:80 "* ]]; }
is_out() { ! is_there "$1"; }
timed "a service that the server does not know: out" 10 is_out 3
check "and why is told" wait_until 2 logged d1 "gRPC health of .10.77.1.23.:tcp:80, service shop.Till: grpc-status 5 NOT_FOUND: no service shop.Till"
check "SERVING in plain text is told" wait_until 10 logged d1 "gRPC health of .10.77.1.21.:tcp:80, service shop.Cart: SERVING"
check "SERVING over TLS is told" wait_until 10 logged d1 "gRPC health of .10.77.1.22.:tcp:80: SERVING"
check "both are in the table" eval 'is_there 1 && is_there 2'
says 3 "- 1" "shop.Till 1"
timed "once the server knows it: in" 8 is_there 3
for n in 1 2; do
    name=$( ((n == 1)) && echo shop.Cart || echo -)
    says $n "$name 2"
    timed "rs$n NOT_SERVING: out" 8 is_out $n
    check "and why is told" wait_until 2 logged d1 "gRPC health of .10.77.1.2$n.:tcp:80.*: NOT_SERVING"
    says $n "$name 1"
    timed "SERVING: back" 8 is_there $n
    # A graceful stop while a call is open: GOAWAY comes before the answer, which counts still.
    mark=$(log_mark d1)
    says $n "$name wait"
    check "rs$n has an open call" server_says $n "waiting $name"
    kill -TERM "$(bg_pid rs$n grpc)"
    check "rs$n begins to stop" server_says $n stopping
    says $n "$name 1"
    check "and answers that call" server_says $n "answering $name"
    timed "a server that has stopped: out" 8 is_out $n
    check "for the connection that is refused, not for the GOAWAY" eval 'logged d1 "10.77.1.2$n.*refused" $mark && ! logged d1 "10.77.1.2$n.*(GOAWAY|closed|reset|early)" $mark'
    server $n $( ((n == 2)) && echo "$LAB_DIR/certificate" "$LAB_DIR/key")
    timed "started again: back" 8 is_there $n
done
stop d1 daemon
lab_done
