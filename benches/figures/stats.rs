//! Figures out of samples.

use std::collections::BTreeMap;

/// The middle of the values; between the two middle ones where they are even in number.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => f64::NAN,
        Some(upper) if sorted.len() % 2 == 1 => *upper,
        Some(upper) => f64::midpoint(sorted[middle - 1], *upper),
    }
}

/// The value that `percent` of the values do not exceed.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = (percent / 100.0 * last as f64).round() as usize;
    sorted[at.min(last)]
}

/// Which value how many percent do not exceed.
pub fn cumulated(values: &[f64]) -> Vec<(f64, f64)> {
    (1..=100)
        .map(|percent| (percentile(values, f64::from(percent)), f64::from(percent)))
        .collect()
}

/// Classes of a histogram within a factor of ten.
const CLASSES: f64 = 10.0;

/// How many percent are in each class: the class's middle, and its share. Classes grow by factors, and those between the
/// first and the last are all there.
pub fn histogram(values: &[f64]) -> Vec<(f64, f64)> {
    #[expect(clippy::cast_possible_truncation, reason = "a logarithm is small")]
    let class = |value: &f64| (value.max(1e-3).log10() * CLASSES).floor() as i32;
    let mut classes = BTreeMap::new();
    for value in values {
        *classes.entry(class(value)).or_insert(0_u32) += 1;
    }
    let (Some(first), Some(last)) = (classes.keys().next(), classes.keys().last()) else {
        return Vec::new();
    };
    let all: u32 = classes.values().sum();
    (*first..=*last)
        .map(|class| {
            let middle = 10_f64.powf((f64::from(class) + 0.5) / CLASSES);
            let share = f64::from(classes.get(&class).copied().unwrap_or(0)) / f64::from(all);
            (middle, share * 100.0)
        })
        .collect()
}
