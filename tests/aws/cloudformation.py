"""CloudFormation: stacks, change sets, templates. Nothing moves by time: each look moves a stack or a change set one step.

A look at a stack is DescribeStacks of that stack and the first page of DescribeStackEvents; at a change set,
DescribeChangeSet. What there is, and what will go wrong, is ordered beforehand:
    {"cloudformation": {
        "stacks": [{"name", "template": text, "parameters": {}, "tags": {}, "capabilities": [], "status", "protected"}],
                                       made at once, in any status (CREATE_COMPLETE; ROLLBACK_COMPLETE, …)
        "failures": [{"stack": "app*", "resource": "Web", "at": "create", "reason", "times": 1}],
                                       at: create, update, delete, rollback, or several: "create or update" (the default)
        "busy": [{"stack", "looks": 3, "status": "UPDATE_IN_PROGRESS"}],    somebody else's update, for so many looks
        "changed": [{"stack", "parameters": {}, "template"}],               somebody else's update, done at once
        "drift": [{"stack", "resource", "properties": {}, "deleted": false}],   changed by hand, as DetectStackDrift sees
        "change_sets": [{"stack": "app", "looks": 2, "fails": "reason"}],   the next ones of that stack, in order
        "attributes": {"Web.PublicIp": "192.0.2.1"}, "templates": {URL: text}, "region": "eu-west-1",
        "page": 2}}                                                         how much a page of an answer holds
Error texts are AWS's. TemplateURL is read from the double's S3 (or "templates").
"""
import fnmatch
import json
import re
import urllib.parse
import uuid

import stacks
from change_sets import ChangeSets
from changes import EMPTY_TRANSFORMED, Deployment, Difference
from stacks import NAME, SETTINGS, Stack, pattern_error
from templates import Template, invalid
from wire import Refusal

MOST_TEMPLATE, MOST_TEMPLATE_AT_URL = 51200, 1000000  # bytes


