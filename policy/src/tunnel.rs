//! Bytes both ways between two connections, until both have ended or nothing moves any more.

use std::{
    cell::Cell,
    io,
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const CHUNK: usize = 16 << 10;

/// Copies between the two until both directions have ended, one of them fails, or neither moves a
/// byte for `idle`. Returns the bytes that went from the first to the second, and back.
pub async fn join<A, B>(a: &mut A, b: &mut B, idle: Duration) -> (u64, u64)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (from_a, to_a) = tokio::io::split(a);
    let (from_b, to_b) = tokio::io::split(b);
    let moved = Cell::new(Instant::now());
    let (up, down) = (Cell::new(0), Cell::new(0));
    let both = async {
        // An error in one direction is the end of both.
        tokio::try_join!(copy(from_a, to_b, &up, &moved), copy(from_b, to_a, &down, &moved)).ok()
    };
    let watch = async {
        loop {
            let still = idle.saturating_sub(moved.get().elapsed());
            if still.is_zero() {
                break;
            }
            tokio::time::sleep(still).await;
        }
    };
    tokio::select! {
        _ = both => {}
        () = watch => {}
    }
    (up.get(), down.get())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    bytes: &Cell<u64>,
    moved: &Cell<Instant>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..count]).await?;
        bytes.set(bytes.get() + count as u64);
        moved.set(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_pass_both_ways_and_each_end_closes_its_direction() {
        let (mut caller, mut a) = tokio::io::duplex(64);
        let (mut b, mut server) = tokio::io::duplex(64);
        let tunnel = async { join(&mut a, &mut b, Duration::from_secs(60)).await };
        let talk = async {
            caller.write_all(b"ping").await.unwrap();
            caller.shutdown().await.unwrap();
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"ping");
            server.write_all(b"answer").await.unwrap();
            server.shutdown().await.unwrap();
            heard.clear();
            caller.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"answer");
        };
        let (counted, ()) = tokio::join!(tunnel, talk);
        assert_eq!(counted, (4, 6));
    }

    #[tokio::test]
    async fn a_silent_tunnel_ends() {
        let (_caller, mut a) = tokio::io::duplex(64);
        let (mut b, _server) = tokio::io::duplex(64);
        assert_eq!(join(&mut a, &mut b, Duration::from_millis(20)).await, (0, 0));
    }
}
