//! Stand-ins for src/exec/pool, and its sources.

#[path = "../../../../src/exec/pool/schedule.rs"]
pub(crate) mod schedule;
#[path = "../../../../src/exec/pool/ticket.rs"]
pub(crate) mod ticket;

/// Order of tasks; src/exec/pool/mod.rs has its meaning.
#[derive(Clone, Copy, Default)]
pub(crate) struct Order<'a> {
    pub(crate) unwatched: bool,
    pub(crate) window: Option<u64>,
    pub(crate) runs: &'a [u64],
    pub(crate) cuts_runs: bool,
}

pub(crate) fn panic_error(payload: Box<dyn std::any::Any + Send>) -> crate::base::error::AtlasError {
    // A failed assertion, or a finding of loom.
    std::panic::resume_unwind(payload)
}

pub(crate) mod threads {
    use super::ticket::Lent;

    /// A pool that starts a thread for each ticket, which may come at any time, also after the call.
    pub(crate) struct Team<'p> {
        pub(crate) caller_works: bool,
        pub(crate) pool: std::marker::PhantomData<&'p ()>,
    }

    impl Team<'_> {
        pub(crate) fn calls(&self) -> Option<&std::sync::atomic::AtomicUsize> {
            None
        }

        pub(super) fn start(&self, lent: &Lent<'_>) -> bool {
            let ticket = lent.ticket();
            loom::thread::spawn(move || ticket.run());
            true
        }
    }
}

mod calls;
