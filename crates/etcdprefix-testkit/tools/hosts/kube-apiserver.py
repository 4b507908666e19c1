"""A stand-in for kube-apiserver: writes to etcd as long as it runs, and serves a few objects from files.

usage: kube-apiserver --secure-port=N --tls-cert-file=F --tls-private-key-file=F --client-ca-file=F
           [--etcd-servers=URL --etcd-prefix=P --etcd-cafile=F --etcd-certfile=F --etcd-keyfile=F] [...]

With --etcd-servers it puts a lease of its node five times a second and, once a second, an event that etcd drops after
about two seconds; it goes through etcd's JSON gateway. How many writes were confirmed, since the host was started, is told
in /run/stand-ins/writes.

The objects are files below STAND_IN_API (by default /var/lib/stand-ins/api): GET of /api/v1/nodes answers with
api/v1/nodes.json, and of /api/v1/nodes/m1 with the item of that name in it. DELETE, POST, PUT and PATCH (a merge) change
the files. Each request but GET is a line of `requests` there. Who has neither a certificate of the client's
authority nor the token in the file `token` there gets only /livez, /readyz, /healthz and /version.
"""

import base64
import fcntl
import http.client
import json
import os
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from disguise import disguise

FLAGS = dict(word[2:].split("=", 1) for word in sys.argv[1:] if "=" in word)
API = os.environ.get("STAND_IN_API", "/var/lib/stand-ins/api")
WRITES = "/run/stand-ins/writes"
NAME = socket.gethostname()
OPEN = {"/livez", "/readyz", "/healthz", "/version"}
PERIOD_SECONDS = 0.2
EVENT_SECONDS = 2
LATE_SECONDS = 2.0


def counted():
    """What those before us have counted."""
    try:
        with open(WRITES) as file:
            return int(file.read())
    except (FileNotFoundError, ValueError):
        return 0


class Writer:
    """Puts keys until the process ends."""

    def __init__(self):
        url = urlsplit(FLAGS["etcd-servers"].split(",")[0])
        context = ssl.create_default_context(cafile=FLAGS["etcd-cafile"])
        context.load_cert_chain(FLAGS["etcd-certfile"], FLAGS["etcd-keyfile"])
        self.connect = lambda: http.client.HTTPSConnection(url.hostname, url.port, timeout=2, context=context)
        self.connection = self.connect()
        self.prefix, self.count, self.last = FLAGS.get("etcd-prefix", "/registry"), counted(), 0.0

    def run(self):
        while True:
            try:
                self.write()
            except (OSError, http.client.HTTPException, KeyError, ValueError):
                self.connection.close()
                self.connection = self.connect()
            time.sleep(PERIOD_SECONDS)

    def write(self):
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"renewTime": now}}
        self.put(f"/leases/kube-node-lease/{NAME}", lease)
        if self.count % 5 == 1:
            granted = self.ask("lease/grant", {"TTL": EVENT_SECONDS})["ID"]
            event = {"apiVersion": "v1", "kind": "Event", "firstTimestamp": now}
            self.put(f"/events/default/{NAME}.{self.count:x}", event, granted)

    def put(self, key, value, lease=0):
        key, value = (base64.b64encode(it.encode()).decode() for it in (self.prefix + key, json.dumps(value)))
        self.ask("kv/put", {"key": key, "value": value, "lease": lease})
        self.count, self.last = self.count + 1, time.monotonic()
        with open(WRITES + ".new", "w") as file:
            file.write(str(self.count))
        os.replace(WRITES + ".new", WRITES)

    def ask(self, what, body):
        self.connection.request("POST", f"/v3/{what}", json.dumps(body))
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise ValueError(text)
        return json.loads(text)

    def ready(self):
        return time.monotonic() < self.last + LATE_SECONDS


WRITER = Writer() if "etcd-servers" in FLAGS else None


class Refused(Exception):
    pass


def merged(old, change):
    if not isinstance(old, dict) or not isinstance(change, dict):
        return change
    both = {key: merged(old.get(key), value) for key, value in change.items() if value is not None}
    return {**{key: value for key, value in old.items() if key not in change}, **both}


def named(item):
    return item.get("metadata", {}).get("name")


