"""Runs templates of Alibaba Cloud's OOS (FormatVersion OOS-2019-06-01): the part of the language that
migrations use, and nothing beside it: what is not known is an error.

    parameters -> tasks one after the other (OnError, OnSuccess) -> loops (RateControl) -> outputs

Where the service's documents are silent it does what is worse for a template: an execution whose failure
was handled by OnError ends well if the last task does, and a loop over nothing succeeds.
"""

import base64
import json
import math
import re
import secrets
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import yaml

TEMPLATE = {"FormatVersion", "Description", "Parameters", "RamRole", "Tasks", "Outputs", "Metadata"}
PARAMETER = {
    "Type", "Label", "Description", "Default", "AllowedValues", "AllowedPattern", "MinLength", "MaxLength",
    "AssociationProperty", "AssociationPropertyMetadata", "NoEcho",
}
TASK = {"Name", "Action", "Description", "Properties", "Outputs", "Loop", "OnError", "OnSuccess"}
LOOP = {"Items", "RateControl", "Outputs"}
RATE = {"Mode", "MaxErrors", "Concurrency"}
TYPES = {"String": str, "List": list, "Json": (dict, list), "Number": (int, float), "Boolean": bool}
PROPERTIES = {
    "ACS::SelectTargets": ({"ResourceType", "RegionId", "Filters"}, {"ResourceType", "Filters"}),
    "ACS::ECS::RunCommand": (
        {"regionId", "commandContent", "instanceId", "commandType", "workingDir", "timeout"},
        {"commandContent", "instanceId", "commandType"},
    ),
    "ACS::Choice": ({"DefaultTask", "Choices"}, {"DefaultTask", "Choices"}),
}
NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
REFERENCE = re.compile(r"\{\{\s*(.*?)\s*\}\}")
SELECTOR = re.compile(r"\.?[A-Za-z_][A-Za-z0-9_]*(\[[0-9]*\])?(\.[A-Za-z_][A-Za-z0-9_]*(\[[0-9]*\])?)*")
CONCURRENCY_MAX, ITEMS_MAX, CONTENT_BYTES_MAX = 100, 1000, 18 << 10


