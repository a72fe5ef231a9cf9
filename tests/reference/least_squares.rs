//! Ordinary least squares by Householder reflections with column pivoting (Businger and Golub 1965).

/// A column of which the earlier ones leave no more than this share of the longest column is a combination of them.
const DEPENDENT: f64 = 1e-10;

/// The regression of y on a constant and some columns.
#[derive(Clone, Debug)]
pub struct Regression {
    /// Of each column; zero for those that are combinations of others.
    pub coefficients: Vec<f64>,
    /// corr\[fit, y\], from 0 to 1.
    pub correlation: f64,
    /// Columns that are not combinations of others, nor constant.
    pub rank: usize,
    /// Variance of what is left of the last of them across the others: about the smallest there is in any direction.
    pub smallest: f64,
}

/// Fits y, `[rows]`, to values `[rows][columns]`. y must vary.
pub fn regress(values: &[f64], columns: usize, y: &[f64]) -> Regression {
    assert_eq!(values.len(), y.len() * columns, "values");
    // With the means taken out the constant is fitted.
    let mut matrix: Vec<Vec<f64>> = (0..columns)
        .map(|column| centred((0..y.len()).map(|row| values[row * columns + column]).collect()))
        .collect();
    let mut target = centred(y.to_vec());
    let total = sum_of_squares(&target);
    let longest = matrix.iter().map(|column| sum_of_squares(column).sqrt()).fold(0.0, f64::max);

    let mut order: Vec<usize> = (0..columns).collect();
    let (mut rank, mut smallest) = (0, f64::INFINITY);
    while rank < columns.min(y.len()) {
        let left = |column: &usize| sum_of_squares(&matrix[*column][rank..]);
        let Some(pivot) = (rank..columns).max_by(|&a, &b| left(&order[a]).total_cmp(&left(&order[b]))) else {
            break;
        };
        order.swap(rank, pivot);
        let length = left(&order[rank]).sqrt();
        if length <= DEPENDENT * longest {
            break;
        }
        smallest = f64::min(smallest, length * length / y.len() as f64);
        let mut reflector = matrix[order[rank]][rank..].to_vec();
        let diagonal = if reflector[0] > 0.0 { -length } else { length };
        reflector[0] -= diagonal;
        let half = sum_of_squares(&reflector) / 2.0;
        for &column in &order[rank..] {
            reflect(&mut matrix[column][rank..], &reflector, half);
        }
        reflect(&mut target[rank..], &reflector, half);
        rank += 1;
    }

    let mut coefficients = vec![0.0; columns];
    for row in (0..rank).rev() {
        let later: f64 = (row + 1..rank).map(|k| matrix[order[k]][row] * coefficients[order[k]]).sum();
        coefficients[order[row]] = (target[row] - later) / matrix[order[row]][row];
    }
    let correlation = (sum_of_squares(&target[..rank]) / total).sqrt();
    Regression { coefficients, correlation, rank, smallest }
}

/// x − r (rᵀx) / half, half = rᵀr / 2.
fn reflect(values: &mut [f64], reflector: &[f64], half: f64) {
    let along: f64 = values.iter().zip(reflector).map(|(value, r)| value * r).sum();
    for (value, r) in values.iter_mut().zip(reflector) {
        *value -= r * (along / half);
    }
}

/// What is left without the mean; taken out twice, since the first mean is rounded.
fn centred(mut values: Vec<f64>) -> Vec<f64> {
    for _ in 0..2 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter_mut().for_each(|value| *value -= mean);
    }
    values
}

fn sum_of_squares(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum()
}

/// corr\[p, q\].
pub fn correlation(p: &[f64], q: &[f64]) -> f64 {
    let (p, q) = (centred(p.to_vec()), centred(q.to_vec()));
    let product: f64 = p.iter().zip(&q).map(|(p, q)| p * q).sum();
    product / (sum_of_squares(&p) * sum_of_squares(&q)).sqrt()
}
