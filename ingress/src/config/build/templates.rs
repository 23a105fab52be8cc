//! Texts with placeholders: whether a route can ever have a value for each is known at load.

use schemas::{
    Template,
    template::{Piece, Source},
};

use crate::config::{
    problem::did_you_mean,
    spot::{Report, Spot},
};

/// What the requests of a route bring to its placeholders.
#[derive(Clone, Debug, Default)]
pub(super) struct Brings {
    /// The parameters of the route's path.
    pub(super) parameters: Vec<String>,
    /// Whether something is left over of the path.
    pub(super) rest: bool,
    /// Whether there are attributes of an event.
    pub(super) event: bool,
    /// Whether the path's conditions were wrong, so that nothing is known of them.
    pub(super) unsure: bool,
}

impl Brings {
    /// Reads a text that a route fills for each request.
    pub(super) fn template(
        &self,
        text: &str,
        spot: &Spot<'_>,
        report: &mut Report,
    ) -> Option<Template> {
        let template: Template = text.parse().map_err(|error| report.said(spot, error)).ok()?;
        self.check(&template, spot, report).then_some(template)
    }

    /// Checks that each placeholder can have a value.
    pub(super) fn check(&self, template: &Template, spot: &Spot<'_>, report: &mut Report) -> bool {
        let before = report.problems.len();
        for placeholder in template.placeholders() {
            match &placeholder.source {
                Source::Path(_) | Source::Rest if self.unsure => {}
                Source::Path(name) if !self.parameters.contains(name) => {
                    let remedy = match self.parameters.is_empty() {
                        true => format!("write it into `match.path` as {{{name}}}"),
                        false => {
                            let known = self.parameters.iter().map(String::as_str);
                            did_you_mean(name, "parameters", known)
                        }
                    };
                    let message = format!("the route's path has no parameter {{{name}}}");
                    report.error(spot, message, remedy);
                }
                Source::Rest if !self.rest => {
                    let message = "nothing is left over for {rest}";
                    let remedy = "write `match.prefix`, or a `match.path` that ends in {name*}";
                    report.error(spot, message, remedy);
                }
                Source::Event(name) if !self.event => {
                    let message = format!("there may be no event to take {{event.{name}}} from");
                    let remedy = "write `match.event`, or `format: binary`";
                    report.error(spot, message, remedy);
                }
                _ => {}
            }
        }
        before == report.problems.len()
    }
}

/// The template's text with `stand_in` for each placeholder, to check what does not depend on it.
pub(super) fn with(template: &Template, stand_in: &str) -> String {
    template
        .pieces()
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text.as_str(),
            Piece::Placeholder(_) => stand_in,
        })
        .collect()
}
