//! What was measured, beside the floor and the target.

mod machine;
mod scaling;
mod table;

use std::fmt;

use serde::Serialize;

pub(crate) use self::{
    machine::Machine,
    scaling::{Scaling, Stage},
};
use crate::queue::Queue;

/// Everything that one run found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What the figures were measured on.
    pub(crate) machine: Machine,
    /// Where jobs waited.
    pub(crate) queue: Queue,
    /// The figures, in the order in which they were measured.
    pub(crate) figures: Vec<Figure>,
    /// What could not be measured, and deliveries that were not answered as they should.
    pub(crate) failures: Vec<String>,
    /// What was not tried, and why.
    pub(crate) skipped: Vec<String>,
    /// What else one has to know to read the figures.
    pub(crate) notes: Vec<String>,
    /// What jobs cost in Redis.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) scaling: Vec<Scaling>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    scenario: &'static str,
    name: String,
    value: f64,
    unit: Unit,
    floor: Option<f64>,
    /// The value as a share of the floor, where that says something.
    share: Option<f64>,
    target: Option<Target>,
    met: Option<bool>,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "/s")]
    PerSecond,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "µs")]
    Microseconds,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "MB")]
    Megabytes,
    #[serde(rename = "B")]
    Bytes,
    #[serde(rename = "deliveries")]
    Deliveries,
    #[serde(rename = "%")]
    Percent,
    #[serde(rename = "×")]
    Ratio,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// At least this share of the floor.
    ShareOfFloor(f64),
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
}

impl Report {
    /// An empty report about this machine.
    pub(crate) fn new(machine: Machine, queue: Queue) -> Self {
        Self {
            machine,
            queue,
            figures: Vec::new(),
            failures: Vec::new(),
            skipped: Vec::new(),
            notes: Vec::new(),
            scaling: Vec::new(),
        }
    }

    /// Adds a figure.
    pub(crate) fn figure(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// A scenario's acks as a share of its floor, if they were measured.
    pub(crate) fn share_of_acks(&self, scenario: &str) -> Option<f64> {
        let measured =
            self.figures.iter().find(|figure| figure.scenario == scenario && figure.share.is_some());
        measured?.share
    }
}

impl Figure {
    /// A figure without floor and target.
    pub(crate) fn new(scenario: &'static str, name: impl Into<String>, value: f64, unit: Unit) -> Self {
        Self { scenario, name: name.into(), value, unit, floor: None, share: None, target: None, met: None }
    }

    /// A figure that is a whole number.
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    pub(crate) fn count(scenario: &'static str, name: impl Into<String>, value: u64, unit: Unit) -> Self {
        Self::new(scenario, name, value as f64, unit)
    }

    /// The same figure of the floor, measured in the same run.
    pub(crate) fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        if self.unit == Unit::PerSecond {
            self.share = Some(self.value / floor);
        }
        self
    }

    /// What it should be. A share of the floor is never reached without a floor.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.met = Some(match target {
            Target::ShareOfFloor(share) => self.share.is_some_and(|is| is >= share),
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
            Target::Below(limit) => self.value < limit,
        });
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, queue: {}\n", self.machine, self.queue)?;
        let head = ["scenario", "figure", "measured", "floor", "share", "target", ""].map(str::to_owned);
        table::write(f, head, self.figures.iter().map(Figure::cells), 2..5)?;
        if !self.scaling.is_empty() {
            writeln!(f, "\nWhat it costs in Redis:")?;
            table::write(f, Scaling::HEAD.map(str::to_owned), self.scaling.iter().map(Scaling::cells), 1..8)?;
        }
        for (title, lines) in [("Failed", &self.failures), ("Skipped", &self.skipped), ("Notes", &self.notes)]
        {
            if !lines.is_empty() {
                writeln!(f, "\n{title}:")?;
                lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
            }
        }
        Ok(())
    }
}

impl Figure {
    fn cells(&self) -> [String; 7] {
        let unit = self.unit;
        [
            self.scenario.to_owned(),
            self.name.clone(),
            unit.print(self.value),
            self.floor.map(|floor| unit.print(floor)).unwrap_or_default(),
            self.share.map(|share| format!("{share:.2}")).unwrap_or_default(),
            match self.target {
                None => String::new(),
                Some(Target::ShareOfFloor(share)) => format!("≥ {share} of the floor"),
                Some(Target::AtLeast(least)) => format!("≥ {}", unit.print(least)),
                Some(Target::AtMost(most)) => format!("≤ {}", unit.print(most)),
                Some(Target::Below(limit)) => format!("< {}", unit.print(limit)),
            },
            match self.met {
                None => String::new(),
                Some(true) => "met".into(),
                Some(false) => "MISSED".into(),
            },
        ]
    }
}

impl Unit {
    fn print(self, value: f64) -> String {
        match self {
            Self::PerSecond => format!("{value:.0}/s"),
            Self::Milliseconds => format!("{value:.2} ms"),
            Self::Microseconds => format!("{value:.1} µs"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Bytes => format!("{value:.0} B"),
            Self::Deliveries => format!("{value:.0}"),
            Self::Percent => format!("{value:.1} %"),
            Self::Ratio => format!("{value:.2}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_held_against_the_floor_of_the_same_run() {
        let figure = |value| {
            Figure::new("burst", "acks", value, Unit::PerSecond)
                .floor(30_000.0)
                .target(Target::ShareOfFloor(0.6))
        };
        assert_eq!(figure(18_000.0).met, Some(true));
        assert_eq!(figure(17_999.0).met, Some(false));
        assert_eq!(
            figure(21_000.0).cells(),
            ["burst", "acks", "21000/s", "30000/s", "0.70", "≥ 0.6 of the floor", "met"]
        );
    }

    #[test]
    fn a_share_without_a_floor_is_missed() {
        let figure = Figure::new("burst", "acks", 1.0, Unit::PerSecond).target(Target::ShareOfFloor(0.6));
        assert_eq!(figure.met, Some(false));
    }
}
