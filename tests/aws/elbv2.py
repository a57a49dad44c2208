"""Elastic Load Balancing v2: load balancers, target groups and the health of targets, which moves by looks at it.

    {"elbv2": {"region": "eu-west-1",
               "load_balancers": [{"name": "front", "target_groups": ["tt-front"], "type": "application"}],
               "target_groups": [{"name": "tt-front", "draining": 2, "attributes": {"slow_start.duration_seconds": "30"}}],
               "targets": [{"target_group": "tt-front", "scenario": "never", "times": 2}],   the next to be registered there
               "health": [{"target_group": "tt-front", "target": "i-…", "state": "unhealthy", "reason": "Target.Timeout"}],
               "page": 2}}                                        entries of a page where the caller names no number
A group of `load_balancers` that is not there yet is made; one that no load balancer names is not in use. "health" holds
at once, of one target or of all of the group, until the next such order ("state": null lets it go its own way again).
Scenarios of a target, "looks" of DescribeTargetHealth each: ok (initial, then healthy), slow (initial for "looks", 3),
never (unhealthy for ever, after "looks" of initial), unhealthy_then_healthy (unhealthy for "looks", 2), stuck (initial
for ever), flapping (healthy, unhealthy, healthy), not_in_use (unused, as in a zone that the load balancer is not in).
"reason" is that of the unhealthy ones: one of SAID. What leaves a group drains for
"draining" looks (1), or not at all where deregistration_delay.timeout_seconds is 0.
"""
import copy
import itertools

from listing import paged, tag_list, tag_map
from wire import Refusal

ATTRIBUTES = {"deregistration_delay.timeout_seconds": "300", "slow_start.duration_seconds": "0", "stickiness.enabled": "false",
              "load_balancing.algorithm.type": "round_robin"}
# The words of the console and of DescribeTargetHealth's examples.
SAID = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Elb.InternalError": "The health checks failed due to an internal error",
    "Target.ResponseCodeMismatch": "Health checks failed with these codes: [502]",
    "Target.Timeout": "Request timed out",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.InvalidState": "Target is in the stopped state",
    "Target.IpUnusable": "The target IP address is reserved for use by a load balancer",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.HealthCheckDisabled": "Health checks are disabled for this target group",
}
INITIAL = ("initial", "Elb.RegistrationInProgress"), ("initial", "Elb.InitialHealthChecking")
HEALTHY = ("healthy", None)


class Region:
    def __init__(self, name):
        self.name = name
        self.load_balancers, self.groups, self.listeners, self.rules, self.tags = {}, {}, {}, {}, {}
        self.orders = []


