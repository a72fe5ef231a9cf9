//! After how many patches the response is measured.

use super::Mode;
use std::str::FromStr;

/// Steps when nobody asks for others.
const DEFAULT: usize = 100;

/// Which numbers of patches are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steps {
    /// 0, 1, ... up to this many in [`Mode::Flip`], this many equal parts of all patches in the others.
    Upto(usize),
    /// These.
    List(Vec<usize>),
}

impl Default for Steps {
    fn default() -> Self {
        Steps::Upto(DEFAULT)
    }
}

/// Why steps cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepsError {
    /// No number, or no list of rising ones.
    #[error("'{0}' are no steps; give the last one, as in 100, or a list of rising ones, as in 0,5,20")]
    Syntax(String),
    /// More patches than there are.
    #[error(
        "step {step} is more than the {patches} patches that an image has; ask for fewer, or a smaller patch"
    )]
    TooMany {
        /// The step.
        step: usize,
        /// Patches of an image.
        patches: usize,
    },
}

impl FromStr for Steps {
    type Err = StepsError;

    /// One number of steps, or several steps parted by commas.
    fn from_str(text: &str) -> Result<Self, StepsError> {
        let syntax = || StepsError::Syntax(text.to_owned());
        let numbers: Vec<usize> = text
            .split(',')
            .map(|number| number.trim().parse().map_err(|_| syntax()))
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [0] => Err(syntax()),
            [last] => Ok(Steps::Upto(last)),
            _ if numbers.is_sorted_by(|one, next| one < next) => Ok(Steps::List(numbers)),
            _ => Err(syntax()),
        }
    }
}

impl Steps {
    /// The numbers of patches after which f is measured, rising: 0 is always the first, and but for [`Mode::Flip`] all patches the
    /// last. Of more steps than there are patches, those that there are.
    ///
    /// # Errors
    /// When a step of a list is more than there are patches.
    pub fn counts(&self, mode: Mode, patches: usize) -> Result<Vec<usize>, StepsError> {
        let mut counts: Vec<usize> = match self {
            Steps::Upto(last) if mode == Mode::Flip => (0..=*last.min(&patches)).collect(),
            Steps::Upto(parts) => {
                // Of more parts than there are patches, the patches. Rounded to the nearest one.
                let parts = parts.min(&patches);
                (0..=*parts).map(|part| (part * patches + parts / 2) / parts).collect()
            }
            Steps::List(list) => {
                if let Some(&step) = list.iter().find(|&&step| step > patches) {
                    return Err(StepsError::TooMany { step, patches });
                }
                let last = (mode != Mode::Flip).then_some(patches);
                [0].into_iter().chain(list.iter().copied()).chain(last).collect()
            }
        };
        counts.dedup();
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_and_counted() {
        let counts =
            |text: &str, mode, patches| text.parse::<Steps>().unwrap().counts(mode, patches).unwrap();
        assert_eq!(counts("3", Mode::Flip, 625), [0, 1, 2, 3]);
        assert_eq!(counts("100", Mode::Flip, 2), [0, 1, 2]);
        assert_eq!(counts("5,20", Mode::Flip, 20), [0, 5, 20]);
        assert_eq!(counts("0, 5", Mode::Deletion, 20), [0, 5, 20]);
        assert_eq!(counts("4", Mode::Insertion, 9), [0, 2, 5, 7, 9]);
        assert_eq!(counts("100", Mode::Deletion, 3), [0, 1, 2, 3]);
        assert_eq!(counts("100", Mode::Deletion, 1), [0, 1]);
        assert_eq!(counts("18446744073709551615", Mode::Deletion, 2), [0, 1, 2]);
        assert_eq!(Steps::default().counts(Mode::Flip, 625).unwrap().len(), 101);
        let error = "0,21".parse::<Steps>().unwrap().counts(Mode::Flip, 20).unwrap_err();
        assert_eq!(error, StepsError::TooMany { step: 21, patches: 20 });
        for text in ["", "0", "-1", "x", "5,5", "5,3", "1,,2", "1.5", "99999999999999999999999"] {
            assert!(text.parse::<Steps>().is_err(), "{text}");
        }
    }
}
