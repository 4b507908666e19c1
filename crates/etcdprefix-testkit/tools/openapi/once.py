"""ClientToken: what was asked for twice is done once."""

import hashlib
import json
import threading

from .errors import ApiError


class Once:
    def __init__(self):
        self._lock, self._known = threading.Lock(), {}

    def do(self, action, parameters, work):
        """The first answer again, if the token was seen with the same parameters."""
        token = parameters.get("ClientToken")
        if not token:
            return work()
        if len(token) > 64 or not token.isascii():
            raise ApiError(400, "InvalidClientToken.Malformed", "The specified parameter clientToken is not valid.")
        digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).digest()
        with self._lock:
            if (action, token) not in self._known:
                # An error is not remembered: whoever corrects nothing but the world may come back.
                self._known[action, token] = (digest, work())
            known, answer = self._known[action, token]
        if known != digest:
            raise ApiError(403, "IdempotentParameterMismatch", "The specified parameter has changed while using an already used clientToken.")
        return answer
