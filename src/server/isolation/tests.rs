//! Which requests are suspected, rejected and cleared.

use super::*;

const POISON: Poison = Poison {
    fingerprint: 7,
    strikes: STRIKES,
};

#[test]
fn a_request_is_rejected_after_three_deaths_in_isolation() {
    let counters = Arc::new(Counters::default());
    let strikes = || Counters::get(&counters.strikes);
    let mut isolation = Isolation::new(counters.clone());
    isolation.died(true, 1);
    assert!(isolation.active(), "the first death is not attributed");
    assert_eq!((Counters::get(&counters.isolated), strikes()), (1, 0));
    for _ in 0..STRIKES {
        assert_eq!(isolation.begin(7), Decision::Proceed);
        isolation.died(true, 1);
    }
    assert_eq!(isolation.begin(7), Decision::Reject(POISON));
    assert_eq!(strikes(), u64::from(STRIKES));
    isolation.rejected(7);
    assert_eq!(
        isolation.begin(7),
        Decision::Proceed,
        "it is forgotten once rejected"
    );
}

#[test]
fn a_settled_request_ends_isolation_and_its_strikes() {
    let mut isolation = Isolation::default();
    isolation.died(true, 1);
    assert_eq!(isolation.begin(7), Decision::Proceed);
    isolation.died(true, 1);
    assert_eq!(isolation.begin(7), Decision::Proceed);
    isolation.settled();
    assert!(!isolation.active());
    isolation.died(true, 1);
    for _ in 0..STRIKES {
        assert_eq!(
            isolation.begin(7),
            Decision::Proceed,
            "counting starts over"
        );
        isolation.died(true, 1);
    }
    assert_eq!(isolation.begin(7), Decision::Reject(POISON));
}

#[test]
fn all_requests_that_were_in_flight_are_taken_one_at_a_time() {
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
    assert!(
        isolation.active(),
        "a later death does not shorten isolation"
    );
    isolation.rejected(7);
    isolation.settled();
    assert!(!isolation.active(), "the culprit was found");
}

#[test]
fn a_long_request_counts_for_many_and_only_once() {
    let mut isolation = Isolation::default();
    isolation.died(true, 10);
    assert_eq!(isolation.begin(7), Decision::Proceed);
    isolation.weigh(6);
    isolation.settled();
    for request in 8..12 {
        assert!(isolation.active());
        assert_eq!(isolation.begin(request), Decision::Proceed);
        isolation.settled();
    }
    assert!(!isolation.active());
}

#[test]
fn a_network_failure_is_not_attributed() {
    let mut isolation = Isolation::default();
    for _ in 0..10 {
        assert_eq!(isolation.begin(7), Decision::Proceed);
        isolation.died(false, 60);
    }
    assert!(isolation.active());
    assert_eq!(isolation.begin(7), Decision::Proceed);
}

#[test]
fn strikes_survive_the_death_of_the_process_but_not_a_clean_end() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Isolation::load(directory.path(), 1, Arc::default());
    let mut first = load();
    assert!(!first.active(), "there was no process before");
    assert_eq!(first.begin(7), Decision::Proceed);
    for _ in 1..STRIKES {
        // Each of these is dropped without notice, as by `kill -9`.
        let mut next = load();
        assert!(next.active());
        assert_eq!(next.begin(7), Decision::Proceed);
    }
    let mut last = load();
    assert_eq!(last.begin(7), Decision::Answer(POISON));
    last.rejected(7);
    last.ended();
    let mut clean = load();
    assert!(!clean.active());
    assert_eq!(clean.begin(7), Decision::Proceed);
}

/// The process dies of the reply.
#[test]
fn a_request_whose_last_reply_is_fatal_is_rejected_without_one() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Isolation::load(directory.path(), 1, Arc::default());
    let mut first = load();
    assert_eq!(first.begin(7), Decision::Proceed);
    for _ in 1..STRIKES {
        assert_eq!(load().begin(7), Decision::Proceed);
    }
    assert_eq!(load().begin(7), Decision::Answer(POISON));
    let mut next = load();
    assert_eq!(next.begin(7), Decision::Reject(POISON));
    next.rejected(7);
    assert_eq!(next.begin(7), Decision::Proceed);
}

#[test]
fn a_network_failure_does_not_cost_the_last_reply() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Isolation::load(directory.path(), 1, Arc::default());
    for _ in 0..STRIKES {
        assert_eq!(load().begin(7), Decision::Proceed);
    }
    let mut next = load();
    for _ in 0..3 {
        assert_eq!(next.begin(7), Decision::Answer(POISON));
        next.died(false, 1);
    }
}

/// While one session replaces another.
#[test]
fn each_session_has_its_own_current_request() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Isolation::load(directory.path(), 1, Arc::default());
    load();
    let mut old = load();
    let mut new = old.clone();
    assert_eq!(old.begin(7), Decision::Proceed);
    assert_eq!(new.begin(8), Decision::Proceed);
    assert!(new.died(true, 1));
    assert_eq!(new.begin(8), Decision::Proceed);
    new.settled();
    assert!(
        old.died(true, 1),
        "that 8 was cleared shows nothing about 7"
    );
    let strikes = |isolation: &Isolation| lock(&isolation.shared).strikes.clone();
    assert_eq!(strikes(&old), HashMap::from([(7, 1)]));
    assert_eq!(strikes(&new), strikes(&old), "all sessions know of it");
    assert!(new.active() && old.active());
    assert_eq!(old.begin(7), Decision::Proceed);
    assert_eq!(strikes(&load()), HashMap::from([(7, 2)]));
    old.left();
    new.settled();
    assert_eq!(strikes(&load()), HashMap::from([(7, 1)]));
}

#[test]
fn a_death_may_narrow_the_suspects_down() {
    let mut isolation = Isolation::default();
    assert!(!isolation.died(false, 1));
    isolation.settled();
    assert!(isolation.died(true, 2), "isolation begins");
    assert!(!isolation.died(true, 2), "there was no current request");
    isolation.begin(7);
    assert!(isolation.died(true, 2), "7 has a strike");
    isolation.begin(7);
    assert!(!isolation.died(false, 2));
}

#[test]
fn requests_with_the_same_id_differ_by_their_body() {
    let request = |body: &str| {
        fingerprint(&RequestMessage::read(crate::protocol::Message {
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
