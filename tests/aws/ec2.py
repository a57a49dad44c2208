"""EC2: images, instances and what they need. Each region is its own; a look at a thing moves it one step.

    {"ec2": {"region": "eu-west-1",                          where what follows is; the default
             "images": [{"id": "ami-…", "name": "base", "state": "available", "looks": 0, "tags": {}, "owner": "…"}],
             "launch_templates": [{"id": "lt-…", "name": "app", "versions": [{"ImageId": …}], "default": 1}],
             "subnets": [{"id": "subnet-1", "zone": "a"}],   beside those of the default VPC, subnet-aaaaaaaa, b…, c…
             "parameters": {"/ami/app": "ami-…"},            of Systems Manager, for "ImageId": "resolve:ssm:/ami/app"
             "bakes": [{"looks": 3, "state": "failed", "reason": "…"}],  the next images to be made, in order
             "page": 2}}                                     entries of a page where the caller names no number
An image with "state": "pending" becomes "becomes" (available) after so many "looks" of DescribeImages. One that is made
without an order is pending in the answer and available at the first look. Instances move by DescribeInstances.
"""
import copy
import itertools

from images import Images
from launch_templates import LaunchTemplates
from listing import field, filtered, paged, tag_keys, tag_list, tag_map
from wire import Refusal

STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
NEXT_STATE = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
REGIONS = ("ap-south-1", "ap-southeast-2", "eu-central-1", "eu-west-1", "us-east-1", "us-east-2", "us-west-2")
KEY = "-----BEGIN RSA PRIVATE KEY-----\nmade up by the double\n-----END RSA PRIVATE KEY-----"


class Region:
    def __init__(self, name):
        self.name, self.vpc = name, "vpc-0000000d"
        self.images, self.snapshots, self.instances, self.volumes = {}, {}, {}, {}
        self.groups, self.keys, self.templates = {}, {}, {}
        self.tags = {}  # id of anything -> {key: value}
        self.tokens = {}  # (operation, ClientToken) -> (what was asked, the answer it had)
        self.bakes, self.parameters = [], {}
        self.subnets = {f"subnet-{zone * 8}": f"{name}{zone}" for zone in "abc"}
        self.groups["sg-0000000d"] = {"GroupId": "sg-0000000d", "GroupName": "default", "VpcId": self.vpc,
                                      "Description": "default VPC security group", "IpPermissions": []}


