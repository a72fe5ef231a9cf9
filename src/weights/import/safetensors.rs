//! The tensors of a safetensors file, mapped as they are.

use super::super::error::WeightError;
use super::super::tensor_file::TensorFile;
use super::array::Array;
use super::state_dict::StateDict;

/// A count of PyTorch's batch normalisation that inference does not use, of whole numbers.
const UNUSED: &str = "num_batches_tracked";

/// Takes all tensors; nothing of them is read.
pub(super) fn read(file: &TensorFile) -> Result<StateDict, WeightError> {
    let mut dict = StateDict { metadata: file.metadata().clone(), ..StateDict::default() };
    for name in file.names().filter(|name| !name.ends_with(UNUSED)) {
        let Some(entry) = file.entry(name) else { continue };
        let element = file.element(name, entry)?;
        let (map, range) = file.place(entry);
        let array = Array::mapped(name, element, entry.shape.clone(), map, range)
            .map_err(|problem| WeightError::new(file.path(), problem))?;
        dict.tensors.insert(name.to_owned(), array);
    }
    Ok(dict)
}
