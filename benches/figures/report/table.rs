//! The figures as a table, for the terminal and for a page.

use std::fmt::Write;

use super::{Figure, Goal, Group, Report};
use crate::stats::median;

const HEAD: [&str; 6] = ["figure", "ours", "limit", "ratio", "goal", "reached"];

/// For the terminal.
pub fn terminal(report: &Report) -> String {
    let mut text = String::new();
    for (name, group) in &report.0 {
        line(
            &mut text,
            &HEAD.map(|head| {
                if head == "figure" {
                    name.to_uppercase()
                } else {
                    head.to_owned()
                }
            }),
        );
        for figure in &group.figures {
            line(&mut text, &cells(figure));
        }
        for what in &group.not_run {
            let _ = writeln!(text, "not run: {what}");
        }
        text.push('\n');
    }
    text
}

fn line(text: &mut String, [figure, ours, limit, ratio, goal, reached]: &[String; 6]) {
    let _ = writeln!(
        text,
        "{figure:<62} {ours:>28} {limit:>28} {ratio:>6} {goal:>10} {reached:>8}"
    );
}

/// For a page.
pub fn page(report: &Report) -> String {
    let mut text = "<!-- Written by `make bench`. -->\n# The figures\n".to_owned();
    for (name, group) in &report.0 {
        let _ = writeln!(text, "\n## {name}\n\n{}\n", provenance(group));
        if !group.figures.is_empty() {
            let _ = writeln!(text, "| {} |\n|---|---|---|---|---|---|", HEAD.join(" | "));
        }
        for figure in &group.figures {
            let mut cells = cells(figure);
            if let Some(limit) = &figure.limit {
                let _ = write!(cells[2], " ({})", limit.title);
            }
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        for what in &group.not_run {
            let _ = writeln!(text, "\nNot run: {what}");
        }
        for curve in &group.curves {
            let _ = writeln!(text, "\n![{}]({}.svg)", curve.title, curve.name);
        }
    }
    text
}

fn provenance(group: &Group) -> String {
    let machine = &group.machine;
    format!(
        "Commit {}, {}, {} cores ({}), {:.0} GB, Linux {}, {}{}.",
        group.commit,
        group.at,
        machine.cores,
        machine.processor,
        machine.memory_gb,
        machine.kernel,
        machine.postgres,
        if group.quick { "; QUICK" } else { "" }
    )
}

fn cells(figure: &Figure) -> [String; 6] {
    let title = if figure.unit.is_empty() {
        figure.title.clone()
    } else {
        format!("{}, {}", figure.title, figure.unit)
    };
    [
        title,
        values(&figure.ours),
        figure
            .limit
            .as_ref()
            .map(|limit| values(&limit.values))
            .unwrap_or_default(),
        figure
            .ratio()
            .map(|ratio| format!("{ratio:.2}"))
            .unwrap_or_default(),
        match figure.goal {
            Goal::Ratio(least) => format!("≥ {least}"),
            Goal::Most(most) => format!("≤ {most}"),
            Goal::Above(most) => format!("≤ +{most}"),
            Goal::None => String::new(),
        },
        match figure.is_reached() {
            Some(true) => "yes".to_owned(),
            Some(false) => "NO".to_owned(),
            None => String::new(),
        },
    ]
}

/// The median, and what it varied between.
fn values(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = number(median(values));
    if values.len() < 2 {
        return middle;
    }
    format!("{middle} ({}–{})", number(least), number(most))
}

fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) && grouped != "-" {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
