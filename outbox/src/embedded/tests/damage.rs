//! Bits flip, writes are torn. What is damaged is told; what is not is there.

use proptest::prelude::*;

use super::*;
use crate::State;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// A disk with some of everything: 40 records over several segments, one of them dead, one tried.
async fn some_of_everything() -> Simulated {
    let disk = Simulated::default();
    let (store, _) = ready(&disk, 64).await;
    for number in 0..40_u8 {
        put_one(&store, record("u/a", vec![number + 1; 700])).await;
    }
    let claim = claim_one(&store).await;
    store.fail(claim, Some(refused()), dead()).await;
    let claim = claim_one(&store).await;
    store.fail(claim, Some(refused()), Then::Parked { why: "gone".into() }).await;
    store.close().await;
    disk
}

/// What is there, by number.
async fn all(store: &Embedded) -> Vec<u64> {
    let page = store.list(&Filter::default(), None, 100).await.unwrap();
    for letter in &page.letters {
        let byte = u8::try_from(letter.id.0).unwrap() + 1;
        assert!(letter.record.data.iter().all(|found| *found == byte), "it is whole or not there");
    }
    page.letters.iter().map(|letter| letter.id.0).collect()
}

fn flipped(disk: &Simulated, file: usize, bit: usize) -> (Vec<u64>, Vec<Trouble>, Holds) {
    let disk = disk.copy();
    let (name, len) = disk.files()[file].clone();
    disk.flip(&name, bit % (len * 8));
    block_on(async {
        let (store, told) = ready(&disk, 64).await;
        let found = (all(&store).await, told.lock().unwrap().clone(), store.holds());
        store.close().await;
        found
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_is_told_and_costs_one_record_at_most(file: usize, bit: usize) {
        static DISK: std::sync::LazyLock<Simulated> =
            std::sync::LazyLock::new(|| block_on(some_of_everything()));
        let files = DISK.files();
        let file = file % files.len();
        let (there, told, holds) = flipped(&DISK, file, bit);
        prop_assert!(there.len() >= 39, "{there:?}");
        let bit = bit % (files[file].1 * 8);
        // Of the first 4 KiB only two copies of 48 bytes say anything, and one of them is enough.
        if bit / 8 >= 4096 {
            prop_assert_eq!(told.len(), 1);
            prop_assert!(told[0].is_damage());
            prop_assert_eq!(holds.damaged, 1);
        } else {
            prop_assert_eq!(there.len(), 40);
        }
    }
}

#[test]
fn a_record_that_is_damaged_while_it_waits_is_told_and_the_next_is_delivered() {
    let disk = Simulated::default();
    block_on(async {
        let (store, told) = ready(&disk, 64).await;
        let first = put_one(&store, record("u/a", vec![1; 700])).await;
        put_one(&store, record("u/a", vec![2; 700])).await;
        disk.flip("pending-0000000000", (4096 + 500) * 8);
        let claim = claim_one(&store).await;
        assert_eq!(claim.record.data[0], 2);
        store.done(claim).await;
        let told = told.lock().unwrap().clone();
        let [Trouble::Damaged { record, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!((*record, store.holds().damaged), (Some(first), 1));
        assert_eq!(store.holds().targets, []);
    });
}

#[test]
fn a_segment_that_does_not_say_what_it_is_costs_no_other() {
    let disk = block_on(some_of_everything());
    for bit in [64, 2048 * 8 + 64] {
        disk.flip("pending-0000000001", bit);
    }
    block_on(async {
        let (store, told) = ready(&disk, 64).await;
        let file = "pending-0000000001".to_owned();
        assert_eq!(*told.lock().unwrap(), [Trouble::Unreadable { file }]);
        assert!(all(&store).await.len() > 20);
        assert_eq!(store.holds().damaged, 1);
    });
}

#[test]
fn a_newer_version_is_refused() {
    use crate::log::{frame, segment};
    let disk = block_on(some_of_everything());
    let file = disk.open("pending-0000000001").unwrap();
    let mut about = [0; 48];
    file.read_at(0, &mut about).unwrap();
    about[8..12].copy_from_slice(&(segment::VERSION + 1).to_le_bytes());
    let sum = frame::sum(&about[..44]);
    about[44..].copy_from_slice(&sum.to_le_bytes());
    file.write_at(0, &about).unwrap();
    let (settings, _) = settings(64);
    let opened = Embedded::with_segments(Arc::new(disk), settings, SEGMENT, SEGMENT);
    let refused = opened.unwrap_err().to_string();
    assert_eq!(refused, "pending-0000000001 is of version 2, and this program reads up to 1");
}

#[test]
fn a_log_that_ends_at_any_byte_has_all_whole_records_before_it() {
    let whole = block_on(async {
        let disk = Simulated::default();
        let (store, _) = ready(&disk, 64).await;
        for number in 0..3_u8 {
            put_one(&store, record("u/a", vec![number + 1; 300])).await;
        }
        disk.cut();
        drop(store.put(vec![record("u/a", "never")]).await);
        disk.copy()
    });
    let bytes = whole.bytes("pending-0000000000");
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    // Each of the three ends with as many zeros as make it a multiple of 8.
    let zeros = (end - 4096).next_multiple_of(8) - (end - 4096);
    let frame = (end - 4096 + zeros) / 3;
    for cut in (4096..end).step_by(7) {
        let disk = whole.copy();
        let file = disk.open("pending-0000000000").unwrap();
        file.write_at(cut as u64, &vec![0; bytes.len() - cut]).unwrap();
        block_on(async {
            let (store, told) = ready(&disk, 64).await;
            let there = all(&store).await.len();
            assert_eq!(there, (cut - 4096 + zeros) / frame, "cut at {cut}");
            // Between two frames nothing is torn.
            assert!(told.lock().unwrap().len() <= 1);
            // It goes on, and the next start has nothing to tell.
            put_one(&store, record("u/b", vec![u8::try_from(there).unwrap() + 1; 10])).await;
            store.close().await;
            let (store, told) = ready(&disk, 64).await;
            assert_eq!(*told.lock().unwrap(), []);
            assert_eq!(all(&store).await.len(), there + 1);
            assert_eq!(store.holds().dead, 0);
            let letter = store.show(Id(0)).await.unwrap();
            assert!(letter.is_none_or(|letter| letter.state == State::Pending));
        });
    }
}
