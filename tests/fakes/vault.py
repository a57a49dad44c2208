"""vault.py CONFIG: a Vault of the parts that `secrets:vault` uses, for the end-to-end tests.

Answers as HashiCorp's HTTP API documentation has it: "JWT login" (auth/jwt), KV versions 1 and 2 "Read secret", and
"Error response". CONFIG is a JSON file:
  keys: the issuer's JWK set, a file      issuer: what `iss` must be      namespace: "" or what must be asked for
  auth: the method's path                 roles: name -> {audience, claims}, "" is the default one
  mounts: path -> {version: 1 or 2, data: path -> {field: value}}
  busy: so many times 503 first           tls: {certificate, key}, files: it speaks HTTPS
Prints its port, then a line for each request: METHOD PATH.
"""
import http.server
import json
import ssl
import sys
import time
import uuid

from check_token import claims_of

with open(sys.argv[1]) as file:
    config = json.load(file)
tokens = set()
busy = [config.get("busy", 0)]


class Refused(Exception):
    def __init__(self, status, *errors, **more):
        super().__init__(status)
        self.status, self.answer = status, {"errors": list(errors), **more}


def log_in(body):
    role = config["roles"].get(body.get("role", ""))
    if role is None:
        raise Refused(400, f'role "{body.get("role", "")}" could not be found')
    if not body.get("jwt"):
        raise Refused(400, "missing token")
    try:
        with open(config["keys"]) as keys:
            claims = claims_of(json.load(keys), body["jwt"])
    except (ValueError, KeyError) as error:
        raise Refused(400, f"error validating token {body['jwt']}: {error}")
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if claims["iss"] != config["issuer"]:
        raise Refused(400, "error validating token: invalid issuer (iss) claim")
    if not claims["nbf"] <= time.time() < claims["exp"]:
        raise Refused(400, "error validating token: token is expired")
    if role["audience"] not in audience:
        raise Refused(400, "error validating token: invalid audience (aud) claim")
    for name, value in role.get("claims", {}).items():
        if claims.get(name) != value:
            raise Refused(400, f'error validating claims: claim "{name}" does not match any associated bound claim values')
    token = "hvs." + uuid.uuid4().hex
    tokens.add(token)
    return {"auth": {"client_token": token, "accessor": uuid.uuid4().hex, "policies": ["default"], "lease_duration": 60,
                     "renewable": True, "metadata": {"role": body.get("role", "")}}, "data": None}


def read(path, token):
    if token not in tokens:
        raise Refused(403, "permission denied")
    for mount, engine in config["mounts"].items():
        if not path.startswith(mount + "/"):
            continue
        below = path[len(mount) + 1:]
        if engine["version"] == 2:
            if not below.startswith("data/"):
                raise Refused(404, warnings=["Invalid path for a versioned K/V secrets engine. See the API docs for the "
                                             "appropriate API endpoints to use."])
            below = below[5:]
        if below not in engine["data"]:
            raise Refused(404)
        data = engine["data"][below]
        if engine["version"] == 2:
            data = {"data": data, "metadata": {"version": 1, "destroyed": False, "deletion_time": ""}}
        return {"data": data, "lease_duration": 2764800, "renewable": False, "lease_id": ""}
    raise Refused(403, "permission denied")


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        print(self.command, self.path, flush=True)
        try:
            if busy[0] > 0:
                busy[0] -= 1
                raise Refused(503, "Vault is sealed")
            if self.headers.get("X-Vault-Namespace", "").strip("/") != config.get("namespace", ""):
                raise Refused(404, f'no handler for route "{self.path}". route entry not found.')
            if self.path == "/v1/auth/" + config.get("auth", "jwt") + "/login" and self.command in ("POST", "PUT"):
                status, answer = 200, log_in(body)
            elif self.command == "GET" and self.path.startswith("/v1/"):
                status, answer = 200, read(self.path[4:], self.headers.get("X-Vault-Token", ""))
            else:
                raise Refused(405, "unsupported operation")
        except Refused as refused:
            status, answer = refused.status, refused.answer
        text = json.dumps({"request_id": str(uuid.uuid4()), **answer} if status == 200 else answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *unused):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(config.get("port", 0))), Handler)
if "tls" in config:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config["tls"]["certificate"], config["tls"]["key"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
