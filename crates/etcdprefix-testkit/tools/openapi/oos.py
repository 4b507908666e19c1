"""OOS: templates and their executions. What runs a template is `oos_engine.py`."""

import hashlib
import itertools
import json
import re
import threading

import oos_engine

from .ecs import Hands, now
from .errors import ApiError, invalid, missing
from .once import Once
from .paging import page

CONTENT_LIMIT_BYTES = 64 << 10
NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
RESERVED = ("ALIYUN", "ACS", "ALIBABA", "ALICLOUD")
FINAL = ("Success", "Failed", "Cancelled")


class Oos:
    """The service."""

    VERSION = "2019-06-01"

    def __init__(self, config, ecs):
        self.config, self.hands, self.once = config, Hands(ecs), Once()
        self.templates, self.executions = {}, {}
        self.numbers, self.lock = itertools.count(1), threading.Lock()
        self.actions = {
            "CreateTemplate": self.create,
            "UpdateTemplate": self.update,
            "GetTemplate": self.get,
            "StartExecution": lambda parameters: self.once.do("StartExecution", parameters, lambda: self.start(parameters)),
            "ListExecutions": self.list,
            "ListTaskExecutions": self.tasks,
            "CancelExecution": self.cancel,
        }

    def create(self, parameters):
        name, content = name_of(parameters), template_of(parameters)
        with self.lock:
            if name in self.templates:
                raise ApiError(409, "EntityAlreadyExists.Template", "The specified template already exists.")
            self.templates[name] = [content]
        return {"Template": described(name, 1, content), "TemplateType": "Automation"}

    def update(self, parameters):
        name, content = name_of(parameters), template_of(parameters)
        with self.lock:
            versions = self.versions(name)
            versions.append(content)
        return {"Template": described(name, len(versions), content)}

    def get(self, parameters):
        name = name_of(parameters, own=False)
        number, content = self.version(name, parameters.get("TemplateVersion"))
        return {"Template": described(name, number, content), "Content": content}

    def versions(self, name):
        if name not in self.templates:
            raise ApiError(404, "EntityNotExists.Template", "The specified template does not exist.")
        return self.templates[name]

    def version(self, name, wanted):
        versions = self.versions(name)
        number = int(wanted[1:]) if wanted and re.fullmatch(r"v[0-9]+", wanted) else None
        if wanted and (number is None or not 1 <= number <= len(versions)):
            raise ApiError(404, "EntityNotExists.Template", "The specified version does not exist.")
        number = number or len(versions)
        return number, versions[number - 1]

    def start(self, parameters):
        name = name_of(parameters, own=False)
        number, content = self.version(name, parameters.get("TemplateVersion"))
        given = parameters_of(parameters)
        identity = f"exec-{next(self.numbers):020x}"
        try:
            run = oos_engine.Execution(content, given, self.hands, self.config()["region"], identity)
        except oos_engine.TemplateError as error:
            raise ApiError(400, error.code, error.message) from None
        about = {
            "ExecutionId": identity,
            "TemplateName": name,
            "TemplateVersion": f"v{number}",
            "Description": parameters.get("Description", ""),
            "Mode": parameters.get("Mode", "Automatic"),
            "SafetyCheck": parameters.get("SafetyCheck", "ConfirmEveryHighRiskAction"),
            "StartDate": now(),
            "Parameters": given,
        }
        self.executions[identity] = (about, run)
        run.start()
        return {"Execution": shown(about, run)}

    def list(self, parameters):
        wanted, state = parameters.get("ExecutionId"), parameters.get("Status")
        found = [shown(about, run) for about, run in list(self.executions.values()) if wanted in (None, about["ExecutionId"])]
        found = [it for it in found if state in (None, it["Status"])]
        found, members = page({"MaxResults": "50", **parameters}, found, 50, 100)
        return {"Executions": found, **members}

    def tasks(self, parameters):
        _, run = self.execution(parameters)
        found = [task_shown(parameters["ExecutionId"], at, task) for at, task in enumerate(list(run.tasks))]
        found, members = page({"MaxResults": "50", **parameters}, found, 50, 100)
        return {"TaskExecutions": found, **members}

    def cancel(self, parameters):
        _, run = self.execution(parameters)
        if run.status not in FINAL:
            run.cancel()
        return {}

    def execution(self, parameters):
        found = self.executions.get(parameters.get("ExecutionId"))
        if found is None:
            raise ApiError(404, "EntityNotExists.Execution", "The specified execution does not exist.")
        return found


def name_of(parameters, own=True):
    name = parameters.get("TemplateName")
    if not name:
        raise missing("TemplateName")
    if not NAME.fullmatch(name) or own and name.upper().startswith(RESERVED):
        raise invalid("TemplateName", "it is reserved, or has other characters")
    return name


def template_of(parameters):
    content = parameters.get("Content")
    if not content:
        raise missing("Content")
    if len(content.encode()) > CONTENT_LIMIT_BYTES:
        raise ApiError(400, "TemplateContent.ExceedLimit", "The template is longer than 64 KB.")
    try:
        oos_engine.parsed(content)
    except oos_engine.TemplateError as error:
        raise ApiError(400, error.code, error.message) from None
    return content


def parameters_of(parameters):
    try:
        given = json.loads(parameters.get("Parameters") or "{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise invalid("Parameters", "they are no JSON object")
    return given


def described(name, number, content):
    return {
        "TemplateName": name,
        "TemplateId": "t-" + hashlib.sha256(name.encode()).hexdigest()[:16],
        "TemplateVersion": f"v{number}",
        "TemplateFormat": "JSON" if content.lstrip().startswith("{") else "YAML",
        "Hash": hashlib.sha256(content.encode()).hexdigest(),
        "ShareType": "Private",
    }


def shown(about, run):
    if run.status in FINAL and "EndDate" not in about:
        about["EndDate"] = now()
    current = [task for task in list(run.tasks) if task.get("Status") == "Running"]
    return {
        **about,
        "Status": run.status,
        "StatusMessage": run.status_message or "",
        "Counters": dict(run.counters),
        # As the real one: JSON within JSON.
        "Outputs": json.dumps(run.outputs),
        "CurrentTasks": [{"TaskName": task["TaskName"], "TaskAction": task["TaskAction"]} for task in current],
    }


def task_shown(execution, at, task):
    return {
        "ExecutionId": execution,
        "TaskExecutionId": f"task-{execution}.{at}",
        "TaskName": task["TaskName"],
        "TaskAction": task["TaskAction"],
        "Status": task["Status"],
        "StatusMessage": task.get("StatusMessage") or "",
        "Outputs": json.dumps(task.get("Outputs") or {}),
    }
