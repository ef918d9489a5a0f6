//! The lazy value of the process.

use super::slot::Slot;
use loom::sync::Arc;
use loom::thread;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A value that counts those of its kind, and whose contents must be seen by whoever sees it.
struct Value {
    generation: usize,
    written: loom::cell::UnsafeCell<usize>,
    /// No part of the model: a stored value lives for ever, which loom would take for a leak.
    alive: std::sync::Arc<AtomicUsize>,
}

// SAFETY: `written` is written before the value is shared, and only read then.
unsafe impl Sync for Value {}

impl Drop for Value {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

fn make(generation: usize, alive: &std::sync::Arc<AtomicUsize>) -> Result<Value, Infallible> {
    alive.fetch_add(1, Ordering::SeqCst);
    let value =
        Value { generation, written: loom::cell::UnsafeCell::new(0), alive: std::sync::Arc::clone(alive) };
    // SAFETY: nobody else has the value yet. loom fails where a reader is not ordered behind this.
    value.written.with_mut(|written| unsafe { *written = generation + 100 });
    Ok(value)
}

/// Returns the values that `threads` threads get at the same time, if they ask for `generation` or a later
/// one.
fn get_at_once(
    slot: &Arc<Slot<Value>>,
    alive: &std::sync::Arc<AtomicUsize>,
    threads: usize,
    generation: usize,
) {
    let users: Vec<_> = (0..threads)
        .map(|_| {
            let (slot, alive) = (Arc::clone(slot), std::sync::Arc::clone(alive));
            thread::spawn(move || {
                let good = |value: &Value| value.generation >= generation;
                let value = match slot.get(good, || make(generation, &alive)) {
                    Ok(value) => value,
                    Err(never) => match never {},
                };
                assert_eq!(value.generation, generation);
                // SAFETY: nothing is written any more.
                value.written.with(|written| assert_eq!(unsafe { *written }, generation + 100));
                std::ptr::from_ref(value) as usize
            })
        })
        .collect();
    let places: Vec<usize> = users.into_iter().map(|user| user.join().expect("no panic")).collect();
    assert!(places.windows(2).all(|pair| pair[0] == pair[1]), "all get the same value");
}

#[test]
fn all_who_come_first_get_the_same_value_and_the_others_are_dropped() {
    for threads in [2, 3] {
        loom::model(move || {
            let (slot, alive) = (Arc::new(Slot::new()), std::sync::Arc::default());
            get_at_once(&slot, &alive, threads, 1);
            assert_eq!(alive.load(Ordering::SeqCst), 1);
        });
    }
}

#[test]
fn a_value_that_is_no_good_is_replaced_once_and_stays_where_it_is() {
    loom::model(|| {
        let (slot, alive) = (Arc::new(Slot::new()), std::sync::Arc::default());
        let old = match slot.get(|_| true, || make(1, &alive)) {
            Ok(old) => old,
            Err(never) => match never {},
        };
        get_at_once(&slot, &alive, 2, 2);
        assert_eq!((old.generation, alive.load(Ordering::SeqCst)), (1, 2));
    });
}

#[test]
fn who_cannot_make_a_value_gets_that_of_another_thread_or_the_error() {
    loom::model(|| {
        let (slot, alive) = (Arc::new(Slot::new()), std::sync::Arc::default());
        let maker = {
            let (slot, alive) = (Arc::clone(&slot), std::sync::Arc::clone(&alive));
            thread::spawn(move || match slot.get(|_| true, || make(1, &alive)) {
                Ok(value) => std::ptr::from_ref(value) as usize,
                Err(never) => match never {},
            })
        };
        let failing = slot.get(|_| true, || Err("no memory")).map(|value| {
            // SAFETY: nothing is written any more.
            value.written.with(|written| assert_eq!(unsafe { *written }, 101));
            std::ptr::from_ref(value) as usize
        });
        let made = maker.join().expect("no panic");
        assert!(failing == Ok(made) || failing == Err("no memory"));
        assert_eq!(alive.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_value_that_came_meanwhile_is_better_than_an_error() {
    loom::model(|| {
        let (slot, alive) = (Slot::new(), std::sync::Arc::default());
        let found = slot.get(
            |_| true,
            || {
                // Another thread is faster.
                let _ = slot.get(|_| true, || make(1, &alive));
                Err("no memory")
            },
        );
        assert_eq!(found.map(|value| value.generation), Ok(1));
    });
}
