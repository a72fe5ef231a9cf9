//! The orders in which patches are replaced: a curve each.

use crate::backend::First;
use crate::explain::{Kind, Method};
use crate::random::{draw, scatter};
use std::fmt;
use std::str::FromStr;

/// Which patches come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The most relevant ones.
    Most,
    /// The least relevant ones.
    Least,
}

/// A word that is no order.
#[derive(Debug, Clone, thiserror::Error)]
#[error("unknown order '{0}'; known are most and least")]
pub struct ParseOrderError(String);

impl FromStr for Order {
    type Err = ParseOrderError;

    fn from_str(text: &str) -> Result<Self, ParseOrderError> {
        match text {
            "most" => Ok(Order::Most),
            "least" => Ok(Order::Least),
            _ => Err(ParseOrderError(text.to_owned())),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Order::Most => "most",
            Order::Least => "least",
        })
    }
}

/// What ranks the patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// The relevance that a method gives them.
    Method(Method, Order),
    /// Chance: the baseline.
    Random,
}

impl Curve {
    /// Every order of every method, and chance last.
    pub fn all(methods: &[Method], orders: &[Order]) -> Vec<Curve> {
        let of_method = |&method| orders.iter().map(move |&order| Curve::Method(method, order));
        methods.iter().flat_map(of_method).chain([Curve::Random]).collect()
    }

    /// The method, if there is one.
    pub fn method(self) -> Option<Method> {
        match self {
            Curve::Method(method, _) => Some(method),
            Curve::Random => None,
        }
    }

    /// `most`, `least` or `random`.
    pub fn order(self) -> String {
        match self {
            Curve::Method(_, order) => order.to_string(),
            Curve::Random => "random".to_owned(),
        }
    }
}

impl fmt::Display for Curve {
    /// The method's name, with `/least` behind it where the least relevant patches come first, or `random`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Curve::Method(method, Order::Most) => write!(formatter, "{method}"),
            Curve::Method(method, Order::Least) => write!(formatter, "{method}/least"),
            Curve::Random => formatter.write_str("random"),
        }
    }
}

/// What a backend ranks by: whether by magnitudes, and which sums come first.
pub(super) fn ranked_by(method: Method, order: Order) -> (bool, First) {
    let first = match order {
        Order::Most => First::Largest,
        Order::Least => First::Smallest,
    };
    (method.kind() == Kind::Signal, first)
}

/// The stream of random numbers that belongs to an image: of its name, so that it does not depend on the other images.
pub(super) fn stream(seed: u64, name: &str) -> u64 {
    name.bytes().fold(scatter(seed), |stream, byte| scatter(stream ^ u64::from(byte)))
}

/// Ranks of patches by chance: by the size of 64 random bits each.
pub(super) fn random_ranks(stream: u64, patches: usize) -> Vec<u32> {
    let mut order: Vec<usize> = (0..patches).collect();
    order.sort_by_key(|&patch| (draw(stream, patch as u64), patch));
    let mut ranks = vec![0; patches];
    for (rank, patch) in (0..).zip(order) {
        ranks[patch] = rank;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_as_likely() {
        // How often each of 4 patches comes first, of 4000 images: 1000 ± 5 standard deviations of 27.
        let mut first = [0; 4];
        for image in 0..4000 {
            let ranks = random_ranks(stream(3, &format!("{image}.png")), 4);
            let mut sorted = ranks.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3]);
            first[ranks.iter().position(|&rank| rank == 0).unwrap()] += 1;
        }
        assert!(first.iter().all(|&times| (863..1137).contains(&times)), "{first:?}");
        assert_ne!(random_ranks(stream(3, "a"), 50), random_ranks(stream(4, "a"), 50));
        assert_ne!(random_ranks(stream(3, "ab"), 50), random_ranks(stream(3, "ba"), 50));
    }

    #[test]
    fn curves_are_named() {
        let curves = Curve::all(&[Method::PatternNet, Method::Gradient], &[Order::Most, Order::Least]);
        let names: Vec<String> = curves.iter().map(Curve::to_string).collect();
        assert_eq!(names, ["patternnet", "patternnet/least", "gradient", "gradient/least", "random"]);
        for word in ["most", "least"] {
            assert_eq!(word.parse::<Order>().unwrap().to_string(), word);
        }
        assert!("random".parse::<Order>().unwrap_err().to_string().contains("'random'"));
    }
}
