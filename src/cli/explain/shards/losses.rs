//! Images of a unit that could not be read for reasons that may pass, such as a disk that is not mounted.

use crate::images::ImageProblem;

/// How many there were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Losses {
    /// The system refused to read them.
    unreadable: u64,
    /// They were not there.
    missing: u64,
}

impl Losses {
    /// Counts an image, where its problem is one of these.
    pub fn count(&mut self, problem: &ImageProblem) {
        match problem {
            ImageProblem::Unreadable(_) => self.unreadable += 1,
            ImageProblem::NotFound => self.missing += 1,
            _ => {}
        }
    }

    /// Why a unit of so many images is to be done again by the next run: some could not be read, or none was there. A list
    /// that names a few files that are gone is no reason.
    pub fn text(&self, images: u64) -> Option<String> {
        match *self {
            Losses { unreadable: 1.., .. } => {
                Some(format!("{} of {images} images could not be read", self.unreadable))
            }
            Losses { missing: 1.., .. } if self.missing == images => {
                Some("none of its images was there".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        let text = |problems: &[ImageProblem], images| {
            let mut losses = Losses::default();
            problems.iter().for_each(|problem| losses.count(problem));
            losses.text(images)
        };
        let unreadable = || ImageProblem::Unreadable(std::io::Error::other("gone"));
        assert_eq!(text(&[], 5), None);
        assert_eq!(text(&[ImageProblem::Empty, ImageProblem::NotFound], 5), None);
        assert_eq!(
            text(&[ImageProblem::NotFound, ImageProblem::NotFound], 2).unwrap(),
            "none of its images was there"
        );
        assert!(text(&[unreadable(), ImageProblem::Empty], 9).unwrap().starts_with("1 of 9 images"));
    }
}
