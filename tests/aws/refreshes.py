"""Instance refreshes, as a part of Autoscaling (autoscaling.py). DescribeInstanceRefreshes moves those that it shows.

    {"autoscaling": {
        "refreshes": [{"group": "tt-*", "scenario": "failed", "reason": "…", "checkpoint_looks": 2, "bake_looks": 1,
                       "patience": 5}],                            the next ones of such groups, in order
        "running": [{"group": "tt-front", "looks": 2, "ends": "Successful"}]}}    one that somebody else has started
Scenarios: ok, failed (after the first replacements; with AutoRollback it is rolled back), rollback_failed, cancelled (by
hand, after the first replacements), stuck (replaces nothing), stuck_in_checkpoint (does not leave the first).
Pending, then InProgress: each look replaces as many as the minimum healthy percentage allows; a checkpoint is kept for
"checkpoint_looks", the bake time for "bake_looks". Where the group's health check is ELB, the new ones have to be healthy
in their target groups first. What cannot go on for "patience" looks (an hour, at AWS) fails. The group takes the desired
configuration when the refresh succeeds, not before.
Sources: the user guide's pages on instance refreshes; the words of StatusReason, where no page has them, are ours.
"""
import copy
import fnmatch
import math

from wire import Refusal

ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")
DEFAULTS = {"MinHealthyPercentage": 90, "SkipMatching": False, "AutoRollback": False, "ScaleInProtectedInstances": "Wait",
            "StandbyInstances": "Wait"}
FAILED = "There are fewer than the minimum healthy instances in the group: the new instances do not pass their health checks."


