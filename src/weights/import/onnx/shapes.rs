//! The axes and shapes that Squeeze, Unsqueeze, Transpose and Reshape ask for.

use super::activation::wrap;
use super::node::Node;
use super::walk::Value;
use crate::weights::WeightProblem;

/// The axes of Squeeze, Unsqueeze and reductions: an attribute, since opset 13 or 18 an input.
pub(super) fn axes(node: &Node<'_>, inputs: &[Option<Value<'_>>]) -> Result<Option<Vec<i64>>, WeightProblem> {
    match inputs.get(1).and_then(Option::as_ref) {
        Some(Value::Integers(axes)) => Ok(axes.known()),
        Some(_) => Err(node.refuse("its axes are not constant")),
        None => node.integers("axes"),
    }
}

/// The order of axes that a Transpose asks for; the reverse where it says nothing.
pub(super) fn permutation(node: &Node<'_>, rank: usize) -> Result<Option<Vec<usize>>, WeightProblem> {
    match node.integers("perm")? {
        None => Ok(Some((0..rank).rev().collect())),
        Some(axes) => Ok(axes.into_iter().map(|axis| usize::try_from(axis).ok()).collect()),
    }
}

/// Without these axes, which are 1; without all that are 1 where none are named.
pub(super) fn squeezed(shape: &[usize], axes: Option<&[i64]>) -> Option<Vec<usize>> {
    let mut dropped: Vec<bool> = shape.iter().map(|&extent| extent == 1 && axes.is_none()).collect();
    for &axis in axes.unwrap_or_default() {
        let axis = wrap(axis, shape.len()).filter(|&axis| shape[axis] == 1)?;
        dropped[axis] = true;
    }
    Some(shape.iter().zip(dropped).filter(|(_, dropped)| !dropped).map(|(&extent, _)| extent).collect())
}

/// With `one` put in, at these places of the result.
pub(super) fn unsqueezed<T: Clone>(shape: &[T], axes: &[i64], one: T) -> Option<Vec<T>> {
    let rank = shape.len().checked_add(axes.len()).filter(|&rank| rank <= 16)?;
    let mut places = axes.iter().map(|&axis| wrap(axis, rank)).collect::<Option<Vec<_>>>()?;
    places.sort_unstable();
    places.dedup();
    if places.len() != axes.len() {
        return None;
    }
    let mut shape = shape.to_vec();
    for place in places {
        shape.insert(place, one.clone());
    }
    Some(shape)
}

/// The shape that Reshape makes: 0 keeps an extent, -1 is what is left.
pub(super) fn resolved(shape: &[usize], target: &[i64]) -> Option<Vec<usize>> {
    let len: usize = shape.iter().product();
    let kept = |(axis, &extent): (usize, &i64)| match extent {
        0 => shape.get(axis).copied().map(Some),
        -1 => Some(None),
        extent => usize::try_from(extent).ok().map(Some),
    };
    let extents = target.iter().enumerate().map(kept).collect::<Option<Vec<_>>>()?;
    let known = extents.iter().flatten().try_fold(1usize, |product, &extent| product.checked_mul(extent))?;
    let open = extents.iter().filter(|extent| extent.is_none()).count();
    let fits = match open {
        0 => known == len,
        1 => known != 0 && len.is_multiple_of(known),
        _ => false,
    };
    fits.then(|| extents.into_iter().map(|extent| extent.unwrap_or(len / known.max(1))).collect())
}
