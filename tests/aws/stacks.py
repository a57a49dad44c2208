"""One stack of CloudFormation: what it holds, what becomes of it, and what it tells of that.

CloudFormation User Guide, "Stack status codes", "Continue rolling back an update", "Prevent updates to stack
resources". A running operation is a generator that moves one step for each look at the stack; what can be made at once
is one step, so that a failure cancels what was begun beside it.
"""
import fnmatch
import itertools
import json
import uuid

from changes import NESTED, recreation
from templates import as_text, invalid
from wire import Refusal

STACK = "AWS::CloudFormation::Stack"
PREFIXES = {"AWS::EC2::Instance": "i-", "AWS::EC2::LaunchTemplate": "lt-", "AWS::EC2::SecurityGroup": "sg-",
            "AWS::EC2::VPC": "vpc-", "AWS::EC2::Subnet": "subnet-", "AWS::EC2::EIP": "eipalloc-"}
NUMBERS = itertools.count(1)
NAME = r"[a-zA-Z][-a-zA-Z0-9]*"
SETTINGS = ("Capabilities", "RoleARN", "NotificationARNs", "RollbackConfiguration", "TimeoutInMinutes")
UPDATABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE",
             "IMPORT_ROLLBACK_COMPLETE", "UPDATE_FAILED", "CREATE_FAILED"}


def pattern_error(value, member, pattern):
    return invalid(f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must "
                   f"satisfy regular expression pattern: {pattern}")


