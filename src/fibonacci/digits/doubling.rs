//! From F(k) and F(k - 1) to F(n), bit by bit, generic over the representation of numbers.
//!
//! A step squares a = F(k) and multiplies it by b = F(k - 1); everything else is linear. With
//! P = a^2, Q = ab and s = (-1)^k, Cassini's identity a^2 - ab - b^2 = -s gives b^2 = P - Q + s, so that
//!
//! - F(2k) = P + 2Q, F(2k - 1) = 2P - Q + s and F(2k + 1) = 3P + Q + s.
//!
//! The last step is a single product: with h = floor(n / 2), F(2h) = F(h) L(h) and F(2h + 1) = F(h + 1) L(h) - (-1)^h,
//! where L(h) is the Lucas number. The step before it computes these factors instead of a pair, from
//! L(2k) = 5P + 2s, L(2k + 1) = 5P + 5Q + s and F(2k + 2) = 4P + 3Q + s.

/// `square` P + `product` Q + `constant`, with P and Q as above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Combination {
    pub(super) square: i32,
    pub(super) product: i32,
    pub(super) constant: i32,
}

/// Arithmetic on one representation of numbers.
pub(super) trait Arithmetic {
    type Number;
    /// Why a computation ends without a result.
    type Stop;

    /// Two combinations of a^2 and ab.
    fn combine(
        &mut self,
        a: Self::Number,
        b: Self::Number,
        wanted: [Combination; 2],
    ) -> Result<[Self::Number; 2], Self::Stop>;

    /// xy + `constant`.
    fn multiply(
        &mut self,
        x: Self::Number,
        y: Self::Number,
        constant: i32,
    ) -> Result<Self::Number, Self::Stop>;
}

/// The fewest low bits to shift out of `n` so that at most `max` remains.
pub(super) fn bits_above(n: u64, max: u64) -> u32 {
    (0..64).find(|bits| n >> bits <= max).unwrap_or(64)
}

/// F(k) and F(k - 1) for k = `n >> to`, from those for k = `n >> from`.
pub(super) fn pair<A: Arithmetic>(
    arithmetic: &mut A,
    [mut a, mut b]: [A::Number; 2],
    n: u64,
    from: u32,
    to: u32,
) -> Result<[A::Number; 2], A::Stop> {
    for bits in (to..from).rev() {
        let s = sign(n >> (bits + 1));
        let [twice, before, after] = [(1, 2, 0), (2, -1, s), (3, 1, s)].map(combination);
        let wanted = if n >> bits & 1 == 0 {
            [twice, before]
        } else {
            [after, twice]
        };
        [a, b] = arithmetic.combine(a, b, wanted)?;
    }
    Ok([a, b])
}

/// F(n) from F(k) and F(k - 1) for k = `n >> 2`.
pub(super) fn last_two<A: Arithmetic>(
    arithmetic: &mut A,
    [a, b]: [A::Number; 2],
    n: u64,
) -> Result<A::Number, A::Stop> {
    let s = sign(n >> 2);
    let wanted = match n & 3 {
        0 => [(1, 2, 0), (5, 0, 2 * s)], // F(2k), L(2k)
        1 => [(3, 1, s), (5, 0, 2 * s)], // F(2k + 1), L(2k)
        2 => [(3, 1, s), (5, 5, s)],     // F(2k + 1), L(2k + 1)
        _ => [(4, 3, s), (5, 5, s)],     // F(2k + 2), L(2k + 1)
    };
    let [x, lucas] = arithmetic.combine(a, b, wanted.map(combination))?;
    let constant = if n & 1 == 0 { 0 } else { -sign(n >> 1) };
    arithmetic.multiply(x, lucas, constant)
}

/// (-1)^k.
fn sign(k: u64) -> i32 {
    if k & 1 == 0 { 1 } else { -1 }
}

fn combination((square, product, constant): (i32, i32, i32)) -> Combination {
    Combination {
        square,
        product,
        constant,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    struct Words;

    impl Arithmetic for Words {
        type Number = i128;
        type Stop = Infallible;

        fn combine(
            &mut self,
            a: i128,
            b: i128,
            wanted: [Combination; 2],
        ) -> Result<[i128; 2], Infallible> {
            Ok(wanted.map(|wanted| {
                i128::from(wanted.square) * a * a
                    + i128::from(wanted.product) * a * b
                    + i128::from(wanted.constant)
            }))
        }

        fn multiply(&mut self, x: i128, y: i128, constant: i32) -> Result<i128, Infallible> {
            Ok(x * y + i128::from(constant))
        }
    }

    #[test]
    fn every_starting_pair_gives_the_sequence() {
        let mut numbers = vec![1_i128, 0]; // F(-1), F(0)
        for n in 0..170_usize {
            numbers.push(numbers[n] + numbers[n + 1]);
        }
        let known = |k: u64| {
            let k = usize::try_from(k).unwrap();
            [numbers[k + 1], numbers[k]]
        };
        for n in 4..170_u64 {
            for from in 2..=bits_above(n, 1) {
                let Ok(pair) = pair(&mut Words, known(n >> from), n, from, 2);
                assert_eq!(pair, known(n >> 2), "n = {n} from bit {from}");
                let Ok(number) = last_two(&mut Words, pair, n);
                assert_eq!(number, known(n)[0], "n = {n} from bit {from}");
            }
        }
    }
}
