#!/bin/bash
# lvs-agent: AGENT_CHECK, and MISC_CHECK with expect, words that keepalived does
# not have, on a real IPVS.  What an agent says becomes the weight of its server,
# from its last answer alone; down takes it out, an agent that is gone as well.
#   uml-run -- lab-netns run --directors 1 --reals 3 -- scenarios/lvs-agent.sh
set -euo pipefail
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/lvs.sh"
VIP=10.77.1.200
client_addresses
reals_direct $VIP
reals_http 80
ip -n d1 addr add $VIP/32 dev eth0
agent() { # SERVER TEXT: what it says from now on
    printf '%s\n' "$2" >"$LAB_DIR/agent-rs$1.new"; mv "$LAB_DIR/agent-rs$1.new" "$LAB_DIR/agent-rs$1"
}
for s in 1 2; do
    agent $s 100%
    bg rs$s agent python3 -c '
import socket, sys
server = socket.create_server(("", 9777))
while True:
    peer, _ = server.accept()
    peer.sendall(open(sys.argv[1], "rb").read())
    peer.close()' "$LAB_DIR/agent-rs$s"
done
{
    printf 'global_defs {\n router_id d1\n script_user root\n}\nvirtual_server %s 80 {\n delay_loop 1\n lb_algo wrr\n lb_kind DR\n protocol TCP\n' $VIP
    for s in 1 2; do printf ' real_server 10.77.1.2%s 80 {\n  weight 10\n  AGENT_CHECK {\n   connect_port 9777\n   connect_timeout 1\n  }\n }\n' $s; done
    printf ' real_server 10.77.1.23 80 {\n  weight 10\n  MISC_CHECK {\n   misc_path "/bin/cat %s/said-%%h-%%p"\n   misc_timeout 5\n   expect "^(all is well|nothing)"\n  }\n }\n}\n' "$LAB_DIR"
} >"$LAB_DIR/d1.conf"
echo 'all is well' >"$LAB_DIR/said-10.77.1.23-80"
daemon d1 "$LAB_DIR/d1.conf"
weight() { on d1 ipvsadm -Ln | awk -v s="10.77.1.2$1:80" '$2 == s { print $4 }'; }
has_weight() { [[ $(weight "$1") == "$2" ]]; }
all_serve() { has_weight 1 10 && has_weight 2 10 && has_weight 3 10; }
pause() { local t; t=$(now_us); while (( $(since_ms "$t") < $1 )); do :; done; }
timed "three servers" 8 all_serve
agent 1 50%
timed "half of the weight" 5 has_weight 1 5
pause 3000
check "still half of the configured one, several answers later" has_weight 1 5
agent 1 'up 40'
timed "a plain number is the weight" 5 has_weight 1 40
agent 1 drain
timed "drained: no weight" 5 has_weight 1 0
spread "requests go to the others" "10 rs2 10 rs3" -n 20 $VIP 80
agent 1 'down #disk is full'
timed "down: out of the table" 5 has_weight 1 ""
check "and why is told" wait_until 2 logged d1 "Agent of .10.77.1.21.:tcp:80 takes it out.*disk is full"
agent 1 100%
timed "back with its whole weight" 5 has_weight 1 10
agent 1 'what a day'
timed "an answer that is none takes it out" 5 has_weight 1 ""
check "and is told" wait_until 2 logged d1 "is not understood.*no word of an agent"
agent 1 ready
stop rs2 agent KILL
timed "an agent that is gone takes its server out" 5 has_weight 2 ""
timed "the other is back" 5 has_weight 1 10
echo 'all is lost' >"$LAB_DIR/said-10.77.1.23-80"
timed "a program that says something else takes its server out" 5 has_weight 3 ""
check "and is told" wait_until 2 logged d1 "unexpected output"
spread "requests go to the one that is left" "20 rs1" -n 20 $VIP 80
echo 'all is well' >"$LAB_DIR/said-10.77.1.23-80"
timed "and back when it says what is expected" 5 has_weight 3 10
stop d1 daemon
check "no service is left" eval '[[ -z $(table d1) ]]'
lab_done