class Stack:
    """`service`: gives the clock, the orders of the test (`failure`, `template_at`) and the stacks beside this one."""

    def __init__(self, service, name, region, parent=None):
        self.service, self.name, self.region, self.parent = service, name, region, parent
        self.id = f"arn:aws:cloudformation:{region}:{service.world.account}:stack/{name}/{uuid.uuid4()}"
        self.created = service.world.now()
        self.updated = self.deleted = None
        self.status, self.reason = None, None
        self.deployed, self.target = None, None
        self.resources, self.events = {}, []  # events: the oldest first
        self.outputs = []
        self.settings = {}  # what DescribeStacks tells beside: Capabilities, RoleARN, …
        self.protected, self.policy = False, None
        self.policy_meanwhile = None  # of the running update only
        self.busy_looks, self.busy_then = 0, None
        self._work, self._cancelled, self._undo = None, None, None
        self._token = None

    # --- moving ---

    def start(self, work, token=None):
        self._token, self._work, self._cancelled = token, work, None
        self.look()

    def look(self):
        if self.busy_looks:
            self.busy_looks -= 1
            if not self.busy_looks:
                self.say(self.busy_then)
        elif self._work is not None:
            try:
                next(self._work)
            except StopIteration:
                self._work = None

    def finish(self):
        while self._work is not None:
            self.look()

    def busy(self):
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    def cancel(self, token):
        self._cancelled, self._token = True, token

    # --- telling ---

    def say(self, status, reason=None):
        self.status, self.reason = status, reason
        self._event(self.name, self.id, STACK, status, reason)

    def _event(self, logical, physical, kind, status, reason=None, properties=None):
        event = {"StackId": self.id, "EventId": f"{logical}-{status}-{uuid.uuid4()}", "StackName": self.name,
                 "LogicalResourceId": logical, "PhysicalResourceId": physical or "", "ResourceType": kind,
                 "Timestamp": self.service.world.now(), "ResourceStatus": status}
        if reason:
            event["ResourceStatusReason"] = reason
        if properties is not None:
            event["ResourceProperties"] = json.dumps(properties, default=str)
        if self._token:
            event["ClientRequestToken"] = self._token
        self.events.append(event)

    def _tell(self, name, status, reason=None):
        held = self.resources[name]
        held.update(status=status, reason=reason, time=self.service.world.now())
        self._event(name, held["physical"], held["type"], status, reason, held["shown"])

    # --- the operations: each a generator ---

    def creating(self, target, on_failure="ROLLBACK"):
        self.target = target
        self.say("CREATE_IN_PROGRESS", "User Initiated" if self.parent is None else None)
        yield
        failed = yield from self._apply(target)
        if not failed:
            self._settle(target)
            return self.say("CREATE_COMPLETE")
        reason = f"The following resource(s) failed to create: [{', '.join(failed)}]. "
        self.deployed = target
        if on_failure == "DO_NOTHING":
            return self.say("CREATE_FAILED", reason)
        if on_failure == "DELETE":
            return (yield from self.deleting(reason=reason + "Delete requested by user."))
        self.say("ROLLBACK_IN_PROGRESS", reason + "Rollback requested by user.")
        yield
        left = yield from self._delete(list(self.resources), "rollback")
        if left:
            return self.say("ROLLBACK_FAILED", f"The following resource(s) failed to delete: [{', '.join(left)}]. ")
        return self.say("ROLLBACK_COMPLETE")

    def updating(self, target, keep_failed=False):
        before = self.deployed
        self.target, self.updated = target, self.service.world.now()
        self._undo = []
        self.say("UPDATE_IN_PROGRESS", "User Initiated" if self.parent is None else None)
        yield
        failed = yield from self._apply(target)
        self.policy_meanwhile = None
        alarm = self.service.alarm(self.settings.get("RollbackConfiguration", {}))
        if failed or alarm or self._cancelled:
            if keep_failed and failed:
                self.deployed = target
                return self.say("UPDATE_FAILED", self._failed_words(failed))
            reason = self._failed_words(failed) or f"The following rollback triggers are in ALARM state: [{alarm}]"
            self.say("UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated" if self._cancelled else reason)
            yield
            return (yield from self._roll_back(before))
        self.say("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        yield
        replaced = [entry for entry in self._undo if entry["replaced"]]
        removed = [name for name in self.resources if name not in self._present(target)]
        for entry in replaced:
            self._drop_physical(entry["name"], entry["before"]["physical"])
        if replaced:
            yield
        yield from self._delete(removed, "delete", before)
        self._settle(target)
        return self.say("UPDATE_COMPLETE")

    def continuing(self, skip):
        """After UPDATE_ROLLBACK_FAILED."""
        self.say("UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        yield
        for entry in [one for one in self._undo if one["name"] in skip]:
            self._undo.remove(entry)
            self._tell(entry["name"], "UPDATE_COMPLETE")
        yield from self._roll_back(self.deployed)

    def rolling_back(self):
        """RollbackStack, of a stack that was left where it failed."""
        if self.status == "CREATE_FAILED":
            self.say("ROLLBACK_IN_PROGRESS", "User Initiated")
            yield
            left = yield from self._delete(list(self.resources), "rollback")
            return self.say("ROLLBACK_FAILED" if left else "ROLLBACK_COMPLETE")
        self.say("UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        yield
        return (yield from self._roll_back(self.before_failed))

    def deleting(self, retain=(), reason="User Initiated"):
        self.say("DELETE_IN_PROGRESS", reason)
        yield
        left = yield from self._delete(list(self.resources), "delete", retain=retain)
        if left:
            return self.say("DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(left)}]. ")
        self.deleted = self.service.world.now()
        return self.say("DELETE_COMPLETE")

    # --- making and changing ---

    @staticmethod
    def _failed_words(failed):
        return "".join(f"The following resource(s) failed to {verb}: [{', '.join(names)}]. "
                       for verb, names in (("create", failed.made), ("update", failed.changed)) if names)

    def _apply(self, target):
        """The names of what failed; empty where all is done."""
        present = self._present(target)
        self.before_failed = self.deployed
        for wave in target.template.waves(present):
            begun = [step for step in (self._begin(target, name) for name in wave) if step]
            if not begun:
                continue
            yield
            while any(step.child and step.child.busy() for step in begun):
                for step in begun:
                    if step.child:
                        step.child.look()
                yield
            failed = self._end(begun)
            if failed or self._cancelled:
                return failed
        return Failed()

    def _present(self, target):
        return target.evaluation(self.physical, self.attribute).present()

    def _begin(self, target, name):
        resource = target.template.resources[name]
        raw = resource.get("Properties") or {}
        properties = target.evaluation(self.physical, self.attribute)(raw)
        shown = target.evaluation(self.physical, self.attribute, masked=True)(raw)
        held = self.resources.get(name)
        if held is None:
            return self._begin_new(name, resource["Type"], properties, shown)
        child = held.get("child")
        nested_changes = child is not None and self.service.nested_differs(child, properties)
        if held["properties"] == properties and not nested_changes:
            return None
        keys = [key for key in set(properties) | set(held["properties"]) if properties.get(key) != held["properties"].get(key)]
        replaced = any(recreation(resource["Type"], key) == "Always" for key in keys)
        entry = {"name": name, "before": dict(held), "replaced": replaced, "new": False,
                 "child": child.deployed if child else None}
        self._undo.append(entry)
        refused = self._refused_by_policy(name, resource["Type"], "Replace" if replaced else "Modify")
        self._tell(name, "UPDATE_IN_PROGRESS", "Requested update requires the creation of a new physical resource; "
                   "hence creating one." if replaced else None)
        held.update(properties=properties, shown=shown, version=held["version"] + 1)
        if replaced:
            held["physical"] = self._physical_id(name, resource["Type"], properties)
            self._tell(name, "UPDATE_IN_PROGRESS", "Resource creation Initiated")
        if child and not refused:
            try:
                child.start(child.updating(self.service.nested_target(child, properties)), self._token)
            except Refusal as error:  # what is wrong with the inner template is this one's reason
                refused = error.message
        return Step(name, "UPDATE", refused, child)

    def _begin_new(self, name, kind, properties, shown):
        self.resources[name] = {"type": kind, "physical": None, "properties": properties, "shown": shown, "version": 1,
                                "status": None, "reason": None}
        self._tell(name, "CREATE_IN_PROGRESS")
        if self._undo is not None:
            self._undo.append({"name": name, "before": None, "replaced": False, "new": True, "child": None})
        child, refused = None, None
        if kind == NESTED:
            try:
                child = self.service.nested_stack(self, name, properties)
                self.resources[name].update(physical=child.id, child=child)
                child.start(child.creating(self.service.nested_target(child, properties)), self._token)
            except Refusal as error:
                refused = error.message
        else:
            self.resources[name]["physical"] = self._physical_id(name, kind, properties)
        if self.resources[name]["physical"]:
            self._tell(name, "CREATE_IN_PROGRESS", "Resource creation Initiated")
        return Step(name, "CREATE", refused, child)

    def _end(self, begun):
        """Failed: what of these failed, and what was cancelled beside it."""
        causes = {}
        for step in begun:
            reason = step.refused or self.service.failure(self.name, step.name, step.verb.lower())
            if step.child and not reason and not step.child.status.endswith(("CREATE_COMPLETE", "UPDATE_COMPLETE")):
                reason = (f"Embedded stack {step.child.id} was not successfully {step.verb.lower()}d: "
                          f"{step.child.why_failed()}")
            if reason:
                causes[step.name] = reason
        failed = Failed()
        for step in sorted(begun, key=lambda one: one.name not in causes):  # the cause is told first
            if causes or self._cancelled:
                word = "creation" if step.verb == "CREATE" else "update"
                self._tell(step.name, f"{step.verb}_FAILED", causes.get(step.name, f"Resource {word} cancelled"))
                (failed.made if step.verb == "CREATE" else failed.changed).append(step.name)
            else:
                self._tell(step.name, f"{step.verb}_COMPLETE")
        return failed

    def why_failed(self):
        reasons = [event.get("ResourceStatusReason") for event in self.events
                   if event["ResourceType"] == STACK and "failed to" in event.get("ResourceStatusReason", "")]
        return reasons[-1] if reasons else self.reason or ""

    def _settle(self, target):
        self.deployed, self._undo = target, None
        evaluate = target.evaluation(self.physical, self.attribute)
        self.outputs = []
        for name, output in target.template.outputs.items():
            if "Condition" in output and not evaluate.holds(output["Condition"]):
                continue
            one = {"OutputKey": name, "OutputValue": as_text(evaluate(output["Value"]))}
            if "Description" in output:
                one["Description"] = output["Description"]
            if "Export" in output:
                one["ExportName"] = as_text(evaluate(output["Export"]["Name"]))
            self.outputs.append(one)

    # --- going back, and away ---

    def _roll_back(self, before):
        """From UPDATE_ROLLBACK_IN_PROGRESS on; what cannot go back is left in _undo for the next try."""
        self.deployed = before
        changed = [entry for entry in reversed(self._undo) if not entry["new"]]
        for entry in changed:
            self._tell(entry["name"], "UPDATE_IN_PROGRESS")
            child = self.resources[entry["name"]].get("child")
            if child and child.status == "UPDATE_COMPLETE":
                child.start(child.updating(entry["child"]), self._token)
                child.finish()
        if changed:
            yield
        stuck = []
        for entry in changed:
            reason = self.service.failure(self.name, entry["name"], "rollback")
            if reason:
                stuck.append(entry["name"])
                self._tell(entry["name"], "UPDATE_FAILED", reason)
                continue
            self._undo.remove(entry)
            gone = self.resources[entry["name"]]["physical"] if entry["replaced"] else None
            self.resources[entry["name"]] = entry["before"]
            self._tell(entry["name"], "UPDATE_COMPLETE")
            if gone:
                self._undo.append({"name": entry["name"], "new": True, "gone": gone})
        if stuck:
            return self.say("UPDATE_ROLLBACK_FAILED", f"The following resource(s) failed to update: [{', '.join(stuck)}]. ")
        self.say("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        yield
        for entry in [one for one in self._undo if one.get("gone")]:
            self._drop_physical(entry["name"], entry["gone"])
        made = [entry["name"] for entry in self._undo if entry["new"] and "gone" not in entry]
        yield from self._delete([name for name in made if name in self.resources], "delete", self.target)
        self._settle(before)
        return self.say("UPDATE_ROLLBACK_COMPLETE")

    def _drop_physical(self, name, physical):
        held = self.resources[name]
        for status in ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"):
            self._event(name, physical, held["type"], status)

    def _delete(self, names, phase, told_by=None, retain=()):
        """What is made last goes first, by the template that made them. The names that could not be deleted."""
        order = (told_by or self.deployed).template
        known = set(order.resources)
        waves = [wave for wave in order.waves(known & set(names))][::-1]
        others = [name for name in names if name not in known]
        left = []
        for wave in ([others] if others else []) + waves:
            going = []
            for name in wave:
                policy = (order.resources.get(name) or {}).get("DeletionPolicy")
                if name in retain or policy == "Retain" and phase == "delete":
                    self._tell(name, "DELETE_SKIPPED")
                    del self.resources[name]
                    continue
                self._tell(name, "DELETE_IN_PROGRESS")
                child = self.resources[name].get("child")
                if child and child.status != "DELETE_COMPLETE":
                    child.start(child.deleting(), self._token)
                    child.finish()
                going.append(name)
            if going:
                yield
            for name in going:
                reason = self.service.failure(self.name, name, "delete") or \
                    (phase == "rollback" and self.service.failure(self.name, name, "rollback")) or None
                self._tell(name, "DELETE_FAILED" if reason else "DELETE_COMPLETE", reason)
                if reason:
                    left.append(name)
                else:
                    del self.resources[name]
            if left:
                return left  # what those need stays
        return left

    # --- names and attributes ---

    def _physical_id(self, name, kind, properties):
        number = next(NUMBERS)
        if kind in PREFIXES:
            return f"{PREFIXES[kind]}{number:017x}"
        for key in ("Name", kind.rpartition("::")[2] + "Name"):
            if isinstance(properties.get(key), str):
                return properties[key]
        if kind == "AWS::ECS::TaskDefinition":
            family = properties.get("Family", name)
            return f"arn:aws:ecs:{self.region}:{self.service.world.account}:task-definition/{family}:{number}"
        return f"{self.name}-{name}-{number:012X}"

    def physical(self, name):
        return self.resources[name]["physical"] if name in self.resources else f"{self.name}-{name}"

    def attribute(self, name, attribute):
        held = self.resources.get(name) or {"physical": name, "type": "AWS::X::Y", "version": 1}
        ordered = self.service.attributes.get(f"{name}.{attribute}")
        if ordered is not None:
            return ordered
        child = held.get("child")
        if child and attribute.startswith("Outputs."):
            found = [one["OutputValue"] for one in child.outputs if one["OutputKey"] == attribute[len("Outputs."):]]
            return found[0] if found else ""
        if attribute in ("LatestVersionNumber", "DefaultVersionNumber"):
            return str(held["version"])
        if attribute == "Arn":
            service, kind = held["type"].lower().split("::")[1:3]
            return f"arn:aws:{service}:{self.region}:{self.service.world.account}:{kind}/{held['physical']}"
        if attribute in ("PublicIp", "PrivateIp"):
            return f"{'203.0.113' if attribute == 'PublicIp' else '10.0.0'}.{sum(held['physical'].encode()) % 254 + 1}"
        return f"{held['physical']}.{attribute}"

    # --- the stack's policy ---

    def _refused_by_policy(self, name, kind, verb):
        policy = self.policy_meanwhile or self.policy
        if policy is None:
            return None
        allowed = False
        for number, statement in enumerate(as_list(policy["Statement"]), 1):
            if not _statement_fits(statement, name, kind, verb):
                continue
            if statement["Effect"] == "Deny":
                return (f"Action denied by stack policy: Statement [#{number}] does not allow [Update:{verb}] for resource "
                        f"[LogicalResourceId/{name}]")
            allowed = True
        return None if allowed else f"Action not allowed by stack policy: no statement allows [Update:{verb}] for {name}"


class Step:
    """One resource that is being made or changed."""

    def __init__(self, name, verb, refused, child):
        self.name, self.verb, self.refused, self.child = name, verb, refused, child


class Failed:
    """The names of what could not be made or changed."""

    def __init__(self):
        self.made, self.changed = [], []

    def __iter__(self):
        return iter(self.made + self.changed)

    def __bool__(self):
        return bool(self.made or self.changed)


def as_list(value):
    return value if isinstance(value, list) else [value]


def _statement_fits(statement, name, kind, verb):
    def one_of(patterns, text):
        return any(fnmatch.fnmatchcase(text, pattern) for pattern in as_list(patterns))

    wanted = f"Update:{verb}"
    action = one_of(statement["Action"], wanted) if "Action" in statement else not one_of(statement["NotAction"], wanted)
    place = f"LogicalResourceId/{name}"
    resource = one_of(statement["Resource"], place) if "Resource" in statement else \
        not one_of(statement.get("NotResource", []), place)
    kinds = [value for test in statement.get("Condition", {}).values() for value in as_list(test.get("ResourceType", []))]
    return action and resource and (not kinds or one_of(kinds, kind))
