"""EC2's launch templates and their versions, as a part of Ec2 (ec2.py)."""
import copy

from listing import field, filtered, tag_keys, tag_list
from wire import Refusal


class LaunchTemplates:
    def _seed_template(self, region, order):
        template = self._template(region, order["name"], order.get("id"))
        for data in order["versions"]:
            self._add_version(template, data, None)
        template["default"] = order.get("default", 1)

    def _template(self, region, name, template_id=None):
        template = {"LaunchTemplateId": template_id or self._id("lt"), "LaunchTemplateName": name, "CreateTime": self.world.now(),
                    "CreatedBy": f"arn:aws:iam::{self.world.account}:user/example", "versions": {}, "default": 1}
        region.templates[template["LaunchTemplateId"]] = template
        return template

    def _add_version(self, template, data, description):
        number = max(template["versions"], default=0) + 1  # a deleted number is not used again: see `last`
        number = max(number, template.get("last", 0) + 1)
        template["last"] = number
        template["versions"][number] = {"data": copy.deepcopy(data), "description": description, "created": self.world.now()}
        return number

    def CreateLaunchTemplate(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        return self._once(region, "CreateLaunchTemplate", params, lambda: self._new_template(region, params))

    def _new_template(self, region, params):
        name = params["LaunchTemplateName"]
        if any(one["LaunchTemplateName"] == name for one in region.templates.values()):
            raise Refusal("InvalidLaunchTemplateName.AlreadyExistsException", f"Launch template name already in use: {name}")
        template = self._template(region, name)
        self._add_version(template, params["LaunchTemplateData"], params.get("VersionDescription"))
        self._tag_as_asked(region, params, "launch-template", [template["LaunchTemplateId"]])
        return {"LaunchTemplate": self._template_shown(region, template)}

    def CreateLaunchTemplateVersion(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        return self._once(region, "CreateLaunchTemplateVersion", params, lambda: self._new_version(region, params))

    def _new_version(self, region, params):
        template = self.template(region, params)
        data = {}
        if "SourceVersion" in params:
            data = self.version(template, params["SourceVersion"])["data"]
        number = self._add_version(template, data | params["LaunchTemplateData"], params.get("VersionDescription"))
        return {"LaunchTemplateVersion": self._version_shown(template, number)}

    def DescribeLaunchTemplates(self, params, identity):
        region = self.region(identity)
        templates = list(region.templates.values())
        ids, names = params.get("LaunchTemplateIds", []), params.get("LaunchTemplateNames", [])
        if ids or names:
            templates = [self.template(region, {"LaunchTemplateId": one}) for one in ids]
            templates += [self.template(region, {"LaunchTemplateName": one}) for one in names]
        readers = {"launch-template-name": field("LaunchTemplateName"), "tag-key": tag_keys}
        shown = filtered([self._template_shown(region, one) for one in templates], params.get("Filters", []), readers)
        return self._paged("LaunchTemplates", shown, params)

    def DescribeLaunchTemplateVersions(self, params, identity):
        region = self.region(identity)
        wanted = params.get("Versions", [])
        if "LaunchTemplateId" in params or "LaunchTemplateName" in params:
            templates = [self.template(region, params)]
        elif wanted and set(wanted) <= {"$Latest", "$Default"}:
            templates = list(region.templates.values())
        else:
            raise Refusal("MissingParameter", "Either a launch template ID or a launch template name must be specified")
        least = int(params.get("MinVersion", 1))
        most = int(params.get("MaxVersion", 10**9))
        shown = []
        for template in templates:
            numbers = {self.resolve(template, one) for one in wanted} or set(template["versions"])
            shown += [self._version_shown(template, one) for one in sorted(numbers, reverse=True) if least <= one <= most]
        readers = {
            "image-id": lambda one: [one["LaunchTemplateData"].get("ImageId", "")], "create-time": field("CreateTime"),
            "instance-type": lambda one: [one["LaunchTemplateData"].get("InstanceType", "")],
            "is-default-version": lambda one: ["true" if one["DefaultVersion"] else "false"]}
        return self._paged("LaunchTemplateVersions", filtered(shown, params.get("Filters", []), readers), params)

    def ModifyLaunchTemplate(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        template = self.template(region, params)
        if "DefaultVersion" in params:
            template["default"] = self.resolve(template, params["DefaultVersion"])
        return {"LaunchTemplate": self._template_shown(region, template)}

    def DeleteLaunchTemplate(self, params, identity):
        region = self.region(identity)
        self._dry(params)
        template = self.template(region, params)
        shown = self._template_shown(region, template)
        del region.templates[template["LaunchTemplateId"]]
        return {"LaunchTemplate": shown}

    def DeleteLaunchTemplateVersions(self, params, identity):
        self._dry(params)
        template = self.template(self.region(identity), params)
        done, failed = [], []
        for one in params["Versions"]:
            named = {"LaunchTemplateId": template["LaunchTemplateId"], "LaunchTemplateName": template["LaunchTemplateName"],
                     "VersionNumber": int(one)}
            if int(one) == template["default"]:
                failed.append(named | {"ResponseError": {"Code": "unexpectedError", "Message":
                                                         "Cannot delete the default version of a launch template"}})
            elif int(one) not in template["versions"]:
                failed.append(named | {"ResponseError": {"Code": "launchTemplateVersionDoesNotExist", "Message":
                                                         "The specified launch template version does not exist."}})
            else:
                del template["versions"][int(one)]
                done.append(named)
        return {"SuccessfullyDeletedLaunchTemplateVersions": done, "UnsuccessfullyDeletedLaunchTemplateVersions": failed}

    # --- for others: Auto Scaling, RunInstances ---

    @staticmethod
    def template(region, named):
        """The template that LaunchTemplateId or LaunchTemplateName names (one of them, not both)."""
        template_id, name = named.get("LaunchTemplateId"), named.get("LaunchTemplateName")
        if (template_id is None) == (name is None):
            raise Refusal("MissingParameter", "Specify either a launch template ID or a launch template name, and not both")
        if template_id in region.templates:
            return region.templates[template_id]
        for one in region.templates.values():
            if name is not None and one["LaunchTemplateName"] == name:
                return one
        if template_id is not None:
            raise Refusal("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID "
                                                              f"{template_id}, does not exist.")
        raise Refusal("InvalidLaunchTemplateName.NotFoundException",
                      f"The specified launch template, with template name {name}, does not exist.")

    @staticmethod
    def resolve(template, version):
        """The number that a version, $Latest or $Default means now."""
        number = {"$Latest": max(template["versions"]), "$Default": template["default"]}.get(version)
        if number is None and version.isdigit() and int(version) in template["versions"]:
            number = int(version)
        if number is None:
            raise Refusal("InvalidLaunchTemplateId.VersionNotFound",
                          f"Could not find the specified version {version} for the launch template with ID "
                          f"{template['LaunchTemplateId']}.")
        return number

    def version(self, template, version):
        return template["versions"][self.resolve(template, version)]

    def data_of(self, region, named):
        """What a {LaunchTemplateId|Name, Version} stands for, to be launched."""
        template = self.template(region, named)
        return copy.deepcopy(self.version(template, named.get("Version", "$Default"))["data"])

    # --- as a caller sees them ---

    @staticmethod
    def _template_shown(region, template):
        shown = {key: template[key] for key in ("LaunchTemplateId", "LaunchTemplateName", "CreateTime", "CreatedBy")}
        return shown | {"DefaultVersionNumber": template["default"], "LatestVersionNumber": max(template["versions"]),
                        "Tags": tag_list(region.tags.get(template["LaunchTemplateId"], {}))}

    @staticmethod
    def _version_shown(template, number):
        kept = template["versions"][number]
        return {"LaunchTemplateId": template["LaunchTemplateId"], "LaunchTemplateName": template["LaunchTemplateName"],
                "VersionNumber": number, "VersionDescription": kept["description"], "CreateTime": kept["created"],
                "CreatedBy": template["CreatedBy"], "DefaultVersion": number == template["default"],
                "LaunchTemplateData": copy.deepcopy(kept["data"])}
