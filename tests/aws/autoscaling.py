"""Auto Scaling: groups, what they launch and end, and what hangs on them. Each look moves a thing one step.

    {"autoscaling": {"region": "eu-west-1",
        "groups": [{"name": "tt-front", "launch_template": {"id": "lt-…" | "name": "app", "version": "1"}, "desired": 2,
                    "min": 1, "max": 4, "target_groups": ["tt-front"], "tags": {"ci:color": "live"}, "subnets": ["subnet-…"],
                    "health_check": "ELB", "grace": 300, "suspended": ["AlarmNotification"], "mixed": false}],
                                                                 stands and is in service; mixed: by a mixed instances policy
        "configurations": [{"name": "old", "image": "ami-…"}],       launch configurations, for a group's "configuration"
        "launches": [{"group": "app-*", "times": 3, "message": "…"}],  the next launches there fail so; seen as activities
        "hook_looks": 2,        looks of an instance in a :Wait state before it goes on by itself; null: never
        "refreshes": […], "running": […]                             see refreshes.py
        "page": 2}}                                                  entries of a page where the caller names no number
DescribeAutoScalingGroups moves a group: what is missing is launched (Pending, then InService and registered with its
target groups), what is too much is ended (Terminating until it has drained, then gone), what is unhealthy is replaced: by
SetInstanceHealth, by EC2, or, with the health check ELB and after the grace period, by a look at its targets.
"""
import copy
import itertools
import uuid

from fleet import SOURCES, Fleet
from group_parts import GroupParts
from listing import filtered, paged, tag_keys
from refreshes import Refreshes
from wire import Refusal

PROCESSES = ("Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "InstanceRefresh",
             "ReplaceUnhealthy", "ScheduledActions")
METRICS = ("GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupInServiceInstances", "GroupPendingInstances",
           "GroupStandbyInstances", "GroupTerminatingInstances", "GroupTotalInstances")
PLAIN = ("MinSize", "MaxSize", "DefaultCooldown", "AvailabilityZones", "HealthCheckType", "HealthCheckGracePeriod",
         "PlacementGroup", "VPCZoneIdentifier", "TerminationPolicies", "NewInstancesProtectedFromScaleIn", "ServiceLinkedRoleARN",
         "MaxInstanceLifetime", "CapacityRebalance", "Context", "DesiredCapacityType", "DefaultInstanceWarmup",
         "InstanceMaintenancePolicy")
REFRESH_HOLDS_THE_CONFIGURATION = (
    "An active instance refresh with a desired configuration exists. All configuration options derived from the desired "
    "configuration are not available for update while the instance refresh is active.")


class Region:
    def __init__(self, name):
        self.name = name
        self.groups, self.configurations = {}, {}
        self.activities = []  # of all groups, the newest first; they outlive their group
        self.launch_orders, self.refresh_orders = [], []


