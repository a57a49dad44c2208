#!/usr/bin/python3
"""The double, asked by Debian's `aws`: that it takes what AWS takes and refuses what AWS refuses."""
import unittest

from asked import Asked


class Client(Asked):
    def understood(self, *arguments):
        """The parameters of a call that the double understood, whether or not it does it."""
        _, _, said, notes = self.aws(*arguments)
        self.assertIn("params", notes[-1], said)  # they are noted once the signature and the model have let them pass
        return notes[-1]["service"], notes[-1]["operation"], notes[-1]["params"]

    def test_a_right_signature(self):
        code, answer, said, _ = self.aws("sts", "get-caller-identity")
        self.assertEqual(code, 0, said)
        self.assertEqual(answer["Account"], "123456789012")

    def test_a_wrong_secret(self):
        code, _, said, _ = self.aws("sts", "get-caller-identity", secret="wrong")
        self.assertNotEqual(code, 0)
        self.assertIn("SignatureDoesNotMatch", said)

    def test_an_unknown_key(self):
        self.assertIn("InvalidClientTokenId", self.aws("sts", "get-caller-identity", key="AKIDOTHER")[2])

    def test_a_session(self):
        _, session, _, _ = self.aws("sts", "assume-role", "--role-arn", "arn:aws:iam::123456789012:role/x",
                                    "--role-session-name", "me")
        key = session["Credentials"]
        _, who, _, _ = self.aws("sts", "get-caller-identity", key=key["AccessKeyId"], secret=key["SecretAccessKey"],
                                token=key["SessionToken"])
        self.assertEqual(who["Arn"], "arn:aws:sts::123456789012:assumed-role/x/me")
        _, _, said, _ = self.aws("sts", "get-caller-identity", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
        self.assertIn("InvalidClientTokenId", said, "without its token")

    def test_an_unsigned_web_identity(self):
        code, answer, said, _ = self.aws("sts", "assume-role-with-web-identity", "--role-arn",
                                         "arn:aws:iam::123456789012:role/x", "--role-session-name", "me",
                                         "--web-identity-token", "a.b.c")
        self.assertEqual(code, 0, said)
        self.assertTrue(answer["Credentials"]["AccessKeyId"].startswith("ASIA"))

    def test_json(self):
        params = self.understood("ecs", "describe-services", "--cluster", "c", "--services", "a", "b", "--include", "TAGS")
        self.assertEqual(params, ("ecs", "DescribeServices", {"cluster": "c", "services": ["a", "b"], "include": ["TAGS"]}))

    def test_query(self):
        params = self.understood("cloudformation", "create-change-set", "--stack-name", "s", "--change-set-name", "c1",
                                 "--use-previous-template", "--capabilities", "CAPABILITY_IAM", "--parameters",
                                 "ParameterKey=A,ParameterValue=ami-1", "ParameterKey=B,UsePreviousValue=true")
        self.assertEqual(params[2], {
            "StackName": "s", "ChangeSetName": "c1", "UsePreviousTemplate": True, "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [{"ParameterKey": "A", "ParameterValue": "ami-1"},
                           {"ParameterKey": "B", "UsePreviousValue": True}]})

    def test_ec2(self):
        params = self.understood("ec2", "create-launch-template-version", "--launch-template-id", "lt-1",
                                 "--launch-template-data",
                                 '{"ImageId":"ami-1","TagSpecifications":[{"ResourceType":"instance",'
                                 '"Tags":[{"Key":"k","Value":"v"}]}]}')
        self.assertEqual(params[2]["LaunchTemplateData"], {
            "ImageId": "ami-1",
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}]})

    def test_rest(self):
        params = self.understood("s3api", "put-object", "--bucket", "b", "--key", "a b/ü+~(1)//x.bin", "--metadata",
                                 "git=abc", "--body", __file__)
        self.assertEqual(params[:2], ("s3", "PutObject"))
        self.assertEqual(params[2]["Key"], "a b/ü+~(1)//x.bin")
        self.assertEqual(params[2]["Metadata"], {"git": "abc"})
        self.assertEqual(self.understood("s3api", "create-multipart-upload", "--bucket", "b", "--key", "k")[1],
                         "CreateMultipartUpload")
        self.assertEqual(self.understood("s3api", "list-objects-v2", "--bucket", "b", "--prefix", "p/")[2],
                         {"Bucket": "b", "Prefix": "p/", "EncodingType": "url"})

    def test_other_services(self):
        self.assertEqual(self.understood("elbv2", "describe-target-health", "--target-group-arn", "a")[0], "elbv2")
        self.assertEqual(self.understood("logs", "describe-log-groups")[0], "logs")
        self.assertEqual(self.understood("ecr", "get-authorization-token")[0], "ecr")
        self.assertEqual(self.understood("cloudwatch", "describe-alarms", "--alarm-names", "a")[0], "cloudwatch")
        self.assertEqual(self.understood("autoscaling", "start-instance-refresh", "--auto-scaling-group-name", "g",
                                         "--preferences", '{"MinHealthyPercentage":90}')[2],
                         {"AutoScalingGroupName": "g", "Preferences": {"MinHealthyPercentage": 90}})

    def an_ecs(self, **orders):
        definition = {"family": "app", "containerDefinitions": [{"name": "app", "image": "app:1"}]}
        self.order(ecs={"clusters": ["c"], "services": [
            {"cluster": "c", "name": "app", "desired": 2, "task_definition": definition}], **orders})

    def rolled(self):
        """The verdict of a deployment by Debian's client: what the PRIMARY is at each look."""
        _, made, said, _ = self.aws("ecs", "register-task-definition", "--family", "app", "--container-definitions",
                                    '[{"name":"app","image":"app:2"}]')
        arn = made["taskDefinition"]["taskDefinitionArn"]
        _, updated, said, _ = self.aws("ecs", "update-service", "--cluster", "c", "--service", "app",
                                       "--task-definition", arn)
        first = updated["service"]["deployments"][0]["id"]
        seen = []
        for _ in range(3):
            _, answer, said, _ = self.aws("ecs", "describe-services", "--cluster", "c", "--services", "app")
            primary = answer["services"][0]["deployments"][0]
            seen.append((primary["id"] == first, primary["taskDefinition"] == arn, primary.get("rolloutState")))
        return seen

    def test_ecs_deployment_that_succeeds(self):
        self.an_ecs()
        self.assertEqual(self.rolled(), [(True, True, "IN_PROGRESS"), (True, True, "IN_PROGRESS"), (True, True, "COMPLETED")])

    def test_ecs_deployment_that_the_circuit_breaker_rolls_back(self):
        self.an_ecs(deployments=[{"scenario": "rollback"}])
        self.assertEqual(self.rolled(), [(True, True, "IN_PROGRESS"), (False, False, "IN_PROGRESS"), (False, False, "COMPLETED")])
        _, stopped, said, _ = self.aws("ecs", "list-tasks", "--cluster", "c", "--service-name", "app",
                                       "--desired-status", "STOPPED")
        self.assertTrue(stopped["taskArns"], said)

    def test_ecs_task(self):
        self.an_ecs(tasks=[{"exit": {"app": 3}}])
        _, run, said, _ = self.aws("ecs", "run-task", "--cluster", "c", "--task-definition", "app", "--started-by", "me")
        arn = run["tasks"][0]["taskArn"]
        looks = [self.aws("ecs", "describe-tasks", "--cluster", "c", "--tasks", arn)[1]["tasks"][0] for _ in range(2)]
        self.assertEqual([look["lastStatus"] for look in looks], ["RUNNING", "STOPPED"])
        self.assertEqual(looks[1]["containers"][0]["exitCode"], 3)

    def test_ecs_without_the_cluster(self):
        self.assertIn("ClusterNotFoundException", self.aws("ecs", "list-tasks", "--cluster", "gone")[2])

    def test_a_throttled_call_is_repeated_by_a_real_client(self):
        self.order(faults=[{"operation": "GetCallerIdentity", "code": "Throttling", "message": "Rate exceeded"}])
        code, _, said, notes = self.aws("sts", "get-caller-identity", environment={"AWS_RETRY_MODE": "standard"})
        self.assertEqual(code, 0, said)
        self.assertEqual([note["outcome"] for note in notes], [" fault", "done"])


if __name__ == "__main__":
    unittest.main()
