#!/bin/bash
# lvs-grpc: GRPC_CHECK in plain text and over verified TLS, and HTTP_GET with
# http_protocol 2, words that keepalived does not have, on a real IPVS.
#   uml-run -- lab-netns run --directors 1 --reals 3 -- scenarios/lvs-grpc.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200
client_addresses
reals_direct $VIP
reals_http 80
ip -n d1 addr add $VIP/32 dev eth0
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x -addext subjectAltName=DNS:health.example \
    -keyout "$LAB_DIR/key" -out "$LAB_DIR/certificate" 2>/dev/null
says() { # SERVER TEXT: what it says from now on
    printf '%s\n' "$2" >"$LAB_DIR/says-rs$1.new"; mv "$LAB_DIR/says-rs$1.new" "$LAB_DIR/says-rs$1"
}
says 1 1; says 2 1; says 3 hello
server() { bg "rs$1" http2 /usr/bin/python3 "$LAB_HOME/tools/http2-server.py" 9777 "$LAB_DIR/says-rs$1" "${@:2}"; }
server 1
server 2 "$LAB_DIR/certificate" "$LAB_DIR/key"
server 3
words="connect_port 9777
   connect_timeout 1
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
  HTTP_GET {
   http_protocol 2
   url {
    path /
    digest $(printf hello | md5sum | cut -d' ' -f1)
   }
   $words
  }
 }
}
END
daemon d1 "$LAB_DIR/d1.conf"
is_there() { [[ $(on d1 ipvsadm -Ln) == *"10.77.1.2$1:80 "* ]]; }
is_out() { ! is_there "$1"; }
timed "three servers" 8 eval 'is_there 1 && is_there 2 && is_there 3'
spread "requests go to all three" "10 rs1 10 rs2 10 rs3" -n 30 $VIP 80
says 1 2
timed "NOT_SERVING: out of the table" 5 is_out 1
check "and why is told" wait_until 2 logged d1 "gRPC health of .10.77.1.21.:tcp:80, service shop.Cart: NOT_SERVING"
says 1 1
timed "SERVING: back" 5 is_there 1
says 2 'status 14'
timed "a grpc-status over TLS: out of the table" 5 is_out 2
check "and why is told" wait_until 2 logged d1 "gRPC health of .10.77.1.22.:tcp:80: grpc-status 14 UNAVAILABLE"
says 2 1
timed "back" 5 is_there 2
says 3 'hell'
timed "another page over HTTP/2: out of the table" 5 is_out 3
check "and why is told" wait_until 2 logged d1 "MD5 digest error to .10.77.1.23.:tcp:80"
says 3 hello
timed "back" 5 is_there 3
stop rs1 http2 KILL
timed "a health service that is gone takes its server out" 5 is_out 1
spread "requests go to those that are left" "10 rs2 10 rs3" -n 20 $VIP 80
stop d1 daemon
check "no service is left" eval '[[ -z $(table d1) ]]'
lab_done
