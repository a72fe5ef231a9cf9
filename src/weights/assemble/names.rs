//! torchvision's names for layers, of which files may say others.

/// Name of the convolution before which there are so many convolutions and max-pools: each takes two numbers, itself and
/// its ReLU, and each pool one.
pub(super) fn convolution(convolutions: usize, pools: usize) -> String {
    format!("features.{}", 2 * convolutions + pools)
}

/// Names of the dense layers: those of the file where they are torchvision's, whatever the numbers between them; else as
/// torchvision numbers them, with a ReLU and a dropout after each.
pub(super) fn dense<'a>(steps: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    // In one spelling, and with a ReLU between, as they are read again.
    let number = |step: &str| {
        let digits = step.strip_prefix("classifier.")?;
        digits.parse::<u32>().ok().filter(|number| number.to_string() == digits)
    };
    let numbers: Option<Vec<u32>> = steps.clone().map(number).collect();
    match numbers {
        Some(numbers) if numbers.is_sorted_by(|one, next| *next >= 2 && *one <= next - 2) => {
            steps.map(str::to_owned).collect()
        }
        _ => steps.enumerate().map(|(index, _)| format!("classifier.{}", 3 * index)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_torchvisions_modules() {
        // VGG16: two convolutions, a pool, two convolutions, a pool, the third block.
        assert_eq!(convolution(0, 0), "features.0");
        assert_eq!(convolution(2, 1), "features.5");
        assert_eq!(convolution(4, 2), "features.10");
        assert_eq!(
            dense(["fc1", "fc2", "predictions"].into_iter()),
            ["classifier.0", "classifier.3", "classifier.6"]
        );
        assert_eq!(dense(["classifier.0", "classifier.2"].into_iter()), ["classifier.0", "classifier.2"]);
        for other in [
            ["classifier.3", "classifier.3"],
            ["classifier.0", "classifier.1"],
            ["classifier.0", "classifier.03"],
        ] {
            assert_eq!(dense(other.into_iter()), ["classifier.0", "classifier.3"]);
        }
    }
}
