"""CloudWatch Logs: groups, streams, events that are put, read and searched.

Ordered beforehand:
    {"logs": {"groups": ["/ci/app"],
              "streams": [{"group": "/ecs/app", "stream": "app/app/*", "looks": 2, "events": ["one", "two"], "each": 1}],
                          a stream that appears when somebody has looked for it so often, and shows `each` more at each look
              "page": 100, "empty_pages": 1,           FilterLogEvents and GetLogEvents: so many empty pages come first
              "largest_event": 262144}}                bytes with their 26; newer AWS takes 1048576
Limits: CloudWatch Logs API Reference, "PutLogEvents", "GetLogEvents", "PutRetentionPolicy". Outages are faults.
"""
import fnmatch
import itertools
import re
import shlex

from wire import Refusal

OVERHEAD = 26  # bytes that each event counts for beside its own
LARGEST_BATCH = 1048576
DAY = 24 * 3600 * 1000  # milliseconds, as timestamps are
OLDEST, NEWEST = 14 * DAY, 2 * 3600 * 1000  # before and after now
RETENTIONS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
GROUP_NAME, STREAM_NAME = r"[\.\-_/#A-Za-z0-9]+", r"[^:*]*"


def invalid(text):
    return Refusal("InvalidParameterException", text)


def check_pattern(value, member, pattern):
    if not re.fullmatch(pattern, value):
        raise invalid(f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must "
                      f"satisfy regular expression pattern: {pattern}")