class Store:
    """The files of one request; only one of all servers has them open."""

    def __enter__(self):
        self.lock = open(f"{API}/lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_):
        self.lock.close()

    def load(self, path):
        try:
            with open(f"{API}{path}.json") as file:
                return json.load(file)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def save(self, path, value):
        file = f"{API}{path}.json"
        if value is None:
            os.unlink(file)
            return
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file + ".new", "w") as fresh:
            json.dump(value, fresh)
        os.replace(file + ".new", file)

    def place(self, path):
        """(path of the file, what is in it, index of the item or None for all)."""
        whole = self.load(path)
        if whole is not None:
            return path, whole, None
        folder, name = path.rsplit("/", 1)
        whole = self.load(folder) or {}
        found = [index for index, item in enumerate(whole.get("items", [])) if named(item) == name]
        if not found:
            raise Refused(404, "NotFound", f"{path} not found")
        return folder, whole, found[0]

    def change(self, path, change):
        """Puts `change(old)` in the place of what is there, nothing if that is None."""
        file, whole, index = self.place(path)
        if index is None:
            old, new = whole, change(whole)
            self.save(file, new)
        else:
            old = whole["items"][index]
            new = change(old)
            whole["items"][index : index + 1] = [] if new is None else [new]
            self.save(file, whole)
        return old if new is None else new

    def get(self, path, query):
        _, whole, index = self.place(path)
        if index is not None:
            return whole["items"][index]
        if "items" in whole:
            whole["items"] = [item for item in whole["items"] if chosen(item, query)]
        return whole

    def add(self, path, item):
        whole = self.load(path) or {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []}
        if any(named(item) == named(other) for other in whole["items"]):
            raise Refused(409, "AlreadyExists", f"{named(item)} already exists")
        whole["items"].append(item)
        self.save(path, whole)
        return item


def chosen(item, query):
    labels = item.get("metadata", {}).get("labels", {})
    asked = [pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if "=" in pair]
    field = query.get("fieldSelector", "")
    by_name = not field.startswith("metadata.name=") or field.split("=", 1)[1] == named(item)
    return by_name and all(labels.get(key) == value for key, value in asked)


def token():
    try:
        with open(f"{API}/token") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        # In this connection's own thread: nobody else waits for a client that is slow to greet.
        self.request.do_handshake()

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass

    def answer(self, status, value):
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        kind = "text/plain; charset=utf-8" if isinstance(value, str) else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self.answer(*self.outcome(url.path, dict(parse_qsl(url.query)), body))
        except Refused as refused:
            code, reason, message = refused.args
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason}
            self.answer(code, {**status, "message": message, "code": code})

    do_GET = do_DELETE = do_POST = do_PUT = do_PATCH = serve

    def outcome(self, path, query, body):
        if path in OPEN:
            return self.health(path)
        allowed = self.request.getpeercert() or (
            token() and self.headers.get("Authorization") == f"Bearer {token()}"
        )
        if not allowed:
            raise Refused(401, "Unauthorized", "Unauthorized")
        with Store() as store:
            if self.command == "GET":
                return 200, store.get(path, query)
            outcome = self.written(store, path, json.loads(body or b"null"))
            with open(f"{API}/requests", "a") as file:
                file.write(f"{self.command} {path}\n")
            return outcome

    def written(self, store, path, value):
        if self.command == "POST":
            return 201, store.add(path, value)
        changes = {
            "DELETE": lambda _: None,
            "PUT": lambda _: value,
            "PATCH": lambda old: merged(old, value),
        }
        return 200, store.change(path, changes[self.command])

    def health(self, path):
        if path == "/version":
            major, minor = "1", "28"
            return 200, {"major": major, "minor": minor, "gitVersion": "v1.28.3", "platform": "linux/amd64"}
        if path != "/livez" and WRITER and not WRITER.ready():
            return 500, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n"
        return 200, "ok"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """A client that doesn't trust us, or is not trusted, is no fault."""


disguise("kube-apiserver")
os.makedirs(API, exist_ok=True)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(FLAGS["tls-cert-file"], FLAGS["tls-private-key-file"])
tls.load_verify_locations(FLAGS["client-ca-file"])
tls.verify_mode = ssl.CERT_OPTIONAL
server = Server((FLAGS.get("bind-address", "0.0.0.0"), int(FLAGS["secure-port"])), Handler)
server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
if WRITER:
    threading.Thread(target=WRITER.run, daemon=True).start()
server.serve_forever()
