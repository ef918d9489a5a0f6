use super::*;
use crate::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};

fn collect(executor: Executor<'_>, workers: usize, tasks: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    run(
        executor,
        workers,
        tasks,
        || Ok(()),
        |(), i| Ok(i * i),
        |i, square| {
            assert_eq!(square, i * i);
            seen.push(i);
            Ok(())
        },
    )
    .unwrap();
    seen
}

#[test]
fn results_arrive_in_order_for_every_number_of_workers() {
    let pool = Pool::new(3).unwrap();
    for workers in [1, 2, 3, 8] {
        for executor in [Executor::Library, Executor::Inline, Executor::Pool(&pool)] {
            assert_eq!(collect(executor, workers, 1_000), (0..1_000).collect::<Vec<_>>());
            assert!(collect(executor, workers, 0).is_empty());
        }
    }
}

#[test]
fn the_first_error_in_order_is_reported() {
    let pool = Pool::new(4).unwrap();
    for round in 0..200 {
        let error = run(
            Executor::Pool(&pool),
            4,
            100,
            || Ok(()),
            |(), i| if i >= 40 + round % 7 { Err(AtlasError::witness("x").at_index(i)) } else { Ok(()) },
            |_, ()| Ok(()),
        )
        .unwrap_err();
        assert_eq!(error.index(), Some(40 + round % 7));
    }
}

