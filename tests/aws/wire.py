"""AWS's protocols, seen from the server: who signed a request, what it asks for, and an answer that an SDK can read.

Everything is judged by botocore, which the program under test does not use: signatures by its signer, parameters by
its service models, answers by its own parsers.
"""
import base64
import datetime
import hashlib
import hmac
import json
import pathlib
import re
import urllib.parse
import xml.sax.saxutils

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.validate
from botocore.compat import HTTPHeaders

HERE = pathlib.Path(__file__).resolve().parent
# Signing name -> botocore's name of the service.
SERVICES = {
    "ecs": "ecs", "ecr": "ecr", "logs": "logs", "autoscaling": "autoscaling", "cloudformation": "cloudformation",
    "elasticloadbalancing": "elbv2", "sts": "sts", "ec2": "ec2", "s3": "s3", "monitoring": "cloudwatch",
    "iam": "iam", "secretsmanager": "secretsmanager", "ssm": "ssm",
}
SKEW = datetime.timedelta(minutes=15)


class Refusal(Exception):
    """The service says no: an error of its own, with the status that AWS gives it. S3 says more in headers and elements."""

    def __init__(self, code, message, status=400, headers=None, elements=None):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status
        self.headers, self.elements = headers or {}, elements or {}


class Models:
    """The service models of Debian's botocore, with what newer ones add (tests/aws/models)."""

    def __init__(self):
        self._loader = botocore.loaders.create_loader(str(HERE / "models"))
        self._models = {}

    def service(self, name):
        if name not in self._models:
            self._models[name] = botocore.model.ServiceModel(self._loader.load_service_model(name, "service-2"), name)
        return self._models[name]


class Request:
    """One HTTP request, as it came; to a proxy it came with its host."""

    def __init__(self, method, target, headers, body):
        if target.startswith("http://"):
            target = "/" + target[len("http://"):].partition("/")[2]
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self._by_name = {name.lower(): value for name, value in headers.items()}
        self.path, _, self.query = target.partition("?")

    def header(self, name, default=""):
        return self._by_name.get(name.lower(), default)


def body_of(stream, headers):
    """A request's body; an engine that pushes does not know its length beforehand."""
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        return stream.read(int(headers.get("Content-Length") or 0))
    parts = []
    while True:
        size = int(stream.readline().partition(b";")[0], 16)
        parts.append(stream.read(size))
        stream.readline()
        if not size:
            return b"".join(parts)


# --- signatures ------------------------------------------------------------------------------------------------------

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$")


class Identity:
    def __init__(self, key_id, region, service):
        self.key_id, self.region, self.service = key_id, region, service


def identify(request, keys, now):
    """Who signed this. `keys`: id -> (secret, session token or None, expires or None). Raises Refusal."""
    match = AUTHORIZATION.match(request.header("Authorization"))
    if not match:
        if request.header("Authorization"):
            raise Refusal("IncompleteSignature", "The Authorization header is not understood", 403)
        raise Refusal("MissingAuthenticationToken", "Missing Authentication Token", 403)
    key_id, day, region, service, signed, signature = match.groups()
    if key_id not in keys:
        raise Refusal("InvalidClientTokenId" if service != "s3" else "InvalidAccessKeyId",
                      "The security token included in the request is invalid.", 403)
    secret, token, expires = keys[key_id]
    names = signed.split(";")
    _check_headers(request, names, day, token, service, now)
    if expires is not None and expires <= now:
        raise Refusal("ExpiredToken" if service == "s3" else "ExpiredTokenException",
                      "The security token included in the request is expired", 403 if service != "s3" else 400)
    _check_payload(request, service)
    again = _signed_again(request, names, secret, token, region, service)
    if not hmac.compare_digest(again, signature):
        raise Refusal("SignatureDoesNotMatch", "The request signature we calculated does not match", 403)
    return Identity(key_id, region, service)


