"""The registry of the double's ECR, on the double's own port: what an engine needs to push and to pull.

Docker Registry HTTP API V2 (distribution specification), with ECR's answers: basic authentication with a token of
GetAuthorizationToken, repositories that have to be there, tags that may be immutable. One line of the journal each.
"""
import base64
import hashlib
import json
import re
import urllib.parse
import uuid

import wire
from wire import Refusal

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES = (MANIFEST, "application/vnd.docker.distribution.manifest.list.v2+json",
                  "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json")
# ECR's exceptions, as the registry says them.
CODES = {"RepositoryNotFoundException": ("NAME_UNKNOWN", 404), "ImageTagAlreadyExistsException": ("TAG_INVALID", 400)}


def error(status, code, message, headers=None):
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return wire.Answer(status, {"Content-Type": "application/json", **(headers or {})}, body)


class Registry:
    def __init__(self, ecr):
        self.ecr = ecr
        self.blobs, self.uploads = {}, {}  # digest -> bytes; id -> bytes so far

    def answer(self, request, note):
        note["service"], note["operation"] = "registry", request.method
        made = self._refused(request) or self._routed(request)
        made.headers.setdefault("Docker-Distribution-Api-Version", "registry/2.0")
        note["outcome"] = "done" if made.status < 400 else str(made.status)
        return made

    def _refused(self, request):
        """Who has no token, or an old one."""
        scheme, _, given = request.header("Authorization").partition(" ")
        challenge = {"WWW-Authenticate": f'Basic realm="http://{request.header("Host")}/",service="ecr.amazonaws.com"'}
        try:
            user, _, password = base64.b64decode(given if scheme == "Basic" else "").decode().partition(":")
        except ValueError:
            user, password = "", ""
        good = self.ecr.password_is_good(password) if user == "AWS" else None
        if good is None:
            return error(401, "UNAUTHORIZED", "Not Authorized", challenge)
        if not good:
            return error(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
        return None

    def _routed(self, request):
        if request.path == "/v2/":
            return wire.Answer(200, {"Content-Type": "application/json"}, b"{}")
        for pattern, method in ((r"/v2/(.+)/blobs/uploads/([^/]*)", self._upload),
                                (r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", self._blob),
                                (r"/v2/(.+)/manifests/([^/]+)", self._manifest)):
            match = re.fullmatch(pattern, request.path)
            if match:
                try:
                    self.ecr.repository(match[1])
                    return method(request, match[1], match[2])
                except Refusal as refusal:
                    code, status = CODES.get(refusal.code, ("UNSUPPORTED", 400))
                    return error(status, code, refusal.message)
        return error(404, "UNSUPPORTED", f"the double's registry has no {request.path}")

    def _blob(self, request, name, digest):
        if request.method not in ("GET", "HEAD"):
            return error(405, "UNSUPPORTED", "")
        if digest not in self.blobs:
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        return wire.Answer(200, {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest,
                                 "Content-Length": str(len(self.blobs[digest]))}, self.blobs[digest])

    def _upload(self, request, name, number):
        asked = dict(urllib.parse.parse_qsl(request.query))
        if request.method == "POST":
            number = str(uuid.uuid4())
            self.uploads[number] = b""
            if asked.get("mount") in self.blobs:
                return self._uploaded(name, asked["mount"])
            if "digest" not in asked:
                return self._accepted(name, number)
        if number not in self.uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        self.uploads[number] += request.body
        if request.method == "PATCH":
            return self._accepted(name, number)
        body = self.uploads.pop(number)
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if asked.get("digest") != digest:
            return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.blobs[digest] = body
        return self._uploaded(name, digest)

    def _accepted(self, name, number):
        return wire.Answer(202, {"Location": f"/v2/{name}/blobs/uploads/{number}", "Docker-Upload-UUID": number,
                                 "Range": f"0-{max(len(self.uploads[number]) - 1, 0)}"}, b"")

    @staticmethod
    def _uploaded(name, digest):
        return wire.Answer(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}, b"")

    def _manifest(self, request, name, reference):
        if request.method == "PUT":
            return self._put_manifest(request, name, reference)
        image = self.ecr.find(name, reference)
        if image is None:
            return error(404, "MANIFEST_UNKNOWN", "Requested image not found")
        body = image["manifest"].encode()
        return wire.Answer(200, {"Content-Type": image["type"], "Docker-Content-Digest": image["digest"],
                                 "Content-Length": str(len(body))}, body)

    def _put_manifest(self, request, name, reference):
        manifest = json.loads(request.body)
        parts = [manifest["config"], *manifest["layers"]] if "config" in manifest else []
        missing = [part["digest"] for part in parts if part["digest"] not in self.blobs]
        if missing:
            return error(400, "BLOB_UNKNOWN", f"Layers with digests '{missing}' required for pushing image to repository with "
                         f"name '{name}' do not exist")
        tag = None if reference.startswith("sha256:") else reference
        image, _ = self.ecr.store(name, request.body.decode(), request.header("Content-Type"), tag)
        return wire.Answer(201, {"Location": f"/v2/{name}/manifests/{image['digest']}",
                                 "Docker-Content-Digest": image["digest"]}, b"")