class Autoscaling(Fleet, GroupParts, Refreshes):
    def __init__(self, world):
        self.world = world
        self.regions = {}
        self.numbers = itertools.count(1)
        self.hook_looks, self.page_size = 2, 50

    def region(self, identity_or_name):
        name = getattr(identity_or_name, "region", identity_or_name)
        return self.regions.setdefault(name, Region(name))

    # --- what the test orders ---

    def control(self, orders):
        region = self.region(orders.get("region", "eu-west-1"))
        self.page_size = orders.get("page", self.page_size)
        self.hook_looks = orders.get("hook_looks", self.hook_looks)
        for order in orders.get("configurations", []):
            region.configurations[order["name"]] = {"ImageId": order["image"], "InstanceType": order.get("type", "t3.micro")}
        for order in orders.get("groups", []):
            self._seed(region, order)
        region.launch_orders.extend(dict(order) for order in orders.get("launches", []))
        region.refresh_orders.extend(dict(order) for order in orders.get("refreshes", []))
        for order in orders.get("running", []):
            self.seed_refresh(region, self._group(region, order["group"]), order)

    def _seed(self, region, order):
        if "configuration" in order:
            source = {"LaunchConfigurationName": order["configuration"]}
        else:
            named = order["launch_template"]
            names = {"id": "LaunchTemplateId", "name": "LaunchTemplateName"}
            template = {names[key]: value for key, value in named.items() if key in names}
            template = {"LaunchTemplate": template | {"Version": str(named.get("version", "$Default"))}}
            source = {"MixedInstancesPolicy": {"LaunchTemplate": {"LaunchTemplateSpecification": template["LaunchTemplate"]}}} \
                if order.get("mixed") else template
        groups = self.world.services["elbv2"].region(region.name).groups.values()
        arns = {one["group"]["TargetGroupName"]: one["group"]["TargetGroupArn"] for one in groups}
        desired = order.get("desired", 1)
        kept = self._make(region, source | {
            "AutoScalingGroupName": order["name"], "MinSize": order.get("min", min(1, desired)), "DesiredCapacity": desired,
            "MaxSize": order.get("max", max(desired * 2, 1)), "HealthCheckType": order.get("health_check", "EC2"),
            "HealthCheckGracePeriod": order.get("grace", 300),
            "TargetGroupARNs": [arns[one] for one in order.get("target_groups", [])],
            "VPCZoneIdentifier": ",".join(order.get("subnets", ["subnet-aaaaaaaa", "subnet-bbbbbbbb"])),
            "Tags": [{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in order.get("tags", {}).items()]})
        for _ in range(2):  # launched, then in service
            self.move(region, kept)
        for arn, state in kept["target_groups"].items():
            state.update(state="InService", looks=1)
            ids = [one["InstanceId"] for one in kept["instances"]]
            for _ in range(2):
                self.world.services["elbv2"].look(region.name, arn, ids)
        kept["suspended"] = {name: "User suspended" for name in order.get("suspended", [])}

    # --- groups ---

    def CreateAutoScalingGroup(self, params, identity):
        region = self.region(identity)
        name = params["AutoScalingGroupName"]
        if name in region.groups:
            going = region.groups[name]["going"]
            said = "is pending delete" if going else "already exists"
            raise Refusal("AlreadyExists", f"AutoScalingGroup by this name already exists - A group with the name {name} {said}")
        for key in ("InstanceId", "TrafficSources"):
            if key in params:
                raise Refusal("NotImplemented", f"the double makes no group by {key}", 501)
        if sum(key in params for key in SOURCES) != 1:
            raise Refusal("ValidationError", "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, "
                                             "InstanceId or MixedInstancesPolicy parameter.")
        if not params.get("VPCZoneIdentifier", "").strip() and not params.get("AvailabilityZones"):
            raise Refusal("ValidationError", "At least one Availability Zone or VPC Subnet is required.")
        self._check_sizes(params["MinSize"], params["MaxSize"], params.get("DesiredCapacity", params["MinSize"]))
        self._check_subnets(region, params.get("VPCZoneIdentifier", ""))
        self.check_source(region, params)
        self._check_target_groups(region, params.get("TargetGroupARNs", []))
        self._make(region, params)
        return {}

    def _make(self, region, params):
        name = params["AutoScalingGroupName"]
        arn = self.arn(region, f"autoScalingGroup:{self.uuid()}:autoScalingGroupName/{name}")
        group = {
            "AutoScalingGroupName": name, "AutoScalingGroupARN": arn,
            "DesiredCapacity": params["MinSize"], "DefaultCooldown": 300, "HealthCheckType": "EC2", "HealthCheckGracePeriod": 0,
            "AvailabilityZones": self._zones(region, params.get("VPCZoneIdentifier", "")), "CreatedTime": self.world.now(),
            "TerminationPolicies": ["Default"], "NewInstancesProtectedFromScaleIn": False}
        group |= {key: copy.deepcopy(params[key]) for key in (*PLAIN, "DesiredCapacity") if key in params}
        kept = {"group": group, "instances": [], "suspended": {}, "metrics": [], "refreshes": [], "going": False, "hooks": {},
                "policies": {}, "schedules": {}, "notifications": [], "warm_pool": None, "tags": {},
                "load_balancers": list(params.get("LoadBalancerNames", [])),
                "target_groups": {arn: {"state": "Adding", "looks": 0} for arn in params.get("TargetGroupARNs", [])}}
        self.set_source(region, kept, params)
        for tag in params.get("Tags", []):
            kept["tags"][tag["Key"]] = (tag.get("Value", ""), tag.get("PropagateAtLaunch", False))
        region.groups[name] = kept
        for hook in params.get("LifecycleHookSpecificationList", []):
            self.put_hook(kept, hook | {"AutoScalingGroupName": name})
        return kept

    def UpdateAutoScalingGroup(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["AutoScalingGroupName"])
        group = kept["group"]
        if kept["going"]:
            raise Refusal("ValidationError", f"AutoScalingGroup {params['AutoScalingGroupName']} is pending delete")
        if any(key in params for key in SOURCES):
            active = self.active_refresh(kept)
            if active and active["desired"]:
                raise Refusal("ValidationError", REFRESH_HOLDS_THE_CONFIGURATION)
            self.check_source(region, params)
        least, most = params.get("MinSize", group["MinSize"]), params.get("MaxSize", group["MaxSize"])
        # A new minimum or maximum takes the desired capacity with it, where the call does not name one.
        desired = params.get("DesiredCapacity", min(max(group["DesiredCapacity"], least), most))
        self._check_sizes(least, most, desired)
        self._check_subnets(region, params.get("VPCZoneIdentifier", ""))
        group |= {key: copy.deepcopy(params[key]) for key in PLAIN if key in params} | {"DesiredCapacity": desired}
        if "VPCZoneIdentifier" in params:
            group["AvailabilityZones"] = self._zones(region, params["VPCZoneIdentifier"])
        self.set_source(region, kept, params)
        return {}

    def _zones(self, region, subnets):
        zones = self._ec2(region).subnets
        return sorted({zones[one.strip()] for one in subnets.split(",") if one.strip()})

    def DeleteAutoScalingGroup(self, params, identity):
        region = self.region(identity)
        name = params["AutoScalingGroupName"]
        kept = self._group(region, name)
        if params.get("ForceDelete"):
            kept["going"] = True
            kept["hooks"].clear()  # they are not waited for
            kept["group"].update(MinSize=0, DesiredCapacity=0, Status="Delete in progress")
            for one in kept["instances"]:
                self.end(region, kept, one, "in response to a user request, because its group is deleted by force")
            return {}
        if self._busy(region, name):
            raise Refusal("ScalingActivityInProgress", "You cannot delete an AutoScalingGroup while there are scaling activities in "
                                                       "progress for that group.")
        if kept["instances"]:
            raise Refusal("ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance "
                                           "request(s) still in the group.")
        del region.groups[name]
        return {}

    def DescribeAutoScalingGroups(self, params, identity):
        region = self.region(identity)
        wanted = params.get("AutoScalingGroupNames") or list(region.groups)
        found = [region.groups[one] for one in wanted if one in region.groups]
        found = [kept for kept in found if self.move(region, kept)]
        readers = {"tag-key": tag_keys,
                   "tag-value": lambda one: [tag["Value"] for tag in one["Tags"]]}
        shown = filtered([self._shown(kept) for kept in found], params.get("Filters", []), readers, "ValidationError")
        return self.paged("AutoScalingGroups", shown, params)

    def _shown(self, kept):
        shown = copy.deepcopy(kept["group"])
        name = shown["AutoScalingGroupName"]
        return shown | {
            "Instances": [self._instance_shown(one) for one in kept["instances"]], "LoadBalancerNames": kept["load_balancers"],
            "TargetGroupARNs": [arn for arn, state in kept["target_groups"].items() if state["state"] != "Removing"],
            "SuspendedProcesses": [{"ProcessName": key, "SuspensionReason": value} for key, value in kept["suspended"].items()],
            "EnabledMetrics": [{"Metric": one, "Granularity": "1Minute"} for one in kept["metrics"]],
            "Tags": [{"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": key, "Value": value, "PropagateAtLaunch": at}
                     for key, (value, at) in kept["tags"].items()]} | (
                {"WarmPoolConfiguration": kept["warm_pool"], "WarmPoolSize": 0} if kept["warm_pool"] else {})

    @staticmethod
    def _instance_shown(instance):
        return copy.deepcopy({key: value for key, value in instance.items() if key[0].isupper()})

    def SetDesiredCapacity(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["AutoScalingGroupName"])
        group, wanted = kept["group"], params["DesiredCapacity"]
        for bound, word, wrong in ((group["MaxSize"], "above max", wanted > group["MaxSize"]),
                                   (group["MinSize"], "below min", wanted < group["MinSize"])):
            if wrong:
                raise Refusal("ValidationError", f"New SetDesiredCapacity value {wanted} is {word} value {bound} for the "
                                                 "AutoScalingGroup.")
        if params.get("HonorCooldown") and self._busy(region, group["AutoScalingGroupName"]):
            raise Refusal("ScalingActivityInProgress", "A scaling activity is in progress and blocks this action")
        group["DesiredCapacity"] = wanted
        return {}

    def SuspendProcesses(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        for name in self._processes(params):
            kept["suspended"].setdefault(name, f"User suspended at {self.world.now():%Y-%m-%dT%H:%M:%SZ}")
        return {}

    def ResumeProcesses(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        for name in self._processes(params):
            kept["suspended"].pop(name, None)
        return {}

    @staticmethod
    def _processes(params):
        for name in params.get("ScalingProcesses", []):
            if name not in PROCESSES:
                raise Refusal("ValidationError", f"Unknown process type: {name}")
        return params.get("ScalingProcesses") or PROCESSES

    def EnableMetricsCollection(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        if params["Granularity"] != "1Minute":
            raise Refusal("ValidationError", f"Invalid granularity: {params['Granularity']}")
        kept["metrics"] = sorted(set(kept["metrics"]) | set(params.get("Metrics") or METRICS))
        return {}

    def DisableMetricsCollection(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        kept["metrics"] = sorted(set(kept["metrics"]) - set(params.get("Metrics") or METRICS))
        return {}

    # --- small things ---

    @staticmethod
    def _check_sizes(least, most, desired):
        if least > most:
            raise Refusal("ValidationError", f"Max bound, {most}, must be greater than or equal to min bound, {least}")
        if not least <= desired <= most:
            raise Refusal("ValidationError", f"Desired capacity:{desired} must be between the specified min size:{least} and max "
                                             f"size:{most}")

    def _check_subnets(self, region, text):
        for one in [one.strip() for one in text.split(",") if one.strip()]:
            if one not in self._ec2(region).subnets:
                raise Refusal("ValidationError", f"The subnet ID '{one}' does not exist")

    def _check_target_groups(self, region, arns):
        for arn in arns:
            if not self.world.services["elbv2"].exists(region.name, arn):
                raise Refusal("ValidationError", "Provided Target Groups may not be valid. Please ensure they exist and try again.")

    def _ec2(self, region):
        return self.world.services["ec2"].region(region.name)

    @staticmethod
    def _group(region, name):
        if name not in region.groups:
            raise Refusal("ValidationError", f"AutoScalingGroup name not found - no such group: {name}")
        return region.groups[name]

    def _instance(self, region, instance_id):
        for kept in region.groups.values():
            for one in kept["instances"]:
                if one["InstanceId"] == instance_id:
                    return kept, one
        raise Refusal("ValidationError", f"Instance Id not found - No managed instance found for instance ID: {instance_id}")

    def paged(self, name, items, params):
        return paged(name, items, params, self.page_size)

    def uuid(self):
        return str(uuid.UUID(int=next(self.numbers), version=4))

    def arn(self, region, rest):
        return f"arn:aws:autoscaling:{region.name}:{self.world.account}:{rest}"


