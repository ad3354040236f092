//! The machine under the figures: cores, runtimes, memory, medians.

use std::{
    fs,
    future::Future,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

/// Where tasks run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One thread, on the first core.
    Current,
    /// Two workers, on the first two cores.
    Multi,
    /// One thread, wherever the server is.
    Beside,
}

impl Kind {
    /// What most programs run on.
    pub(crate) const USUAL: [Kind; 2] = [Kind::Current, Kind::Multi];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Current => "current-thread",
            Kind::Multi => "multi-thread",
            Kind::Beside => "the server's core",
        }
    }

    fn build(self) -> Runtime {
        let mut builder = match self {
            Kind::Current | Kind::Beside => Builder::new_current_thread(),
            Kind::Multi => Builder::new_multi_thread(),
        };
        builder.worker_threads(2).enable_all().build().expect("a runtime")
    }

    /// Runs this as a task of a runtime of its own, on a thread of its own.
    pub(crate) fn run<F>(self, work: impl FnOnce() -> F + Send) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        thread::scope(|scope| {
            let ran = scope.spawn(|| {
                let last = [last_core()];
                pin(match self {
                    Kind::Current => &[0],
                    Kind::Multi => &[0, 1],
                    Kind::Beside => &last,
                });
                let work = work();
                self.build().block_on(async { tokio::spawn(work).await.expect("a task that does not panic") })
            });
            ran.join().expect("a thread that does not panic")
        })
    }
}

/// The core that is left to whoever plays the server.
pub(crate) fn last_core() -> usize {
    cores() - 1
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// Keeps this thread, and those it starts, on these cores. Elsewhere than on Linux the system decides.
#[cfg(target_os = "linux")]
pub(crate) fn pin(cores: &[usize]) {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    cores.iter().filter(|core| **core < self::cores()).for_each(|core| set.set(*core));
    // Where it is not allowed the figures are noisier, and no less true.
    let _ = sched_setaffinity(None, &set);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_: &[usize]) {}

/// What this process keeps in memory, in bytes: `VmRSS` of `/proc/self/status`, and so on Linux only.
pub(crate) fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap_or_default() * 1024
}

/// How many tasks wanted to run in the last minute.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// What this program says as a process of its own, with a memory of its own.
pub(crate) fn fresh(arguments: &[&str]) -> String {
    let own = std::env::current_exe().expect("this program");
    let output = Command::new(own).arg("inside").args(arguments).stderr(Stdio::inherit()).output().expect("a process");
    assert!(output.status.success(), "{arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// This program as a server in a process of its own, which ends with this value.
pub(crate) struct Elsewhere {
    child: Child,
    pub(crate) address: String,
    /// For TLS, to `localhost`.
    pub(crate) secure_port: String,
    /// In hexadecimal digits.
    pub(crate) certificate: String,
}

impl Elsewhere {
    pub(crate) fn start() -> Self {
        let own = std::env::current_exe().expect("this program");
        let mut child = Command::new(own).args(["inside", "server"]).stdout(Stdio::piped()).spawn().expect("a process");
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut said).expect("an address");
        let mut words = said.split_whitespace().map(str::to_owned);
        let mut word = || words.next().expect("where it is");
        Elsewhere { child, address: word(), secure_port: word(), certificate: word() }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    quantile(figures, 0.5)
}

pub(crate) fn quantile(figures: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures[((figures.len() - 1) as f64 * share) as usize]
}

/// How many a second.
pub(crate) fn rate(count: usize, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

pub(crate) fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}
