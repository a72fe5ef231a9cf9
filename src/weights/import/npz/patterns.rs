//! The authors' patterns: `A_0`, `A_1`, …, one a layer, in the weights' shapes (`store_patterns` in
//! nn_patterns/utils/fileio.py).

use std::sync::Arc;

use memmap2::Mmap;

use super::super::super::error::WeightProblem;
use super::super::array::Array;
use super::super::strided::gather;
use super::numbered::{Numbered, number};

/// What a file of patterns has: A, and the means r and μ, which only training needs.
const PREFIXES: [&str; 3] = ["A", "r", "mu"];

/// Reads the patterns a₊ of every layer, in our shapes: \[outputs, inputs, 3, 3\] and \[outputs, inputs\].
///
/// Those of convolutions are kept as they are: `_compute_A` (nn_patterns/patterns/combined.py) reshapes them to
/// \[outputs, inputs, rows, columns\] as they are multiplied with patches, not flipped. Those of dense layers are
/// \[inputs, outputs\], as Lasagne's weights, and transposed here. They are scaled so that wᵀa = 1 (`_update_length`).
///
/// # Errors
/// When the archive is damaged or harmful, or has other arrays than patterns.
pub(in super::super) fn read_patterns(map: Arc<Mmap>) -> Result<Vec<Array>, WeightProblem> {
    let archive = Numbered::open(map)?;
    let known = |name: &str| PREFIXES.iter().any(|prefix| number(name, prefix).is_some());
    if let Some(other) = archive.names().iter().find(|name| !known(name)) {
        return Err(WeightProblem::Harmful(format!(
            "{other} is not expected: an .npz file of patterns has A_0, A_1, … as the authors of PatternNet wrote it, and this one has {}",
            archive.excerpt()
        )));
    }
    archive.list("A")?.into_iter().map(transposed).collect()
}

/// \[inputs, outputs\] to \[outputs, inputs\]; four axes as they are.
fn transposed(array: Array) -> Result<Array, WeightProblem> {
    let &[inputs, outputs] = array.shape() else {
        return Ok(array);
    };
    let (name, element) = (array.name().to_owned(), array.element());
    Array::deferred(name, element, vec![outputs, inputs], move || {
        let bytes = array.into_bytes()?;
        gather(&bytes, element.size(), &[outputs, inputs], &[1, outputs])
            .ok_or_else(|| WeightProblem::Damaged("a pattern has fewer elements than its shape".to_owned()))
    })
}
