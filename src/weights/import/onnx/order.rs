//! The nodes that an output needs, each after those that it uses.

use std::collections::HashMap;

use super::damaged;
use super::model::Graph;
use super::node::Node;
use crate::weights::WeightProblem;

#[derive(Clone, Copy, PartialEq)]
enum Visit {
    Unseen,
    Open,
    Done,
}

/// Sorts the nodes that `output` depends on. Others are left out: what exporters forgot to remove is never run.
///
/// # Errors
/// When two nodes make the same value, or one needs what it makes.
pub(super) fn sorted<'g, 'a>(graph: &'g Graph<'a>, output: &str) -> Result<Vec<&'g Node<'a>>, WeightProblem> {
    let mut makers = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if makers.insert(*name, index).is_some() {
                return Err(damaged(format!("two nodes make {name:?}")));
            }
        }
    }
    let mut visits = vec![Visit::Unseen; graph.nodes.len()];
    let mut sorted = Vec::new();
    // Nodes that are begun, each with the number of its next input: no recursion, whatever the depth.
    let mut open: Vec<(usize, usize)> = makers.get(output).map(|&index| (index, 0)).into_iter().collect();
    while let Some((index, input)) = open.last_mut() {
        let (index, node) = (*index, &graph.nodes[*index]);
        visits[index] = Visit::Open;
        let Some(name) = node.inputs.get(*input) else {
            visits[index] = Visit::Done;
            sorted.push(node);
            open.pop();
            continue;
        };
        *input += 1;
        let Some(&maker) = makers.get(name) else { continue };
        match visits[maker] {
            Visit::Done => {}
            Visit::Unseen => open.push((maker, 0)),
            Visit::Open => return Err(damaged(format!("the graph runs in a circle: {name:?} needs itself"))),
        }
    }
    Ok(sorted)
}
