"""A stand-in for kubelet and containerd: runs one process for each static pod's manifest.

usage: kubelet --config=FILE [...]

The folder is staticPodPath of the file. A container's process is called as the first word of its command. It is
programs of the folder of this script that are run, or, where there is none, one that only sleeps.
What runs is told in /run/stand-ins/containers.json, which the stand-in of crictl shows.

Files in /var/lib/stand-ins change what happens when a manifest goes, each with lines "CONTAINER [SECONDS]":
  stops-late       the process is told to stop only after so many seconds
  never-stops      the container and its process stay
  container-stays  the process stops, but the container stays in the list
  process-stays    the container leaves the list, but its process goes on
"""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

from disguise import disguise

HERE = os.path.dirname(os.path.realpath(__file__))
STATE = "/run/stand-ins"
KNOBS = "/var/lib/stand-ins"
PERIOD_SECONDS = 0.1
RESTART_SECONDS = 1.0
GRACE_SECONDS = 30.0


def static_pod_path():
    config = next(word[9:] for word in sys.argv if word.startswith("--config="))
    with open(config) as file:
        return re.search(r"^staticPodPath: *(\S+)", file.read(), re.M)[1]


def knob(name, container):
    """Seconds, or None if it is not set for this container."""
    try:
        with open(f"{KNOBS}/{name}") as file:
            lines = [line.split() for line in file]
    except FileNotFoundError:
        return None
    found = [float(words[1]) if words[1:] else 0.0 for words in lines if words[:1] == [container]]
    return found[0] if found else None


def parse(text):
    """(container, image, command) of a manifest with one container."""
    words, collecting = [], False
    for line in text.splitlines():
        line = line.strip()
        if re.fullmatch(r"(- )?(command|args):", line):
            collecting = True
        elif collecting and line.startswith("- "):
            words.append(line[2:].strip().strip("'\""))
        else:
            collecting = False
    spec = text[text.index("containers:"):]
    name = re.search(r"^ *(?:- )?name: *(\S+)", spec, re.M)[1]
    image = re.search(r"^ *(?:- )?image: *(\S+)", spec, re.M)
    if not words or words[0].startswith("-"):
        words.insert(0, name)
    return name, image[1] if image else "", words


def program(name):
    path = f"{HERE}/{name}"
    if not os.path.exists(path):
        path = f"{STATE}/bin/{name}"
        if not os.path.exists(path):
            shutil.copy("/usr/bin/sleep", path)
    return path


class Pod:
    def __init__(self, text, attempt=0):
        self.text, self.attempt = text, attempt
        self.name, self.image, self.command = parse(text)
        self.id = os.urandom(32).hex()
        self.created = time.time_ns()
        self.told_to_stop = self.stop_from = None
        name = os.path.basename(self.command[0])
        arguments = self.command[1:] if os.path.exists(f"{HERE}/{name}") else ["infinity"]
        with open(f"/var/log/{name}.log", "a") as log:
            self.process = subprocess.Popen(
                [name, *arguments], executable=program(name), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )

    def ended(self):
        return self.process.poll() is not None

    def stop(self, now):
        """One step; whether nothing is left to be done."""
        if self.stop_from is None:
            self.stop_from = now + (knob("stops-late", self.name) or 0)
        if knob("never-stops", self.name) is not None:
            return False
        if knob("process-stays", self.name) is not None:
            return True
        if now >= self.stop_from and self.told_to_stop is None:
            self.told_to_stop = now
            self.process.send_signal(signal.SIGTERM)
        if self.told_to_stop is not None and now >= self.told_to_stop + GRACE_SECONDS:
            self.process.kill()
        return self.ended() and knob("container-stays", self.name) is None

    def described(self, host):
        return {
            "id": self.id,
            "podSandboxId": hashlib.sha256(self.id.encode()).hexdigest(),
            "metadata": {"name": self.name, "attempt": self.attempt},
            "image": {"image": self.image, "annotations": {}},
            "imageRef": self.image,
            "state": "CONTAINER_RUNNING",
            "createdAt": str(self.created),
            "labels": {
                "io.kubernetes.container.name": self.name,
                "io.kubernetes.pod.name": f"{self.name}-{host}",
                "io.kubernetes.pod.namespace": "kube-system",
                "io.kubernetes.pod.uid": hashlib.md5(self.text.encode()).hexdigest(),
            },
            "annotations": {"io.kubernetes.container.restartCount": str(self.attempt)},
        }


class Kubelet:
    def __init__(self, folder):
        self.folder, self.host = folder, socket.gethostname()
        self.pods, self.stopping, self.told = {}, [], None

    def manifests(self):
        """As kubelet does: all files that are not hidden, whatever they are called."""
        found = {}
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            try:
                if not name.startswith(".") and os.path.isfile(path):
                    with open(path) as file:
                        found[name] = file.read()
            except FileNotFoundError:
                pass
        return found

    def step(self):
        now, wanted = time.monotonic(), self.manifests()
        for name, pod in list(self.pods.items()):
            if wanted.get(name) != pod.text:
                self.stopping.append(self.pods.pop(name))
        self.stopping = [pod for pod in self.stopping if not pod.stop(now)]
        busy = {pod.name for pod in self.stopping}
        for name, text in wanted.items():
            if name not in self.pods:
                self.begin(name, text, busy)
        self.revive()
        self.tell()

    def begin(self, name, text, busy):
        """A file that is no manifest, or only half of one, is left for the next time."""
        try:
            if parse(text)[0] not in busy:
                self.pods[name] = Pod(text)
        except (ValueError, TypeError) as error:
            print(f"kubelet: {name}: {error!r}", flush=True)

    def revive(self):
        for name, pod in list(self.pods.items()):
            if pod.ended() and time.time_ns() > pod.created + RESTART_SECONDS * 1e9:
                self.pods[name] = Pod(pod.text, pod.attempt + 1)

    def tell(self):
        running = [*self.pods.values(), *self.stopping]
        told = json.dumps([pod.described(self.host) for pod in running])
        if told != self.told:
            with open(f"{STATE}/.containers.json", "w") as file:
                file.write(told)
            os.replace(f"{STATE}/.containers.json", f"{STATE}/containers.json")
            self.told = told


disguise()
os.makedirs(f"{STATE}/bin", exist_ok=True)
kubelet = Kubelet(static_pod_path())
while True:
    try:
        kubelet.step()
    except Exception as error:
        print(f"kubelet: {error!r}", flush=True)
    time.sleep(PERIOD_SECONDS)
