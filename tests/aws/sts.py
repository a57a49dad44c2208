"""STS: who somebody is, and keys that expire."""
import datetime
import itertools

from wire import Refusal


class Sts:
    def __init__(self, world):
        self.world = world
        self.numbers = itertools.count(1)
        self.roles = {}  # id of a temporary key -> the ARN it acts as

    def GetCallerIdentity(self, params, identity):
        arn = self.roles.get(identity.key_id, f"arn:aws:iam::{self.world.account}:user/example")
        return {"UserId": identity.key_id, "Account": self.world.account, "Arn": arn}

    def AssumeRole(self, params, identity):
        return self._session(params)

    def AssumeRoleWithWebIdentity(self, params, identity):
        if params["WebIdentityToken"].count(".") != 2:
            raise Refusal("InvalidIdentityToken", "The ID Token provided is not a valid JWT")
        return self._session(params) | {"SubjectFromWebIdentityToken": "subject"}

    def _session(self, params):
        if ":role/" not in params["RoleArn"]:
            raise Refusal("AccessDenied", f"not authorized to perform sts:AssumeRole on {params['RoleArn']}", 403)
        number = next(self.numbers)
        key_id, secret, token = f"ASIADOUBLE{number:010d}", f"secret-of-session-{number}", f"token/of+session=={number}"
        lifetime = datetime.timedelta(seconds=params.get("DurationSeconds", 3600))
        expires = (self.world.now() + lifetime).replace(microsecond=0)
        arn = params["RoleArn"].replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")
        arn = f"{arn}/{params['RoleSessionName']}"
        self.world.keys[key_id] = (secret, token, expires)
        self.roles[key_id] = arn
        return {
            "Credentials": {"AccessKeyId": key_id, "SecretAccessKey": secret, "SessionToken": token,
                            "Expiration": expires},
            "AssumedRoleUser": {"AssumedRoleId": f"AROADOUBLE:{params['RoleSessionName']}", "Arn": arn},
        }
