#!/usr/bin/python3
"""Auto Scaling of the double: groups and what they launch behave as Auto Scaling's documents say. Also refreshes_test.py."""
import unittest

from asked import Asked

BASE, NEXT = "ami-0b45e0b45e0b45e01", "ami-0b45e0b45e0b45e02"
SUBNETS = "subnet-aaaaaaaa,subnet-bbbbbbbb"


class Groups(Asked):
    """What the tests of groups share: a template, target groups behind a load balancer, and a group that stands."""

    def setUp(self):
        self.asg, self.elb, self.ec2 = self.client("autoscaling"), self.client("elbv2"), self.client("ec2")
        self.name = ("g" + self.id().rpartition(".")[2].replace("_", "-").removeprefix("test"))[:26].strip("-")
        self.order(
            ec2={"images": [{"id": BASE, "name": "base"}, {"id": NEXT, "name": "next"}],
                 "launch_templates": [{"name": self.name, "versions": [
                     {"ImageId": BASE, "InstanceType": "t3.micro"}, {"ImageId": NEXT}]}]},
            elbv2={"load_balancers": [{"name": f"lb-{self.name}", "target_groups": [self.name]}]})
        self.target_group = self.elb.describe_target_groups(Names=[self.name])["TargetGroups"][0]["TargetGroupArn"]

    def a_group(self, **more):
        self.order(autoscaling={"groups": [{
            "name": self.name, "launch_template": {"name": self.name, "version": "1"}, "desired": 2,
            "target_groups": [self.name], **more}]})
        return self.name

    def create(self, **more):
        self.asg.create_auto_scaling_group(**{
            "AutoScalingGroupName": self.name, "MinSize": 0, "MaxSize": 4, "DesiredCapacity": 2, "VPCZoneIdentifier": SUBNETS,
            "LaunchTemplate": {"LaunchTemplateName": self.name, "Version": "1"}, "TargetGroupARNs": [self.target_group]} | more)

    def group(self):
        found = self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        return found[0] if found else None

    def states(self):
        group = self.group()
        return [one["LifecycleState"] for one in group["Instances"]] if group else None

    def health(self):
        found = self.elb.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
        return [one["TargetHealth"]["State"] for one in found]

    def activities(self):
        return self.asg.describe_scaling_activities(AutoScalingGroupName=self.name)["Activities"]


