"""Parts that a pymesos framework plays against a master: `framework.py PART HOST:PORT`.

In place of HOST:PORT stands `zk://HOST:PORT/PATH` where the master is found by kazoo. Exits with 0 when all was as it should be; prints what was seen otherwise.
"""

import os
import sys
import threading
import time

from pymesos import MesosSchedulerDriver, Scheduler, encode_data, decode_data

TERMINAL = {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_ERROR",
            "TASK_DROPPED", "TASK_GONE", "TASK_UNKNOWN"}
HERE = os.path.dirname(os.path.abspath(__file__))


def resources(cpus=0.1, mem=32):
    return [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": mem}},
    ]


class Part(Scheduler):
    """Notes everything; a part overrides what it does about it."""

    def __init__(self):
        self.seen = []
        self.states = {}
        self.done = threading.Event()
        self.problem = None
        self.offers = 0

    def note(self, *what):
        self.seen.append(what)

    def expect(self, condition, text):
        if not condition and self.problem is None:
            self.problem = text
            self.done.set()
        return condition

    def registered(self, driver, framework_id, master_info):
        self.note("registered", framework_id)
        self.expect(framework_id["value"], "no framework id")

    def error(self, driver, message):
        self.expect(False, "ERROR: %s" % message)

    def resourceOffers(self, driver, offers):
        for offer in offers:
            self.offers += 1
            self.note("offer", offer["id"]["value"])
            if self.offers == 1:
                self.first_offer(driver, offer)
            else:
                self.later_offer(driver, offer)

    def first_offer(self, driver, offer):
        raise NotImplementedError

    def later_offer(self, driver, offer):
        driver.declineOffer(offer["id"], {"refuse_seconds": 3600})

    def statusUpdate(self, driver, update):
        task, state = update["task_id"]["value"], update["state"]
        self.note("update", task, state, update.get("reason"), update.get("message"))
        self.states.setdefault(task, []).append(state)
        self.update(driver, task, state, update)

    def update(self, driver, task, state, update):
        pass

    def command(self, driver, offer, task, command):
        driver.launchTasks(offer["id"], [{
            "task_id": {"value": task}, "name": task, "agent_id": offer["agent_id"],
            "resources": resources(), "command": {"value": command, "shell": True},
        }], {"refuse_seconds": 0})


class Finish(Part):
    def first_offer(self, driver, offer):
        self.command(driver, offer, "finish", "sleep 0.3; exit 0")

    def update(self, driver, task, state, update):
        if state in TERMINAL:
            self.expect(self.states[task] == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"],
                        "states %s" % self.states)
            self.done.set()


class Kill(Part):
    def first_offer(self, driver, offer):
        self.command(driver, offer, "kill", "sleep 1000")

    def update(self, driver, task, state, update):
        if state == "TASK_RUNNING":
            driver.killTask({"value": task})
        if state in TERMINAL:
            self.expect(state == "TASK_KILLED", "ended as %s" % state)
            self.done.set()


class Failover(Part):
    """A task that outlives the master it was launched by. Says `running` when the master may die."""

    def first_offer(self, driver, offer):
        self.command(driver, offer, "outlives", "sleep 1000")
        self.back = False

    def reregistered(self, driver, master_info):
        self.note("reregistered", master_info)
        if not self.back:
            self.back = True
            threading.Thread(target=self.ask, args=(driver,), daemon=True).start()

    def ask(self, driver):
        # A master says nothing of tasks whose agent has not come back to it yet.
        while not self.done.is_set():
            driver.reconcileTasks([{"task_id": {"value": "outlives"}}])
            time.sleep(0.2)

    def update(self, driver, task, state, update):
        if state == "TASK_RUNNING" and not self.back:
            print("running", flush=True)
        if self.back and state == "TASK_RUNNING" and update.get("reason") == "REASON_RECONCILIATION":
            driver.killTask({"value": task})
        if state in TERMINAL:
            self.expect(self.back, "ended before the failover: %s" % update)
            self.expect(state == "TASK_KILLED", "ended as %s" % update)
            self.expect(sum(what[0] == "registered" for what in self.seen) == 1, "registered twice")
            self.done.set()


