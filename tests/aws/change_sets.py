"""CloudFormation's change sets: what an update would change, worked out beforehand, and carried out later.

CloudFormation API Reference, "DescribeChangeSet"; User Guide, "Update stacks using change sets".
"""
import re
import uuid

from changes import EMPTY, EMPTY_TRANSFORMED
from stacks import NAME, SETTINGS, Stack, pattern_error
from templates import invalid
from wire import Refusal

HIDDEN = ("BeforeContext", "AfterContext")


class ChangeSets:
    """The part of CloudFormation that is about them."""

    def CreateChangeSet(self, params, identity):
        name, stack_name, kind = params["ChangeSetName"], params["StackName"], params.get("ChangeSetType", "UPDATE")
        if not re.fullmatch(NAME, name) or len(name) > 128:
            raise pattern_error(name, "changeSetName", NAME)
        if kind == "IMPORT":
            raise Refusal("NotImplemented", "the double imports no resources", 501)
        stack = self._find(stack_name)
        old = self._find_change_set(name, stack) if stack else None
        if old and old["execution"] not in ("EXECUTE_COMPLETE", "EXECUTE_FAILED"):  # theirs are free again
            return self._same_change_set(old, params)
        if kind == "UPDATE":
            stack = self._stack(stack_name)
            self._updatable(stack)
        elif stack is not None and stack.status != "REVIEW_IN_PROGRESS":
            raise invalid(f"Stack [{stack_name}] already exists and cannot be created again with the changeSet [{name}].")
        new = stack is None
        if new:
            if not re.fullmatch(NAME, stack_name):
                raise pattern_error(stack_name, "stackName", NAME)
            stack = Stack(self, stack_name, identity.region)
        target = self._target(stack, params)
        difference = self._difference(stack, target, kind == "CREATE", params.get("IncludeNestedStacks", False))
        if new:
            self.stacks.append(stack)
            stack.say("REVIEW_IN_PROGRESS", "User Initiated")
        empty = not difference.changes and not difference.outputs_differ()
        order = next((one for one in self.change_set_orders if one.get("stack", stack.name) == stack.name), {})
        if order:
            self.change_set_orders.remove(order)
        reason = EMPTY_TRANSFORMED if target.template.transforms() else EMPTY
        made = {"name": name, "stack": stack, "kind": kind, "params": params, "target": target, "changes": difference.changes,
                "id": f"arn:aws:cloudformation:{identity.region}:{self.world.account}:changeSet/{name}/{uuid.uuid4()}",
                "status": "CREATE_PENDING", "execution": "UNAVAILABLE", "reason": None, "created": self.world.now(),
                "looks": order.get("looks", 2), "fails": order.get("fails", reason if empty else None)}
        self.change_sets.append(made)
        return {"Id": made["id"], "StackId": stack.id}

    @staticmethod
    def _same_change_set(old, params):
        """A name that is taken: the same request again is answered again, another one is refused."""
        for key, word in (("TemplateBody", "Template"), ("TemplateURL", "Template"), ("UsePreviousTemplate", "Template"),
                          ("Parameters", "Parameters"), ("ClientToken", "ClientToken"), ("Capabilities", "Capabilities"),
                          ("Tags", "Tags"), ("ChangeSetType", "ChangeSetType"), ("RoleARN", "RoleARN")):
            if old["params"].get(key) != params.get(key):
                raise Refusal("AlreadyExistsException", f"ChangeSet {old['name']} cannot be created due to a mismatch with "
                              f"existing attribute {word}")
        return {"Id": old["id"], "StackId": old["stack"].id}

    def _find_change_set(self, name, stack):
        fits = [one for one in self.change_sets if one["id"] == name or one["name"] == name and one["stack"] is stack]
        return fits[-1] if fits else None

    def _change_set(self, params):
        name = params["ChangeSetName"]
        if not name.startswith("arn:") and "StackName" not in params:
            raise invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
        stack = self._stack(params["StackName"]) if "StackName" in params else None
        found = self._find_change_set(name, stack)
        if found is None:
            raise Refusal("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)
        return found

    def DescribeChangeSet(self, params, identity):
        one = self._change_set(params)
        if not params.get("NextToken"):
            self._look_at(one)
        stack, asked = one["stack"], one["params"]
        told = {"ChangeSetName": one["name"], "ChangeSetId": one["id"], "StackId": stack.id, "StackName": stack.name,
                "CreationTime": one["created"], "Status": one["status"], "ExecutionStatus": one["execution"],
                "Parameters": self._shown_parameters(one["target"]),
                "Tags": [{"Key": key, "Value": value} for key, value in one["target"].tags.items()],
                "Capabilities": asked.get("Capabilities", []), "NotificationARNs": asked.get("NotificationARNs", []),
                "RollbackConfiguration": asked.get("RollbackConfiguration", {}),
                "IncludeNestedStacks": asked.get("IncludeNestedStacks", False)}
        told |= {key: value for key, value in (("StatusReason", one["reason"]), ("Description", asked.get("Description")),
                                               ("OnStackFailure", asked.get("OnStackFailure"))) if value}
        changes = one["changes"] if one["status"] == "CREATE_COMPLETE" else []
        shown, more = self._pages(changes, params)
        values = params.get("IncludePropertyValues", False)
        told["Changes"] = [{"Type": "Resource", "ResourceChange": shown_change(change, values)} for change in shown]
        return told | more

    @staticmethod
    def _look_at(one):
        if one["status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            return
        one["looks"] -= 1
        if one["looks"] > 0:
            one["status"] = "CREATE_IN_PROGRESS"
        elif one["fails"]:
            one.update(status="FAILED", reason=one["fails"])
        else:
            one["status"] = "CREATE_COMPLETE"
            one["execution"] = "OBSOLETE" if one["execution"] == "OBSOLETE" else "AVAILABLE"

    def ListChangeSets(self, params, identity):
        stack = self._stack(params["StackName"])
        found = [{"StackId": stack.id, "StackName": stack.name, "ChangeSetId": one["id"], "ChangeSetName": one["name"],
                  "ExecutionStatus": one["execution"], "Status": one["status"], "CreationTime": one["created"]} |
                 ({"StatusReason": one["reason"]} if one["reason"] else {})
                 for one in self.change_sets if one["stack"] is stack]
        shown, more = self._pages(found, params)
        return {"Summaries": shown} | more

    def ExecuteChangeSet(self, params, identity):
        one = self._change_set(params)
        stack = one["stack"]
        if self._token(params, ("ExecuteChangeSet", one["id"])):
            return {}
        if one["status"] != "CREATE_COMPLETE":
            raise Refusal("InvalidChangeSetStatus",
                          f"ChangeSet [{one['id']}] cannot be executed in its current status of [{one['status']}]")
        if one["execution"] != "AVAILABLE":
            raise Refusal("InvalidChangeSetStatus",
                          f"ChangeSet [{one['id']}] cannot be executed in its current execution status of [{one['execution']}]")
        if one["kind"] == "UPDATE":
            self._updatable(stack)
        asked = one["params"]
        if "OnStackFailure" in asked and "DisableRollback" in params:
            raise invalid("DisableRollback can not be specified for a change set that was created with OnStackFailure.")
        stack.settings |= {key: asked[key] for key in SETTINGS if key in asked}
        keep = params.get("DisableRollback", False)
        work = stack.creating(one["target"], asked.get("OnStackFailure", "DO_NOTHING" if keep else "ROLLBACK")) \
            if one["kind"] == "CREATE" else stack.updating(one["target"], keep)
        self._obsolete(stack, but=one)
        one["execution"] = "EXECUTE_IN_PROGRESS"
        stack.start(self._executing(one, work), params.get("ClientRequestToken"))
        return {}

    def _executing(self, one, work):
        yield from work
        self.change_sets = [other for other in self.change_sets if other["stack"] is not one["stack"] or
                            other["execution"] != "OBSOLETE"]  # CloudFormation deletes all the others
        done = one["stack"].status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        one["execution"] = "EXECUTE_COMPLETE" if done else "EXECUTE_FAILED"

    def DeleteChangeSet(self, params, identity):
        try:
            one = self._change_set(params)
        except Refusal as error:
            if error.code == "ChangeSetNotFound":
                return {}
            raise
        if one["execution"] == "EXECUTE_IN_PROGRESS":
            raise Refusal("InvalidChangeSetStatus",
                          f"ChangeSet [{one['id']}] cannot be deleted in its current execution status of [EXECUTE_IN_PROGRESS]")
        self.change_sets.remove(one)
        return {}


def shown_change(change, with_values):
    """A change as it is told: the values of properties only where they were asked for."""
    if with_values:
        return change
    details = [detail | {"Target": {key: value for key, value in detail["Target"].items()
                                    if key not in ("BeforeValue", "AfterValue")}} for detail in change["Details"]]
    return {key: value for key, value in change.items() if key not in HIDDEN} | {"Details": details}
