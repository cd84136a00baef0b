//! The verdicts as text.

use crate::hostile::cases::Case;
use crate::process::Program;
use crate::trial::Verdict;

/// Prints, for each group of messages, how many each server survived, and each message that some server did not.
pub fn print(programs: &[Program], groups: &[(&str, Vec<Case>)], columns: &[Vec<Verdict>]) {
    let header: Vec<&str> = programs.iter().map(|program| program.name).collect();
    println!("Messages that did no harm: same process, same connections, next request answered\n");
    row("", &header);
    let mut first = 0;
    for (name, cases) in groups {
        let range = first..first + cases.len();
        first = range.end;
        row(
            name,
            &each(columns, |column| unharmed(&column[range.clone()])),
        );
    }
    row("all", &each(columns, unharmed));
    row("senders that got a reply", &each(columns, replied));
    row(
        "peak memory, MiB",
        &each(columns, |column| {
            let peak = column.iter().map(|verdict| verdict.peak_memory).max();
            peak.unwrap_or(0).to_string()
        }),
    );

    println!("\nMessages that did harm\n");
    row("", &header);
    let cases = groups.iter().flat_map(|(_, cases)| cases);
    for (index, case) in cases.enumerate() {
        if columns.iter().any(|column| !column[index].is_harmless()) {
            row(
                &case.name,
                &each(columns, |column| column[index].to_string()),
            );
        }
    }
}

fn each(columns: &[Vec<Verdict>], text: impl Fn(&[Verdict]) -> String) -> Vec<String> {
    columns.iter().map(|column| text(column)).collect()
}

fn unharmed(verdicts: &[Verdict]) -> String {
    let unharmed = verdicts.iter().filter(|verdict| verdict.is_harmless());
    format!("{} of {}", unharmed.count(), verdicts.len())
}

fn replied(verdicts: &[Verdict]) -> String {
    let replied = || verdicts.iter().filter_map(|verdict| verdict.replied);
    let count = replied().filter(|replied| *replied).count();
    format!("{count} of {}", replied().count())
}

fn row(name: &str, cells: &[impl AsRef<str>]) {
    print!("| {name:38} |");
    for cell in cells {
        print!(" {:38} |", cell.as_ref());
    }
    println!();
    if name.is_empty() {
        println!(
            "|{}",
            format!("{}|", "-".repeat(40)).repeat(cells.len() + 1)
        );
    }
}
