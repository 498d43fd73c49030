//! What was found, a line each: `ok`, `warning`, `error` or `skipped`.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// It was looked at, and is well.
    Ok,
    /// It works, and should not stay so.
    Warning,
    /// It does not work.
    Error,
    /// It could not be looked at, or is not in use.
    Skipped,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub level: Level,
    /// What was looked at.
    pub about: &'static str,
    /// What was found.
    pub found: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
    /// Whether each line is printed when it is found.
    lines: bool,
}

impl Report {
    /// One that prints each line when it is found, or none.
    pub fn new(lines: bool) -> Self {
        Self { findings: Vec::new(), lines }
    }

    pub fn ok(&mut self, about: &'static str, found: impl Into<String>) {
        self.add(Level::Ok, about, found.into(), None);
    }

    pub fn skipped(&mut self, about: &'static str, found: impl Into<String>) {
        self.add(Level::Skipped, about, found.into(), None);
    }

    pub fn warning(
        &mut self,
        about: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Level::Warning, about, found.into(), Some(remedy.into()));
    }

    pub fn error(
        &mut self,
        about: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Level::Error, about, found.into(), Some(remedy.into()));
    }

    fn add(&mut self, level: Level, about: &'static str, found: String, remedy: Option<String>) {
        let finding = Finding { level, about, found, remedy };
        if self.lines {
            println!("{}", finding.line());
        }
        self.findings.push(finding);
    }

    /// Whether nothing that was found is an error.
    pub fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.level != Level::Error)
    }

    /// All findings as JSON: a list.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.findings)
    }

    #[cfg(test)]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl Finding {
    fn line(&self) -> String {
        let Self { level, about, found, remedy } = self;
        let remedy = remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
        // What others said must not make lines of its own, nor move the cursor.
        let said: String = format!("{found}{remedy}")
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        format!("{:<8} {about}: {said}", level.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_bad_it_is_what_it_is_and_what_to_do() {
        let mut report = Report::default();
        report.ok("redis", "answers");
        report.warning("limits", "few", "raise\nthem");
        assert!(report.is_well());
        report.error("rbac", "no", "grant");
        report.skipped("ingress", "not asked");
        let lines: Vec<_> = report.findings().iter().map(Finding::line).collect();
        assert_eq!(
            lines,
            [
                "ok       redis: answers",
                "warning  limits: few; raise them",
                "error    rbac: no; grant",
                "skipped  ingress: not asked"
            ]
        );
        assert!(!report.is_well());
        let json: serde_json::Value =
            serde_json::from_str(&report.json().unwrap_or_default()).unwrap_or_default();
        assert_eq!(json[1]["level"], "warning");
        assert_eq!(json[1]["remedy"], "raise\nthem");
        assert!(json[0].get("remedy").is_none());
    }
}