class Autoscaling(Groups):
    # --- made, changed, deleted ---

    def test_debians_client_reads_a_group(self):
        self.a_group(tags={"ci:color": "live"})
        code, answer, said, _ = self.aws("autoscaling", "describe-auto-scaling-groups", "--auto-scaling-group-names", self.name)
        self.assertEqual(code, 0, said)
        group, = answer["AutoScalingGroups"]
        self.assertEqual((group["DesiredCapacity"], group["TargetGroupARNs"]), (2, [self.target_group]))
        self.assertEqual((group["LaunchTemplate"]["LaunchTemplateName"], group["LaunchTemplate"]["Version"]), (self.name, "1"))
        self.assertEqual([(one["LifecycleState"], one["HealthStatus"]) for one in group["Instances"]], [("InService", "Healthy")] * 2)
        self.assertEqual(group["Tags"], [{"ResourceId": self.name, "ResourceType": "auto-scaling-group", "Key": "ci:color",
                                          "Value": "live", "PropagateAtLaunch": True}])
        self.assertEqual(self.health(), ["healthy", "healthy"])

    def test_a_new_group_launches(self):
        self.create(HealthCheckType="ELB", HealthCheckGracePeriod=300, DefaultInstanceWarmup=30,
                    InstanceMaintenancePolicy={"MinHealthyPercentage": 90, "MaxHealthyPercentage": 120})
        self.assertEqual([self.states() for _ in range(3)], [["Pending"] * 2, ["InService"] * 2, ["InService"] * 2])
        self.assertEqual(self.health(), ["initial"] * 2)
        self.assertEqual(self.health(), ["healthy"] * 2)
        group = self.group()
        self.assertEqual((group["HealthCheckType"], group["DefaultInstanceWarmup"]), ("ELB", 30))
        self.assertEqual(group["InstanceMaintenancePolicy"], {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 120})
        self.assertEqual([one["LaunchTemplate"]["Version"] for one in group["Instances"]], ["1", "1"])
        self.assertEqual([one["StatusCode"] for one in self.activities()], ["Successful"] * 2)
        machine = self.ec2.describe_instances(InstanceIds=[group["Instances"][0]["InstanceId"]])["Reservations"][0]["Instances"][0]
        self.assertEqual((machine["ImageId"], machine["State"]["Name"]), (BASE, "running"))
        self.assertIn({"Key": "aws:autoscaling:groupName", "Value": self.name}, machine["Tags"])

    def test_a_name_is_taken_once(self):
        self.create()
        self.assertEqual(self.refused(self.create), (
            "AlreadyExists", f"AutoScalingGroup by this name already exists - A group with the name {self.name} already exists", 400))

    def test_what_cannot_be_made(self):
        def refused(**more):
            code, message, _ = self.refused(self.create, **more)
            self.assertEqual(code, "ValidationError")
            return message

        self.assertIn("does not exist", refused(LaunchTemplate={"LaunchTemplateName": "gone"}))
        self.assertIn("Could not find the specified version 9",
                      refused(LaunchTemplate={"LaunchTemplateName": self.name, "Version": "9"}))
        self.assertIn("Valid requests must contain either", refused(LaunchConfigurationName="also"))
        self.assertIn("either launchTemplateId or",
                      refused(LaunchTemplate={"LaunchTemplateName": self.name, "LaunchTemplateId": "lt-1"}))
        self.assertIn("Target Groups may not be valid", refused(TargetGroupARNs=["arn:aws:gone"]))
        self.assertIn("Desired capacity:9 must be between", refused(DesiredCapacity=9))
        self.assertIn("subnet-9", refused(VPCZoneIdentifier="subnet-9"))
        self.assertIn("At least one Availability Zone", refused(VPCZoneIdentifier=" "))
        self.ec2.deregister_image(ImageId=BASE)
        self.assertIn(f"The image id '[{BASE}]' does not exist", refused())

    def test_a_group_that_is_not_there(self):
        self.assertIsNone(self.group())
        code, message, _ = self.refused(self.asg.update_auto_scaling_group, AutoScalingGroupName="gone", MinSize=1)
        self.assertEqual((code, message), ("ValidationError", "AutoScalingGroup name not found - no such group: gone"))

    def test_new_sizes_take_the_desired_capacity_with_them(self):
        self.a_group(min=1, max=4)
        self.asg.update_auto_scaling_group(AutoScalingGroupName=self.name, MinSize=3)
        self.assertEqual(self.group()["DesiredCapacity"], 3)
        self.asg.update_auto_scaling_group(AutoScalingGroupName=self.name, MinSize=0, MaxSize=1)
        self.assertEqual(self.group()["DesiredCapacity"], 1)

    def test_out_and_in(self):
        self.a_group(max=4)
        self.asg.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=3)
        self.assertEqual(self.states(), ["InService", "InService", "Pending"])
        self.assertEqual(self.refused(self.asg.set_desired_capacity, AutoScalingGroupName=self.name, DesiredCapacity=2,
                                      HonorCooldown=True)[0], "ScalingActivityInProgress")
        self.assertEqual(self.states(), ["InService"] * 3)
        self.assertIn("above max value 4", self.refused(self.asg.set_desired_capacity, AutoScalingGroupName=self.name,
                                                        DesiredCapacity=5)[1])
        self.asg.update_auto_scaling_group(AutoScalingGroupName=self.name, MinSize=0, DesiredCapacity=1)
        oldest = [one["InstanceId"] for one in self.group()["Instances"][:2]]
        self.assertEqual(self.activities()[0]["StatusCode"], "InProgress")
        self.assertEqual(self.states(), ["Terminating", "Terminating", "InService"])
        self.assertEqual(self.activities()[0]["StatusCode"], "WaitingForELBConnectionDraining")
        self.assertEqual(self.states(), ["InService"])
        self.assertNotIn(self.group()["Instances"][0]["InstanceId"], oldest)
        machines = self.ec2.describe_instances(InstanceIds=oldest)["Reservations"]
        self.assertEqual([one["Instances"][0]["State"]["Name"] for one in machines], ["terminated"] * 2)

    def test_protected_instances_stay(self):
        self.a_group(min=0)
        one, two = [one["InstanceId"] for one in self.group()["Instances"]]
        self.asg.set_instance_protection(AutoScalingGroupName=self.name, InstanceIds=[one], ProtectedFromScaleIn=True)
        self.asg.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=0)
        for _ in range(4):
            self.group()
        self.assertEqual([each["InstanceId"] for each in self.group()["Instances"]], [one])
        self.assertNotEqual(one, two)

    def test_deleting(self):
        self.a_group(min=0)
        self.assertEqual(self.refused(self.asg.delete_auto_scaling_group, AutoScalingGroupName=self.name)[0], "ResourceInUse")
        self.asg.update_auto_scaling_group(AutoScalingGroupName=self.name, MinSize=0, DesiredCapacity=0)
        self.assertEqual(self.states(), ["Terminating"] * 2)
        self.assertEqual(self.refused(self.asg.delete_auto_scaling_group, AutoScalingGroupName=self.name)[0],
                         "ScalingActivityInProgress")
        while self.states():
            pass
        self.asg.delete_auto_scaling_group(AutoScalingGroupName=self.name)
        self.assertIsNone(self.group())
        self.assertEqual(self.refused(self.asg.describe_scaling_activities, AutoScalingGroupName=self.name)[0], "ValidationError")
        kept = self.asg.describe_scaling_activities(AutoScalingGroupName=self.name, IncludeDeletedGroups=True)["Activities"]
        self.assertEqual({one["AutoScalingGroupState"] for one in kept}, {"Deleted"})

    def test_deleting_by_force(self):
        self.a_group(min=2)
        self.asg.put_lifecycle_hook(AutoScalingGroupName=self.name, LifecycleHookName="bye",
                                    LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING")
        self.asg.delete_auto_scaling_group(AutoScalingGroupName=self.name, ForceDelete=True)
        self.assertEqual(self.group()["Status"], "Delete in progress")
        self.assertIn("pending delete", self.refused(self.create)[1])
        self.assertIsNone(self.group())
        self.create()

    # --- what goes wrong ---

    def test_what_is_still_launching_is_ended_too(self):
        self.create()
        self.assertEqual(self.states(), ["Pending"] * 2)
        self.asg.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=0)
        while self.states():
            pass
        self.asg.update_auto_scaling_group(AutoScalingGroupName=self.name, VPCZoneIdentifier="subnet-cccccccc")
        self.assertEqual(self.group()["AvailabilityZones"], ["eu-west-1c"])
        self.asg.delete_auto_scaling_group(AutoScalingGroupName=self.name)

    def test_launches_that_fail(self):
        self.order(autoscaling={"launches": [{"group": f"{self.name}*", "times": 2, "message": "We have no t3.micro in eu-west-1a"}]})
        self.create()
        self.assertEqual([self.states() for _ in range(3)], [[], [], ["Pending", "Pending"]])
        failed = [one for one in self.activities() if one["StatusCode"] == "Failed"]
        self.assertEqual([one["StatusMessage"] for one in failed],
                         ["We have no t3.micro in eu-west-1a. Launching EC2 instance failed."] * 2)

    def test_an_image_that_goes_away(self):
        self.a_group(max=4)
        self.ec2.deregister_image(ImageId=BASE)
        self.asg.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=3)
        self.assertEqual(self.states(), ["InService"] * 2)
        self.assertEqual(self.activities()[0]["StatusMessage"],
                         f"The image id '[{BASE}]' does not exist. Launching EC2 instance failed.")

    def test_suspended_processes(self):
        self.a_group(max=4, suspended=["Launch"])
        self.assertEqual(self.group()["SuspendedProcesses"], [{"ProcessName": "Launch", "SuspensionReason": "User suspended"}])
        self.asg.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=3)
        self.assertEqual(self.states(), ["InService"] * 2)
        self.asg.resume_processes(AutoScalingGroupName=self.name, ScalingProcesses=["Launch"])
        self.assertEqual(self.states(), ["InService", "InService", "Pending"])
        self.asg.suspend_processes(AutoScalingGroupName=self.name)
        self.assertEqual(len(self.group()["SuspendedProcesses"]), 9)
        self.assertIn("Unknown process type", self.refused(self.asg.suspend_processes, AutoScalingGroupName=self.name,
                                                           ScalingProcesses=["Lunch"])[1])

    def test_unhealthy_targets_are_replaced_after_the_grace_period(self):
        self.a_group(health_check="ELB", grace=0)
        before = [one["InstanceId"] for one in self.group()["Instances"]]
        self.order(elbv2={"health": [{"target_group": self.name, "target": before[0], "reason": "Target.Timeout"}]})
        self.health()
        self.assertEqual(self.states(), ["Terminating", "InService", "Pending"])
        self.assertIn("ELB system health check failure", "".join(one["Cause"] for one in self.activities()))
        self.assertEqual(self.states(), ["Terminating", "InService", "InService"])
        self.assertEqual([one["InstanceId"] in before for one in self.group()["Instances"]], [True, False])

    def test_unhealthy_targets_stay_within_the_grace_period(self):
        self.a_group(health_check="ELB", grace=300)
        self.order(elbv2={"health": [{"target_group": self.name}]})
        self.assertEqual(self.health(), ["unhealthy"] * 2)
        self.assertEqual(self.states(), ["InService"] * 2)

    def test_an_instance_that_dies(self):
        self.a_group()
        one = self.group()["Instances"][0]["InstanceId"]
        self.ec2.terminate_instances(InstanceIds=[one])
        self.assertEqual(self.states(), ["Terminating", "InService", "Pending"])
        another = self.group()["Instances"][1]["InstanceId"]
        self.asg.set_instance_health(InstanceId=another, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
        self.assertEqual(self.states()[0], "Terminating")

    # --- target groups ---

    def tell(self):
        found = self.asg.describe_load_balancer_target_groups(AutoScalingGroupName=self.name)["LoadBalancerTargetGroups"]
        return [one["State"] for one in found]

    def test_attached_and_detached(self):
        self.a_group(target_groups=[])
        self.assertEqual(self.tell(), [])
        self.asg.attach_load_balancer_target_groups(AutoScalingGroupName=self.name, TargetGroupARNs=[self.target_group])
        self.assertEqual([self.tell() for _ in range(4)], [["Adding"], ["Added"], ["InService"], ["InService"]])
        self.assertEqual(self.health(), ["healthy"] * 2)
        self.asg.detach_load_balancer_target_groups(AutoScalingGroupName=self.name, TargetGroupARNs=[self.target_group])
        self.assertEqual(self.group()["TargetGroupARNs"], [])
        self.assertEqual([self.tell() for _ in range(3)], [["Removing"], ["Removing"], []])
        self.assertEqual(self.health(), [])

    def test_targets_that_never_get_healthy(self):
        self.order(elbv2={"targets": [{"target_group": self.name, "scenario": "never", "times": 2}]})
        self.create(HealthCheckType="ELB", HealthCheckGracePeriod=300)
        for _ in range(2):
            self.group()
        self.assertEqual([self.tell() for _ in range(4)], [["Adding"], ["Added"], ["Added"], ["Added"]])
        self.assertEqual(self.health(), ["unhealthy"] * 2)

    # --- hooks ---

    def test_a_hook_holds_until_it_is_completed(self):
        self.order(autoscaling={"hook_looks": None})
        self.addCleanup(self.order, autoscaling={"hook_looks": 2})
        self.create(DesiredCapacity=1, LifecycleHookSpecificationList=[
            {"LifecycleHookName": "hello", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING", "HeartbeatTimeout": 60}])
        self.assertEqual([self.states()[0] for _ in range(4)], ["Pending", "Pending:Wait", "Pending:Wait", "Pending:Wait"])
        self.assertEqual(self.activities()[0]["StatusCode"], "MidLifecycleAction")
        self.asg.complete_lifecycle_action(AutoScalingGroupName=self.name, LifecycleHookName="hello",
                                           LifecycleActionResult="CONTINUE",
                                           InstanceId=self.group()["Instances"][0]["InstanceId"])
        self.assertEqual(self.states(), ["InService"])

    def test_a_hook_goes_on_by_itself_after_some_looks(self):
        self.a_group(desired=1, min=0)
        self.asg.put_lifecycle_hook(AutoScalingGroupName=self.name, LifecycleHookName="bye", DefaultResult="CONTINUE",
                                    LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING")
        hook, = self.asg.describe_lifecycle_hooks(AutoScalingGroupName=self.name)["LifecycleHooks"]
        self.assertEqual((hook["HeartbeatTimeout"], hook["GlobalTimeout"]), (3600, 172800))
        self.asg.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=0)
        seen = []
        while not seen or seen[-1]:
            seen.append(self.states())
        self.assertIn(["Terminating:Wait"], seen)
        self.asg.delete_lifecycle_hook(AutoScalingGroupName=self.name, LifecycleHookName="bye")
        self.assertEqual(self.asg.describe_lifecycle_hooks(AutoScalingGroupName=self.name)["LifecycleHooks"], [])

    # --- what hangs on a group ---

    def test_policies(self):
        self.a_group()
        target = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50.0}
        made = self.asg.put_scaling_policy(AutoScalingGroupName=self.name, PolicyName="cpu", PolicyType="TargetTrackingScaling",
                                           TargetTrackingConfiguration=target)
        self.assertEqual(len(made["Alarms"]), 2)
        self.asg.put_scaling_policy(AutoScalingGroupName=self.name, PolicyName="step", PolicyType="StepScaling",
                                    AdjustmentType="ChangeInCapacity",
                                    StepAdjustments=[{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}])
        shown = self.asg.describe_policies(AutoScalingGroupName=self.name)["ScalingPolicies"]
        self.assertEqual([(one["PolicyName"], one["PolicyARN"] == made["PolicyARN"]) for one in shown],
                         [("cpu", True), ("step", False)])
        self.assertEqual(shown[0]["TargetTrackingConfiguration"], target)
        self.assertIn("TargetTrackingConfiguration must be", self.refused(
            self.asg.put_scaling_policy, AutoScalingGroupName=self.name, PolicyName="x", PolicyType="TargetTrackingScaling")[1])
        self.asg.delete_policy(AutoScalingGroupName=self.name, PolicyName="cpu")
        self.assertEqual(len(self.asg.describe_policies(AutoScalingGroupName=self.name)["ScalingPolicies"]), 1)

    def test_tags(self):
        self.a_group(tags={"ci:color": "live"})
        tag = {"ResourceId": self.name, "ResourceType": "auto-scaling-group", "Key": "ci:color"}
        self.asg.create_or_update_tags(Tags=[tag | {"Value": "old", "PropagateAtLaunch": False}])
        found = self.asg.describe_tags(Filters=[{"Name": "auto-scaling-group", "Values": [self.name]}])["Tags"]
        self.assertEqual(found, [tag | {"Value": "old", "PropagateAtLaunch": False}])

        def groups(value):
            found = self.asg.describe_auto_scaling_groups(Filters=[{"Name": "tag:ci:color", "Values": [value]}])["AutoScalingGroups"]
            return [one["AutoScalingGroupName"] for one in found if one["AutoScalingGroupName"] == self.name]

        self.assertEqual((groups("old"), groups("live")), ([self.name], []))
        self.asg.delete_tags(Tags=[tag])
        self.assertEqual(self.group()["Tags"], [])

    def test_what_else_a_clone_has_to_take_along(self):
        self.a_group()
        self.asg.enable_metrics_collection(AutoScalingGroupName=self.name, Granularity="1Minute", Metrics=["GroupMinSize"])
        self.asg.put_scheduled_update_group_action(AutoScalingGroupName=self.name, ScheduledActionName="night", Recurrence="0 22 * * *",
                                                   DesiredCapacity=0)
        self.asg.put_notification_configuration(AutoScalingGroupName=self.name, TopicARN="arn:aws:sns:eu-west-1:123456789012:t",
                                                NotificationTypes=["autoscaling:EC2_INSTANCE_LAUNCH"])
        self.asg.put_warm_pool(AutoScalingGroupName=self.name, MinSize=1)
        self.asg.attach_load_balancers(AutoScalingGroupName=self.name, LoadBalancerNames=["classic"])
        group = self.group()
        self.assertEqual(group["EnabledMetrics"], [{"Metric": "GroupMinSize", "Granularity": "1Minute"}])
        self.assertEqual(group["WarmPoolConfiguration"]["MinSize"], 1)
        self.assertEqual(group["LoadBalancerNames"], ["classic"])
        night, = self.asg.describe_scheduled_actions(AutoScalingGroupName=self.name)["ScheduledUpdateGroupActions"]
        self.assertEqual((night["ScheduledActionName"], night["DesiredCapacity"]), ("night", 0))
        notified = self.asg.describe_notification_configurations(AutoScalingGroupNames=[self.name])["NotificationConfigurations"]
        self.assertEqual(notified[0]["NotificationType"], "autoscaling:EC2_INSTANCE_LAUNCH")
        self.assertEqual(self.asg.describe_warm_pool(AutoScalingGroupName=self.name)["Instances"], [])

    def test_a_launch_configuration_and_a_mixed_policy(self):
        self.order(autoscaling={"configurations": [{"name": f"lc-{self.name}", "image": BASE}]})
        self.a_group(configuration=f"lc-{self.name}")
        group = self.group()
        self.assertEqual(group["LaunchConfigurationName"], f"lc-{self.name}")
        self.assertNotIn("LaunchTemplate", group)
        self.assertEqual(self.refused(self.asg.delete_launch_configuration, LaunchConfigurationName=f"lc-{self.name}")[0],
                         "ResourceInUse")
        self.asg.update_auto_scaling_group(AutoScalingGroupName=self.name, MixedInstancesPolicy={"LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateName": self.name, "Version": "$Latest"},
            "Overrides": [{"InstanceType": "m5.large"}]}})
        group = self.group()
        self.assertNotIn("LaunchConfigurationName", group)
        named = group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
        self.assertEqual((named["LaunchTemplateName"], named["Version"]), (self.name, "$Latest"))
        self.asg.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=3)
        newest = self.group()["Instances"][-1]
        self.assertEqual((newest["InstanceType"], newest["LaunchTemplate"]["Version"]), ("m5.large", "2"))

    def test_pages(self):
        self.order(autoscaling={"page": 2, "groups": [
            {"name": f"{self.name}-{number}", "launch_template": {"name": self.name}, "desired": 0} for number in range(5)]})
        self.addCleanup(self.order, autoscaling={"page": 50})
        self.assertEqual(len(self.asg.describe_auto_scaling_groups()["AutoScalingGroups"]), 2)
        names = [one["AutoScalingGroupName"] for page in self.asg.get_paginator("describe_auto_scaling_groups").paginate()
                 for one in page["AutoScalingGroups"]]
        self.assertEqual(len([one for one in names if one.startswith(self.name)]), 5)
        self.assertEqual(self.refused(self.asg.describe_auto_scaling_groups, NextToken="made up")[0], "InvalidNextToken")