#[test]
fn a_run_of_tasks_is_one_worker_s_and_its_results_arrive_one_by_one() {
    let pool = Pool::new(3).unwrap();
    let runs = [7, 8, 20, 50];
    let mut workers = Vec::new();
    run_within(
        Executor::Pool(&pool),
        3,
        50,
        Order { runs: &runs, ..Order::default() },
        || Ok(std::thread::current().id()),
        |worker, i| Ok((*worker, i)),
        |i, (worker, task)| {
            assert_eq!(i, task);
            workers.push(worker);
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(workers.len(), 50);
    let mut start = 0;
    for end in runs {
        assert!(workers[start..end as usize].iter().all(|worker| *worker == workers[start]));
        start = end as usize;
    }
}

#[test]
fn both_run_and_the_first_error_counts() {
    let pool = Pool::new(2).unwrap();
    for executor in [Executor::Library, Executor::Inline, Executor::Pool(&pool), Executor::OnlyPool(&pool)] {
        assert_eq!(both(executor, || Ok(1), || Ok("two")).unwrap(), (1, "two"));
        let failed = |index| AtlasError::witness("x").at_index(index);
        let error = both::<(), ()>(executor, || Err(failed(1)), || Err(failed(2))).unwrap_err();
        assert_eq!(error.index(), Some(1));
        let error = both::<_, ()>(executor, || Ok(()), || Err(failed(2))).unwrap_err();
        assert_eq!(error.index(), Some(2));
    }
}

#[test]
fn a_panic_in_a_task_is_an_error_of_that_task() {
    let pool = Pool::new(2).unwrap();
    let error = run(
        Executor::Pool(&pool),
        2,
        10,
        || Ok(()),
        |(), i| if i == 3 { std::panic::panic_any(format!("task {i}")) } else { Ok(i) },
        |_, _| Ok(()),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.message().contains("task 3"));
}

#[test]
fn an_error_of_the_sink_cancels_the_rest() {
    let pool = Pool::new(2).unwrap();
    let done = AtomicU64::new(0);
    let error = run(
        Executor::Pool(&pool),
        2,
        1_000_000,
        || Ok(()),
        |(), _| {
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        },
        |i, ()| if i == 5 { Err(AtlasError::cancelled("enough")) } else { Ok(()) },
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    // Only the tasks taken before the error was known ran.
    assert!(done.load(Ordering::Relaxed) < 500_000, "{done:?}");
}

#[test]
fn what_nobody_watches_arrives_in_order_and_whole() {
    let pool = Pool::new(3).unwrap();
    for (tasks, window) in
        [(1, None), (63, None), (1_000, None), (500, Some(1)), (500, Some(7)), (500, Some(200))]
    {
        let mut seen = 0;
        let order = Order { window, unwatched: true, ..Order::default() };
        let sink = |i, task| {
            assert_eq!((i, task), (seen, seen));
            seen += 1;
            Ok(())
        };
        run_within(Executor::Pool(&pool), 3, tasks, order, || Ok(()), |(), i| Ok(i), sink).unwrap();
        assert_eq!(seen, tasks);
        let fail = |(): &mut (), i| if i == tasks / 2 { Err(AtlasError::witness("x")) } else { Ok(()) };
        let error = run_within(Executor::Pool(&pool), 3, tasks, order, || Ok(()), fail, |_, ()| Ok(()));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Witness);
    }
}

#[test]
fn workers_stay_inside_the_window() {
    let pool = Pool::new(3).unwrap();
    for window in [1, 2, 7, 1_000] {
        let delivered = AtomicU64::new(0);
        let mut seen = 0;
        run_within(
            Executor::Pool(&pool),
            3,
            500,
            Order { window: Some(window), ..Order::default() },
            || Ok(()),
            |(), i| Ok(i.saturating_sub(delivered.load(Ordering::SeqCst))),
            |i, ahead| {
                assert_eq!(i, seen);
                assert!(ahead < window, "{ahead} ahead in a window of {window}");
                seen += 1;
                delivered.store(seen, Ordering::SeqCst);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(seen, 500);
    }
}

#[test]
fn the_sink_may_use_the_pool_while_the_window_is_full() {
    let pool = Pool::new(2).unwrap();
    let sink = |_, ()| {
        assert_eq!(collect(Executor::Pool(&pool), 2, 20).len(), 20);
        Ok(())
    };
    run_within(
        Executor::Pool(&pool),
        2,
        100,
        Order { window: Some(2), ..Order::default() },
        || Ok(()),
        |(), _| Ok(()),
        sink,
    )
    .unwrap();
}

#[test]
fn a_call_from_inside_a_task_of_the_same_pool_runs_there() {
    let pool = Pool::new(2).unwrap();
    run(
        Executor::Pool(&pool),
        2,
        4,
        || Ok(()),
        |(), _| Ok(collect(Executor::Pool(&pool), 2, 50).len()),
        |_, count| {
            assert_eq!(count, 50);
            Ok(())
        },
    )
    .unwrap();
}

#[test]
fn a_failing_start_is_an_error_of_the_first_task() {
    let pool = Pool::new(2).unwrap();
    let start = || -> Result<()> { Err(AtlasError::out_of_memory("no buffer")) };
    let error = run(Executor::Pool(&pool), 2, 9, start, |(), _| Ok(()), |_, ()| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
}

#[test]
fn a_pool_of_one_thread_starts_none_and_too_many_are_refused() {
    assert_eq!(Pool::new(1).unwrap().threads(), 1);
    assert_eq!(Pool::new(5).unwrap().threads(), if cfg!(feature = "parallel") { 5 } else { 1 });
    let error = Pool::new(1025).unwrap_err();
    assert_eq!(error.message(), "threads 1025 is outside 0..=1024");
}

/// All other functions of rayon run on its global pool, or may run there.
#[test]
fn nothing_of_rayon_is_used_but_its_pools() {
    fn sources(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let name = concat!("ray", "on");
    let mut uses = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            for (at, _) in line.match_indices(name) {
                let rest = &line[at + name.len()..];
                let word = rest.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_')
                    || line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                let pools = rest.starts_with("::ThreadPool");
                assert!(word || pools || rest.starts_with(' '), "{}: {line}", file.display());
                uses += usize::from(pools);
            }
            let imports = [concat!("use ray", "on "), concat!("crate ray", "on")];
            assert!(!imports.iter().any(|import| line.contains(import)), "{}: {line}", file.display());
        }
    }
    assert!(uses > 3);
}

/// A call whose own thread can do all the work does not wait for other calls that occupy the pool for long.
#[cfg(feature = "parallel")]
#[test]
fn a_short_call_does_not_wait_for_a_long_one() {
    let pool = Pool::new(2).unwrap();
    let (begun, enough) = (AtomicU64::new(0), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let long = scope.spawn(|| {
            let work = |(): &mut (), _| {
                begun.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(1));
                if enough.load(Ordering::Relaxed) { Err(AtlasError::cancelled("enough")) } else { Ok(()) }
            };
            // The number of tasks is limited only so that a failing test ends.
            run(Executor::OnlyPool(&pool), 2, 20_000, || Ok(()), work, |_, ()| Ok(()))
        });
        while begun.load(Ordering::Relaxed) < 2 {
            std::thread::yield_now();
        }
        run(Executor::Pool(&pool), 2, 4, || Ok(()), |(), _| Ok(()), |_, ()| Ok(())).unwrap();
        enough.store(true, Ordering::Relaxed);
        assert_eq!(long.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

/// A panic that unwinds out of the sink ends the other tasks too.
#[test]
fn a_panic_of_the_sink_stops_the_rest() {
    let started = AtomicU64::new(0);
    let count = |(): &mut (), _| Ok(started.fetch_add(1, Ordering::Relaxed));
    let sink = |_, _| panic!("of the sink");
    let panicked =
        catch_unwind(AssertUnwindSafe(|| run(Executor::Library, 2, u64::MAX, || Ok(()), count, sink)));
    assert_eq!(panic_text(panicked.unwrap_err()), "of the sink");
}

#[cfg(target_os = "linux")]
#[test]
fn dropping_a_pool_joins_its_threads() {
    // More threads than the library's pool has, whose threads have the same names and stay.
    let threads = cores() + 100;
    let last = format!("atlas-{}\n", threads - 1);
    let names = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
            .filter(|name| *name == last)
            .count()
    };
    // A thread names itself when it begins, and is listed for a moment after it was joined.
    let comes_to = |count| {
        (0..10_000).any(|_| {
            std::thread::yield_now();
            names() == count
        })
    };
    {
        let _pool = Pool::new(u32::try_from(threads).unwrap()).unwrap();
        assert!(comes_to(usize::from(cfg!(feature = "parallel"))));
    }
    assert!(comes_to(0));
}
