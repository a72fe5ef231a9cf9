//! Images whose outputs would overwrite each other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;

use super::find::FindError;
use super::input::InputImage;
use crate::output::path_text;

/// Refuses images whose outputs would overwrite each other: `a/cat.jpg` and `a/cat.png` both write `a/cat.*`.
///
/// # Errors
/// [`FindError::Collision`] with the first such pair.
pub fn output_collisions(images: &[InputImage]) -> Result<(), FindError> {
    // By the text that the files are named with, which different names can share when one of them is not UTF-8.
    let mut by_stem: HashMap<String, &InputImage> = HashMap::with_capacity(images.len());
    let mut first_pair = None;
    let mut others = 0;
    for image in images {
        match by_stem.entry(path_text(&image.stem())) {
            Entry::Vacant(entry) => {
                entry.insert(image);
            }
            Entry::Occupied(_) if first_pair.is_some() => others += 1,
            Entry::Occupied(entry) => {
                first_pair = Some((PathBuf::from(entry.key()), entry.get().path.clone(), &image.path));
            }
        }
    }
    match first_pair {
        None => Ok(()),
        Some((stem, first, second)) => {
            Err(FindError::Collision { first, second: second.clone(), stem, others })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn outputs_that_would_collide_are_refused_with_both_paths() {
        let image =
            |path: &str, name: &str| InputImage { path: path.into(), name: name.into(), target: None };
        let fine = [
            image("x/a/cat.jpg", "a/cat.jpg"),
            image("cat.png", "cat.png"),
            image("Cat.png", "Cat.png"),
            image("cat.b.png", "cat.b.png"),
        ];
        assert!(output_collisions(&fine).is_ok());
        assert_eq!(fine[0].stem(), Path::new("a/cat"));
        assert_eq!(fine[3].stem(), Path::new("cat.b"));
        let bad =
            [image("x/cat.jpg", "cat.jpg"), image("y/cat.png", "cat.png"), image("z/cat.gif", "cat.gif")];
        let text = output_collisions(&bad).unwrap_err().to_string();
        for part in ["x/cat.jpg", "y/cat.png", "cat.*", "1 more"] {
            assert!(text.contains(part), "{text}");
        }
        // One file for two targets writes the same outputs twice, too.
        let mut twice = [image("a.png", "a.png"), image("a.png", "a.png")];
        twice[1].target = Some("3".to_string());
        assert!(output_collisions(&twice).is_err());
    }
}
