"""Secrets Manager: secrets, as task definitions name them.

Ordered beforehand: {"secretsmanager": {"secrets": [{"name": "app/db", "value": "x", "deleted": false}]}}
"""
from wire import Refusal


class SecretsManager:
    def __init__(self, world):
        self.world = world
        self.secrets = {}

    def control(self, orders):
        for order in orders.get("secrets", []):
            facts = {"ARN": f"arn:aws:secretsmanager:eu-west-1:{self.world.account}:secret:{order['name']}-AbCdEf",
                     "Name": order["name"], "CreatedDate": self.world.now(), "LastChangedDate": self.world.now()}
            if order.get("deleted"):
                facts["DeletedDate"] = self.world.now()
            self.secrets[order["name"]] = {"facts": facts, "value": order["value"]}

    def _secret(self, reference):
        """By name, ARN, or ARN without its random end."""
        for name, secret in self.secrets.items():
            if reference in (name, secret["facts"]["ARN"], secret["facts"]["ARN"][:-len("-AbCdEf")]):
                return secret
        raise Refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")

    def DescribeSecret(self, params, identity):
        return self._secret(params["SecretId"])["facts"]

    def GetSecretValue(self, params, identity):
        secret = self._secret(params["SecretId"])
        if "DeletedDate" in secret["facts"]:
            raise Refusal("InvalidRequestException", "You can't perform this operation on the secret because it was marked for "
                          "deletion.")
        return {"ARN": secret["facts"]["ARN"], "Name": secret["facts"]["Name"], "SecretString": secret["value"],
                "VersionId": "00000000-0000-0000-0000-000000000001", "VersionStages": ["AWSCURRENT"],
                "CreatedDate": secret["facts"]["CreatedDate"]}
