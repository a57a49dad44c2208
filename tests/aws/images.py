"""EC2's images, snapshots and volumes, as a part of Ec2 (ec2.py)."""
import copy

from listing import field, filtered, tag_keys
from wire import Refusal


class Images:
    # --- images ---

    def _seed_image(self, region, order):
        image = self._image(region, order.get("name", order["id"]), order["id"])
        image.update(State=order.get("state", "available"), OwnerId=order.get("owner", self.world.account))
        image["moves"] = {"looks": order.get("looks", 1), "state": order.get("becomes", "available"),
                          "reason": order.get("reason")}
        region.tags[order["id"]] = dict(order.get("tags", {}))

    def _image(self, region, name, image_id, mappings=None):
        if mappings is None:
            mappings = [{"DeviceName": "/dev/xvda", "Ebs": {
                "SnapshotId": self._snapshot(region, f"Created for {image_id}"), "VolumeSize": 8, "VolumeType": "gp2",
                "DeleteOnTermination": True, "Encrypted": False}}]
        owner = self.world.account
        image = {
            "ImageId": image_id, "Name": name, "State": "pending", "OwnerId": owner, "Public": False, "Architecture": "x86_64",
            "ImageLocation": f"{owner}/{name}", "ImageType": "machine", "RootDeviceName": "/dev/xvda", "RootDeviceType": "ebs",
            "VirtualizationType": "hvm", "Hypervisor": "xen", "EnaSupport": True, "BlockDeviceMappings": mappings,
            "CreationDate": self.world.now().strftime("%Y-%m-%dT%H:%M:%S.000Z"), "permissions": [],
            "moves": {"looks": 0, "state": "available"} | (region.bakes.pop(0) if region.bakes else {})}
        region.images[image_id] = image
        return image

    def DescribeImages(self, params, identity):
        region = self.region(identity)
        wanted = params.get("ImageIds", [])
        missing = [one for one in wanted if one not in region.images]
        self._well_formed("ami", missing, "InvalidAMIID.Malformed")
        if missing:
            raise Refusal("InvalidAMIID.NotFound", f"The image id '[{', '.join(missing)}]' does not exist")
        images = [image for key, image in region.images.items() if not wanted or key in wanted]
        owners = [self.world.account if owner == "self" else owner for owner in params.get("Owners", [])]
        if owners:
            images = [image for image in images if image["OwnerId"] in owners]
        users = params.get("ExecutableUsers", [])
        if users:
            images = [image for image in images if self._may_launch(image, users)]
        for image in images:
            self._move_image(image)
        readers = {
            "name": field("Name"), "state": field("State"), "image-id": field("ImageId"), "owner-id": field("OwnerId"),
            "root-device-type": field("RootDeviceType"), "virtualization-type": field("VirtualizationType"),
            "architecture": field("Architecture"), "description": field("Description"), "is-public": self._public,
            "tag-key": tag_keys}
        return {"Images": filtered([self._shown(region, image, "ImageId") for image in images],
                                   params.get("Filters", []), readers)}

    @staticmethod
    def _move_image(image):
        moves = image["moves"]
        if image["State"] != "pending":
            return
        if moves["looks"] > 0:
            moves["looks"] -= 1
            return
        image["State"] = moves["state"]
        if moves.get("reason"):
            image["StateReason"] = {"Code": "Server.InternalError", "Message": moves["reason"]}

    @staticmethod
    def _may_launch(image, users):
        granted = {one.get("Group") or one.get("UserId") for one in image["permissions"]}
        return bool(granted & set(users)) or ("self" in users and not granted - {"all"})

    @staticmethod
    def _public(image):
        return ["true" if image["Public"] else "false"]

    def CreateImage(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        instance = self._instance(region, params["InstanceId"])
        if instance["State"]["Name"] not in ("running", "stopped"):
            raise Refusal("IncorrectState", f"Instance '{params['InstanceId']}' is not 'running' or 'stopped'")
        self._new_name(region, params["Name"])
        image_id = self._id("ami")
        asked = {one["DeviceName"]: one for one in params.get("BlockDeviceMappings", [])}
        mappings = []
        for device in instance["BlockDeviceMappings"]:
            volume = region.volumes[device["Ebs"]["VolumeId"]]
            more = asked.pop(device["DeviceName"], {})
            if "NoDevice" in more:
                continue
            ebs = {"SnapshotId": self._snapshot(region, f"Created by CreateImage({params['InstanceId']}) for {image_id}", volume),
                   "VolumeSize": volume["Size"], "VolumeType": volume["VolumeType"], "DeleteOnTermination": True,
                   "Encrypted": volume["Encrypted"]}
            mappings.append({"DeviceName": device["DeviceName"], "Ebs": ebs | more.get("Ebs", {})})
        image = self._image(region, params["Name"], image_id, mappings + list(asked.values()))
        if "Description" in params:
            image["Description"] = params["Description"]
        self._tag_as_asked(region, params, "image", [image_id])
        self._tag_as_asked(region, params, "snapshot", self._snapshots_of(image))
        return {"ImageId": image_id}

    def RegisterImage(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        self._new_name(region, params["Name"])
        for mapping in params.get("BlockDeviceMappings", []):
            if "SnapshotId" in mapping.get("Ebs", {}):
                self._of(region.snapshots, mapping["Ebs"]["SnapshotId"], "InvalidSnapshot.NotFound", "snapshot")
        image = self._image(region, params["Name"], self._id("ami"), params.get("BlockDeviceMappings"))
        for key in ("Description", "Architecture", "RootDeviceName", "VirtualizationType", "EnaSupport"):
            if key in params:
                image[key] = params[key]
        return {"ImageId": image["ImageId"]}

    def CopyImage(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        return self._once(region, "CopyImage", params, lambda: self._copy(region, params))

    def _copy(self, region, params):
        source = self.region(params["SourceRegion"])
        original = self._of(source.images, params["SourceImageId"], "InvalidAMIID.NotFound", "image")
        if original["State"] != "available":
            raise Refusal("InvalidRequest", f"Image {params['SourceImageId']} is not in a state that can be copied")
        self._new_name(region, params["Name"])
        image_id = self._id("ami")
        mappings = copy.deepcopy(original["BlockDeviceMappings"])
        for mapping in mappings:
            mapping["Ebs"]["SnapshotId"] = self._snapshot(region, f"Copied for DestinationAmi {image_id} from SourceAmi "
                                                          f"{params['SourceImageId']}")
            mapping["Ebs"]["Encrypted"] = params.get("Encrypted", mapping["Ebs"].get("Encrypted", False))
        image = self._image(region, params["Name"], image_id, mappings)
        image["Description"] = params.get("Description", f"[Copied {params['SourceImageId']} from {source.name}]")
        if params.get("CopyImageTags"):
            region.tags[image_id] = dict(source.tags.get(params["SourceImageId"], {}))
        return {"ImageId": image_id}

    def DeregisterImage(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        self._of(region.images, params["ImageId"], "InvalidAMIID.NotFound", "image")
        del region.images[params["ImageId"]]
        return {}

    def ModifyImageAttribute(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        image = self._of(region.images, params["ImageId"], "InvalidAMIID.NotFound", "image")
        if "Description" in params:
            image["Description"] = params["Description"].get("Value", "")
        self._permit(image["permissions"], params, params.get("LaunchPermission", {}), "launchPermission")
        image["Public"] = {"Group": "all"} in image["permissions"]
        return {}

    @staticmethod
    def _permit(permissions, params, change, attribute):
        """The three ways of saying who may: the structure, and the older Attribute with OperationType."""
        add, remove = list(change.get("Add", [])), list(change.get("Remove", []))
        named = [{"UserId": one} for one in params.get("UserIds", [])]
        named += [{"Group": one} for one in params.get("UserGroups", params.get("GroupNames", []))]
        if named and params.get("Attribute", attribute) == attribute:
            (remove if params.get("OperationType") == "remove" else add).extend(named)
        permissions[:] = [one for one in permissions if one not in remove]
        permissions.extend(one for one in add if one not in permissions)

    def DescribeImageAttribute(self, params, identity):
        image = self._of(self.region(identity).images, params["ImageId"], "InvalidAMIID.NotFound", "image")
        return {"ImageId": params["ImageId"]} | {
            "launchPermission": {"LaunchPermissions": image["permissions"]},
            "blockDeviceMapping": {"BlockDeviceMappings": image["BlockDeviceMappings"]},
            "description": {"Description": {"Value": image.get("Description", "")}}}.get(params["Attribute"], {})

    def _new_name(self, region, name):
        for image in region.images.values():
            if image["Name"] == name and image["OwnerId"] == self.world.account:
                raise Refusal("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image['ImageId']}")

    # --- snapshots and volumes ---

    def _snapshot(self, region, description, volume=None):
        snapshot_id = self._id("snap")
        volume = volume or {"VolumeId": "vol-ffffffff", "Size": 8, "Encrypted": False}
        region.snapshots[snapshot_id] = {
            "SnapshotId": snapshot_id, "Description": description, "VolumeId": volume["VolumeId"], "VolumeSize": volume["Size"],
            "Encrypted": volume["Encrypted"], "State": "completed", "Progress": "100%", "OwnerId": self.world.account,
            "StartTime": self.world.now(), "permissions": []}
        return snapshot_id

    @staticmethod
    def _snapshots_of(image):
        return [one["Ebs"]["SnapshotId"] for one in image["BlockDeviceMappings"] if "SnapshotId" in one.get("Ebs", {})]

    def DescribeSnapshots(self, params, identity):
        region = self.region(identity)
        wanted = params.get("SnapshotIds", [])
        found = [self._of(region.snapshots, one, "InvalidSnapshot.NotFound", "snapshot") for one in wanted]
        shown = [self._shown(region, one, "SnapshotId") for one in (found or ([] if wanted else region.snapshots.values()))]
        readers = {"snapshot-id": field("SnapshotId"), "status": field("State"), "volume-id": field("VolumeId"),
                   "owner-id": field("OwnerId"), "description": field("Description"), "tag-key": tag_keys}
        return self._paged("Snapshots", filtered(shown, params.get("Filters", []), readers), params)

    def ModifySnapshotAttribute(self, params, identity):
        self._dry(params)
        snapshot = self._of(self.region(identity).snapshots, params["SnapshotId"], "InvalidSnapshot.NotFound", "snapshot")
        self._permit(snapshot["permissions"], params, params.get("CreateVolumePermission", {}), "createVolumePermission")
        return {}

    def DescribeSnapshotAttribute(self, params, identity):
        snapshot = self._of(self.region(identity).snapshots, params["SnapshotId"], "InvalidSnapshot.NotFound", "snapshot")
        return {"SnapshotId": params["SnapshotId"], "CreateVolumePermissions": snapshot["permissions"]}

    def DeleteSnapshot(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        self._of(region.snapshots, params["SnapshotId"], "InvalidSnapshot.NotFound", "snapshot")
        for image in region.images.values():
            if params["SnapshotId"] in self._snapshots_of(image):
                raise Refusal("InvalidSnapshot.InUse",
                              f"The snapshot {params['SnapshotId']} is currently in use by {image['ImageId']}")
        del region.snapshots[params["SnapshotId"]]
        return {}

    def DescribeVolumes(self, params, identity):
        region = self.region(identity)
        wanted = params.get("VolumeIds", [])
        found = [self._of(region.volumes, one, "InvalidVolume.NotFound", "volume") for one in wanted]
        shown = [self._shown(region, one, "VolumeId") for one in (found or ([] if wanted else region.volumes.values()))]
        readers = {"volume-id": field("VolumeId"), "status": field("State"), "tag-key": tag_keys,
                   "attachment.instance-id": lambda one: [each["InstanceId"] for each in one["Attachments"]]}
        return self._paged("Volumes", filtered(shown, params.get("Filters", []), readers), params)

    def DeleteVolume(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        if self._of(region.volumes, params["VolumeId"], "InvalidVolume.NotFound", "volume")["Attachments"]:
            raise Refusal("VolumeInUse", f"Volume {params['VolumeId']} is currently attached")
        del region.volumes[params["VolumeId"]]
        return {}
