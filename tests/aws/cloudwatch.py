"""CloudWatch: alarms, whose states change by looks or by time.

Ordered beforehand:
    {"cloudwatch": {"alarms": [{"name": "backend-5xx", "state": "OK", "reason", "composite": false,
                                "then": [{"looks": 2, "state": "ALARM"}, {"after": 1.5, "state": "OK"}]}]}}
`looks`: when DescribeAlarms has told the state before so often; `after`: so many seconds after it came into that state.
CloudWatch API Reference, "DescribeAlarms", "MetricAlarm".
"""
import fnmatch
import json

from wire import Refusal

WORDS = {"OK": "Threshold not crossed: 1 datapoint [0.0] was not greater than the threshold (1.0).",
         "ALARM": "Threshold Crossed: 1 datapoint [5.0] was greater than the threshold (1.0).",
         "INSUFFICIENT_DATA": "Unchecked: Initial alarm creation"}


class CloudWatch:
    def __init__(self, world):
        self.world = world
        self.alarms = {}  # name -> {"facts", "composite", "then", "looks"}
        self.history = []  # the oldest first
        self.region = "eu-west-1"

    # --- what the test orders ---

    def control(self, orders):
        self.region = orders.get("region", self.region)
        for order in orders.get("alarms", []):
            facts = {"AlarmName": order["name"], "AlarmArn": self._arn(self.region, order["name"]), "ActionsEnabled": True}
            if order.get("composite"):
                facts["AlarmRule"] = order.get("rule", "FALSE")
            else:
                facts |= {"MetricName": "Errors", "Namespace": "App", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
                          "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}
            self._keep(facts, order.get("composite", False), order.get("then", []))
            self._turn(order["name"], order.get("state", "OK"), order.get("reason"))

    def state(self, arn_or_name):
        """For the services beside."""
        name = arn_or_name.rpartition(":")[2]
        return self.alarms[name]["facts"]["StateValue"] if name in self.alarms else None

    def _arn(self, region, name):
        return f"arn:aws:cloudwatch:{region}:{self.world.account}:alarm:{name}"

    def _keep(self, facts, composite=False, then=()):
        self.alarms[facts["AlarmName"]] = {"facts": facts, "composite": composite, "then": list(then), "looks": 0}

    def _turn(self, name, state, reason=None, data=None):
        alarm, now = self.alarms[name], self.world.now()
        before = alarm["facts"].get("StateValue")
        alarm["facts"] |= {"StateValue": state, "StateReason": reason or WORDS[state], "StateUpdatedTimestamp": now}
        alarm["looks"] = 0
        if data:
            alarm["facts"]["StateReasonData"] = data
        if before:
            self.history.append({
                "AlarmName": name, "AlarmType": "CompositeAlarm" if alarm["composite"] else "MetricAlarm", "Timestamp": now,
                "HistoryItemType": "StateUpdate", "HistorySummary": f"Alarm updated from {before} to {state}",
                "HistoryData": json.dumps({"version": "1.0", "oldState": {"stateValue": before}, "newState": {
                    "stateValue": state, "stateReason": alarm["facts"]["StateReason"]}})})

    def _move(self, name):
        alarm = self.alarms[name]
        if not alarm["then"]:
            return
        order = alarm["then"][0]
        age = (self.world.now() - alarm["facts"]["StateUpdatedTimestamp"]).total_seconds()
        if alarm["looks"] >= order["looks"] if "looks" in order else age >= order.get("after", 0):
            alarm["then"].pop(0)
            self._turn(name, order["state"], order.get("reason"))
        alarm["looks"] += 1

    # --- alarms ---

    def DescribeAlarms(self, params, identity):
        if "AlarmNames" in params and "AlarmNamePrefix" in params:
            raise Refusal("ValidationError", "AlarmNames and AlarmNamePrefix can not be used together.")
        kinds = params.get("AlarmTypes", ["MetricAlarm"])  # composite ones only where they are asked for
        names = [name for name in sorted(self.alarms) if name in params.get("AlarmNames", [name]) and
                 name.startswith(params.get("AlarmNamePrefix", "")) and
                 ("CompositeAlarm" if self.alarms[name]["composite"] else "MetricAlarm") in kinds]
        for name in names:
            self._move(name)
        names = [name for name in names if self._fits(self.alarms[name]["facts"], params)]
        token, most = params.get("NextToken", "0"), params.get("MaxRecords", 50)
        if not token.isdigit():
            raise Refusal("InvalidNextToken", "Invalid nextToken")
        start = int(token)
        shown = [self.alarms[name] for name in names[start:start + most]]
        return {"MetricAlarms": [one["facts"] for one in shown if not one["composite"]],
                "CompositeAlarms": [one["facts"] for one in shown if one["composite"]]} | \
            ({"NextToken": str(start + most)} if start + most < len(names) else {})

    @staticmethod
    def _fits(facts, params):
        actions = [action for kind in ("AlarmActions", "OKActions", "InsufficientDataActions") for action in facts.get(kind, [])]
        return params.get("StateValue", facts["StateValue"]) == facts["StateValue"] and \
            ("ActionPrefix" not in params or any(action.startswith(params["ActionPrefix"]) for action in actions))

    def PutMetricAlarm(self, params, identity):
        if "MetricName" not in params and "Metrics" not in params:
            raise Refusal("ValidationError", "Either MetricName or Metrics must be specified.")
        old = self.alarms.get(params["AlarmName"])
        facts = {"ActionsEnabled": True} | {key: value for key, value in params.items() if key != "Tags"} | \
            {"AlarmArn": self._arn(identity.region, params["AlarmName"])}
        if old:  # the state outlives a change of the alarm
            facts |= {key: old["facts"][key] for key in ("StateValue", "StateReason", "StateUpdatedTimestamp")}
        self._keep(facts)
        if not old:
            self._turn(params["AlarmName"], "INSUFFICIENT_DATA")
        return {}

    def SetAlarmState(self, params, identity):
        if params["AlarmName"] not in self.alarms:
            raise Refusal("ResourceNotFound", "", 404)
        self._turn(params["AlarmName"], params["StateValue"], params["StateReason"], params.get("StateReasonData"))
        return {}

    def DeleteAlarms(self, params, identity):
        missing = [name for name in params["AlarmNames"] if name not in self.alarms]
        if missing:
            raise Refusal("ResourceNotFound", f"Unknown alarm names: {missing}", 404)
        for name in params["AlarmNames"]:
            del self.alarms[name]
        return {}

    def EnableAlarmActions(self, params, identity):
        return self._enable(params, True)

    def DisableAlarmActions(self, params, identity):
        return self._enable(params, False)

    def _enable(self, params, value):
        for name in params["AlarmNames"]:
            if name in self.alarms:
                self.alarms[name]["facts"]["ActionsEnabled"] = value
        return {}

    def DescribeAlarmHistory(self, params, identity):
        found = [item for item in self.history if fnmatch.fnmatchcase(item["AlarmName"], params.get("AlarmName", "*")) and
                 params.get("StartDate", item["Timestamp"]) <= item["Timestamp"] <= params.get("EndDate", item["Timestamp"])]
        newest_first = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        return {"AlarmHistoryItems": (found[::-1] if newest_first else found)[:params.get("MaxRecords", 50)]}
