#!/usr/bin/python3
"""EC2 of the double: images, instances and launch templates behave as EC2's documents say."""
import unittest

from asked import Asked

BASE = "ami-0b45e0b45e0b45e01"


class Ec2(Asked):
    def setUp(self):
        self.ec2 = self.client("ec2")
        self.order(ec2={"images": [{"id": BASE, "name": f"base of {self.id()}", "tags": {"role": "base"}}]})

    def an_image(self, name, **order):
        """A new image, made of an instance, by the call; in the answer it is pending."""
        self.order(ec2={"bakes": [order]} if order else {})
        instance = self.ec2.run_instances(ImageId=BASE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        self.ec2.describe_instances(InstanceIds=[instance])
        return self.ec2.create_image(InstanceId=instance, Name=name)["ImageId"]

    def state(self, image):
        return self.ec2.describe_images(ImageIds=[image])["Images"][0]["State"]

    # --- images ---

    def test_debians_client_reads_an_image(self):
        code, answer, said, _ = self.aws("ec2", "describe-images", "--image-ids", BASE)
        self.assertEqual(code, 0, said)
        self.assertEqual(answer["Images"][0]["State"], "available")
        self.assertEqual(answer["Images"][0]["Tags"], [{"Key": "role", "Value": "base"}])

    def test_an_image_that_is_not_there(self):
        self.assertEqual(self.refused(self.ec2.describe_images, ImageIds=["ami-00000000"]),
                         ("InvalidAMIID.NotFound", "The image id '[ami-00000000]' does not exist", 400))
        self.assertEqual(self.refused(self.ec2.describe_images, ImageIds=["amy-1"])[0], "InvalidAMIID.Malformed")

    def test_an_image_is_pending_for_as_many_looks_as_ordered(self):
        image = self.an_image("slow", looks=2)
        self.assertEqual([self.state(image) for _ in range(3)], ["pending", "pending", "available"])
        image = self.an_image("at once")
        self.assertEqual(self.state(image), "available")

    def test_an_image_that_fails(self):
        image = self.an_image("broken", state="failed", reason="Client.InternalError")
        shown = self.ec2.describe_images(ImageIds=[image])["Images"][0]
        self.assertEqual((shown["State"], shown["StateReason"]["Message"]), ("failed", "Client.InternalError"))
        self.assertEqual(self.refused(self.ec2.run_instances, ImageId=image, MinCount=1, MaxCount=1)[0], "InvalidAMIID.Unavailable")

    def test_an_image_that_becomes_available(self):
        self.order(ec2={"images": [{"id": "ami-0aaaaaaaaaaaaaaaa", "state": "pending", "looks": 1},
                                   {"id": "ami-0bbbbbbbbbbbbbbbb", "state": "pending", "looks": 0, "becomes": "failed"}]})
        self.assertEqual([self.state("ami-0aaaaaaaaaaaaaaaa") for _ in range(2)], ["pending", "available"])
        self.assertEqual(self.state("ami-0bbbbbbbbbbbbbbbb"), "failed")

    def test_two_images_of_one_name(self):
        image = self.an_image("twice")
        instance = self.ec2.run_instances(ImageId=BASE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        self.ec2.describe_instances(InstanceIds=[instance])
        self.assertEqual(self.refused(self.ec2.create_image, InstanceId=instance, Name="twice")[:2],
                         ("InvalidAMIName.Duplicate", f"AMI name twice is already in use by AMI {image}"))

    def test_filters(self):
        def found(*filters, **more):
            filters = [{"Name": name, "Values": [value]} for name, value in filters]
            return [one["ImageId"] for one in self.ec2.describe_images(Filters=filters, **more)["Images"]]

        self.assertEqual(found(("name", f"base of {self.id()}"), ("tag:role", "ba*")), [BASE])
        self.assertEqual(found(("name", f"base of {self.id()}"), ("tag:role", "other")), [])
        self.assertEqual(found(("tag-key", "role"), Owners=["self"]), [BASE])
        self.assertEqual(found(("tag-key", "role"), Owners=["111111111111"]), [])
        self.assertEqual(self.refused(self.ec2.describe_images, Filters=[{"Name": "colour", "Values": ["x"]}])[:2],
                         ("InvalidParameterValue", "The filter 'colour' is invalid"))

    def test_an_image_in_another_region(self):
        there = self.client("ec2", region="us-east-1")
        self.assertEqual(self.refused(there.describe_images, ImageIds=[BASE])[0], "InvalidAMIID.NotFound")
        copied = there.copy_image(Name="copy", SourceImageId=BASE, SourceRegion="eu-west-1", CopyImageTags=True)["ImageId"]
        shown = there.describe_images(ImageIds=[copied])["Images"][0]
        self.assertEqual((shown["State"], shown["Tags"]), ("available", [{"Key": "role", "Value": "base"}]))
        self.assertEqual(shown["Description"], f"[Copied {BASE} from eu-west-1]")
        self.assertEqual(self.refused(there.copy_image, Name="copy", SourceImageId=BASE, SourceRegion="eu-west-1")[0],
                         "InvalidAMIName.Duplicate")

    def test_who_may_launch_it(self):
        self.ec2.modify_image_attribute(ImageId=BASE, LaunchPermission={"Add": [{"UserId": "210987654321"}]})
        self.ec2.modify_image_attribute(ImageId=BASE, Attribute="launchPermission", OperationType="add", UserGroups=["all"])
        granted = self.ec2.describe_image_attribute(ImageId=BASE, Attribute="launchPermission")["LaunchPermissions"]
        self.assertEqual(granted, [{"UserId": "210987654321"}, {"Group": "all"}])
        self.assertTrue(self.ec2.describe_images(ImageIds=[BASE])["Images"][0]["Public"])

    def test_snapshots_go_after_their_image(self):
        image = self.an_image("to go")
        snapshot = self.ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
        self.assertEqual(self.ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"], "completed")
        self.assertEqual(self.refused(self.ec2.delete_snapshot, SnapshotId=snapshot)[0], "InvalidSnapshot.InUse")
        self.ec2.deregister_image(ImageId=image)
        self.ec2.delete_snapshot(SnapshotId=snapshot)
        self.assertEqual(self.refused(self.ec2.describe_snapshots, SnapshotIds=[snapshot])[0], "InvalidSnapshot.NotFound")

    # --- instances ---

    def test_an_instance_from_its_start_to_its_end(self):
        made = self.ec2.run_instances(ImageId=BASE, MinCount=1, MaxCount=1, InstanceType="t3.micro", ClientToken=self.id(),
                                      TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "x"}]}])
        instance = made["Instances"][0]["InstanceId"]
        again = self.ec2.run_instances(ImageId=BASE, MinCount=1, MaxCount=1, InstanceType="t3.micro", ClientToken=self.id(),
                                       TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "x"}]}])
        self.assertEqual(again["Instances"][0]["InstanceId"], instance)

        def look():
            return self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]

        self.assertEqual(made["Instances"][0]["State"]["Name"], "pending")
        self.assertEqual((look()["State"]["Name"], look()["Tags"]), ("running", [{"Key": "Name", "Value": "x"}]))
        change = self.ec2.stop_instances(InstanceIds=[instance])["StoppingInstances"][0]
        self.assertEqual((change["PreviousState"]["Name"], change["CurrentState"]["Name"]), ("running", "stopping"))
        self.assertEqual(look()["State"], {"Code": 80, "Name": "stopped"})
        self.ec2.terminate_instances(InstanceIds=[instance])
        volume = made["Instances"][0]["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        self.assertEqual(len(self.ec2.describe_volumes(VolumeIds=[volume])["Volumes"]), 1)
        self.assertEqual(look()["State"]["Name"], "terminated")
        self.assertEqual(self.refused(self.ec2.describe_volumes, VolumeIds=[volume])[0], "InvalidVolume.NotFound")
        self.assertEqual(self.refused(self.ec2.stop_instances, InstanceIds=[instance])[0], "IncorrectInstanceState")

    def test_a_dry_run_changes_nothing(self):
        self.assertEqual(self.refused(self.ec2.run_instances, ImageId=BASE, MinCount=1, MaxCount=1, DryRun=True)[0],
                         "DryRunOperation")
        self.assertEqual(self.refused(self.ec2.run_instances, ImageId="ami-00000000", MinCount=1, MaxCount=1, DryRun=True)[0],
                         "InvalidAMIID.NotFound")

    def test_a_security_group_in_use_stays(self):
        group = self.ec2.create_security_group(GroupName=self.id(), Description="d")["GroupId"]
        made = self.ec2.run_instances(ImageId=BASE, MinCount=1, MaxCount=1, SecurityGroupIds=[group])
        instance = made["Instances"][0]["InstanceId"]
        self.assertEqual(self.refused(self.ec2.delete_security_group, GroupId=group)[0], "DependencyViolation")
        self.ec2.terminate_instances(InstanceIds=[instance])
        self.ec2.describe_instances(InstanceIds=[instance])
        self.ec2.delete_security_group(GroupId=group)
        self.assertEqual(self.refused(self.ec2.describe_security_groups, GroupIds=[group])[0], "InvalidGroup.NotFound")

    def test_tags(self):
        self.ec2.create_tags(Resources=[BASE], Tags=[{"Key": "git", "Value": "abc"}, {"Key": "keep", "Value": "me"}])
        self.ec2.delete_tags(Resources=[BASE], Tags=[{"Key": "git"}, {"Key": "keep", "Value": "another"}])
        tags = self.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [BASE]}])["Tags"]
        self.assertIn({"ResourceId": BASE, "ResourceType": "image", "Key": "keep", "Value": "me"}, tags)
        self.assertNotIn("git", [one["Key"] for one in tags])
        tag = {"Key": "k", "Value": "v"}
        self.assertEqual(self.refused(self.ec2.create_tags, Resources=["ami-00000000"], Tags=[tag])[0], "InvalidAMIID.NotFound")

    def test_regions_and_networks(self):
        self.assertIn("eu-west-1", [one["RegionName"] for one in self.ec2.describe_regions()["Regions"]])
        vpc = self.ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        subnets = self.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
        self.assertEqual([one["AvailabilityZone"] for one in subnets][:3], ["eu-west-1a", "eu-west-1b", "eu-west-1c"])
        self.assertEqual(self.refused(self.ec2.describe_subnets, SubnetIds=["subnet-9"])[0], "InvalidSubnetID.NotFound")

    # --- launch templates ---

    def a_template(self, name):
        return self.ec2.create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData={"ImageId": BASE, "InstanceType": "t3.micro", "UserData": "eA=="}
        )["LaunchTemplate"]["LaunchTemplateId"]

    def test_a_version_takes_from_its_source_what_it_does_not_name(self):
        template = self.a_template("merging")
        made = self.ec2.create_launch_template_version(LaunchTemplateId=template, SourceVersion="1", VersionDescription="run 7",
                                                       LaunchTemplateData={"ImageId": "ami-0cccccccccccccccc"})
        made = made["LaunchTemplateVersion"]
        self.assertEqual((made["VersionNumber"], made["DefaultVersion"], made["VersionDescription"]), (2, False, "run 7"))
        self.assertEqual(made["LaunchTemplateData"],
                         {"ImageId": "ami-0cccccccccccccccc", "InstanceType": "t3.micro", "UserData": "eA=="})
        latest = self.ec2.create_launch_template_version(LaunchTemplateId=template, SourceVersion="$Latest",
                                                         LaunchTemplateData={"InstanceType": "m5.large"})
        self.assertEqual(latest["LaunchTemplateVersion"]["LaunchTemplateData"],
                         {"ImageId": "ami-0cccccccccccccccc", "InstanceType": "m5.large", "UserData": "eA=="})
        bare = self.ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData={"ImageId": BASE})
        self.assertEqual(bare["LaunchTemplateVersion"]["LaunchTemplateData"], {"ImageId": BASE})
        self.assertEqual(self.refused(self.ec2.create_launch_template_version, LaunchTemplateId=template, SourceVersion="9",
                                      LaunchTemplateData={"ImageId": BASE})[0], "InvalidLaunchTemplateId.VersionNotFound")

    def test_a_client_token_makes_one_version(self):
        template = self.a_template("once")
        first, again = [self.ec2.create_launch_template_version(LaunchTemplateId=template, ClientToken="t1",
                                                                LaunchTemplateData={"ImageId": BASE}) for _ in range(2)]
        self.assertEqual(first["LaunchTemplateVersion"], again["LaunchTemplateVersion"])
        shown, = self.ec2.describe_launch_templates(LaunchTemplateIds=[template])["LaunchTemplates"]
        self.assertEqual(shown["LatestVersionNumber"], 2)
        self.assertEqual(self.refused(self.ec2.create_launch_template_version, LaunchTemplateId=template, ClientToken="t1",
                                      LaunchTemplateData={"ImageId": "ami-00000000"})[0], "IdempotentParameterMismatch")

    def test_latest_and_default(self):
        template = self.a_template("named")
        self.ec2.create_launch_template_version(LaunchTemplateName="named", LaunchTemplateData={"ImageId": BASE})

        def numbers(*versions):
            found = self.ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=list(versions))
            return [one["VersionNumber"] for one in found["LaunchTemplateVersions"]]

        self.assertEqual((numbers("$Latest"), numbers("$Default"), numbers()), ([2], [1], [2, 1]))
        self.ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion="2")
        self.assertEqual(numbers("$Default"), [2])
        gone = self.ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=["1", "2"])
        self.assertEqual([one["VersionNumber"] for one in gone["SuccessfullyDeletedLaunchTemplateVersions"]], [1])
        self.assertEqual(len(gone["UnsuccessfullyDeletedLaunchTemplateVersions"]), 1)
        self.assertEqual(numbers(), [2])

    def test_templates_that_are_not_there(self):
        self.a_template("taken")
        self.assertEqual(self.refused(self.a_template, name="taken")[0], "InvalidLaunchTemplateName.AlreadyExistsException")
        self.assertEqual(self.refused(self.ec2.describe_launch_templates, LaunchTemplateIds=["lt-9"])[0],
                         "InvalidLaunchTemplateId.NotFound")
        self.assertEqual(self.refused(self.ec2.describe_launch_template_versions, LaunchTemplateName="gone")[0],
                         "InvalidLaunchTemplateName.NotFoundException")

    def test_pages(self):
        for number in range(5):
            self.a_template(f"page-{number}")
        self.order(ec2={"page": 2})
        self.addCleanup(self.order, ec2={"page": 1000})
        first = self.ec2.describe_launch_templates()
        self.assertEqual(len(first["LaunchTemplates"]), 2)
        names = [one["LaunchTemplateName"] for page in self.ec2.get_paginator("describe_launch_templates").paginate()
                 for one in page["LaunchTemplates"]]
        self.assertEqual(len([one for one in names if one.startswith("page-")]), 5)
        self.assertEqual(self.refused(self.ec2.describe_launch_templates, NextToken="made up")[0], "InvalidParameterValue")


if __name__ == "__main__":
    unittest.main()
