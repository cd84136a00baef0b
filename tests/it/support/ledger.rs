//! The ledger: what was requested, what the broker confirmed, what was answered, and whether the answer was right.

use std::collections::BTreeMap;
use std::fmt;

use super::wire::Delivery;

/// Decimal digits of the `n`-th Fibonacci number, by plain addition: slow and obviously right.
pub fn fibonacci(n: u64) -> String {
    let mut oracle = Oracle::default();
    for _ in 0..n {
        oracle.step();
    }
    oracle.digits()
}

/// The first `count` Fibonacci numbers.
pub fn fibonacci_numbers(count: usize) -> Vec<String> {
    let mut oracle = Oracle::default();
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        numbers.push(oracle.digits());
        oracle.step();
    }
    numbers
}

/// Two neighbours, in limbs of nine decimal digits, the lowest first.
struct Oracle {
    this: Vec<u32>,
    next: Vec<u32>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self {
            this: vec![0],
            next: vec![1],
        }
    }
}

impl Oracle {
    const BASE: u32 = 1_000_000_000;

    fn step(&mut self) {
        self.this.resize(self.next.len(), 0);
        let mut carry = 0;
        for (this, next) in self.this.iter_mut().zip(&self.next) {
            let sum = *this + next + carry;
            (*this, carry) = (sum % Self::BASE, sum / Self::BASE);
        }
        if carry > 0 {
            self.this.push(carry);
        }
        std::mem::swap(&mut self.this, &mut self.next);
    }

    fn digits(&self) -> String {
        let limbs = self.this.iter().rev().map(|limb| format!("{limb:09}"));
        let digits: String = limbs.collect();
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() { "0" } else { digits }.to_owned()
    }
}

#[derive(Debug)]
struct Entry {
    n: u64,
    confirmed: bool,
    answers: u64,
}

/// Asked requests by correlation id.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<String, Entry>,
    unexpected: Vec<String>,
    wrong: Vec<String>,
}

/// The counts, in Jepsen's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Asked.
    pub attempted: u64,
    /// Of these, taken by the broker for sure.
    pub confirmed: u64,
    /// Of the attempted, answered at least once.
    pub answered: u64,
    /// Confirmed and never answered.
    pub lost: u64,
    /// Answers to what was never asked.
    pub unexpected: u64,
    /// Answers beyond the first.
    pub duplicated: u64,
    /// Answers with another value than the oracle's.
    pub wrong: u64,
}

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Before a request is sent. Ids must not repeat.
    pub fn asked(&mut self, id: impl Into<String>, n: u64) {
        let id = id.into();
        let entry = Entry {
            n,
            confirmed: false,
            answers: 0,
        };
        let before = self.entries.insert(id.clone(), entry);
        assert!(before.is_none(), "{id} was asked already");
    }

    /// The broker has confirmed the request.
    pub fn confirmed(&mut self, id: &str) {
        let entry = self.entries.get_mut(id).expect("it was asked");
        entry.confirmed = true;
    }

    /// An answer came; `expected` gives the right digits for n.
    pub fn answered_with(&mut self, id: &str, body: &[u8], expected: impl FnOnce(u64) -> String) {
        let Some(entry) = self.entries.get_mut(id) else {
            self.unexpected.push(id.to_owned());
            return;
        };
        entry.answers += 1;
        if expected(entry.n).as_bytes() != body {
            let body = body.escape_ascii().to_string();
            self.wrong
                .push(format!("{id}: n = {}: {body:.200}", entry.n));
        }
    }

    /// An answer came, to be checked against [`fibonacci`].
    pub fn answered(&mut self, reply: &Delivery) {
        self.answered_with(&reply.correlation_id(), &reply.body, fibonacci);
    }

    /// Ids without an answer so far.
    pub fn open(&self) -> impl Iterator<Item = &str> {
        let open = self.entries.iter().filter(|(_, entry)| entry.answers == 0);
        open.map(|(id, _)| id.as_str())
    }

    /// The counts so far.
    pub fn report(&self) -> Report {
        let mut report = Report {
            unexpected: self.unexpected.len() as u64,
            wrong: self.wrong.len() as u64,
            ..Report::default()
        };
        for entry in self.entries.values() {
            report.attempted += 1;
            report.confirmed += u64::from(entry.confirmed);
            report.answered += u64::from(entry.answers > 0);
            report.lost += u64::from(entry.confirmed && entry.answers == 0);
            report.duplicated += entry.answers.saturating_sub(1);
        }
        report
    }

    /// Panics unless nothing is lost, unexpected or wrong, and at most `duplicates` came twice.
    pub fn assert_clean(&self, duplicates: u64) -> Report {
        let report = self.report();
        let clean = report.lost + report.unexpected + report.wrong == 0;
        let lost = self.open().take(5).collect::<Vec<_>>();
        assert!(
            clean && report.duplicated <= duplicates,
            "{report}, {duplicates} duplicates allowed; open: {lost:?}; wrong: {:?}; unexpected: {:?}",
            self.wrong,
            self.unexpected
        );
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            attempted,
            confirmed,
            answered,
            lost,
            unexpected,
            duplicated,
            wrong,
        } = self;
        write!(
            f,
            "attempted {attempted}, confirmed {confirmed}, answered {answered}, lost {lost}, \
             unexpected {unexpected}, duplicated {duplicated}, wrong {wrong}"
        )
    }
}
