//! Refused and failed connections: each is reported with its own cause, however far the handshake got, and with the
//! hint for that cause alone.

mod answers;
mod login;
mod shortage;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use socket2::SockRef;

use crate::support::proxy::answer::Answering;
use crate::support::wire::frame::method;
use crate::support::{Broker, Fibrpc, Output, Proxy, SOON, Settings};

/// One question.
fn ask(settings: &Settings) -> Output {
    Fibrpc::new(settings).args(["30"]).run(SOON)
}

/// The client exits with this status; its message contains all of `words` and none of `guesses`.
#[track_caller]
fn assert_says(output: &Output, code: i32, words: &[&str], guesses: &[&str]) {
    assert_eq!(output.code(), code, "{output:?}");
    for word in words {
        assert!(output.stderr.contains(word), "no {word:?} in {output:?}");
    }
    for guess in guesses {
        assert!(!output.stderr.contains(guess), "{guess:?} in {output:?}");
    }
}

/// What listens at the port of the URL, and how it answers the first connection.
fn listen(answer: impl Fn(&mut std::net::TcpStream) + Send + 'static) -> Settings {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            answer(&mut stream);
        }
    });
    Settings::at(&format!("amqp://guest:guest@127.0.0.1:{port}"))
}

#[test]
fn a_close_before_the_first_frame_hints_at_a_proxy() {
    let ends: [fn(&mut std::net::TcpStream); 3] = [
        |_| {},
        |stream| {
            let _ = stream.read(&mut [0; 8]);
        },
        |stream| {
            let _ = SockRef::from(&*stream).set_linger(Some(std::time::Duration::ZERO));
        },
    ];
    for end in ends {
        let output = ask(&listen(end));
        let words = [
            "before it sent anything",
            "a proxy without a running broker",
            "broker.url",
        ];
        assert_says(&output, 69, &words, &["os error"]);
    }
}

#[test]
fn another_protocol_is_named() {
    for (greeting, words) in [
        (
            &b"AMQP\x00\x01\x00\x00"[..],
            ["another version of AMQP", "0-9-1"],
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            ["HTTP", "check scheme and port"],
        ),
        (
            b"SSH-2.0-OpenSSH_9.2p1\r\n",
            ["a frame of an invalid type", "check scheme and port"],
        ),
    ] {
        let output = ask(&listen(move |stream| {
            let _ = stream.read(&mut [0; 8]);
            let _ = stream.write_all(greeting);
        }));
        assert_says(&output, 69, &words, &["AMQP port?"]);
    }
}

/// The message says how far the handshake got, and does not guess what the broker has not said.
#[test]
fn an_end_within_the_handshake_is_told_by_its_place() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let proxy = Proxy::new(broker.port());
    for (at, words) in [
        (
            method::CONNECTION_START_OK,
            "after the login was sent, without giving a reason",
        ),
        (
            method::CONNECTION_OPEN,
            "after the login was accepted, without giving a reason",
        ),
    ] {
        proxy.set(|faults| faults.answer = Some(Answering::end_at(at)));
        let output = ask(&Settings::at(&proxy.url(&vhost)));
        let guesses = ["AMQP port", "check broker.url", "proxy"];
        assert_says(&output, 69, &[words, "see the broker's log"], &guesses);
    }
    let mute = Answering::to_method(method::CONNECTION_START_OK, |_| {
        Some(crate::support::proxy::answer::Instead::Nothing)
    });
    proxy.set(|faults| faults.answer = Some(mute));
    let settings = Settings::at(&proxy.url(&vhost)).set("broker.connect_timeout", "3s");
    let words = [
        "within 3s (broker.connect_timeout)",
        "did not answer the login",
    ];
    assert_says(&ask(&settings), 69, &words, &[]);
    // A caller with a shorter timeout gets the same message, and none about a setting that is not to blame.
    let settings = Settings::at(&proxy.url(&vhost)).set("client.timeout", "3s");
    let words = ["within 3s: it did not answer the login"];
    assert_says(&ask(&settings), 69, &words, &["broker.connect_timeout"]);
}
