//! Listening sockets: one for each core on the same address, so that the kernel spreads
//! connections and no core wakes for another's.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections wait for a core that is busy.
const BACKLOG: i32 = 4096;

/// Binds `count` sockets to one address. A port 0 becomes the same real port for all.
///
/// # Errors
/// If the address cannot be bound. Sharing an address is between our own cores only: a second
/// gateway must fail here, not take every other connection.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let alone = socket(address, false)?;
    let address = alone.local_addr()?.as_socket().unwrap_or(address);
    if count == 1 || !cfg!(target_os = "linux") {
        alone.listen(BACKLOG)?;
        return Ok(vec![alone.into()]);
    }
    drop(alone);
    (0..count)
        .map(|_| {
            let socket = socket(address, true)?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart need not wait for the last connections' time-out.
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_share_an_address_and_a_second_gateway_does_not() {
        let any = "127.0.0.1:0".parse().unwrap();
        let ours = bind(any, 2).unwrap();
        let address = ours[0].local_addr().unwrap();
        assert_eq!(ours[1].local_addr().unwrap(), address);
        assert_eq!(bind(address, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind(address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
