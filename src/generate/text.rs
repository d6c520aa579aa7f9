//! Templates as the generator fills them: nothing is read anew, and each text is one allocation.

use crate::domain::profile::{Draw, TemplatePiece};
use crate::error::{Error, Result};
use md5::{Digest, Md5};
use std::cell::Cell;
use std::fmt::Write;

/// Four of five draws go to one per cent of the range, as real reads do.
const POPULAR_SHARE: f64 = 0.8;
/// What a hole is taken to be as long as, for the first allocation.
const HOLE_BYTES: usize = 40;

/// A template whose pieces are ready to be written one after the other.
#[derive(Debug)]
pub(super) struct TextTemplate {
    pieces: Vec<TemplatePiece>,
    /// How long the filled text is at most, usually.
    length: usize,
}

/// What the holes of the requests of one thread are filled with.
#[derive(Debug)]
pub(super) struct Values {
    run: String,
    /// Ids of this thread begin with this.
    prefix: String,
    next: Cell<u64>,
    stride: u64,
    /// Of the request that is made now.
    number: Cell<u64>,
    id: Cell<Option<u64>>,
}

impl Values {
    pub(super) fn new(run: &str, prefix: &str, first: u64, stride: u64) -> Self {
        Self {
            run: run.to_owned(),
            prefix: prefix.to_owned(),
            next: Cell::new(first),
            stride: stride.max(1),
            number: Cell::new(0),
            id: Cell::new(None),
        }
    }

    /// Ids of this thread begin with this.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Begins a request: it has a number of its own, and this number in its id, where it is tracked.
    pub(super) fn begin(&self, id: Option<u64>) {
        self.number.set(self.next.replace(self.next.get() + self.stride));
        self.id.set(id);
    }
}

impl TextTemplate {
    pub(super) fn new(pieces: &[TemplatePiece]) -> Result<Self> {
        if let Some(TemplatePiece::Env(name)) = pieces.iter().find(|one| matches!(one, TemplatePiece::Env(_)))
        {
            return Err(Error::usage(format!("the variable {name} was not put into the plan of the level")));
        }
        let length = pieces.iter().map(|one| match one {
            TemplatePiece::Text(text) => text.len(),
            TemplatePiece::Id | TemplatePiece::Run => 2 * HOLE_BYTES,
            _ => HOLE_BYTES,
        });
        Ok(Self { pieces: pieces.to_vec(), length: length.sum() })
    }

    /// The text, where it is the same for every request.
    pub(super) fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [TemplatePiece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text of the request that is made now.
    pub(super) fn fill(&self, values: &Values) -> String {
        let mut text = String::with_capacity(self.length);
        for piece in &self.pieces {
            put(piece, values, &mut text);
        }
        text
    }
}

fn put(piece: &TemplatePiece, values: &Values, into: &mut String) {
    // Writing to a string cannot fail.
    let _ = match piece {
        TemplatePiece::Text(text) => into.write_str(text),
        TemplatePiece::Rand(below) => write!(into, "{}", draw(Draw::Rand, *below)),
        TemplatePiece::Popular(below) => write!(into, "{}", draw(Draw::Popular, *below)),
        TemplatePiece::Pick(words) => into.write_str(&words[rand::random_range(0..words.len().max(1))]),
        TemplatePiece::N => write!(into, "{}", values.number.get()),
        TemplatePiece::Id => match values.id.get() {
            Some(number) => write!(into, "{}-{number}", values.prefix),
            // Unlike those that are counted.
            None => write!(into, "{}-n{}", values.prefix, values.number.get()),
        },
        TemplatePiece::Run => into.write_str(&values.run),
        TemplatePiece::Uuid => write!(into, "{}", uuid::Uuid::new_v4()),
        TemplatePiece::Now => write!(into, "{:.3}", crate::clock::now()),
        TemplatePiece::UuidOf { text, draw: how, below } => {
            put_uuid_of(text, draw(*how, *below), into);
            Ok(())
        }
        TemplatePiece::Env(_) => Ok(()),
    };
}

fn draw(how: Draw, below: u64) -> u64 {
    let popular = how == Draw::Popular && rand::random::<f64>() < POPULAR_SHARE;
    rand::random_range(0..if popular { (below / 100).max(1) } else { below.max(1) })
}

/// The MD5 digest of a text and a number, written as a UUID: as `md5(text || number)::uuid` of PostgreSQL.
fn put_uuid_of(text: &str, number: u64, into: &mut String) {
    let mut digest = Md5::new();
    digest.update(text);
    let mut digits = [0; 20];
    digest.update(decimal(number, &mut digits));
    for (index, byte) in digest.finalize().iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            into.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(into, "{byte:02x}");
    }
}

/// The digits of a number, without an allocation.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[from..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::profile::Template;

    fn fill(source: &str, id: Option<u64>) -> String {
        let template = TextTemplate::new(Template::parse(source).unwrap().pieces()).unwrap();
        let values = Values::new("run-L1.0", "run-L1.0-0-3", 5, 8);
        values.begin(id);
        template.fill(&values)
    }

    #[test]
    fn every_hole_is_filled() {
        assert_eq!(fill("a{{n}}b{{run}}c{{id}}", Some(9)), "a5brun-L1.0crun-L1.0-0-3-9");
        assert_eq!(fill("{{id}}", None), "run-L1.0-0-3-n5");
        assert!(["x", "y"].contains(&fill("{{pick x y}}", None).as_str()));
        assert!(fill("{{rand 7}}", None).parse::<u64>().unwrap() < 7);
        assert!(fill("{{popular 7}}", None).parse::<u64>().unwrap() < 7);
        assert_eq!(fill("{{uuid}}", None).len(), 36);
        let now = fill("{{now}}", None);
        assert!(now.len() == 24 && now.ends_with('Z') && now.parse::<jiff::Timestamp>().is_ok(), "{now}");
    }

    #[test]
    fn a_variable_that_nobody_put_in_is_a_mistake_and_no_empty_text() {
        let pieces = [TemplatePiece::Env("SHOP_KEY".into())];
        assert!(TextTemplate::new(&pieces).unwrap_err().message.contains("SHOP_KEY"));
    }

    #[test]
    fn four_of_five_popular_ones_are_from_the_first_hundredth() {
        let few = (0..10_000).filter(|_| draw(Draw::Popular, 10_000) < 100).count();
        assert!((7_500..8_500).contains(&few), "{few}");
    }

    #[test]
    fn ids_are_those_that_postgresql_makes_of_the_seed() {
        // SELECT md5('nsys-seed-0')::uuid
        let wanted = Md5::digest("nsys-seed-0");
        let hex: String = wanted.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut made = String::new();
        put_uuid_of("nsys-seed-", 0, &mut made);
        assert_eq!(made.replace('-', ""), hex);
        let lengths: Vec<_> = made.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        let mut digits = [0; 20];
        assert_eq!(decimal(u64::MAX, &mut digits), u64::MAX.to_string().as_bytes());
    }
}
