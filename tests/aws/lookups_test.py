#!/usr/bin/python3
"""What is looked up before a deployment: roles of IAM, parameters of SSM, secrets of Secrets Manager."""
import unittest

from asked import Asked


class Lookups(Asked):
    def test_roles(self):
        iam = self.client("iam")
        self.order(iam={"roles": [{"name": "task"}]})
        role = iam.get_role(RoleName="task")["Role"]
        self.assertEqual(role["Arn"], "arn:aws:iam::123456789012:role/task")
        self.assertEqual(role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"], {"Service": "ecs-tasks.amazonaws.com"})
        self.assertEqual(self.refused(iam.get_role, RoleName="gone"),
                         ("NoSuchEntity", "The role with name gone cannot be found.", 404))

    def test_parameters(self):
        ssm = self.client("ssm")
        self.order(ssm={"parameters": [{"name": "/app/ami", "value": "ami-7"},
                                       {"name": "/app/db", "value": "secret", "type": "SecureString"}]})
        self.assertEqual(ssm.get_parameter(Name="/app/ami")["Parameter"]["Value"], "ami-7")
        self.assertNotEqual(ssm.get_parameter(Name="/app/db")["Parameter"]["Value"], "secret")
        found = ssm.get_parameters(Names=["arn:aws:ssm:eu-west-1:123456789012:parameter/app/db", "/gone"], WithDecryption=True)
        self.assertEqual((found["Parameters"][0]["Value"], found["InvalidParameters"]), ("secret", ["/gone"]))
        self.assertEqual(self.refused(ssm.get_parameter, Name="/gone")[0], "ParameterNotFound")
        self.assertEqual(self.refused(ssm.put_parameter, Name="/app/ami", Value="x", Type="String")[0], "ParameterAlreadyExists")
        self.assertEqual(ssm.put_parameter(Name="/app/ami", Value="ami-8", Type="String", Overwrite=True)["Version"], 2)

    def test_a_templates_parameter_that_names_one(self):
        self.order(ssm={"parameters": [{"name": "/app/image", "value": "ami-9"}]})
        cfn = self.client("cloudformation")
        template = ("Parameters: {Ami: {Type: 'AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>', Default: /app/image}}\n"
                    "Resources: {W: {Type: 'AWS::EC2::Instance', Properties: {ImageId: !Ref Ami}}}\n"
                    "Outputs: {A: {Value: !Ref Ami}}")
        cfn.create_stack(StackName="resolved", TemplateBody=template)
        for _ in range(4):
            stack = cfn.describe_stacks(StackName="resolved")["Stacks"][0]
        self.assertEqual(stack["Parameters"], [{"ParameterKey": "Ami", "ParameterValue": "/app/image", "ResolvedValue": "ami-9"}])
        self.assertEqual(stack["Outputs"][0]["OutputValue"], "ami-9")
        template = template.replace("/app/image", "/gone")
        self.assertEqual(self.refused(cfn.create_stack, StackName="other", TemplateBody=template)[1],
                         "Unable to fetch parameters [/gone] from parameter store for this account.")

    def test_secrets(self):
        secrets = self.client("secretsmanager")
        self.order(secretsmanager={"secrets": [{"name": "app/db", "value": "x"}, {"name": "old", "value": "y", "deleted": True}]})
        arn = secrets.describe_secret(SecretId="app/db")["ARN"]
        self.assertEqual(secrets.get_secret_value(SecretId=arn[:-7])["SecretString"], "x")
        self.assertEqual(self.refused(secrets.describe_secret, SecretId="gone")[:2],
                         ("ResourceNotFoundException", "Secrets Manager can't find the specified secret."))
        self.assertIn("DeletedDate", secrets.describe_secret(SecretId="old"))
        self.assertEqual(self.refused(secrets.get_secret_value, SecretId="old")[0], "InvalidRequestException")

    def test_debians_aws(self):
        self.order(iam={"roles": [{"name": "task"}]})
        code, answer, said, _ = self.aws("iam", "get-role", "--role-name", "task")
        self.assertEqual(code, 0, said)
        self.assertEqual(answer["Role"]["RoleName"], "task")


if __name__ == "__main__":
    unittest.main()
