//! Stand-ins for src/base, and its lazy value.

#[path = "../../../../src/base/slot.rs"]
pub(crate) mod slot;

pub(crate) mod sync {
    use loom::sync::{Mutex, MutexGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().expect("no panic")
    }
}

pub(crate) mod process {
    /// The only process: nothing forks here.
    #[derive(Clone, Copy)]
    pub(crate) struct Process;

    impl Process {
        pub(crate) fn current() -> Process {
            Process
        }

        pub(crate) fn is_current(self) -> bool {
            true
        }
    }

    pub(crate) fn forked() -> super::error::AtlasError {
        super::error::AtlasError("forked".into())
    }
}

pub(crate) mod stack {
    /// No key is used here.
    pub(crate) fn wiping<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
}

pub(crate) mod units {
    pub(crate) fn to_u64(size: usize) -> u64 {
        size as u64
    }

    pub(crate) fn to_usize(size: u64) -> usize {
        size as usize
    }
}

pub(crate) mod error {
    #[derive(Debug, PartialEq)]
    pub(crate) struct AtlasError(pub(crate) String);

    pub(crate) type Result<T> = std::result::Result<T, AtlasError>;

    impl AtlasError {
        pub(crate) fn internal(text: &str) -> AtlasError {
            AtlasError(text.into())
        }

        pub(crate) fn out_of_memory(text: &str) -> AtlasError {
            AtlasError(text.into())
        }
    }
}

mod slot_model;
