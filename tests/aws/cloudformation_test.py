#!/usr/bin/python3
"""CloudFormation of the double: templates, stacks and change sets behave as CloudFormation's documents say."""
import json
import pathlib
import unittest

from asked import Asked

TEMPLATE = """\
AWSTemplateFormatVersion: 2010-09-09
Description: the application
Parameters:
  AmiId: {Type: 'AWS::EC2::Image::Id'}
  Size: {Type: String, Default: t3.small, AllowedValues: [t3.small, t3.large]}
  Count: {Type: Number, Default: 2, MinValue: 1, MaxValue: 4}
  Password: {Type: String, NoEcho: true, Default: hunter2, MinLength: 3}
Conditions:
  Large: !Equals [!Ref Size, t3.large]
Resources:
  Web:
    Type: AWS::EC2::Instance
    Properties:
      ImageId: !Ref AmiId
      InstanceType: !Ref Size
      UserData: !Base64
        Fn::Sub: "pw=${Password} stack=${AWS::StackName} ${!literally}"
  Address:
    Type: AWS::EC2::EIP
    Properties: {InstanceId: !Ref Web}
  Queue:
    Type: AWS::SQS::Queue
    Properties: {DelaySeconds: !Ref Count}
  Alarms:
    Type: AWS::SNS::Topic
    Condition: Large
Outputs:
  WebId: {Value: !Ref Web, Description: the instance}
  Where: {Value: !Sub 'http://${Web.PublicIp}/', Export: {Name: !Sub '${AWS::StackName}-where'}}
  Which: {Value: !Join ['-', [a, !Select [1, !Split [',', 'x,y']], !If [Large, big, small]]]}
"""
ONE = "Resources: {Web: {Type: 'AWS::EC2::Instance', Properties: {ImageId: ami-1}}}"
EMPTY = "The submitted information didn't contain changes. Submit different information to create a change set."