def _check_headers(request, names, day, token, service, now):
    if names != sorted(names) or "host" not in names:
        raise Refusal("IncompleteSignature", f"SignedHeaders: {names}", 403)
    for name in request.headers:
        if name.lower().startswith("x-amz-") and name.lower() not in names:
            raise Refusal("IncompleteSignature", f"{name} is not signed", 403)
    date = request.header("X-Amz-Date")
    if not re.fullmatch(r"\d{8}T\d{6}Z", date) or not date.startswith(day):
        raise Refusal("IncompleteSignature", f"X-Amz-Date is {date!r}, the scope's day {day}", 403)
    signed_at = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if abs(signed_at - now) > SKEW:
        raise Refusal("RequestTimeTooSkewed" if service == "s3" else "InvalidSignatureException",
                      f"Signature expired: {date} is not within 15 minutes of {now:%Y%m%dT%H%M%SZ}", 403)
    given = request.header("X-Amz-Security-Token") or None
    if given != token:
        raise Refusal("InvalidClientTokenId", "The security token included in the request is invalid.", 403)


def _check_payload(request, service):
    said = request.header("X-Amz-Content-SHA256")
    if service == "s3" and not said:
        raise Refusal("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    if said and said != "UNSIGNED-PAYLOAD" and said != hashlib.sha256(request.body).hexdigest():
        raise Refusal("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match")


def _signed_again(request, names, secret, token, region, service):
    signed = botocore.awsrequest.AWSRequest(
        method=request.method, url=f"http://{request.header('Host')}{request.target}", data=request.body)
    signed.headers = HTTPHeaders()
    for name in names:
        if name != "host":
            signed.headers[name] = request.header(name)
    signed.headers["Host"] = request.header("Host")
    signed.context["timestamp"] = request.header("X-Amz-Date")
    signer_class = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    signer = signer_class(botocore.credentials.Credentials("unused", secret, token), service, region)
    canonical = signer.canonical_request(signed)
    return signer.signature(signer.string_to_sign(signed, canonical), signed)


# --- requests --------------------------------------------------------------------------------------------------------


def parse(models, service_name, request):
    """(operation model, parameters), checked against the model. Raises Refusal."""
    service = models.service(service_name)
    protocol = service.metadata["protocol"]
    if protocol == "json":
        operation, params = _parse_json(service, request)
    elif protocol in ("query", "ec2"):
        operation, params = _parse_form(service, protocol, request)
    else:
        operation, params = _parse_rest(service, request)
    _check(operation, params)
    return operation, params


def _operation(service, name):
    if name not in service.operation_names:
        raise Refusal("InvalidAction", f"{name} is not an operation of {service.service_name}")
    return service.operation_model(name)


def _parse_json(service, request):
    prefix, _, name = request.header("X-Amz-Target").rpartition(".")
    if prefix != service.metadata["targetPrefix"]:
        raise Refusal("UnknownOperationException", f"X-Amz-Target is {request.header('X-Amz-Target')!r}")
    version = service.metadata.get("jsonVersion", "1.0")
    if request.header("Content-Type") != f"application/x-amz-json-{version}":
        raise Refusal("SerializationException", f"Content-Type is {request.header('Content-Type')!r}")
    operation = _operation(service, name)
    try:
        params = json.loads(request.body or b"null")
    except ValueError as error:
        raise Refusal("SerializationException", str(error)) from error
    if not isinstance(params, dict):
        raise Refusal("SerializationException", "The body is no JSON object")
    return operation, _from_json(operation.input_shape, params)


def _from_json(shape, value):
    if shape is None or value is None:
        return value
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {k: _from_json(shape.members.get(k), v) for k, v in value.items() if v is not None}
    if kind == "list" and isinstance(value, list):
        return [_from_json(shape.member, v) for v in value]
    if kind == "map" and isinstance(value, dict):
        return {k: _from_json(shape.value, v) for k, v in value.items()}
    if kind == "blob" and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if kind == "timestamp" and isinstance(value, (int, float)):
        return datetime.datetime.fromtimestamp(value, datetime.timezone.utc)
    return value


def _parse_form(service, protocol, request):
    if not request.header("Content-Type").startswith("application/x-www-form-urlencoded"):
        raise Refusal("MalformedInput", f"Content-Type is {request.header('Content-Type')!r}")
    pairs = urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refusal("MalformedInput", "a parameter is given twice")
    operation = _operation(service, form.pop("Action", ""))
    if form.pop("Version", "") != service.api_version:
        raise Refusal("NoSuchVersion", f"the version is not {service.api_version}")
    params = _Form(protocol, form).structure(operation.input_shape, "") if operation.input_shape else {}
    if form:
        raise Refusal("UnknownParameter", f"unknown parameters: {', '.join(sorted(form))}")
    return operation, params


class _Form:
    """The inverse of botocore.serialize.QuerySerializer; what it understands it takes out of the form."""

    def __init__(self, protocol, form):
        self._ec2, self._form = protocol == "ec2", form

    def structure(self, shape, prefix):
        result = {}
        for name, member in shape.members.items():
            found, value = self._value(member, prefix + self._member_name(name, member))
            if found:
                result[name] = value
        return result

    def _member_name(self, name, member):
        if not self._ec2:
            if member.type_name == "list" and member.serialization.get("flattened"):
                return member.member.serialization.get("name") or member.serialization.get("name") or name
            return member.serialization.get("name", name)
        if "queryName" in member.serialization:
            return member.serialization["queryName"]
        wire = member.serialization.get("name", name)
        return wire[0].upper() + wire[1:]

    def _value(self, shape, name):
        kind = shape.type_name
        if kind == "structure":
            if not any(key.startswith(name + ".") for key in self._form):
                return False, None
            return True, self.structure(shape, name + ".")
        if kind == "list":
            return self._list(shape, name)
        if kind == "map":
            return self._map(shape, name)
        if name not in self._form:
            return False, None
        return True, self._scalar(kind, self._form.pop(name), name)

    def _list(self, shape, name):
        if not self._ec2 and self._form.get(name) == "":
            del self._form[name]
            return True, []
        flat = self._ec2 or shape.serialization.get("flattened")
        prefix = name if flat else f"{name}.{shape.member.serialization.get('name', 'member')}"
        result = []
        while True:
            found, value = self._value(shape.member, f"{prefix}.{len(result) + 1}")
            if not found:
                return bool(result), result
            result.append(value)

    def _map(self, shape, name):
        prefix = name if shape.serialization.get("flattened") else f"{name}.entry"
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        result = {}
        while f"{prefix}.{len(result) + 1}.{key_name}" in self._form:
            place = f"{prefix}.{len(result) + 1}"
            key = self._form.pop(f"{place}.{key_name}")
            _, value = self._value(shape.value, f"{place}.{value_name}")
            result[key] = value
        return bool(result), result

    @staticmethod
    def _scalar(kind, text, name):
        try:
            if kind in ("integer", "long"):
                return int(text)
            if kind in ("float", "double"):
                return float(text)
            if kind == "boolean":
                return {"true": True, "false": False}[text]
            if kind == "blob":
                return base64.b64decode(text, validate=True)
            if kind == "timestamp":
                return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
        except (KeyError, ValueError) as error:
            raise Refusal("MalformedInput", f"{name}={text!r} is no {kind}") from error
        return text


# bucket.s3.eu-west-1.amazonaws.com, bucket.s3.amazonaws.com, and bucket.localhost for who asks the double directly.
BUCKET_HOST = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9.-]+)\.(s3[.-][a-z0-9.-]*amazonaws\.com(\.cn)?|localhost)(:\d+)?")
# Headers that belong to the request as such, not to one operation.
OF_EVERY_REQUEST = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-user-agent", "x-amz-target"}


