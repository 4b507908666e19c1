"""A stand-in for crictl: shows what the stand-in of kubelet runs.

usage: crictl [--runtime-endpoint ENDPOINT] ps [-a] [-q] [-o json] [--name REGEX] [--state STATE] [--label KEY=VALUE]
"""

import argparse
import json
import re
import sys
import time

ENDPOINTS = {f"{scheme}{path}/containerd/containerd.sock" for scheme in ("", "unix://") for path in ("/run", "/var/run")}

parser = argparse.ArgumentParser(prog="crictl")
parser.add_argument("--runtime-endpoint", "-r", default="unix:///run/containerd/containerd.sock")
parser.add_argument("--image-endpoint", "-i")
parser.add_argument("--timeout", "-t")
commands = parser.add_subparsers(required=True)
ps = commands.add_parser("ps")
ps.add_argument("--all", "-a", action="store_true")
ps.add_argument("--quiet", "-q", action="store_true")
ps.add_argument("--no-trunc", action="store_true")
ps.add_argument("--output", "-o", default="table")
ps.add_argument("--name", default="")
ps.add_argument("--state", "-s", default="running")
ps.add_argument("--label", action="append", default=[])
asked = parser.parse_args()

if asked.runtime_endpoint not in ENDPOINTS:
    sys.exit(f'FATA[0000] connect: dial unix "{asked.runtime_endpoint}": no such file or directory')
try:
    with open("/run/stand-ins/containers.json") as file:
        containers = json.load(file)
except FileNotFoundError:
    containers = []


def shown(container):
    labels = [f"{key}={value}" for key, value in container["labels"].items()]
    return (
        re.search(asked.name, container["metadata"]["name"])
        and asked.state.lower() in ("running", "r")
        and all(label in labels for label in asked.label)
    )


containers = [container for container in containers if shown(container)]
if asked.quiet:
    for container in containers:
        print(container["id"])
elif asked.output == "json":
    print(json.dumps({"containers": containers}, indent=2))
else:
    row = "{:<15}{:<15}{:<20}{:<12}{:<28}{:<10}{:<15}{}"
    print(row.format("CONTAINER", "IMAGE", "CREATED", "STATE", "NAME", "ATTEMPT", "POD ID", "POD"))
    for it in containers:
        age = f"{int(time.time() - int(it['createdAt']) / 1e9)} seconds ago"
        name, pod = it["metadata"]["name"], it["labels"]["io.kubernetes.pod.name"]
        image, attempt = it["image"]["image"][-13:], it["metadata"]["attempt"]
        print(row.format(it["id"][:13], image, age, "Running", name, attempt, it["podSandboxId"][:13], pod))
