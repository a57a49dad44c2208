"""CloudFormation's templates: read, checked, and their functions evaluated. Pure.

Formats: AWS CloudFormation User Guide, "Template anatomy", "Intrinsic function reference", "Parameters". Error texts
are AWS's own.
"""
import base64
import json
import re

import ruamel.yaml
import ruamel.yaml.error

from wire import Refusal

SECTIONS = {"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Rules", "Mappings", "Conditions",
            "Transform", "Resources", "Outputs", "Hooks", "Globals"}
PARAMETER_TYPE = re.compile(r"String|Number|List<(Number|String)>|CommaDelimitedList|(List<)?AWS::[\w:]+>?|"
                            r"AWS::SSM::Parameter::(Name|Value<.+>)")
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
NO_VALUE = object()
# Those of IAM that may be named: naming them needs a capability of its own.
IAM_NAMES = {"AWS::IAM::Role": "RoleName", "AWS::IAM::User": "UserName", "AWS::IAM::Group": "GroupName",
             "AWS::IAM::ManagedPolicy": "ManagedPolicyName", "AWS::IAM::InstanceProfile": "InstanceProfileName"}
IAM_OTHERS = {"AWS::IAM::Policy", "AWS::IAM::AccessKey", "AWS::IAM::UserToGroupAddition"}


def invalid(text):
    return Refusal("ValidationError", text)


class _Loader(ruamel.yaml.SafeLoader):
    """YAML with the short forms of functions; dates stay text, as in AWSTemplateFormatVersion."""


def _short_form(loader, suffix, node):
    if isinstance(node, ruamel.yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, ruamel.yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)


def _read(text):
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text)
        return ruamel.yaml.load(text, Loader=_Loader)
    except json.JSONDecodeError as error:
        raise invalid(f"Template format error: JSON not well-formed. (line {error.lineno}, column {error.colno})") from error
    except ruamel.yaml.error.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise invalid(f"Template format error: YAML not well-formed.{place}") from error


