//! `--n`: the numbers that a load requests. Pure.
//!
//! A mix is a list of items, each a number or a range of numbers, each with a weight: `30`, `10,1000`,
//! `1..100`, `10:9,100000:1`.

use fastrand::Rng;
use std::fmt;
use std::str::FromStr;

/// The largest weight. No sum of weights overflows.
const MAX_WEIGHT: u64 = 1_000_000;

/// Which numbers to request, and how often each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mix {
    text: String,
    items: Vec<Item>,
    /// The sum of all weights.
    weight: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    first: u64,
    last: u64,
    weight: u64,
}

impl Mix {
    /// The next number.
    pub(super) fn pick(&self, random: &mut Rng) -> u64 {
        let mut left = match self.items[..] {
            [_] => 0,
            _ => random.u64(..self.weight),
        };
        for item in &self.items {
            match left.checked_sub(item.weight) {
                Some(rest) => left = rest,
                None if item.first == item.last => return item.first,
                None => return random.u64(item.first..=item.last),
            }
        }
        0 // not reached: the number drawn is less than the sum of the weights
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let items: Vec<Item> = text.split(',').map(item).collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            weight: items.iter().map(|item| item.weight).sum(),
            items,
        })
    }
}

fn item(text: &str) -> Result<Item, String> {
    let text = text.trim();
    let (numbers, weight) = match text.split_once(':') {
        Some((numbers, weight)) => (numbers, number(weight)?),
        None => (text, 1),
    };
    if weight == 0 || weight > MAX_WEIGHT {
        return Err(format!("a weight is 1 to {MAX_WEIGHT}, not {weight}"));
    }
    let (first, last) = match numbers.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(numbers)?, number(numbers)?),
    };
    if first > last {
        return Err(format!("{numbers} is an empty range"));
    }
    Ok(Item {
        first,
        last,
        weight,
    })
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.trim();
    let number = digits.bytes().all(|byte| byte.is_ascii_digit());
    number
        .then(|| digits.parse().ok())
        .flatten()
        .ok_or_else(|| {
            format!("{digits:?} is not a number; write 30, or 10,1000, or 1..100, or 10:9,1000:1")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn drawn(text: &str, count: usize) -> BTreeMap<u64, usize> {
        let mix: Mix = text.parse().unwrap();
        assert_eq!(mix.to_string(), text);
        let mut random = Rng::with_seed(1);
        let mut drawn = BTreeMap::new();
        for _ in 0..count {
            *drawn.entry(mix.pick(&mut random)).or_default() += 1;
        }
        drawn
    }

    #[test]
    fn a_number_a_choice_and_a_range() {
        for (text, numbers) in [
            ("30", &[30][..]),
            ("0", &[0]),
            ("18446744073709551615", &[u64::MAX]),
            ("10,1000", &[10, 1000]),
            ("3..5", &[3, 4, 5]),
            ("7..7", &[7]),
            (" 1 , 3 .. 4 : 2 ", &[1, 3, 4]),
        ] {
            let drawn: Vec<u64> = drawn(text, 1000).into_keys().collect();
            assert_eq!(drawn, numbers, "{text}");
        }
    }

    #[test]
    fn a_weight_is_for_a_whole_range() {
        let drawn = drawn("10:9,1000..1009", 10_000);
        let light: usize = drawn.range(1000..).map(|(_, count)| count).sum();
        assert!((800..1200).contains(&light), "{drawn:?}");
        assert_eq!(drawn.len(), 11, "{drawn:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_load() {
        let mix: Mix = "1..1000000".parse().unwrap();
        let draw = || {
            let mut random = Rng::with_seed(7);
            [(); 20].map(|()| mix.pick(&mut random))
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn errors_name_the_cause() {
        let form = "is not a number; write 30, or 10,1000, or 1..100, or 10:9,1000:1";
        for (text, wrong) in [
            ("", format!("\"\" {form}")),
            ("30,", format!("\"\" {form}")),
            ("abc", format!("\"abc\" {form}")),
            ("-1", format!("\"-1\" {form}")),
            ("+1", format!("\"+1\" {form}")),
            ("1..", format!("\"\" {form}")),
            ("1...3", format!("\".3\" {form}")),
            ("1:x", format!("\"x\" {form}")),
            (
                "18446744073709551616",
                format!("\"18446744073709551616\" {form}"),
            ),
            ("5..3", "5..3 is an empty range".to_owned()),
            ("5:0", "a weight is 1 to 1000000, not 0".to_owned()),
            (
                "5:1000001",
                "a weight is 1 to 1000000, not 1000001".to_owned(),
            ),
        ] {
            assert_eq!(text.parse::<Mix>().unwrap_err(), wrong, "{text:?}");
        }
    }
}
