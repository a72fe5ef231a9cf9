//! What earlier runs left of an input.

use super::Options;
use crate::cli::exit::Failure;
use crate::cli::images::input_name;
use crate::explain::Target;
use crate::images::InputImage;
use crate::output::resume::Resume;
use crate::output::{Format, path_text};

/// What an output folder holds, and what is asked for.
pub struct Earlier<'a> {
    pub options: &'a Options,
    pub resume: &'a Resume,
    /// Of the methods.
    pub names: Vec<String>,
    pub formats: Vec<Format>,
    /// Of the network.
    pub outputs: usize,
    pub labels: Option<&'a [String]>,
}

impl Earlier<'_> {
    /// Whether all that is asked for of an input is there.
    pub fn holds(&self, input: &InputImage) -> Result<bool, Failure> {
        let name = input_name(input);
        self.refuse_other_key(&name, input)?;
        Ok(self.resume.missing(&name, &input.stem(), &self.names, &self.formats)?.is_empty())
    }

    /// With `--target key` every input has a target of its own, which the identity of the run does not hold.
    fn refuse_other_key(&self, name: &str, input: &InputImage) -> Result<(), Failure> {
        if self.options.target != Target::Key || self.options.overwrite {
            return Ok(());
        }
        let Some(row) = self.resume.row(name)?.filter(|row| row.files().next().is_some()) else {
            return Ok(());
        };
        let key = input.target.as_deref();
        let same = match (row.key.as_deref().map(fixed), self.output_of(key)) {
            // An output by another name is the same output.
            (None | Some(true), Some(output)) => row.target == Some(output as u64),
            _ => row.key.is_some() && row.key.as_deref() == key,
        };
        if same {
            return Ok(());
        }
        let text = |key: &str| format!("target '{key}'");
        let output = row.target.map_or_else(String::new, |output| format!(" (output {output})"));
        Err(Failure::Run(format!(
            "{name}: it now comes with {}, but {} holds its explanations for {}{output}; use --overwrite or another --output",
            key.map_or_else(|| "no target".to_owned(), text),
            path_text(&self.options.output),
            row.key.as_deref().map_or_else(|| "another target".to_owned(), text),
        )))
    }

    /// The output that a key means for any image; none when it depends on the image or does not exist.
    fn output_of(&self, key: Option<&str>) -> Option<usize> {
        let key = key.filter(|key| fixed(key))?;
        Target::Key.resolve(&vec![0.0; self.outputs], self.labels, Some(key)).ok()
    }
}

/// Whether a key means the same output for all images.
fn fixed(key: &str) -> bool {
    matches!(key.parse(), Ok(Target::Index(_) | Target::Label(_)))
}