class BlueGreen(Groups):
    """What a step does that replaces one group by another, call by call."""

    def setUp(self):
        super().setUp()
        self.a_group(health_check="ELB", tags={"ci:color": "live"})
        self.blue, self.name = self.name, f"{self.name}-v3"
        made = self.ec2.create_launch_template_version(LaunchTemplateName=self.blue, SourceVersion="1", ClientToken=self.name,
                                                       LaunchTemplateData={"ImageId": NEXT})["LaunchTemplateVersion"]
        self.template = {"LaunchTemplateId": made["LaunchTemplateId"], "Version": str(made["VersionNumber"])}
        self.tags = [{"Key": "ci:run", "Value": "7", "PropagateAtLaunch": True}]

    def green(self, **more):
        self.create(**{"LaunchTemplate": self.template, "HealthCheckType": "ELB", "HealthCheckGracePeriod": 300,
                       "Tags": self.tags} | more)

    def ready(self, looks=10):
        """Whether green gets healthy within so many looks: in service, and every one of it healthy behind the balancer."""
        for _ in range(looks):
            green = {one["InstanceId"] for one in self.group()["Instances"] if one["LifecycleState"] == "InService"}
            found = self.elb.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
            healthy = {one["Target"]["Id"] for one in found if one["TargetHealth"]["State"] == "healthy"}
            if len(green) == 2 and green <= healthy:
                return True
        return False

    def of_blue(self):
        found = self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[self.blue])["AutoScalingGroups"]
        return [one["LifecycleState"] for one in found[0]["Instances"]] if found else None

    def test_green_takes_over(self):
        self.green()
        self.assertTrue(self.ready())
        self.assertEqual(self.of_blue(), ["InService"] * 2)
        self.assertEqual(self.health(), ["healthy"] * 4)
        self.asg.suspend_processes(AutoScalingGroupName=self.blue, ScalingProcesses=["AlarmNotification", "ScheduledActions"])
        self.asg.update_auto_scaling_group(AutoScalingGroupName=self.blue, MinSize=0, DesiredCapacity=0)
        looks = 0
        while self.of_blue():
            looks += 1
        self.assertLess(looks, 6)
        self.asg.delete_auto_scaling_group(AutoScalingGroupName=self.blue)
        self.assertEqual(self.health(), ["healthy"] * 2)
        machines = self.ec2.describe_instances(Filters=[{"Name": "tag:ci:run", "Values": ["7"]}])["Reservations"]
        self.assertEqual({one["ImageId"] for each in machines for one in each["Instances"]}, {NEXT})

    def test_green_is_switched_to(self):
        self.green(TargetGroupARNs=[])
        self.assertFalse(self.ready(3))
        self.asg.attach_load_balancer_target_groups(AutoScalingGroupName=self.name, TargetGroupARNs=[self.target_group])
        self.assertTrue(self.ready())
        self.asg.detach_load_balancer_target_groups(AutoScalingGroupName=self.blue, TargetGroupARNs=[self.target_group])
        self.assertEqual(sorted(self.health()), ["draining", "draining", "healthy", "healthy"])
        self.assertEqual(self.health(), ["healthy"] * 2)
        self.assertEqual(self.of_blue(), ["InService"] * 2)

    def test_green_never_gets_healthy(self):
        self.order(elbv2={"targets": [{"target_group": self.blue, "scenario": "never", "times": 9}]})
        self.green()
        self.assertFalse(self.ready())
        self.asg.delete_auto_scaling_group(AutoScalingGroupName=self.name, ForceDelete=True)
        while self.group():
            pass
        self.assertEqual((self.of_blue(), self.health()), (["InService"] * 2, ["healthy"] * 2))

    def test_some_of_green_take_longer(self):
        self.order(elbv2={"targets": [{"target_group": self.blue, "scenario": "unhealthy_then_healthy", "looks": 3}]})
        self.green()
        self.assertFalse(self.ready(3))
        self.assertTrue(self.ready())

    def test_green_of_a_run_that_was_cut_off_is_known_by_its_tag(self):
        self.green()
        self.assertEqual(self.refused(self.green)[0], "AlreadyExists")
        found = self.asg.describe_auto_scaling_groups(Filters=[{"Name": "tag:ci:run", "Values": ["7"]}])["AutoScalingGroups"]
        self.assertIn(self.name, [one["AutoScalingGroupName"] for one in found])


if __name__ == "__main__":
    unittest.main()
