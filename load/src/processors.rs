//! What processes have used of the processors, as Linux counts it.

use std::{fs, io, time::Duration};

use rustix::{
    param::clock_ticks_per_second,
    time::{ClockId, clock_gettime},
};

/// What a process, and its children that have ended, used until now, in user mode and in the kernel.
pub fn used_by(process: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // proc(5): the name of the program is in parentheses and may hold anything. Behind it, fields 14 to 17
    // of the line are utime, stime, cutime and cstime.
    let (_, fields) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    sum(fields.split_whitespace().skip(11).take(4))
}

/// What this process has used until now.
pub fn used_here() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What all processes of the machine have used until now.
pub fn used_by_all() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().ok_or(io::ErrorKind::InvalidData)?;
    let fields = || line.split_whitespace().skip(1);
    // user, nice, system; then idle and iowait; then irq and softirq.
    Ok(sum(fields().take(3))? + sum(fields().skip(5).take(2))?)
}

fn sum<'a>(ticks: impl Iterator<Item = &'a str>) -> io::Result<Duration> {
    let ticks = ticks.map(str::parse::<u64>).sum::<Result<u64, _>>().map_err(io::Error::other)?;
    Ok(Duration::from_secs(ticks) / clock_ticks_per_second() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_for_the_process_and_the_machine() {
        let here = std::process::id();
        let (before, all_before) = (used_by(here).unwrap(), used_by_all().unwrap());
        let begun = used_here();
        while used_here() < begun + Duration::from_millis(200) {}
        // Ticks are of 10 ms, and the three are not read at the same moment.
        let least = Duration::from_millis(150);
        assert!(used_by(here).unwrap() - before >= least);
        assert!(used_by_all().unwrap() - all_before >= least);
    }
}
