"""What hangs on an Auto Scaling group, as a part of Autoscaling (autoscaling.py): target groups, instances by hand, hooks,
policies, tags, scheduled actions, notifications, warm pools, launch configurations. All of it is kept as it was given."""
import copy

from listing import field, filtered
from wire import Refusal

TRANSITIONS = ("autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING")
POLICY_TYPES = ("SimpleScaling", "StepScaling", "TargetTrackingScaling", "PredictiveScaling")


class GroupParts:
    # --- target groups ---

    def AttachLoadBalancerTargetGroups(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["AutoScalingGroupName"])
        self._check_target_groups(region, params["TargetGroupARNs"])
        for arn in params["TargetGroupARNs"]:
            if kept["target_groups"].get(arn, {}).get("state") not in (None, "Removing"):
                continue
            kept["target_groups"][arn] = {"state": "Adding", "looks": 0}
            for one in kept["instances"]:
                if one["LifecycleState"] == "InService" and "AddToLoadBalancer" not in kept["suspended"]:
                    self._register(region, arn, one)
        return {}

    def DetachLoadBalancerTargetGroups(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["AutoScalingGroupName"])
        for arn in params["TargetGroupARNs"]:
            if arn not in kept["target_groups"]:
                raise Refusal("ValidationError", f"Trying to remove Target Groups that are not part of the group: {arn}")
        for arn in params["TargetGroupARNs"]:
            kept["target_groups"][arn] = {"state": "Removing", "looks": 0}
            for one in kept["instances"]:
                if self.world.services["elbv2"].last_state(region.name, arn, one["InstanceId"]):
                    self.world.services["elbv2"].deregister(region.name, arn, one["InstanceId"])
        return {}

    def DescribeLoadBalancerTargetGroups(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["AutoScalingGroupName"])
        for arn in list(kept["target_groups"]):
            self._move_target_group(region, kept, arn)
        shown = [{"LoadBalancerTargetGroupARN": arn, "State": state["state"]} for arn, state in kept["target_groups"].items()]
        return self.paged("LoadBalancerTargetGroups", shown, params)

    def _move_target_group(self, region, kept, arn):
        elbv2, state = self.world.services["elbv2"], kept["target_groups"][arn]
        ids = [one["InstanceId"] for one in kept["instances"]]
        state["looks"] += 1
        if state["looks"] > 1:  # the first look sees it as the call has left it
            elbv2.look(region.name, arn, ids)
        seen = [elbv2.last_state(region.name, arn, one["InstanceId"]) for one in kept["instances"]
                if one["LifecycleState"] == "InService"]
        if state["state"] == "Removing":
            if state["looks"] > 1 and not any(elbv2.last_state(region.name, arn, one) for one in ids):
                del kept["target_groups"][arn]
        elif state["looks"] > 1:
            state["state"] = "InService" if "healthy" in seen else "Adding" if None in seen else "Added"

    def AttachLoadBalancers(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        kept["load_balancers"] += [one for one in params["LoadBalancerNames"] if one not in kept["load_balancers"]]
        return {}

    def DetachLoadBalancers(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        kept["load_balancers"] = [one for one in kept["load_balancers"] if one not in params["LoadBalancerNames"]]
        return {}

    def DescribeLoadBalancers(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        return self.paged("LoadBalancers", [{"LoadBalancerName": one, "State": "InService"} for one in kept["load_balancers"]], params)

    # --- instances by hand ---

    def DescribeAutoScalingInstances(self, params, identity):
        found = []
        for name, kept in self.region(identity).groups.items():
            for one in kept["instances"]:
                if one["InstanceId"] in params.get("InstanceIds", [one["InstanceId"]]):
                    shown = self._instance_shown(one) | {"AutoScalingGroupName": name}
                    found.append(shown | {"HealthStatus": shown["HealthStatus"].upper()})  # this call says it in capitals
        return self.paged("AutoScalingInstances", found, params)

    def SetInstanceHealth(self, params, identity):
        if params["HealthStatus"] not in ("Healthy", "Unhealthy"):
            raise Refusal("ValidationError", f"Invalid health status: {params['HealthStatus']}")
        kept, one = self._instance(self.region(identity), params["InstanceId"])
        age = (self.world.now() - one["since"]).total_seconds()
        if params.get("ShouldRespectGracePeriod", True) and age < kept["group"]["HealthCheckGracePeriod"]:
            return {}
        one["HealthStatus"] = params["HealthStatus"]
        return {}

    def SetInstanceProtection(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        for one in kept["instances"]:
            if one["InstanceId"] in params["InstanceIds"]:
                one["ProtectedFromScaleIn"] = params["ProtectedFromScaleIn"]
        return {}

    def TerminateInstanceInAutoScalingGroup(self, params, identity):
        region = self.region(identity)
        kept, one = self._instance(region, params["InstanceId"])
        if params["ShouldDecrementDesiredCapacity"]:
            if kept["group"]["DesiredCapacity"] <= kept["group"]["MinSize"]:
                raise Refusal("ValidationError", "Currently, desiredSize equals minSize. Terminating instance without replacement "
                                                 "will violate group's min size constraint.")
            kept["group"]["DesiredCapacity"] -= 1
        self.end(region, kept, one, "in response to a user request")
        return {"Activity": copy.deepcopy(one["activity"])}

    def EnterStandby(self, params, identity):
        region = self.region(identity)
        kept, activities = self._group(region, params["AutoScalingGroupName"]), []
        for instance_id in params.get("InstanceIds", []):
            one = self._instance(region, instance_id)[1]
            one["LifecycleState"] = "Standby"
            kept["group"]["DesiredCapacity"] -= 1 if params["ShouldDecrementDesiredCapacity"] else 0
            activities.append(self._activity(region, kept, f"Moving EC2 instance to Standby: {instance_id}", "in response to a user "
                                             "request", "InProgress"))
            self._finish(activities[-1])
        return {"Activities": copy.deepcopy(activities)}

    def ExitStandby(self, params, identity):
        region = self.region(identity)
        kept, activities = self._group(region, params["AutoScalingGroupName"]), []
        for instance_id in params.get("InstanceIds", []):
            one = self._instance(region, instance_id)[1]
            kept["group"]["DesiredCapacity"] += 1
            activities.append(self._activity(region, kept, f"Moving EC2 instance out of Standby: {instance_id}", "in response to a "
                                             "user request", "InProgress"))
            self._finish(activities[-1])
            self.in_service(region, kept, one)
        return {"Activities": copy.deepcopy(activities)}

    # --- lifecycle hooks ---

    def PutLifecycleHook(self, params, identity):
        self.put_hook(self._group(self.region(identity), params["AutoScalingGroupName"]), params)
        return {}

    @staticmethod
    def put_hook(kept, params):
        known = kept["hooks"].get(params["LifecycleHookName"], {"HeartbeatTimeout": 3600, "DefaultResult": "ABANDON"})
        hook = known | params
        if hook.get("LifecycleTransition") not in TRANSITIONS:
            raise Refusal("ValidationError", f"Invalid lifecycle transition: {hook.get('LifecycleTransition')}")
        if hook["DefaultResult"] not in ("CONTINUE", "ABANDON"):
            raise Refusal("ValidationError", f"Invalid default result: {hook['DefaultResult']}")
        hook["GlobalTimeout"] = min(172800, 100 * hook["HeartbeatTimeout"])
        kept["hooks"][params["LifecycleHookName"]] = hook

    def DescribeLifecycleHooks(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        names = params.get("LifecycleHookNames") or list(kept["hooks"])
        return {"LifecycleHooks": [kept["hooks"][one] for one in names if one in kept["hooks"]]}

    def DeleteLifecycleHook(self, params, identity):
        self._take(self._group(self.region(identity), params["AutoScalingGroupName"])["hooks"], params["LifecycleHookName"],
                   "No Lifecycle Hook found")
        return {}

    def CompleteLifecycleAction(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["AutoScalingGroupName"])
        if params["LifecycleHookName"] not in kept["hooks"]:
            raise Refusal("ValidationError", f"No Lifecycle Hook found: {params['LifecycleHookName']}")
        one = self._instance(region, params.get("InstanceId", ""))[1]
        if not one["LifecycleState"].endswith(":Wait"):
            raise Refusal("ValidationError", f"No active Lifecycle Action found with instance ID {one['InstanceId']}")
        if params["LifecycleActionResult"] == "ABANDON" and one["LifecycleState"] == "Pending:Wait":
            self.end(region, kept, one, "because a lifecycle action was abandoned")
        else:
            one["waited"] = "done"
        return {}

    # --- policies ---

    def PutScalingPolicy(self, params, identity):
        region = self.region(identity)
        name = params["AutoScalingGroupName"]
        kept = self._group(region, name)
        kind = params.get("PolicyType", "SimpleScaling")
        needed = {"SimpleScaling": "ScalingAdjustment", "StepScaling": "StepAdjustments",
                  "TargetTrackingScaling": "TargetTrackingConfiguration", "PredictiveScaling": "PredictiveScalingConfiguration"}
        if kind not in POLICY_TYPES:
            raise Refusal("ValidationError", f"Unknown policy type: {kind}")
        if needed[kind] not in params:
            raise Refusal("ValidationError", f"{needed[kind]} must be specified for policy type {kind}")
        known = kept["policies"].get(params["PolicyName"])
        arn = known["PolicyARN"] if known else self.arn(
            region, f"scalingPolicy:{self.uuid()}:autoScalingGroupName/{name}:policyName/{params['PolicyName']}")
        alarms = []
        if kind == "TargetTrackingScaling":
            alarms = [{"AlarmName": one, "AlarmARN": f"arn:aws:cloudwatch:{region.name}:{self.world.account}:alarm:{one}"}
                      for one in (f"TargetTracking-{name}-AlarmHigh", f"TargetTracking-{name}-AlarmLow")]
        kept["policies"][params["PolicyName"]] = {"PolicyType": kind, "Enabled": True} | params | {"PolicyARN": arn, "Alarms": alarms}
        return {"PolicyARN": arn, "Alarms": alarms}

    def DescribePolicies(self, params, identity):
        region = self.region(identity)
        name = params.get("AutoScalingGroupName")
        groups = [self._group(region, name)] if name else region.groups.values()
        found = [one for kept in groups for one in kept["policies"].values()
                 if one["PolicyType"] in params.get("PolicyTypes", POLICY_TYPES) and
                 {one["PolicyName"], one["PolicyARN"]} & set(params.get("PolicyNames", [one["PolicyName"]]))]
        return self.paged("ScalingPolicies", copy.deepcopy(found), params)

    def DeletePolicy(self, params, identity):
        kept = self._group(self.region(identity), params.get("AutoScalingGroupName", ""))
        self._take(kept["policies"], params["PolicyName"], "PolicyName not found")
        return {}

    # --- tags ---

    def CreateOrUpdateTags(self, params, identity):
        for tag, kept in self._tagged(params, identity):
            kept["tags"][tag["Key"]] = (tag.get("Value", ""), tag.get("PropagateAtLaunch", False))
        return {}

    def DeleteTags(self, params, identity):
        for tag, kept in self._tagged(params, identity):
            kept["tags"].pop(tag["Key"], None)
        return {}

    def _tagged(self, params, identity):
        region, found = self.region(identity), []
        for tag in params["Tags"]:
            if tag.get("ResourceType") != "auto-scaling-group":
                raise Refusal("ValidationError", "The resource type of a tag has to be auto-scaling-group")
            found.append((tag, self._group(region, tag.get("ResourceId"))))
        return found

    def DescribeTags(self, params, identity):
        tags = [tag for kept in self.region(identity).groups.values() for tag in self._shown(kept)["Tags"]]
        readers = {"auto-scaling-group": field("ResourceId"), "key": field("Key"), "value": field("Value"),
                   "propagate-at-launch": lambda tag: ["true" if tag["PropagateAtLaunch"] else "false"]}
        return self.paged("Tags", filtered(tags, params.get("Filters", []), readers, "ValidationError"), params)

    # --- scheduled actions, notifications, warm pools ---

    def PutScheduledUpdateGroupAction(self, params, identity):
        region = self.region(identity)
        name, action = params["AutoScalingGroupName"], params["ScheduledActionName"]
        kept = self._group(region, name)
        if not {"MinSize", "MaxSize", "DesiredCapacity"} & set(params):
            raise Refusal("ValidationError", "One or more of the min size, max size, or desired capacity must be specified")
        arn = self.arn(region, f"scheduledUpdateGroupAction:{self.uuid()}:autoScalingGroupName/{name}:scheduledActionName/{action}")
        kept["schedules"][action] = {key: value for key, value in params.items() if key != "Time"} | {"ScheduledActionARN": arn}
        return {}

    def DescribeScheduledActions(self, params, identity):
        region = self.region(identity)
        name = params.get("AutoScalingGroupName")
        groups = [self._group(region, name)] if name else region.groups.values()
        found = [one for kept in groups for one in kept["schedules"].values()
                 if one["ScheduledActionName"] in params.get("ScheduledActionNames", [one["ScheduledActionName"]])]
        return self.paged("ScheduledUpdateGroupActions", copy.deepcopy(found), params)

    def DeleteScheduledAction(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        self._take(kept["schedules"], params["ScheduledActionName"], "Scheduled action name not found")
        return {}

    def PutNotificationConfiguration(self, params, identity):
        name = params["AutoScalingGroupName"]
        kept = self._group(self.region(identity), name)
        kept["notifications"] = [one for one in kept["notifications"] if one["TopicARN"] != params["TopicARN"]]
        kept["notifications"] += [{"AutoScalingGroupName": name, "TopicARN": params["TopicARN"], "NotificationType": one}
                                  for one in params["NotificationTypes"]]
        return {}

    def DescribeNotificationConfigurations(self, params, identity):
        groups = self.region(identity).groups
        found = [one for name, kept in groups.items() for one in kept["notifications"]
                 if name in params.get("AutoScalingGroupNames", [name])]
        return self.paged("NotificationConfigurations", found, params)

    def PutWarmPool(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        kept["warm_pool"] = {"MinSize": 0, "PoolState": "Stopped"} | {
            key: value for key, value in params.items() if key != "AutoScalingGroupName"}
        return {}

    def DescribeWarmPool(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        return {"Instances": []} | ({"WarmPoolConfiguration": kept["warm_pool"]} if kept["warm_pool"] else {})

    def DeleteWarmPool(self, params, identity):
        self._group(self.region(identity), params["AutoScalingGroupName"])["warm_pool"] = None
        return {}

    # --- launch configurations ---

    def CreateLaunchConfiguration(self, params, identity):
        region = self.region(identity)
        name = params["LaunchConfigurationName"]
        if name in region.configurations:
            raise Refusal("AlreadyExists", "Launch Configuration by this name already exists - A launch configuration already exists "
                                           f"with the name {name}")
        if not {"ImageId", "InstanceType"} <= set(params):
            raise Refusal("ValidationError", "Valid requests must contain either the InstanceID parameter or both the ImageId and "
                                             "InstanceType parameters.")
        region.configurations[name] = {"ImageId": params["ImageId"], "InstanceType": params["InstanceType"]}
        return {}

    def DescribeLaunchConfigurations(self, params, identity):
        region = self.region(identity)
        shown = [{"LaunchConfigurationName": name, "ImageId": one["ImageId"], "InstanceType": one["InstanceType"],
                  "CreatedTime": self.world.now()} for name, one in region.configurations.items()
                 if name in params.get("LaunchConfigurationNames", [name])]
        return self.paged("LaunchConfigurations", shown, params)

    def DeleteLaunchConfiguration(self, params, identity):
        region = self.region(identity)
        name = params["LaunchConfigurationName"]
        if any(kept["group"].get("LaunchConfigurationName") == name for kept in region.groups.values()):
            raise Refusal("ResourceInUse", f"Cannot delete launch configuration {name} because it is attached to AutoScalingGroup")
        self._take(region.configurations, name, "Launch configuration name not found")
        return {}

    @staticmethod
    def _take(things, name, said):
        if things.pop(name, None) is None:
            raise Refusal("ValidationError", f"{said} - {name}")
