"""ECS: clusters, services, task definitions and tasks. Nothing moves by time: each look at a thing moves it one step.

What a deployment or a task will come to is ordered beforehand:
    {"ecs": {"clusters": ["prod"],
             "services": [{"cluster", "name", "task_definition": {...}, "desired": 2, "controller": "ECS"}],
             "deployments": [{"service": "app", "scenario": "rollback"}],      the next ones of that service, in order
             "finish": [{"service": "app"}],                                  what runs there comes to a good end after all
             "tasks": [{"family": "app", "exit": {"app": 0}, "polls": 2}]}}    the next ones of that family, in order
Scenarios of a deployment: ok (the default), rollback, rollback_between_polls, superseded, stuck, crashing, no_rollout_state.
Of a task: "exit" per container (null: none, as of a container that never started), "stop_code", "stopped_reason",
"reasons" per container, "polls" until it is over, "failures": [...] in place of a task.
"""
import itertools

from wire import Refusal

READ_ONLY = {"taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt",
             "registeredBy", "deregisteredAt"}


class Ecs:
    def __init__(self, world):
        self.world = world
        self.clusters, self.services, self.tasks = {}, {}, {}
        self.tags = {}  # of task definitions, by ARN
        self.definitions = {}  # family -> list of revisions, from 1
        self.orders = {"deployments": [], "tasks": []}
        self.numbers = itertools.count(1)
        self.tokens = {}  # clientToken -> the answer it had

    # --- what the test orders ---

    def control(self, orders):
        for name in orders.get("clusters", []):
            self.clusters[name] = {"clusterArn": self._arn(f"cluster/{name}"), "clusterName": name, "status": "ACTIVE"}
        for order in orders.get("services", []):
            self._make_service(order)
        for order in orders.get("finish", []):
            self._finish(order["service"])
        for kind in ("deployments", "tasks"):
            self.orders[kind].extend(orders.get(kind, []))

    def _finish(self, name):
        kept = next(kept for key, kept in self.services.items() if key[1] == name)
        deployments = kept["service"]["deployments"]
        kept["steps"] = self._steps_ok(kept["service"], deployments[0], deployments[-1])

    def _make_service(self, order):
        definition = self._register(order["task_definition"])
        cluster, name, desired = order["cluster"], order["name"], order.get("desired", 1)
        now = self.world.now()
        service = {
            "serviceArn": self._arn(f"service/{cluster}/{name}"), "serviceName": name,
            "clusterArn": self.clusters[cluster]["clusterArn"], "status": "ACTIVE", "desiredCount": desired,
            "runningCount": desired, "pendingCount": 0, "launchType": "FARGATE", "loadBalancers": [],
            "taskDefinition": definition["taskDefinitionArn"], "events": [], "createdAt": now,
            "deploymentConfiguration": {
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                "maximumPercent": 200, "minimumHealthyPercent": 100},
            "deploymentController": {"type": order.get("controller", "ECS")},
            "networkConfiguration": {"awsvpcConfiguration": {
                "subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}},
        }
        service["deployments"] = [self._deployment(service, "COMPLETED", running=desired)]
        self.services[(cluster, name)] = {"service": service, "steps": []}

    # --- services ---

    def DescribeServices(self, params, identity):
        cluster = self._cluster(params)
        found, failures = [], []
        if len(params["services"]) > 10:
            raise Refusal("InvalidParameterException", "services can have at most 10 items.")
        for reference in params["services"]:
            name = reference.rpartition("/")[2]
            kept = self.services.get((cluster, name))
            if kept is None:
                failures.append({"arn": self._arn(f"service/{cluster}/{name}"), "reason": "MISSING"})
                continue
            if kept["steps"]:
                kept["steps"].pop(0)()
            found.append(dict(kept["service"]))
        return {"services": found, "failures": failures}

    def ListServices(self, params, identity):
        cluster = self._cluster(params)
        return {"serviceArns": [kept["service"]["serviceArn"] for key, kept in self.services.items() if key[0] == cluster]}

    def UpdateService(self, params, identity):
        cluster = self._cluster(params)
        name = params["service"].rpartition("/")[2]
        kept = self.services.get((cluster, name))
        if kept is None:
            raise Refusal("ServiceNotFoundException", "Service not found.")
        service = kept["service"]
        definition = self._definition(params.get("taskDefinition", service["taskDefinition"]))
        if definition["status"] != "ACTIVE":
            raise Refusal("ClientException", "TaskDefinition is inactive")
        if "desiredCount" in params:
            service["desiredCount"] = params["desiredCount"]
        if "deploymentConfiguration" in params:
            service["deploymentConfiguration"] |= params["deploymentConfiguration"]
        changed = definition["taskDefinitionArn"] != service["taskDefinition"] or params.get("forceNewDeployment", False)
        if changed:
            self._roll(kept, definition["taskDefinitionArn"])
        elif "desiredCount" in params:
            service["deployments"][0]["desiredCount"] = params["desiredCount"]
            kept["steps"] = [lambda: self._settle(service)]
        return {"service": dict(service)}

    def _roll(self, kept, arn):
        service = kept["service"]
        previous = service["deployments"][0]
        previous["status"] = "ACTIVE"
        service["taskDefinition"] = arn
        deployment = self._deployment(service, "IN_PROGRESS", running=0)
        service["deployments"] = [deployment, previous]
        scenario = self._ordered("deployments", "service", service["serviceName"]).get("scenario", "ok")
        kept["steps"] = getattr(self, f"_steps_{scenario}")(service, deployment, previous)

    def _steps_ok(self, service, deployment, previous):
        def starting():
            deployment["pendingCount"] = service["desiredCount"]
            self._event(service, "has started {n} tasks: (task 1).")

        def running():
            deployment.update(pendingCount=0, runningCount=service["desiredCount"])
            self._event(service, "registered {n} targets in target-group tg.")

        def completed():
            deployment.update(rolloutState="COMPLETED", rolloutStateReason="ECS deployment completed.")
            service["deployments"] = [deployment]
            self._settle(service)
            self._event(service, "has reached a steady state.")

        return [starting, running, completed]

    def _steps_rollback(self, service, deployment, previous):
        back = None

        def failing():
            deployment["failedTasks"] = 1
            self._stopped_task(service, deployment)
            self._event(service, "has started 1 tasks: (task 1).")

        def failed():
            nonlocal back
            deployment.update(rolloutState="FAILED", status="ACTIVE", failedTasks=3,
                              rolloutStateReason="ECS deployment circuit breaker: tasks failed to start.")
            back = self._back_to(service, previous, "IN_PROGRESS")
            service["deployments"] = [back, deployment, previous]
            self._event(service, f"rolling back to deployment {back['id']}.")

        def rolled_back():
            back.update(rolloutState="COMPLETED", runningCount=service["desiredCount"],
                        rolloutStateReason="ECS deployment completed.")
            service["deployments"] = [back]
            self._settle(service)

        return [failing, failed, rolled_back]

    def _steps_rollback_between_polls(self, service, deployment, previous):
        def rolled_back():
            self._stopped_task(service, deployment)
            service["deployments"] = [self._back_to(service, previous, "COMPLETED")]
            self._settle(service)

        return [rolled_back]

    def _steps_superseded(self, service, deployment, previous):
        def other():
            definition = self._register({"family": "other", "containerDefinitions": [{"name": "app", "image": "other"}]})
            service["taskDefinition"] = definition["taskDefinitionArn"]
            service["deployments"] = [self._deployment(service, "IN_PROGRESS", running=0), previous]

        return [lambda: None, other]

    def _steps_stuck(self, service, deployment, previous):
        return []

    def _steps_crashing(self, service, deployment, previous):
        def crash():
            deployment["failedTasks"] += 1
            self._stopped_task(service, deployment)

        service["deploymentConfiguration"]["deploymentCircuitBreaker"] = {"enable": False, "rollback": False}
        return [crash] * 50

    def _steps_no_rollout_state(self, service, deployment, previous):
        for one in (deployment, previous):
            one.pop("rolloutState", None)

        def completed():
            deployment["runningCount"] = service["desiredCount"]
            service["deployments"] = [deployment]
            self._settle(service)

        return [lambda: None, completed]

    def _back_to(self, service, previous, state):
        service["taskDefinition"] = previous["taskDefinition"]
        return self._deployment(service, state, running=service["desiredCount"] if state == "COMPLETED" else 0)

    def _deployment(self, service, state, running):
        now = self.world.now()
        return {"id": f"ecs-svc/{next(self.numbers):019d}", "status": "PRIMARY", "rolloutState": state,
                "taskDefinition": service["taskDefinition"], "desiredCount": service["desiredCount"],
                "runningCount": running, "pendingCount": 0, "failedTasks": 0, "createdAt": now, "updatedAt": now,
                "rolloutStateReason": f"ECS deployment {state.lower()}."}

    @staticmethod
    def _settle(service):
        service.update(runningCount=service["desiredCount"], pendingCount=0)
        service["deployments"][0]["runningCount"] = service["desiredCount"]

    def _event(self, service, text):
        message = f"(service {service['serviceName']}) {text.format(n=service['desiredCount'])}"
        event = {"id": f"event-{next(self.numbers)}", "createdAt": self.world.now(), "message": message}
        service["events"] = [event, *service["events"]][:100]  # the newest first

    # --- task definitions ---

    def RegisterTaskDefinition(self, params, identity):
        definition = self._register(params)
        self.tags[definition["taskDefinitionArn"]] = params.get("tags", [])
        return {"taskDefinition": dict(definition), "tags": params.get("tags", [])}

    def DescribeTaskDefinition(self, params, identity):
        definition = self._definition(params["taskDefinition"])
        return {"taskDefinition": dict(definition), "tags": self.tags.get(definition["taskDefinitionArn"], [])}

    def ListTaskDefinitions(self, params, identity):
        arns = [one["taskDefinitionArn"] for one in self.definitions.get(params.get("familyPrefix", ""), [])]
        return {"taskDefinitionArns": arns[::-1] if params.get("sort") == "DESC" else arns}

    def DeregisterTaskDefinition(self, params, identity):
        definition = self._definition(params["taskDefinition"])
        definition["status"] = "INACTIVE"
        return {"taskDefinition": dict(definition)}

    def _register(self, params):
        forbidden = READ_ONLY & set(params)
        if forbidden:
            raise Refusal("ClientException", f"read-only: {sorted(forbidden)}")
        revisions = self.definitions.setdefault(params["family"], [])
        definition = {key: value for key, value in params.items() if key != "tags"} | {
            "revision": len(revisions) + 1, "status": "ACTIVE", "registeredAt": self.world.now(),
            "taskDefinitionArn": self._arn(f"task-definition/{params['family']}:{len(revisions) + 1}"),
            "compatibilities": ["EC2", "FARGATE"]}
        revisions.append(definition)
        return definition

    def _definition(self, reference):
        family, _, revision = reference.rpartition("/")[2].partition(":")
        revisions = self.definitions.get(family, [])
        active = [one for one in revisions if one["status"] == "ACTIVE"]
        if not revision and active:
            return active[-1]
        if revision.isdigit() and 0 < int(revision) <= len(revisions):
            return revisions[int(revision) - 1]
        raise Refusal("ClientException", f"Unable to describe task definition {reference}.")

    # --- tasks ---

    def RunTask(self, params, identity):
        cluster = self._cluster(params)
        definition = self._definition(params["taskDefinition"])
        token = params.get("clientToken")
        if token and token in self.tokens:
            return self.tokens[token]
        order = self._ordered("tasks", "family", definition["family"])
        if "failures" in order:
            return {"tasks": [], "failures": order["failures"]}
        task = self._task(cluster, definition, params.get("startedBy", ""), order)
        task["overrides"] = params.get("overrides", {})
        result = {"tasks": [dict(task)], "failures": []}
        if token:
            self.tokens[token] = result
        return result

    def DescribeTasks(self, params, identity):
        self._cluster(params)
        found, failures = [], []
        for reference in params["tasks"]:
            kept = self.tasks.get(reference.rpartition("/")[2])
            if kept is None:
                failures.append({"arn": reference, "reason": "MISSING"})
                continue
            self._advance(kept)
            found.append(dict(kept["task"]))
        return {"tasks": found, "failures": failures}

    def ListTasks(self, params, identity):
        cluster = self._cluster(params)
        wanted = params.get("desiredStatus", "RUNNING")
        arns = []
        for kept in self.tasks.values():
            task = kept["task"]
            fits = (task["clusterArn"].endswith(f"/{cluster}") and task["desiredStatus"] == wanted and
                    params.get("startedBy", task["startedBy"]) == task["startedBy"] and
                    params.get("family", kept["family"]) == kept["family"] and
                    params.get("serviceName", kept["service"]) == kept["service"])
            if fits:
                arns.append(task["taskArn"])
        return {"taskArns": arns}

    def StopTask(self, params, identity):
        self._cluster(params)
        kept = self.tasks.get(params["task"].rpartition("/")[2])
        if kept is None:
            raise Refusal("InvalidParameterException", "The referenced task was not found.")
        if kept["task"]["lastStatus"] != "STOPPED":
            kept["order"] = {"polls": 1, "exit": {name: 143 for name in kept["names"]}, "stop_code": "UserInitiated",
                             "stopped_reason": params.get("reason", "")}
            kept["polls"] = 0
            kept["task"]["desiredStatus"] = "STOPPED"
        return {"task": dict(kept["task"])}

    def _task(self, cluster, definition, started_by, order, service=""):
        number = f"{next(self.numbers):032x}"
        names = [one["name"] for one in definition["containerDefinitions"]]
        arn = self._arn(f"task/{cluster}/{number}")
        task = {"taskArn": arn, "clusterArn": self.clusters[cluster]["clusterArn"], "lastStatus": "PROVISIONING",
                "desiredStatus": "RUNNING", "taskDefinitionArn": definition["taskDefinitionArn"], "startedBy": started_by,
                "createdAt": self.world.now(), "group": f"service:{service}" if service else f"family:{definition['family']}",
                "containers": [{"name": name, "taskArn": arn, "lastStatus": "PENDING"} for name in names]}
        self.tasks[number] = {"task": task, "order": order, "polls": 0, "names": names, "family": definition["family"],
                              "service": service}
        return task

    def _advance(self, kept):
        task, order = kept["task"], kept["order"]
        if task["lastStatus"] == "STOPPED":
            return
        kept["polls"] += 1
        if kept["polls"] < order.get("polls", 2):
            task["lastStatus"] = "RUNNING"
            for container in task["containers"]:
                container["lastStatus"] = "RUNNING"
            return
        exits = order.get("exit", {})
        task.update(lastStatus="STOPPED", desiredStatus="STOPPED", stoppedAt=self.world.now(),
                    stopCode=order.get("stop_code", "EssentialContainerExited"),
                    stoppedReason=order.get("stopped_reason", "Essential container in task exited"))
        for container in task["containers"]:
            container["lastStatus"] = "STOPPED"
            code = exits.get(container["name"], 0)
            if code is not None:
                container["exitCode"] = code
            reason = order.get("reasons", {}).get(container["name"])
            if reason:
                container["reason"] = reason

    def _stopped_task(self, service, deployment):
        definition = self._definition(deployment["taskDefinition"])
        cluster = service["clusterArn"].rpartition("/")[2]
        order = {"polls": 1, "exit": {one["name"]: 1 for one in definition["containerDefinitions"]}}
        task = self._task(cluster, definition, deployment["id"], order, service["serviceName"])
        self._advance(self.tasks[task["taskArn"].rpartition("/")[2]])

    # --- small things ---

    def DescribeClusters(self, params, identity):
        names = [one.rpartition("/")[2] for one in params.get("clusters", ["default"])]
        return {"clusters": [self.clusters[name] for name in names if name in self.clusters],
                "failures": [{"arn": self._arn(f"cluster/{name}"), "reason": "MISSING"}
                             for name in names if name not in self.clusters]}

    def _cluster(self, params):
        name = params.get("cluster", "default").rpartition("/")[2]
        if name not in self.clusters:
            raise Refusal("ClusterNotFoundException", "Cluster not found.")
        return name

    def _ordered(self, kind, key, value):
        for order in self.orders[kind]:
            if order.get(key, value) == value:
                self.orders[kind].remove(order)
                return order
        return {}

    def _arn(self, rest):
        return f"arn:aws:ecs:eu-west-1:{self.world.account}:{rest}"
