//! Signal dispositions and masks between fork and exec.

use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask,
};

/// Blocks every signal that can be blocked in this thread: it then ends by SIGKILL alone.
pub fn block_all() -> std::io::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).map_err(Into::into)
}

/// Puts every disposition back to its default and unblocks everything, as a new program expects:
/// both would survive the exec otherwise.
pub fn reset_all() -> std::io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator() {
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: the default disposition runs no code of ours, so none can run where it must
            // not, and the old action is not used again.
            unsafe { sigaction(signal, &default) }?;
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(Into::into)
}

/// The name that strsignal(3) has for a signal, as status messages of Mesos write it.
pub fn description(signal: i32) -> String {
    // SAFETY: strsignal answers a string for any integer; it is valid until the next call in this
    // thread, and it is copied at once.
    let text = unsafe { std::ffi::CStr::from_ptr(libc::strsignal(signal)) };
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn signals_have_mesos_names() {
        assert_eq!(super::description(libc::SIGKILL), "Killed");
        assert_eq!(super::description(libc::SIGTERM), "Terminated");
    }
}
