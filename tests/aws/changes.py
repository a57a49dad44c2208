"""What an update of a stack would change, as a change set tells it. Pure.

CloudFormation API Reference, "ResourceChange", "ResourceChangeDetail", "ResourceTargetDefinition"; which property makes
a new resource: the resource types' reference, "Update requires". Types that are not listed go by their names: a
resource that gets another name is another resource.
"""
import json

from templates import KNOWN_AFTER_APPLY, Evaluation, as_text, mentions

ALL = "*"
ALWAYS = {
    "AWS::AutoScaling::AutoScalingGroup": {"AutoScalingGroupName", "InstanceId"},
    "AWS::AutoScaling::LaunchConfiguration": {ALL},
    "AWS::DynamoDB::Table": {"TableName", "KeySchema"},
    "AWS::EC2::Instance": {"ImageId", "KeyName", "SubnetId", "AvailabilityZone", "PrivateIpAddress", "NetworkInterfaces"},
    "AWS::EC2::LaunchTemplate": {"LaunchTemplateName"},
    "AWS::EC2::SecurityGroup": {"GroupName", "GroupDescription", "VpcId"},
    "AWS::EC2::Subnet": {"VpcId", "CidrBlock", "AvailabilityZone"},
    "AWS::EC2::VPC": {"CidrBlock"},
    "AWS::ECS::Service": {"ServiceName", "Cluster", "LaunchType", "SchedulingStrategy", "DeploymentController"},
    "AWS::ECS::TaskDefinition": {ALL},
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"Name", "Scheme", "Type"},
    "AWS::ElasticLoadBalancingV2::TargetGroup": {"Name", "Port", "Protocol", "VpcId", "TargetType"},
    "AWS::IAM::Role": {"RoleName", "Path"},
    "AWS::RDS::DBInstance": {"DBInstanceIdentifier", "DBName", "MasterUsername", "DBSnapshotIdentifier", "StorageEncrypted",
                             "AvailabilityZone", "KmsKeyId"},
    "AWS::SSM::Parameter": {"Name", "DataType"},
}
CONDITIONALLY = {
    "AWS::EC2::Instance": {"InstanceType", "UserData", "SecurityGroupIds", "EbsOptimized", "BlockDeviceMappings"},
    "AWS::RDS::DBInstance": {"Engine", "DBInstanceClass", "EngineVersion"},
}
EMPTY = "The submitted information didn't contain changes. Submit different information to create a change set."
EMPTY_TRANSFORMED = "No updates are to be performed."
NESTED = "AWS::CloudFormation::Stack"
OTHER_ATTRIBUTES = ("Metadata", "CreationPolicy", "UpdatePolicy", "DeletionPolicy", "UpdateReplacePolicy")


def recreation(kind, name):
    """Never, Conditionally or Always."""
    if name == "Tags":
        return "Never"
    if name in CONDITIONALLY.get(kind, ()):
        return "Conditionally"
    always = ALWAYS.get(kind)
    if always is None:
        always = {"Name", kind.rpartition("::")[2] + "Name"}
    return "Always" if name in always or ALL in always else "Never"


