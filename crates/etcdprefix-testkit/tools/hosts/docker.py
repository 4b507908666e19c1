"""A stand-in for docker: shows what the stand-in of kubelet runs, each container with the sandbox of its pod.

usage: docker ps [-a] [-q] [--no-trunc] [--format TEMPLATE] [--filter name=TEXT]
"""

import argparse
import json
import re
import time

parser = argparse.ArgumentParser(prog="docker")
commands = parser.add_subparsers(required=True)
ps = commands.add_parser("ps")
ps.add_argument("--all", "-a", action="store_true")
ps.add_argument("--quiet", "-q", action="store_true")
ps.add_argument("--no-trunc", action="store_true")
ps.add_argument("--format")
ps.add_argument("--filter", "-f", action="append", default=[])
asked = parser.parse_args()

try:
    with open("/run/stand-ins/containers.json") as file:
        containers = json.load(file)
except FileNotFoundError:
    containers = []


def rows(container):
    labels = {key.rsplit(".", 1)[1]: value for key, value in container["labels"].items()}
    name, attempt = container["metadata"]["name"], container["metadata"]["attempt"]
    pod = "_".join([container["labels"]["io.kubernetes.pod.name"], labels["namespace"], labels["uid"], str(attempt)])
    age = int(time.time() - int(container["createdAt"]) / 1e9)
    common = {"Status": f"Up {age} seconds", "State": "running", "RunningFor": f"{age} seconds ago", "Ports": ""}
    yield {"ID": container["id"], "Image": container["image"]["image"], "Names": f"k8s_{name}_{pod}", **common}
    yield {"ID": container["podSandboxId"], "Image": "registry.invalid/acs/pause:3.5", "Names": f"k8s_POD_{pod}", **common}


def shown(row):
    names = [it.split("=", 1)[1] for it in asked.filter if it.startswith("name=")]
    return not names or any(re.search(name, row["Names"]) for name in names)


found = [row for container in containers for row in rows(container) if shown(row)]
for row in found:
    if not asked.no_trunc:
        row["ID"] = row["ID"][:12]
if asked.quiet:
    asked.format = "{{.ID}}"
if asked.format:
    for row in found:
        line = asked.format.replace("{{json .}}", json.dumps(row))
        print(re.sub(r"\{\{ *\.(\w+) *\}\}", lambda field: row[field[1]], line))
else:
    columns = ["CONTAINER ID", "IMAGE", "CREATED", "STATUS", "PORTS", "NAMES"]
    print("{:<15}{:<50}{:<20}{:<16}{:<8}{}".format(*columns))
    for row in found:
        fields = (row[key] for key in ("ID", "Image", "RunningFor", "Status", "Ports", "Names"))
        print("{:<15}{:<50}{:<20}{:<16}{:<8}{}".format(*fields))
