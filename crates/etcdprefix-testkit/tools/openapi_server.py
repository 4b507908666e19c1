"""A stand-in for Alibaba Cloud's API of ECS and OOS, for tests.

Commands really run, on the instances that the configuration maps to namespaces; signatures are
checked. The parts are in `openapi/`.

usage: openapi_server.py CONFIG

CONFIG is a JSON file, read anew for every request:
  region     the one region there is
  keys       {access key id: {"secret": ..., "token": null or ..., "deny": [action, ...], "inactive": bool}}
  instances  {instance id: {"prefix": [program and arguments that run the rest there],
             "scripts": folder there, "name", "ips", "tags": {key: value}, "group",
             "status": "Running" or ..., "agent": false if it is offline,
             "output_limit_bytes", "pending_seconds"}}
  faults     see openapi/faults.py
  page       the most instances a page
  record     a file for every command and its output; none by default
  skew       seconds by which this server's clock is ahead
  address    where to listen, loopback by default; read at the start alone
  tls        [certificate, key] to listen with TLS; read at the start alone
Prints "port N" once it listens, then one line for each call: action, instance or execution or
template, outcome. No line has a command, an output or a secret.
"""

import contextlib
import json
import socket
import ssl
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

from openapi import access, faults
from openapi.ecs import Ecs
from openapi.errors import ApiError
from openapi.oos import Oos

# SDKs put templates into the query.
LINE_LIMIT_BYTES = 1 << 20


def config():
    with open(sys.argv[1]) as file:
        return json.load(file)


ECS = Ecs(config)
SERVICES = (ECS, Oos(config, ECS))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline(LINE_LIMIT_BYTES)
        if not self.raw_requestline:
            self.close_connection = True
        elif self.parse_request():
            self.answer()

    def answer(self):
        request = self.request_parts()
        try:
            status, body, is_lost = 200, *self.serve(request)
            outcome = "Lost" if is_lost else "OK"
        except ApiError as error:
            status, body, is_lost = error.status, {"Code": error.code, "Message": error.message}, False
            outcome = error.code
        except faults.Hole:
            status, body, is_lost, outcome = 0, {}, True, "Hole"
        # In one piece: others write at the same time.
        line = f"call {request.action} {subject(request.parameters)} {outcome}\n"
        print(line, end="", flush=True)
        if outcome == "Hole":
            # Until the client closes it.
            self.connection.recv(1)
        if is_lost:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send(status, {"RequestId": str(uuid.uuid4()).upper(), **body})

    def serve(self, request):
        settings = config()
        access.check(settings, request)
        service = self.service(request)
        region = request.parameters.get("RegionId", settings["region"])
        if region != settings["region"]:
            raise ApiError(404, "InvalidRegionId.NotFound", "The RegionId provided does not exist in our records.")
        instance = request.parameters.get("InstanceId.1") or request.parameters.get("InstanceId")
        fault = faults.take(settings, request.action, instance)
        faults.before(fault)
        action = service.actions[request.action]
        given = (request.parameters, fault) if request.action == "RunCommand" else (request.parameters,)
        return action(*given), faults.is_lost(fault)

    def service(self, request):
        for service in SERVICES:
            if request.headers["x-acs-version"] == service.VERSION and request.action in service.actions:
                return service
        raise ApiError(404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")

    def request_parts(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = parse_qsl(parts.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in self.headers.items()}
        is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        form = parse_qsl(body.decode(), keep_blank_values=True) if is_form else []
        return SimpleNamespace(
            method=self.command,
            path=parts.path,
            query=query,
            headers=headers,
            body=body,
            action=headers.get("x-acs-action", "-"),
            parameters=dict([*query, *form]),
        )

    def send(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        if 300 <= status < 400:
            # Whoever follows it is seen in the log.
            self.send_header("Location", "/")
        self.end_headers()
        self.wfile.write(data)


def subject(parameters):
    names = ("InstanceId.1", "InstanceId", "ExecutionId", "TemplateName", "InvokeId")
    return next((parameters[name] for name in names if parameters.get(name)), "-")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    settings = config()
    server = Server((settings.get("address", "127.0.0.1"), 0), Handler)
    if "tls" in settings:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*settings["tls"])
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print("port", server.server_port, flush=True)
    server.serve_forever()
