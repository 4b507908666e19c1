"""Who may ask: signatures ACS3-HMAC-SHA256, tokens, clocks, nonces, rights.

Signatures are computed by Alibaba's own package alibabacloud-tea-openapi, so that the judge shares no
code with the program under test.
"""

import calendar
import hashlib
import hmac
import threading
import time
from types import SimpleNamespace

from alibabacloud_tea_openapi.utils import Utils

from .errors import ApiError

ALGORITHM = "ACS3-HMAC-SHA256"
CLOCK_LIMIT_SECONDS = 900
REQUIRED = ("host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-content-sha256", "x-acs-signature-nonce")

_NONCES = set()
_LOCK = threading.Lock()


def check(config, request):
    """Raises ApiError unless the request is whole, fresh, signed by a known key, and allowed."""
    key_id, signed, signature = _parts(request.headers.get("authorization", ""))
    _signs_all(request, signed)
    if hashlib.sha256(request.body).hexdigest() != request.headers["x-acs-content-sha256"]:
        raise ApiError(400, "SignatureDoesNotMatch", "The content does not match x-acs-content-sha256.")
    _is_fresh(config, request.headers["x-acs-date"])
    key = config["keys"].get(key_id)
    if key is None:
        raise ApiError(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    if key.get("inactive"):
        raise ApiError(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
    _is_of_key(request, signed, signature, key_id, key["secret"])
    _has_token(request.headers.get("x-acs-security-token"), key.get("token"))
    _is_new(request.headers["x-acs-signature-nonce"])
    if request.action in key.get("deny", ()):
        raise ApiError(403, "Forbidden.RAM", "User not authorized to operate on the specified resource, or this API doesn't support RAM.")


def _parts(authorization):
    algorithm, _, rest = authorization.partition(" ")
    if not authorization:
        raise ApiError(400, "MissingParameter", "The input header Authorization is not supplied.")
    if algorithm != ALGORITHM:
        raise ApiError(400, "InvalidSignatureMethod", "Only ACS3-HMAC-SHA256 is known here.")
    fields = dict(field.partition("=")[::2] for field in rest.split(","))
    try:
        return fields["Credential"], fields["SignedHeaders"].split(";"), fields["Signature"]
    except KeyError as lacking:
        raise ApiError(400, "IncompleteSignature", f"Authorization has no {lacking}.") from None


def _signs_all(request, signed):
    names = [name for name in request.headers if name.startswith("x-acs-") or name == "content-type"]
    for name in (*REQUIRED, *names):
        if name not in request.headers or name not in signed:
            raise ApiError(400, "IncompleteSignature", f"The header {name} is missing or not signed.")
    if signed != sorted(signed) or any(name not in request.headers for name in signed):
        raise ApiError(400, "IncompleteSignature", "SignedHeaders are out of order, or not all there.")


def _is_fresh(config, date):
    try:
        then = calendar.timegm(time.strptime(date, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        raise ApiError(400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.") from None
    if abs(time.time() + config.get("skew", 0) - then) > CLOCK_LIMIT_SECONDS:
        raise ApiError(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def _is_of_key(request, signed, signature, key_id, secret):
    theirs = SimpleNamespace(
        method=request.method,
        pathname=request.path,
        query=dict(request.query),
        headers={name: request.headers[name] for name in signed},
    )
    expected = Utils.get_authorization(theirs, ALGORITHM, request.headers["x-acs-content-sha256"], key_id, secret)
    if not hmac.compare_digest(expected.rpartition("Signature=")[2], signature):
        # The real one repeats what it signed, too: commands and tokens.
        told = " ".join(f"{name}:{request.headers[name]}" for name in signed)
        raise ApiError(400, "SignatureDoesNotMatch", f"Specified signature is not matched with our calculation. server string to sign is: {told} {request.body.decode()}")


def _has_token(token, expected):
    if expected is None and token is None:
        return
    if expected is not None and token is None:
        raise ApiError(400, "MissingSecurityToken", "SecurityToken is mandatory for this action.")
    if expected is None or token != expected:
        raise ApiError(400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")


def _is_new(nonce):
    with _LOCK:
        if nonce in _NONCES:
            raise ApiError(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        _NONCES.add(nonce)