class Ec2(Images, LaunchTemplates):
    def __init__(self, world):
        self.world = world
        self.regions = {}
        self.numbers = itertools.count(1)
        self.page_size = 1000

    def region(self, identity_or_name):
        name = getattr(identity_or_name, "region", identity_or_name)
        return self.regions.setdefault(name, Region(name))

    def control(self, orders):
        region = self.region(orders.get("region", "eu-west-1"))
        self.page_size = orders.get("page", self.page_size)
        for order in orders.get("subnets", []):
            region.subnets[order["id"]] = region.name + order.get("zone", "a")
        for order in orders.get("images", []):
            self._seed_image(region, order)
        for order in orders.get("launch_templates", []):
            self._seed_template(region, order)
        region.bakes.extend(orders.get("bakes", []))
        region.parameters.update(orders.get("parameters", {}))

    # --- instances ---

    def RunInstances(self, params, identity):
        region = self.region(identity)
        data = self.data_of(region, params["LaunchTemplate"]) if "LaunchTemplate" in params else {}
        data |= params
        if "ImageId" not in data:
            raise Refusal("MissingParameter", "The request must contain the parameter ImageId")
        self.check_launch(region, data)
        self._dry(params)
        return self._once(region, "RunInstances", params, lambda: self._run(region, data))

    def _run(self, region, data):
        made = [self.launch(region, data, data.get("SubnetId")) for _ in range(data["MaxCount"])]
        self._tag_as_asked(region, data, "volume", [one["Ebs"]["VolumeId"] for each in made for one in each["BlockDeviceMappings"]])
        reservation = {"ReservationId": self._id("r"), "OwnerId": self.world.account,
                       "Instances": [self._shown(region, one, "InstanceId") for one in made]}
        for one in made:
            one["reservation"] = reservation["ReservationId"]
        return reservation

    def check_launch(self, region, data):
        """Refuses what cannot be launched, as RunInstances and Auto Scaling's dry run of it do."""
        image_id = self._image_id(region, data)
        if image_id not in region.images:
            self._well_formed("ami", [image_id], "InvalidAMIID.Malformed")
            raise Refusal("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        if region.images[image_id]["State"] != "available":
            raise Refusal("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available")
        if data.get("SubnetId") and data["SubnetId"] not in region.subnets:  # packer sends an empty one: none
            raise Refusal("InvalidSubnetID.NotFound", f"The subnet ID '{data['SubnetId']}' does not exist")
        for group in self._groups_of(data):
            if group not in region.groups:
                raise Refusal("InvalidGroup.NotFound", f"The security group '{group}' does not exist")
        if data.get("KeyName") and data["KeyName"] not in region.keys:
            raise Refusal("InvalidKeyPair.NotFound", f"The key pair '{data['KeyName']}' does not exist")

    @staticmethod
    def _image_id(region, data):
        """The image itself, where it is named by a parameter of Systems Manager."""
        if not data["ImageId"].startswith("resolve:ssm:"):
            return data["ImageId"]
        name = data["ImageId"].removeprefix("resolve:ssm:")
        if name not in region.parameters:
            raise Refusal("InvalidParameterValue", f"The Systems Manager parameter '{name}' does not exist")
        return region.parameters[name]

    @staticmethod
    def _groups_of(data):
        return data.get("SecurityGroupIds") or [group for one in data.get("NetworkInterfaces", []) for group in one.get("Groups", [])]

    def launch(self, region, data, subnet=None):
        """One instance of what `data` (of RunInstances or of a launch template) says. Refuses as RunInstances does."""
        self.check_launch(region, data)
        subnet = subnet or next((one["SubnetId"] for one in data.get("NetworkInterfaces", []) if "SubnetId" in one), None)
        subnet = subnet or next(iter(region.subnets))
        number, image = next(self.numbers), region.images[self._image_id(region, data)]
        instance_id, address = f"i-{number:017x}", f"10.0.{number // 250}.{number % 250 + 4}"
        groups = self._groups_of(data) or ["sg-0000000d"]
        instance = {
            "InstanceId": instance_id, "ImageId": image["ImageId"], "InstanceType": data.get("InstanceType", "m1.small"),
            "LaunchTime": self.world.now().replace(microsecond=0), "Placement": {"AvailabilityZone": region.subnets[subnet]},
            "SubnetId": subnet, "VpcId": region.vpc, "PrivateIpAddress": address, "Architecture": image["Architecture"],
            "PrivateDnsName": f"ip-{address.replace('.', '-')}.{region.name}.compute.internal", "RootDeviceType": "ebs",
            "RootDeviceName": image["RootDeviceName"], "VirtualizationType": "hvm", "Hypervisor": "xen", "EnaSupport": True,
            "SecurityGroups": [{"GroupId": one, "GroupName": region.groups[one]["GroupName"]} for one in groups],
            "Monitoring": {"State": "disabled"}, "AmiLaunchIndex": 0, "reservation": self._id("r"),
            "BlockDeviceMappings": [self._volume(region, instance_id, one, subnet) for one in self._mappings(image, data)]}
        if data.get("KeyName"):
            instance["KeyName"] = data["KeyName"]
        self._enter(instance, "pending")
        region.instances[instance_id] = instance
        self._tag_as_asked(region, data, "instance", [instance_id])
        return instance

    @staticmethod
    def _mappings(image, data):
        """The image's volumes, changed and added to by the launch's."""
        by_device = {one["DeviceName"]: one for one in copy.deepcopy(image["BlockDeviceMappings"])}
        for one in data.get("BlockDeviceMappings", []):
            known = by_device.setdefault(one["DeviceName"], {"DeviceName": one["DeviceName"], "Ebs": {}})
            known["Ebs"] |= one.get("Ebs", {})
            if "NoDevice" in one:
                del by_device[one["DeviceName"]]
        return list(by_device.values())

    def _volume(self, region, instance_id, mapping, subnet):
        volume_id, ebs = self._id("vol"), mapping.get("Ebs", {})
        attachment = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": mapping["DeviceName"], "State": "attached",
                      "DeleteOnTermination": ebs.get("DeleteOnTermination", True)}
        region.volumes[volume_id] = {
            "VolumeId": volume_id, "Size": ebs.get("VolumeSize", 8), "VolumeType": ebs.get("VolumeType", "gp2"), "State": "in-use",
            "Encrypted": ebs.get("Encrypted", False), "SnapshotId": ebs.get("SnapshotId", ""), "Attachments": [attachment],
            "AvailabilityZone": region.subnets[subnet], "CreateTime": self.world.now()}
        return {"DeviceName": mapping["DeviceName"],
                "Ebs": {"VolumeId": volume_id, "Status": "attached", "DeleteOnTermination": attachment["DeleteOnTermination"]}}

    @staticmethod
    def _enter(instance, state):
        before = instance.get("State")
        instance["State"] = {"Code": STATES[state], "Name": state}
        return {"InstanceId": instance["InstanceId"], "PreviousState": before, "CurrentState": instance["State"]}

    def move(self, region, instance):
        """One step of an instance towards where it was sent."""
        state = NEXT_STATE.get(instance["State"]["Name"])
        if state:
            self._enter(instance, state)
        if state != "terminated":
            return
        for device in instance.pop("BlockDeviceMappings"):
            volume = region.volumes[device["Ebs"]["VolumeId"]]
            volume.update(Attachments=[], State="available")
            if device["Ebs"]["DeleteOnTermination"]:
                del region.volumes[volume["VolumeId"]]
        instance["BlockDeviceMappings"] = []

    def DescribeInstances(self, params, identity):
        region = self.region(identity)
        shown = self._looked_at(region, params)
        readers = {
            "instance-id": field("InstanceId"), "image-id": field("ImageId"), "subnet-id": field("SubnetId"),
            "instance-state-name": lambda one: [one["State"]["Name"]], "tag-key": tag_keys, "vpc-id": field("VpcId"),
            "private-ip-address": field("PrivateIpAddress"), "instance-type": field("InstanceType")}
        shown = filtered(shown, params.get("Filters", []), readers)
        reservations = {}
        for one in shown:
            key = region.instances[one["InstanceId"]]["reservation"]
            reservations.setdefault(key, {"ReservationId": key, "OwnerId": self.world.account, "Instances": []})
            reservations[key]["Instances"].append(one)
        return self._paged("Reservations", list(reservations.values()), params)

    def DescribeInstanceStatus(self, params, identity):
        shown = self._looked_at(self.region(identity), params)
        if not params.get("IncludeAllInstances"):
            shown = [one for one in shown if one["State"]["Name"] == "running"]
        statuses = []
        for one in shown:
            status = {"Status": "ok" if one["State"]["Name"] == "running" else "not-applicable"}
            statuses.append({"InstanceId": one["InstanceId"], "AvailabilityZone": one["Placement"]["AvailabilityZone"],
                             "InstanceState": one["State"], "InstanceStatus": status, "SystemStatus": status})
        return self._paged("InstanceStatuses", statuses, params)

    def _looked_at(self, region, params):
        wanted = params.get("InstanceIds") or list(region.instances)
        instances = [self._instance(region, one) for one in wanted]
        for one in instances:
            self.move(region, one)
        return [self._shown(region, one, "InstanceId") for one in instances]

    def StopInstances(self, params, identity):
        self._dry(params)
        return {"StoppingInstances": self._send(identity, params, "stopping", ("running", "pending"), "stopped")}

    def StartInstances(self, params, identity):
        self._dry(params)
        return {"StartingInstances": self._send(identity, params, "pending", ("stopped",), "running")}

    def TerminateInstances(self, params, identity):
        self._dry(params)
        before = ("pending", "running", "stopping", "stopped")
        return {"TerminatingInstances": self._send(identity, params, "shutting-down", before, "terminated")}

    def _send(self, identity, params, towards, allowed, there):
        region, changes = self.region(identity), []
        for instance in [self._instance(region, one) for one in params["InstanceIds"]]:
            state = instance["State"]["Name"]
            if state not in allowed and state not in (towards, there):
                raise Refusal("IncorrectInstanceState", f"The instance '{instance['InstanceId']}' is not in a state from which "
                                                        f"it can be {there}.")
            changes.append(self._enter(instance, towards if state in allowed else state))
        return changes

    def ModifyInstanceAttribute(self, params, identity):
        self._dry(params)
        instance = self._instance(self.region(identity), params["InstanceId"])
        if "EnaSupport" in params:
            instance["EnaSupport"] = params["EnaSupport"].get("Value", False)
        if "SriovNetSupport" in params:
            instance["SriovNetSupport"] = params["SriovNetSupport"].get("Value", "")
        return {}

    def _instance(self, region, instance_id):
        self._well_formed("i", [instance_id], "InvalidInstanceID.Malformed")
        if instance_id not in region.instances:
            raise Refusal("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        return region.instances[instance_id]

    # --- networks, security groups, key pairs ---

    def DescribeRegions(self, params, identity):
        names = params.get("RegionNames", REGIONS)
        for name in names:
            if name not in REGIONS:
                raise Refusal("InvalidParameterValue", f"Invalid region provided: {name}")
        return {"Regions": [{"RegionName": one, "Endpoint": f"ec2.{one}.amazonaws.com", "OptInStatus": "opt-in-not-required"}
                            for one in names]}

    def DescribeAvailabilityZones(self, params, identity):
        zones = sorted(set(self.region(identity).subnets.values()))
        return {"AvailabilityZones": [{"ZoneName": one, "RegionName": identity.region, "State": "available",
                                       "ZoneType": "availability-zone"} for one in zones]}

    def DescribeVpcs(self, params, identity):
        region = self.region(identity)
        vpc = {"VpcId": region.vpc, "State": "available", "IsDefault": True, "CidrBlock": "10.0.0.0/16",
               "OwnerId": self.world.account, "InstanceTenancy": "default", "Tags": tag_list(region.tags.get(region.vpc, {}))}
        for one in params.get("VpcIds", []):
            if one != region.vpc:
                raise Refusal("InvalidVpcID.NotFound", f"The vpc ID '{one}' does not exist")
        readers = {"vpc-id": field("VpcId"), "isDefault": lambda _: ["true"], "is-default": lambda _: ["true"],
                   "state": field("State")}
        return self._paged("Vpcs", filtered([vpc], params.get("Filters", []), readers), params)

    def DescribeSubnets(self, params, identity):
        region = self.region(identity)
        for one in params.get("SubnetIds", []):
            if one not in region.subnets:
                raise Refusal("InvalidSubnetID.NotFound", f"The subnet ID '{one}' does not exist")
        subnets = [{"SubnetId": one, "AvailabilityZone": zone, "VpcId": region.vpc, "State": "available", "DefaultForAz": True,
                    "CidrBlock": f"10.0.{number * 16}.0/20", "AvailableIpAddressCount": 4091, "MapPublicIpOnLaunch": True,
                    "OwnerId": self.world.account, "Tags": tag_list(region.tags.get(one, {}))}
                   for number, (one, zone) in enumerate(region.subnets.items())
                   if one in params.get("SubnetIds", region.subnets)]
        readers = {"vpc-id": field("VpcId"), "subnet-id": field("SubnetId"), "availability-zone": field("AvailabilityZone"),
                   "state": field("State"), "default-for-az": lambda _: ["true"], "defaultForAz": lambda _: ["true"]}
        return self._paged("Subnets", filtered(subnets, params.get("Filters", []), readers), params)

    def CreateSecurityGroup(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        if any(one["GroupName"] == params["GroupName"] for one in region.groups.values()):
            raise Refusal("InvalidGroup.Duplicate", f"The security group '{params['GroupName']}' already exists")
        group_id = self._id("sg")
        region.groups[group_id] = {"GroupId": group_id, "GroupName": params["GroupName"], "Description": params["Description"],
                                   "VpcId": params.get("VpcId") or region.vpc, "IpPermissions": []}
        self._tag_as_asked(region, params, "security-group", [group_id])
        return {"GroupId": group_id, "Tags": tag_list(region.tags.get(group_id, {}))}

    def DescribeSecurityGroups(self, params, identity):
        region = self.region(identity)
        wanted = params.get("GroupIds", [])
        found = [self._of(region.groups, one, "InvalidGroup.NotFound", "security group") for one in wanted]
        shown = [self._shown(region, one, "GroupId") | {"OwnerId": self.world.account}
                 for one in (found or ([] if wanted else region.groups.values()))
                 if one["GroupName"] in params.get("GroupNames", [one["GroupName"]])]
        readers = {"group-id": field("GroupId"), "group-name": field("GroupName"), "vpc-id": field("VpcId"),
                   "description": field("Description"), "tag-key": tag_keys}
        return self._paged("SecurityGroups", filtered(shown, params.get("Filters", []), readers), params)

    def AuthorizeSecurityGroupIngress(self, params, identity):
        self._dry(params)
        group = self._of(self.region(identity).groups, params.get("GroupId", ""), "InvalidGroup.NotFound", "security group")
        for one in params.get("IpPermissions", []):
            if one in group["IpPermissions"]:
                raise Refusal("InvalidPermission.Duplicate", "the specified rule already exists")
            group["IpPermissions"].append(one)
        return {"Return": True}

    def DeleteSecurityGroup(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        group_id = params.get("GroupId", "")
        self._of(region.groups, group_id, "InvalidGroup.NotFound", "security group")
        for one in region.instances.values():
            if one["State"]["Name"] != "terminated" and group_id in [each["GroupId"] for each in one["SecurityGroups"]]:
                raise Refusal("DependencyViolation", f"resource {group_id} has a dependent object")
        del region.groups[group_id]
        return {}

    def CreateKeyPair(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        if params["KeyName"] in region.keys:
            raise Refusal("InvalidKeyPair.Duplicate", f"The keypair '{params['KeyName']}' already exists.")
        pair = {"KeyName": params["KeyName"], "KeyPairId": self._id("key"), "KeyFingerprint": "00:11:22:33:44:55:66:77:88:99"}
        region.keys[params["KeyName"]] = pair
        self._tag_as_asked(region, params, "key-pair", [pair["KeyPairId"]])
        return pair | {"KeyMaterial": KEY}

    def DescribeKeyPairs(self, params, identity):
        region = self.region(identity)
        names = params.get("KeyNames", list(region.keys))
        return {"KeyPairs": [self._of(region.keys, one, "InvalidKeyPair.NotFound", "key pair") for one in names]}

    def DeleteKeyPair(self, params, identity):
        self._dry(params)
        self.region(identity).keys.pop(params.get("KeyName"), None)  # one that is not there is no error
        return {}

    # --- tags ---

    def CreateTags(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        for one in params["Resources"]:
            self._exists(region, one)
            region.tags.setdefault(one, {}).update(tag_map(params["Tags"]))
        return {}

    def DeleteTags(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        for one in params["Resources"]:
            for tag in params.get("Tags", tag_list(region.tags.get(one, {}))):
                if tag.get("Value", region.tags.get(one, {}).get(tag["Key"])) == region.tags.get(one, {}).get(tag["Key"]):
                    region.tags.get(one, {}).pop(tag["Key"], None)
        return {}

    def DescribeTags(self, params, identity):
        region = self.region(identity)
        kinds = {"ami": "image", "snap": "snapshot", "i": "instance", "vol": "volume", "sg": "security-group", "lt": "launch-template",
                 "key": "key-pair", "subnet": "subnet", "vpc": "vpc"}
        tags = [{"ResourceId": one, "ResourceType": kinds[one.partition("-")[0]], "Key": key, "Value": value}
                for one, kept in region.tags.items() for key, value in kept.items()]
        readers = {"resource-id": field("ResourceId"), "resource-type": field("ResourceType"), "key": field("Key"),
                   "value": field("Value")}
        return self._paged("Tags", filtered(tags, params.get("Filters", []), readers), params)

    @staticmethod
    def _exists(region, thing):
        kinds = {"ami": (region.images, "InvalidAMIID"), "snap": (region.snapshots, "InvalidSnapshot"),
                 "i": (region.instances, "InvalidInstanceID"), "vol": (region.volumes, "InvalidVolume"),
                 "sg": (region.groups, "InvalidGroup"), "lt": (region.templates, "InvalidLaunchTemplateId"),
                 "subnet": (region.subnets, "InvalidSubnetID"), "vpc": ({region.vpc}, "InvalidVpcID")}
        known, code = kinds.get(thing.partition("-")[0], ((), "InvalidID"))
        if thing not in known:
            raise Refusal(f"{code}.NotFound", f"The ID '{thing}' does not exist")

    @staticmethod
    def _tag_as_asked(region, params, kind, things):
        for specification in params.get("TagSpecifications", []):
            if specification.get("ResourceType") == kind:
                for one in things:
                    region.tags.setdefault(one, {}).update(tag_map(specification.get("Tags", [])))

    # --- small things ---

    def _shown(self, region, thing, key):
        """As a caller sees it: with its tags, without what only the double knows."""
        hidden = ("moves", "permissions", "reservation", "versions", "default")
        return copy.deepcopy({name: value for name, value in thing.items() if name not in hidden}) | {
            "Tags": tag_list(region.tags.get(thing[key], {}))}

    @staticmethod
    def _of(things, key, code, what):
        if key not in things:
            raise Refusal(code, f"The {what} '{key}' does not exist")
        return things[key]

    @staticmethod
    def _well_formed(prefix, ids, code):
        for one in ids:
            kind, _, number = one.partition("-")
            if kind != prefix or not 8 <= len(number) <= 17 or set(number) - set("0123456789abcdef"):
                raise Refusal(code, f"Invalid id: \"{one}\"")

    @staticmethod
    def _once(region, operation, params, make):
        """The same ClientToken is the same call: its answer again; with other parameters it is refused."""
        token = params.get("ClientToken")
        if token is None:
            return make()
        asked, answer = region.tokens.get((operation, token), (params, None))
        if asked != params:
            raise Refusal("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments "
                                                         "used in previous request(s).")
        if answer is None:
            answer = make()
            region.tokens[(operation, token)] = (params, copy.deepcopy(answer))
        return copy.deepcopy(answer)

    @staticmethod
    def _dry(params):
        if params.get("DryRun"):
            raise Refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)

    def _paged(self, name, items, params):
        return paged(name, items, params, self.page_size, "MaxResults", refusal="InvalidParameterValue")

    def _id(self, prefix):
        return f"{prefix}-{next(self.numbers):017x}"
