"""ECS: instances, and commands on them.

A command runs where the configuration's `prefix` for its instance puts it, in a session of its own,
from a script that stays on the instance, as the real agent's do.
"""

import base64
import binascii
import ctypes
import itertools
import json
import os
import signal
import subprocess
import threading
import time

from . import faults, record
from .errors import ApiError, invalid, missing
from .once import Once
from .paging import number, numbered, page

CONTENT_LIMIT_BYTES = 24 << 10
OUTPUT_LIMIT_BYTES = 24 << 10
# The agent keeps so much of the beginning, and of the end what else may be kept.
OUTPUT_HEAD_BYTES = 6000
TIMEOUT_SECONDS = (10, 86400)
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
FINAL = ("Success", "Failed", "Timeout", "Cancelled", "Terminated", "Aborted", "Error")
RECORDS = {"Pending": "Running", "Running": "Running", "Stopping": "Stopping", "Success": "Finished", "Failed": "Finished", "Cancelled": "Stopped", "Terminated": "Stopped"}
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Output:
    """What is kept of an output: its beginning and its end, and nothing tells where its middle is missing."""

    def __init__(self, limit):
        self.head, self.tail, self.dropped = bytearray(), bytearray(), 0
        self.head_limit = min(OUTPUT_HEAD_BYTES, limit // 4)
        self.tail_limit = limit - self.head_limit

    def add(self, piece):
        room = max(self.head_limit - len(self.head), 0)
        self.head += piece[:room]
        self.tail += piece[room:]
        surplus = max(len(self.tail) - self.tail_limit, 0)
        del self.tail[:surplus]
        self.dropped += surplus

    def __bytes__(self):
        return bytes(self.head + self.tail)


class Task:
    """A command on one instance."""

    def __init__(self, invocation, instance_id, timeout):
        self.invocation, self.instance_id, self.timeout = invocation, instance_id, timeout
        self.status, self.exit_code, self.error = "Pending", None, ("", "")
        self.output = Output(OUTPUT_LIMIT_BYTES)
        self.times = {"CreationTime": now()}
        self.process, self.is_stopped, self.fault = None, False, None
        self.lock, self.done = threading.Lock(), threading.Event()

    def start(self, config, fault=None):
        instance = config["instances"][self.instance_id]
        self.output = Output(instance.get("output_limit_bytes", OUTPUT_LIMIT_BYTES))
        self.fault = fault
        if instance.get("status", "Running") != "Running":
            return self.end("Aborted", error=("InstanceNotRunning", "the instance is not running"))
        if not instance.get("agent", True):
            return self.end("Aborted", error=("ClientNotRunning", "the cloud assistant is not running"))
        threading.Thread(target=self.run, args=(instance,), daemon=True).start()

    def run(self, instance):
        time.sleep(faults.pending_seconds(self.fault) or instance.get("pending_seconds", 0))
        if self.is_stopped:
            return
        try:
            script = self.install(instance)
            self.launch(instance, script)
        except (OSError, subprocess.SubprocessError) as error:
            return self.end("Error", error=("ExecutionException", str(error)))
        if self.process is None:
            return
        if faults.is_unreported(self.fault):
            return self.forget()
        timer = threading.Timer(self.timeout, self.stop, ("Timeout",))
        timer.start()
        if (seconds := faults.interrupted_after(self.fault)) is not None:
            threading.Timer(seconds, self.stop, ("Interrupted",)).start()
        self.collect()
        code = self.process.wait()
        timer.cancel()
        if self.status == "Stopping":
            self.end("Terminated", code)
        elif self.is_stopped == "Interrupted":
            self.end("Error", error=("ExecutionInterrupted", "the execution of the command was interrupted"))
        elif self.is_stopped:
            self.end("Timeout", error=("ExecutionTimeout", "the command timed out"))
        elif code == 0:
            self.end("Success", 0)
        else:
            self.end("Failed", code if code > 0 else 128 - code, ("ExitCodeNonzero", "the exit code is not 0"))

    def forget(self):
        """The agent was started anew: the script goes on, and nobody tells the service of it."""
        threading.Thread(target=self.read, args=(Output(0),), daemon=True).start()
        if not self.done.wait(self.timeout):
            with self.lock:
                if self.status not in FINAL:
                    self.end("Timeout", error=("ExecutionTimeout", "the command timed out"))

    def install(self, instance):
        """Leaves the script on the instance and returns its path there."""
        script = f"{instance['scripts']}/{self.invocation.id}.sh"
        order = 'umask 077 && mkdir -p "${0%/*}" && cat > "$0" && chmod 700 "$0"'
        subprocess.run([*instance["prefix"], "sh", "-c", order, script], input=self.invocation.content, env=ENVIRONMENT, check=True, timeout=60)
        return script

    def launch(self, instance, script):
        order = 'cd "$1" || exit 66; "$0"'
        arguments = [*instance["prefix"], "sh", "-c", order, script, self.invocation.working_dir]
        with self.lock:
            if self.is_stopped:
                return
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            self.process = subprocess.Popen(arguments, env=ENVIRONMENT, start_new_session=True, preexec_fn=end_with_parent, **pipes)
            self.status, self.times["StartTime"] = "Running", now()

    def collect(self):
        """Until the script ends: what outlives it in the background may keep the pipe open."""
        reader = threading.Thread(target=self.read, args=(self.output,), daemon=True)
        reader.start()
        self.process.wait()
        reader.join(1)

    def read(self, output):
        while piece := os.read(self.process.stdout.fileno(), 65536):
            output.add(piece)

    def stop(self, why):
        """Ends the script with all its children, if it has not ended."""
        with self.lock:
            if self.status in FINAL:
                return
            self.is_stopped = why
            if self.process is None or faults.is_unreported(self.fault):
                return self.end("Cancelled" if self.process is None else "Terminated")
            if self.process.poll() is not None:
                return
            if why == "Stopping":
                self.status = "Stopping"
            if self.invocation.tree:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()

    def end(self, status, exit_code=None, error=("", "")):
        self.exit_code, self.error, self.status = exit_code, error, status
        self.times["StopTime" if status in ("Cancelled", "Terminated") else "FinishedTime"] = now()
        self.done.set()

    def shown(self, plain):
        output = bytes(self.output)
        shown = {
            "InvokeId": self.invocation.id,
            "CommandId": self.invocation.command_id,
            "InstanceId": self.instance_id,
            "InvocationStatus": self.status,
            "InvokeRecordStatus": RECORDS.get(self.status, "Failed"),
            "Output": output.decode(errors="replace") if plain else base64.b64encode(output).decode(),
            "Dropped": self.output.dropped,
            "ErrorCode": self.error[0],
            "ErrorInfo": self.error[1],
            "Repeats": 1,
            "Username": "root",
            **self.times,
        }
        if self.exit_code is not None:
            shown["ExitCode"] = self.exit_code
        return shown


class Invocation:
    """A command on some instances."""

    def __init__(self, identity, name, content, working_dir, tree):
        self.id, self.command_id, self.name = f"t-{identity}", f"c-{identity}", name
        self.content, self.working_dir, self.tree = content, working_dir, tree
        self.tasks, self.created = {}, now()


class Ecs:
    """The service. `config` is called for the configuration as it is."""

    VERSION = "2014-05-26"

    def __init__(self, config):
        self.config, self.once = config, Once()
        self.invocations, self.numbers = {}, itertools.count(1)
        self.actions = {
            "RunCommand": lambda parameters, fault: self.once.do("RunCommand", parameters, lambda: self.run_command(parameters, fault)),
            "DescribeInvocationResults": self.results,
            "DescribeInvocations": self.describe_invocations,
            "StopInvocation": self.stop,
            "DescribeInstances": self.instances,
            "DescribeCloudAssistantStatus": self.assistants,
        }

    def run_command(self, parameters, fault=None):
        instances = numbered(parameters, "InstanceId")
        if not instances:
            raise ApiError(400, "MissingParam.InstanceId", "The parameter instanceId is missing or empty.")
        if len(instances) > 100:
            raise ApiError(403, "InstanceIds.ExceedLimit", "The number of instance IDs exceeds the upper limit.")
        if parameters.get("Type") != "RunShellScript":
            raise invalid("Type", "only RunShellScript is known here")
        known = self.config()["instances"]
        if any(instance not in known for instance in instances):
            raise ApiError(404, "InvalidInstance.NotFound", "The specified instance does not exist.")
        content, timeout = content_of(parameters), number(parameters, "Timeout", 60, *TIMEOUT_SECONDS)
        working_dir = parameters.get("WorkingDir") or "/root"
        if len(working_dir) > 200 or len(parameters.get("Name", "")) > 128:
            raise invalid("WorkingDir", "it or the name is too long")
        tree = parameters.get("TerminationMode") == "ProcessTree"
        invocation = self.invoke(instances, content, timeout, working_dir, parameters.get("Name", ""), tree, fault)
        return {"CommandId": invocation.command_id, "InvokeId": invocation.id}

    def invoke(self, instances, content, timeout, working_dir, name="", tree=True, fault=None):
        identity = f"hz{next(self.numbers):016x}"
        invocation = Invocation(identity, name, content, working_dir, tree)
        for instance in instances:
            invocation.tasks[instance] = Task(invocation, instance, timeout)
        self.invocations[invocation.id] = invocation
        record.keep(self.config(), invocation.id, {"command": content})
        for task in invocation.tasks.values():
            task.start(self.config(), fault)
        return invocation

    def results(self, parameters):
        tasks = [task for invocation in self.chosen(parameters) for task in invocation.tasks.values()]
        for task in tasks:
            record.keep(self.config(), task.invocation.id, {"output": bytes(task.output)})
        if instance := parameters.get("InstanceId"):
            tasks = [task for task in tasks if task.instance_id == instance]
        found, members = page(parameters, tasks, 10, 50)
        plain = parameters.get("ContentEncoding", "Base64").lower() == "plaintext"
        return {"Invocation": {"InvocationResults": {"InvocationResult": [task.shown(plain) for task in found]}, **members}}

    def describe_invocations(self, parameters):
        found, members = page(parameters, self.chosen(parameters), 10, 50)
        return {"Invocations": {"Invocation": [self.shown(invocation) for invocation in found]}, **members}

    def chosen(self, parameters):
        wanted = parameters.get("InvokeId")
        return [it for it in list(self.invocations.values()) if wanted in (None, it.id)]

    def shown(self, invocation):
        tasks = invocation.tasks.values()
        states = {task.status for task in tasks}
        whole = "Running" if states - set(FINAL) else "Success" if states == {"Success"} else "Failed"
        return {
            "InvokeId": invocation.id,
            "CommandId": invocation.command_id,
            "CommandName": invocation.name,
            "CreationTime": invocation.created,
            "InvocationStatus": whole,
            "InvokeStatus": "Running" if whole == "Running" else "Finished",
            "InvokeInstances": {"InvokeInstance": [{"InstanceId": task.instance_id, "InvocationStatus": task.status} for task in tasks]},
        }

    def stop(self, parameters):
        invocation = self.invocations.get(parameters.get("InvokeId"))
        if invocation is None:
            raise ApiError(404, "InvalidInvokeId.NotFound", "The specified invoke ID does not exist.")
        wanted = numbered(parameters, "InstanceId") or list(invocation.tasks)
        for instance in wanted:
            if instance in invocation.tasks:
                invocation.tasks[instance].stop("Stopping")
        return {}

    def instances(self, parameters):
        ids, tags = wanted_ids(parameters), numbered(parameters, "Tag")
        found = []
        for identity, instance in sorted(self.config()["instances"].items()):
            has = instance.get("tags", {})
            if (
                (ids is None or identity in ids)
                and all(has.get(tag.get("Key")) == tag.get("Value", has.get(tag.get("Key"))) and tag.get("Key") in has for tag in tags)
                and parameters.get("ResourceGroupId") in (None, instance.get("group", ""))
                and parameters.get("Status") in (None, instance.get("status", "Running"))
            ):
                found.append(described(self.config(), identity, instance))
        limit = self.config().get("page", 100)
        small = {**parameters, "MaxResults": min(number(parameters, "MaxResults", 10, 1, 100), limit)} if "MaxResults" in parameters else parameters
        found, members = page(small, found, 10, 100)
        return {"Instances": {"Instance": found}, **members}

    def assistants(self, parameters):
        wanted = numbered(parameters, "InstanceId")
        known = {identity: it for identity, it in self.config()["instances"].items() if not wanted or identity in wanted}
        states = [{"InstanceId": identity, "CloudAssistantStatus": "true" if it.get("agent", True) else "false", "OSType": "Linux"} for identity, it in sorted(known.items())]
        return {"InstanceCloudAssistantStatusSet": {"InstanceCloudAssistantStatus": states}, "TotalCount": len(states)}


class Hands:
    """What the engine of OOS needs of ECS; its calls wait."""

    def __init__(self, ecs):
        self.ecs = ecs

    def select(self, targets):
        """The ids of the instances that OOS's `targets` name, in order."""
        kind = targets.get("Type") or targets.get("type")
        parameters = {"MaxResults": "100"}
        if kind == "ResourceIds":
            parameters["InstanceIds"] = json.dumps(targets["ResourceIds"])
        elif kind == "Tags":
            for at, tag in enumerate(targets["Tags"], 1):
                parameters[f"Tag.{at}.Key"], parameters[f"Tag.{at}.Value"] = tag["Key"], tag["Value"]
        elif kind == "ResourceGroup":
            parameters["ResourceGroupId"] = targets["ResourceGroupId"]
        else:
            raise ApiError(400, "InvalidParameter.Targets", "The targets have no known type.")
        found = []
        while True:
            answer = self.ecs.instances(parameters)
            found += [instance["InstanceId"] for instance in answer["Instances"]["Instance"]]
            if not answer["NextToken"]:
                return found
            parameters["NextToken"] = answer["NextToken"]

    def run_command(self, instance_id, content, timeout_seconds, working_dir=None):
        if instance_id not in self.ecs.config()["instances"]:
            raise ApiError(404, "InvalidInstance.NotFound", "The specified instance does not exist.")
        if len(base64.b64encode(content.encode())) > CONTENT_LIMIT_BYTES:
            raise ApiError(403, "CmdContent.ExceedLimit", "The maximum length of a command is exceeded.")
        invocation = self.ecs.invoke([instance_id], content.encode(), timeout_seconds, working_dir or "/root", "OOS")
        task = invocation.tasks[instance_id]
        task.done.wait()
        return {"status": task.status, "exit_code": task.exit_code, "output": bytes(task.output).decode(errors="replace"), "invoke_id": invocation.id, "error_code": task.error[0], "dropped": task.output.dropped}


def content_of(parameters):
    content = parameters.get("CommandContent")
    if not content:
        raise missing("CommandContent")
    is_base64 = parameters.get("ContentEncoding", "").lower() == "base64"
    encoded = content.encode() if is_base64 else base64.b64encode(content.encode())
    if len(encoded) > CONTENT_LIMIT_BYTES:
        raise ApiError(403, "CmdContent.ExceedLimit", "The maximum length of a command is exceeded.")
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ApiError(400, "CmdContent.DecodeError", "The CommandContent can not be base64 decoded.") from None


def wanted_ids(parameters):
    if "InstanceIds" not in parameters:
        return None
    try:
        ids = json.loads(parameters["InstanceIds"])
    except ValueError:
        ids = None
    if not isinstance(ids, list) or len(ids) > 100:
        raise ApiError(400, "InvalidInstanceIds.Malformed", "The specified InstanceIds are malformed, or too many.")
    return ids


def described(config, identity, instance):
    tags = [{"TagKey": key, "TagValue": value} for key, value in instance.get("tags", {}).items()]
    return {
        "InstanceId": identity,
        "InstanceName": instance.get("name", identity),
        "HostName": instance.get("name", identity),
        "Status": instance.get("status", "Running"),
        "OSType": "linux",
        "RegionId": config["region"],
        "ResourceGroupId": instance.get("group", ""),
        "VpcAttributes": {"PrivateIpAddress": {"IpAddress": instance.get("ips", [])}},
        "InnerIpAddress": {"IpAddress": []},
        "Tags": {"Tag": tags},
    }


def end_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