def given(**values):
    return [{"ParameterKey": key, "UsePreviousValue": True} if value is None else
            {"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


class CloudFormation(Asked):
    number = 0

    def setUp(self):
        CloudFormation.number += 1
        self.name = f"app{CloudFormation.number}"
        self.cfn = self.client("cloudformation")
        self.order(cloudformation={"page": 100})

    def order_cfn(self, **orders):
        self.order(cloudformation=orders)

    def a_stack(self, template=TEMPLATE, **more):
        parameters = {"AmiId": "ami-1"} if template is TEMPLATE else {}
        self.order_cfn(stacks=[{"name": self.name, "template": template, "parameters": parameters, **more}])

    def look(self, name=None):
        return self.cfn.describe_stacks(StackName=name or self.name)["Stacks"][0]

    def update(self, template=None, parameters=None, **more):
        template = {"TemplateBody": template} if template else {"UsePreviousTemplate": True}
        return self.cfn.update_stack(StackName=self.name, Parameters=parameters or [], **template, **more)

    def followed(self, name=None):
        """The states until the stack rests, each once."""
        seen = []
        for _ in range(40):
            state = self.look(name)["StackStatus"]
            if not seen or seen[-1] != state:
                seen.append(state)
            if not state.endswith("_IN_PROGRESS"):
                return seen
        self.fail(f"does not rest: {seen}")

    def events(self, name=None):
        """The oldest first."""
        return self.cfn.describe_stack_events(StackName=name or self.name)["StackEvents"][::-1]

    def told(self, name=None):
        return [(one["LogicalResourceId"], one["ResourceStatus"], one.get("ResourceStatusReason")) for one in self.events(name)]

    # --- templates and parameters ---

    def test_a_stack_from_yaml(self):
        made = self.cfn.create_stack(StackName=self.name, TemplateBody=TEMPLATE, Parameters=given(AmiId="ami-1"),
                                     Tags=[{"Key": "team", "Value": "a"}], ClientRequestToken="token-1")
        self.assertEqual(self.followed(), ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"])
        stack = self.look()
        self.assertEqual(stack["StackId"], made["StackId"])
        self.assertEqual({one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]},
                         {"AmiId": "ami-1", "Size": "t3.small", "Count": "2", "Password": "****"})
        outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
        self.assertRegex(outputs["WebId"], "^i-[0-9a-f]{17}$")
        self.assertRegex(outputs["Where"], r"^http://203\.0\.113\.\d+/$")
        self.assertEqual(outputs["Which"], "a-y-small")
        self.assertEqual(stack["Tags"], [{"Key": "team", "Value": "a"}])
        resources = self.cfn.describe_stack_resources(StackName=self.name)["StackResources"]
        self.assertEqual({one["LogicalResourceId"] for one in resources}, {"Web", "Address", "Queue"}, "no Alarms")
        self.assertTrue(all(one["ClientRequestToken"] == "token-1" for one in self.events()))
        self.assertNotIn("hunter2", json.dumps(self.events(), default=str))
        exports = {one["Name"]: one["Value"] for one in self.cfn.list_exports()["Exports"]}
        self.assertEqual(exports[f"{self.name}-where"], outputs["Where"])

    def test_a_stack_from_json(self):
        template = {"Parameters": {"P": {"Type": "CommaDelimitedList"}},
                    "Resources": {"T": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "AWS::StackName"}}}},
                    "Outputs": {"O": {"Value": {"Fn::Join": ["+", {"Ref": "P"}]}}, "T": {"Value": {"Fn::GetAtt": ["T", "Arn"]}}}}
        self.cfn.create_stack(StackName=self.name, TemplateBody=json.dumps(template), Parameters=given(P="a, b"))
        self.followed()
        self.assertEqual(self.look()["Outputs"][0]["OutputValue"], "a+b")
        self.assertEqual(self.cfn.get_template(StackName=self.name)["TemplateBody"], template)

    def test_templates_that_are_refused(self):
        for text, reason in (
                ("{", "Template format error: JSON not well-formed. (line 1, column 2)"),
                ("a: [", "Template format error: YAML not well-formed. (line 1, column 5)"),
                ("just text", "Template format error: unsupported structure."),
                ("Resources: {}", "Template format error: At least one Resources member must be defined."),
                ("Resourcez: {}", "Invalid template property or properties [Resourcez]"),
                ("Resources: {A: {Properties: {}}}",
                 "Template format error: [/Resources/A] Every Resources object must contain a Type member."),
                ("Resources: {A: {Type: 'AWS::SNS::Topic', Properties: {TopicName: !Ref gone}}}",
                 "Template format error: Unresolved resource dependencies [gone] in the Resources block of the template"),
                ("Resources: {A: {Type: 'AWS::SNS::Topic'}}\nOutputs: {O: {Value: !GetAtt gone.Arn}}",
                 "Template format error: Unresolved resource dependencies [gone] in the Outputs block of the template"),
                ("Parameters: {P: {Type: Strin}}\nResources: {A: {Type: 'AWS::SNS::Topic'}}",
                 "Template format error: Unrecognized parameter type: Strin"),
                ("Resources:\n  A: {Type: 'AWS::SNS::Topic', DependsOn: B}\n  B: {Type: 'AWS::SNS::Topic', DependsOn: A}",
                 "Circular dependency between resources: [A, B]")):
            with self.subTest(text):
                self.assertEqual(self.refused(self.cfn.validate_template, TemplateBody=text), ("ValidationError", reason, 400))

    def test_a_template_that_is_too_long(self):
        code, said, _ = self.refused(self.cfn.validate_template, TemplateBody=ONE + "\n#" + "x" * 51200)
        self.assertEqual(code, "ValidationError")
        self.assertIn("Member must have length less than or equal to 51200", said)

    def test_parameters_that_are_refused(self):
        self.a_stack()
        for parameters, reason in (
                (given(), "Parameters: [AmiId] must have values"),
                (given(AmiId="a", Other="b", More="c"), "Parameters: [Other, More] do not exist in the template"),
                (given(AmiId="a", Size="t2"), "Parameter 'Size' must be one of AllowedValues"),
                (given(AmiId="a", Count="two"), "Parameter 'Count' must be a number"),
                (given(AmiId="a", Count="5"), "Parameter 'Count' must be a number not greater than 4"),
                (given(AmiId="a", Password="x"), "Parameter 'Password' must contain at least 3 characters")):
            with self.subTest(reason):
                self.assertEqual(self.refused(self.cfn.update_stack, StackName=self.name, UsePreviousTemplate=True,
                                              Parameters=parameters)[1], reason)
        _, said, _ = self.refused(self.cfn.create_stack, StackName="other", TemplateBody=TEMPLATE, Parameters=given(AmiId=None))
        self.assertIn("Cannot specify usePreviousValue as true for a parameter key not in the previous template", said)

    def test_previous_values(self):
        self.a_stack()
        self.update(parameters=given(AmiId=None, Password="other"))
        self.followed()
        self.update(parameters=given(AmiId="ami-2", Password=None))
        self.followed()
        self.assertEqual(self.refused(self.cfn.update_stack, StackName=self.name, UsePreviousTemplate=True,
                                      Parameters=given(AmiId=None, Password="other"))[1], "No updates are to be performed.",
                         "the password was kept, not the template's default")

    def test_summaries(self):
        template = TEMPLATE.replace("Alarms:", "Role:\n    Type: AWS::IAM::Role\n  Alarms:")
        summary = self.cfn.get_template_summary(TemplateBody=template)
        self.assertEqual(summary["Capabilities"], ["CAPABILITY_IAM"])
        self.assertEqual(summary["CapabilitiesReason"], "The following resource(s) require capabilities: [AWS::IAM::Role]")
        told = {one["ParameterKey"]: one for one in summary["Parameters"]}
        self.assertEqual(told["Size"], {"ParameterKey": "Size", "ParameterType": "String", "DefaultValue": "t3.small",
                                        "NoEcho": False, "ParameterConstraints": {"AllowedValues": ["t3.small", "t3.large"]}})
        self.assertNotIn("DefaultValue", told["AmiId"])
        self.assertTrue(told["Password"]["NoEcho"])
        self.assertEqual(self.cfn.validate_template(TemplateBody=template)["Description"], "the application")

    def test_capabilities(self):
        role = "Resources: {R: {Type: 'AWS::IAM::Role', Properties: {%s}}}"
        for text, needed in ((role % "", "CAPABILITY_IAM"), (role % "RoleName: r", "CAPABILITY_NAMED_IAM"),
                             ("Transform: AWS::Serverless-2016-10-31\n" + ONE, "CAPABILITY_AUTO_EXPAND")):
            self.assertEqual(self.refused(self.cfn.create_stack, StackName=self.name, TemplateBody=text),
                             ("InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]", 400))
        self.cfn.create_stack(StackName=self.name, TemplateBody=role % "", Capabilities=["CAPABILITY_NAMED_IAM"])

    # --- stacks ---

    def test_a_stack_that_is_not_there(self):
        self.assertEqual(self.refused(self.cfn.describe_stacks, StackName="gone")[:2],
                         ("ValidationError", "Stack with id gone does not exist"))
        for call, more in ((self.cfn.update_stack, {"TemplateBody": ONE}), (self.cfn.describe_stack_events, {}),
                           (self.cfn.create_change_set, {"ChangeSetName": "c", "TemplateBody": ONE})):
            self.assertEqual(self.refused(call, StackName="gone", **more)[1], "Stack [gone] does not exist")
        self.cfn.delete_stack(StackName="gone")

    def test_a_name_that_is_taken(self):
        self.a_stack(ONE)
        self.assertEqual(self.refused(self.cfn.create_stack, StackName=self.name, TemplateBody=ONE)[:2],
                         ("AlreadyExistsException", f"Stack [{self.name}] already exists"))

    def test_a_creation_that_fails(self):
        self.order_cfn(failures=[{"stack": self.name, "resource": "Queue", "reason": "Queue quota exceeded"}])
        self.cfn.create_stack(StackName=self.name, TemplateBody=TEMPLATE, Parameters=given(AmiId="ami-1"))
        self.assertEqual(self.followed(), ["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"])
        told = self.told()
        failed = [one for one in told if one[1] == "CREATE_FAILED"]
        self.assertEqual(failed, [("Queue", "CREATE_FAILED", "Queue quota exceeded"),
                                  ("Web", "CREATE_FAILED", "Resource creation cancelled")])
        self.assertIn((self.name, "ROLLBACK_IN_PROGRESS",
                       "The following resource(s) failed to create: [Queue, Web]. Rollback requested by user."), told)
        self.assertIn("is in ROLLBACK_COMPLETE state and can not be updated.",
                      self.refused(self.cfn.update_stack, StackName=self.name, TemplateBody=ONE)[1])

    def test_on_failure(self):
        for choice, end in (("DO_NOTHING", "CREATE_FAILED"), ("DELETE", None)):
            name = f"{self.name}{choice.title().replace('_', '')}"
            self.order_cfn(failures=[{"stack": name, "resource": "Web", "reason": "no"}])
            made = self.cfn.create_stack(StackName=name, TemplateBody=ONE, OnFailure=choice)
            self.assertEqual(self.followed(made["StackId"])[-1], end or "DELETE_COMPLETE")

    def test_a_rollback_of_a_creation_that_fails(self):
        self.order_cfn(failures=[{"stack": self.name, "resource": "Address", "reason": "no address"},
                                 {"stack": self.name, "resource": "Web", "at": "delete", "reason": "termination protected"}])
        self.cfn.create_stack(StackName=self.name, TemplateBody=TEMPLATE, Parameters=given(AmiId="ami-1"))
        self.assertEqual(self.followed()[-1], "ROLLBACK_FAILED")
        self.cfn.delete_stack(StackName=self.name)
        self.assertEqual(self.followed(self.events()[0]["StackId"])[-1], "DELETE_COMPLETE")

    def test_an_update(self):
        self.a_stack()
        web = self.look()["Outputs"][0]["OutputValue"]
        self.update(parameters=given(AmiId="ami-2", Size="t3.large"),
                              ClientRequestToken="update-1")
        self.assertEqual(self.followed(), ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"])
        self.assertNotEqual(self.look()["Outputs"][0]["OutputValue"], web, "the image makes another instance")
        told = [(one["LogicalResourceId"], one["ResourceStatus"]) for one in self.events()
                if one.get("ClientRequestToken") == "update-1"]
        self.assertEqual(told[0], (self.name, "UPDATE_IN_PROGRESS"))
        self.assertIn(("Alarms", "CREATE_COMPLETE"), told)
        self.assertEqual(told[told.index((self.name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")):][1:3],
                         [("Web", "DELETE_IN_PROGRESS"), ("Web", "DELETE_COMPLETE")])
        self.assertNotIn("Queue", [name for name, _ in told], "nothing changed there")

    def test_an_update_of_nothing(self):
        self.a_stack()
        self.assertEqual(self.refused(self.cfn.update_stack, StackName=self.name, UsePreviousTemplate=True,
                                      Parameters=given(AmiId=None)), ("ValidationError", "No updates are to be performed.", 400))

    def test_an_update_that_fails(self):
        self.a_stack()
        before = self.look()
        self.order_cfn(failures=[{"stack": self.name, "resource": "Web", "reason": "The image id '[ami-2]' does not exist"}])
        self.update(parameters=given(AmiId="ami-2", Count="3"))
        self.assertEqual(self.followed(), ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS",
                                           "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"])
        failed = [one for one in self.told() if one[1] == "UPDATE_FAILED"]
        self.assertEqual(failed, [("Web", "UPDATE_FAILED", "The image id '[ami-2]' does not exist"),
                                  ("Queue", "UPDATE_FAILED", "Resource update cancelled")])
        self.assertEqual({one["ParameterKey"]: one["ParameterValue"] for one in self.look()["Parameters"]},
                         {one["ParameterKey"]: one["ParameterValue"] for one in before["Parameters"]})
        self.assertEqual(self.look()["Outputs"], before["Outputs"])

    def test_a_rollback_that_fails(self):
        self.a_stack()
        self.order_cfn(failures=[{"stack": self.name, "resource": "Address", "reason": "no address"},
                                 {"stack": self.name, "resource": "Web", "at": "rollback", "reason": "no such key"}])
        template = TEMPLATE.replace("{InstanceId: !Ref Web}", "{InstanceId: !Ref Web, Domain: vpc}")
        self.update(template, given(AmiId="ami-1", Size="t3.large"))
        self.assertEqual(self.followed()[-1], "UPDATE_ROLLBACK_FAILED")
        self.assertEqual(self.look()["StackStatusReason"], "The following resource(s) failed to update: [Web]. ")
        self.assertIn("is in UPDATE_ROLLBACK_FAILED state and can not be updated.", self.refused(
            self.cfn.create_change_set, StackName=self.name, ChangeSetName="c", TemplateBody=ONE)[1])
        self.cfn.continue_update_rollback(StackName=self.name)
        self.assertEqual(self.followed()[-1], "UPDATE_ROLLBACK_COMPLETE", "it failed once only")

    def test_resources_to_skip(self):
        self.a_stack()
        self.order_cfn(failures=[{"stack": self.name, "resource": "Address", "reason": "no address"},
                                 {"stack": self.name, "resource": "Web", "at": "rollback", "reason": "no such key", "times": 9}])
        template = TEMPLATE.replace("{InstanceId: !Ref Web}", "{InstanceId: !Ref Web, Domain: vpc}")
        self.update(template, given(AmiId="ami-1", Size="t3.large"))
        self.followed()
        self.cfn.continue_update_rollback(StackName=self.name)
        self.assertEqual(self.followed()[-1], "UPDATE_ROLLBACK_FAILED")
        _, said, _ = self.refused(self.cfn.continue_update_rollback, StackName=self.name, ResourcesToSkip=["Queue"])
        self.assertIn("[Queue]", said)
        self.cfn.continue_update_rollback(StackName=self.name, ResourcesToSkip=["Web"])
        self.assertEqual(self.followed()[-1], "UPDATE_ROLLBACK_COMPLETE")
        self.assertEqual(self.refused(self.cfn.continue_update_rollback, StackName=self.name)[1],
                         "RollbackUpdatedStack cannot be called from current stack status")

    def test_a_cancelled_update(self):
        self.a_stack()
        self.assertEqual(self.refused(self.cfn.cancel_update_stack, StackName=self.name)[1],
                         "CancelUpdateStack cannot be called from current stack status")
        self.update(parameters=given(AmiId="ami-2"))
        self.look()
        self.cfn.cancel_update_stack(StackName=self.name)
        self.assertEqual(self.followed()[-1], "UPDATE_ROLLBACK_COMPLETE")
        self.assertIn(("Web", "UPDATE_FAILED", "Resource update cancelled"), self.told())

    def test_a_failed_update_that_is_kept(self):
        self.a_stack()
        self.order_cfn(failures=[{"stack": self.name, "resource": "Web", "reason": "no"}])
        self.update(parameters=given(AmiId="ami-2"), DisableRollback=True)
        self.assertEqual(self.followed()[-1], "UPDATE_FAILED")
        self.cfn.rollback_stack(StackName=self.name)
        self.assertEqual(self.followed()[-1], "UPDATE_ROLLBACK_COMPLETE")
        self.assertIn(("AmiId", "ami-1"), [(one["ParameterKey"], one["ParameterValue"]) for one in self.look()["Parameters"]])

    def test_a_busy_stack(self):
        self.a_stack()
        self.order_cfn(busy=[{"stack": self.name, "looks": 3}])
        code, said, _ = self.refused(self.cfn.update_stack, StackName=self.name, TemplateBody=ONE)
        self.assertRegex(said, r"^Stack:arn:aws:cloudformation:.* is in UPDATE_IN_PROGRESS state and can not be updated\.$")
        self.assertRegex(self.refused(self.cfn.create_change_set, StackName=self.name, ChangeSetName="c", TemplateBody=ONE)[1],
                         "is in UPDATE_IN_PROGRESS state")
        self.assertEqual([self.look()["StackStatus"] for _ in range(3)],
                         ["UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "CREATE_COMPLETE"])

    def test_a_status_that_was_ordered(self):
        for status in ("ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "DELETE_FAILED"):
            self.order_cfn(stacks=[{"name": f"{self.name}{status.replace('_', '')}", "template": ONE, "status": status}])
            self.assertEqual(self.look(f"{self.name}{status.replace('_', '')}")["StackStatus"], status)

    def test_deletion(self):
        self.order_cfn(stacks=[{"name": self.name, "protected": True, "parameters": {"AmiId": "ami-1"}, "template":
                                TEMPLATE.replace("Type: AWS::SQS::Queue", "Type: AWS::SQS::Queue\n    DeletionPolicy: Retain")}])
        stack = self.look()["StackId"]
        self.assertEqual(self.refused(self.cfn.delete_stack, StackName=self.name)[1],
                         f"Stack [{self.name}] cannot be deleted while TerminationProtection is enabled")
        self.cfn.update_termination_protection(StackName=self.name, EnableTerminationProtection=False)
        self.cfn.delete_stack(StackName=self.name, ClientRequestToken="delete-1")
        self.assertEqual(self.followed(stack), ["DELETE_IN_PROGRESS", "DELETE_COMPLETE"])
        told = [(name, status) for name, status, _ in self.told(stack)]
        self.assertIn(("Queue", "DELETE_SKIPPED"), told)
        self.assertLess(told.index(("Address", "DELETE_COMPLETE")), told.index(("Web", "DELETE_IN_PROGRESS")))
        self.assertIn("does not exist", self.refused(self.cfn.describe_stacks, StackName=self.name)[1])
        self.cfn.create_stack(StackName=self.name, TemplateBody=ONE)  # the name is free again

    def test_a_deletion_that_fails(self):
        self.a_stack()
        self.order_cfn(failures=[{"stack": self.name, "resource": "Web", "at": "delete", "reason": "in use", "times": 2}])
        self.cfn.delete_stack(StackName=self.name)
        self.assertEqual(self.followed()[-1], "DELETE_FAILED")
        stack = self.look()["StackId"]
        self.cfn.delete_stack(StackName=self.name, RetainResources=["Web"])
        self.assertEqual(self.followed(stack)[-1], "DELETE_COMPLETE")

    def test_pages_of_events(self):
        self.a_stack()
        every = self.events()[::-1]
        self.order_cfn(page=4)
        first = self.cfn.describe_stack_events(StackName=self.name)
        self.assertEqual(len(first["StackEvents"]), 4)
        pages = self.cfn.get_paginator("describe_stack_events").paginate(StackName=self.name)
        self.assertEqual([one["EventId"] for page in pages for one in page["StackEvents"]], [one["EventId"] for one in every])

    def test_events_that_come_between_two_pages(self):
        self.a_stack()
        every = [one["EventId"] for one in self.events()[::-1]]
        self.order_cfn(page=4)
        first = self.cfn.describe_stack_events(StackName=self.name)
        self.cfn.delete_stack(StackName=self.name)
        second = self.cfn.describe_stack_events(StackName=self.name, NextToken=first["NextToken"])
        self.assertEqual([one["EventId"] for one in second["StackEvents"]], every[4:8])
        _, said, _ = self.refused(self.cfn.describe_stack_events, StackName=self.name, NextToken="what")
        self.assertEqual(said, "Invalid NextToken")

    def test_a_token_is_of_one_call(self):
        self.a_stack()
        self.update(parameters=given(AmiId="ami-2"), ClientRequestToken=self.name)
        count = len(self.events())
        self.update(parameters=given(AmiId="ami-2"), ClientRequestToken=self.name)
        self.assertEqual([status for name, status, _ in self.told() if name == self.name].count("UPDATE_IN_PROGRESS"), 1, count)
        self.assertEqual(self.refused(self.cfn.delete_stack, StackName=self.name, ClientRequestToken=self.name)[0],
                         "TokenAlreadyExistsException")

    def test_the_stacks_policy(self):
        deny = {"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
                              {"Effect": "Deny", "Action": "Update:Replace", "Principal": "*",
                               "Resource": "LogicalResourceId/Web"}]}
        self.a_stack()
        self.cfn.set_stack_policy(StackName=self.name, StackPolicyBody=json.dumps(deny))
        self.update(parameters=given(AmiId="ami-2"))
        self.assertEqual(self.followed()[-1], "UPDATE_ROLLBACK_COMPLETE")
        self.assertIn(("Web", "UPDATE_FAILED", "Action denied by stack policy: Statement [#2] does not allow [Update:Replace] "
                       "for resource [LogicalResourceId/Web]"), self.told())
        self.update(parameters=given(AmiId="ami-2"),
                              StackPolicyDuringUpdateBody=json.dumps({"Statement": [deny["Statement"][0]]}))
        self.assertEqual(self.followed()[-1], "UPDATE_COMPLETE")

    def test_nested_stacks(self):
        url = "https://s3.eu-west-1.amazonaws.com/templates/inner.yaml"
        inner = """
Parameters: {Ami: {Type: String}}
Resources: {I: {Type: 'AWS::EC2::Instance', Properties: {ImageId: !Ref Ami}}}
Outputs: {Id: {Value: !Ref I}}"""
        outer = f"""
Parameters: {{Ami: {{Type: String}}}}
Resources:
  Inner: {{Type: 'AWS::CloudFormation::Stack', Properties: {{TemplateURL: '{url}', Parameters: {{Ami: !Ref Ami}}}}}}
Outputs: {{Id: {{Value: !GetAtt Inner.Outputs.Id}}}}"""
        self.order_cfn(templates={url: inner})
        self.cfn.create_stack(StackName=self.name, TemplateBody=outer, Parameters=given(Ami="ami-1"))
        self.assertEqual(self.followed()[-1], "CREATE_COMPLETE")
        first = self.look()["Outputs"][0]["OutputValue"]
        self.assertRegex(first, "^i-")
        child = self.cfn.describe_stack_resources(StackName=self.name)["StackResources"][0]["PhysicalResourceId"]
        self.assertEqual(self.look(child)["ParentId"], self.look()["StackId"])
        self.order_cfn(failures=[{"stack": f"{self.name}-Inner-*", "resource": "I", "reason": "The image id does not exist"}])
        self.update(outer, given(Ami="ami-2"))
        self.assertEqual(self.followed()[-1], "UPDATE_ROLLBACK_COMPLETE")
        self.assertIn(("I", "UPDATE_FAILED", "The image id does not exist"), self.told(child))
        self.assertTrue(any(name == "Inner" and status == "UPDATE_FAILED" and "was not successfully updated" in reason
                            for name, status, reason in self.told() if reason), self.told())
        self.update(outer, given(Ami="ami-2"))
        self.assertEqual(self.followed()[-1], "UPDATE_COMPLETE")
        self.assertNotEqual(self.look()["Outputs"][0]["OutputValue"], first)

    def test_a_template_from_a_bucket(self):
        self.order(s3={"buckets": [{"name": "templates"}], "objects": [{"bucket": "templates", "key": "a b.yaml", "body": ONE}]})
        for number, place in enumerate(("https://templates.s3.eu-west-1.amazonaws.com", f"{self.url}/templates")):
            url = f"{place}/a%20b.yaml"
            self.cfn.create_stack(StackName=f"{self.name}-{number}", TemplateURL=url)
            self.assertEqual(self.followed(f"{self.name}-{number}")[-1], "CREATE_COMPLETE")
        self.assertIn("S3 error: Access Denied", self.refused(
            self.cfn.validate_template, TemplateURL="https://templates.s3.eu-west-1.amazonaws.com/gone.yaml")[1])

    def test_a_template_at_a_url_that_is_too_long(self):
        self.order_cfn(templates={f"http://templates/{name}": ONE + "\n#" + "x" * size
                                  for name, size in (("long", 51200), ("too", 10**6))})
        self.cfn.validate_template(TemplateURL="http://templates/long")
        self.assertEqual(self.refused(self.cfn.validate_template, TemplateURL="http://templates/too")[1],
                         "Template may not exceed 1000000 bytes in size.")

    def test_drift_by_hand(self):
        self.a_stack()
        self.order_cfn(drift=[{"stack": self.name, "resource": "Queue", "properties": {"DelaySeconds": 9}}])
        self.assertEqual(self.look()["DriftInformation"]["StackDriftStatus"], "NOT_CHECKED")
        number = self.cfn.detect_stack_drift(StackName=self.name)["StackDriftDetectionId"]
        status = self.cfn.describe_stack_drift_detection_status(StackDriftDetectionId=number)
        self.assertEqual((status["StackDriftStatus"], status["DriftedStackResourceCount"]), ("DRIFTED", 1))
        self.assertEqual(self.look()["DriftInformation"]["StackDriftStatus"], "DRIFTED")
        drifts = self.cfn.describe_stack_resource_drifts(StackName=self.name, StackResourceDriftStatusFilters=["MODIFIED"])
        self.assertEqual(drifts["StackResourceDrifts"][0]["PropertyDifferences"][0]["ActualValue"], "9")

    # --- change sets ---

    def a_change_set(self, name="c1", rest=True, **params):
        params.setdefault("StackName", self.name)
        if "TemplateBody" not in params:
            params["UsePreviousTemplate"] = True
        made = self.cfn.create_change_set(ChangeSetName=name, **params)
        return self.rested(made["Id"]) if rest else made

    def rested(self, name):
        for _ in range(5):
            one = self.cfn.describe_change_set(ChangeSetName=name)
            if not one["Status"].endswith(("PENDING", "IN_PROGRESS")):
                return one
        self.fail(one["Status"])

    def test_a_change_set(self):
        self.a_stack()
        made = self.a_change_set(rest=False, Parameters=given(AmiId="ami-2", Size="t3.large"), Description="why")
        first = self.cfn.describe_change_set(ChangeSetName="c1", StackName=self.name)
        self.assertEqual((first["Status"], first["ExecutionStatus"], first["Changes"]), ("CREATE_IN_PROGRESS", "UNAVAILABLE", []))
        self.assertEqual(self.refused(self.cfn.execute_change_set, ChangeSetName="c1", StackName=self.name)[:2], (
            "InvalidChangeSetStatus",
            f"ChangeSet [{made['Id']}] cannot be executed in its current status of [CREATE_IN_PROGRESS]"))
        one = self.rested(made["Id"])
        self.assertEqual((one["Status"], one["ExecutionStatus"], one["Description"]), ("CREATE_COMPLETE", "AVAILABLE", "why"))
        changes = {change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"] for change in one["Changes"]}
        self.assertEqual({name: (change["Action"], change.get("Replacement")) for name, change in changes.items()}, {
            "Web": ("Modify", "True"), "Address": ("Modify", "False"), "Alarms": ("Add", None)})
        details = changes["Web"]["Details"]
        self.assertIn({"Target": {"Attribute": "Properties", "Name": "ImageId", "RequiresRecreation": "Always"},
                       "Evaluation": "Static", "ChangeSource": "ParameterReference", "CausingEntity": "AmiId"}, details)
        self.assertIn({"Target": {"Attribute": "Properties", "Name": "ImageId", "RequiresRecreation": "Always"},
                       "Evaluation": "Dynamic", "ChangeSource": "DirectModification"}, details)
        self.assertEqual(changes["Address"]["Details"][0]["ChangeSource"], "ResourceReference")
        self.assertEqual(changes["Address"]["Details"][0]["Evaluation"], "Dynamic")
        self.assertEqual(self.look()["StackStatus"], "CREATE_COMPLETE", "nothing has happened yet")
        self.cfn.execute_change_set(ChangeSetName=made["Id"], ClientRequestToken=f"{self.name}-go")
        self.cfn.execute_change_set(ChangeSetName=made["Id"], ClientRequestToken=f"{self.name}-go")  # the same call again
        self.assertEqual(self.rested(made["Id"])["ExecutionStatus"], "EXECUTE_IN_PROGRESS")
        self.assertEqual(self.followed()[-1], "UPDATE_COMPLETE")
        self.assertEqual(self.rested(made["Id"])["ExecutionStatus"], "EXECUTE_COMPLETE")
        self.assertEqual(self.look()["ChangeSetId"], made["Id"])
        self.assertTrue(any(event.get("ClientRequestToken") == f"{self.name}-go" for event in self.events()))

    def test_replacement(self):
        self.a_stack()
        for parameters, wanted in ((given(AmiId="ami-2"), "True"), (given(AmiId=None, Size="t3.large"), "Conditional"),
                                   (given(AmiId=None, Count="3"), "False")):
            one = self.a_change_set(name=f"c{wanted}", Parameters=parameters)
            self.assertEqual(one["Changes"][0]["ResourceChange"]["Replacement"], wanted)
        template = TEMPLATE.replace("  Queue:\n", "  Other:\n")
        one = self.a_change_set(name="moved", TemplateBody=template, Parameters=given(AmiId=None))
        self.assertEqual({(change["ResourceChange"]["Action"], change["ResourceChange"]["LogicalResourceId"])
                          for change in one["Changes"]}, {("Add", "Other"), ("Remove", "Queue")})

    def test_values_of_changed_properties(self):
        self.a_stack()
        made = self.a_change_set(Parameters=given(AmiId="ami-2", Password="secret-new"))
        one = self.cfn.describe_change_set(ChangeSetName=made["ChangeSetId"], IncludePropertyValues=True)
        details = one["Changes"][0]["ResourceChange"]["Details"]
        self.assertEqual(details[0]["Target"]["BeforeValue"], "ami-1")
        self.assertEqual(details[0]["Target"]["AfterValue"], "ami-2")
        self.assertNotIn("secret-new", json.dumps(one, default=str))
        self.assertIn({"ParameterKey": "Password", "ParameterValue": "****"}, one["Parameters"])

    def test_an_empty_change_set(self):
        self.a_stack()
        one = self.a_change_set(Parameters=given(AmiId=None))
        self.assertEqual((one["Status"], one["ExecutionStatus"], one["StatusReason"]), ("FAILED", "UNAVAILABLE", EMPTY))
        self.assertEqual(self.refused(self.cfn.execute_change_set, ChangeSetName=one["ChangeSetId"])[0], "InvalidChangeSetStatus")
        self.cfn.delete_change_set(ChangeSetName=one["ChangeSetId"])
        self.assertEqual(self.refused(self.cfn.describe_change_set, ChangeSetName="c1", StackName=self.name),
                         ("ChangeSetNotFound", "ChangeSet [c1] does not exist", 404))

    def test_an_empty_change_set_of_a_transformed_template(self):
        template = "Transform: AWS::Serverless-2016-10-31\n" + ONE
        self.a_stack(template, capabilities=["CAPABILITY_AUTO_EXPAND"])
        one = self.a_change_set(TemplateBody=template, Capabilities=["CAPABILITY_AUTO_EXPAND"])
        self.assertEqual((one["Status"], one["StatusReason"]), ("FAILED", "No updates are to be performed."))

    def test_a_change_of_outputs_alone(self):
        self.a_stack()
        one = self.a_change_set(TemplateBody=TEMPLATE + "  More: {Value: more}\n", Parameters=given(AmiId=None))
        self.assertEqual((one["Status"], one["Changes"]), ("CREATE_COMPLETE", []))

    def test_a_change_set_that_creates(self):
        one = self.a_change_set(TemplateBody=TEMPLATE, Parameters=given(AmiId="ami-1"), ChangeSetType="CREATE")
        self.assertEqual(self.look()["StackStatus"], "REVIEW_IN_PROGRESS")
        self.assertEqual({change["ResourceChange"]["Action"] for change in one["Changes"]}, {"Add"})
        self.assertIn("is in REVIEW_IN_PROGRESS state and can not be updated.", self.refused(
            self.cfn.create_change_set, StackName=self.name, ChangeSetName="u", TemplateBody=ONE)[1])
        self.cfn.execute_change_set(ChangeSetName=one["ChangeSetId"])
        self.assertEqual(self.followed(), ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"])
        self.assertIn("already exists and cannot be created again with the changeSet [n].", self.refused(
            self.cfn.create_change_set, StackName=self.name, ChangeSetName="n", TemplateBody=ONE, ChangeSetType="CREATE")[1])

    def test_an_obsolete_change_set(self):
        self.a_stack()
        mine = self.a_change_set("mine", Parameters=given(AmiId="ami-2"))["ChangeSetId"]
        self.order_cfn(changed=[{"stack": self.name, "parameters": {"Count": "3"}}])
        self.assertEqual(self.rested(mine)["ExecutionStatus"], "OBSOLETE")
        self.assertEqual(self.refused(self.cfn.execute_change_set, ChangeSetName=mine)[:2], (
            "InvalidChangeSetStatus", f"ChangeSet [{mine}] cannot be executed in its current execution status of [OBSOLETE]"))
        first = self.a_change_set("first", Parameters=given(AmiId="ami-3", Count=None))["ChangeSetId"]
        second = self.a_change_set("second", Parameters=given(AmiId="ami-4", Count=None))["ChangeSetId"]
        self.cfn.execute_change_set(ChangeSetName=first)
        self.assertEqual(self.rested(second)["ExecutionStatus"], "OBSOLETE")
        self.followed()
        self.assertEqual(self.refused(self.cfn.describe_change_set, ChangeSetName=second)[0], "ChangeSetNotFound")
        self.assertEqual(self.rested(first)["ExecutionStatus"], "EXECUTE_COMPLETE")
        self.a_change_set("first", Parameters=given(AmiId="ami-5", Count=None))  # its name is free again

    def test_the_name_of_a_change_set(self):
        self.a_stack()
        asked = {"Parameters": given(AmiId="ami-2"), "ClientToken": "t1"}
        first = self.a_change_set(rest=False, **asked)
        self.assertEqual(self.a_change_set(rest=False, **asked)["Id"], first["Id"], "the same request again")
        asked = {"StackName": self.name, "ChangeSetName": "c1", "UsePreviousTemplate": True, "ClientToken": "t1"}
        self.assertEqual(self.refused(self.cfn.create_change_set, Parameters=given(AmiId="ami-3"), **asked)[:2], (
            "AlreadyExistsException", "ChangeSet c1 cannot be created due to a mismatch with existing attribute Parameters"))
        self.assertIn("regular expression pattern", self.refused(
            self.cfn.create_change_set, StackName=self.name, ChangeSetName="1_", UsePreviousTemplate=True)[1])
        self.assertEqual([one["ChangeSetName"] for one in self.cfn.list_change_sets(StackName=self.name)["Summaries"]], ["c1"])

    def test_a_new_stack_that_fails(self):
        for choice, end in (("DELETE", "DELETE_COMPLETE"), ("DO_NOTHING", "CREATE_FAILED"), ("ROLLBACK", "ROLLBACK_COMPLETE")):
            name = f"{self.name}{choice[:2]}"
            self.order_cfn(failures=[{"stack": name, "resource": "Web", "reason": "no"}])
            one = self.a_change_set(StackName=name, TemplateBody=ONE, ChangeSetType="CREATE", OnStackFailure=choice)
            self.assertIn("OnStackFailure", self.refused(self.cfn.execute_change_set, ChangeSetName=one["ChangeSetId"],
                                                         DisableRollback=False)[1])
            self.cfn.execute_change_set(ChangeSetName=one["ChangeSetId"])
            self.assertEqual(self.followed(one["StackId"])[-1], end)
            self.assertEqual(self.rested(one["ChangeSetId"])["ExecutionStatus"], "EXECUTE_FAILED")

    def test_pages_of_changes(self):
        resources = "".join(f"  T{number}: {{Type: 'AWS::SNS::Topic'}}\n" for number in range(5))
        self.order_cfn(page=2)
        one = self.a_change_set(TemplateBody="Resources:\n" + resources, ChangeSetType="CREATE")
        self.assertEqual(len(one["Changes"]), 2)
        second = self.cfn.describe_change_set(ChangeSetName=one["ChangeSetId"], NextToken=one["NextToken"])
        third = self.cfn.describe_change_set(ChangeSetName=one["ChangeSetId"], NextToken=second["NextToken"])
        self.assertEqual((len(second["Changes"]), len(third["Changes"])), (2, 1))
        self.assertNotIn("NextToken", third)

    def test_a_change_set_that_fails_or_takes_long(self):
        self.a_stack()
        self.order_cfn(change_sets=[{"stack": self.name, "looks": 4, "fails": "Internal Failure"}])
        made = self.a_change_set(rest=False, Parameters=given(AmiId="ami-2"))
        looks = [self.cfn.describe_change_set(ChangeSetName=made["Id"])["Status"] for _ in range(4)]
        self.assertEqual(looks, ["CREATE_IN_PROGRESS"] * 3 + ["FAILED"])

    def test_debians_aws_deploys(self):
        template = pathlib.Path(self.directory.name, "template.yaml")
        template.write_text(TEMPLATE, encoding="utf-8")
        self.order_cfn(change_sets=[{"looks": 1}])
        code, said, errors, _ = self.aws("cloudformation", "deploy", "--stack-name", self.name, "--template-file", str(template),
                                         "--parameter-overrides", "AmiId=ami-1", "--no-execute-changeset")
        self.assertEqual(code, 0, errors)
        self.assertIn("describe-change-set --change-set-name arn:aws:cloudformation:", said)
        code, _, errors, _ = self.aws("cloudformation", "describe-stacks", "--stack-name", "gone")
        self.assertEqual(code, 254)
        self.assertIn("(ValidationError) when calling the DescribeStacks operation: Stack with id gone does not exist", errors)


if __name__ == "__main__":
    unittest.main()
