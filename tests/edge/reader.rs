//! Case 21, the other half: who asks and does not read.

use super::through;
use crate::support::Peer;

#[test]
fn a_caller_that_reads_nothing_holds_up_nobody() {
    let peer = Peer::start(|exchange| {
        exchange.read();
        let body = vec![b'x'; if exchange.head.start.contains("/large") { 8 << 20 } else { 2 }];
        exchange.answer(200, &[], body);
    });
    let gateway = through(&peer.url());
    let mut idle = gateway.client();
    idle.send("GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(gateway.get("/small").text(), "xx");
    // The service was read no further than the caller has read, and is let go when the caller is. One
    // that stays and takes nothing for 60 s is let go as well, which is too long to wait for here.
    drop(idle);
    peer.await_cancelled(1);
}
