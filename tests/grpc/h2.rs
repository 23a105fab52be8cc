//! JSON over HTTP/2: lines go both ways on one stream, each as soon as it is there.

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::handshake};
use serde_json::{Value, json};
use tokio::{net::TcpStream, runtime::Builder, time::timeout};

use super::{ROUTES, both, in_front_of};
use crate::support::{Gateway, PATIENCE, eventually, tonic::Tonic};

/// Both directions of one request.
struct Talk {
    ours: SendStream<Bytes>,
    theirs: RecvStream,
    held: Vec<u8>,
}

impl Talk {
    /// Asks for a path, with this line as the first, or the only one.
    async fn begin(gateway: &Gateway, path: &str, line: &Value, only: bool) -> Self {
        let socket = TcpStream::connect(gateway.address()).await.unwrap();
        let (mut requests, connection) = handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post(format!("http://gateway.test{path}"));
        let request = request.header("content-type", "application/x-ndjson").body(()).unwrap();
        let (answer, mut ours) = requests.send_request(request, false).unwrap();
        ours.send_data(format!("{line}\n").into(), only).unwrap();
        let answer = timeout(PATIENCE, answer).await.expect("an answer").unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
        Self { ours, theirs: answer.into_body(), held: Vec::new() }
    }

    fn say(&mut self, line: &Value) {
        self.ours.send_data(format!("{line}\n").into(), false).unwrap();
    }

    /// The next line; none at the end.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let data = timeout(PATIENCE, self.theirs.data()).await.expect("a line")?.unwrap();
            self.theirs.flow_control().release_capacity(data.len()).unwrap();
            self.held.extend_from_slice(&data);
        }
    }

    /// Leaves in the middle, and waits until the server knows.
    fn leave(mut self, gateway: &Gateway) {
        let left = || gateway.get("/seen").json()["left"].clone();
        assert_eq!(left(), Value::Null);
        self.ours.send_reset(Reason::CANCEL);
        eventually("the server knows that its caller has left", || (left() == 1).then_some(()));
    }
}

fn entry(number: u32) -> Value {
    json!({ "number": number.to_string() })
}

/// Talks with `Chat`: the next line is said only when the one before is back, so that nothing on the
/// way may wait for more.
async fn converse(gateway: &Gateway) -> Talk {
    let mut talk = Talk::begin(gateway, "/chat", &entry(1), false).await;
    for number in 1..50 {
        assert_eq!(talk.hear().await, Some(entry(number)));
        talk.say(&entry(number + 1));
    }
    assert_eq!(talk.hear().await, Some(entry(50)));
    talk
}

/// The connections have a thread of their own, as what is asked of the server meanwhile blocks.
fn block_on<T>(task: impl Future<Output = T>) -> T {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(task)
}

#[test]
fn a_conversation_goes_line_by_line_to_its_end() {
    let Some((_server, gateway)) = both() else { return };
    block_on(async {
        let mut talk = converse(&gateway).await;
        talk.ours.send_data(Bytes::new(), true).unwrap();
        assert_eq!(talk.hear().await, None);
    });
}

#[test]
fn a_reader_who_leaves_in_the_middle_ends_the_call() {
    let Some((_server, gateway)) = both() else { return };
    block_on(async {
        // Large ones: of small ones that are not read, this client closes its connection.
        let asked = json!({ "count": 1_000_000, "size": 10_000 });
        let mut talk = Talk::begin(&gateway, "/watch", &asked, true).await;
        assert!(talk.hear().await.is_some());
        talk.leave(&gateway);
    });
}

#[test]
fn who_leaves_a_conversation_ends_the_call() {
    let server = Tonic::start();
    let gateway = in_front_of(&server.written(), ROUTES);
    block_on(async { converse(&gateway).await.leave(&gateway) });
}