class Refreshes:
    def StartInstanceRefresh(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["AutoScalingGroupName"])
        preferences, desired = params.get("Preferences", {}), params.get("DesiredConfiguration")
        self._check_preferences(preferences)
        if desired:
            self.check_source(region, desired)
        if preferences.get("AutoRollback"):
            self._check_rollback(region, kept, desired)
        if self.active_refresh(kept):
            raise Refusal("InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution of this "
                                                       "Instance Refresh.")
        return {"InstanceRefreshId": self._start(region, kept, params)["shown"]["InstanceRefreshId"]}

    def _start(self, region, kept, params):
        desired = params.get("DesiredConfiguration")
        # The group's own policy stands between what the call says and what AWS takes otherwise; -1 is none.
        policy = {key: value for key, value in kept["group"].get("InstanceMaintenancePolicy", {}).items() if value >= 0}
        preferences = DEFAULTS | policy | params.get("Preferences", {})
        if preferences.get("CheckpointPercentages"):
            preferences.setdefault("CheckpointDelay", 3600)
        group = kept["group"]
        warmup = max(group.get("DefaultInstanceWarmup", -1), 0) or group["HealthCheckGracePeriod"]
        preferences.setdefault("InstanceWarmup", warmup)
        todo = [one["InstanceId"] for one in kept["instances"] if not one["LifecycleState"].startswith("Terminat")]
        if preferences["SkipMatching"]:
            wanted = self.launched_as(region, desired or group)
            todo = [one["InstanceId"] for one in kept["instances"] if one["InstanceId"] in todo and
                    any(one.get(key) != value for key, value in wanted.items())]
        shown = {"InstanceRefreshId": self.uuid(), "AutoScalingGroupName": group["AutoScalingGroupName"], "Status": "Pending",
                 "StartTime": self.world.now(), "PercentageComplete": 0, "InstancesToUpdate": len(todo), "Preferences": preferences}
        if desired:
            shown["DesiredConfiguration"] = copy.deepcopy(desired)
        refresh = {"shown": shown, "todo": todo, "done": [], "total": len(todo), "desired": copy.deepcopy(desired), "back": False,
                   "order": self._refresh_order(region, group["AutoScalingGroupName"]), "waits": 0, "looks": 0,
                   "checkpoints": list(preferences.get("CheckpointPercentages", []))}
        kept["refreshes"].insert(0, refresh)
        return refresh

    @staticmethod
    def _refresh_order(region, name):
        for order in region.refresh_orders:
            if fnmatch.fnmatchcase(name, order.get("group", "*")):
                region.refresh_orders.remove(order)
                return order
        return {}

    def seed_refresh(self, region, kept, order):
        refresh = self._start(region, kept, {})
        refresh.update(order={"scenario": "foreign", "looks": order.get("looks", 2), "ends": order.get("ends", "Successful")})
        refresh["shown"]["Status"] = "InProgress"

    @staticmethod
    def active_refresh(kept):
        return next((one for one in kept["refreshes"] if one["shown"]["Status"] in ACTIVE), None)

    # --- what is refused ---

    @staticmethod
    def _check_preferences(preferences):
        checkpoints = preferences.get("CheckpointPercentages", [])
        if checkpoints != sorted(set(checkpoints)) or any(not 1 <= one <= 100 for one in checkpoints):
            raise Refusal("ValidationError", "CheckpointPercentages must be unique, in ascending order and between 1 and 100.")
        if "CheckpointDelay" in preferences and not checkpoints:
            raise Refusal("ValidationError", "CheckpointDelay cannot be specified without CheckpointPercentages.")
        if "MaxHealthyPercentage" in preferences:
            if "MinHealthyPercentage" not in preferences:
                raise Refusal("ValidationError", "MinHealthyPercentage must be specified with MaxHealthyPercentage.")
            if preferences["MaxHealthyPercentage"] - preferences["MinHealthyPercentage"] > 100:
                raise Refusal("ValidationError", "The difference between MaxHealthyPercentage and MinHealthyPercentage cannot be "
                                                 "greater than 100.")

    def _check_rollback(self, region, kept, desired):
        if not desired:
            raise Refusal("ValidationError", "The request isn't valid. The AutoRollback parameter cannot be set to true when the "
                                             "DesiredConfiguration parameter is empty. Set AutoRollback to false or specify a desired "
                                             "configuration and try again.")
        why = self._irreversible(region, kept, desired)
        if why:
            raise Refusal("ValidationError", f"The request isn't valid. The AutoRollback parameter cannot be set to true: {why}")

    def _irreversible(self, region, kept, desired):
        """Why there is no way back, or none: nothing to go back to, or no fixed thing."""
        if not desired:
            return "no desired configuration is specified."
        ec2 = self.world.services["ec2"]
        for source in (desired, kept["group"]):
            named = source.get("LaunchTemplate") or source.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get(
                "LaunchTemplateSpecification")
            if named is None:
                continue
            if not named.get("Version", "$Default").isdigit():
                return "the launch template's version is $Latest or $Default."
            data = ec2.data_of(ec2.region(region.name), self.one_name(named))
            if data.get("ImageId", "").startswith("resolve:ssm:"):
                return "the launch template's image is a Systems Manager parameter."
        return None

    # --- the other calls ---

    def DescribeInstanceRefreshes(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["AutoScalingGroupName"])
        wanted = params.get("InstanceRefreshIds", [])
        found = [one for one in kept["refreshes"] if not wanted or one["shown"]["InstanceRefreshId"] in wanted]
        if len(found) < len(set(wanted)):
            raise Refusal("ValidationError", "One or more instance refreshes were not found for Auto Scaling group "
                                             f"{params['AutoScalingGroupName']}")
        for one in found:
            if one["shown"]["Status"] in ACTIVE:
                self._move_refresh(region, kept, one)
        return self.paged("InstanceRefreshes", [copy.deepcopy(one["shown"]) for one in found], params)

    def CancelInstanceRefresh(self, params, identity):
        kept = self._group(self.region(identity), params["AutoScalingGroupName"])
        refresh = self._active_or_refused(kept, ACTIVE)
        refresh["shown"].update(Status="Cancelling", StatusReason="Cancelled due to user request.")
        return {"InstanceRefreshId": refresh["shown"]["InstanceRefreshId"]}

    def RollbackInstanceRefresh(self, params, identity):
        region = self.region(identity)
        kept = self._group(region, params["AutoScalingGroupName"])
        refresh = self._active_or_refused(kept, ("Pending", "InProgress", "Baking"))
        why = self._irreversible(region, kept, refresh["desired"])
        if why:
            raise Refusal("IrreversibleInstanceRefresh", f"The instance refresh cannot be rolled back: {why}")
        self._roll_back(refresh, "Rolled back due to user request.")
        return {"InstanceRefreshId": refresh["shown"]["InstanceRefreshId"]}

    @staticmethod
    def _active_or_refused(kept, states):
        refresh = next((one for one in kept["refreshes"] if one["shown"]["Status"] in states), None)
        if refresh is None:
            raise Refusal("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found for Auto Scaling group "
                                                           f"{kept['group']['AutoScalingGroupName']}")
        return refresh

    # --- one step a look ---

    def _move_refresh(self, region, kept, refresh):
        refresh["looks"] += 1
        status, scenario = refresh["shown"]["Status"], refresh["order"].get("scenario", "ok")
        if status == "Cancelling":
            self._ended(refresh, "Cancelled")
        elif scenario == "foreign":
            if refresh["looks"] >= refresh["order"]["looks"]:
                self._ended(refresh, refresh["order"]["ends"])
        elif status == "Pending":
            refresh["shown"]["Status"] = "InProgress"
            if not refresh["todo"]:
                self._succeed(region, kept, refresh)
        elif status == "RollbackInProgress":
            self._back_one_step(region, kept, refresh)
        elif status == "Baking":
            refresh["waits"] += 1
            if refresh["waits"] > refresh["order"].get("bake_looks", 1):
                self._succeed(region, kept, refresh)
        elif scenario in ("failed", "rollback_failed", "cancelled") and refresh["done"]:
            self._as_ordered(refresh, scenario)
        elif scenario != "stuck":
            self._on_one_step(region, kept, refresh)

    def _as_ordered(self, refresh, scenario):
        if scenario == "cancelled":
            refresh["shown"].update(Status="Cancelling", StatusReason="Cancelled due to user request.")
        else:
            self._fail(refresh, refresh["order"].get("reason", FAILED))

    def _fail(self, refresh, reason):
        if refresh["shown"]["Preferences"]["AutoRollback"]:
            self._roll_back(refresh, reason)
        else:
            self._ended(refresh, "Failed", reason)

    def _on_one_step(self, region, kept, refresh):
        held = self._held_up(region, kept, refresh)
        if held:
            self._wait(refresh, held)
            return
        if self._in_checkpoint(refresh):
            return
        batch = self._batch(kept, refresh)
        if batch is None:
            self._wait(refresh, "Waiting for instances that are protected from scale in or on standby: " + ", ".join(refresh["todo"]))
            return
        for old in batch:
            new = self.swap(region, kept, old, "in response to an instance refresh")
            if new is None:
                self._wait(refresh, "Failed to launch a new instance; see the scaling activities.")
                return
            refresh["todo"].remove(old["InstanceId"])
            refresh["done"].append(new["InstanceId"])
        refresh["waits"] = 0
        self._count(refresh)
        self._reached(region, kept, refresh)

    def _batch(self, kept, refresh):
        """The instances that may be replaced now; none: those that are left have to be waited for."""
        preferences = refresh["shown"]["Preferences"]
        by_id = {one["InstanceId"]: one for one in kept["instances"]}
        for one in list(refresh["todo"]):
            ignored = one not in by_id or by_id[one]["LifecycleState"].startswith("Terminat")  # ended meanwhile by something else
            if not ignored and by_id[one]["ProtectedFromScaleIn"]:
                ignored = preferences["ScaleInProtectedInstances"] == "Ignore"
            if not ignored and by_id[one]["LifecycleState"] == "Standby":
                ignored = preferences["StandbyInstances"] == "Ignore"
            if ignored:
                refresh["todo"].remove(one)
                refresh["total"] -= 1
        free = [by_id[one] for one in refresh["todo"]
                if not (by_id[one]["ProtectedFromScaleIn"] and preferences["ScaleInProtectedInstances"] == "Wait") and
                not (by_id[one]["LifecycleState"] == "Standby" and preferences["StandbyInstances"] == "Wait")]
        if refresh["todo"] and not free:
            return None
        size = max(1, math.floor(refresh["total"] * (100 - preferences["MinHealthyPercentage"]) / 100))
        if refresh["checkpoints"]:
            size = min(size, self._count_at(refresh, refresh["checkpoints"][0]) - len(refresh["done"]))
        return free[:size]

    @staticmethod
    def _count_at(refresh, percentage):
        return math.ceil(refresh["total"] * percentage / 100)

    def _reached(self, region, kept, refresh):
        checkpoints = refresh["checkpoints"]
        last = checkpoints and len(checkpoints) == 1
        if checkpoints and len(refresh["done"]) >= self._count_at(refresh, checkpoints[0]) and not (last and not refresh["todo"]):
            refresh.update(at=checkpoints[0], kept_looks=refresh["order"].get("checkpoint_looks", 2), ends=bool(last))
            refresh["shown"]["StatusReason"] = f"Waiting at the checkpoint of {checkpoints[0]} percent before continuing."
            checkpoints.pop(0)
        elif not refresh["todo"] and refresh["order"].get("scenario", "ok") == "ok":
            self._bake(region, kept, refresh)

    def _in_checkpoint(self, refresh):
        if refresh.get("at") is None:
            return False
        if refresh["order"].get("scenario") == "stuck_in_checkpoint":
            return True
        refresh["kept_looks"] -= 1
        if refresh["kept_looks"] > 0:
            return True
        refresh["at"] = None
        refresh["shown"].pop("StatusReason", None)
        if refresh["ends"]:  # no checkpoint at 100 percent: what is left stays as it is
            refresh["todo"].clear()
            refresh["percentage"] = refresh["shown"]["PercentageComplete"]
        return False

    def _held_up(self, region, kept, refresh):
        """Why nothing may be replaced now."""
        suspended = [one for one in ("Launch", "Terminate", "InstanceRefresh") if one in kept["suspended"]]
        if suspended:
            return f"Waiting for processes that are suspended: {', '.join(suspended)}"
        if "ELB" not in kept["group"]["HealthCheckType"]:
            return None
        elbv2 = self.world.services["elbv2"]
        for arn in kept["target_groups"]:
            elbv2.look(region.name, arn, refresh["done"])
            for one in refresh["done"]:
                if elbv2.last_state(region.name, arn, one) not in ("healthy", None):
                    return f"Waiting for instances to warm up before continuing. For example: {one} is warming up."
        return None

    def _wait(self, refresh, reason):
        refresh["waits"] += 1
        refresh["shown"]["StatusReason"] = reason
        if refresh["waits"] > refresh["order"].get("patience", 5):
            refresh["waits"] = 0
            self._fail(refresh, reason)

    def _bake(self, region, kept, refresh):
        if self._held_up(region, kept, refresh):
            return  # the last ones are not healthy yet: the next look comes here again by an empty batch
        if refresh["shown"]["Preferences"].get("BakeTime"):
            refresh["waits"] = 0
            refresh["shown"].update(Status="Baking", StatusReason="Waiting for the bake time to pass.")
        else:
            self._succeed(region, kept, refresh)

    def _succeed(self, region, kept, refresh):
        if refresh["desired"]:
            self.set_source(region, kept, refresh["desired"])
        refresh["shown"].pop("StatusReason", None)
        self._ended(refresh, "Successful")
        refresh["shown"]["PercentageComplete"] = refresh.get("percentage", 100)

    @staticmethod
    def _count(refresh):
        share = len(refresh["done"]) * 100 // refresh["total"] if refresh["total"] else 100
        refresh["shown"].update(PercentageComplete=share, InstancesToUpdate=len(refresh["todo"]))
        refresh["shown"].pop("StatusReason", None)

    def _ended(self, refresh, status, reason=None):
        refresh["shown"].update(Status=status, EndTime=self.world.now())
        if reason:
            refresh["shown"]["StatusReason"] = reason

    # --- the way back ---

    def _roll_back(self, refresh, reason):
        shown = refresh["shown"]
        refresh.update(back=True, waits=0)
        shown["RollbackDetails"] = {
            "RollbackReason": reason, "RollbackStartTime": self.world.now(),
            "PercentageCompleteOnRollback": shown["PercentageComplete"], "InstancesToUpdateOnRollback": shown["InstancesToUpdate"]}
        shown.update(Status="RollbackInProgress", StatusReason=reason)

    def _back_one_step(self, region, kept, refresh):
        reason = refresh["shown"]["RollbackDetails"]["RollbackReason"]
        if refresh["order"].get("scenario") == "rollback_failed":
            self._ended(refresh, "RollbackFailed", f"The rollback failed: the instances do not pass their health checks. {reason}")
            return
        by_id = {one["InstanceId"]: one for one in kept["instances"]}
        if refresh["done"]:
            newest = refresh["done"].pop()
            if newest in by_id:
                self.swap(region, kept, by_id[newest], "in response to the rollback of an instance refresh")
            refresh["shown"]["PercentageComplete"] = len(refresh["done"]) * 100 // max(refresh["total"], 1)
        if not refresh["done"]:
            self._ended(refresh, "RollbackSuccessful")
