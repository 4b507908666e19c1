"""A stand-in for OSS, for tests.

Signatures (V1 and V4, in headers and in URLs) are checked with the signers of Alibaba's own package
alibabacloud-oss-v2, so that the judge shares no code with the program under test. Objects are kept
in memory, in the pieces in which they came; each piece is hashed once.

usage: oss_server.py CONFIG

CONFIG is a JSON file, read anew for every request:
  region   the region that V4 signatures must name
  bucket   the one bucket there is
  keys     {access key id: {"secret": ..., "token": null or ..., "deny": [operation, ...]}}
  referer  true to turn away presigned requests without a Referer
  versions true to ignore x-oss-forbid-overwrite, as a bucket that keeps versions does
  address  where to listen, loopback by default; read at the start alone
  skew     seconds by which this server's clock is ahead
Prints "port N" once it listens, then one line for each request, without its query.
"""

import base64
import calendar
import email.utils
import hashlib
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

import crcmod
from alibabacloud_oss_v2.crc import Crc64
from alibabacloud_oss_v2.signer.v1 import SignerV1
from alibabacloud_oss_v2.signer.v4 import SignerV4
from alibabacloud_oss_v2.types import HttpRequest, SigningContext

CONFIG = sys.argv[1]
V4, V1 = SignerV4(), SignerV1()
OBJECTS, UPLOADS = {}, {}
LOCK = threading.Lock()
SKEW_LIMIT = 900
# Query parameters that V1 signs, beside those that the signer knows.
V1_SUB_RESOURCES = {"x-oss-process", "x-oss-traffic-limit", "symlink", "callback", "comp", "status"}
XML = {"Content-Type": "application/xml"}


def crc64(data):
    crc = crcmod.Crc(0x142F0E1EBA9EA3693, initCrc=0, rev=True, xorOut=0xFFFFFFFFFFFFFFFF)
    crc.update(data)
    return crc.crcValue


class Piece:
    """The body of a request."""

    def __init__(self, data):
        self.data, self.crc, self.md5 = data, crc64(data), hashlib.md5(data)
        self.etag = self.md5.hexdigest().upper()

    def headers(self):
        return {"ETag": f'"{self.etag}"', "x-oss-hash-crc64ecma": str(self.crc)}


class Object:
    def __init__(self, pieces, etag, metadata):
        self.pieces, self.etag, self.metadata = pieces, etag, metadata
        self.size, self.crc = 0, 0
        for piece in pieces:
            self.crc = Crc64.combine(self.crc, piece.crc, len(piece.data))
            self.size += len(piece.data)

    def headers(self):
        return {"ETag": f'"{self.etag}"', "x-oss-hash-crc64ecma": str(self.crc)}

    def read(self, first, end):
        """The bytes from `first` to before `end`, in pieces that are not copied."""
        found = []
        for piece in self.pieces:
            if first < len(piece.data) and end > 0:
                found.append(memoryview(piece.data)[max(first, 0) : end])
            first, end = first - len(piece.data), end - len(piece.data)
        return found


