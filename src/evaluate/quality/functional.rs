//! The best v of one neuron.
//!
//! Let σ² = var y = wᵀΣw, y₊ = y where the neuron is active and 0 elsewhere, y₋ = y − y₊, k = cov\[x, y₊\] and c = var y₊. With
//! wᵀa₊ = wᵀa₋ = 1 the distractor of the two-component estimator is d = x − a₊y₊ − a₋y₋, and since y₋ = wᵀx − y₊
//!
//! vᵀd = ũᵀx − τ y₊,  ũ = v − (vᵀa₋) w,  τ = vᵀ(a₊ − a₋),
//!
//! so that Σ, k and c are all that its variance and covariance with y depend on, and that w adds nothing to vᵀd holds by
//! construction. The best v solves Σ_d v = cov\[d, y\]. Σ_d differs from Σ by terms with a₊, a₋, k and Σw − k alone, hence
//!
//! v ∈ span {Σ⁻¹a₋, Σ⁻¹(a₊ − a₋), Σ⁻¹k, w}.
//!
//! Restricted to that space the problem is one in three dimensions (w drops out), and exact. Other than Woodbury's identity for Σ_d⁻¹ it
//! needs no regularisation of the direction w, and errors of its basis change the correlation in second order only, as long as Σ of it
//! is known: the ridge that Σ⁻¹ is made with is taken out of it.
//!
//! Where x does not vary, d still does, by a₋y₋ and a₊y₊: Σ⁻¹a₋ and Σ⁻¹(a₊ − a₋) are then all but parallel and as long as one over
//! the ridge. So the second is made orthogonal to the first, in the sense of Σ⁻¹, while it is a vector of K elements; of the
//! products alone nothing would be left of it.
//!
//! With one component, a₊ = a₋ = a, it is v = Σ⁻¹a and corr² = 1 − 1/(σ² aᵀΣ⁻¹a).

/// Vectors of the space that v is in.
pub const BASIS: usize = 3;

/// Share of its terms up to which a variance has cancelled to rounding errors.
pub const CANCELLED: f64 = 1e-12;

/// Share of a variance up to which what the others leave of it is nothing. What is lost is of the same order, since v is
/// the best.
const DEPENDENT: f64 = 1e-11;

/// What the correlation of a neuron depends on, for a basis of v of three vectors s.
pub struct Products {
    /// sᵢᵀΣsⱼ.
    pub covariance: [[f64; BASIS]; BASIS],
    /// wᵀΣs.
    pub with_response: [f64; BASIS],
    /// kᵀs.
    pub with_active: [f64; BASIS],
    /// a₋ᵀs.
    pub constraint: [f64; BASIS],
    /// (a₊ − a₋)ᵀs.
    pub tau: [f64; BASIS],
    /// wᵀk.
    pub response: f64,
    /// σ².
    pub variance: f64,
    /// c.
    pub active_variance: f64,
}

/// The best v.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// corr\[vᵀd, y\], from 0 to 1.
    pub correlation: f64,
    /// v in the basis; zeros where nothing of d is correlated with y.
    pub weights: [f64; BASIS],
}

/// The correlation of one component's best v = Σ⁻¹a, from aᵀΣ⁻¹a and σ².
pub fn one_component(inverse: f64, variance: f64) -> f64 {
    (1.0 - 1.0 / (inverse * variance)).clamp(0.0, 1.0).sqrt()
}

/// The best v of two components.
pub fn two_component(products: &Products) -> Best {
    let Products { constraint, tau, response, variance, active_variance, .. } = products;
    // cov[sᵢᵀx, y₊] without the part along w.
    let with_active: [f64; BASIS] =
        std::array::from_fn(|i| products.with_active[i] - constraint[i] * response);
    let covariance = |i: usize, j: usize| {
        [
            products.covariance[i][j],
            -constraint[j] * products.with_response[i],
            -constraint[i] * products.with_response[j],
            constraint[i] * constraint[j] * variance,
            -tau[j] * with_active[i],
            -tau[i] * with_active[j],
            tau[i] * tau[j] * active_variance,
        ]
    };
    let gram: [[f64; BASIS]; BASIS] =
        std::array::from_fn(|i| std::array::from_fn(|j| covariance(i, j).iter().sum()));
    let with_response: [f64; BASIS] =
        std::array::from_fn(|i| products.with_response[i] - constraint[i] * variance - tau[i] * response);
    let noise: [f64; BASIS] =
        std::array::from_fn(|i| CANCELLED * covariance(i, i).iter().map(|term| term.abs()).sum::<f64>());
    let (squared, weights) = maximise(gram, with_response, noise);
    Best { correlation: (squared / variance).clamp(0.0, 1.0).sqrt(), weights }
}

