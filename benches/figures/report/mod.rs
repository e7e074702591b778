//! What was measured: figures beside their limits, and curves; kept by group, so that a long run can be made in parts.

mod chart;
mod table;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{machine::Machine, stats::median};

/// Where the whole run is kept, beside the page that explains it.
const KEPT: &str = "docs/performance";
/// Where every other run is left.
const PASSING: &str = "target/bench";
const JSON: &str = "figures.json";
const TABLE: &str = "figures.md";

/// What a figure should be.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Ours ÷ limit, at the least.
    Ratio(f64),
    /// Ours, at the most.
    Most(f64),
    /// Ours − limit, at the most.
    Above(f64),
    /// Shown for what it is.
    None,
}

/// What a figure is compared with, measured in the same run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Limit {
    /// What it is.
    pub title: String,
    /// One value a round.
    pub values: Vec<f64>,
    /// `true` if the limit is a figure of ours, too: such a ratio means the same in every profile.
    #[serde(default)]
    pub is_ours: bool,
}

/// One figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub title: String,
    /// Of what.
    pub unit: String,
    /// One value a round.
    pub ours: Vec<f64>,
    /// What it is compared with.
    pub limit: Option<Limit>,
    /// What it should be.
    pub goal: Goal,
}

/// Points of a plot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Curve {
    /// The plot's file name, without its ending.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// The axes: across, upwards.
    pub axes: [String; 2],
    /// Whether the first axis grows by factors.
    pub by_factors: bool,
    /// Each line with its name.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// What one group of measurements came to, where and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    /// When it was measured, by UTC.
    pub at: String,
    /// Of which commit.
    pub commit: String,
    /// With smaller sizes and fewer rounds.
    pub quick: bool,
    /// On which machine.
    pub machine: Machine,
    /// The figures, in the order in which they were measured.
    pub figures: Vec<Figure>,
    /// What is drawn.
    pub curves: Vec<Curve>,
    /// What could not be measured, and why.
    pub not_run: Vec<String>,
}

/// Everything, by group.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report(pub BTreeMap<String, Group>);

impl Figure {
    /// A figure of one value a round.
    pub fn new(title: impl Into<String>, unit: &str, ours: Vec<f64>) -> Self {
        Self {
            title: title.into(),
            unit: unit.to_owned(),
            ours,
            limit: None,
            goal: Goal::None,
        }
    }

    /// Beside its limit.
    pub fn beside(mut self, title: &str, values: Vec<f64>) -> Self {
        self.limit = Some(Limit {
            title: title.to_owned(),
            values,
            is_ours: false,
        });
        self
    }

    /// Beside another figure of ours.
    pub fn beside_ours(self, title: &str, values: Vec<f64>) -> Self {
        let mut figure = self.beside(title, values);
        figure.limit.iter_mut().for_each(|limit| limit.is_ours = true);
        figure
    }

    /// With a goal.
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = goal;
        self
    }

    /// Ours ÷ limit, by their medians.
    pub fn ratio(&self) -> Option<f64> {
        let limit = self.limit.as_ref()?;
        Some(median(&self.ours) / median(&limit.values))
    }

    /// Whether the goal is reached; none without one.
    pub fn is_reached(&self) -> Option<bool> {
        let ours = median(&self.ours);
        let limit = || self.limit.as_ref().map(|limit| median(&limit.values));
        match self.goal {
            Goal::Ratio(least) => Some(self.ratio()? >= least),
            Goal::Most(most) => Some(ours <= most),
            Goal::Above(most) => Some(ours - limit()? <= most),
            Goal::None => None,
        }
    }
}

impl Report {
    /// Writes what these groups came to: beside what is kept of others for a whole run, else aside. Says where.
    pub fn save(self, whole: bool) -> Result<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(if whole { KEPT } else { PASSING });
        fs::create_dir_all(&folder)?;
        let file = folder.join(JSON);
        let mut all = match fs::read(&file) {
            Ok(bytes) if whole => serde_json::from_slice(&bytes).context("the figures that are kept")?,
            _ => Self::default(),
        };
        all.0.extend(self.0);
        fs::write(&file, serde_json::to_string_pretty(&all)? + "\n")?;
        fs::write(folder.join(TABLE), table::page(&all))?;
        for curve in all.0.values().flat_map(|group| &group.curves) {
            chart::draw(curve, &folder.join(format!("{}.svg", curve.name)))?;
        }
        Ok(folder)
    }

    /// Prints the table.
    pub fn print(&self) {
        print!("{}", table::terminal(self));
    }

    /// The figures whose ratio is below this share of their goals. Without optimisation our code is slower beside
    /// other programs, and half the share will do: what is found then is a statement a build where there was one for
    /// many, not a tenth more of CPU time.
    pub fn below(&self, floor: f64) -> Vec<&Figure> {
        let figures = self.0.values().flat_map(|group| &group.figures);
        figures
            .filter(|figure| match (figure.goal, &figure.limit, figure.ratio()) {
                (Goal::Ratio(least), Some(limit), Some(ratio)) => {
                    let slower = cfg!(debug_assertions) && !limit.is_ours;
                    ratio.is_nan() || ratio < floor * least * if slower { 0.5 } else { 1.0 }
                }
                _ => false,
            })
            .collect()
    }
}
