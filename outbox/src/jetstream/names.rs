//! How streams and subjects are called. Everything stands below the name of the work stream, so that
//! an account needs one permission.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{Id, entry::Who, record::Hex};

/// How many parts the work is in. The stream says it in its metadata, so that all gateways agree.
pub(super) const PARTITIONS: u16 = 8;

/// The names of one outbox.
#[derive(Clone, Debug)]
pub(super) struct Names(String);

impl Names {
    pub(super) fn new(stream: &str) -> Self {
        Self(stream.to_owned())
    }

    /// The stream of records that wait.
    pub(super) fn work(&self) -> &str {
        &self.0
    }

    /// The stream of dead letters.
    pub(super) fn dead(&self) -> String {
        format!("{}_DEAD", self.0)
    }

    /// The stream of dead letters that were replayed.
    pub(super) fn replayed(&self) -> String {
        format!("{}_REPLAYED", self.0)
    }

    /// The stream of who is there, who has what, and how far records have come.
    pub(super) fn state(&self) -> String {
        format!("{}_STATE", self.0)
    }

    /// The stream of who was seen.
    pub(super) fn seen(&self) -> String {
        format!("{}_SEEN", self.0)
    }

    /// Where a record is published.
    pub(super) fn record(&self, partition: u16, target: &str) -> String {
        format!("{}.record.{partition}.{}", self.0, BASE64_URL_SAFE_NO_PAD.encode(target))
    }

    /// All records.
    pub(super) fn records(&self) -> String {
        format!("{}.record.>", self.0)
    }

    /// The partition and the target of a record's subject.
    pub(super) fn read_record(&self, subject: &str) -> Option<(u16, String)> {
        let rest = subject.strip_prefix(&self.0)?.strip_prefix(".record.")?;
        let (partition, token) = rest.split_once('.')?;
        let target = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        Some((partition.parse().ok()?, target))
    }

    /// Where a dead letter is.
    pub(super) fn dead_letter(&self, id: Id) -> String {
        format!("{}.dead.{id}", self.0)
    }

    /// Where a dead letter is that was replayed.
    pub(super) fn replayed_letter(&self, id: Id) -> String {
        format!("{}.replayed.{id}", self.0)
    }

    /// All subjects of a kind: `dead`, `replayed`, `seen`, `state`.
    pub(super) fn all(&self, kind: &str) -> String {
        format!("{}.{kind}.>", self.0)
    }

    /// Who was seen.
    pub(super) fn seen_as(&self, who: &Who) -> String {
        format!("{}.seen.{}", self.0, Hex::of(&who.key))
    }

    /// Whose a partition is.
    pub(super) fn lease(&self, partition: u16) -> String {
        format!("{}.state.live.lease.{partition}", self.0)
    }

    /// That a gateway is there.
    pub(super) fn member(&self, name: &str) -> String {
        format!("{}.state.live.member.{name}", self.0)
    }

    /// All leases and members.
    pub(super) fn live(&self) -> String {
        format!("{}.state.live.>", self.0)
    }

    /// How far a record has come.
    pub(super) fn progress(&self, partition: u16, id: Id) -> String {
        format!("{}.state.progress.{partition}.{id}", self.0)
    }

    /// How far the records of a partition have come.
    pub(super) fn progress_of(&self, partition: u16) -> String {
        format!("{}.state.progress.{partition}.*", self.0)
    }

    /// That a key of a partition waits for a dead letter.
    pub(super) fn waiting(&self, partition: u16, dead: Id) -> String {
        format!("{}.state.waiting.{partition}.{dead}", self.0)
    }

    /// All keys of a partition that wait.
    pub(super) fn waiting_of(&self, partition: u16) -> String {
        format!("{}.state.waiting.{partition}.*", self.0)
    }

    /// All keys that wait.
    pub(super) fn all_waiting(&self) -> String {
        format!("{}.state.waiting.>", self.0)
    }

    /// Where gateways ask each other for a record in hand.
    pub(super) fn ask(&self) -> String {
        format!("{}.ask", self.0)
    }
}

/// What stands behind the last dot of a subject, as a number.
pub(super) fn last_number(subject: &str) -> Option<u64> {
    subject.rsplit('.').next()?.parse().ok()
}

/// The partition of a record: the same for the same key in every gateway and every version of it.
/// What has no key goes round.
pub(super) fn partition(order: Option<&str>, turn: usize, partitions: u16) -> u16 {
    let of = |number: u64| u16::try_from(number % u64::from(partitions.max(1))).unwrap_or(0);
    match order {
        Some(key) => of(u64::from(crc32c::crc32c(key.as_bytes()))),
        None => of(turn as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_says_its_partition_and_its_target() {
        let names = Names::new("BOX");
        for target in ["web", "bus/orders.{id} *>", "source:work", "ü/é"] {
            let subject = names.record(7, target);
            assert!(!subject.contains(['*', '>', ' ', '/']), "{subject}");
            assert_eq!(names.read_record(&subject), Some((7, target.to_owned())));
        }
        assert_eq!(names.read_record("BOX.seen.x"), None);
        assert_eq!(last_number(&names.dead_letter(Id(17))), Some(17));
    }

    #[test]
    fn a_key_has_one_partition_for_ever_and_what_has_none_goes_round() {
        assert_eq!(partition(Some("order-1"), 0, 8), partition(Some("order-1"), 5, 8));
        // Written down, so that a new version of the program keeps the order.
        assert_eq!(partition(Some("123456789"), 0, 8), 3);
        assert_eq!((0..9).map(|turn| partition(None, turn, 8)).max(), Some(7));
    }
}
