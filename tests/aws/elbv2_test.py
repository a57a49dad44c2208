#!/usr/bin/python3
"""Elastic Load Balancing of the double: target groups and the health of targets behave as its documents say."""
import unittest

from asked import Asked

BASE = "ami-0b45e0b45e0b45e01"


class Elbv2(Asked):
    def setUp(self):
        self.elb, self.ec2 = self.client("elbv2"), self.client("ec2")
        self.order(ec2={"images": [{"id": BASE, "name": "base"}]})
        self.name = self.id().rpartition(".")[2][-20:].replace("_", "-").strip("-")

    def a_group(self, used=True, targets=(), **order):
        self.order(elbv2={"load_balancers": [{"name": f"lb-{self.name}", "target_groups": [self.name]}] if used else [],
                          "target_groups": [{"name": self.name, **order}], "targets": list(targets)})
        return self.elb.describe_target_groups(Names=[self.name])["TargetGroups"][0]["TargetGroupArn"]

    def instances(self, count=1, **more):
        ids = [one["InstanceId"] for one in self.ec2.run_instances(ImageId=BASE, MinCount=count, MaxCount=count, **more)["Instances"]]
        self.ec2.describe_instances(InstanceIds=ids)
        return ids

    def registered(self, group, count=1):
        ids = self.instances(count)
        self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": one} for one in ids])
        return ids

    def look(self, group, *ids):
        asked = {"Targets": [{"Id": one} for one in ids]} if ids else {}
        found = self.elb.describe_target_health(TargetGroupArn=group, **asked)["TargetHealthDescriptions"]
        return [(one["TargetHealth"]["State"], one["TargetHealth"].get("Reason")) for one in found]

    def looks(self, group, count):
        return [self.look(group)[0] for _ in range(count)]

    def test_debians_client_reads_health(self):
        group = self.a_group()
        target, = self.registered(group)
        code, answer, said, _ = self.aws("elbv2", "describe-target-health", "--target-group-arn", group)
        self.assertEqual(code, 0, said)
        self.assertEqual(answer["TargetHealthDescriptions"], [{
            "Target": {"Id": target, "Port": 80}, "HealthCheckPort": "80", "TargetHealth": {
                "State": "initial", "Reason": "Elb.RegistrationInProgress", "Description": "Target registration is in progress"}}])

    def test_ok(self):
        group = self.a_group()
        self.registered(group)
        self.assertEqual(self.looks(group, 3), [("initial", "Elb.RegistrationInProgress"), ("healthy", None), ("healthy", None)])

    def test_slow(self):
        group = self.a_group(targets=[{"target_group": self.name, "scenario": "slow", "looks": 3}])
        self.registered(group)
        self.assertEqual(self.looks(group, 4), [("initial", "Elb.RegistrationInProgress"), ("initial", "Elb.InitialHealthChecking"),
                                                ("initial", "Elb.InitialHealthChecking"), ("healthy", None)])

    def test_never(self):
        group = self.a_group(targets=[{"target_group": self.name, "scenario": "never", "times": 1, "reason": "Target.Timeout"}])
        ids = self.registered(group, 2)
        self.assertEqual([self.look(group) for _ in range(3)], [
            [("initial", "Elb.RegistrationInProgress")] * 2, [("unhealthy", "Target.Timeout"), ("healthy", None)],
            [("unhealthy", "Target.Timeout"), ("healthy", None)]])
        self.assertEqual(self.look(group, ids[0]), [("unhealthy", "Target.Timeout")])

    def test_unhealthy_then_healthy(self):
        group = self.a_group(targets=[{"scenario": "unhealthy_then_healthy", "looks": 2}])
        self.registered(group)
        self.assertEqual([one[0] for one in self.looks(group, 4)], ["initial", "unhealthy", "unhealthy", "healthy"])

    def test_flapping_stuck_and_not_in_use(self):
        group = self.a_group(targets=[{"scenario": "flapping"}, {"scenario": "stuck"}, {"scenario": "not_in_use"}])
        self.registered(group, 3)
        self.assertEqual([[state for state, _ in self.look(group)] for _ in range(4)], [
            ["initial", "initial", "unused"], ["healthy", "initial", "unused"], ["unhealthy", "initial", "unused"],
            ["healthy", "initial", "unused"]])

    def test_health_by_order(self):
        group = self.a_group()
        target, _ = self.registered(group, 2)
        self.looks(group, 2)
        self.order(elbv2={"health": [{"target_group": self.name, "target": target, "reason": "Target.ResponseCodeMismatch"}]})
        self.assertEqual(self.look(group), [("unhealthy", "Target.ResponseCodeMismatch"), ("healthy", None)])
        self.order(elbv2={"health": [{"target_group": self.name, "target": target, "state": None}]})
        self.assertEqual(self.look(group), [("healthy", None)] * 2)

    def test_not_in_use(self):
        group = self.a_group(used=False)
        target, = self.registered(group)
        self.assertEqual(self.looks(group, 2), [("unused", "Target.NotInUse")] * 2)
        self.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": target}])
        self.assertEqual(self.look(group), [])

    def test_in_a_zone_without_the_load_balancer(self):
        subnets = ["subnet-aaaaaaaa", "subnet-bbbbbbbb"]
        balancer = self.elb.create_load_balancer(Name=self.name, Subnets=subnets)["LoadBalancers"][0]
        group = self.elb.create_target_group(Name=self.name, Port=8080, Protocol="HTTP", VpcId=balancer["VpcId"])["TargetGroups"][0]
        group = group["TargetGroupArn"]
        self.elb.create_listener(LoadBalancerArn=balancer["LoadBalancerArn"], Port=80, Protocol="HTTP",
                                 DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
        inside, = self.instances(SubnetId=subnets[0])
        outside, = self.instances(SubnetId="subnet-cccccccc")
        self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": inside}, {"Id": outside, "Port": 9090}])
        self.assertEqual(self.look(group), [("initial", "Elb.RegistrationInProgress"), ("unused", "Target.NotInUse")])

    def test_draining(self):
        group = self.a_group(draining=2)
        target, = self.registered(group)
        self.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": target}])
        self.assertEqual([self.look(group) for _ in range(3)],
                         [[("draining", "Target.DeregistrationInProgress")], [("draining", "Target.DeregistrationInProgress")], []])
        self.assertEqual(self.look(group, target), [("unused", "Target.NotRegistered")])

    def test_no_draining_without_a_delay(self):
        group = self.a_group()
        self.elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[
            {"Key": "deregistration_delay.timeout_seconds", "Value": "0"}])
        target, = self.registered(group)
        self.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": target}])
        self.assertEqual(self.look(group), [])

    def test_registered_again_while_it_drains(self):
        group = self.a_group(draining=5)
        target, = self.registered(group)
        self.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": target}])
        self.look(group)
        self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": target}])
        self.assertEqual(self.looks(group, 2), [("initial", "Elb.RegistrationInProgress"), ("healthy", None)])

    def test_an_instance_that_is_ended(self):
        group = self.a_group()
        target, = self.registered(group)
        self.looks(group, 2)
        self.ec2.terminate_instances(InstanceIds=[target])
        self.assertEqual(self.look(group), [("unused", "Target.InvalidState")])
        self.assertEqual(self.refused(self.elb.register_targets, TargetGroupArn=group, Targets=[{"Id": target}])[0], "InvalidTarget")

    def test_what_is_in_use_stays(self):
        group = self.a_group()
        self.assertEqual(self.refused(self.elb.delete_target_group, TargetGroupArn=group)[0], "ResourceInUse")
        balancer = self.elb.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]["LoadBalancerArns"][0]
        self.elb.delete_load_balancer(LoadBalancerArn=balancer)
        self.elb.delete_target_group(TargetGroupArn=group)
        self.assertEqual(self.refused(self.elb.describe_target_health, TargetGroupArn=group)[0], "TargetGroupNotFound")

    def test_a_rule_puts_a_group_to_use(self):
        first, name = self.a_group(), self.name
        self.name += "-2"
        second = self.a_group(used=False)
        balancer = self.elb.describe_load_balancers(Names=[f"lb-{name}"])["LoadBalancers"][0]["LoadBalancerArn"]
        listener = self.elb.describe_listeners(LoadBalancerArn=balancer)["Listeners"][0]["ListenerArn"]
        rule = {"ListenerArn": listener, "Priority": 5, "Conditions": [{"Field": "path-pattern", "Values": ["/api/*"]}],
                "Actions": [{"Type": "forward", "TargetGroupArn": second}]}
        made = self.elb.create_rule(**rule)["Rules"][0]["RuleArn"]
        self.assertEqual(self.refused(self.elb.create_rule, **rule)[0], "PriorityInUse")
        self.assertEqual([one["Priority"] for one in self.elb.describe_rules(ListenerArn=listener)["Rules"]], ["5", "default"])
        self.assertEqual(self.elb.describe_target_groups(TargetGroupArns=[second])["TargetGroups"][0]["LoadBalancerArns"], [balancer])
        self.elb.delete_rule(RuleArn=made)
        self.elb.modify_listener(ListenerArn=listener, DefaultActions=[{"Type": "forward", "TargetGroupArn": second}])
        self.assertEqual(self.elb.describe_target_groups(TargetGroupArns=[first])["TargetGroups"][0]["LoadBalancerArns"], [])

    def test_names_are_taken_once(self):
        self.a_group()
        self.assertEqual(self.refused(self.elb.create_target_group, Name=self.name, VpcId="vpc-0000000d", Port=80,
                                      Protocol="HTTP")[0], "DuplicateTargetGroupName")
        self.assertEqual(self.refused(self.elb.create_load_balancer, Name=f"lb-{self.name}",
                                      Subnets=["subnet-aaaaaaaa", "subnet-bbbbbbbb"])[0], "DuplicateLoadBalancerName")
        self.assertEqual(self.refused(self.elb.describe_target_groups, Names=["gone"])[0], "TargetGroupNotFound")

    def test_tags(self):
        group = self.a_group()
        self.elb.add_tags(ResourceArns=[group], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        self.elb.remove_tags(ResourceArns=[group], TagKeys=["a"])
        self.assertEqual(self.elb.describe_tags(ResourceArns=[group])["TagDescriptions"][0]["Tags"], [{"Key": "b", "Value": "2"}])

    def test_pages(self):
        self.order(elbv2={"target_groups": [{"name": f"{self.name}-{number}"} for number in range(5)], "page": 2})
        self.addCleanup(self.order, elbv2={"page": 400})
        first = self.elb.describe_target_groups()
        self.assertEqual(len(first["TargetGroups"]), 2)
        names = [one["TargetGroupName"] for page in self.elb.get_paginator("describe_target_groups").paginate()
                 for one in page["TargetGroups"]]
        self.assertEqual(len([one for one in names if one.startswith(self.name)]), 5)


if __name__ == "__main__":
    unittest.main()
