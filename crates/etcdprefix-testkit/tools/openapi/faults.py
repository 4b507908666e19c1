"""What goes wrong on purpose.

Each fault of the configuration is {"id", "action", "kind", "times"}, "instance" if it is for the calls about that
one alone, and, by its kind:
  throttle  nothing is done; 400 Throttling.User
  busy      nothing is done; 503 ServiceUnavailable
  refuse    nothing is done; "status", "code" and "message" are the answer
  late      it is done "seconds" later
  lost      it is done, and the connection is closed without an answer
  hole      nothing is done, and nothing is answered until the client goes away
Of RunCommand alone, whose call goes well:
  pending      it is handed over to the instance "seconds" later
  unreported   it runs, but nothing is ever told of it, and at its limit it counts as timed out; it goes on
  interrupted  it is ended "seconds" after its start, with what it has started, as by a reboot
"""

import threading
import time

from .errors import ApiError

_USED, _LOCK = {}, threading.Lock()


def take(config, action, instance=None):
    """The fault of this call, once; None for none."""
    with _LOCK:
        for fault in config.get("faults", ()):
            used = _USED.get(fault["id"], 0)
            if fault["action"] in (action, "*") and fault.get("instance", instance) == instance and used < fault["times"]:
                _USED[fault["id"]] = used + 1
                return fault
    return None


def before(fault):
    """What comes in place of doing it, or before."""
    match fault and fault["kind"]:
        case "throttle":
            raise ApiError(400, "Throttling.User", "Request was denied due to user flow control.")
        case "busy":
            raise ApiError(503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
        case "refuse":
            raise ApiError(fault["status"], fault["code"], fault.get("message", ""))
        case "late":
            time.sleep(fault["seconds"])
        case "hole":
            raise Hole()


class Hole(Exception):
    """Nothing is to be answered."""


def is_lost(fault):
    return bool(fault) and fault["kind"] == "lost"


def is_unreported(fault):
    return bool(fault) and fault["kind"] == "unreported"


def pending_seconds(fault):
    return fault["seconds"] if fault and fault["kind"] == "pending" else None


def interrupted_after(fault):
    return fault["seconds"] if fault and fault["kind"] == "interrupted" else None