class Template:
    """A template that CloudFormation takes; raises Refusal otherwise."""

    def __init__(self, text):
        self.text = text
        self.tree = _read(text)
        if not isinstance(self.tree, dict):
            raise invalid("Template format error: unsupported structure.")
        unknown = sorted(set(self.tree) - SECTIONS)
        if unknown:
            raise invalid(f"Invalid template property or properties [{', '.join(unknown)}]")
        self.parameters = self._section("Parameters")
        self.resources = self._section("Resources")
        self.outputs = self._section("Outputs")
        self.conditions = self._section("Conditions")
        self.mappings = self._section("Mappings")
        self._check_parameters()
        self._check_resources()

    def _section(self, name):
        value = self.tree.get(name) or {}
        if not isinstance(value, dict):
            raise invalid(f"Template format error: {name} must be an object.")
        return value

    def _check_parameters(self):
        for name, one in self.parameters.items():
            if not isinstance(one, dict) or "Type" not in one:
                raise invalid(f"Template format error: Every Parameters object must contain a Type member. [{name}]")
            if not PARAMETER_TYPE.fullmatch(str(one["Type"])):
                raise invalid(f"Template format error: Unrecognized parameter type: {one['Type']}")

    def _check_resources(self):
        if not self.resources:
            raise invalid("Template format error: At least one Resources member must be defined.")
        for name, one in self.resources.items():
            if not re.fullmatch(r"[A-Za-z0-9]+", str(name)):
                raise invalid(f"Template format error: Resource name {name} is non alphanumeric.")
            if not isinstance(one, dict) or "Type" not in one:
                raise invalid(f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member.")
            if not re.fullmatch(r"(AWS|Alexa|Custom|[A-Z][A-Za-z0-9]+)(::[A-Za-z0-9]+){1,3}(::MODULE)?", one["Type"]):
                raise invalid(f"Template format error: Unrecognized resource types: [{one['Type']}]")
        known = set(self.parameters) | set(self.resources)
        for block, tree in (("Resources", self.resources), ("Outputs", self.outputs)):
            missing = sorted({name for name in references(tree) if name not in known and not name.startswith("AWS::")})
            if missing:
                raise invalid(f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] "
                              f"in the {block} block of the template")
        self.waves()  # a circle is refused

    def waves(self, names=None):
        """The resources in the order in which they can be made: what a wave holds can be made at once."""
        wanted = set(self.resources if names is None else names)
        needs = {name: self.needs(name) & wanted for name in self.resources if name in wanted}
        result = []
        while needs:
            ready = [name for name, needed in needs.items() if not needed & set(needs)]
            if not ready:
                raise invalid(f"Circular dependency between resources: [{', '.join(sorted(needs))}]")
            result.append(ready)
            needs = {name: needed for name, needed in needs.items() if name not in ready}
        return result

    def needs(self, name):
        resource = self.resources[name]
        after = resource.get("DependsOn", [])
        return (references(resource) | set([after] if isinstance(after, str) else after)) & set(self.resources) - {name}

    def capabilities(self):
        """(the capabilities it needs, the reason in AWS's words)."""
        named = [one["Type"] for one in self.resources.values()
                 if IAM_NAMES.get(one["Type"]) in (one.get("Properties") or {}) and one["Type"] in IAM_NAMES]
        iam = [one["Type"] for one in self.resources.values() if one["Type"] in IAM_NAMES or one["Type"] in IAM_OTHERS]
        needed = ["CAPABILITY_NAMED_IAM"] if named else ["CAPABILITY_IAM"] if iam else []
        if self.transforms():
            needed.append("CAPABILITY_AUTO_EXPAND")
        reason = f"The following resource(s) require capabilities: [{', '.join(sorted(set(iam)))}]" if iam else ""
        return needed, reason

    def transforms(self):
        declared = self.tree.get("Transform", [])
        return [declared] if isinstance(declared, (str, dict)) else declared

    def check_capabilities(self, given):
        needed, _ = self.capabilities()
        if "CAPABILITY_NAMED_IAM" in given:
            given = [*given, "CAPABILITY_IAM"]
        missing = [one for one in needed if one not in given]
        if missing:
            raise Refusal("InsufficientCapabilitiesException", f"Requires capabilities : [{', '.join(missing)}]")

    # --- parameters ---

    def values(self, given, previous):
        """The value of each parameter. `given`: as the API has them; `previous`: the stack's, none for a new one."""
        unknown = [one["ParameterKey"] for one in given if one["ParameterKey"] not in self.parameters]
        if unknown:
            raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        said = {one["ParameterKey"]: self._said(one, previous) for one in given}
        values, missing = {}, []
        for name, declared in self.parameters.items():
            if name in said:
                values[name] = said[name]
            elif "Default" in declared:
                values[name] = as_text(declared["Default"])
            else:
                missing.append(name)
        if missing:
            raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
        for name, value in values.items():
            check_value(name, value, self.parameters[name])
        return values

    @staticmethod
    def _said(one, previous):
        key = one["ParameterKey"]
        if not one.get("UsePreviousValue"):
            return one.get("ParameterValue", "")
        if "ParameterValue" in one:
            raise invalid(f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true and non "
                          "empty value for a parameter")
        if key not in (previous or {}):
            raise invalid(f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true for a "
                          "parameter key not in the previous template")
        return previous[key]

    def masked(self, values):
        """The values as AWS shows them."""
        return {name: "****" if is_true(self.parameters.get(name, {}).get("NoEcho")) else value
                for name, value in values.items()}


def is_true(value):
    return value in (True, "true", "True")


def as_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(as_text(one) for one in value) if isinstance(value, list) else str(value)


def check_value(name, value, declared):
    """That the value keeps to what its parameter declares."""
    def refuse(text):
        raise invalid(f"Parameter {name} failed to satisfy constraint: {declared['ConstraintDescription']}"
                      if "ConstraintDescription" in declared else text)

    kind = declared["Type"]
    several = kind == "CommaDelimitedList" or kind.startswith("List<")
    parts = [part.strip() for part in value.split(",")] if several else [value]
    allowed = [as_text(one) for one in declared.get("AllowedValues", [])]
    for part in parts:
        if "Number" in kind:
            try:
                number = float(part)
            except ValueError:
                raise invalid(f"Parameter '{name}' must be a number") from None
            if number < float(declared.get("MinValue", number)):
                refuse(f"Parameter '{name}' must be a number not less than {declared['MinValue']}")
            if number > float(declared.get("MaxValue", number)):
                refuse(f"Parameter '{name}' must be a number not greater than {declared['MaxValue']}")
        if allowed and part not in allowed:
            refuse(f"Parameter '{name}' must be one of AllowedValues")
        if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"], part):
            refuse(f"Parameter {name} failed to satisfy constraint: {name} must match pattern {declared['AllowedPattern']}")
    if len(value) < int(declared.get("MinLength", 0)):
        refuse(f"Parameter '{name}' must contain at least {declared['MinLength']} characters")
    if len(value) > int(declared.get("MaxLength", len(value))):
        refuse(f"Parameter '{name}' must contain at most {declared['MaxLength']} characters")


# --- references ------------------------------------------------------------------------------------------------------

IN_TEXT = re.compile(r"\$\{([^!}][^}]*)\}")


