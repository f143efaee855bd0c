"""Who runs the trials: one after the other, in threads, or in processes of their own.

An executor asks for jobs and runs them; it knows nothing of searches. The search hands out trials:

    Study.optimize ─┐                   ┌─ Serial     in the caller's thread
                    ├─ Handout ─ run ───┼─ Threads    several threads of this process
    a tuner ────────┘                   ├─ Processes  threads that have a worker process each
                                        └─ yours      any object with run(next_job, work)

`Executor` says what each of them promises, and `afina.testing.check_executor` tests it. `Handout`
stands between the search and the executor and keeps count of the open trials. `create_executor`
reads what users pass as `executor=`.

`Processes` runs the jobs in threads of this process; whatever a job passes to `call` runs in the
worker process of its thread. Below it, `WorkerProcesses` starts the processes and talks to them:
`parcels` packs calls and errors, `arrays` shares large arrays by file, `worker` is the life of the
process at the other end, and `orphans` sees to it that nothing outlives a parent that was killed.
`time_limit` ends a job that runs for too long, by raising in its thread; `limited` ends its process
where that does not help.
"""

from afina.run.base import Executor, Handout, JobExecutor, Signal
from afina.run.create import ExecutorLike, check_executor_like, create_executor
from afina.run.limited import RemoteClock, call_within
from afina.run.processes import Processes, WorkerProcesses, call, processors
from afina.run.ray_pool import RayExecutor, is_ray_name
from afina.run.serial import Serial
from afina.run.threads import Threads, stopping, worker_index
from afina.run.time_limit import TimeLimit, check_trial_timeout, current_limit

__all__ = [
    "Executor",
    "ExecutorLike",
    "Handout",
    "JobExecutor",
    "Processes",
    "RayExecutor",
    "RemoteClock",
    "Serial",
    "Signal",
    "Threads",
    "TimeLimit",
    "WorkerProcesses",
    "call",
    "call_within",
    "check_executor_like",
    "check_trial_timeout",
    "create_executor",
    "is_ray_name",
    "processors",
    "stopping",
    "current_limit",
    "worker_index",
]
