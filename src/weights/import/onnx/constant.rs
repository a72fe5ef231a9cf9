//! Constants of a graph: tensors of the file, seen through transposes and reshapes, and small ones that were computed.

use std::rc::Rc;

use super::damaged;
use super::external::Folder;
use super::tensor::Tensor;
use crate::weights::import::Array;
use crate::weights::import::strided::gather;
use crate::weights::{ElementType, WeightProblem};

/// Most elements of a tensor that is computed with here; a full batch normalisation of a flattened map has 25 088.
pub(super) const MOST_COMPUTED: usize = 1 << 18;

/// A tensor of the file under another order and shape of its axes.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    tensor: Rc<Tensor<'a>>,
    /// Extents in the file's order.
    stored: Vec<usize>,
    /// Which of them each axis is.
    permutation: Vec<usize>,
}

/// A small constant, row-major.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f64>,
}

/// A constant of floating-point numbers.
#[derive(Debug, Clone)]
pub(super) enum Constant<'a> {
    Stored(View<'a>),
    Computed(Rc<Numbers>),
}

/// A matrix of a dense layer.
pub(super) struct Matrix {
    pub(super) array: Array,
    /// Whether the array has its columns first.
    pub(super) transposed: bool,
}

impl<'a> View<'a> {
    pub(super) fn new(tensor: Rc<Tensor<'a>>) -> Self {
        let stored = tensor.shape.clone();
        Self { tensor, permutation: (0..stored.len()).collect(), stored }
    }

    fn is_in_order(&self) -> bool {
        self.permutation.iter().enumerate().all(|(axis, &stored)| axis == stored)
    }
}

impl<'a> Constant<'a> {
    pub(super) fn computed(numbers: Numbers) -> Self {
        Self::Computed(Rc::new(numbers))
    }

    pub(super) fn shape(&self) -> Vec<usize> {
        match self {
            Self::Stored(view) => view.permutation.iter().map(|&axis| view.stored[axis]).collect(),
            Self::Computed(numbers) => numbers.shape.clone(),
        }
    }

    /// Axis `n` becomes what axis `permutation[n]` was. `None` when that is no permutation of the axes.
    pub(super) fn transposed(
        &self,
        permutation: &[usize],
        folder: &Folder,
    ) -> Option<Result<Self, WeightProblem>> {
        let mut sorted = permutation.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.shape().len()) {
            return None;
        }
        Some(match self {
            Self::Stored(view) => {
                let axes = permutation.iter().map(|&axis| view.permutation[axis]).collect();
                Ok(Self::Stored(View { permutation: axes, ..view.clone() }))
            }
            Self::Computed(numbers) => {
                let counted = folder.count_copied(numbers.values.len());
                counted.and_then(|()| numbers.permuted(permutation)).map(Self::computed)
            }
        })
    }

    /// The same elements in another shape of as many.
    pub(super) fn reshaped(&self, shape: Vec<usize>, folder: &Folder) -> Result<Self, WeightProblem> {
        match self {
            Self::Stored(view) if view.is_in_order() => Ok(Self::Stored(View {
                tensor: Rc::clone(&view.tensor),
                permutation: (0..shape.len()).collect(),
                stored: shape,
            })),
            _ => Ok(Self::computed(Numbers { shape, values: self.numbers(folder)?.values })),
        }
    }

    /// Reads it, to be computed with.
    pub(super) fn numbers(&self, folder: &Folder) -> Result<Numbers, WeightProblem> {
        match self {
            Self::Computed(numbers) => {
                folder.count_copied(numbers.values.len())?;
                Ok(Numbers::clone(numbers))
            }
            Self::Stored(view) => {
                let values = view.tensor.float64(folder, MOST_COMPUTED)?;
                Numbers { shape: view.stored.clone(), values }.permuted(&view.permutation)
            }
        }
    }

    /// An array under this shape, which has as many elements; `name` where the file has no name for it.
    pub(super) fn array(
        &self,
        name: &str,
        shape: Vec<usize>,
        folder: &Folder,
    ) -> Result<Array, WeightProblem> {
        match self {
            Self::Stored(view) => {
                let name = if view.tensor.name.is_empty() { name } else { view.tensor.name };
                if view.is_in_order() {
                    return view.tensor.array(name, shape, folder);
                }
                let array = view.tensor.array(name, view.stored.clone(), folder)?;
                let (stored, permutation) = (view.stored.clone(), view.permutation.clone());
                let size = array.element().size();
                Array::deferred(name, array.element(), shape, move || {
                    permute(&array.into_bytes()?, &stored, &permutation, size)
                })
            }
            Self::Computed(numbers) => {
                let bytes: Vec<u8> =
                    numbers.values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect();
                Array::deferred(name, ElementType::F32, shape, move || Ok(bytes))
            }
        }
    }

    /// A matrix, mapped whichever of its axes comes first.
    pub(super) fn matrix(&self, name: &str, folder: &Folder) -> Result<Matrix, WeightProblem> {
        match self {
            Self::Stored(view) if view.permutation == [1, 0] => {
                let name = if view.tensor.name.is_empty() { name } else { view.tensor.name };
                let array = view.tensor.array(name, view.stored.clone(), folder)?;
                Ok(Matrix { array, transposed: true })
            }
            _ => Ok(Matrix { array: self.array(name, self.shape(), folder)?, transposed: false }),
        }
    }
}

impl Numbers {
    /// Axis `n` becomes what axis `permutation[n]` was.
    fn permuted(&self, permutation: &[usize]) -> Result<Self, WeightProblem> {
        let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let moved = permute(&bytes, &self.shape, permutation, 8)?;
        let values = moved.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        Ok(Self { shape: permutation.iter().map(|&axis| self.shape[axis]).collect(), values })
    }
}

/// Copies elements of `size` bytes from the order of `stored` to that in which axis `n` is `permutation[n]` of it.
fn permute(
    bytes: &[u8],
    stored: &[usize],
    permutation: &[usize],
    size: usize,
) -> Result<Vec<u8>, WeightProblem> {
    let mut strides = vec![1_usize; stored.len()];
    for axis in (1..stored.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(stored[axis]);
    }
    let (shape, strides): (Vec<_>, Vec<_>) =
        permutation.iter().map(|&axis| (stored[axis], strides[axis])).unzip();
    gather(bytes, size, &shape, &strides).ok_or_else(|| damaged("a tensor has fewer elements than its shape"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition: out\[i, j, k\] of extents (s₂, s₀, s₁) is in\[j, k, i\].
    #[test]
    fn permutes_axes() {
        let stored = [2, 3, 4];
        let bytes: Vec<u8> = (0..24).flat_map(|value| [value, 100 + value]).collect();
        let moved = permute(&bytes, &stored, &[2, 0, 1], 2).unwrap();
        let mut expected = Vec::new();
        for i in 0..4 {
            for j in 0..2 {
                for k in 0..3 {
                    let element = (j * 3 + k) * 4 + i;
                    expected.extend([element, 100 + element]);
                }
            }
        }
        assert_eq!(moved, expected);
    }
}
