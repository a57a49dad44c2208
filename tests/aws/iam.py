"""IAM: whether a role is there, and who may take it on.

Ordered beforehand: {"iam": {"roles": [{"name": "task", "service": "ecs-tasks.amazonaws.com"}]}}
"""
import json
import urllib.parse

from wire import Refusal


class Iam:
    def __init__(self, world):
        self.world = world
        self.roles = {}

    def control(self, orders):
        for order in orders.get("roles", []):
            policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {
                "Service": order.get("service", "ecs-tasks.amazonaws.com")}}]}
            self.roles[order["name"]] = {
                "Path": "/", "RoleName": order["name"], "RoleId": f"AROA{len(self.roles):017d}",
                "Arn": f"arn:aws:iam::{self.world.account}:role/{order['name']}", "CreateDate": self.world.now(),
                "AssumeRolePolicyDocument": urllib.parse.quote(json.dumps(policy))}

    def GetRole(self, params, identity):
        name = params["RoleName"]
        if name not in self.roles:
            raise Refusal("NoSuchEntity", f"The role with name {name} cannot be found.", 404)
        return {"Role": self.roles[name]}