class Refused(Exception):
    def __init__(self, status, code, message="", number=""):
        super().__init__(code)
        self.status, self.code, self.message, self.number = status, code, message, number


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_any(self):
        self.config = json.load(open(CONFIG, encoding="utf-8"))
        self.now = time.time() + self.config.get("skew", 0)
        self.query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        self.bucket, self.key = self.place()
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            # The connection broke; nobody is there to be answered.
            self.close_connection = True
            return
        self.operation = self.name_operation()
        try:
            user = self.authenticate()
            if self.operation in user.get("deny", []):
                raise Refused(403, "AccessDenied", "You have no right to access this object.")
            status, headers, out = self.operate(body)
        except Refused as refused:
            status, headers, out = self.refusal(refused)
        print(self.operation, self.bucket, self.key, status, flush=True)
        self.answer(status, headers, out)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    def answer(self, status, headers, out):
        pieces = [out] if isinstance(out, bytes) else out
        headers.setdefault("Content-Length", str(sum(map(len, pieces))))
        headers.setdefault("x-oss-request-id", "5C3D9175B6FC201293AD0000")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            for piece in pieces:
                self.wfile.write(piece)

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(timestamp or self.now, usegmt=True)

    def refusal(self, refused):
        out = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Error>'
            f"<Code>{refused.code}</Code><Message>{escape(refused.message)}</Message>"
            f"<RequestId>5C3D9175B6FC201293AD0000</RequestId><EC>{refused.number}</EC></Error>"
        )
        headers = dict(XML)
        if self.command == "HEAD":
            headers["x-oss-err"] = base64.b64encode(out.encode()).decode()
        return refused.status, headers, out.encode()

    def place(self):
        path = unquote(urlsplit(self.path).path)[1:]
        host = self.headers.get("Host", "").split(":")[0]
        if host.endswith(".oss.test"):
            return host.split(".")[0], path
        bucket, _, key = path.partition("/")
        return bucket, key

    def name_operation(self):
        method, query = self.command, self.query
        if not self.key:
            return "ListObjectsV2" if method == "GET" else "Bucket"
        if "uploadId" in query:
            names = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload"}
            return names.get(method, "AbortMultipartUpload")
        if "uploads" in query:
            return "InitiateMultipartUpload"
        return {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject"}.get(
            method, "DeleteObject"
        )

    # Who asks.

    def authenticate(self):
        authorization = self.headers.get("Authorization", "")
        if authorization.startswith("OSS4-HMAC-SHA256 "):
            return self.v4_header(authorization[17:])
        if authorization.startswith("OSS "):
            return self.v1_header(authorization[4:])
        if self.query.get("x-oss-signature-version") == "OSS4-HMAC-SHA256":
            return self.v4_query()
        if "OSSAccessKeyId" in self.query:
            return self.v1_query()
        raise Refused(403, "AccessDenied", "Anonymous access is forbidden for this operation.")

    def user(self, key_id, token):
        user = self.config["keys"].get(key_id)
        if user is None:
            raise Refused(403, "InvalidAccessKeyId", "The OSS Access Key Id does not exist.")
        if user.get("token") and user["token"] != token:
            raise Refused(403, "InvalidSecurityToken", "The security token is invalid.")
        return user

    def context(self, url):
        kept = {k: v for k, v in self.headers.items() if k.lower() != "authorization"}
        request = HttpRequest(self.command, url, headers=kept)
        return SigningContext(
            product="oss", bucket=self.bucket or None, key=self.key or None, request=request
        )

    def url(self):
        return f"http://{self.headers.get('Host')}{self.path}"

    def v4(self, url, credential, additional, stamp, signature, token):
        key_id, date, region, product, _ = credential.split("/")
        user = self.user(key_id, token)
        if region != self.config["region"]:
            message = "Invalid signing region in Authorization header."
            raise Refused(400, "InvalidArgument", message)
        names = sorted(additional.split(";")) if additional else []
        canonical = V4._calc_canonical_request(self.context(url), names)
        scope = f"{date}/{region}/{product}/aliyun_v4_request"
        to_sign = V4._calc_string_to_sign(stamp, scope, canonical)
        if V4._calc_signature(user["secret"], date, region, product, to_sign) != signature:
            raise Refused(403, "SignatureDoesNotMatch", canonical)
        return user

    def v4_header(self, fields):
        fields = dict(field.strip().split("=", 1) for field in fields.split(","))
        if "AdditionalHeaders" in fields and not fields["AdditionalHeaders"]:
            raise Refused(400, "InvalidArgument", "AdditionalHeaders is empty.")
        stamp = self.headers["x-oss-date"]
        token = self.headers.get("x-oss-security-token")
        self.check_clock(calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")))
        additional = fields.get("AdditionalHeaders", "")
        return self.v4(
            self.url(), fields["Credential"], additional, stamp, fields["Signature"], token
        )

    def v4_query(self):
        query = self.query
        stamp = query["x-oss-date"]
        begun = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
        if self.now > begun + int(query["x-oss-expires"]):
            raise Refused(403, "AccessDenied", "Request has expired.")
        plain, _, pairs = self.url().partition("?")
        pairs = [pair for pair in pairs.split("&") if not pair.startswith("x-oss-signature=")]
        user = self.v4(
            f"{plain}?{'&'.join(pairs)}",
            query["x-oss-credential"],
            query.get("x-oss-additional-headers", ""),
            stamp,
            query.get("x-oss-signature"),
            query.get("x-oss-security-token"),
        )
        return self.check_referer(user)

    def v1_header(self, fields):
        key_id, signature = fields.split(":")
        user = self.user(key_id, self.headers.get("x-oss-security-token"))
        date = self.headers.get("x-oss-date") or self.headers.get("Date", "")
        self.check_clock(calendar.timegm(email.utils.parsedate(date)))
        return self.v1(user, signature)

    def v1_query(self):
        query = self.query
        user = self.user(query["OSSAccessKeyId"], query.get("security-token"))
        if self.now > int(query["Expires"]):
            raise Refused(403, "AccessDenied", "Request has expired.")
        return self.check_referer(self.v1(user, query.get("Signature"), query["Expires"]))

    def v1(self, user, signature, *expires):
        context = self.context(self.url())
        context.sub_resource = list(V1_SUB_RESOURCES)
        to_sign = V1._calc_string_to_sign(context, *expires)
        if V1._calc_signature(user["secret"], to_sign) != signature:
            raise Refused(403, "SignatureDoesNotMatch", to_sign)
        return user

    def check_clock(self, stamp):
        if abs(stamp - self.now) > SKEW_LIMIT:
            raise Refused(403, "RequestTimeTooSkewed", "The difference is too large.")

    def check_referer(self, user):
        if self.config.get("referer") and not self.headers.get("Referer"):
            raise Refused(403, "AccessDenied", "The request is denied.", "0003-00000501")
        return user

    # What is asked.

    def operate(self, body):
        if self.bucket != self.config["bucket"]:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
        if self.command == "PUT":
            # It takes long, and others need not wait for it.
            self.piece = Piece(body)
        with LOCK:
            return getattr(self, self.operation)(body)

    def Bucket(self, _):
        return 200, {}, b""

    def absent(self):
        forbidden = self.headers.get("x-oss-forbid-overwrite") == "true"
        if forbidden and self.key in OBJECTS and not self.config.get("versions"):
            raise Refused(409, "FileAlreadyExists", "The object you specified already exists.")

    def metadata(self):
        kept = {k.lower(): v for k, v in self.headers.items() if k.lower().startswith("x-oss-meta-")}
        return dict(kept, **{"Content-Type": self.headers.get("Content-Type", "")})

    def undamaged(self):
        sent = self.headers.get("Content-MD5")
        if sent and base64.b64decode(sent) != self.piece.md5.digest():
            raise Refused(400, "InvalidDigest", "The Content-MD5 you specified is not valid.")
        return self.piece

    def PutObject(self, _):
        self.absent()
        piece = self.undamaged()
        OBJECTS[self.key] = Object([piece], piece.etag, self.metadata())
        return 200, piece.headers(), b""

    def InitiateMultipartUpload(self, _):
        self.absent()
        name = hashlib.md5(f"{self.key}{time.time()}".encode()).hexdigest().upper()
        UPLOADS[name] = ({}, self.metadata())
        out = (
            f"<InitiateMultipartUploadResult><Bucket>{self.bucket}</Bucket>"
            f"<Key>{escape(self.key)}</Key><UploadId>{name}</UploadId>"
            "</InitiateMultipartUploadResult>"
        )
        return 200, dict(XML), out.encode()

    def upload(self):
        if self.query["uploadId"] not in UPLOADS:
            raise Refused(404, "NoSuchUpload", "The specified upload does not exist.")
        return UPLOADS[self.query["uploadId"]]

    def UploadPart(self, _):
        parts, _ = self.upload()
        piece = parts[int(self.query["partNumber"])] = self.undamaged()
        return 200, piece.headers(), b""

    def CompleteMultipartUpload(self, body):
        self.absent()
        parts, metadata = self.upload()
        pattern = r"<PartNumber>(\d+)</PartNumber>\s*<ETag>(.*?)</ETag>"
        entities = {"&quot;": "", "&#34;": ""}
        asked = [
            (int(number), unescape(etag, entities).strip('"'))
            for number, etag in re.findall(pattern, body.decode(), re.S)
        ]
        if not asked or any(n not in parts or parts[n].etag != etag for n, etag in asked):
            raise Refused(400, "InvalidPart", "One or more of the parts could not be found.")
        del UPLOADS[self.query["uploadId"]]
        joined = hashlib.md5("".join(etag for _, etag in asked).encode()).hexdigest().upper()
        etag = f"{joined}-{len(asked)}"
        made = OBJECTS[self.key] = Object([parts[number] for number, _ in asked], etag, metadata)
        out = (
            f"<CompleteMultipartUploadResult><Bucket>{self.bucket}</Bucket>"
            f'<Key>{escape(self.key)}</Key><ETag>"{etag}"</ETag></CompleteMultipartUploadResult>'
        )
        return 200, dict(XML, **made.headers()), out.encode()

    def AbortMultipartUpload(self, _):
        self.upload()
        del UPLOADS[self.query["uploadId"]]
        return 204, {}, b""

    def DeleteObject(self, _):
        OBJECTS.pop(self.key, None)
        return 204, {}, b""

    def found(self):
        if self.key not in OBJECTS:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        found = OBJECTS[self.key]
        condition = self.headers.get("If-Match")
        if condition and condition.strip('"') != found.etag:
            raise Refused(412, "PreconditionFailed", "At least one of the conditions failed.")
        described = {"Last-Modified": "Sat, 21 Nov 2026 00:00:00 GMT", "Accept-Ranges": "bytes"}
        return found, dict(found.metadata, **described, **found.headers())

    def HeadObject(self, _):
        found, headers = self.found()
        return 200, dict(headers, **{"Content-Length": str(found.size)}), b""

    def GetObject(self, _):
        found, headers = self.found()
        status, first, end = 200, 0, found.size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked:
            status, first = 206, int(asked[1])
            end = min(int(asked[2]) + 1, end) if asked[2] else end
            if first >= found.size:
                raise Refused(416, "InvalidRange", "The requested range cannot be satisfied.")
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{found.size}"
        return status, headers, found.read(first, end)

    def ListObjectsV2(self, _):
        after = unquote(self.query.get("continuation-token", ""))
        limit = min(int(self.query.get("max-keys", 100)), self.config.get("page", 1000))
        keys = sorted(k for k in OBJECTS if k.startswith(self.query.get("prefix", "")) and k > after)
        shown = "".join(self.listed(key) for key in keys[:limit])
        more = ""
        if len(keys) > limit:
            token = quote(keys[limit - 1], safe="")
            more = f"<NextContinuationToken>{token}</NextContinuationToken>"
        out = (
            f"<ListBucketResult><Name>{self.bucket}</Name><KeyCount>{len(keys[:limit])}</KeyCount>"
            f"<EncodingType>url</EncodingType>{more}{shown}</ListBucketResult>"
        )
        return 200, dict(XML), out.encode()

    def listed(self, key):
        found = OBJECTS[key]
        return (
            f"<Contents><Key>{quote(key, safe='')}</Key>"
            f"<LastModified>2026-11-21T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{found.etag}&quot;</ETag><Size>{found.size}</Size></Contents>"
        )


with open(CONFIG) as file:
    ADDRESS = json.load(file).get("address", "127.0.0.1")
SERVER = ThreadingHTTPServer((ADDRESS, 0), Handler)
print("port", SERVER.server_address[1], flush=True)
SERVER.serve_forever()