def _rest_path(request):
    """The path with the bucket in it."""
    match = BUCKET_HOST.fullmatch(request.header("Host"))
    return f"/{match['bucket']}{request.path}" if match else request.path


def _check_header_names(operation, request):
    members = operation.input_shape.members.values() if operation.input_shape else ()
    known = {one.serialization.get("name", "").lower() for one in members if one.serialization.get("location") == "header"}
    prefixes = tuple(one.serialization["name"].lower() for one in members if one.serialization.get("location") == "headers")
    unknown = [name for name in request.headers if name.lower().startswith("x-amz-") and
               name.lower() not in known | OF_EVERY_REQUEST and not name.lower().startswith(prefixes or ("-",))]
    if unknown:
        raise Refusal("InvalidArgument", f"{operation.name} has no header {', '.join(sorted(unknown))}")


def _parse_rest(service, request):
    path = _rest_path(request)
    given = dict(urllib.parse.parse_qsl(request.query, keep_blank_values=True))
    best = None
    for name in service.operation_names:
        operation = service.operation_model(name)
        http = operation.http
        if http["method"] != request.method:
            continue
        template, _, literal = http["requestUri"].partition("?")
        match = _uri_pattern(template).fullmatch(path)
        fixed = dict(urllib.parse.parse_qsl(literal, keep_blank_values=True))
        if not match or any(given.get(key) != value for key, value in fixed.items()):
            continue
        params = _rest_params(operation, match.groupdict(), given, request)
        required = set(operation.input_shape.required_members) if operation.input_shape else set()
        if required - set(params):
            continue
        score = (len(fixed), len(required), len(params))
        if best is None or score > best[0]:
            best = (score, operation, params, set(given) - set(fixed))
    if best is None:
        raise Refusal("MethodNotAllowed", f"no operation is {request.method} {request.target}", 405)
    _, operation, params, left = best
    members = operation.input_shape.members.values() if operation.input_shape else ()
    known = {m.serialization.get("name") for m in members if m.serialization.get("location") == "querystring"}
    if left - known - {"x-id"}:
        raise Refusal("InvalidArgument", f"unknown parameters: {', '.join(sorted(left - known))}")
    _check_header_names(operation, request)
    return operation, params


