#!/usr/bin/env python3
"""A server of the gRPC library with the health service: grpc-health-server.py PORT FILE [CERTIFICATE KEY].

FILE has a line `SERVICE HEALTH` for each service, read anew for each question; the whole server is `-`. A
service that is not in it is NOT_FOUND. HEALTH is a number (1 SERVING, 2 NOT_SERVING); `wait` answers
SERVING, but only once FILE says something else. SIGTERM is a graceful stop: the library takes no new
connections, sends GOAWAY on those that are open and lets calls end."""
import signal
import sys
import threading
import time
from concurrent import futures

import grpc

METHOD = "/grpc.health.v1.Health/Check"
GRACE = 20


class Health(grpc.GenericRpcHandler):
    def __init__(self, path):
        self.path = path

    def service(self, handler_call_details):
        if handler_call_details.method != METHOD:
            return None
        # Without serializers: the messages as they are.
        return grpc.unary_unary_rpc_method_handler(self.check)

    def known(self):
        with open(self.path) as file:
            return dict(line.split() for line in file)

    def check(self, request, context):
        # HealthCheckRequest: nothing, or field 1, a string of less than 128 bytes
        name = request[2:].decode() if request else "-"
        health = self.known().get(name)
        if health is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no service {name}")
        if health == "wait":
            print(f"waiting {name}", flush=True)
            while self.known().get(name) == "wait":
                time.sleep(0.02)
            print(f"answering {name}", flush=True)
            health = 1
        # HealthCheckResponse: field 1, an enum
        return bytes([8, int(health)])


def main():
    port, path, *identity = sys.argv[1:]
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Health(path)])
    if identity:
        certificate, key = (open(name, "rb").read() for name in identity)
        server.add_secure_port(f"0.0.0.0:{port}", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(f"0.0.0.0:{port}")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server.start()
    print("ready", flush=True)
    ended.wait()
    stopped = server.stop(GRACE)
    print("stopping", flush=True)
    stopped.wait()


main()
