//! Signals that stop a run: they set a flag, which progress callbacks and loops look at.

use std::sync::atomic::{AtomicU32, Ordering};

/// Signals that came.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Signals that end the process immediately, without a cleanup.
const IMPATIENT: u32 = 5;

extern "C" fn on_signal(_: libc::c_int) {
    if COUNT.fetch_add(1, Ordering::Relaxed) + 1 >= IMPATIENT {
        // SAFETY: `_exit` may be called from a signal handler.
        unsafe { libc::_exit(130) };
    }
}

/// Takes SIGINT, SIGTERM and SIGHUP. One that the parent ignores, as `nohup` does, stays ignored.
pub(crate) fn install() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: both structures are initialised, and the handler calls only functions that a handler may call.
        unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &mut before);
            if before.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
            // Without SA_RESTART, so that a read of a pipe returns.
            action.sa_flags = 0;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

/// Returns true once a signal has ended the run.
pub(crate) fn cancelled() -> bool {
    COUNT.load(Ordering::Relaxed) > 0
}
