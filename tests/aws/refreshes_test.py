#!/usr/bin/python3
"""Instance refreshes of the double: they behave as Auto Scaling's documents say."""
import pathlib
import unittest

from autoscaling_test import NEXT, Groups

HERE = pathlib.Path(__file__).resolve().parent


class Refreshes(Groups):
    def start(self, version="2", **preferences):
        """Starts one towards a version of the template, or with nothing said of it (None)."""
        template = {"LaunchTemplateName": self.name, "Version": version}
        desired = {"DesiredConfiguration": {"LaunchTemplate": template}} if version else {}
        return self.asg.start_instance_refresh(
            AutoScalingGroupName=self.name, Preferences={"MinHealthyPercentage": 50} | preferences, **desired)["InstanceRefreshId"]

    def ordered(self, **order):
        self.order(autoscaling={"refreshes": [{"group": self.name, **order}]})

    def look(self):
        return self.asg.describe_instance_refreshes(AutoScalingGroupName=self.name)["InstanceRefreshes"][0]

    def looks(self, most=30):
        """(status, percentage) of each look until it is over."""
        seen = []
        while len(seen) < most:
            one = self.look()
            seen.append((one["Status"], one.get("PercentageComplete")))
            if "EndTime" in one:
                break
        return seen

    def versions(self):
        group = self.group()
        return group["LaunchTemplate"]["Version"], sorted(one["LaunchTemplate"]["Version"] for one in group["Instances"])

    # --- how it ends ---

    def test_ok(self):
        self.a_group(desired=2)
        before = {one["InstanceId"] for one in self.group()["Instances"]}
        refresh = self.start()
        self.assertEqual(self.looks(), [("InProgress", 0), ("InProgress", 50), ("Successful", 100)])
        self.assertEqual(self.versions(), ("2", ["2", "2"]))
        group = self.group()
        self.assertFalse(before & {one["InstanceId"] for one in group["Instances"]})
        machine = self.ec2.describe_instances(InstanceIds=[group["Instances"][0]["InstanceId"]])["Reservations"][0]["Instances"][0]
        self.assertEqual(machine["ImageId"], NEXT)
        shown = self.look()
        self.assertEqual((shown["InstanceRefreshId"], shown["InstancesToUpdate"]), (refresh, 0))
        self.assertEqual(shown["Preferences"]["ScaleInProtectedInstances"], "Wait")

    def test_debians_client_with_what_newer_ones_know(self):
        self.a_group()
        newer = {"AWS_DATA_PATH": str(HERE / "models")}
        code, answer, said, _ = self.aws(
            "autoscaling", "start-instance-refresh", "--auto-scaling-group-name", self.name, "--desired-configuration",
            f'{{"LaunchTemplate":{{"LaunchTemplateName":"{self.name}","Version":"2"}}}}', "--preferences",
            '{"AutoRollback":true,"MinHealthyPercentage":90,"MaxHealthyPercentage":120,"BakeTime":60,"StandbyInstances":"Ignore"}',
            environment=newer)
        self.assertEqual(code, 0, said)
        self.look()
        code, again, said, _ = self.aws("autoscaling", "rollback-instance-refresh", "--auto-scaling-group-name", self.name,
                                        environment=newer)
        self.assertEqual((code, again), (0, answer), said)
        _, shown, _, _ = self.aws("autoscaling", "describe-instance-refreshes", "--auto-scaling-group-name", self.name,
                                  environment=newer)
        self.assertEqual(shown["InstanceRefreshes"][0]["Status"], "RollbackSuccessful")
        self.assertEqual(shown["InstanceRefreshes"][0]["Preferences"]["BakeTime"], 60)

    def test_the_group_takes_the_new_version_only_at_the_end(self):
        self.a_group(desired=4)
        self.start(version="2", MinHealthyPercentage=75)
        self.look(), self.look()
        self.assertEqual(self.versions(), ("1", ["1", "1", "1", "2"]))

    def test_failed(self):
        self.a_group(desired=2)
        self.ordered(scenario="failed", reason="The new ones do not answer")
        self.start()
        self.assertEqual(self.looks(), [("InProgress", 0), ("InProgress", 50), ("Failed", 50)])
        self.assertEqual(self.look()["StatusReason"], "The new ones do not answer")
        self.assertEqual(self.versions(), ("1", ["1", "2"]))

    def test_failed_with_one_instance(self):
        self.a_group(desired=1)
        self.ordered(scenario="failed")
        self.start(MinHealthyPercentage=0)
        self.assertEqual(self.looks()[-1], ("Failed", 100))
        self.assertEqual(self.versions()[0], "1")

    def test_rolled_back(self):
        self.a_group(desired=3)
        self.ordered(scenario="failed", reason="why")
        self.start(AutoRollback=True, MinHealthyPercentage=30)
        self.assertEqual(self.looks(), [("InProgress", 0), ("InProgress", 66), ("RollbackInProgress", 66), ("RollbackInProgress", 33),
                                        ("RollbackSuccessful", 0)])
        self.assertEqual(self.versions(), ("1", ["1"] * 3))
        details = self.look()["RollbackDetails"]
        self.assertEqual((details["RollbackReason"], details["PercentageCompleteOnRollback"]), ("why", 66))

    def test_rollback_failed(self):
        self.a_group(desired=2)
        self.ordered(scenario="rollback_failed")
        self.start(AutoRollback=True)
        self.assertEqual([status for status, _ in self.looks()], ["InProgress", "InProgress", "RollbackInProgress", "RollbackFailed"])
        self.assertEqual(self.versions(), ("1", ["1", "2"]))

    def test_cancelled_by_hand(self):
        self.a_group(desired=2)
        self.ordered(scenario="cancelled")
        self.start(AutoRollback=True)
        self.assertEqual([status for status, _ in self.looks()], ["InProgress", "InProgress", "Cancelling", "Cancelled"])
        self.assertEqual(self.look()["StatusReason"], "Cancelled due to user request.")
        self.assertEqual(self.versions(), ("1", ["1", "2"]))

    def test_stuck(self):
        self.a_group()
        self.ordered(scenario="stuck")
        self.start()
        self.assertEqual(self.looks(8), [("InProgress", 0)] * 8)

    # --- cancelling, rolling back ---

    def test_cancelling(self):
        self.a_group(desired=2)
        refresh = self.start()
        self.look(), self.look()
        self.assertEqual(self.asg.cancel_instance_refresh(AutoScalingGroupName=self.name)["InstanceRefreshId"], refresh)
        self.assertEqual(self.looks(), [("Cancelled", 50)])
        self.assertEqual(self.refused(self.asg.cancel_instance_refresh, AutoScalingGroupName=self.name)[0],
                         "ActiveInstanceRefreshNotFound")

    def test_rolling_back(self):
        self.a_group(desired=2)
        self.start()
        self.look(), self.look()
        self.asg.rollback_instance_refresh(AutoScalingGroupName=self.name)
        self.assertEqual(self.looks()[-1][0], "RollbackSuccessful")
        self.assertEqual(self.versions(), ("1", ["1", "1"]))
        self.assertEqual(self.refused(self.asg.rollback_instance_refresh, AutoScalingGroupName=self.name)[0],
                         "ActiveInstanceRefreshNotFound")

    def test_no_way_back(self):
        self.a_group()
        self.start(version=None)
        self.assertEqual(self.refused(self.asg.rollback_instance_refresh, AutoScalingGroupName=self.name)[0],
                         "IrreversibleInstanceRefresh")

    # --- what is refused ---

    def test_auto_rollback_needs_fixed_things(self):
        self.a_group()
        self.assertEqual(self.refused(self.start, version=None, AutoRollback=True)[:2], (
            "ValidationError", "The request isn't valid. The AutoRollback parameter cannot be set to true when the "
            "DesiredConfiguration parameter is empty. Set AutoRollback to false or specify a desired configuration and try again."))
        for version in ("$Latest", "$Default"):
            self.assertIn("$Latest or $Default", self.refused(self.start, version=version, AutoRollback=True)[1])
        self.asg.update_auto_scaling_group(AutoScalingGroupName=self.name,
                                           LaunchTemplate={"LaunchTemplateName": self.name, "Version": "$Latest"})
        self.assertIn("$Latest or $Default", self.refused(self.start, version="2", AutoRollback=True)[1])

    def test_auto_rollback_with_an_image_of_systems_manager(self):
        self.order(ec2={"parameters": {"/ami/app": NEXT}})
        self.ec2.create_launch_template_version(LaunchTemplateName=self.name, SourceVersion="1",
                                                LaunchTemplateData={"ImageId": "resolve:ssm:/ami/app"})
        self.a_group()
        self.assertIn("Systems Manager", self.refused(self.start, version="3", AutoRollback=True)[1])
        self.start(version="3")
        self.assertEqual(self.looks()[-1], ("Successful", 100))
        one = self.group()["Instances"][0]["InstanceId"]
        machine, = self.ec2.describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"]
        self.assertEqual(machine["ImageId"], NEXT)

    def test_preferences_that_are_wrong(self):
        self.a_group()
        for preferences, said in (({"CheckpointPercentages": [50, 20]}, "ascending"), ({"CheckpointPercentages": [50, 50]}, "unique"),
                                  ({"CheckpointDelay": 60}, "without CheckpointPercentages"),
                                  ({"MinHealthyPercentage": 0, "MaxHealthyPercentage": 200}, "greater than 100")):
            self.assertIn(said, self.refused(self.start, **preferences)[1])
        code, message, _ = self.refused(self.asg.start_instance_refresh, AutoScalingGroupName=self.name,
                                        Preferences={"MaxHealthyPercentage": 110})
        self.assertIn("MinHealthyPercentage must be specified", message)
        self.assertIn("Could not find the specified version 9", self.refused(self.start, version="9")[1])
        self.ec2.deregister_image(ImageId=NEXT)
        self.assertIn("does not exist", self.refused(self.start)[1])
        self.order(ec2={"images": [{"id": NEXT, "name": "next", "state": "pending"}]})
        self.assertIn("is not available", self.refused(self.start)[1])

    def test_one_at_a_time(self):
        self.a_group()
        self.start()
        self.assertEqual(self.refused(self.start)[:2], (
            "InstanceRefreshInProgress",
            "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."))

    def test_the_group_is_not_changed_under_it(self):
        self.a_group()
        self.start()
        change = {"AutoScalingGroupName": self.name, "LaunchTemplate": {"LaunchTemplateName": self.name, "Version": "2"}}
        self.assertIn("An active instance refresh with a desired configuration exists",
                      self.refused(self.asg.update_auto_scaling_group, **change)[1])
        self.asg.update_auto_scaling_group(AutoScalingGroupName=self.name, MaxSize=3)
        self.looks()
        self.asg.update_auto_scaling_group(**change)

    def test_somebody_elses(self):
        self.a_group()
        self.order(autoscaling={"running": [{"group": self.name, "looks": 3, "ends": "Failed"}]})
        self.assertEqual(self.refused(self.start)[0], "InstanceRefreshInProgress")
        self.assertEqual([status for status, _ in self.looks()], ["InProgress", "InProgress", "Failed"])
        self.start()
        self.assertEqual(self.looks()[-1], ("Successful", 100))
        self.assertEqual(self.versions(), ("2", ["2", "2"]))

    def test_one_that_is_not_there(self):
        self.a_group()
        self.assertEqual(self.asg.describe_instance_refreshes(AutoScalingGroupName=self.name)["InstanceRefreshes"], [])
        self.assertEqual(self.refused(self.asg.describe_instance_refreshes, AutoScalingGroupName=self.name,
                                      InstanceRefreshIds=["gone"])[0], "ValidationError")

    # --- on the way ---

    def test_checkpoints(self):
        self.a_group(desired=4)
        self.start(CheckpointPercentages=[25, 100], CheckpointDelay=60)
        self.assertEqual(self.look()["PercentageComplete"], 0)
        waiting = [self.look() for _ in range(2)]
        self.assertEqual([one["PercentageComplete"] for one in waiting], [25, 25])
        self.assertIn("checkpoint of 25 percent", waiting[0]["StatusReason"])
        self.assertEqual(self.looks(), [("InProgress", 75), ("Successful", 100)])

    def test_checkpoints_without_the_last(self):
        self.a_group(desired=4)
        self.start(CheckpointPercentages=[50])
        self.assertEqual(self.looks()[-1], ("Successful", 50))
        self.assertEqual(self.versions(), ("2", ["1", "1", "2", "2"]))

    def test_stuck_in_a_checkpoint(self):
        self.a_group(desired=4)
        self.ordered(scenario="stuck_in_checkpoint")
        self.start(CheckpointPercentages=[50, 100])
        self.assertEqual(self.looks(10)[-5:], [("InProgress", 50)] * 5)
        self.asg.rollback_instance_refresh(AutoScalingGroupName=self.name)
        self.assertEqual(self.looks()[-1][0], "RollbackSuccessful")

    def test_baking(self):
        self.a_group()
        self.ordered(bake_looks=2)
        self.start(BakeTime=600, MinHealthyPercentage=0)
        self.assertEqual([status for status, _ in self.looks()], ["InProgress", "Baking", "Baking", "Baking", "Successful"])

    def test_skip_matching(self):
        self.a_group(desired=2, max=3)
        self.start(SkipMatching=True)
        self.looks()
        before = [one["InstanceId"] for one in self.group()["Instances"]]
        self.start(SkipMatching=True)
        self.assertEqual(self.look()["Status"], "Successful")
        self.assertEqual([one["InstanceId"] for one in self.group()["Instances"]], before)
        self.start(SkipMatching=False)
        self.looks()
        self.assertFalse(set(before) & {one["InstanceId"] for one in self.group()["Instances"]})

    def test_renewed_as_they_are(self):
        self.a_group(desired=2)
        before = {one["InstanceId"] for one in self.group()["Instances"]}
        self.start(version=None)
        self.assertEqual(self.looks()[-1], ("Successful", 100))
        self.assertEqual(self.versions(), ("1", ["1", "1"]))
        self.assertFalse(before & {one["InstanceId"] for one in self.group()["Instances"]})

    def test_targets_have_to_be_healthy(self):
        self.a_group(desired=2, health_check="ELB")
        self.order(elbv2={"targets": [{"target_group": self.name, "scenario": "slow", "looks": 3}]})
        self.start()
        self.look(), self.look()
        waiting = self.look()
        self.assertEqual((waiting["PercentageComplete"], waiting["InstancesToUpdate"]), (50, 1))
        self.assertIn("is warming up", waiting["StatusReason"])
        self.assertEqual(self.looks()[-1], ("Successful", 100))

    def test_targets_that_never_get_healthy(self):
        self.a_group(desired=2, health_check="ELB")
        self.order(elbv2={"targets": [{"target_group": self.name, "scenario": "never", "times": 9}]})
        self.ordered(patience=3)
        self.start(AutoRollback=True)
        self.assertEqual([status for status, _ in self.looks()],
                         ["InProgress"] * 5 + ["RollbackInProgress", "RollbackSuccessful"])
        self.assertEqual(self.versions(), ("1", ["1", "1"]))

    def test_launches_that_fail(self):
        self.a_group(desired=2)
        self.order(autoscaling={"launches": [{"group": self.name, "times": 2, "message": "no t3.micro"}]})
        self.start()
        self.look()
        self.assertIn("see the scaling activities", self.look()["StatusReason"])
        self.assertEqual(self.activities()[0]["StatusMessage"], "no t3.micro. Launching EC2 instance failed.")
        self.assertEqual(self.looks()[-1], ("Successful", 100))

    def test_a_mixed_instances_policy(self):
        self.a_group(desired=2, mixed=True)
        policy = {"LaunchTemplate": {"LaunchTemplateSpecification": {"LaunchTemplateName": self.name, "Version": "2"},
                                     "Overrides": [{"InstanceType": "m5.large"}, {"InstanceType": "m5a.large"}]}}
        self.asg.start_instance_refresh(AutoScalingGroupName=self.name, DesiredConfiguration={"MixedInstancesPolicy": policy},
                                        Preferences={"AutoRollback": True, "MinHealthyPercentage": 50})
        self.assertEqual(self.looks()[-1], ("Successful", 100))
        group = self.group()
        taken = group["MixedInstancesPolicy"]["LaunchTemplate"]
        self.assertEqual((taken["LaunchTemplateSpecification"]["Version"], len(taken["Overrides"])), ("2", 2))
        self.assertEqual([(one["InstanceType"], one["LaunchTemplate"]["Version"]) for one in group["Instances"]], [("m5.large", "2")] * 2)

    def test_the_groups_maintenance_policy(self):
        self.a_group(desired=2)
        self.asg.update_auto_scaling_group(AutoScalingGroupName=self.name, InstanceMaintenancePolicy={
            "MinHealthyPercentage": 0, "MaxHealthyPercentage": 100})
        self.asg.start_instance_refresh(AutoScalingGroupName=self.name)
        self.assertEqual(self.looks(), [("InProgress", 0), ("Successful", 100)])
        self.assertEqual(self.look()["Preferences"]["MaxHealthyPercentage"], 100)

    def test_protected_instances(self):
        self.a_group(desired=2)
        one = self.group()["Instances"][0]["InstanceId"]
        self.asg.set_instance_protection(AutoScalingGroupName=self.name, InstanceIds=[one], ProtectedFromScaleIn=True)
        self.ordered(patience=2)
        self.start()
        self.assertEqual(self.looks()[-1][0], "Failed")
        self.assertIn(one, self.look()["StatusReason"])
        self.start(ScaleInProtectedInstances="Ignore")
        self.assertEqual(self.looks()[-1][0], "Successful")
        self.assertEqual(self.versions(), ("2", ["1", "2"]))
        self.start(ScaleInProtectedInstances="Refresh")
        self.looks()
        self.assertEqual(self.versions(), ("2", ["2", "2"]))

    def test_suspended_processes(self):
        self.a_group(suspended=["Terminate"])
        self.start()
        self.look()
        self.assertEqual(self.look()["StatusReason"], "Waiting for processes that are suspended: Terminate")
        self.asg.resume_processes(AutoScalingGroupName=self.name, ScalingProcesses=["Terminate"])
        self.assertEqual(self.looks()[-1], ("Successful", 100))

    def test_what_is_launched_meanwhile_is_of_the_new_version(self):
        self.a_group(desired=2, max=3)
        self.ordered(scenario="stuck")
        self.start()
        self.asg.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=3)
        self.assertEqual(self.versions(), ("1", ["1", "1", "2"]))


if __name__ == "__main__":
    unittest.main()
