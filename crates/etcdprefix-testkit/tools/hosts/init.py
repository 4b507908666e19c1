"""The first process of a host: gives it folders of its own, starts what it is told to, and ends with the test.

usage: init.py CONFIG

It runs in new namespaces of mounts, processes and names. CONFIG is a JSON file:
  room      a folder for what is written to the overlays, which nobody sees afterwards
  overlays  [[place, above, below], ...]: shows the folders above, the place itself, and the folders below as one
  binds     [[from, to], ...]: files or folders seen in further places; a missing `to` is made
  commands  [[program, argument, ...], ...]: run before it is ready
Then it prints "ready" and takes orders from standard input, one JSON list a line, and answers with a line each:
  ["start", log, program, argument, ...]  -> the process id
  ["signal", process id, signal]          -> "sent", to a process that it started, or "ended" if that has
  ["kill", process id]                    -> "ended" once a process that it started is gone
When standard input ends, which is when the test does, it ends, and every process of the host with it.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile

MS_BIND, MS_REC = 4096, 16384
LIBC = ctypes.CDLL(None, use_errno=True)
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


def mount(source, target, kind=None, flags=0, data=None):
    text = [value and os.fsencode(value) for value in (source, target, kind, data)]
    if LIBC.mount(text[0], text[1], text[2], ctypes.c_ulong(flags), text[3]) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot mount {source}: {os.strerror(error)}", target)


def overlay(room, place, above, below):
    upper, work = tempfile.mkdtemp(dir=room), tempfile.mkdtemp(dir=room)
    os.chmod(upper, 0o755)
    folders = ":".join([*above, place, *below])
    mount("overlay", place, "overlay", 0, f"lowerdir={folders},upperdir={upper},workdir={work}")


def bind(source, target):
    if not os.path.exists(target):
        if os.path.isdir(source):
            os.makedirs(target)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            open(target, "w").close()
    mount(source, target, None, MS_BIND | MS_REC)


def furnish(config):
    # On a tmpfs, because the machine's own folders may be overlays, which take no other upon them.
    room = config["room"]
    mount("tmpfs", room, "tmpfs")
    for place, above, below in config["overlays"]:
        overlay(room, place, above, below)
    for source, target in config["binds"]:
        bind(source, target)
    mount("tmpfs", "/dev/shm", "tmpfs")
    for command in config["commands"]:
        subprocess.run(command, check=True, env=ENVIRONMENT)


def start(log, program, *arguments):
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        none = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((none, 0), (out, 1), (out, 2)):
            os.dup2(old, new)
        os.execvpe(program, [program, *arguments], ENVIRONMENT)
    except OSError as error:
        os.write(2, f"cannot start {program}: {error}\n".encode())
    finally:
        os._exit(127)


class Init:
    def __init__(self):
        self.awaited = set()
        wake, waker = os.pipe()
        for end in (wake, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.wake = wake

    def serve(self):
        say("ready")
        rest = b""
        while True:
            ready, _, _ = select.select([0, self.wake], [], [])
            if self.wake in ready:
                os.read(self.wake, 4096)
                self.reap()
            if 0 in ready:
                got = os.read(0, 65536)
                if not got:
                    return
                *lines, rest = (rest + got).split(b"\n")
                for line in lines:
                    self.obey(*json.loads(line))

    def obey(self, verb, *operands):
        if verb == "start":
            child = start(*operands)
            self.awaited.add(child)
            say(child)
        elif operands[0] not in self.awaited:
            say("ended")
        elif verb == "signal":
            os.kill(*operands)
            say("sent")
        elif verb == "kill":
            self.kill(*operands)
            say("ended")

    def kill(self, process):
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        self.awaited.discard(process)

    def reap(self):
        # Also what lost its parent, as the first process of any machine does.
        while True:
            try:
                process, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            self.awaited.discard(process)


def say(what):
    print(what, flush=True)


with open(sys.argv[1]) as file:
    furnish(json.load(file))
Init().serve()
