#!/usr/bin/python3
"""Debian's Packer bakes against the double: its amazon-ebs builder, with `communicator: none`, from launch to image."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from asked import SECRET, Asked

BASE = "ami-0b45e0b45e0b45e01"


class Packer(Asked):
    def setUp(self):
        self.name = self.id().rpartition(".")[2]
        self.order(ec2={"images": [{"id": BASE, "name": "base-1", "tags": {"role": "base"}}]})
        self.ec2 = self.client("ec2")
        self.journal.write_text("")

    def bake(self, environment=None, **builder):
        """(exit code, image by region, everything it said). The builder's settings are those a user would write."""
        template = pathlib.Path(self.directory.name, f"{self.name}.json")
        template.write_text(json.dumps({"builders": [{
            "type": "amazon-ebs", "region": "eu-west-1", "access_key": "AKIDEXAMPLE", "secret_key": SECRET,
            "custom_endpoint_ec2": self.url, "source_ami": BASE, "instance_type": "t3.micro", "ami_name": self.name,
            "communicator": "none", "skip_region_validation": True, "skip_credential_validation": True,
            "skip_metadata_api_check": True} | builder]}), encoding="utf-8")
        done = subprocess.run(["packer", "build", "-machine-readable", "-color=false", template], text=True, capture_output=True,
                              check=False, cwd=self.directory.name, timeout=120, env={
                                  "PATH": os.environ["PATH"], "HOME": self.directory.name, "CHECKPOINT_DISABLE": "1",
                                  "AWS_POLL_DELAY_SECONDS": "1", **(environment or {})})
        ids = re.search(r"^[^\n]*,artifact,0,id,(.*)$", done.stdout, re.MULTILINE)
        images = dict(one.split(":") for one in ids[1].replace("%!(PACKER_COMMA)", ",").split(",")) if ids else {}
        return done.returncode, images, done.stdout + done.stderr

    def called(self):
        return [json.loads(line).get("operation") for line in self.journal.read_text().splitlines()]

    def test_an_image_that_can_be_launched(self):
        code, images, said = self.bake(tags={"git": "abc"}, ami_users=["210987654321"], run_tags={"why": "a bake"})
        self.assertEqual((code, list(images)), (0, ["eu-west-1"]), said)
        image, = self.ec2.describe_images(ImageIds=[images["eu-west-1"]])["Images"]
        self.assertEqual((image["Name"], image["State"], image["Tags"]), (self.name, "available", [{"Key": "git", "Value": "abc"}]))
        granted = self.ec2.describe_image_attribute(ImageId=image["ImageId"], Attribute="launchPermission")
        self.assertEqual(granted["LaunchPermissions"], [{"UserId": "210987654321"}])
        template = self.ec2.create_launch_template(LaunchTemplateName=self.name, LaunchTemplateData={"ImageId": image["ImageId"]})
        made = self.ec2.run_instances(MinCount=1, MaxCount=1, LaunchTemplate={
            "LaunchTemplateId": template["LaunchTemplate"]["LaunchTemplateId"]})
        self.assertEqual(made["Instances"][0]["ImageId"], image["ImageId"])

    def test_a_bake_reaches_the_instances_of_a_group(self):
        self.order(ec2={"launch_templates": [{"name": self.name, "versions": [{"ImageId": BASE, "InstanceType": "t3.micro"}]}]},
                   autoscaling={"groups": [{"name": self.name, "launch_template": {"name": self.name, "version": "1"}, "desired": 2}]})
        _, images, said = self.bake()
        made = self.ec2.create_launch_template_version(LaunchTemplateName=self.name, SourceVersion="1",
                                                       LaunchTemplateData={"ImageId": images["eu-west-1"]})
        version = str(made["LaunchTemplateVersion"]["VersionNumber"])
        asg = self.client("autoscaling")
        asg.start_instance_refresh(AutoScalingGroupName=self.name, Preferences={"AutoRollback": True}, DesiredConfiguration={
            "LaunchTemplate": {"LaunchTemplateName": self.name, "Version": version}})
        looks = [asg.describe_instance_refreshes(AutoScalingGroupName=self.name)["InstanceRefreshes"][0] for _ in range(3)]
        self.assertEqual([one["Status"] for one in looks], ["InProgress", "InProgress", "Successful"], said)
        group, = asg.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        machines = self.ec2.describe_instances(InstanceIds=[one["InstanceId"] for one in group["Instances"]])["Reservations"]
        self.assertEqual([one["ImageId"] for each in machines for one in each["Instances"]], [images["eu-west-1"]] * 2)

    def test_it_leaves_nothing_but_the_image(self):
        self.bake()
        self.assertIn("CreateKeyPair", self.called())
        self.assertEqual(self.ec2.describe_key_pairs()["KeyPairs"], [])
        self.assertEqual([one["GroupName"] for one in self.ec2.describe_security_groups()["SecurityGroups"]], ["default"])
        self.assertEqual({one["State"]["Name"] for each in self.ec2.describe_instances()["Reservations"] for one in each["Instances"]
                          if one.get("KeyName")}, {"terminated"})

    def test_several_regions(self):
        code, images, said = self.bake(ami_regions=["us-east-1", "eu-central-1"], snapshot_tags={"of": "it"})
        self.assertEqual((code, sorted(images)), (0, ["eu-central-1", "eu-west-1", "us-east-1"]), said)
        for region, image in images.items():
            shown, = self.client("ec2", region=region).describe_images(ImageIds=[image])["Images"]
            self.assertEqual((shown["State"], shown["Name"]), ("available", self.name))
        self.assertEqual(len(set(images.values())), 3)

    def test_the_source_found_by_a_filter(self):
        code, images, said = self.bake(source_ami="", source_ami_filter={
            "filters": {"name": "base-*", "root-device-type": "ebs", "virtualization-type": "hvm", "tag:role": "base"},
            "owners": ["self"], "most_recent": True})
        self.assertEqual((code, len(images)), (0, 1), said)

    def test_an_encrypted_image_and_more_volumes(self):
        code, images, said = self.bake(encrypt_boot=True, launch_block_device_mappings=[
            {"device_name": "/dev/xvda", "volume_size": 20, "delete_on_termination": True},
            {"device_name": "/dev/sdb", "volume_size": 5, "delete_on_termination": True}])
        self.assertEqual((code, len(images)), (0, 1), said)
        image, = self.ec2.describe_images(ImageIds=[images["eu-west-1"]])["Images"]
        volumes = [(one["DeviceName"], one["Ebs"]["VolumeSize"], one["Ebs"]["Encrypted"]) for one in image["BlockDeviceMappings"]]
        self.assertEqual(volumes, [("/dev/xvda", 20, True), ("/dev/sdb", 5, True)])

    def test_a_source_that_is_not_there(self):
        code, images, said = self.bake(source_ami="ami-00000000")
        self.assertEqual((code, images), (1, {}))
        self.assertIn("InvalidAMIID.NotFound", said)

    def test_a_name_that_is_taken(self):
        self.assertEqual(self.bake()[0], 0)
        code, _, said = self.bake()
        self.assertEqual(code, 1)
        self.assertIn("is used by an existing AMI", said)

    def test_an_image_that_takes_its_time_and_one_that_fails(self):
        self.order(ec2={"bakes": [{"looks": 1}]})
        self.assertEqual(self.bake()[0], 0)
        self.name += "-2"
        self.order(ec2={"bakes": [{"state": "failed", "reason": "Client.InternalError"}]})
        code, images, said = self.bake()
        self.assertEqual((code, images), (1, {}), said)

    def test_no_capacity(self):
        self.order(faults=[{"service": "ec2", "operation": "RunInstances", "code": "InsufficientInstanceCapacity",
                            "message": "We have no t3.micro"}])
        code, _, said = self.bake()
        self.assertEqual(code, 1)
        self.assertIn("We have no t3.micro", said)


if __name__ == "__main__":
    if shutil.which("packer"):
        unittest.main()
    print("SKIPPED: there is no packer on PATH (Debian's package of that name)")
