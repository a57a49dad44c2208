#!/usr/bin/python3
"""A double for AWS: one HTTP server that is every service, on a port of 127.0.0.1.

    double.py [--port N] [--ready FILE] [--journal FILE]

--ready: the port is written there when requests are taken. --journal: one JSON object a line for each request, with
service, operation, params, key and outcome. Access keys: AKIDEXAMPLE (long-lived) and those that STS gives.

POST /_double takes {"faults": [{"service", "operation", "times", "status", "code", "message", "after", "cut"}]}:
the next `times` calls of that operation (or of all) end so; `after`: once it was carried out; `cut`: the connection
is closed without an answer. {"key": {"id", "expires"}}: that key expires then (ISO 8601).
{SERVICE: …}: what exists there and what will become of it; see the service's file.
"""
import argparse
import datetime
import http.server
import json
import pathlib
import socket
import sys
import threading
import urllib.parse
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import autoscaling  # noqa: E402
import cloudformation  # noqa: E402
import cloudwatch  # noqa: E402
import ec2  # noqa: E402
import ecr  # noqa: E402
import ecs  # noqa: E402
import elbv2  # noqa: E402
import iam  # noqa: E402
import logs  # noqa: E402
import s3  # noqa: E402
import secretsmanager  # noqa: E402
import ssm  # noqa: E402
import sts  # noqa: E402
import wire  # noqa: E402

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


class World:
    """What exists. Services add to it; all of them see one clock and one lock."""

    account = "123456789012"
    port = 0

    def __init__(self):
        self.lock = threading.RLock()
        self.keys = {"AKIDEXAMPLE": (SECRET, None, None)}  # id -> (secret, token, expires)
        self.faults = []
        self.services = {
            # In the order in which they take their orders: groups are made of templates and of target groups.
            "ec2": ec2.Ec2(self),
            "elbv2": elbv2.Elbv2(self),
            "autoscaling": autoscaling.Autoscaling(self),
            "cloudwatch": cloudwatch.CloudWatch(self),
            "ecr": ecr.Ecr(self),
            "ecs": ecs.Ecs(self),
            "iam": iam.Iam(self),
            "logs": logs.Logs(self),
            "s3": s3.S3(self),
            "secretsmanager": secretsmanager.SecretsManager(self),
            "ssm": ssm.Ssm(self),
            "sts": sts.Sts(self),
            "cloudformation": cloudformation.CloudFormation(self),  # the last to take orders: it asks the others
        }

    @staticmethod
    def now():
        return datetime.datetime.now(datetime.timezone.utc)

    def fault_for(self, service, operation):
        for fault in self.faults:
            if fault.get("service", service) != service or fault.get("operation", operation) != operation:
                continue
            if fault.get("times", 1) > 0:
                fault["times"] = fault.get("times", 1) - 1
                return fault
        return None

    def control(self, orders):
        self.faults.extend(orders.get("faults", []))
        for name, service in self.services.items():
            if name in orders:
                service.control(orders[name])
        if "key" in orders:
            key = orders["key"]
            secret, token, _ = self.keys[key["id"]]
            self.keys[key["id"]] = (secret, token, datetime.datetime.fromisoformat(key["expires"]))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait 40 ms for the first one's receipt
    world, models, journal = None, None, None

    def handle_any(self):
        body = wire.body_of(self.rfile, self.headers)
        request = wire.Request(self.command, self.path, dict(self.headers.items()), body)
        if request.path == "/_double":
            with self.world.lock:
                self.world.control(json.loads(body))
            return self.send(wire.Answer(200, {"Content-Type": "application/json"}, b"{}"))
        request_id = str(uuid.uuid4())
        note = {"target": self.path, "request_id": request_id}
        try:
            with self.world.lock:
                if request.path.startswith("/v2/"):
                    made = self.world.services["ecr"].registry.answer(request, note)
                else:
                    made = self.carried_out(request, request_id, note)
        finally:
            if self.journal:
                with self.world.lock, open(self.journal, "a", encoding="utf-8") as file:
                    file.write(json.dumps(note, default=wire.noted) + "\n")
        if made is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        return self.send(made)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any

    def carried_out(self, request, request_id, note):
        """The answer; none: the connection is to be cut."""
        service_name, protocol = "sts", "query"
        try:
            region = "us-east-1"
            if self.unsigned(request):
                note["key"] = None
            else:
                identity = wire.identify(request, self.world.keys, self.world.now())
                service_name, region = wire.SERVICES.get(identity.service), identity.region
                note["key"] = identity.key_id
                if service_name is None:
                    raise wire.Refusal("UnknownService", f"nothing signs for {identity.service}", 404)
            protocol = self.models.service(service_name).metadata["protocol"]
            operation, params = wire.parse(self.models, service_name, request)
            note.update(service=service_name, operation=operation.name, params=params)
            fault = self.world.fault_for(service_name, operation.name)
            if fault and not fault.get("after"):
                return self.failed(fault, protocol, request_id, note)
            service = self.world.services.get(service_name)
            method = getattr(service, operation.name, None)
            if method is None:
                raise wire.Refusal("NotImplemented", f"the double has no {service_name} {operation.name}", 501)
            result = method(params, wire.Identity(note["key"], region, service_name))
            note["outcome"] = "done"
            if fault:
                return self.failed(fault, protocol, request_id, note)
            return wire.answer(operation, result, request_id)
        except wire.Refusal as error:
            note["outcome"] = error.code
            return wire.refusal(protocol, error, request_id)

    @staticmethod
    def unsigned(request):
        if request.header("Authorization"):
            return False
        form = urllib.parse.parse_qs(request.body.decode(errors="replace"))
        return form.get("Action") == ["AssumeRoleWithWebIdentity"]

    @staticmethod
    def failed(fault, protocol, request_id, note):
        note["outcome"] = note.get("outcome", "") + " fault"
        if fault.get("cut"):
            return None
        if "code" not in fault:
            return wire.Answer(fault.get("status", 502), {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>")
        error = wire.Refusal(fault["code"], fault.get("message", ""), fault.get("status", 400))
        return wire.refusal(protocol, error, request_id)

    def send(self, made):
        self.send_response(made.status)
        for name, value in made.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in made.headers:  # of what HEAD asks for there is no body
            self.send_header("Content-Length", str(len(made.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(made.body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--ready")
    options.add_argument("--journal")
    options = options.parse_args()
    Handler.world, Handler.models, Handler.journal = World(), wire.Models(), options.journal
    server = Server(("127.0.0.1", options.port), Handler)
    Handler.world.port = server.server_address[1]
    if options.ready:
        ready = pathlib.Path(options.ready)
        ready.with_suffix(".new").write_text(f"{server.server_address[1]}\n", encoding="utf-8")
        ready.with_suffix(".new").rename(ready)
    server.serve_forever()


if __name__ == "__main__":
    main()