/// max (gᵀβ)²/(βᵀGβ) and a β that reaches it, G⁺g: by a Cholesky decomposition that takes the vector with the most left first.
fn maximise(gram: [[f64; BASIS]; BASIS], target: [f64; BASIS], noise: [f64; BASIS]) -> (f64, [f64; BASIS]) {
    let mut left = gram;
    let mut target_left = target;
    // Each row a vector in terms of the basis, uncorrelated with the others, of variance 1.
    let mut weights = [0.0; BASIS];
    let mut squared = 0.0;
    let mut combination: [[f64; BASIS]; BASIS] =
        std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    let mut open = [true; BASIS];
    for _ in 0..BASIS {
        let share = |i: usize| left[i][i] / gram[i][i];
        let worth =
            |i: &usize| open[*i] && left[*i][*i] > noise[*i] && gram[*i][*i] > 0.0 && share(*i) > DEPENDENT;
        let Some(pivot) =
            (0..BASIS).filter(worth).max_by(|&a, &b| share(a).total_cmp(&share(b)).then(b.cmp(&a)))
        else {
            break;
        };
        open[pivot] = false;
        let variance = left[pivot][pivot];
        let projection = target_left[pivot] / variance;
        squared += target_left[pivot] * projection;
        for (weight, part) in weights.iter_mut().zip(combination[pivot]) {
            *weight += projection * part;
        }
        // What is left of the others once their part along the pivot is taken out.
        for other in (0..BASIS).filter(|&other| open[other]) {
            let factor = left[other][pivot] / variance;
            let taken = combination[pivot];
            combination[other].iter_mut().zip(taken).for_each(|(value, taken)| *value -= factor * taken);
            target_left[other] -= factor * target_left[pivot];
        }
        let row = left[pivot];
        for i in (0..BASIS).filter(|&i| open[i]) {
            for j in (0..BASIS).filter(|&j| open[j]) {
                left[i][j] -= row[i] * row[j] / variance;
            }
        }
    }
    (squared, weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_three_is_that_of_the_normal_equations() {
        let gram = [[4.0, 1.0, 0.5], [1.0, 3.0, -1.0], [0.5, -1.0, 5.0]];
        let expected = [0.3, -2.0, 0.7];
        let target: [f64; 3] =
            std::array::from_fn(|i| gram[i].iter().zip(expected).map(|(g, b)| g * b).sum());
        let (squared, weights) = maximise(gram, target, [0.0; 3]);
        for (weight, expected) in weights.iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-13);
        }
        let best: f64 = target.iter().zip(expected).map(|(g, b)| g * b).sum();
        assert!((squared - best).abs() < 1e-12);
    }

    #[test]
    fn dependent_vectors_and_vectors_without_variance_are_left_out() {
        let (squared, weights) =
            maximise([[4.0, 4.0, 0.0], [4.0, 4.0, 0.0], [0.0, 0.0, 0.0]], [2.0, 2.0, 0.0], [0.0; 3]);
        assert_eq!((squared, weights), (1.0, [0.5, 0.0, 0.0]));
        assert_eq!(maximise([[0.0; 3]; 3], [0.0; 3], [0.0; 3]), (0.0, [0.0; 3]));
    }

    #[test]
    fn equal_patterns_are_one_component() {
        // Two inputs, Σ = diag(1, 3), w = (1, 1), a = (0.8, 0.2), y₊ any: k and c as of half the response.
        let (a, w, sigma) = ([0.8, 0.2], [1.0, 1.0], [1.0, 3.0]);
        let k = [0.6, 1.4];
        let over = |b: [f64; 2], c: [f64; 2]| b[0] * c[0] / sigma[0] + b[1] * c[1] / sigma[1];
        // a₊ − a₋ = 0.
        let c = [a, [0.0, 0.0], k];
        let over_all = |b| c.map(|c| over(b, c));
        let (response, variance) = (k[0] * w[0] + k[1] * w[1], 4.0);
        let best = two_component(&Products {
            covariance: c.map(over_all),
            with_response: [1.0, 0.0, response],
            with_active: over_all(k),
            constraint: over_all(a),
            tau: [0.0; BASIS],
            response,
            variance,
            active_variance: 1.5,
        });
        let expected = one_component(over(a, a), variance);
        assert!((best.correlation - expected).abs() < 1e-12, "{} {expected}", best.correlation);
    }
}