class Logs:
    def __init__(self, world):
        self.world = world
        self.groups = {}  # name -> {"created", "retention", "streams": name -> stream}
        self.late = []
        self.numbers = itertools.count(1)
        self.page, self.empty_pages = 10000, 0
        self.largest_event = 262144

    # --- what the test orders ---

    def control(self, orders):
        for name in orders.get("groups", []):
            self._make_group(name)
        for order in orders.get("streams", []):
            if order["group"] not in self.groups:
                self._make_group(order["group"])
            self.late.append(dict(order))
        self.page = orders.get("page", self.page)
        self.empty_pages = orders.get("empty_pages", self.empty_pages)
        self.largest_event = orders.get("largest_event", self.largest_event)

    def _now(self):
        return int(self.world.now().timestamp() * 1000)

    def _make_group(self, name):
        self.groups[name] = {"created": self._now(), "retention": None, "streams": {}}

    def _make_stream(self, group, name):
        group["streams"][name] = {"created": self._now(), "events": [], "coming": [], "each": 1}
        return group["streams"][name]

    def _come(self, group_name, name):
        """A stream that was ordered: it is there once it was looked for often enough, and grows at each look."""
        group = self.groups[group_name]
        stream = group["streams"].get(name)
        if stream is None:
            for order in self.late:
                if order["group"] == group_name and fnmatch.fnmatchcase(name, order["stream"]):
                    order["looks"] = order.get("looks", 0) - 1
                    if order["looks"] < 0:
                        self.late.remove(order)
                        stream = self._make_stream(group, name)
                        stream.update(coming=list(order.get("events", [])), each=order.get("each", 1 << 30))
                    break
        if stream is not None and stream["coming"]:
            fresh, stream["coming"] = stream["coming"][:stream["each"]], stream["coming"][stream["each"]:]
            self._add(stream, [{"timestamp": self._now(), "message": text} for text in fresh])

    def _add(self, stream, events):
        now = self._now()
        for event in events:
            stream["events"].append(event | {"ingestionTime": now, "eventId": f"{next(self.numbers):056d}"})
        stream["events"].sort(key=lambda event: event["timestamp"])

    # --- groups and streams ---

    def _group(self, name):
        if name not in self.groups:
            raise Refusal("ResourceNotFoundException", "The specified log group does not exist.")
        return self.groups[name]

    def _stream(self, params):
        group = self._group(params["logGroupName"])
        if params["logStreamName"] not in group["streams"]:
            raise Refusal("ResourceNotFoundException", "The specified log stream does not exist.")
        return group["streams"][params["logStreamName"]]

    def CreateLogGroup(self, params, identity):
        check_pattern(params["logGroupName"], "logGroupName", GROUP_NAME)
        if params["logGroupName"] in self.groups:
            raise Refusal("ResourceAlreadyExistsException", "The specified log group already exists")
        self._make_group(params["logGroupName"])
        return {}

    def DeleteLogGroup(self, params, identity):
        self._group(params["logGroupName"])
        del self.groups[params["logGroupName"]]
        return {}

    def PutRetentionPolicy(self, params, identity):
        group = self._group(params["logGroupName"])
        if params["retentionInDays"] not in RETENTIONS:
            raise invalid(f"1 validation error detected: Value '{params['retentionInDays']}' at 'retentionInDays' failed to "
                          f"satisfy constraint: Member must satisfy enum value set: {sorted(RETENTIONS)}")
        group["retention"] = params["retentionInDays"]
        return {}

    def DeleteRetentionPolicy(self, params, identity):
        self._group(params["logGroupName"])["retention"] = None
        return {}

    def CreateLogStream(self, params, identity):
        check_pattern(params["logStreamName"], "logStreamName", STREAM_NAME)
        group = self._group(params["logGroupName"])
        if params["logStreamName"] in group["streams"]:
            raise Refusal("ResourceAlreadyExistsException", "The specified log stream already exists")
        self._make_stream(group, params["logStreamName"])
        return {}

    def DeleteLogStream(self, params, identity):
        self._stream(params)
        del self.groups[params["logGroupName"]]["streams"][params["logStreamName"]]
        return {}

    def DescribeLogGroups(self, params, identity):
        prefix, pattern = params.get("logGroupNamePrefix", ""), params.get("logGroupNamePattern", "")
        told = [{"logGroupName": name, "creationTime": one["created"], "arn": self._arn(identity, f"{name}:*"),
                 "storedBytes": sum(len(event["message"]) for stream in one["streams"].values() for event in stream["events"]),
                 "metricFilterCount": 0} | ({"retentionInDays": one["retention"]} if one["retention"] else {})
                for name, one in sorted(self.groups.items()) if name.startswith(prefix) and pattern.lower() in name.lower()]
        shown, more = self._pages(told, params)
        return {"logGroups": shown} | more

    def DescribeLogStreams(self, params, identity):
        group = self._group(params["logGroupName"])
        by_time = params.get("orderBy") == "LastEventTime"
        if by_time and "logStreamNamePrefix" in params:
            raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
        told = []
        for name, one in sorted(group["streams"].items()):
            if name.startswith(params.get("logStreamNamePrefix", "")):
                told.append({"logStreamName": name, "creationTime": one["created"], "storedBytes": 0,
                             "arn": self._arn(identity, f"{params['logGroupName']}:log-stream:{name}")})
                if one["events"]:
                    told[-1] |= {"firstEventTimestamp": one["events"][0]["timestamp"],
                                 "lastEventTimestamp": one["events"][-1]["timestamp"],
                                 "lastIngestionTime": max(event["ingestionTime"] for event in one["events"])}
        told.sort(key=lambda one: one.get("lastEventTimestamp", 0) if by_time else one["logStreamName"],
                  reverse=params.get("descending", False))
        shown, more = self._pages(told, params)
        return {"logStreams": shown} | more

    def _pages(self, items, params):
        start, size = self._start(params.get("nextToken")), min(params.get("limit", 50), self.page)
        more = start + size < len(items)
        return items[start:start + size], {"nextToken": f"at/{start + size}"} if more else {}

    @staticmethod
    def _start(token):
        if token is None:
            return 0
        match = re.fullmatch(r"at/(\d+)(/\d+)?", token)
        if not match:
            raise invalid("The specified nextToken is invalid.")
        return int(match.group(1))

    def _arn(self, identity, rest):
        return f"arn:aws:logs:{identity.region}:{self.world.account}:log-group:{rest}"

    # --- events ---

    def PutLogEvents(self, params, identity):
        check_pattern(params["logStreamName"], "logStreamName", STREAM_NAME)
        stream, events = self._stream(params), params["logEvents"]
        self._check_batch(events)
        kept, rejected = self._in_time(events, self.groups[params["logGroupName"]]["retention"])
        if kept and kept[-1]["timestamp"] - kept[0]["timestamp"] > DAY:
            raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
        self._add(stream, kept)
        return {"nextSequenceToken": f"{next(self.numbers):056d}"} | ({"rejectedLogEventsInfo": rejected} if rejected else {})

    def _check_batch(self, events):
        sizes = [len(event["message"].encode()) + OVERHEAD for event in events]
        too_large = [size for size in sizes if size > self.largest_event]
        if too_large:
            raise invalid(f"Log event too large: {too_large[0]} bytes exceeds limit of {self.largest_event}")
        if sum(sizes) > LARGEST_BATCH:
            raise invalid(f"Upload too large: {sum(sizes)} bytes exceeds limit of {LARGEST_BATCH}")
        times = [event["timestamp"] for event in events]
        if times != sorted(times):
            raise invalid("Log events in a single PutLogEvents request must be in chronological order.")

    def _in_time(self, events, retention):
        """(the events that are kept, what is told of the others): indices, the one of what is too old exclusive."""
        now = self._now()
        expired = sum(1 for event in events if retention and event["timestamp"] < now - retention * DAY)
        old = sum(1 for event in events if event["timestamp"] < now - OLDEST)
        new = sum(1 for event in events if event["timestamp"] > now + NEWEST)
        told = {}
        if new:
            told["tooNewLogEventStartIndex"] = len(events) - new
        if old:
            told["tooOldLogEventEndIndex"] = old
        if expired > old:
            told["expiredLogEventEndIndex"] = expired
        return events[max(old, expired):len(events) - new], told

    def GetLogEvents(self, params, identity):
        self._come_if_known(params["logGroupName"], params["logStreamName"])
        events = self._between(self._stream(params)["events"], params)
        most, token, look = min(params.get("limit", 10000), self.page), params.get("nextToken"), 0
        if token is None:
            start = 0 if params.get("startFromHead") else max(len(events) - most, 0)
            end = min(start + most, len(events))
        elif not re.fullmatch(r"[fb]/\d{56}", token):
            raise invalid("The specified nextToken is invalid.")
        elif token.startswith("f"):
            look = int(token[2:-16])
            start = min(int(token[-16:]), len(events))
            end = min(start + most, len(events))
        else:
            end = min(int(token[-16:]), len(events))
            start = max(end - most, 0)
        if self.empty_pages and start < end:
            self.empty_pages -= 1
            end, look = start, next(self.numbers)  # another token: the end of the stream would give the same one
        shown = [{key: event[key] for key in ("timestamp", "message", "ingestionTime")} for event in events[start:end]]
        return {"events": shown, "nextForwardToken": f"f/{look:040d}{end:016d}",
                "nextBackwardToken": f"b/{look:040d}{start:016d}"}

    def _come_if_known(self, group, stream):
        if group in self.groups:
            self._come(group, stream)

    @staticmethod
    def _between(events, params):
        return [event for event in events
                if params.get("startTime", 0) <= event["timestamp"] < params.get("endTime", event["timestamp"] + 1)]

    def FilterLogEvents(self, params, identity):
        group = self._group(params["logGroupName"])
        if "logStreamNames" in params and "logStreamNamePrefix" in params:
            raise invalid("logStreamNamePrefix and logStreamNames cannot be used together.")
        for name in params.get("logStreamNames", list(group["streams"])):
            self._come(params["logGroupName"], name)
        names = [name for name in params.get("logStreamNames", sorted(group["streams"]))
                 if name.startswith(params.get("logStreamNamePrefix", ""))]
        missing = [name for name in names if name not in group["streams"]]
        if missing:
            raise Refusal("ResourceNotFoundException", "The specified log stream does not exist.")
        fits = _pattern(params.get("filterPattern", ""))
        found = [event | {"logStreamName": name} for name in names
                 for event in self._between(group["streams"][name]["events"], params) if fits(event["message"])]
        found.sort(key=lambda event: (event["timestamp"], event["eventId"]))
        start, most = self._start(params.get("nextToken")), min(params.get("limit", 10000), self.page)
        if self.empty_pages:
            self.empty_pages -= 1
            return {"events": [], "nextToken": f"at/{start}/{next(self.numbers)}", "searchedLogStreams": []}
        more = {"nextToken": f"at/{start + most}"} if start + most < len(found) else {}
        return {"events": found[start:start + most], "searchedLogStreams": []} | more


def _pattern(text):
    """Terms of a filter pattern: all of them, any of ?these, none of -those."""
    if text[:1] in ("{", "["):
        raise invalid("The double does not evaluate patterns of JSON or of fields")
    terms = shlex.split(text.replace("'", "\\'"))
    wanted = [term for term in terms if term[:1] not in "-?"]
    some, none = [term[1:] for term in terms if term[:1] == "?"], [term[1:] for term in terms if term[:1] == "-"]
    return lambda message: all(term in message for term in wanted) and not any(term in message for term in none) and \
        (not some or any(term in message for term in some))
