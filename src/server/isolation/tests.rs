//! Deaths, and whom they accuse.

use super::*;

const POISON: Poison = Poison {
    fingerprint: 7,
    strikes: STRIKES,
};

#[test]
fn three_deaths_in_isolation_condemn_a_request() {
    let mut isolation = Isolation::default();
    isolation.died(true, 1);
    assert!(isolation.active(), "the first death accuses nobody");
    for _ in 0..STRIKES {
        assert_eq!(isolation.begin(7), Verdict::Innocent);
        isolation.died(true, 1);
    }
    assert_eq!(isolation.begin(7), Verdict::Reject(POISON));
    isolation.rejected(7);
    assert_eq!(
        isolation.begin(7),
        Verdict::Innocent,
        "a verdict is carried out once"
    );
}

#[test]
fn a_settled_request_ends_isolation_and_its_strikes() {
    let mut isolation = Isolation::default();
    isolation.died(true, 1);
    assert_eq!(isolation.begin(7), Verdict::Innocent);
    isolation.died(true, 1);
    assert_eq!(isolation.begin(7), Verdict::Innocent);
    isolation.settled();
    assert!(!isolation.active());
    isolation.died(true, 1);
    for _ in 0..STRIKES {
        assert_eq!(
            isolation.begin(7),
            Verdict::Innocent,
            "counting starts afresh"
        );
        isolation.died(true, 1);
    }
    assert_eq!(isolation.begin(7), Verdict::Reject(POISON));
}

#[test]
fn all_that_were_in_flight_are_taken_one_at_a_time() {
    let mut isolation = Isolation::default();
    isolation.died(true, 3);
    for _ in 0..3 {
        assert!(isolation.active());
        isolation.settled();
    }
    assert!(!isolation.active());
    isolation.died(true, 64);
    isolation.died(true, 1);
    isolation.settled();
    assert!(isolation.active(), "a later death clears nobody");
    isolation.rejected(7);
    isolation.settled();
    assert!(!isolation.active(), "the culprit was found");
}

#[test]
fn a_lost_network_is_nobodys_fault() {
    let mut isolation = Isolation::default();
    for _ in 0..10 {
        assert_eq!(isolation.begin(7), Verdict::Innocent);
        isolation.died(false, 60);
    }
    assert!(isolation.active());
    assert_eq!(isolation.begin(7), Verdict::Innocent);
}

#[test]
fn strikes_survive_the_death_of_the_process_but_not_a_clean_end() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Isolation::load(Some(directory.path()), 1);
    let mut first = load();
    assert!(!first.active(), "nothing is known of a process before");
    assert_eq!(first.begin(7), Verdict::Innocent);
    for _ in 1..STRIKES {
        // Each of these is dropped without a word, as `kill -9` does.
        let mut next = load();
        assert!(next.active());
        assert_eq!(next.begin(7), Verdict::Innocent);
    }
    let mut last = load();
    assert_eq!(last.begin(7), Verdict::Answer(POISON));
    last.rejected(7);
    last.ended();
    let mut clean = load();
    assert!(!clean.active());
    assert_eq!(clean.begin(7), Verdict::Innocent);
}

/// As where the answer is what the process dies of.
#[test]
fn who_dies_of_the_last_answer_rejects_without_one() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Isolation::load(Some(directory.path()), 1);
    let mut first = load();
    assert_eq!(first.begin(7), Verdict::Innocent);
    for _ in 1..STRIKES {
        assert_eq!(load().begin(7), Verdict::Innocent);
    }
    assert_eq!(load().begin(7), Verdict::Answer(POISON));
    let mut next = load();
    assert_eq!(next.begin(7), Verdict::Reject(POISON));
    next.rejected(7);
    assert_eq!(next.begin(7), Verdict::Innocent);
}

#[test]
fn a_lost_network_does_not_cost_the_last_answer() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Isolation::load(Some(directory.path()), 1);
    for _ in 0..STRIKES {
        assert_eq!(load().begin(7), Verdict::Innocent);
    }
    let mut next = load();
    for _ in 0..3 {
        assert_eq!(next.begin(7), Verdict::Answer(POISON));
        next.died(false, 1);
    }
}

/// As while a session gives way to the next.
#[test]
fn sessions_side_by_side_have_each_its_own_request_in_hand() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Isolation::load(Some(directory.path()), 1);
    load();
    let mut old = load();
    let mut new = old.clone();
    assert_eq!(old.begin(7), Verdict::Innocent);
    assert_eq!(new.begin(8), Verdict::Innocent);
    assert!(new.died(true, 1));
    assert_eq!(new.begin(8), Verdict::Innocent);
    new.settled();
    assert!(old.died(true, 1), "8 is innocent, which says nothing of 7");
    let strikes = |isolation: &Isolation| lock(&isolation.shared).strikes.clone();
    assert_eq!(strikes(&old), HashMap::from([(7, 1)]));
    assert_eq!(old.begin(7), Verdict::Innocent);
    assert_eq!(strikes(&load()), HashMap::from([(7, 2)]));
    old.left();
    new.settled();
    assert_eq!(strikes(&load()), HashMap::from([(7, 1)]));
}

#[test]
fn a_death_that_teaches_nothing_is_told_from_one_that_does() {
    let mut isolation = Isolation::default();
    assert!(!isolation.died(false, 1));
    isolation.settled();
    assert!(isolation.died(true, 2), "they are taken one at a time now");
    assert!(!isolation.died(true, 2), "none had been begun");
    isolation.begin(7);
    assert!(isolation.died(true, 2), "it has a strike now");
    isolation.begin(7);
    assert!(!isolation.died(false, 2));
}

#[test]
fn another_body_under_the_same_id_is_another_request() {
    let request = |body: &str| {
        fingerprint(&Request::read(crate::protocol::Message {
            body: body.into(),
            properties: crate::protocol::Properties {
                correlation_id: Some(b"1".to_vec()),
                ..crate::protocol::Properties::default()
            },
        }))
    };
    assert_eq!(request("30"), request("30"));
    assert_ne!(request("30"), request("31"));
}
