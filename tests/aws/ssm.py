"""SSM: parameters, as task definitions and templates name them.

Ordered beforehand: {"ssm": {"parameters": [{"name": "/app/db", "value": "x", "type": "SecureString"}]}}
"""
from wire import Refusal


class Ssm:
    def __init__(self, world):
        self.world = world
        self.parameters = {}  # name -> as GetParameter tells it

    def control(self, orders):
        for order in orders.get("parameters", []):
            self._store(order["name"], order["value"], order.get("type", "String"), "eu-west-1")

    def _store(self, name, value, kind, region):
        version = self.parameters.get(name, {"Version": 0})["Version"] + 1
        self.parameters[name] = {
            "Name": name, "Type": kind, "Value": value, "Version": version, "LastModifiedDate": self.world.now(),
            "DataType": "text", "ARN": f"arn:aws:ssm:{region}:{self.world.account}:parameter/{name.lstrip('/')}"}
        return version

    def _told(self, reference, params):
        """By name or ARN; none where there is none. A secure one is told in clear only where that is asked for."""
        name = next((one for one, told in self.parameters.items() if reference in (one, told["ARN"])), None)
        if name is None:
            return None
        told = self.parameters[name]
        hidden = told["Type"] == "SecureString" and not params.get("WithDecryption")
        return told | ({"Value": "AQICAHencrypted"} if hidden else {})

    def GetParameter(self, params, identity):
        found = self._told(params["Name"], params)
        if found is None:
            raise Refusal("ParameterNotFound", "")
        return {"Parameter": found}

    def GetParameters(self, params, identity):
        found = {name: self._told(name, params) for name in params["Names"]}
        return {"Parameters": [one for one in found.values() if one],
                "InvalidParameters": [name for name, one in found.items() if not one]}

    def PutParameter(self, params, identity):
        if params["Name"] in self.parameters and not params.get("Overwrite"):
            raise Refusal("ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite "
                          "option in the request to true.")
        return {"Version": self._store(params["Name"], params["Value"], params.get("Type", "String"), identity.region),
                "Tier": "Standard"}
