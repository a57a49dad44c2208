#!/usr/bin/python3
"""CloudWatch Logs of the double."""
import time
import unittest

from asked import Asked

DAY = 24 * 3600 * 1000


class Logs(Asked):
    number = 0

    def setUp(self):
        Logs.number += 1
        self.group = f"/ci/app{Logs.number}"
        self.order(logs={"groups": [self.group], "page": 10000, "empty_pages": 0, "largest_event": 262144})
        self.logs = self.client("logs")
        self.logs.create_log_stream(logGroupName=self.group, logStreamName="s")
        self.now = int(time.time() * 1000)

    def put(self, *events, stream="s"):
        return self.logs.put_log_events(logGroupName=self.group, logStreamName=stream, logEvents=[
            {"timestamp": self.now + offset, "message": message} for offset, message in events])

    def get(self, stream="s", **more):
        return self.logs.get_log_events(logGroupName=self.group, logStreamName=stream, **more)

    @staticmethod
    def texts(answer):
        return [event["message"] for event in answer["events"]]

    def test_groups(self):
        code, said, _ = self.refused(self.logs.create_log_group, logGroupName=self.group)
        self.assertEqual((code, said), ("ResourceAlreadyExistsException", "The specified log group already exists"))
        self.assertEqual(self.refused(self.logs.create_log_group, logGroupName="a b")[0], "InvalidParameterException")
        self.logs.create_log_group(logGroupName=f"{self.group}/more")
        found = self.logs.describe_log_groups(logGroupNamePrefix=f"{self.group}/")["logGroups"]
        self.assertEqual([one["logGroupName"] for one in found], [f"{self.group}/more"])
        self.logs.delete_log_group(logGroupName=self.group)
        self.assertEqual(self.refused(self.logs.create_log_stream, logGroupName=self.group, logStreamName="s")[:2],
                         ("ResourceNotFoundException", "The specified log group does not exist."))

    def test_retention(self):
        self.assertEqual(self.refused(self.logs.put_retention_policy, logGroupName=self.group, retentionInDays=31)[0],
                         "InvalidParameterException")
        self.logs.put_retention_policy(logGroupName=self.group, retentionInDays=7)
        self.assertEqual(self.logs.describe_log_groups(logGroupNamePrefix=self.group)["logGroups"][0]["retentionInDays"], 7)
        answer = self.put((-8 * DAY, "expired"), (-8 * DAY + 1, "too"))
        self.assertEqual(answer["rejectedLogEventsInfo"], {"expiredLogEventEndIndex": 2})
        self.logs.delete_retention_policy(logGroupName=self.group)
        self.assertNotIn("retentionInDays", self.logs.describe_log_groups(logGroupNamePrefix=self.group)["logGroups"][0])

    def test_streams(self):
        self.assertEqual(self.refused(self.logs.create_log_stream, logGroupName=self.group, logStreamName="s")[:2],
                         ("ResourceAlreadyExistsException", "The specified log stream already exists"))
        for name in ("a:b", "a*b"):
            self.assertEqual(self.refused(self.logs.create_log_stream, logGroupName=self.group, logStreamName=name)[0],
                             "InvalidParameterException")
        self.logs.create_log_stream(logGroupName=self.group, logStreamName="a/1")
        self.put((0, "x"), stream="a/1")
        found = self.logs.describe_log_streams(logGroupName=self.group, orderBy="LastEventTime", descending=True)["logStreams"]
        self.assertEqual([one["logStreamName"] for one in found], ["a/1", "s"])
        self.assertEqual(found[0]["lastEventTimestamp"], self.now)
        self.assertEqual(len(self.logs.describe_log_streams(logGroupName=self.group, logStreamNamePrefix="a/")["logStreams"]), 1)
        self.logs.delete_log_stream(logGroupName=self.group, logStreamName="a/1")

    def test_what_was_put_is_got(self):
        answer = self.put((0, "one"), (1, "zwei ü"), (2, " "))
        self.assertNotIn("rejectedLogEventsInfo", answer)
        got = self.get(startFromHead=True)
        self.assertEqual([(event["timestamp"] - self.now, event["message"]) for event in got["events"]],
                         [(0, "one"), (1, "zwei ü"), (2, " ")])

    def test_events_that_are_out_of_time(self):
        answer = self.put((0, "now"), (3 * 3600 * 1000, "too new"), (3 * 3600 * 1000 + 1, "too new"))
        self.assertEqual(answer["rejectedLogEventsInfo"], {"tooNewLogEventStartIndex": 1})
        answer = self.put((-14 * DAY - 9000, "too old"), (-14 * DAY + 9000, "old"), (-13 * DAY, "more"))
        self.assertEqual(answer["rejectedLogEventsInfo"], {"tooOldLogEventEndIndex": 1})
        self.put((-20 * DAY, "too old counts for no span"), (0, "y"))
        self.assertEqual(self.texts(self.get(startFromHead=True)), ["old", "more", "now", "y"])

    def test_batches_that_are_refused(self):
        large = "x" * (262144 - 26)
        for events, reason in (
                ([(1, "a"), (0, "b")], "Log events in a single PutLogEvents request must be in chronological order."),
                ([(-DAY - 1, "a"), (0, "b")],
                 "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."),
                ([(0, large + "x")], "Log event too large: 262145 bytes exceeds limit of 262144"),
                ([(0, large[:-1] + "ü")], "Log event too large: 262145 bytes exceeds limit of 262144"),
                ([(0, large)] * 4 + [(0, "x")], "Upload too large: 1048603 bytes exceeds limit of 1048576")):
            with self.subTest(reason):
                self.assertEqual(self.refused(self.put_many, events=events)[:2], ("InvalidParameterException", reason))
        self.put_many([(0, large)] * 4)
        self.put_many([(0, "x")] * 10000)
        self.assertEqual(self.refused(self.put_many, events=[(0, "x")] * 10001)[0], "InvalidParameterException")
        self.order(logs={"largest_event": 1048576})
        self.put_many([(0, "x" * (1048576 - 26))])

    def put_many(self, events):
        return self.put(*events)

    def test_a_stream_that_is_gone(self):
        self.logs.delete_log_stream(logGroupName=self.group, logStreamName="s")
        self.assertEqual(self.refused(self.put_many, events=[(0, "x")])[:2],
                         ("ResourceNotFoundException", "The specified log stream does not exist."))

    def test_pages_forward_and_back(self):
        self.put(*[(number, str(number)) for number in range(5)])
        first = self.get(startFromHead=True, limit=2)
        self.assertEqual(self.texts(first), ["0", "1"])
        second = self.get(nextToken=first["nextForwardToken"], limit=2)
        third = self.get(nextToken=second["nextForwardToken"], limit=2)
        self.assertEqual((self.texts(second), self.texts(third)), (["2", "3"], ["4"]))
        end = self.get(nextToken=third["nextForwardToken"])
        self.assertEqual(end["events"], [])
        self.assertEqual(end["nextForwardToken"], third["nextForwardToken"], "the end gives the token back")
        self.put((9, "later"))
        self.assertEqual(self.texts(self.get(nextToken=end["nextForwardToken"])), ["later"])
        self.assertEqual(self.texts(self.get(limit=2)), ["4", "later"], "without startFromHead the newest")
        self.assertEqual(self.texts(self.get(nextToken=third["nextBackwardToken"], limit=3)), ["1", "2", "3"])
        self.assertEqual(self.texts(self.get(startTime=self.now + 1, endTime=self.now + 3, startFromHead=True)), ["1", "2"])
        self.assertEqual(self.refused(self.get, nextToken="f/1")[0], "InvalidParameterException")

    def test_a_stream_that_appears_late(self):
        late = {"group": self.group, "stream": "app/app/*", "looks": 2, "events": ["a", "b", "c"], "each": 2}
        self.order(logs={"streams": [late]})
        for _ in range(2):
            self.assertEqual(self.refused(self.get, stream="app/app/0f")[0], "ResourceNotFoundException")
        first = self.get(stream="app/app/0f", startFromHead=True)
        self.assertEqual(self.texts(first), ["a", "b"])
        self.assertEqual(self.texts(self.get(stream="app/app/0f", nextToken=first["nextForwardToken"])), ["c"])

    def test_empty_pages(self):
        self.put((0, "x"))
        self.order(logs={"empty_pages": 2})
        first = self.get(startFromHead=True)
        second = self.get(nextToken=first["nextForwardToken"])
        self.assertEqual((first["events"], second["events"]), ([], []))
        self.assertNotEqual(first["nextForwardToken"], second["nextForwardToken"], "it is not the end")
        self.assertEqual(self.texts(self.get(nextToken=second["nextForwardToken"])), ["x"])
        self.order(logs={"empty_pages": 2})
        pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=self.group)
        self.assertEqual([self.texts(page) for page in pages], [[], [], ["x"]])

    def test_filters(self):
        self.logs.create_log_stream(logGroupName=self.group, logStreamName="t")
        self.put((0, "an ERROR here"), (2, "fine"))
        self.put((1, "a WARNING"), (3, "ERROR but known"), stream="t")
        for pattern, found in (("", ["an ERROR here", "a WARNING", "fine", "ERROR but known"]),
                               ("ERROR", ["an ERROR here", "ERROR but known"]),
                               ("ERROR -known", ["an ERROR here"]), ("?WARNING ?fine", ["a WARNING", "fine"]),
                               ('"ERROR here"', ["an ERROR here"])):
            answer = self.logs.filter_log_events(logGroupName=self.group, filterPattern=pattern)
            self.assertEqual(self.texts(answer), found)
        answer = self.logs.filter_log_events(logGroupName=self.group, logStreamNames=["t"], limit=1)
        self.assertEqual((self.texts(answer), answer["events"][0]["logStreamName"]), (["a WARNING"], "t"))
        self.assertIn("nextToken", answer)

    def test_an_outage(self):
        self.order(faults=[{"service": "logs", "operation": "PutLogEvents", "status": 503,
                            "code": "ServiceUnavailableException"}])
        self.assertEqual(self.refused(self.put_many, events=[(0, "x")])[::2], ("ServiceUnavailableException", 503))

    def test_debians_aws_reads(self):
        self.put((0, "hello"))
        code, said, errors, _ = self.aws("logs", "tail", self.group)
        self.assertEqual(code, 0, errors)
        self.assertIn("s hello", said)


if __name__ == "__main__":
    unittest.main()
