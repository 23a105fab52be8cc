//! What a source has heard on core NATS and nobody has taken yet.
//!
//! The server keeps none of it, so that what finds no room here is lost. The client library would
//! hold 65,536 messages of any size and drop the rest without a count; this takes everything out of
//! its hands at once, holds as many bytes as it may, and counts what it drops.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use tokio::{sync::mpsc, task::AbortHandle};

/// How many bytes of messages wait at most.
pub(super) const BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a message takes beside its payload and headers, roughly.
const MESSAGE: usize = 256;

/// Messages as they were heard.
pub(super) struct Heard {
    messages: mpsc::Receiver<Message>,
    waiting: Arc<AtomicUsize>,
    listening: AbortHandle,
}

impl Heard {
    /// Listens from now on. What comes while `most` bytes wait is counted in `lost`.
    pub(super) fn new(subscriber: Subscriber, most: usize, lost: Arc<AtomicU64>) -> Self {
        // So many fit into the bytes, though they were empty.
        let (hand_on, messages) = mpsc::channel(most / MESSAGE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let listening = listen(subscriber, hand_on, Arc::clone(&waiting), most, lost);
        Self { messages, waiting, listening: tokio::spawn(listening).abort_handle() }
    }

    /// The next message; none when the connection has ended for good.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let message = self.messages.recv().await?;
        self.waiting.fetch_sub(size(&message), Relaxed);
        Some(message)
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(
    mut subscriber: Subscriber,
    hand_on: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
    most: usize,
    lost: Arc<AtomicU64>,
) {
    while let Some(message) = subscriber.next().await {
        let size = size(&message);
        if waiting.load(Relaxed) + size > most {
            lost.fetch_add(1, Relaxed);
            continue;
        }
        waiting.fetch_add(size, Relaxed);
        if hand_on.try_send(message).is_err() {
            return;
        }
    }
}

fn size(message: &Message) -> usize {
    message.length + MESSAGE
}