def _uri_pattern(template):
    pattern = re.escape(template).replace(r"\{", "{").replace(r"\}", "}").replace(r"\+", "+")
    pattern = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", pattern)
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern) + ("" if template.endswith("/") else "/?"))


def _rest_params(operation, uri, given, request):
    params = {}
    shape = operation.input_shape
    if shape is None:
        return params
    for name, member in shape.members.items():
        place = member.serialization.get("location")
        wire = member.serialization.get("name", name)
        if place == "uri" and wire in uri:
            params[name] = urllib.parse.unquote(uri[wire])
        elif place == "querystring" and wire in given:
            params[name] = _Form._scalar(member.type_name, given[wire], wire)
        elif place == "header" and request.header(wire):
            params[name] = _header_value(member, request.header(wire))
        elif place == "headers":
            found = {key[len(wire):]: value for key, value in request.headers.items()
                     if key.lower().startswith(wire.lower())}
            if found:
                params[name] = found
    payload = shape.serialization.get("payload")
    if payload and shape.members[payload].type_name == "blob":
        params[payload] = request.body
    elif payload and request.body:
        params[payload] = _xml_value(shape.members[payload], _xml_root(request.body))
    return params


def _header_value(member, text):
    if member.type_name == "timestamp":
        return text
    return _Form._scalar(member.type_name, text, "header")


def _xml_root(body):
    import xml.etree.ElementTree as tree
    try:
        return tree.fromstring(body)
    except tree.ParseError as error:
        raise Refusal("MalformedXML", str(error)) from error


def _xml_value(shape, node):
    def local(element):
        return element.tag.rpartition("}")[2]

    if shape.type_name == "structure":
        result = {}
        known = {member.serialization.get("name", name) for name, member in shape.members.items()}
        unknown = {local(child) for child in node} - known
        if unknown:
            raise Refusal("MalformedXML", f"The XML you provided was not well-formed: {', '.join(sorted(unknown))}")
        for name, member in shape.members.items():
            wire = member.serialization.get("name", name)
            if member.type_name == "list" and member.serialization.get("flattened"):
                found = [child for child in node if local(child) == wire]
                if found:
                    result[name] = [_xml_value(member.member, child) for child in found]
                continue
            found = [child for child in node if local(child) == wire]
            if found:
                result[name] = _xml_value(member, found[0])
        return result
    if shape.type_name == "list":
        return [_xml_value(shape.member, child) for child in node]
    return _Form._scalar(shape.type_name, node.text or "", shape.name)


# --- what a model allows ---------------------------------------------------------------------------------------------


def _check(operation, params):
    shape = operation.input_shape
    if shape is None:
        if params:
            raise Refusal("ValidationException", f"{operation.name} takes no parameters")
        return
    report = botocore.validate.ParamValidator().validate(params, shape)
    problems = [report.generate_report()] if report.has_errors() else []
    _check_values(shape, params, shape.name, problems)
    if problems:
        code = "ValidationError" if operation.service_model.metadata["protocol"] in ("query", "ec2") else \
            "InvalidParameterException"
        raise Refusal(code, f"{operation.name}: {'; '.join(problems)}")