class Difference:
    """Between what a stack holds and what it is to hold.

    `held`: name -> {"type", "physical", "properties"}; `old`, `new`: have `template`, `values`, `tags`, and `evaluation(
    resource, attribute)`; `old` is none for a new stack. `nested(name, properties)`: whether that stack would change.
    """

    def __init__(self, held, old, new, attribute, nested):
        self.held, self.old, self.new, self.nested = held, old, new, nested
        self._attribute_of = attribute
        self.changes, self._by_name = [], {}
        self._evaluate = new.evaluation(self._physical, self._attribute)
        self._shown = new.evaluation(self._physical, self._attribute, masked=True)
        self.present = self._evaluate.present()
        for wave in new.template.waves(self.present):
            for name in wave:
                self._note(name, self._modified(name) if name in held else self._added(name))
        for name in held:
            if name not in self.present:
                self._note(name, self._removed(name))

    def outputs_differ(self):
        return self.old is None or self.old.template.outputs != self.new.template.outputs or \
            any(self._changed_parameter(name) for name, _ in mentions(self.new.template.outputs))

    def _note(self, name, change):
        if change:
            self.changes.append(change)
            self._by_name[name] = change

    def _physical(self, name):
        change = self._by_name.get(name)
        if name not in self.held or change and change.get("Replacement") in ("True", "Conditional"):
            return KNOWN_AFTER_APPLY
        return self.held[name]["physical"]

    def _attribute(self, name, attribute):
        return KNOWN_AFTER_APPLY if name in self._by_name else self._attribute_of(name, attribute)

    def _changed_parameter(self, name):
        return self.old is not None and name in self.new.template.parameters and \
            self.old.values.get(name) != self.new.values.get(name)

    def _context(self, properties):
        return json.dumps({"Properties": properties or {}}, default=str)

    def _added(self, name):
        resource = self.new.template.resources[name]
        return {"Action": "Add", "LogicalResourceId": name, "ResourceType": resource["Type"], "Scope": [], "Details": [],
                "AfterContext": self._context(self._shown(resource.get("Properties")))}

    def _removed(self, name):
        kept = (self.old.template.resources.get(name) or {}).get("DeletionPolicy") == "Retain"
        held = self.held[name]
        return {"Action": "Remove", "PolicyAction": "Retain" if kept else "Delete", "LogicalResourceId": name,
                "PhysicalResourceId": held["physical"], "ResourceType": held["type"], "Scope": [], "Details": [],
                "BeforeContext": self._context(held["shown"])}

    def _modified(self, name):
        resource, held = self.new.template.resources[name], self.held[name]
        before = self.old.template.resources.get(name, {})
        details = [*self._properties(name, resource, before, held), *self._other_attributes(resource, before),
                   *self._stack_tags()]
        if resource["Type"] == NESTED and self.nested(name, self._evaluate(resource.get("Properties") or {})):
            details.append(self._detail("Properties", None, "Never", "Dynamic", "Automatic"))
        if not details:
            return None
        scope = sorted({one["Target"]["Attribute"] for one in details})
        return {"Action": "Modify", "LogicalResourceId": name, "PhysicalResourceId": held["physical"],
                "ResourceType": resource["Type"], "Replacement": self._replacement(details), "Scope": scope,
                "Details": details, "BeforeContext": self._context(held["shown"]),
                "AfterContext": self._context(self._shown(resource.get("Properties")))}

    def _properties(self, name, resource, before, held):
        raw_old, raw_new = before.get("Properties") or {}, resource.get("Properties") or {}
        old, new = held["properties"], self._evaluate(raw_new)
        shown = self._shown(raw_new)
        for key in sorted(set(old) | set(new)):
            if old.get(key) == new.get(key):
                continue
            requires = recreation(resource["Type"], key)
            attribute = "Tags" if key == "Tags" else "Properties"
            values = (as_json(held["shown"].get(key)), as_json(shown.get(key)))
            yield from (self._detail(attribute, key, requires, *cause, values=values)
                        for cause in self._causes(raw_old.get(key), raw_new.get(key)))

    def _causes(self, raw_old, raw_new):
        """[(evaluation, source, causing entity)] of a property that changes. What a parameter changes AWS tells as a dynamic
        modification too.
        """
        causes = [("Static" if raw_old != raw_new else "Dynamic", "DirectModification", None)]
        for name, attribute in sorted(mentions(raw_new), key=str):
            if self._changed_parameter(name):
                causes.append(("Static", "ParameterReference", name))
            elif name in self._by_name and attribute:
                causes.append(("Dynamic", "ResourceAttribute", f"{name}.{attribute}"))
            elif name in self._by_name and self._by_name[name].get("Replacement") != "False":
                causes.append(("Dynamic", "ResourceReference", name))
        if len(causes) == 1:  # by a condition, say
            return [("Static", "DirectModification", None)]
        return causes if causes[1][0] == "Static" or raw_old != raw_new else causes[1:]

    def _other_attributes(self, resource, before):
        for key in OTHER_ATTRIBUTES:
            if resource.get(key) != before.get(key):
                yield self._detail(key, None, "Never", "Static", "DirectModification")

    def _stack_tags(self):
        if self.old.tags != self.new.tags:
            yield self._detail("Tags", None, "Never", "Static", "DirectModification")

    @staticmethod
    def _detail(attribute, name, requires, evaluation, source, entity=None, values=(None, None)):
        target = {"Attribute": attribute, "RequiresRecreation": requires}
        if name and attribute == "Properties":
            target |= {"Name": name, "BeforeValue": values[0], "AfterValue": values[1]}
        detail = {"Target": target, "Evaluation": evaluation, "ChangeSource": source}
        return detail | ({"CausingEntity": entity} if entity else {})

    @staticmethod
    def _replacement(details):
        seen = {(one["Evaluation"], one["Target"]["RequiresRecreation"]) for one in details}
        if ("Static", "Always") in seen:
            return "True"
        return "False" if all(requires == "Never" for _, requires in seen) else "Conditional"


def as_json(value):
    return None if value is None else value if isinstance(value, str) else \
        json.dumps(value) if isinstance(value, (dict, list)) else as_text(value)


class Deployment:
    """What a stack is to hold: a template, the values of its parameters, tags."""

    def __init__(self, template, values, tags, pseudo, imported, resolved=None):
        self.template, self.values, self.tags = template, values, tags
        self.resolved = resolved or {}  # of parameters that name one of SSM's
        self._pseudo, self._imported = pseudo, imported

    def evaluation(self, resource, attribute, masked=False):
        values = self.values | self.resolved
        return Evaluation(self.template, self.template.masked(values) if masked else values, self._pseudo, resource,
                          attribute, self._imported)
