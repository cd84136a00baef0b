//! Refusals as brokers write them, what is learned of each, and what declarations cost.

use super::*;

fn configured() -> Queue {
    crate::config::Config::default().queue
}

fn difference(text: &str) -> Difference {
    let refusal = format!("PRECONDITION_FAILED - inequivalent arg {text}");
    Difference::read(&refusal).unwrap_or_else(|| panic!("{refusal}"))
}

/// Refusals of `RabbitMQ` 3.10.8, in their order.
#[test]
fn a_guess_comes_closer_with_each_refusal() {
    let queue = configured();
    let mut guess = Guess::new(&queue);
    for (refusal, learned) in [
        (
            "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
            true,
        ),
        (
            "'auto_delete' for queue 'q' in vhost '/': received 'false' but current is 'true'",
            true,
        ),
        (
            "'x-expires' for queue 'q' in vhost '/': received none but current is the value '600000' of type 'signedint'",
            true,
        ),
        (
            "'x-dead-letter-exchange' for queue 'q' in vhost '/': received none but current is the value 'a'b' of type 'longstr'",
            true,
        ),
        (
            "'x-single-active-consumer' for queue 'q' in vhost '/': received none but current is the value 'true' of type 'bool'",
            true,
        ),
        (
            "'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' but current is none",
            true,
        ),
        // Nothing new.
        (
            "'x-expires' for queue 'q' in vhost '/': received none but current is the value '600000' of type 'signedint'",
            false,
        ),
        (
            "'x-thing' for queue 'q' in vhost '/': received none but current is the value '[]' of type 'array'",
            false,
        ),
        (
            "'exclusive' for queue 'q' in vhost '/': received 'false' but current is 'true'",
            false,
        ),
    ] {
        assert_eq!(guess.learn(&difference(refusal)), learned, "{refusal}");
    }
    let declaration = guess.settled(&queue).unwrap();
    assert_eq!(
        declaration.describe(),
        "transient auto-delete classic (x-dead-letter-exchange = a'b, x-expires = 600000, x-single-active-consumer = true)"
    );
    assert!(!declaration.as_configured);
}

/// None of these may make a queue.
#[test]
fn every_guess_holds_what_no_queue_is_made_with() {
    let mut guess = Guess::new(&configured());
    for refusal in [
        "'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
        "'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'",
    ] {
        let table = guess.arguments();
        let value = table.inner().get(IMPOSSIBLE.0);
        assert_eq!(value.map(shown).as_deref(), Some(IMPOSSIBLE.1));
        assert!(guess.learn(&difference(refusal)));
    }
}

#[test]
fn a_type_that_is_not_known_is_not_guessed() {
    let queue = configured();
    let mut guess = Guess::new(&queue);
    let odd =
        "'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'delayed'";
    assert!(guess.learn(&difference(odd)));
    assert_eq!(guess.settled(&queue).unwrap_err().kind, Kind::Mismatch);
}

fn declared(change: impl FnOnce(&mut Declaration)) -> Declaration {
    let mut declaration = Declaration::configured(&configured());
    change(&mut declaration);
    declaration
}

#[test]
fn costs_by_argument() {
    let set = |name: &str, value: &str| {
        declared(|declaration| {
            declaration.arguments.insert(name.into(), value.into());
        })
    };
    for (declaration, argument, words) in [
        (
            declared(|declaration| declaration.auto_delete = true),
            "auto_delete",
            "last consumer",
        ),
        (
            declared(|declaration| declaration.durable = false),
            "durable",
            "restart of the broker",
        ),
        (set("x-expires", "5"), "x-expires", "nobody has used it"),
        (set("x-message-ttl", "5"), "x-message-ttl", "time out"),
        (
            set("x-max-length", "5"),
            "x-max-length",
            "the oldest requests are dropped",
        ),
        (
            set("x-max-length-bytes", "5"),
            "x-max-length-bytes",
            "dropped",
        ),
        (
            set("x-delivery-limit", "20"),
            "x-delivery-limit",
            "restarts of servers",
        ),
        (
            set("x-single-active-consumer", "true"),
            "x-single-active-consumer",
            "one server",
        ),
    ] {
        let costs = declaration.costs(&configured());
        assert_eq!(costs.len(), 1, "{costs:?}");
        assert_eq!(costs[0].argument, argument);
        assert!(costs[0].consequence.contains(words), "{costs:?}");
    }
    let mut refusing = set("x-max-length", "5");
    let overflow = ("x-overflow".to_owned(), "reject-publish".to_owned());
    refusing.arguments.extend([overflow]);
    assert!(
        refusing.costs(&configured())[0]
            .consequence
            .contains("are refused")
    );
    for harmless in [
        declared(|_| {}),
        declared(|declaration| declaration.queue_type = "classic"),
        set("x-delivery-limit", "1000"),
        set("x-delivery-limit", "-1"),
        set("x-single-active-consumer", "false"),
        set("x-max-priority", "5"),
    ] {
        assert_eq!(harmless.costs(&configured()), []);
    }
}

#[test]
fn only_a_stream_is_unfit() {
    let queue = configured();
    for queue_type in ["quorum", "classic"] {
        let declaration = declared(|declaration| declaration.queue_type = queue_type);
        assert!(declaration.unfit(&queue).is_none());
    }
    let stream = declared(|declaration| declaration.queue_type = "stream");
    let error = stream.unfit(&queue).unwrap();
    assert!(error.needs_operator());
    assert!(
        error.message.contains("\"rpc_queue\" is a stream"),
        "{error}"
    );
}