class CloudFormation(ChangeSets):
    def __init__(self, world):
        self.world = world
        self.stacks = []  # all that ever were; a name belongs to the last one that is not deleted
        self.change_sets = []
        self.failures, self.change_set_orders, self.attributes, self.templates = [], [], {}, {}
        self.drifts, self.detections = {}, {}
        self.tokens = {}  # client request token -> what it was used for
        self.page = 100
        self.region = "eu-west-1"

    # --- what the test orders ---

    def control(self, orders):
        self.page = orders.get("page", self.page)
        self.region = orders.get("region", self.region)
        self.attributes |= orders.get("attributes", {})
        self.templates |= orders.get("templates", {})
        for order in orders.get("stacks", []):
            self._make_stack(order)
        self.failures.extend(dict(one) for one in orders.get("failures", []))
        self.change_set_orders.extend(orders.get("change_sets", []))
        for order in orders.get("busy", []):
            stack = self._stack(order["stack"])
            stack.busy_looks, stack.busy_then = order["looks"], order.get("then", stack.status)
            stack.say(order.get("status", "UPDATE_IN_PROGRESS"), "User Initiated")
        for order in orders.get("changed", []):
            stack = self._stack(order["stack"])
            template = Template(order["template"]) if "template" in order else stack.deployed.template
            values = stack.deployed.values | order.get("parameters", {})
            self._obsolete(stack)
            stack.start(stack.updating(self._deployment(stack, template, values, stack.deployed.tags)))
            stack.finish()
        for order in orders.get("drift", []):
            self.drifts[(self._stack(order["stack"]).id, order["resource"])] = order

    def _make_stack(self, order):
        stack = Stack(self, order["name"], order.get("region", self.region))
        template = Template(order["template"])
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in order.get("parameters", {}).items()]
        target = self._deployment(stack, template, template.values(given, None), order.get("tags", {}))
        stack.settings["Capabilities"] = order.get("capabilities", [])
        stack.protected = order.get("protected", False)
        self.stacks.append(stack)
        stack.start(stack.creating(target))
        stack.finish()
        if order.get("status", stack.status) != stack.status:
            stack.say(order["status"])
            if order["status"] == "ROLLBACK_COMPLETE":
                stack.resources.clear()

    # --- what a stack asks of its surroundings ---

    def failure(self, stack, resource, at):
        for order in self.failures:
            when = order.get("at", "create or update").split(" or ")
            if fnmatch.fnmatchcase(stack, order.get("stack", "*")) and order["resource"] == resource and at in when:
                order["times"] = order.get("times", 1) - 1
                if order["times"] <= 0:
                    self.failures.remove(order)
                return order["reason"]
        return None

    def nested_stack(self, parent, name, properties):
        child = Stack(self, f"{parent.name}-{name}-{next(stacks.NUMBERS):012X}", parent.region, parent)
        child.settings["Capabilities"] = parent.settings.get("Capabilities", [])
        self.stacks.append(child)
        self.nested_target(child, properties)  # a template that is not there fails before anything is told
        return child

    def nested_target(self, child, properties):
        template = Template(self._template_at(properties["TemplateURL"]))
        given = [{"ParameterKey": key, "ParameterValue": stacks.as_text(value)}
                 for key, value in properties.get("Parameters", {}).items()]
        values = template.values(given, child.deployed.values if child.deployed else None)
        return self._deployment(child, template, values, {})

    def nested_differs(self, child, properties):
        target = self.nested_target(child, properties)
        return target.template.tree != child.deployed.template.tree or target.values != child.deployed.values

    def _deployment(self, stack, template, values, tags):
        pseudo = {"AWS::AccountId": self.world.account, "AWS::Region": stack.region, "AWS::StackName": stack.name,
                  "AWS::StackId": stack.id, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
                  "AWS::NotificationARNs": stack.settings.get("NotificationARNs", [])}
        resolved = {}
        for name, value in values.items():
            if template.parameters[name]["Type"].startswith("AWS::SSM::Parameter::Value<"):
                resolved[name] = self._stored_parameter(value)
        return Deployment(template, values, tags, pseudo, self._imported, resolved)

    def _stored_parameter(self, name):
        stored = self.world.services["ssm"].parameters
        if name not in stored:
            raise invalid(f"Unable to fetch parameters [{name}] from parameter store for this account.")
        return stored[name]["Value"]

    def alarm(self, configuration):
        """The first of the rollback triggers that is in alarm."""
        alarms = self.world.services["cloudwatch"]
        arns = [one["Arn"] for one in configuration.get("RollbackTriggers", [])]
        return next((arn for arn in arns if alarms.state(arn) == "ALARM"), None)

    def _imported(self, export):
        for stack in self.stacks:
            for output in stack.outputs:
                if output.get("ExportName") == export and stack.status != "DELETE_COMPLETE":
                    return output["OutputValue"]
        raise invalid(f"No export named {export} found. Rollback requested by user.")

    def _template_at(self, url):
        if url in self.templates:
            return self.templates[url]
        place = urllib.parse.urlsplit(url)
        parts = urllib.parse.unquote(place.path).lstrip("/").split("/", 1)
        host = place.hostname or ""
        if ".s3" in host:  # the bucket is in the host's name
            parts = [host.partition(".s3")[0], "/".join(parts)]
        if len(parts) < 2:
            raise invalid("TemplateURL must be a supported URL.")
        body = self.world.services["s3"].stored(parts[0], parts[1])
        if body is None:
            raise invalid("S3 error: Access Denied\nFor more information check "
                          "http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html")
        return body.decode()

    # --- finding ---

    def _find(self, name):
        """By id any stack, by name the one that lives."""
        if name.startswith("arn:"):
            return next((one for one in self.stacks if one.id == name), None)
        return next((one for one in self.stacks[::-1] if one.name == name and one.status != "DELETE_COMPLETE"), None)

    def _stack(self, name):
        stack = self._find(name)
        if stack is None:
            raise invalid(f"Stack [{name}] does not exist")
        return stack

    def _pages(self, items, params, token="NextToken"):
        given = params.get(token) or "0"
        start = int(given) if given.isdigit() else len(items) + 1
        if start > len(items):
            raise invalid(f"Invalid {token}")
        more = start + self.page < len(items)
        return items[start:start + self.page], {token: str(start + self.page)} if more else {}

    def _template_of(self, params, stack=None):
        given = [key for key in ("TemplateBody", "TemplateURL", "UsePreviousTemplate") if params.get(key)]
        if len(given) != 1:
            raise invalid("Either Template URL or Template Body must be specified." if not given else
                          "Template URL, Template Body and Use Previous Template are mutually exclusive.")
        if given == ["UsePreviousTemplate"]:
            if stack is None or stack.deployed is None:
                raise invalid("Template can not be reused: the stack has none.")
            return stack.deployed.template
        if given == ["TemplateURL"]:
            text = self._template_at(params["TemplateURL"])
            if len(text.encode()) > MOST_TEMPLATE_AT_URL:
                raise invalid(f"Template may not exceed {MOST_TEMPLATE_AT_URL} bytes in size.")
            return Template(text)
        if len(params["TemplateBody"].encode()) > MOST_TEMPLATE:
            raise invalid(f"1 validation error detected: Value '{params['TemplateBody'][:20]}…' at 'templateBody' failed to "
                          f"satisfy constraint: Member must have length less than or equal to {MOST_TEMPLATE}")
        return Template(params["TemplateBody"])

    def _target(self, stack, params):
        template = self._template_of(params, stack)
        template.check_capabilities(params.get("Capabilities", []))
        previous = stack.deployed.values if stack.deployed else None
        values = template.values(params.get("Parameters", []), previous)
        tags = {one["Key"]: one["Value"] for one in params["Tags"]} if "Tags" in params else \
            (stack.deployed.tags if stack.deployed else {})
        return self._deployment(stack, template, values, tags)

    def _difference(self, stack, target, new=False, include_nested=False):
        def nested(name, properties):
            child = stack.resources[name].get("child")
            return not include_nested or child is None or self.nested_differs(child, properties)

        return Difference({} if new else stack.resources, None if new else stack.deployed, target, stack.attribute, nested)

    def _token(self, params, what, key="ClientRequestToken"):
        """Whether that very call was made before; a token of another call is refused."""
        token = params.get(key)
        if token is None:
            return False
        if not re.fullmatch(r"[a-zA-Z0-9][-a-zA-Z0-9]*", token) or len(token) > 128:
            raise pattern_error(token, key[0].lower() + key[1:], "[a-zA-Z0-9][-a-zA-Z0-9]*")
        if token in self.tokens and self.tokens[token] != what:
            raise Refusal("TokenAlreadyExistsException", f"A client request token already exists: {token}")
        seen = token in self.tokens
        self.tokens[token] = what
        return seen

    @staticmethod
    def _updatable(stack):
        if stack.status not in stacks.UPDATABLE:
            raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")

    def _obsolete(self, stack, but=None):
        for one in self.change_sets:
            if one["stack"] is stack and one is not but and one["execution"] in ("AVAILABLE", "UNAVAILABLE"):
                one["execution"] = "OBSOLETE"

    @staticmethod
    def _policy(params, name):
        return json.loads(params[name]) if name in params else None

    # --- stacks ---

    def CreateStack(self, params, identity):
        name = params["StackName"]
        if not re.fullmatch(NAME, name) or len(name) > 128:
            raise pattern_error(name, "stackName", NAME)
        if "OnFailure" in params and "DisableRollback" in params:
            raise invalid("Cannot specify both OnFailure and DisableRollback.")
        old = self._find(name)
        if self._token(params, ("CreateStack", name)) and old:
            return {"StackId": old.id}
        if old:
            raise Refusal("AlreadyExistsException", f"Stack [{name}] already exists")
        stack = Stack(self, name, identity.region)
        target = self._target(stack, params)
        self._difference(stack, target, new=True)
        stack.settings = {key: params[key] for key in SETTINGS if key in params}
        stack.protected, stack.policy = params.get("EnableTerminationProtection", False), self._policy(params, "StackPolicyBody")
        self.stacks.append(stack)
        on_failure = params.get("OnFailure", "DO_NOTHING" if params.get("DisableRollback") else "ROLLBACK")
        stack.start(stack.creating(target, on_failure), params.get("ClientRequestToken"))
        return {"StackId": stack.id}

    def UpdateStack(self, params, identity):
        stack = self._stack(params["StackName"])
        if self._token(params, ("UpdateStack", stack.id)):
            return {"StackId": stack.id}
        self._updatable(stack)
        target = self._target(stack, params)
        difference = self._difference(stack, target)
        if not difference.changes and not difference.outputs_differ() and target.tags == stack.deployed.tags:
            raise invalid(EMPTY_TRANSFORMED)
        stack.settings |= {key: params[key] for key in SETTINGS if key in params}
        stack.policy = self._policy(params, "StackPolicyBody") or stack.policy
        stack.policy_meanwhile = self._policy(params, "StackPolicyDuringUpdateBody")
        self._obsolete(stack)
        stack.start(stack.updating(target, params.get("DisableRollback", False)), params.get("ClientRequestToken"))
        return {"StackId": stack.id}

    def DeleteStack(self, params, identity):
        stack = self._find(params["StackName"])
        if stack is None or stack.status in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
            return {}
        if self._token(params, ("DeleteStack", stack.id)):
            return {}
        if stack.protected:
            raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        if stack.busy() and stack.status != "CREATE_IN_PROGRESS":
            raise invalid(f"Stack [{stack.name}] cannot be deleted while in status {stack.status}")
        if params.get("RetainResources") and stack.status != "DELETE_FAILED":
            raise invalid(f"Invalid operation on stack [{stack.id}]. RetainResources can only be specified for a stack in "
                          "DELETE_FAILED state.")
        stack.deployed = stack.deployed or stack.target
        self._obsolete(stack)
        stack.start(stack.deleting(params.get("RetainResources", [])), params.get("ClientRequestToken"))
        return {}

    def CancelUpdateStack(self, params, identity):
        stack = self._stack(params["StackName"])
        if stack.status != "UPDATE_IN_PROGRESS":
            raise invalid("CancelUpdateStack cannot be called from current stack status")
        if not self._token(params, ("CancelUpdateStack", stack.id)):
            stack.cancel(params.get("ClientRequestToken"))
        return {}

    def ContinueUpdateRollback(self, params, identity):
        stack = self._stack(params["StackName"])
        if self._token(params, ("ContinueUpdateRollback", stack.id)):
            return {}
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise invalid("RollbackUpdatedStack cannot be called from current stack status")
        skip = params.get("ResourcesToSkip", [])
        wrong = [name for name in skip if stack.resources.get(name, {}).get("status") != "UPDATE_FAILED"]
        if wrong:
            raise invalid(f"The following resource(s) to skip are not in a state to be skipped: [{', '.join(wrong)}]")
        stack.start(stack.continuing(skip), params.get("ClientRequestToken"))
        return {}

    def RollbackStack(self, params, identity):
        stack = self._stack(params["StackName"])
        if stack.status not in ("CREATE_FAILED", "UPDATE_FAILED"):
            raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be rolled back.")
        stack.start(stack.rolling_back(), params.get("ClientRequestToken"))
        return {"StackId": stack.id}

    def UpdateTerminationProtection(self, params, identity):
        stack = self._stack(params["StackName"])
        stack.protected = params["EnableTerminationProtection"]
        return {"StackId": stack.id}

    def SetStackPolicy(self, params, identity):
        self._stack(params["StackName"]).policy = self._policy(params, "StackPolicyBody")
        return {}

    def GetStackPolicy(self, params, identity):
        policy = self._stack(params["StackName"]).policy
        return {"StackPolicyBody": json.dumps(policy)} if policy else {}

    # --- what a stack is ---

    def DescribeStacks(self, params, identity):
        if "StackName" not in params:
            living = [self._described(one) for one in self.stacks if one.status != "DELETE_COMPLETE"]
            shown, more = self._pages(living, params)
            return {"Stacks": shown} | more
        stack = self._find(params["StackName"])
        if stack is not None:
            stack.look()
        if stack is None or (stack.status == "DELETE_COMPLETE" and not params["StackName"].startswith("arn:")):
            raise invalid(f"Stack with id {params['StackName']} does not exist")
        return {"Stacks": [self._described(stack)]}

    def _described(self, stack):
        drifted = [key for key in self.drifts if key[0] == stack.id and key in self.detections.get(stack.id, ())]
        told = {"StackId": stack.id, "StackName": stack.name, "StackStatus": stack.status, "CreationTime": stack.created,
                "DisableRollback": False, "EnableTerminationProtection": stack.protected, "Tags": [], "NotificationARNs": [],
                "RollbackConfiguration": {"RollbackTriggers": []},
                "DriftInformation": {"StackDriftStatus": "NOT_CHECKED" if stack.id not in self.detections else
                                     "DRIFTED" if drifted else "IN_SYNC"}} | stack.settings
        optional = {"StackStatusReason": stack.reason, "LastUpdatedTime": stack.updated, "DeletionTime": stack.deleted,
                    "ParentId": stack.parent and stack.parent.id, "RootId": stack.parent and self._root(stack).id,
                    "ChangeSetId": next((one["id"] for one in self.change_sets[::-1] if one["stack"] is stack and
                                         one["execution"].startswith("EXECUTE")), None)}
        told |= {key: value for key, value in optional.items() if value}
        deployed = stack.deployed or stack.target
        if deployed is not None:
            told["Parameters"] = self._shown_parameters(deployed)
            told["Tags"] = [{"Key": key, "Value": value} for key, value in deployed.tags.items()]
            if "Description" in deployed.template.tree:
                told["Description"] = deployed.template.tree["Description"]
        if stack.outputs and not stack.status.startswith(("ROLLBACK", "CREATE_F", "DELETE")):
            told["Outputs"] = stack.outputs
        return told

    @staticmethod
    def _root(stack):
        return CloudFormation._root(stack.parent) if stack.parent else stack

    @staticmethod
    def _shown_parameters(deployed):
        shown = deployed.template.masked(deployed.values)
        return [{"ParameterKey": key, "ParameterValue": value} |
                ({"ResolvedValue": deployed.resolved[key]} if key in deployed.resolved else {}) for key, value in shown.items()]

    def ListStacks(self, params, identity):
        wanted = params.get("StackStatusFilter")
        found = [{"StackId": one.id, "StackName": one.name, "StackStatus": one.status, "CreationTime": one.created} |
                 ({"DeletionTime": one.deleted} if one.deleted else {})
                 for one in self.stacks[::-1] if not wanted or one.status in wanted]
        shown, more = self._pages(found, params)
        return {"StackSummaries": shown} | more

    def DescribeStackEvents(self, params, identity):
        stack = self._stack(params.get("StackName", ""))
        if not params.get("NextToken"):
            stack.look()
        newest_first = stack.events[::-1]
        if params.get("NextToken"):  # what came meanwhile is no part of the pages that were begun
            count, _, start = params["NextToken"].partition("/")
            if not count.isdigit():
                raise invalid("Invalid NextToken")
            newest_first, params = stack.events[:int(count)][::-1], {"NextToken": start}
        shown, more = self._pages(newest_first, params)
        if more:
            more = {"NextToken": f"{len(newest_first)}/{more['NextToken']}"}
        return {"StackEvents": shown} | more

    def _resource(self, stack, name, time="Timestamp"):
        held = stack.resources[name]
        told = {"LogicalResourceId": name, "ResourceType": held["type"], "ResourceStatus": held["status"],
                time: held["time"], "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"}}
        if held["physical"]:
            told["PhysicalResourceId"] = held["physical"]
        if held["reason"]:
            told["ResourceStatusReason"] = held["reason"]
        return told

    def DescribeStackResources(self, params, identity):
        if "PhysicalResourceId" in params:
            stack = next((one for one in self.stacks for held in one.resources.values()
                          if held["physical"] == params["PhysicalResourceId"]), None)
            if stack is None:
                raise invalid(f"Stack for {params['PhysicalResourceId']} does not exist")
        else:
            stack = self._stack(params.get("StackName", ""))
        return {"StackResources": [self._resource(stack, name) | {"StackName": stack.name, "StackId": stack.id}
                                   for name in stack.resources if params.get("LogicalResourceId", name) == name]}

    def DescribeStackResource(self, params, identity):
        stack = self._stack(params["StackName"])
        if params["LogicalResourceId"] not in stack.resources:
            raise invalid(f"Resource {params['LogicalResourceId']} does not exist for stack {stack.name}")
        return {"StackResourceDetail": self._resource(stack, params["LogicalResourceId"], "LastUpdatedTimestamp") |
                {"StackName": stack.name, "StackId": stack.id}}

    def ListStackResources(self, params, identity):
        stack = self._stack(params["StackName"])
        shown, more = self._pages([self._resource(stack, name, "LastUpdatedTimestamp") for name in stack.resources], params)
        return {"StackResourceSummaries": shown} | more

    def ListExports(self, params, identity):
        found = [{"ExportingStackId": stack.id, "Name": one["ExportName"], "Value": one["OutputValue"]}
                 for stack in self.stacks for one in stack.outputs if "ExportName" in one and stack.status != "DELETE_COMPLETE"]
        shown, more = self._pages(found, params)
        return {"Exports": shown} | more

    # --- templates ---

    def ValidateTemplate(self, params, identity):
        template = self._template_of(params)
        told = {"Parameters": [{key: value for key, value in one.items() if key not in ("ParameterType", "ParameterConstraints")}
                               for one in self._declared(template)]}
        return told | self._needs(template)

    def GetTemplateSummary(self, params, identity):
        template = self._stack(params["StackName"]).deployed.template if "StackName" in params else self._template_of(params)
        told = {"Parameters": self._declared(template),
                "ResourceTypes": sorted({one["Type"] for one in template.resources.values()})}
        if "AWSTemplateFormatVersion" in template.tree:
            told["Version"] = str(template.tree["AWSTemplateFormatVersion"])
        if "Metadata" in template.tree:
            told["Metadata"] = json.dumps(template.tree["Metadata"])
        return told | self._needs(template)

    @staticmethod
    def _declared(template):
        told = []
        for name, declared in template.parameters.items():
            one = {"ParameterKey": name, "ParameterType": declared["Type"], "NoEcho": declared.get("NoEcho") in (True, "true")}
            if "Default" in declared:
                one["DefaultValue"] = stacks.as_text(declared["Default"])
            if "Description" in declared:
                one["Description"] = declared["Description"]
            allowed = [stacks.as_text(value) for value in declared.get("AllowedValues", [])]
            told.append(one | {"ParameterConstraints": {"AllowedValues": allowed} if allowed else {}})
        return told

    @staticmethod
    def _needs(template):
        needed, reason = template.capabilities()
        told = {"Capabilities": needed} if needed else {}
        if reason:
            told["CapabilitiesReason"] = reason
        if template.transforms():
            told["DeclaredTransforms"] = [one if isinstance(one, str) else one["Name"] for one in template.transforms()]
        if "Description" in template.tree:
            told["Description"] = template.tree["Description"]
        return told

    def GetTemplate(self, params, identity):
        if "ChangeSetName" in params:
            deployed = self._change_set(params)["target"]
        else:
            stack = self._stack(params["StackName"])
            deployed = stack.deployed or stack.target
        return {"TemplateBody": deployed.template.text if deployed else "", "StagesAvailable": ["Original", "Processed"]}

    # --- drift ---

    def DetectStackDrift(self, params, identity):
        stack = self._stack(params["StackName"])
        self.detections[stack.id] = {key for key in self.drifts if key[0] == stack.id}
        number = str(uuid.uuid4())
        self.detections[number] = stack
        return {"StackDriftDetectionId": number}

    def DescribeStackDriftDetectionStatus(self, params, identity):
        stack = self.detections.get(params["StackDriftDetectionId"])
        if stack is None:
            raise invalid(f"StackDriftDetectionId {params['StackDriftDetectionId']} does not exist")
        drifted = self.detections[stack.id]
        return {"StackId": stack.id, "StackDriftDetectionId": params["StackDriftDetectionId"], "Timestamp": self.world.now(),
                "DetectionStatus": "DETECTION_COMPLETE", "StackDriftStatus": "DRIFTED" if drifted else "IN_SYNC",
                "DriftedStackResourceCount": len(drifted)}

    def DescribeStackResourceDrifts(self, params, identity):
        stack = self._stack(params["StackName"])
        told = []
        for name, held in stack.resources.items():
            order = self.drifts.get((stack.id, name), {})
            differences = [] if order.get("deleted") else [
                {"PropertyPath": f"/{key}", "ExpectedValue": str(held["properties"].get(key)), "ActualValue": str(value),
                 "DifferenceType": "NOT_EQUAL" if key in held["properties"] else "ADD"}
                for key, value in order.get("properties", {}).items()]
            state = "DELETED" if order.get("deleted") else "MODIFIED" if differences else "IN_SYNC"
            if state not in params.get("StackResourceDriftStatusFilters", [state]):
                continue
            told.append({"StackId": stack.id, "LogicalResourceId": name, "PhysicalResourceId": held["physical"],
                         "ResourceType": held["type"], "ExpectedProperties": json.dumps(held["shown"]),
                         "ActualProperties": json.dumps(held["shown"] | order.get("properties", {})),
                         "PropertyDifferences": differences, "StackResourceDriftStatus": state, "Timestamp": self.world.now()})
        shown, more = self._pages(told, params)
        return {"StackResourceDrifts": shown} | more
