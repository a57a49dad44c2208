#!/usr/bin/python3
"""CloudWatch of the double: alarms."""
import time
import unittest

from asked import Asked


class CloudWatch(Asked):
    number = 0

    def setUp(self):
        CloudWatch.number += 1
        self.name = f"alarm{CloudWatch.number}"
        self.cloudwatch = self.client("cloudwatch")

    def an_alarm(self, **more):
        self.order(cloudwatch={"alarms": [{"name": self.name, **more}]})

    def look(self):
        return self.cloudwatch.describe_alarms(AlarmNames=[self.name])["MetricAlarms"][0]

    def test_states_by_looks(self):
        self.an_alarm(then=[{"looks": 2, "state": "ALARM", "reason": "5xx"}, {"looks": 1, "state": "OK"}])
        self.assertEqual([self.look()["StateValue"] for _ in range(5)], ["OK", "OK", "ALARM", "OK", "OK"])
        history = self.cloudwatch.describe_alarm_history(AlarmName=self.name, ScanBy="TimestampAscending")["AlarmHistoryItems"]
        self.assertEqual([item["HistorySummary"] for item in history],
                         ["Alarm updated from OK to ALARM", "Alarm updated from ALARM to OK"])
        self.assertIn("5xx", history[0]["HistoryData"])

    def test_states_by_time(self):
        self.an_alarm(then=[{"after": 0.5, "state": "ALARM"}])
        self.assertEqual(self.look()["StateValue"], "OK")
        time.sleep(0.6)
        self.assertEqual(self.look()["StateValue"], "ALARM")

    def test_alarms_that_are_not_there_are_left_out(self):
        self.an_alarm()
        answer = self.cloudwatch.describe_alarms(AlarmNames=[self.name, "gone"])
        self.assertEqual([one["AlarmName"] for one in answer["MetricAlarms"]], [self.name])

    def test_composite_alarms_are_told_where_they_are_asked_for(self):
        self.an_alarm(composite=True, state="ALARM")
        self.assertEqual(self.cloudwatch.describe_alarms(AlarmNames=[self.name])["CompositeAlarms"], [])
        answer = self.cloudwatch.describe_alarms(AlarmNames=[self.name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        self.assertEqual(answer["CompositeAlarms"][0]["StateValue"], "ALARM")

    def test_filters_and_pages(self):
        self.order(cloudwatch={"alarms": [{"name": f"{self.name}-{number}", "state": "ALARM" if number % 2 else "OK"}
                                          for number in range(5)]})
        pages = self.cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmNamePrefix=f"{self.name}-", PaginationConfig={"PageSize": 2})
        self.assertEqual([len(page["MetricAlarms"]) for page in pages], [2, 2, 1])
        answer = self.cloudwatch.describe_alarms(AlarmNamePrefix=f"{self.name}-", StateValue="ALARM")
        self.assertEqual([one["AlarmName"] for one in answer["MetricAlarms"]], [f"{self.name}-1", f"{self.name}-3"])

    def test_alarms_that_are_put(self):
        self.cloudwatch.put_metric_alarm(AlarmName=self.name, MetricName="m", Namespace="n", EvaluationPeriods=1, Period=60,
                                         Statistic="Sum", Threshold=1, ComparisonOperator="GreaterThanThreshold")
        self.assertEqual(self.look()["StateValue"], "INSUFFICIENT_DATA")
        self.cloudwatch.set_alarm_state(AlarmName=self.name, StateValue="ALARM", StateReason="by hand")
        self.assertEqual((self.look()["StateValue"], self.look()["StateReason"]), ("ALARM", "by hand"))
        self.cloudwatch.disable_alarm_actions(AlarmNames=[self.name])
        self.assertFalse(self.look()["ActionsEnabled"])
        self.cloudwatch.delete_alarms(AlarmNames=[self.name])
        self.assertEqual(self.refused(self.cloudwatch.delete_alarms, AlarmNames=[self.name])[::2], ("ResourceNotFound", 404))

    def test_debians_aws_describes(self):
        self.an_alarm(state="ALARM")
        code, answer, said, _ = self.aws("cloudwatch", "describe-alarms", "--alarm-names", self.name)
        self.assertEqual(code, 0, said)
        self.assertEqual(answer["MetricAlarms"][0]["StateValue"], "ALARM")

    def test_a_trigger_rolls_a_stack_back(self):
        self.an_alarm(state="ALARM")
        arn = self.look()["AlarmArn"]
        template = ("Parameters: {P: {Type: String, Default: a}}\n"
                    "Resources: {T: {Type: 'AWS::SNS::Topic', Properties: {DisplayName: !Ref P}}}")
        self.order(cloudformation={"stacks": [{"name": self.name, "template": template}]})
        cfn = self.client("cloudformation")
        cfn.update_stack(StackName=self.name, UsePreviousTemplate=True, Parameters=[{"ParameterKey": "P", "ParameterValue": "b"}],
                         RollbackConfiguration={"RollbackTriggers": [{"Arn": arn, "Type": "AWS::CloudWatch::Alarm"}]})
        seen = [cfn.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"] for _ in range(8)]
        self.assertEqual(seen[-1], "UPDATE_ROLLBACK_COMPLETE")


if __name__ == "__main__":
    unittest.main()
