"""A pymesos executor: a task's data says what to do (finish, wait, die); messages are echoed."""

import os
import signal
import threading

from pymesos import Executor, MesosExecutorDriver, decode_data, encode_data


class Parts(Executor):
    def launchTask(self, driver, task):
        threading.Thread(target=self.run, args=(driver, task), daemon=True).start()

    def run(self, driver, task):
        what = decode_data(task["data"]).decode()
        status = {"task_id": task["task_id"], "state": "TASK_RUNNING"}
        driver.sendStatusUpdate(dict(status))
        if what == "finish":
            data = encode_data(("result of %s" % task["task_id"]["value"]).encode())
            driver.sendStatusUpdate(dict(status, state="TASK_FINISHED", data=data))
        elif what == "die":
            os.kill(os.getpid(), signal.SIGKILL)

    def killTask(self, driver, task_id):
        driver.sendStatusUpdate({"task_id": task_id, "state": "TASK_KILLED"})

    def frameworkMessage(self, driver, message):
        driver.sendFrameworkMessage(encode_data(b"echo " + decode_data(message)))


driver = MesosExecutorDriver(Parts(), use_addict=False)
driver.run()