class Decline(Part):
    def first_offer(self, driver, offer):
        self.began = time.time()
        driver.declineOffer(offer["id"], {"refuse_seconds": 1.5})

    def later_offer(self, driver, offer):
        if self.offers == 2:
            self.expect(time.time() - self.began >= 1.4, "offered again after %s s" % (time.time() - self.began))
            driver.declineOffer(offer["id"], {"refuse_seconds": 3600})
            driver.reviveOffers()
        else:
            self.done.set()


class Reconcile(Part):
    def first_offer(self, driver, offer):
        self.command(driver, offer, "here", "sleep 1000")
        self.asked = False

    def update(self, driver, task, state, update):
        if state == "TASK_RUNNING" and not self.asked:
            self.asked = True
            driver.reconcileTasks([{"task_id": {"value": "here"}}, {"task_id": {"value": "nowhere"}}])
            return
        if update.get("reason") == "REASON_RECONCILIATION":
            # pymesos is not partition aware: a task that nobody knows is lost.
            expected = {"here": "TASK_RUNNING", "nowhere": "TASK_LOST"}
            self.expect(state == expected[task], "%s is %s" % (task, state))
            if sum(1 for what in self.seen if what[0] == "update" and what[3] == "REASON_RECONCILIATION") == 2:
                self.done.set()


class Executor(Part):
    """Two tasks in one executor process; a message there and back; a kill."""

    def executor_info(self):
        return {
            "executor_id": {"value": "mine"},
            "name": "mine",
            "command": {"value": sys.executable, "shell": False,
                        "arguments": [sys.executable, os.path.join(HERE, "executor.py")]},
            "resources": resources(0.1, 64),
        }

    def launch(self, driver, offer, tasks):
        driver.launchTasks(offer["id"], [{
            "task_id": {"value": task}, "name": task, "agent_id": offer["agent_id"],
            "resources": resources(), "executor": self.executor_info(), "data": encode_data(data.encode()),
        } for task, data in tasks], {"refuse_seconds": 0})

    def first_offer(self, driver, offer):
        self.agent = offer["agent_id"]
        self.echoed = None
        self.launch(driver, offer, [("quick", "finish"), ("long", "wait")])

    def update(self, driver, task, state, update):
        if task == "quick" and state == "TASK_FINISHED":
            self.expect(self.states[task][0] == "TASK_RUNNING", "states %s" % self.states)
            self.expect(decode_data(update["data"]) == b"result of quick", "data %s" % update.get("data"))
            driver.sendFrameworkMessage({"value": "mine"}, self.agent, encode_data(b"ping"))
        if task == "long" and state in TERMINAL:
            self.expect(state == "TASK_KILLED", "ended as %s" % state)
            self.expect(self.echoed == b"echo ping", "echoed %s" % self.echoed)
            self.done.set()

    def frameworkMessage(self, driver, executor_id, agent_id, message):
        self.note("message", message)
        self.echoed = decode_data(message)
        driver.killTask({"value": "long"})


class ExecutorLost(Executor):
    def first_offer(self, driver, offer):
        self.agent = offer["agent_id"]
        self.lost = None
        self.launch(driver, offer, [("doomed", "die")])

    def check(self):
        if self.lost is not None and any(state in TERMINAL for state in self.states.get("doomed", [])):
            self.done.set()

    def update(self, driver, task, state, update):
        if state in TERMINAL:
            self.expect(state == "TASK_FAILED" and update["reason"] == "REASON_EXECUTOR_TERMINATED",
                        "ended as %s" % update)
            self.check()

    def executorLost(self, driver, executor_id, agent_id, status):
        self.note("executor lost", executor_id, status)
        self.lost = status
        # Killed by signal 9, as wait(2) has it.
        self.expect(status == 9, "status %s" % status)
        self.check()


PARTS = {"finish": Finish, "kill": Kill, "decline": Decline, "reconcile": Reconcile, "failover": Failover,
         "executor": Executor, "executor_lost": ExecutorLost}


def main():
    part = PARTS[sys.argv[1]]()
    framework = {"user": "root", "name": "pymesos-" + sys.argv[1], "checkpoint": True}
    driver = MesosSchedulerDriver(part, framework, sys.argv[2], use_addict=False)
    driver.start()
    in_time = part.done.wait(100)
    driver.stop()
    driver.join()
    if in_time and part.problem is None:
        return 0
    print("problem:", part.problem or "it took too long")
    for what in part.seen:
        print(*what)
    return 1


if __name__ == "__main__":
    sys.exit(main())
