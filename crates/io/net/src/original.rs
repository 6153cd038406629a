//! Where a connection wanted to go before the firewall led it to us.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::listen::canonical;

#[cfg(test)]
mod tests;

/// Where a connection wanted to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OriginalDst {
    /// The address that the peer dialled; IPv4 in IPv6 is shown as IPv4.
    pub addr: SocketAddr,
    /// Whether the connection was led here from there. When it was not, the peer dialled us.
    pub is_redirected: bool,
}

/// The address that the peer of an accepted connection dialled: what the kernel remembers of a
/// redirection by netfilter (`SO_ORIGINAL_DST`), or our own address when there was none.
///
/// # Errors
///
/// The system's; a connection that is already gone for instance.
pub fn original_dst(stream: &TcpStream) -> io::Result<OriginalDst> {
    let local = canonical(stream.local_addr()?);
    decide(local, remembered(stream, local))
}

#[cfg(target_os = "linux")]
fn remembered(stream: &TcpStream, local: SocketAddr) -> io::Result<SocketAddr> {
    let socket = SockRef::from(stream);
    let addr = match local {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    addr?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn remembered(_stream: &TcpStream, _local: SocketAddr) -> io::Result<SocketAddr> {
    Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT))
}

fn decide(local: SocketAddr, remembered: io::Result<SocketAddr>) -> io::Result<OriginalDst> {
    let addr = match remembered {
        Ok(addr) => canonical(addr),
        // No entry for the connection; no connection tracking at all, or none for this family.
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOPROTOOPT | libc::EOPNOTSUPP) => local,
            _ => return Err(error),
        },
    };
    // The scope of a link-local address is not remembered and tells nothing.
    let is_redirected = (addr.ip(), addr.port()) != (local.ip(), local.port());
    Ok(OriginalDst { addr: if is_redirected { addr } else { local }, is_redirected })
}
