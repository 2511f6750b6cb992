//! Messages with a descriptor each, over a socket between parent and child.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
        sendmsg, socketpair,
    },
};

/// Longest message, bytes.
pub const MAX_MESSAGE: usize = 8 * 1024;

/// Two connected ends that keep messages apart. Both close on exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(io::Error::from)
}

/// Sends `bytes` and a duplicate of `descriptor` without blocking: `WouldBlock` when the other end
/// is behind, `BrokenPipe` when it is gone.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let descriptors = [descriptor.as_raw_fd()];
    sendmsg::<()>(
        socket.as_fd().as_raw_fd(),
        &[IoSlice::new(bytes)],
        &[ControlMessage::ScmRights(&descriptors)],
        MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Waits for a message. `None`: the other end is gone. A message that is too long, or without
/// exactly one descriptor, is an error, and its descriptors are closed.
pub fn receive(socket: impl AsFd) -> io::Result<Option<(Vec<u8>, OwnedFd)>> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let mut space = cmsg_space!([i32; 1]);
    let (length, truncated, descriptors) = loop {
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let received = recvmsg::<()>(
            socket.as_fd().as_raw_fd(),
            &mut slices,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        );
        match received {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(message) => {
                let cut = MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC;
                let mut descriptors = Vec::new();
                for control in message.cmsgs()? {
                    if let ControlMessageOwned::ScmRights(raw) = control {
                        // SAFETY: the kernel has just made these descriptors for this message, and
                        // nothing else knows their numbers.
                        descriptors.extend(
                            raw.into_iter()
                                .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
                        );
                    }
                }
                break (message.bytes, message.flags.intersects(cut), descriptors);
            }
        }
    };
    if length == 0 && descriptors.is_empty() {
        return Ok(None);
    }
    let mut descriptors = descriptors.into_iter();
    match (descriptors.next(), descriptors.next()) {
        (Some(descriptor), None) if !truncated => {
            buffer.truncate(length);
            Ok(Some((buffer, descriptor)))
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not one message with one descriptor",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn a_message_arrives_with_its_descriptor_and_the_end_is_told() {
        let (ours, theirs) = pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send(&ours, b"path", writer.as_fd()).unwrap();
        drop(writer);
        let (bytes, descriptor) = receive(&theirs).unwrap().unwrap();
        assert_eq!(bytes, b"path");
        std::fs::File::from(descriptor).write_all(b"x").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        drop(ours);
        assert!(receive(&theirs).unwrap().is_none());
    }

    #[test]
    fn a_gone_end_is_an_error_and_not_a_signal() {
        let (ours, theirs) = pair().unwrap();
        drop(theirs);
        let error = send(&ours, b"path", ours.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
