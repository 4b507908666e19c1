"""What the cloud knows of commands: all of it, so that tests can search it."""

import json
import threading

_LOCK = threading.Lock()


def keep(config, call, known):
    """Appends a line to the configuration's `record`, if there is one; bytes as text."""
    if not (path := config.get("record")):
        return
    texts = {name: value.decode(errors="replace") for name, value in known.items()}
    with _LOCK, open(path, "a") as file:
        file.write(json.dumps({"call": call, **texts}) + "\n")
