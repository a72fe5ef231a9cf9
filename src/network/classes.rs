//! The names of classes that are known without a file of labels.

use super::Network;

/// The classes of ImageNet (ILSVRC 2012), one a line, in the order of the outputs; source and licence stand in
/// `imagenet_1k/README.md`.
const IMAGENET_1K: &str = include_str!("imagenet_1k/names.txt");

impl Network {
    /// The names of the outputs where their number tells them: a classifier with 1000 classes has ImageNet's, in the order
    /// that all networks for ILSVRC 2012 share.
    pub fn class_names(&self) -> Option<Vec<String>> {
        let names = IMAGENET_1K.lines();
        (self.has_classifier() && self.outputs() == names.clone().count())
            .then(|| names.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::network::{Convolution, Dense, Layer, Network, Preprocessing};
    use std::collections::HashSet;

    fn network(outputs: usize, classifier: bool) -> Network {
        let (channels, name) = (if classifier { 4 } else { outputs }, "layer".to_owned());
        let mut layers =
            vec![Layer::Convolution(Convolution { name: name.clone(), inputs: 3, outputs: channels })];
        if classifier {
            layers.push(Layer::Dense(Dense { name, inputs: channels, outputs, relu: false }));
        }
        Network::new(layers, Preprocessing::default())
    }

    #[test]
    fn a_thousand_classes_are_those_of_imagenet() {
        let names = network(1000, true).class_names().expect("names");
        assert!(names.iter().all(|name| !name.is_empty() && name.trim() == name && name.is_ascii()));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 1000, "each has a name of its own");
        // Keras' imagenet_class_index.json at places all over the list, and where a line too many or too few would show.
        for (output, name) in [
            (0, "tench"),
            (1, "goldfish"),
            (133, "bittern"),
            (207, "golden retriever"),
            (285, "Egyptian cat"),
            (388, "giant panda"),
            (404, "airliner"),
            (504, "coffee mug"),
            (517, "crane"),
            (638, "maillot"),
            (657, "missile"),
            (743, "prison"),
            (817, "sports car"),
            (900, "water tower"),
            (985, "daisy"),
            (999, "toilet tissue"),
        ] {
            assert_eq!(names[output], name, "output {output}");
        }
    }

    #[test]
    fn other_networks_have_no_known_classes() {
        assert_eq!(network(999, true).class_names(), None);
        assert_eq!(network(1001, true).class_names(), None);
        // A thousand channels are no classes.
        assert_eq!(network(1000, false).class_names(), None);
    }
}
