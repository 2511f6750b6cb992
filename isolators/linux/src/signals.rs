//! Signal dispositions and masks between fork and exec.

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// Blocks every signal that can be blocked in this thread: it then ends by SIGKILL alone.
pub fn block_all() -> std::io::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).map_err(Into::into)
}

/// Puts every disposition back to its default and unblocks everything, as a new program expects:
/// both would survive the exec otherwise. Also those of signals 32 and 33, which the C library
/// keeps to itself and a parent may have left ignored.
pub fn reset_all() -> std::io::Result<()> {
    /// The kernel's sigaction with a 64-bit mask, all zeroes: SIG_DFL, no flags, an empty mask.
    const DEFAULT: [u64; 4] = [0; 4];
    for signal in 1..=64 {
        if matches!(signal, libc::SIGKILL | libc::SIGSTOP) {
            continue;
        }
        // SAFETY: the kernel reads its sigaction of 32 bytes from `DEFAULT`, which lives for ever,
        // and keeps no pointer; the default disposition runs no code of ours.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
        if result < 0 {
            return Err(std::io::Error::last_os_error());
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