class TemplateError(Exception):
    """Why a template or its parameters are refused: a code as the service's, and words."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class TaskFailed(Exception):
    """A task ends without its result."""


class Undefined(TaskFailed):
    """A reference to what there is not, or not yet."""


class Execution:
    """A template while it runs: `status` is Started, Running, Success, Failed or Cancelled."""

    def __init__(self, template_text, parameters, ecs, region, execution_id=None):
        self.template = parsed(template_text)
        self.ecs, self.region = ecs, region
        self.execution_id = execution_id or f"exec-{secrets.token_hex(10)}"
        self.values = {**system(self), **given(self.template, parameters, region)}
        self.status, self.status_message = "Started", ""
        self.counters = {"Total": 0, "Success": 0, "Failed": 0}
        self.outputs, self.tasks = {}, []
        self.cancelled, self.lock, self.thread = threading.Event(), threading.Lock(), None

    def start(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.status = "Running"
        self.thread.start()

    def cancel(self):
        self.cancelled.set()

    def wait(self, seconds=None):
        self.thread.join(seconds)
        return self.status

    def run(self):
        try:
            failure = self.flow()
        except Exception as error:  # A fault of this program is a failure too, and says so.
            failure = f"{type(error).__name__}: {error}"
        self.outputs = self.final_outputs()
        if self.cancelled.is_set():
            self.status_message, self.status = "cancelled", "Cancelled"
        else:
            self.status_message, self.status = failure or "", "Failed" if failure else "Success"

    def flow(self):
        """Why it failed, or None."""
        tasks = self.template["Tasks"]
        places = {task["Name"]: at for at, task in enumerate(tasks)}
        at, steps = 0, 0
        while at < len(tasks) and not self.cancelled.is_set():
            task, steps = tasks[at], steps + 1
            if steps > 10 * len(tasks):
                return "the tasks go in circles"
            failure = self.one(task)
            after = task.get("OnError" if failure else "OnSuccess")
            if not failure and task["Action"] == "ACS::Choice":
                after = self.chosen(task["Properties"])
            if failure and after is None:
                return f"task {task['Name']}: {failure}"
            if after == "ACS::END":
                return None
            at = places[after] if after not in (None, "ACS::NEXT") else at + 1
        return None

    def one(self, task):
        """Why the task failed, or None."""
        told = {"TaskName": task["Name"], "TaskAction": task["Action"], "Status": "Running", "Outputs": {}}
        self.tasks.append(told)
        self.count("Total")
        try:
            told["Outputs"] = self.loop(task) if "Loop" in task else self.act(task, self.values)
            for name, value in told["Outputs"].items():
                self.values[f"{task['Name']}.{name}"] = value
            told["Status"], failure = "Success", None
        except TaskFailed as error:
            told["Status"], told["StatusMessage"], failure = "Failed", str(error), str(error)
        if self.cancelled.is_set():
            told["Status"] = "Cancelled"
        self.count("Failed" if failure else "Success")
        return failure

    def chosen(self, properties):
        for choice in properties["Choices"]:
            left, right = resolve(choice["When"]["Fn::Equals"], self.values)
            if left == right:
                return choice["NextTask"]
        return properties["DefaultTask"]

    def count(self, name):
        with self.lock:
            self.counters[name] += 1

    def act(self, task, values):
        action = task["Action"]
        if action == "ACS::Choice":
            return {}
        properties = resolve(task["Properties"], values)
        if action == "ACS::SelectTargets":
            result = self.select(properties)
        else:
            result = self.command(properties)
        return {
            name: typed(selected(output["ValueSelector"], result), output.get("Type", "String"), name)
            for name, output in task.get("Outputs", {}).items()
        }

    def select(self, properties):
        if properties["ResourceType"] != "ALIYUN::ECS::Instance":
            raise TaskFailed(f"no instances are of the type {properties['ResourceType']}")
        found = []
        for targets in properties["Filters"]:
            try:
                found += [it for it in self.ecs.select(targets) if it not in found]
            except Exception as error:
                raise TaskFailed(f"targets: {error}") from None
        return {"Instances": {"Instance": [{"InstanceId": it} for it in found]}}

    def command(self, properties):
        content, instance = properties["commandContent"], properties["instanceId"]
        if not isinstance(instance, str) or not instance:
            raise TaskFailed(f"instanceId is no instance's: {instance!r}")
        if properties["commandType"] != "RunShellScript" or not isinstance(content, str):
            raise TaskFailed("no shell script")
        if len(base64.b64encode(content.encode())) > CONTENT_BYTES_MAX:
            raise TaskFailed("the command is too long")
        timeout, folder = properties.get("timeout", 600), properties.get("workingDir", "/root")
        try:
            done = self.ecs.run_command(instance, content, int(timeout), folder)
        except Exception as error:
            raise TaskFailed(f"{instance}: {error}") from None
        if done["status"] != "Success":
            # The service shows what a command said before it failed.
            raise TaskFailed(f"{instance}: {done['status']}, exit code {done['exit_code']}: {done['output']}")
        return {"invocationOutput": done["output"], "exitCode": done["exit_code"]}

    def loop(self, task):
        """Items side by side; no more are begun once too many have failed."""
        loop = task["Loop"]
        items = resolve(loop["Items"], self.values)
        if not isinstance(items, list) or len(items) > ITEMS_MAX:
            raise TaskFailed(f"Items are no list of at most {ITEMS_MAX}")
        rate = rate_of(resolve(loop.get("RateControl", {}), self.values), len(items))
        results, failures = [None] * len(items), []
        with ThreadPoolExecutor(max_workers=rate["Concurrency"]) as pool:
            left, running = list(enumerate(items)), {}
            while left or running:
                may_go_on = len(failures) <= rate["MaxErrors"] and not self.cancelled.is_set()
                while may_go_on and left and len(running) < rate["Concurrency"]:
                    at, item = left.pop(0)
                    running[pool.submit(self.act, task, {**self.values, "ACS::TaskLoopItem": item})] = at
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    at = running.pop(future)
                    try:
                        results[at] = future.result()
                    except TaskFailed as error:
                        failures.append(str(error))
        if len(failures) > rate["MaxErrors"]:
            raise TaskFailed("; ".join(failures))
        return {
            # Fn::ListJoin: one list of what the items gave, in their order.
            name: [result[output["AggregateField"]] for result in results if result is not None]
            for name, output in loop.get("Outputs", {}).items()
        }

    def final_outputs(self):
        outputs = {}
        for name, output in self.template.get("Outputs", {}).items():
            try:
                outputs[name] = typed(resolve(output["Value"], self.values), output.get("Type", "String"), name)
            except Undefined:
                # Of a task that was not reached.
                outputs[name] = None
        return outputs


def system(execution):
    return {"ACS::RegionId": execution.region, "ACS::ExecutionId": execution.execution_id}


def refuse(message, code="InvalidTemplate"):
    raise TemplateError(code, message)


def only(what, found, known, required=()):
    if not isinstance(found, dict):
        refuse(f"{what} is no mapping")
    for name in found:
        if name not in known:
            refuse(f"{what} has the unknown member {name}")
    for name in required:
        if name not in found:
            refuse(f"{what} lacks {name}")


def parsed(text):
    try:
        template = yaml.safe_load(text)
    except yaml.YAMLError as error:
        refuse(f"no YAML: {error}")
    only("the template", template, TEMPLATE, {"FormatVersion", "Tasks"})
    if template["FormatVersion"] != "OOS-2019-06-01":
        refuse("FormatVersion is not OOS-2019-06-01")
    for name, parameter in template.get("Parameters", {}).items():
        check_parameter(name, parameter)
    check_tasks(template["Tasks"])
    for name, output in template.get("Outputs", {}).items():
        only(f"output {name}", output, {"Type", "Value", "Description"}, {"Value"})
    check_references(template)
    return template


def check_parameter(name, parameter):
    only(f"parameter {name}", parameter, PARAMETER, {"Type"})
    if not NAME.fullmatch(name) or parameter["Type"] not in TYPES:
        refuse(f"parameter {name} has a name or type that can't be")
    if parameter["Type"] != "String" and {"AllowedPattern", "MinLength", "MaxLength"} & set(parameter):
        refuse(f"parameter {name} is no String, so it has no pattern or length")
    if "AllowedPattern" in parameter:
        re.compile(parameter["AllowedPattern"])


def check_tasks(tasks):
    names = [task.get("Name") for task in tasks]
    for task in tasks:
        only("a task", task, TASK, {"Name", "Action", "Properties"})
        name = task["Name"]
        if not isinstance(name, str) or not NAME.fullmatch(name) or names.count(name) > 1:
            refuse(f"{name!r} is no name of a task, or of two")
        if task["Action"] not in PROPERTIES:
            refuse(f"task {name} has the unknown action {task['Action']}")
        known, required = PROPERTIES[task["Action"]]
        only(f"task {name}", task["Properties"], known, required)
        for output, about in task.get("Outputs", {}).items():
            only(f"output {output} of {name}", about, {"Type", "ValueSelector"}, {"ValueSelector"})
            if not SELECTOR.fullmatch(about["ValueSelector"]) or about.get("Type", "String") not in TYPES:
                refuse(f"output {output} of {name} has an unknown selector or type")
        for after in ("OnError", "OnSuccess"):
            if after in task and task[after] not in names + ["ACS::END", "ACS::NEXT"]:
                refuse(f"{after} of {name} leads to {task[after]}, which is no task")
        if task["Action"] == "ACS::Choice":
            check_choice(name, task["Properties"], names)
        if "Loop" in task:
            check_loop(name, task)


def check_choice(name, properties, names):
    for choice in properties["Choices"]:
        only(f"a choice of {name}", choice, {"When", "NextTask"}, {"When", "NextTask"})
        only(f"a condition of {name}", choice["When"], {"Fn::Equals"}, {"Fn::Equals"})
        if len(choice["When"]["Fn::Equals"]) != 2:
            refuse(f"Fn::Equals of {name} is not of two")
    for after in [properties["DefaultTask"], *(choice["NextTask"] for choice in properties["Choices"])]:
        if after not in names:
            refuse(f"{name} leads to {after}, which is no task")


def check_loop(name, task):
    only(f"the loop of {name}", task["Loop"], LOOP, {"Items"})
    if task["Action"] != "ACS::ECS::RunCommand":
        refuse(f"{name} can't be looped")
    if isinstance(task["Loop"].get("RateControl"), dict):
        only(f"the rate control of {name}", task["Loop"]["RateControl"], RATE)
    for output, about in task["Loop"].get("Outputs", {}).items():
        only(f"output {output} of {name}", about, {"AggregateType", "AggregateField"}, {"AggregateType", "AggregateField"})
        if about["AggregateType"] != "Fn::ListJoin":
            refuse(f"{about['AggregateType']} is not known")
        if about["AggregateField"] not in task.get("Outputs", {}):
            refuse(f"{about['AggregateField']} is no output of {name}")


def check_references(template):
    """What is referred to must be a parameter, or an output of some task."""
    known = {"ACS::RegionId", "ACS::ExecutionId"} | set(template.get("Parameters", {}))
    for task in template["Tasks"]:
        outputs = task["Loop"].get("Outputs", {}) if "Loop" in task else task.get("Outputs", {})
        known |= {f"{task['Name']}.{output}" for output in outputs}
    for task in template["Tasks"]:
        own = {"ACS::TaskLoopItem"} if "Loop" in task else set()
        # Outside of a loop a script's head may name the item: there it is undefined, and fails.
        check_names(task["Properties"], known | own, task["Name"])
        check_names(task.get("Loop", {}).get("Items", []), known, task["Name"])
        check_names(task.get("Loop", {}).get("RateControl", []), known, task["Name"])
    for name, output in template.get("Outputs", {}).items():
        check_names(output["Value"], known, name)
    check_names(template.get("RamRole", ""), known, "RamRole")


def check_names(value, known, where):
    if isinstance(value, dict):
        for name, member in value.items():
            if name.startswith("Fn::") and name not in FUNCTIONS:
                refuse(f"{where}: {name} is not known")
            check_names(member, known, where)
    elif isinstance(value, list):
        for member in value:
            check_names(member, known, where)
    elif isinstance(value, str):
        for name in REFERENCE.findall(value):
            if name not in known:
                refuse(f"{where} refers to {name}, which is nothing")


def given(template, parameters, region):
    known = template.get("Parameters", {})
    for name in parameters:
        if name not in known:
            refuse(f"there is no parameter {name}", "InvalidParameter")
    values = {}
    for name, about in known.items():
        if name in parameters:
            value = parameters[name]
        elif "Default" in about:
            value = about["Default"]
        else:
            refuse(f"parameter {name} is missing", "MissingParameter")
        check_value(name, about, value)
        values[name] = resolve(value, {"ACS::RegionId": region})
    return values


def check_value(name, about, value):
    kind = TYPES[about["Type"]]
    if not isinstance(value, kind) or about["Type"] == "Number" and isinstance(value, bool):
        refuse(f"parameter {name} is no {about['Type']}", "InvalidParameter")
    if "AllowedValues" in about and value not in about["AllowedValues"]:
        refuse(f"parameter {name} is none of its values", "InvalidParameter")
    if not isinstance(value, str):
        return
    pattern = about.get("AllowedPattern")
    if pattern and not re.fullmatch(pattern, value):
        refuse(f"parameter {name} does not match {pattern}", "InvalidParameter")
    if not about.get("MinLength", 0) <= len(value) <= about.get("MaxLength", math.inf):
        refuse(f"parameter {name} is too short or too long", "InvalidParameter")


def resolve(value, values):
    """With references and functions replaced by what they are."""
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith("Fn::"):
            name, arguments = next(iter(value.items()))
            return FUNCTIONS[name](resolve(arguments, values))
        return {name: resolve(member, values) for name, member in value.items()}
    if isinstance(value, list):
        return [resolve(member, values) for member in value]
    if not isinstance(value, str):
        return value
    whole = REFERENCE.fullmatch(value)
    if whole and REFERENCE.findall(value) == [whole[1]]:
        return lookup(whole[1], values)
    return REFERENCE.sub(lambda found: as_text(lookup(found[1], values)), value)


def lookup(name, values):
    if name not in values:
        raise Undefined(f"{name} has no value")
    return values[name]


def as_text(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def intersection(lists):
    if not isinstance(lists, list) or not lists or not all(isinstance(it, list) for it in lists):
        raise TaskFailed("Fn::Intersection is of lists")
    return [it for it in lists[0] if all(it in other for other in lists[1:])]


FUNCTIONS = {"Fn::Intersection": intersection, "Fn::Equals": lambda values: values[0] == values[1]}


def selected(selector, result):
    """A path such as `Instances.Instance[].InstanceId`; jq's dot in front is as none."""
    values, is_many = [result], False
    for part in selector.lstrip(".").split("."):
        name, _, index = part.partition("[")
        values = [value.get(name) if isinstance(value, dict) else None for value in values]
        if index == "]":
            values, is_many = [it for value in values for it in (value or [])], True
        elif index:
            at = int(index.rstrip("]"))
            values = [value[at] if isinstance(value, list) and at < len(value) else None for value in values]
    return values if is_many else values[0]


def typed(value, kind, name):
    if value is not None and not isinstance(value, TYPES[kind]):
        raise TaskFailed(f"output {name} is no {kind}")
    return value


def rate_of(rate, items):
    if not isinstance(rate, dict) or set(rate) - RATE or rate.get("Mode", "Concurrency") != "Concurrency":
        raise TaskFailed("the rate control is none")
    number = {"Concurrency": 1, "MaxErrors": 0}
    for name in number:
        value = str(rate.get(name, number[name]))
        if not re.fullmatch(r"[0-9]+%?", value):
            raise TaskFailed(f"{name} is no number")
        share = value.endswith("%")
        number[name] = items * int(value[:-1]) // 100 if share else int(value)
    number["Concurrency"] = min(max(number["Concurrency"], 1), CONCURRENCY_MAX)
    return number
