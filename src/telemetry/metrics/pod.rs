//! The pod itself: its build, its life, its processors and memory.

use super::table::table;

table! {
    BUILD_INFO = Gauge "roomcast_build_info" Later [version, commit]
        "Always 1; its labels say which build runs."
        "A deploy is done when one commit is left.";
    PHASE = Gauge "roomcast_phase" Pod [phase: "serving" "announced" "closing" "flushing" "stopped"]
        "1 for the phase of its life that the pod is in (serving, announced, closing, flushing, stopped), 0 for the others."
        "`announced` for longer than `drain.delay` and `drain.timeout` together: a drain hangs.";
    DRAIN_REMAINING = Gauge "roomcast_drain_remaining" Pod []
        "Connections that a drain has not closed yet, from its announcement on; 0 once it is taken back."
        "Should fall evenly; what is left at `drain.timeout` is cut.";
}
