"""The official SDKs of ECS and OOS, as a second client.

usage: openapi_client.py HOST:PORT REGION ACTION JSON

ACTION is in snake case, such as run_command; JSON has its request's members as the API calls them.
The key is in KEY_ID, KEY_SECRET and KEY_TOKEN. Prints {"ok": body} or {"error": code, "status": number}.

With the ACTION sign nothing is sent: JSON has the action, version and body of a call, and its signed
headers are printed.
"""

import hashlib
import json
import os
import sys
from types import SimpleNamespace

from alibabacloud_ecs20140526 import models as ecs_models
from alibabacloud_ecs20140526.client import Client as Ecs
from alibabacloud_oos20190601 import models as oos_models
from alibabacloud_oos20190601.client import Client as Oos
from alibabacloud_tea_openapi.models import Config
from alibabacloud_tea_openapi.utils import Utils



def sign(host, call):
    digest = hashlib.sha256(call["body"].encode()).hexdigest()
    headers = {
        "host": host,
        "content-type": "application/x-www-form-urlencoded",
        "x-acs-action": call["action"],
        "x-acs-version": call["version"],
        "x-acs-date": Utils.get_timestamp(),
        "x-acs-signature-nonce": Utils.get_nonce(),
        "x-acs-content-sha256": digest,
    }
    request = SimpleNamespace(method="POST", pathname="/", query={}, headers=headers)
    key = os.environ["KEY_ID"], os.environ["KEY_SECRET"]
    return {**headers, "Authorization": Utils.get_authorization(request, "ACS3-HMAC-SHA256", digest, *key)}


endpoint, region, action, members = sys.argv[1:]
if action == "sign":
    print(json.dumps(sign(endpoint, json.loads(members))))
    sys.exit()
config = Config(
    access_key_id=os.environ["KEY_ID"],
    access_key_secret=os.environ["KEY_SECRET"],
    security_token=os.environ.get("KEY_TOKEN"),
    endpoint=endpoint,
    protocol="http",
    region_id=region,
)
kind, models = (Ecs, ecs_models) if hasattr(Ecs, action) else (Oos, oos_models)
name = "".join(part.capitalize() for part in action.split("_")) + "Request"
request = getattr(models, name)().from_map({"RegionId": region, **json.loads(members)})
try:
    answer = getattr(kind(config), action)(request)
    print(json.dumps({"ok": answer.body.to_map()}))
except Exception as error:
    if not hasattr(error, "code"):
        raise
    print(json.dumps({"error": error.code, "status": getattr(error, "status_code", None)}))
