//! Brace ranges of shard names, as WebDataset and shells write them: `{000..099}.tar`, `{train,val}-{0..9}.tar`.

/// More names than this are refused: a slip of the keyboard, not a data set.
const MOST: u64 = 10_000_000;

/// The names that a text with brace ranges stands for, in order, made as they are wanted.
#[derive(Debug, Clone)]
pub(super) struct Braces {
    pieces: Vec<Piece>,
    next: u64,
    count: u64,
}

#[derive(Debug, Clone)]
enum Piece {
    Plain(String),
    /// From the first to the last, both included, with at least so many digits.
    Range {
        first: u64,
        last: u64,
        digits: usize,
    },
    Choice(Vec<String>),
}

impl Piece {
    fn count(&self) -> u64 {
        match self {
            Piece::Plain(_) => 1,
            Piece::Range { first, last, .. } => first.abs_diff(*last).saturating_add(1),
            Piece::Choice(choices) => choices.len() as u64,
        }
    }

    /// One of its texts.
    fn text(&self, number: u64) -> String {
        match self {
            Piece::Plain(text) => text.clone(),
            Piece::Range { first, last, digits } => {
                let value = if first <= last { first + number } else { first - number };
                format!("{value:0digits$}")
            }
            // Below the length, which `count` gave.
            Piece::Choice(choices) => choices[number as usize].clone(),
        }
    }
}

impl Braces {
    /// What a text stands for; none where it has no brace range. Braces do not nest.
    ///
    /// # Errors
    /// What is wrong with it, where it stands for too many names.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        let (mut pieces, mut rest, mut any) = (Vec::new(), text, false);
        while let Some((before, after)) = rest.split_once('{') {
            let Some((inside, after)) = after.split_once('}') else { break };
            let Some(piece) = piece(inside) else {
                pieces.push(Piece::Plain(format!("{before}{{{inside}}}")));
                rest = after;
                continue;
            };
            pieces.extend([Piece::Plain(before.to_owned()), piece]);
            (rest, any) = (after, true);
        }
        pieces.push(Piece::Plain(rest.to_owned()));
        let count = pieces.iter().map(Piece::count).fold(1, u64::saturating_mul);
        match (any, count) {
            (false, _) => Ok(None),
            (true, ..=MOST) => Ok(Some(Self { pieces, next: 0, count })),
            _ => Err("its braces stand for more than ten million names; name fewer at a time"),
        }
    }
}

/// What is between two braces, where it is a range or a choice.
fn piece(inside: &str) -> Option<Piece> {
    if let Some((first, last)) = inside.split_once("..") {
        let digits_only = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits_only(first) || !digits_only(last) {
            return None;
        }
        // As in a shell: one that is written with zeros before it makes all of them as long.
        let padded = |text: &str| text.len() > 1 && text.starts_with('0');
        let digits = if padded(first) || padded(last) { first.len().max(last.len()) } else { 1 };
        return Some(Piece::Range { first: first.parse().ok()?, last: last.parse().ok()?, digits });
    }
    let choices: Vec<String> = inside.split(',').map(str::to_owned).collect();
    (choices.len() > 1 && !inside.contains('{')).then_some(Piece::Choice(choices))
}

impl Iterator for Braces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.next >= self.count {
            return None;
        }
        // The last piece counts fastest.
        let mut left = self.next;
        let mut texts: Vec<String> = Vec::with_capacity(self.pieces.len());
        for piece in self.pieces.iter().rev() {
            let count = piece.count().max(1);
            texts.push(piece.text(left % count));
            left /= count;
        }
        self.next += 1;
        texts.reverse();
        Some(texts.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Braces::parse(text).unwrap().map_or_else(Vec::new, Iterator::collect)
    }

    #[test]
    fn ranges_and_choices_are_what_a_shell_makes_of_them() {
        // From bash: echo a{08..11}.tar, {a,b}-{0..2}.tar, {3..1}, x{9..10}, {001..2}.
        assert_eq!(names("a{08..11}.tar"), ["a08.tar", "a09.tar", "a10.tar", "a11.tar"]);
        assert_eq!(
            names("{a,b}-{0..2}.tar"),
            ["a-0.tar", "a-1.tar", "a-2.tar", "b-0.tar", "b-1.tar", "b-2.tar"]
        );
        assert_eq!(names("{3..1}"), ["3", "2", "1"]);
        assert_eq!(names("x{9..10}"), ["x9", "x10"]);
        assert_eq!(names("{001..2}"), ["001", "002"]);
        assert_eq!(names("{0..0}.tar"), ["0.tar"]);
        assert_eq!(names("{a,}b"), ["ab", "b"]);
    }

    #[test]
    fn other_braces_are_part_of_the_name() {
        for plain in ["a.tar", "{a}.tar", "a{.tar", "a}.tar", "{}", "{a..c}", "{-1..2}", "{1..}", "{..}"] {
            assert!(Braces::parse(plain).unwrap().is_none(), "{plain}");
        }
        assert_eq!(names("{x}{0..1}"), ["{x}0", "{x}1"]);
    }

    #[test]
    fn too_many_names_are_refused() {
        assert!(Braces::parse("{0..10000000}").is_err());
        assert!(Braces::parse("{0..9999}{0..9999}").is_err());
        assert!(Braces::parse("{0..18446744073709551615}").is_err());
        assert!(Braces::parse("{0..18446744073709551616}").unwrap().is_none());
        assert_eq!(Braces::parse("{0..9999999}").unwrap().unwrap().last().unwrap(), "9999999");
    }
}
