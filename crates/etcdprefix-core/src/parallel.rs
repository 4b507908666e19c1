//! Work on many threads, results in order, memory bounded.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::error::{Error, Result};

/// Items in flight on any machine. More threads than that can't help behind one hashing thread,
/// and each item may be a buffer of some megabytes.
const WINDOW_MAX: u64 = 12;

/// Runs `work` on the items of `items` on `threads` threads, at most 12, and gives the results to
/// `consume` on the calling thread, in the order of the items.
///
/// At most `2 x threads + 2` items, and never more than 12, are between `items` and the end of
/// `consume`, whatever their number, so memory is bounded by the size of that many. The first error
/// in item order, whether of `items`, `work` or `consume`, ends everything and is returned.
pub(crate) fn ordered<I, R>(
    threads: usize,
    items: impl FnMut() -> Result<Option<I>> + Send,
    work: impl Fn(I) -> Result<R> + Sync,
    mut consume: impl FnMut(R) -> Result<()>,
) -> Result<()>
where
    I: Send,
    R: Send,
{
    let threads = threads.clamp(1, WINDOW_MAX as usize);
    let queue = Queue::new((2 * threads as u64 + 2).min(WINDOW_MAX));
    let source = Mutex::new((0, items));
    std::thread::scope(|scope| {
        let _closes = Closes(&queue);
        for started in 0..threads {
            let worker = || {
                let _closes = Closes(&queue);
                while run_one(&queue, &source, &work) {}
            };
            match spawn(scope, worker) {
                // Where threads run short, fewer do the work.
                Err(error) if started == 0 => return Err(error),
                Err(_) => break,
                Ok(_) => {}
            }
        }
        while let Some(result) = queue.take() {
            consume(result?)?;
            queue.consumed();
        }
        Ok(())
    })
}

/// Starts a thread of `scope`.
///
/// # Errors
/// I/O, if the system has no more threads; the scope's own call would panic.
pub(crate) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let started = Builder::new().spawn_scoped(scope, work);
    started.map_err(Error::io("start a thread for", Path::new("the work")))
}

/// What a thread gave; it panics if the thread did.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Takes one item through `work`; false when there is nothing more to do.
fn run_one<I, R>(
    queue: &Queue<R>,
    source: &Mutex<(u64, impl FnMut() -> Result<Option<I>>)>,
    work: &impl Fn(I) -> Result<R>,
) -> bool {
    let (sequence, item) = {
        let mut source = lock(source);
        let sequence = source.0;
        if !queue.admit(sequence) {
            return false;
        }
        let item = (source.1)();
        match &item {
            Ok(Some(_)) => source.0 += 1,
            Ok(None) => queue.end(sequence),
            Err(_) => queue.end(sequence + 1),
        }
        (sequence, item)
    };
    match item {
        Ok(Some(item)) => {
            queue.put(sequence, work(item));
            true
        }
        Ok(None) => false,
        Err(error) => {
            queue.put(sequence, Err(error));
            false
        }
    }
}

struct Queue<R> {
    window: u64,
    state: Mutex<State<R>>,
    changed: Condvar,
}

struct State<R> {
    results: BTreeMap<u64, Result<R>>,
    taken: u64,
    consumed: u64,
    /// How many results there will be, once known.
    total: Option<u64>,
    closed: bool,
}

impl<R> Queue<R> {
    fn new(window: u64) -> Self {
        let state =
            State { results: BTreeMap::new(), taken: 0, consumed: 0, total: None, closed: false };
        Self { window, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits until item `sequence` fits into the window; false if it is not wanted any more.
    fn admit(&self, sequence: u64) -> bool {
        let mut state = lock(&self.state);
        while !state.closed && state.total.is_none() && sequence >= state.consumed + self.window {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.closed && state.total.is_none()
    }

    fn put(&self, sequence: u64, result: Result<R>) {
        lock(&self.state).results.insert(sequence, result);
        self.changed.notify_all();
    }

    /// Says how many results there will be, an error of the items included.
    fn end(&self, total: u64) {
        lock(&self.state).total = Some(total);
        self.changed.notify_all();
    }

    /// Waits for the next result in order.
    fn take(&self) -> Option<Result<R>> {
        let mut state = lock(&self.state);
        loop {
            let next = state.taken;
            if let Some(result) = state.results.remove(&next) {
                state.taken += 1;
                return Some(result);
            }
            if state.closed || state.total.is_some_and(|total| next >= total) {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn consumed(&self) {
        lock(&self.state).consumed += 1;
        self.changed.notify_all();
    }
}

/// Closes the queue when a thread leaves early, by error or panic, so that nobody waits for it.
struct Closes<'q, R>(&'q Queue<R>);

impl<R> Drop for Closes<'_, R> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        // A worker that ran out of items leaves in good order.
        if std::thread::panicking() || state.total.is_none() {
            state.closed = true;
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn count_to(n: u64) -> impl FnMut() -> Result<Option<u64>> {
        let mut next = 0;
        move || {
            next += 1;
            Ok((next <= n).then_some(next))
        }
    }

    #[test]
    fn results_come_in_order_on_any_number_of_threads() {
        for threads in [1, 2, 7] {
            let mut got = Vec::new();
            ordered(
                threads,
                count_to(500),
                |n| Ok(n * 2),
                |n| {
                    got.push(n);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(got, (1..=500).map(|n| n * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_in_order_ends_everything() {
        let fail_from = |n: u64| {
            if n >= 100 { Err(Error::Usage { why: n.to_string() }) } else { Ok(n) }
        };
        let error = ordered(3, count_to(10_000), fail_from, |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "100");
        let error = ordered(3, count_to(10_000), Ok, |_| Err(Error::Interrupted)).unwrap_err();
        assert!(matches!(error, Error::Interrupted));
        let mut items = 0;
        let failing = || {
            items += 1;
            if items < 5 { Ok(Some(items)) } else { Err(Error::Interrupted) }
        };
        let mut seen = 0;
        let result = ordered(2, failing, Ok, |_| {
            seen += 1;
            Ok(())
        });
        assert!(matches!(result, Err(Error::Interrupted)));
        assert_eq!(seen, 4);
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panicking_worker_is_not_waited_for() {
        let work = |n: u64| if n == 20 { panic!("worker") } else { Ok(n) };
        ordered(2, count_to(1_000), work, |_| Ok(())).unwrap();
    }
}
