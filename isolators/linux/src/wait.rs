//! Waiting in a tokio runtime until one of our descriptors is readable.

use std::{io, os::fd::AsRawFd};

use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    memory_events::{Changes, Events},
    pidfd::PidFd,
};

mod sealed {
    pub trait OwnsItsDescriptor {}
    impl OwnsItsDescriptor for super::PidFd {}
    impl OwnsItsDescriptor for std::sync::Arc<super::PidFd> {}
    impl OwnsItsDescriptor for super::Events {}
    impl OwnsItsDescriptor for super::Changes {}
}

/// A descriptor registered with the runtime's reactor until this is dropped.
#[derive(Debug)]
pub struct Readable<T: AsRawFd + sealed::OwnsItsDescriptor>(AsyncFd<T>);

impl<T: AsRawFd + sealed::OwnsItsDescriptor> Readable<T> {
    /// Registers `inner`. Must be called within a runtime that drives I/O.
    pub fn new(inner: T) -> io::Result<Self> {
        // SAFETY: the trait is sealed, and its types own one descriptor each that they open when
        // they are made, close when they (or the last of their shared owners) are dropped, and never
        // exchange; none gives out `&mut` to it. `inner` lives as long as the registration, since both are in the same AsyncFd.
        let fd = unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) };
        fd.map(Self).map_err(Into::into)
    }

    /// What was registered.
    pub fn get(&self) -> &T {
        self.0.get_ref()
    }

    /// Answers when the kernel calls the descriptor readable, at once if it has since the last
    /// `clear`. Cancel safe.
    pub async fn readable(&self) -> io::Result<()> {
        self.0.readable().await?.retain_ready();
        Ok(())
    }

    /// Forgets that it was readable, after what made it so has been taken.
    pub fn clear(&self) {
        // The guard is only made when it is ready; otherwise there is nothing to forget.
        let mut nothing = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(Ok(mut guard)) = self.0.poll_read_ready(&mut nothing) {
            guard.clear_ready();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_is_told() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let end = Readable::new(PidFd::open(child.id()).unwrap()).unwrap();
        end.get().signal(libc::SIGKILL).unwrap();
        end.readable().await.unwrap();
        assert!(end.get().has_ended());
        child.wait().unwrap();
    }
}