def _check_values(shape, value, path, problems):
    """Enums, maxima and patterns, which botocore leaves to the service."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        for key, inner in value.items():
            if key in shape.members:
                _check_values(shape.members[key], inner, f"{path}.{key}", problems)
    elif kind == "list" and isinstance(value, list):
        if len(value) > shape.metadata.get("max", len(value)):
            problems.append(f"{path}: more than {shape.metadata['max']}")
        for index, inner in enumerate(value):
            _check_values(shape.member, inner, f"{path}[{index}]", problems)
    elif kind == "map" and isinstance(value, dict):
        for key, inner in value.items():
            _check_values(shape.value, inner, f"{path}.{key}", problems)
    elif kind == "string" and isinstance(value, str):
        allowed = getattr(shape, "enum", None)
        if allowed and value not in allowed:
            problems.append(f"{path}: {value!r} is none of {', '.join(allowed)}")
        if len(value) > shape.metadata.get("max", len(value)):
            problems.append(f"{path}: longer than {shape.metadata['max']}")
    elif kind in ("integer", "long", "float", "double") and isinstance(value, (int, float)):
        if value > shape.metadata.get("max", value):
            problems.append(f"{path}: greater than {shape.metadata['max']}")


# --- answers ---------------------------------------------------------------------------------------------------------


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def answer(operation, result, request_id):
    """`result` as the operation's output, checked by reading it back as an SDK would. An Answer goes as it is."""
    if isinstance(result, Answer):
        return result
    protocol = operation.service_model.metadata["protocol"]
    shape = operation.output_shape
    if protocol == "json":
        body = json.dumps(_to_json(shape, result)).encode()
        made = Answer(200, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": request_id}, body)
    elif protocol in ("query", "ec2"):
        made = _xml_answer(operation, protocol, result, request_id)
    else:
        made = _rest_answer(operation, result, request_id)
    _read_back(protocol, shape, made, result, operation.name)
    return made


def _to_json(shape, value):
    if shape is None:
        return {}
    kind = shape.type_name
    if kind == "structure":
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{shape.name} has no {unknown}"
        return {k: _to_json(shape.members[k], v) for k, v in value.items() if v is not None}
    if kind == "list":
        return [_to_json(shape.member, v) for v in value]
    if kind == "map":
        return {k: _to_json(shape.value, v) for k, v in value.items()}
    if kind == "timestamp":
        return value.timestamp()
    if kind == "blob":
        return base64.b64encode(value).decode()
    return value


def _text(shape, value):
    if shape.type_name == "boolean":
        return "true" if value else "false"
    if shape.type_name == "timestamp":
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    return xml.sax.saxutils.escape(str(value))


def _to_xml(shape, value, name):
    kind = shape.type_name
    if kind == "structure":
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{shape.name} has no {unknown}"
        inner = "".join(_to_xml(shape.members[key], item, shape.members[key].serialization.get("name", key))
                        for key, item in value.items() if item is not None)
        return f"<{name}>{inner}</{name}>"
    if kind == "list":
        if shape.serialization.get("flattened"):
            wire = shape.member.serialization.get("name", name)
            return "".join(_to_xml(shape.member, item, wire) for item in value)
        wire = shape.member.serialization.get("name", "member")
        return f"<{name}>{''.join(_to_xml(shape.member, item, wire) for item in value)}</{name}>"
    if kind == "map":
        entries = "".join(
            f"<entry>{_to_xml(shape.key, k, shape.key.serialization.get('name', 'key'))}"
            f"{_to_xml(shape.value, v, shape.value.serialization.get('name', 'value'))}</entry>"
            for k, v in value.items())
        return f"<{name}>{entries}</{name}>"
    return f"<{name}>{_text(shape, value)}</{name}>"


def _xml_answer(operation, protocol, result, request_id):
    shape = operation.output_shape
    space = operation.service_model.metadata.get("xmlNamespace", "http://aws.invalid/")
    inner = "".join(_to_xml(shape.members[key], item, shape.members[key].serialization.get("name", key))
                    for key, item in result.items() if item is not None) if shape else ""
    if protocol == "ec2":
        body = f"<requestId>{request_id}</requestId>{inner}"
    else:
        wrapper = shape.serialization.get("resultWrapper") if shape else None
        body = f"<{wrapper}>{inner}</{wrapper}>" if wrapper else inner
        body += f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{operation.name}Response xmlns="{space}">{body}</{operation.name}Response>'
    return Answer(200, {"Content-Type": "text/xml", "x-amzn-RequestId": request_id}, text.encode())


def _rest_answer(operation, result, request_id):
    headers = {"x-amz-request-id": request_id, "x-amz-id-2": "host-" + request_id}
    shape = operation.output_shape
    body = b""
    if shape is not None:
        payload = shape.serialization.get("payload")
        rest = {}
        for key, value in result.items():
            member = shape.members[key]
            place = member.serialization.get("location")
            if place == "header":
                headers[member.serialization.get("name", key)] = _header_text(member, value)
            elif place == "headers":
                headers.update({member.serialization["name"] + k: v for k, v in value.items()})
            elif key == payload and member.type_name == "blob":
                body = value
            elif key == payload:
                body = _to_xml(member, value, member.serialization.get("name", key)).encode()
                headers["Content-Type"] = "application/xml"
            elif value is not None:
                rest[key] = value
        if rest:
            body = ('<?xml version="1.0" encoding="UTF-8"?>\n' + _to_xml_members(shape, rest, operation.name)).encode()
            headers["Content-Type"] = "application/xml"
    status = 206 if "ContentRange" in result else operation.http.get("responseCode", 200)
    return Answer(status, headers, body)


def _to_xml_members(shape, value, name):
    inner = "".join(_to_xml(shape.members[key], item, shape.members[key].serialization.get("name", key))
                    for key, item in value.items())
    return f'<{name}Result xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{name}Result>'


def _header_text(member, value):
    if member.type_name == "timestamp":
        return value.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return _text(member, value)


def _read_back(protocol, shape, made, result, name):
    if shape is None:
        return
    payload = shape.serialization.get("payload")
    streamed = payload and shape.members[payload].type_name == "blob"
    headers = botocore.awsrequest.HeadersDict(made.headers)
    parsed = botocore.parsers.create_parser(protocol).parse(
        {"headers": headers, "body": b"" if streamed else made.body, "status_code": made.status,
         "context": {"operation_name": name}}, shape)
    parsed.pop("ResponseMetadata", None)
    for key, value in result.items():
        if value is None or (streamed and key == payload):
            continue
        assert _same(parsed.get(key), value), f"{name}: {key} reads {parsed.get(key)!r}, not {value!r}"


def _same(parsed, value):
    if isinstance(value, dict):
        return all(_same((parsed or {}).get(k), v) for k, v in value.items() if v is not None)
    if isinstance(value, list):
        return len(parsed or []) == len(value) and all(_same(p, v) for p, v in zip(parsed or [], value))
    if isinstance(value, datetime.datetime):
        return abs((parsed - value).total_seconds()) < 1.1
    return parsed == value


def refusal(protocol, error, request_id):
    """The error in the form of its protocol."""
    if protocol == "json":
        body = json.dumps({"__type": error.code, "message": error.message}).encode()
        return Answer(error.status, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": request_id}, body)
    code, message = xml.sax.saxutils.escape(error.code), xml.sax.saxutils.escape(error.message)
    if protocol == "query":
        text = (f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
                f"<RequestId>{request_id}</RequestId></ErrorResponse>")
    elif protocol == "ec2":
        text = (f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
                f"<RequestID>{request_id}</RequestID></Response>")
    else:
        more = "".join(f"<{name}>{xml.sax.saxutils.escape(value)}</{name}>" for name, value in error.elements.items())
        text = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}<RequestId>{request_id}</RequestId></Error>"
    header = "x-amz-request-id" if protocol == "rest-xml" else "x-amzn-RequestId"
    body = b"" if error.status == 304 else text.encode()
    return Answer(error.status, {"Content-Type": "application/xml", header: request_id, **error.headers}, body)


def noted(value):
    """What is written to the journal of a value that JSON does not have."""
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
