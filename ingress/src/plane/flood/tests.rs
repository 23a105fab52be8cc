use super::*;

fn frame(kind: u8, flags: u8, bytes: usize) -> Vec<u8> {
    let length = u32::try_from(bytes).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
    frame.resize(HEAD_BYTES + bytes, 0xFF);
    frame
}

fn head(kind: u8, bytes: usize) -> Frame {
    Frame { bytes, kind, flags: 0 }
}

/// How many such frames pass before they are a flood, of `many` that come at once.
fn passes(tally: &mut Tally, many: u32, one: Frame) -> Option<u32> {
    let now = tally.since + Duration::from_secs(1);
    (0..many).find(|_| tally.came(one, || now).is_some())
}

#[test]
fn frames_are_found_however_the_bytes_are_cut() {
    let sent = [
        vec![0; PREFACE_BYTES],
        frame(HEADERS, 0, 300),
        frame(CONTINUATION, END_HEADERS, 0),
        frame(DATA, 0, 16_384),
        frame(DATA, END_STREAM, 0),
    ]
    .concat();
    for size in [1, 2, 7, 9, 10, 24, 333, sent.len()] {
        let mut frames = Frames::behind(PREFACE_BYTES);
        let mut found = Vec::new();
        for piece in sent.chunks(size) {
            frames.pass(piece, |frame| found.push((frame.kind, frame.flags, frame.bytes)));
        }
        let expected = [
            (HEADERS, 0, 300),
            (CONTINUATION, END_HEADERS, 0),
            (DATA, 0, 16_384),
            (DATA, END_STREAM, 0),
        ];
        assert_eq!(found, expected, "in pieces of {size}");
        assert!(frames.is_between());
    }
}

#[test]
fn only_data_may_take_its_time() {
    let mut frames = Frames::behind(0);
    let mut after = |bytes: &[u8]| {
        frames.pass(bytes, |_| {});
        frames.is_held_up()
    };
    assert!(after(&frame(HEADERS, 0, 10)), "its block goes on");
    assert!(after(&frame(CONTINUATION, END_HEADERS, 10)[..12]), "it is not whole");
    assert!(!after(&frame(CONTINUATION, END_HEADERS, 10)[12..]));
    assert!(!after(&frame(DATA, 0, 100)[..50]));
    assert!(!after(&frame(DATA, 0, 100)[50..]));
    assert!(after(&[0, 0]), "the head of a frame");
}

#[test]
fn frames_that_ask_for_nothing_are_a_flood_and_useful_ones_excuse_some() {
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const PRIORITY: u8 = 2;
    for kind in [SETTINGS, PING, PRIORITY, DATA, 0x77] {
        let mut tally = Tally::new(Instant::now());
        assert_eq!(passes(&mut tally, 10_000, head(kind, 0)), Some(IDLE_FRAMES), "{kind}");
    }
    let mut tally = Tally::new(Instant::now());
    for _ in 0..10_000 {
        assert_eq!(passes(&mut tally, 1, head(HEADERS, 10)), None);
        assert_eq!(passes(&mut tally, 2, head(PING, 8)), None);
    }
    let mut tally = Tally::new(Instant::now());
    assert_eq!(passes(&mut tally, 100_000, head(DATA, 1)), None, "h2 bounds these");
}

#[test]
fn a_reader_may_send_many_window_updates() {
    let mut tally = Tally::new(Instant::now());
    assert_eq!(passes(&mut tally, 10_000, head(WINDOW_UPDATE, 4)), Some(UPDATES));
    let mut tally = Tally::new(Instant::now());
    for _ in 0..10_000 {
        tally.went(head(DATA, 16_384));
        assert_eq!(passes(&mut tally, UPDATES_PER_FRAME, head(WINDOW_UPDATE, 4)), None);
    }
}

#[test]
fn who_resets_most_of_what_it_opens_is_a_flood_and_who_resets_half_is_not() {
    let mut tally = Tally::new(Instant::now());
    let flood = (0..10_000).find(|_| {
        passes(&mut tally, 1, head(HEADERS, 10))
            .or(passes(&mut tally, 1, head(RST_STREAM, 4)))
            .is_some()
    });
    assert_eq!(flood, Some(RESETS));
    let mut tally = Tally::new(Instant::now());
    for _ in 0..10_000 {
        assert_eq!(passes(&mut tally, 2, head(HEADERS, 10)), None);
        assert_eq!(passes(&mut tally, 1, head(RST_STREAM, 4)), None);
    }
}

#[test]
fn a_block_of_headers_in_many_frames_is_a_flood() {
    let mut tally = Tally::new(Instant::now());
    for _ in 0..100 {
        assert_eq!(passes(&mut tally, 1, head(HEADERS, 10)), None);
        assert_eq!(passes(&mut tally, CONTINUATIONS, head(CONTINUATION, 10)), None);
    }
    assert_eq!(passes(&mut tally, 100, head(CONTINUATION, 10)), Some(0));
}

#[test]
fn what_is_rare_is_no_flood_however_long_it_goes_on() {
    let mut tally = Tally::new(Instant::now());
    let mut now = tally.since;
    for _ in 0..100_000 {
        now += Duration::from_millis(100);
        assert_eq!(tally.came(head(6, 8), || now), None);
    }
}

#[test]
fn what_was_useful_long_ago_excuses_nothing() {
    let mut tally = Tally::new(Instant::now());
    assert_eq!(passes(&mut tally, 100_000, head(HEADERS, 10)), None);
    let now = tally.since + WINDOW * 2;
    let flood = (0..100_000).find(|_| tally.came(head(6, 8), || now).is_some());
    assert!(flood.is_some_and(|at| at < LOOK_EVERY + IDLE_FRAMES + 1), "{flood:?}");
}
