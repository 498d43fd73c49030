//! The pod itself: its build, its life, its processors and memory.

use super::table::table;

table! {
    BUILD_INFO = Gauge "roomcast_build_info" Later [version, commit]
        "Always 1; its labels say which build runs."
        "A deploy is done when one commit is left.";
    PHASE = Gauge "roomcast_phase" Pod [phase: "serving" "waiting" "announced" "closing" "flushing" "stopped"]
        "1 for the phase of its life that the pod is in (serving, waiting, announced, closing, flushing, stopped), 0 for the others."
        "`announced` for longer than `drain.delay` and `drain.timeout` together: a drain hangs. `waiting`: the pod stays with its clients while newer pods replace its kind, for `drain.rollout_wait` at most.";
    ROLLOUT_WAITS = Counter "roomcast_rollout_waits_total" Pod [ended: "complete" "cancelled" "empty" "asked" "timeout" "hurry"]
        "Waits for a rollout that have ended, by why: no pod of the same template is ready any more; newer pods are not there any more; no clients are left; a drain was asked for; `drain.rollout_wait` was over; a second signal came."
        "`timeout`: the rollout took longer than `drain.rollout_wait`; some clients may have moved twice.";
    DRAIN_REMAINING = Gauge "roomcast_drain_remaining" Pod []
        "Connections that a drain has not closed yet, from its announcement on; 0 once it is taken back."
        "Should fall evenly; what is left at `drain.timeout` is cut.";
    RUNTIME_BUSY = Gauge "roomcast_runtime_busy_ratio" Pod []
        "Share of their time in which the workers of the runtime had tasks to run, in the last 5 seconds: 1 when all of them always had."
        "Above 0.8 for minutes: the pod has no processor to spare; add pods, or `runtime.workers` if the machine has more. High with little CPU used: a handler blocks its worker.";
    RUNTIME_DELAY = Histogram(POD) "roomcast_runtime_delay_seconds" Pod []
        "How late a task runs that a timer wakes, looked at ten times a second; up to a millisecond is the timer's own."
        "A p99 above 10 ms: clients feel it. The longest that one task held a worker shows here; else the machine, or a CPU limit, gives the pod no processor.";
    TASK_PANICS = Counter "roomcast_task_panics_total" Pod [task in TASKS]
        "Panics in tasks of the pod, by task. A function of a Rust program that panics is not among them: `internal_error`."
        "Above 0: a bug, please report it with the lines of the log before `a task panicked`. The pod has restarted the task, goes on without it, or drains and exits with 1, [by task](dev/tasks-and-locks.md).";
    ALLOCATOR_BYTES = Gauge "roomcast_allocator_bytes" Later [state: "in_use" "held"]
        "Bytes of the heap: `in_use` by the pod, and `held` in memory for it, stacks and what is free among them. Builds with jemalloc or mimalloc have `held` only."
        "`in_use` rising with as many connections: something is kept. `held` much above `in_use`: freed, and not given back yet; it is looked at every 2 s, and free memory above 8 MiB and a tenth of `held` is given back.";
}
