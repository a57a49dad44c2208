"""What the groups of Auto Scaling launch and end, as a part of Autoscaling (autoscaling.py): one step of a group a look."""
import copy
import fnmatch
import json

from wire import Refusal

SOURCES = ("LaunchTemplate", "LaunchConfigurationName", "MixedInstancesPolicy")


class Fleet:
    # --- what is to be launched ---

    def check_source(self, region, params):
        """Refuses what could not be launched: Auto Scaling tries it dry when it is told of it."""
        try:
            for source in SOURCES:
                if source in params:
                    self._check_names(params[source])
                    self.world.services["ec2"].check_launch(self._ec2(region), self._data(region, params)[0])
        except Refusal as error:
            if error.code == "ValidationError":
                raise
            raise Refusal("ValidationError", f"You must use a valid fully-formed launch template. {error.message}") from error

    @staticmethod
    def _check_names(source):
        if isinstance(source, dict):
            named = source.get("LaunchTemplate", {}).get("LaunchTemplateSpecification", source)
            if {"LaunchTemplateId", "LaunchTemplateName"} <= set(named):
                raise Refusal("ValidationError", "Valid requests must contain either launchTemplateId or LaunchTemplateName")

    def set_source(self, region, kept, params):
        """Notes what the group is to launch, a template by its id and its name, as AWS shows it."""
        source = next((key for key in SOURCES if key in params), None)
        if source is None:
            return
        for key in SOURCES:
            kept["group"].pop(key, None)
        kept["group"][source] = copy.deepcopy(params[source])
        named = kept["group"][source] if source == "LaunchTemplate" else None
        if source == "MixedInstancesPolicy":
            named = kept["group"][source]["LaunchTemplate"]["LaunchTemplateSpecification"]
        if named is not None:
            named.update(self._full_name(region, named))

    def _full_name(self, region, named):
        template = self.world.services["ec2"].template(self._ec2(region), self.one_name(named))
        return {"LaunchTemplateId": template["LaunchTemplateId"], "LaunchTemplateName": template["LaunchTemplateName"],
                "Version": named.get("Version", "$Default")}

    @staticmethod
    def one_name(named):
        """Without the name where the id is there: a group keeps both."""
        return {key: value for key, value in named.items() if key != "LaunchTemplateName" or "LaunchTemplateId" not in named}

    def _data(self, region, source):
        """(what to launch, what the instance says of where it comes from)."""
        ec2 = self.world.services["ec2"]
        if "LaunchConfigurationName" in source:
            name = source["LaunchConfigurationName"]
            if name not in region.configurations:
                raise Refusal("ValidationError", f"Launch configuration name not found - Launch configuration {name} not found")
            return dict(region.configurations[name]), {"LaunchConfigurationName": name}
        named, override = source.get("LaunchTemplate"), {}
        if "MixedInstancesPolicy" in source:
            policy = source["MixedInstancesPolicy"].get("LaunchTemplate", {})
            named = policy.get("LaunchTemplateSpecification")
            override = next(iter(policy.get("Overrides", [])), {})
            named = override.get("LaunchTemplateSpecification", named)
        if not named:
            raise Refusal("ValidationError", "A launch template is required")
        full = self._full_name(region, named)
        template = ec2.template(self._ec2(region), self.one_name(named))
        number = ec2.resolve(template, full["Version"])
        data = ec2.data_of(self._ec2(region), {"LaunchTemplateId": full["LaunchTemplateId"], "Version": str(number)})
        if "InstanceType" in override:
            data["InstanceType"] = override["InstanceType"]
        if "ImageId" not in data:
            raise Refusal("ValidationError", "You must use a valid fully-formed launch template. "
                                             "The request must contain the parameter ImageId")
        return data, {"LaunchTemplate": full | {"Version": str(number)}}

    def launched_as(self, region, source):
        """How an instance of this source names it: to tell those that match from those that do not."""
        return self._data(region, source)[1]

    # --- time: one step a look ---

    def move(self, region, kept):
        """One step of a group; false: it is gone."""
        for instance in list(kept["instances"]):
            self._move_instance(region, kept, instance)
        self._replace_unhealthy(region, kept)
        alive = [one for one in kept["instances"] if not one["LifecycleState"].startswith("Terminat")]
        counted = [one for one in alive if one["LifecycleState"] != "Standby"]
        more = kept["group"]["DesiredCapacity"] - len(counted)
        if more > 0 and "Launch" not in kept["suspended"]:
            for number in range(more):
                cause = f"in response to a difference between desired and actual capacity, increasing the capacity from " \
                        f"{len(counted) + number} to {len(counted) + number + 1}"
                if self.launch(region, kept, cause) is None:
                    break
        if more < 0 and "Terminate" not in kept["suspended"]:
            free = [one for one in counted if not one["ProtectedFromScaleIn"]]
            for one in free[:-more]:  # the oldest first
                self.end(region, kept, one, "in response to a difference between desired and actual capacity, shrinking the capacity")
        if kept["going"] and not kept["instances"]:
            region.groups.pop(kept["group"]["AutoScalingGroupName"], None)
            return False
        return True

    def launch(self, region, kept, cause):
        """One instance more, or none and an activity that failed."""
        ec2, name = self.world.services["ec2"], kept["group"]["AutoScalingGroupName"]
        active = self.active_refresh(kept)
        source = active["desired"] if active and active["desired"] and not active["back"] else kept["group"]
        subnets = [one for one in kept["group"].get("VPCZoneIdentifier", "").split(",") if one]
        subnet = subnets[next(self.numbers) % len(subnets)].strip() if subnets else None
        try:
            self._fail_as_ordered(region, name)
            data, named = self._data(region, source)
            made = ec2.launch(self._ec2(region), data, subnet)
        except Refusal as error:
            self._activity(region, kept, "Launching a new EC2 instance", cause, "Failed",
                           f"{error.message}. Launching EC2 instance failed.")
            return None
        tags = {key: value for key, (value, at) in kept["tags"].items() if at} | {"aws:autoscaling:groupName": name}
        self._ec2(region).tags.setdefault(made["InstanceId"], {}).update(tags)
        instance = named | {
            "InstanceId": made["InstanceId"], "InstanceType": made["InstanceType"], "HealthStatus": "Healthy",
            "AvailabilityZone": made["Placement"]["AvailabilityZone"], "LifecycleState": "Pending", "since": self.world.now(),
            "ProtectedFromScaleIn": kept["group"]["NewInstancesProtectedFromScaleIn"], "waited": 0}
        said = f"Launching a new EC2 instance: {made['InstanceId']}"
        instance["activity"] = self._activity(region, kept, said, cause, "PreInService")
        kept["instances"].append(instance)
        return instance

    @staticmethod
    def _fail_as_ordered(region, name):
        for order in region.launch_orders:
            if fnmatch.fnmatchcase(name, order.get("group", "*")):
                order["times"] = order.get("times", 1) - 1
                if order["times"] < 1:
                    region.launch_orders.remove(order)
                raise Refusal("InsufficientInstanceCapacity", order.get("message", "We currently do not have sufficient capacity"))

    def _move_instance(self, region, kept, instance):
        state = instance["LifecycleState"]
        ec2 = self._ec2(region)
        self.world.services["ec2"].move(ec2, ec2.instances[instance["InstanceId"]])
        if state in ("Pending", "Pending:Wait"):
            if self._held(kept, instance, "autoscaling:EC2_INSTANCE_LAUNCHING", "Pending:Wait"):
                return
            self.in_service(region, kept, instance)
        elif state.startswith("Terminating"):
            if self._held(kept, instance, "autoscaling:EC2_INSTANCE_TERMINATING", "Terminating:Wait"):
                return
            if not self._drained(region, kept, instance):
                instance["activity"]["StatusCode"] = "WaitingForELBConnectionDraining"
                return
            self._finish(instance["activity"])
            kept["instances"].remove(instance)
            self._terminate(region, instance)

    def _held(self, kept, instance, transition, waiting):
        """Whether a lifecycle hook holds the instance: until CompleteLifecycleAction, or for so many looks."""
        hooks = [one for one in kept["hooks"].values() if one["LifecycleTransition"] == transition]
        state = instance["LifecycleState"]
        if not hooks or state.endswith(":Proceed"):
            return False
        if state != waiting:
            instance.update(LifecycleState=waiting, waited=0)
            instance["activity"]["StatusCode"] = "MidLifecycleAction"
            return True
        if instance["waited"] != "done":
            instance["waited"] += 1
            if self.hook_looks is None or instance["waited"] < self.hook_looks:
                return True
        instance["LifecycleState"] = waiting.replace(":Wait", ":Proceed")
        return False

    def in_service(self, region, kept, instance):
        instance.update(LifecycleState="InService", since=self.world.now())
        ec2 = self._ec2(region)
        self.world.services["ec2"].move(ec2, ec2.instances[instance["InstanceId"]])
        if "activity" in instance:
            self._finish(instance.pop("activity"))
        for arn, state in kept["target_groups"].items():
            if state["state"] != "Removing" and "AddToLoadBalancer" not in kept["suspended"]:
                self._register(region, arn, instance)

    def _register(self, region, arn, instance):
        if self.world.services["elbv2"].exists(region.name, arn):
            self.world.services["elbv2"].register(region.name, arn, instance["InstanceId"])

    def end(self, region, kept, instance, cause):
        """Begins the end of an instance: out of its target groups first."""
        if instance["LifecycleState"].startswith("Terminat"):
            return
        if "activity" in instance:  # it was still being launched
            instance["activity"].update(StatusCode="Cancelled", EndTime=self.world.now())
        instance.update(LifecycleState="Terminating", waited=0)
        instance["activity"] = self._activity(region, kept, f"Terminating EC2 instance: {instance['InstanceId']}", cause, "InProgress")
        for arn in kept["target_groups"]:
            if self.world.services["elbv2"].last_state(region.name, arn, instance["InstanceId"]):
                self.world.services["elbv2"].deregister(region.name, arn, instance["InstanceId"])

    def _drained(self, region, kept, instance):
        elbv2, drained = self.world.services["elbv2"], True
        for arn in kept["target_groups"]:
            elbv2.look(region.name, arn, [instance["InstanceId"]])
            drained = drained and elbv2.last_state(region.name, arn, instance["InstanceId"]) is None
        return drained

    def swap(self, region, kept, old, cause):
        """What an instance refresh does to one instance; false: the new one could not be launched."""
        new = self.launch(region, kept, cause)
        if new is None:
            return None
        self.in_service(region, kept, new)
        self.end(region, kept, old, cause)
        self._finish(old["activity"])
        kept["instances"].remove(old)
        self._terminate(region, old)
        return new

    def _terminate(self, region, instance):
        """Ended for EC2 too: no longer there at the next look, its state told by DescribeInstances."""
        gone = self._ec2(region).instances[instance["InstanceId"]]
        gone["State"] = {"Code": 32, "Name": "shutting-down"}

    def _replace_unhealthy(self, region, kept):
        elbv2, suspended = self.world.services["elbv2"], kept["suspended"]
        for one in list(kept["instances"]):
            if one["LifecycleState"] != "InService" or "HealthCheck" in suspended:
                continue
            cause = "in response to a user health-check" if one["HealthStatus"] == "Unhealthy" else None
            if self._ec2(region).instances[one["InstanceId"]]["State"]["Name"] not in ("pending", "running"):
                cause = "in response to an EC2 health check indicating it has been terminated or stopped"
            age = (self.world.now() - one["since"]).total_seconds()
            if "ELB" in kept["group"]["HealthCheckType"] and age >= kept["group"]["HealthCheckGracePeriod"] and \
                    "unhealthy" in [elbv2.last_state(region.name, arn, one["InstanceId"]) for arn in kept["target_groups"]]:
                cause = "in response to an ELB system health check failure"
            if cause is None:
                continue
            one["HealthStatus"] = "Unhealthy"
            if "ReplaceUnhealthy" not in suspended and "Terminate" not in suspended:
                self.end(region, kept, one, cause)

    # --- activities ---

    def _activity(self, region, kept, description, cause, status, message=None):
        now, group = self.world.now(), kept["group"]
        done = "started" if "Launch" in description else "taken out of service"
        activity = {
            "ActivityId": self.uuid(), "AutoScalingGroupName": group["AutoScalingGroupName"], "Description": description,
            "Cause": f"At {now:%Y-%m-%dT%H:%M:%SZ} an instance was {done} {cause}.",
            "StartTime": now, "StatusCode": status, "Progress": 50, "AutoScalingGroupARN": group["AutoScalingGroupARN"],
            "Details": json.dumps({"Availability Zone": next(iter(group["AvailabilityZones"]), "")})}
        if message:
            activity |= {"StatusMessage": message, "Progress": 100, "EndTime": now}
        region.activities.insert(0, activity)
        return activity

    def _finish(self, activity):
        activity.update(StatusCode="Successful", Progress=100, EndTime=self.world.now())

    @staticmethod
    def _busy(region, name):
        return any(one["AutoScalingGroupName"] == name and "EndTime" not in one for one in region.activities)

    def DescribeScalingActivities(self, params, identity):
        region = self.region(identity)
        name = params.get("AutoScalingGroupName")
        if name is not None and not params.get("IncludeDeletedGroups"):
            self._group(region, name)
        alive = {one["group"]["AutoScalingGroupARN"] for one in region.groups.values()}
        found = []
        for one in region.activities:
            is_alive = one["AutoScalingGroupARN"] in alive
            if name not in (None, one["AutoScalingGroupName"]) or not (is_alive or params.get("IncludeDeletedGroups")):
                continue
            if one["ActivityId"] in params.get("ActivityIds", [one["ActivityId"]]):
                found.append(copy.deepcopy(one) | ({} if is_alive else {"AutoScalingGroupState": "Deleted"}))
        return self.paged("Activities", found, params)
