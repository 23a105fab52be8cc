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
    /// Asks for a path, with this line as the first.
    async fn begin(gateway: &Gateway, path: &str, line: &Value) -> Self {
        let socket = TcpStream::connect(gateway.address()).await.unwrap();
        let (mut requests, connection) = handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post(format!("http://gateway.test{path}"));
        let request = request.header("content-type", "application/x-ndjson").body(()).unwrap();
        let (answer, mut ours) = requests.send_request(request, false).unwrap();
        say(&mut ours, line);
        let answer = timeout(PATIENCE, answer).await.expect("an answer").unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
        Self { ours, theirs: answer.into_body(), held: Vec::new() }
    }

    /// The next line.
    async fn hear(&mut self) -> Value {
        loop {
            if let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                return serde_json::from_slice(&line).unwrap();
            }
            let data = timeout(PATIENCE, self.theirs.data()).await.expect("a line");
            let data = data.expect("the answer goes on").unwrap();
            self.theirs.flow_control().release_capacity(data.len()).unwrap();
            self.held.extend_from_slice(&data);
        }
    }
}

fn say(ours: &mut SendStream<Bytes>, line: &Value) {
    ours.send_data(format!("{line}\n").into(), false).unwrap();
}

/// Talks with `Chat`, a line for a line, and leaves in the middle.
fn converse(gateway: &Gateway) {
    let left = || gateway.get("/seen").json()["left"].clone();
    let entry = |number: u32| json!({ "number": number.to_string() });
    // The connection has a thread of its own, as what is asked of the server here blocks.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut talk = Talk::begin(gateway, "/chat", &entry(1)).await;
        for number in 1..=50 {
            // The next is said only when this one is back: nothing on the way waits for more.
            assert_eq!(talk.hear().await, entry(number));
            say(&mut talk.ours, &entry(number + 1));
        }
        assert_eq!(left(), Value::Null);
        talk.ours.send_reset(Reason::CANCEL);
        eventually("the server knows that its caller has left", || (left() == 1).then_some(()));
    });
}

#[test]
fn a_conversation_goes_line_by_line_and_whoever_leaves_it_ends_the_call() {
    let Some((_server, gateway)) = both() else { return };
    converse(&gateway);
}

#[test]
fn a_conversation_goes_line_by_line_with_a_server_of_another_make() {
    let server = Tonic::start();
    let gateway = in_front_of(&server.written(), ROUTES);
    converse(&gateway);
}