def _function(value):
    """(name, argument) of a function; (None, None) of anything else."""
    if isinstance(value, dict) and len(value) == 1:
        (name, argument), = value.items()
        if name in ("Ref", "Condition") or str(name).startswith("Fn::"):
            return name, argument
    return None, None


def references(tree):
    """The names of parameters and resources that a tree mentions."""
    return {name for name, _ in mentions(tree)}


def mentions(tree):
    """{(name, attribute or None)}."""
    name, argument = _function(tree)
    if name == "Ref":
        return {(argument, None)}
    if name == "Fn::GetAtt":
        one, attribute = _attribute(argument)
        return {(one, attribute)}
    found = set()
    if name == "Fn::Sub":
        text, own = (argument, {}) if isinstance(argument, str) else argument
        for mentioned in IN_TEXT.findall(text):
            if mentioned not in own:
                one, dot, attribute = mentioned.partition(".")
                found.add((one, attribute if dot else None))
        return found | mentions(own)
    for child in (tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()):
        found |= mentions(child)
    return found


def _attribute(argument):
    if isinstance(argument, str):
        argument = argument.split(".", 1)
    return argument[0], as_text(argument[1])


class Evaluation:
    """Functions over what is known: values of parameters, physical ids, attributes.

    `resource(name)`: physical id; `attribute(name, attribute)`; `imported(export)`; `pseudo`: of AWS::….
    """

    def __init__(self, template, values, pseudo, resource, attribute, imported):
        self.template, self.values_of, self.pseudo = template, values, pseudo
        self._resource, self._attribute, self._imported = resource, attribute, imported

    def __call__(self, value):
        name, argument = _function(value)
        if name is not None:
            method = getattr(self, "_" + name.replace("Fn::", "").lower(), None)
            if method is None:
                raise invalid(f"Template error: the double does not evaluate {name}")
            return method(argument)
        if isinstance(value, dict):
            pairs = ((key, self(inner)) for key, inner in value.items())
            return {key: inner for key, inner in pairs if inner is not NO_VALUE}
        if isinstance(value, list):
            return [one for one in map(self, value) if one is not NO_VALUE]
        return value

    def holds(self, condition):
        return self(self.template.conditions[condition]) is True

    def present(self):
        """The resources whose condition holds."""
        return [name for name, one in self.template.resources.items()
                if "Condition" not in one or self.holds(one["Condition"])]

    def _ref(self, name):
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.values_of:
            kind = self.template.parameters[name]["Type"]
            several = kind == "CommaDelimitedList" or kind.startswith("List<") or "<List<" in kind
            return [one.strip() for one in self.values_of[name].split(",")] if several else self.values_of[name]
        return self._resource(name)

    def _getatt(self, argument):
        return self._attribute(*_attribute(argument))

    def _sub(self, argument):
        text, own = (argument, {}) if isinstance(argument, str) else argument
        own = self(own)

        def value(match):
            name, dot, attribute = match.group(1).partition(".")
            if match.group(1) in own:
                return as_text(own[match.group(1)])
            return as_text(self._attribute(name, attribute) if dot else self._ref(name))

        return IN_TEXT.sub(value, text).replace("${!", "${")

    def _join(self, argument):
        return argument[0].join(as_text(one) for one in self(argument[1]))

    def _select(self, argument):
        index, items = int(self(argument[0])), self(argument[1])
        if index >= len(items):
            raise invalid("Template error: Fn::Select cannot select nonexistent value at index " + str(index))
        return items[index]

    def _split(self, argument):
        return as_text(self(argument[1])).split(argument[0])

    def _base64(self, argument):
        return base64.b64encode(as_text(self(argument)).encode()).decode()

    def _findinmap(self, argument):
        name, first, second = (as_text(self(one)) for one in argument[:3])
        try:
            return self.template.mappings[name][first][second]
        except KeyError:
            raise invalid(f"Template error: Unable to get mapping for {name}::{first}::{second}") from None

    def _importvalue(self, argument):
        return self._imported(as_text(self(argument)))

    def _getazs(self, argument):
        region = as_text(self(argument)) or self.pseudo["AWS::Region"]
        return [region + letter for letter in "abc"]

    def _if(self, argument):
        return self(argument[1] if self.holds(argument[0]) else argument[2])

    def _condition(self, argument):
        return self.holds(argument)

    def _equals(self, argument):
        return as_text(self(argument[0])) == as_text(self(argument[1]))

    def _and(self, argument):
        return all(self(one) is True for one in argument)

    def _or(self, argument):
        return any(self(one) is True for one in argument)

    def _not(self, argument):
        return self(argument[0]) is not True