class Elbv2:
    def __init__(self, world):
        self.world = world
        self.regions = {}
        self.numbers = itertools.count(1)
        self.page_size = 400

    def region(self, identity_or_name):
        name = getattr(identity_or_name, "region", identity_or_name)
        return self.regions.setdefault(name, Region(name))

    # --- what the test orders ---

    def control(self, orders):
        region = self.region(orders.get("region", "eu-west-1"))
        self.page_size = orders.get("page", self.page_size)
        for order in orders.get("target_groups", []):
            kept = self._group_named(region, order["name"]) or self._make_group(region, {"Name": order["name"]})
            kept["draining"] = order.get("draining", 1)
            kept["attributes"] |= order.get("attributes", {})
        for order in orders.get("load_balancers", []):
            groups = [self._group_named(region, one) or self._make_group(region, {"Name": one})
                      for one in order.get("target_groups", [])]
            balancer = self._make_balancer(region, {"Name": order["name"], "Type": order.get("type", "application")}, "active")
            for port, kept in enumerate(groups, 80):
                self._make_listener(region, {
                    "LoadBalancerArn": balancer["LoadBalancerArn"], "Port": port, "Protocol": "HTTP",
                    "DefaultActions": [{"Type": "forward", "TargetGroupArn": kept["group"]["TargetGroupArn"]}]})
        region.orders.extend(dict(order) for order in orders.get("targets", []))
        for order in orders.get("health", []):
            self._order_health(self._group_named(region, order["target_group"]), order)

    @staticmethod
    def _order_health(kept, order):
        state = order.get("state", "unhealthy")
        reason = order.get("reason", "Target.FailedHealthChecks" if state == "unhealthy" else None)
        for target in kept["targets"].values():
            if order.get("target", target["id"]) == target["id"]:
                target["fixed"] = (state, reason) if state else None

    @staticmethod
    def _group_named(region, name):
        return next((kept for kept in region.groups.values() if kept["group"]["TargetGroupName"] == name), None)

    # --- load balancers ---

    def CreateLoadBalancer(self, params, identity):
        region = self.region(identity)
        if any(one["LoadBalancerName"] == params["Name"] for one in region.load_balancers.values()):
            raise Refusal("DuplicateLoadBalancerName", f"A load balancer with the name '{params['Name']}' that has different "
                                                       "settings exists, but with different settings")
        known = self.world.services["ec2"].region(region.name).subnets
        subnets = params.get("Subnets") or [one["SubnetId"] for one in params.get("SubnetMappings", [])]
        for one in subnets:
            if one not in known:
                raise Refusal("SubnetNotFound", f"The subnet ID '{one}' does not exist")
        if len(subnets) < 2 and params.get("Type", "application") == "application":
            raise Refusal("ValidationError", "At least two subnets in two different Availability Zones must be specified")
        balancer = self._make_balancer(region, params, "provisioning")
        return {"LoadBalancers": [copy.deepcopy(balancer)]}

    def _make_balancer(self, region, params, state):
        ec2 = self.world.services["ec2"].region(region.name)
        kind = params.get("Type", "application")
        number = next(self.numbers)
        arn = self._arn(region, f"loadbalancer/{'net' if kind == 'network' else 'app'}/{params['Name']}/{number:016x}")
        subnets = params.get("Subnets") or [one["SubnetId"] for one in params.get("SubnetMappings", [])] or list(ec2.subnets)
        region.tags[arn] = tag_map(params.get("Tags", []))
        region.load_balancers[arn] = {
            "LoadBalancerArn": arn, "LoadBalancerName": params["Name"], "Type": kind, "State": {"Code": state},
            "Scheme": params.get("Scheme", "internet-facing"), "VpcId": ec2.vpc, "CreatedTime": self.world.now(),
            "DNSName": f"{params['Name']}-{number}.{region.name}.elb.amazonaws.com", "IpAddressType": "ipv4",
            "AvailabilityZones": [{"ZoneName": ec2.subnets[one], "SubnetId": one} for one in subnets],
            "SecurityGroups": params.get("SecurityGroups", [])}
        return region.load_balancers[arn]

    def DescribeLoadBalancers(self, params, identity):
        region = self.region(identity)
        names = params.get("Names", [])
        known = [one["LoadBalancerName"] for one in region.load_balancers.values()]
        if set(names) - set(known):
            raise Refusal("LoadBalancerNotFound", f"Load balancers '[{', '.join(set(names) - set(known))}]' not found")
        arns = params.get("LoadBalancerArns") or list(region.load_balancers)
        found = [self._balancer(region, one) for one in arns]
        found = [one for one in found if not names or one["LoadBalancerName"] in names]
        for one in found:
            one["State"] = {"Code": "active"}
        return self._paged("LoadBalancers", found, params)

    def DeleteLoadBalancer(self, params, identity):
        region = self.region(identity)
        arn = params["LoadBalancerArn"]
        region.load_balancers.pop(arn, None)  # one that is not there is no error
        region.listeners = {key: one for key, one in region.listeners.items() if one["LoadBalancerArn"] != arn}
        region.rules = {key: one for key, one in region.rules.items() if one["listener"] in region.listeners}
        return {}

    # --- listeners and rules ---

    def CreateListener(self, params, identity):
        region = self.region(identity)
        self._balancer(region, params["LoadBalancerArn"])
        self._check_actions(region, params["DefaultActions"])
        for one in region.listeners.values():
            if (one["LoadBalancerArn"], one.get("Port")) == (params["LoadBalancerArn"], params.get("Port")):
                raise Refusal("DuplicateListener", "A listener already exists on this port for this load balancer")
        return {"Listeners": [copy.deepcopy(self._make_listener(region, params))]}

    def _make_listener(self, region, params):
        arn = f"{params['LoadBalancerArn'].replace(':loadbalancer/', ':listener/')}/{next(self.numbers):016x}"
        region.listeners[arn] = {"ListenerArn": arn} | {key: value for key, value in params.items() if key != "Tags"}
        region.tags[arn] = tag_map(params.get("Tags", []))
        return region.listeners[arn]

    def DescribeListeners(self, params, identity):
        region = self.region(identity)
        arns = params.get("ListenerArns") or list(region.listeners)
        found = [self._listener(region, one) for one in arns]
        if "LoadBalancerArn" in params:
            self._balancer(region, params["LoadBalancerArn"])
            found = [one for one in found if one["LoadBalancerArn"] == params["LoadBalancerArn"]]
        return self._paged("Listeners", found, params)

    def ModifyListener(self, params, identity):
        region = self.region(identity)
        listener = self._listener(region, params["ListenerArn"])
        self._check_actions(region, params.get("DefaultActions", []))
        listener.update(params)
        return {"Listeners": [copy.deepcopy(listener)]}

    def DeleteListener(self, params, identity):
        region = self.region(identity)
        self._listener(region, params["ListenerArn"])
        del region.listeners[params["ListenerArn"]]
        region.rules = {key: one for key, one in region.rules.items() if one["listener"] in region.listeners}
        return {}

    def CreateRule(self, params, identity):
        region = self.region(identity)
        self._listener(region, params["ListenerArn"])
        self._check_actions(region, params["Actions"])
        if any(one["listener"] == params["ListenerArn"] and one["Priority"] == str(params["Priority"])
               for one in region.rules.values()):
            raise Refusal("PriorityInUse", f"Priority '{params['Priority']}' is currently in use")
        arn = f"{params['ListenerArn'].replace(':listener/', ':listener-rule/')}/{next(self.numbers):016x}"
        region.rules[arn] = {"RuleArn": arn, "Priority": str(params["Priority"]), "Conditions": params["Conditions"],
                             "Actions": params["Actions"], "IsDefault": False, "listener": params["ListenerArn"]}
        return {"Rules": [self._rule_shown(region.rules[arn])]}

    def DescribeRules(self, params, identity):
        region = self.region(identity)
        listener = params.get("ListenerArn")
        found = [self._rule_shown(one) for one in region.rules.values()
                 if listener in (None, one["listener"]) and one["RuleArn"] in params.get("RuleArns", [one["RuleArn"]])]
        if listener:
            default = {"RuleArn": listener.replace(":listener/", ":listener-rule/") + "/default", "Priority": "default",
                       "Conditions": [], "Actions": self._listener(region, listener)["DefaultActions"], "IsDefault": True}
            found.append(default)
        return self._paged("Rules", found, params)

    def ModifyRule(self, params, identity):
        region = self.region(identity)
        if params["RuleArn"] not in region.rules:
            raise Refusal("RuleNotFound", f"One or more rules not found: '{params['RuleArn']}'")
        self._check_actions(region, params.get("Actions", []))
        region.rules[params["RuleArn"]] |= params
        return {"Rules": [self._rule_shown(region.rules[params["RuleArn"]])]}

    def DeleteRule(self, params, identity):
        region = self.region(identity)
        if region.rules.pop(params["RuleArn"], None) is None:
            raise Refusal("RuleNotFound", f"One or more rules not found: '{params['RuleArn']}'")
        return {}

    @staticmethod
    def _rule_shown(rule):
        return copy.deepcopy({key: value for key, value in rule.items() if key != "listener"})

    @staticmethod
    def _forwarded(actions):
        """The target groups that a listener's or a rule's actions send to."""
        for action in actions:
            if "TargetGroupArn" in action:
                yield action["TargetGroupArn"]
            for one in action.get("ForwardConfig", {}).get("TargetGroups", []):
                yield one["TargetGroupArn"]

    def _check_actions(self, region, actions):
        for arn in self._forwarded(actions):
            self._group(region, arn)

    # --- target groups ---

    def CreateTargetGroup(self, params, identity):
        region = self.region(identity)
        if self._group_named(region, params["Name"]):
            raise Refusal("DuplicateTargetGroupName", f"A target group with the same name '{params['Name']}' exists, but with "
                                                      "different settings")
        if params.get("TargetType", "instance") != "lambda" and "VpcId" not in params:
            raise Refusal("ValidationError", "A VPC ID must be specified")
        return {"TargetGroups": [self._group_shown(region, self._make_group(region, params))]}

    def _make_group(self, region, params):
        arn = self._arn(region, f"targetgroup/{params['Name']}/{next(self.numbers):016x}")
        region.tags[arn] = tag_map(params.get("Tags", []))
        group = {
            "TargetGroupArn": arn, "TargetGroupName": params["Name"], "Protocol": "HTTP", "Port": 80, "TargetType": "instance",
            "VpcId": self.world.services["ec2"].region(region.name).vpc, "HealthCheckProtocol": "HTTP", "HealthCheckPath": "/",
            "HealthCheckPort": "traffic-port", "HealthCheckEnabled": True, "HealthCheckIntervalSeconds": 30,
            "HealthCheckTimeoutSeconds": 5, "HealthyThresholdCount": 5, "UnhealthyThresholdCount": 2,
            "Matcher": {"HttpCode": "200"}} | {key: value for key, value in params.items() if key not in ("Name", "Tags")}
        region.groups[arn] = {"group": group, "targets": {}, "attributes": dict(ATTRIBUTES), "draining": 1}
        return region.groups[arn]

    def DescribeTargetGroups(self, params, identity):
        region = self.region(identity)
        names = params.get("Names", [])
        for one in names:
            if not self._group_named(region, one):
                raise Refusal("TargetGroupNotFound", "One or more target groups not found")
        found = [self._group_shown(region, self._group(region, one)) for one in params.get("TargetGroupArns") or region.groups]
        found = [one for one in found if not names or one["TargetGroupName"] in names]
        if "LoadBalancerArn" in params:
            self._balancer(region, params["LoadBalancerArn"])
            found = [one for one in found if params["LoadBalancerArn"] in one["LoadBalancerArns"]]
        return self._paged("TargetGroups", found, params)

    def ModifyTargetGroup(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["TargetGroupArn"])
        kept["group"] |= params
        return {"TargetGroups": [self._group_shown(region, kept)]}

    def DeleteTargetGroup(self, params, identity):
        region = self.region(identity)
        if self._balancers_of(region, params["TargetGroupArn"]):
            raise Refusal("ResourceInUse", f"Target group '{params['TargetGroupArn']}' is currently in use by a listener or a rule")
        region.groups.pop(params["TargetGroupArn"], None)
        return {}

    def DescribeTargetGroupAttributes(self, params, identity):
        return {"Attributes": tag_list(self._group(self.region(identity), params["TargetGroupArn"])["attributes"])}

    def ModifyTargetGroupAttributes(self, params, identity):
        attributes = self._group(self.region(identity), params["TargetGroupArn"])["attributes"]
        for one in params["Attributes"]:
            if one["Key"] not in attributes and "." not in one["Key"]:
                raise Refusal("InvalidConfigurationRequest", f"Target group attribute key '{one['Key']}' is not recognized")
            attributes[one["Key"]] = one["Value"]
        return {"Attributes": tag_list(attributes)}

    def _group_shown(self, region, kept):
        return copy.deepcopy(kept["group"]) | {"LoadBalancerArns": self._balancers_of(region, kept["group"]["TargetGroupArn"])}

    def _balancers_of(self, region, arn):
        """The load balancers that send to the group, by a listener's default or by a rule."""
        actions = [(one["LoadBalancerArn"], one["DefaultActions"]) for one in region.listeners.values()]
        actions += [(region.listeners[one["listener"]]["LoadBalancerArn"], one["Actions"]) for one in region.rules.values()]
        return sorted({balancer for balancer, each in actions if arn in self._forwarded(each)})

    # --- targets ---

    def RegisterTargets(self, params, identity):
        region = self.region(identity)
        self._group(region, params["TargetGroupArn"])
        instances = self.world.services["ec2"].region(region.name).instances
        kind = self._group(region, params["TargetGroupArn"])["group"]["TargetType"]
        for one in params["Targets"]:
            if kind == "instance" and instances.get(one["Id"], {}).get("State", {}).get("Name") != "running":
                raise Refusal("InvalidTarget", f"The following targets are not in a running state and cannot be registered: "
                                               f"'{one['Id']}'")
        for one in params["Targets"]:
            self.register(region.name, params["TargetGroupArn"], one["Id"], one.get("Port"))
        return {}

    def DeregisterTargets(self, params, identity):
        region = self.region(identity)
        self._group(region, params["TargetGroupArn"])
        for one in params["Targets"]:
            self.deregister(region.name, params["TargetGroupArn"], one["Id"])
        return {}

    def register(self, region_name, arn, target_id, port=None):
        region = self.region(region_name)
        kept = self._group(region, arn)
        port = port or kept["group"]["Port"]
        known = kept["targets"].get((target_id, port))
        if known is None or known["draining"]:
            order = self._ordered(region, kept["group"]["TargetGroupName"])
            kept["targets"][(target_id, port)] = {"id": target_id, "port": port, "draining": 0, "fixed": None, "seen": None,
                                                  "states": self._states(order)}

    def deregister(self, region_name, arn, target_id):
        region = self.region(region_name)
        kept = self._group(region, arn)
        at_once = kept["attributes"]["deregistration_delay.timeout_seconds"] == "0" or not self._balancers_of(region, arn)
        for key in [key for key in kept["targets"] if key[0] == target_id]:
            if at_once or kept["draining"] < 1:
                del kept["targets"][key]
            elif not kept["targets"][key]["draining"]:
                kept["targets"][key].update(draining=kept["draining"] + 1)

    @staticmethod
    def _ordered(region, name):
        for order in region.orders:
            if order.get("target_group", name) == name:
                order["times"] = order.get("times", 1) - 1
                if order["times"] < 1:
                    region.orders.remove(order)
                return order
        return {}

    @staticmethod
    def _states(order):
        """The states of a target, one a look; the last one stays."""
        scenario, ill = order.get("scenario", "ok"), ("unhealthy", order.get("reason", "Target.FailedHealthChecks"))
        if scenario == "slow":
            return [INITIAL[0], *[INITIAL[1]] * (order.get("looks", 3) - 1), HEALTHY]
        return {
            "ok": [INITIAL[0], HEALTHY],
            "never": [*[INITIAL[0]] * order.get("looks", 1), ill],
            "unhealthy_then_healthy": [INITIAL[0], *[ill] * order.get("looks", 2), HEALTHY],
            "flapping": [INITIAL[0], HEALTHY, ill, HEALTHY],
            "not_in_use": [("unused", "Target.NotInUse")],
            "stuck": [INITIAL[1]]}[scenario]

    def DescribeTargetHealth(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["TargetGroupArn"])
        if "Targets" not in params:
            return {"TargetHealthDescriptions": [self._health(region, kept, one, True) for one in list(kept["targets"].values())
                                                 if self._goes_on(kept, one)]}
        found = []
        for asked in params["Targets"]:
            target = next((one for key, one in kept["targets"].items()
                           if key[0] == asked["Id"] and asked.get("Port", key[1]) == key[1]), None)
            if target is None or not self._goes_on(kept, target):
                port = asked.get("Port", kept["group"]["Port"])
                found.append(self._description(asked["Id"], port, "unused", "Target.NotRegistered"))
                continue
            found.append(self._health(region, kept, target, True))
        return {"TargetHealthDescriptions": found}

    @staticmethod
    def _goes_on(kept, target):
        """One look at a target that drains; false: it is gone."""
        if target["draining"]:
            target["draining"] -= 1
            if not target["draining"]:
                del kept["targets"][(target["id"], target["port"])]
                return False
        return True

    def _health(self, region, kept, target, look):
        state, reason = self._state(region, kept, target, look)
        target["seen"] = state
        return self._description(target["id"], target["port"], state, reason)

    def _state(self, region, kept, target, look):
        if target["draining"]:
            return "draining", "Target.DeregistrationInProgress"
        if target["fixed"]:
            return target["fixed"]
        balancers = self._balancers_of(region, kept["group"]["TargetGroupArn"])
        instance = self.world.services["ec2"].region(region.name).instances.get(target["id"])
        zones = {one["ZoneName"] for arn in balancers for one in region.load_balancers[arn]["AvailabilityZones"]}
        if not balancers or (instance and instance["Placement"]["AvailabilityZone"] not in zones):
            return "unused", "Target.NotInUse"
        if instance and instance["State"]["Name"] not in ("pending", "running"):
            return "unused", "Target.InvalidState"
        if not kept["group"]["HealthCheckEnabled"]:
            return "unavailable", "Target.HealthCheckDisabled"
        if look and len(target["states"]) > 1:
            return target["states"].pop(0)
        return target["states"][0]

    @staticmethod
    def _description(target_id, port, state, reason):
        health = {"State": state} | ({"Reason": reason, "Description": SAID[reason]} if reason else {})
        return {"Target": {"Id": target_id, "Port": port}, "HealthCheckPort": str(port), "TargetHealth": health}

    # --- for Auto Scaling ---

    def exists(self, region_name, arn):
        return arn in self.region(region_name).groups

    def last_state(self, region_name, arn, target_id):
        """What the last look at the target saw; "initial" before the first, None where it is not registered."""
        for key, target in self.region(region_name).groups.get(arn, {"targets": {}})["targets"].items():
            if key[0] == target_id:
                return "draining" if target["draining"] else target["seen"] or "initial"
        return None

    def look(self, region_name, arn, target_ids):
        """A look by another who cares: moves the targets as DescribeTargetHealth does."""
        region = self.region(region_name)
        kept = region.groups.get(arn, {"targets": {}})
        for key, target in list(kept["targets"].items()):
            if key[0] in target_ids and self._goes_on(kept, target):
                self._health(region, kept, target, True)

    # --- tags, small things ---

    def AddTags(self, params, identity):
        region = self.region(identity)
        for arn in params["ResourceArns"]:
            self._tagged(region, arn).update(tag_map(params["Tags"]))
        return {}

    def RemoveTags(self, params, identity):
        region = self.region(identity)
        for arn in params["ResourceArns"]:
            for key in params["TagKeys"]:
                self._tagged(region, arn).pop(key, None)
        return {}

    def DescribeTags(self, params, identity):
        region = self.region(identity)
        return {"TagDescriptions": [{"ResourceArn": arn, "Tags": tag_list(self._tagged(region, arn))}
                                    for arn in params["ResourceArns"]]}

    def _tagged(self, region, arn):
        if ":targetgroup/" in arn:
            self._group(region, arn)
        elif ":loadbalancer/" in arn:
            self._balancer(region, arn)
        else:
            self._listener(region, arn)
        return region.tags.setdefault(arn, {})

    @staticmethod
    def _group(region, arn):
        if arn not in region.groups:
            raise Refusal("TargetGroupNotFound", f"One or more target groups not found: '{arn}'")
        return region.groups[arn]

    @staticmethod
    def _balancer(region, arn):
        if arn not in region.load_balancers:
            raise Refusal("LoadBalancerNotFound", f"One or more load balancers not found: '{arn}'")
        return region.load_balancers[arn]

    @staticmethod
    def _listener(region, arn):
        if arn not in region.listeners:
            raise Refusal("ListenerNotFound", f"One or more listeners not found: '{arn}'")
        return region.listeners[arn]

    def _paged(self, name, items, params):
        return paged(name, copy.deepcopy(items), params, self.page_size, "PageSize", "Marker", "ValidationError", "NextMarker")

    def _arn(self, region, rest):
        return f"arn:aws:elasticloadbalancing:{region.name}:{self.world.account}:{rest}"
