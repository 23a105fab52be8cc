//! Path templates, by the grammar in the comment of google/api/http.proto:
//!
//! ```text
//! Template = "/" Segments [ Verb ] ;
//! Segments = Segment { "/" Segment } ;
//! Segment  = "*" | "**" | LITERAL | Variable ;
//! Variable = "{" FieldPath [ "=" Segments ] "}" ;
//! FieldPath = IDENT { "." IDENT } ;
//! Verb     = ":" LITERAL ;
//! ```

/// A template, flat: variables are ranges over its segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) verb: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    /// `*`: exactly one segment.
    One,
    /// `**`: none or more, and nothing after it but the verb.
    Rest,
}

/// A variable captures the segments from `start` up to `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) field: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Whether it ends with `**` and so captures whatever is left.
    pub(crate) to_end: bool,
}

impl Template {
    /// Parses a template; what is wrong with it is told as a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: text, template: Self::empty() };
        parser.expect('/').map_err(|_| "does not start with `/`".to_owned())?;
        parser.segments(false)?;
        if parser.take(':') {
            let verb = parser.literal();
            if verb.is_empty() {
                return Err("has `:` without a verb after it".to_owned());
            }
            parser.template.verb = Some(verb.to_owned());
        }
        if !parser.rest.is_empty() {
            return Err(format!("has `{}` where `/`, `:` or the end was expected", parser.rest));
        }
        let template = parser.template;
        let last = template.segments.len() - 1;
        if template.segments[..last].contains(&Segment::Rest) {
            return Err("has `**` before its last segment".to_owned());
        }
        for (at, variable) in template.variables.iter().enumerate() {
            if template.variables[..at].iter().any(|other| other.field == variable.field) {
                return Err(format!("has the variable `{}` twice", variable.field));
            }
        }
        Ok(template)
    }

    fn empty() -> Self {
        Self { segments: Vec::new(), variables: Vec::new(), verb: None }
    }
}

struct Parser<'a> {
    rest: &'a str,
    template: Template,
}

impl<'a> Parser<'a> {
    fn segments(&mut self, in_variable: bool) -> Result<(), String> {
        loop {
            self.segment(in_variable)?;
            if !self.take('/') {
                return Ok(());
            }
        }
    }

    fn segment(&mut self, in_variable: bool) -> Result<(), String> {
        if self.rest.starts_with("**") {
            self.take('*');
            self.take('*');
            self.template.segments.push(Segment::Rest);
        } else if self.take('*') {
            self.template.segments.push(Segment::One);
        } else if self.take('{') {
            if in_variable {
                return Err("has a variable within a variable".to_owned());
            }
            self.variable()?;
        } else {
            let literal = self.literal();
            if literal.is_empty() {
                return Err("has an empty segment".to_owned());
            }
            let decoded = percent_encoding::percent_decode_str(literal).decode_utf8();
            let literal = decoded.map_err(|_| format!("has `{literal}`, which is not UTF-8"))?;
            self.template.segments.push(Segment::Literal(literal.into_owned()));
        }
        Ok(())
    }

    fn variable(&mut self) -> Result<(), String> {
        let start = self.template.segments.len();
        let field = self.until(&['=', '}', '/', '{']).to_owned();
        if !field.split('.').all(is_identifier) {
            return Err(format!("has `{field}` where a field was expected"));
        }
        if self.take('=') {
            self.segments(true)?;
        } else {
            self.template.segments.push(Segment::One);
        }
        self.expect('}').map_err(|_| format!("has no `}}` after the variable `{field}`"))?;
        let end = self.template.segments.len();
        let to_end = self.template.segments[end - 1] == Segment::Rest;
        self.template.variables.push(Variable { field, start, end, to_end });
        Ok(())
    }

    fn literal(&mut self) -> &'a str {
        self.until(&['/', ':', '{', '}', '*', '='])
    }

    fn until(&mut self, ends: &[char]) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), ()> {
        if self.take(wanted) { Ok(()) } else { Err(()) }
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a template became, in one line.
    fn shape(text: &str) -> String {
        match Template::parse(text) {
            Ok(template) => format!("{template:?}"),
            Err(problem) => problem,
        }
    }

    #[test]
    fn every_form_of_the_grammar_is_understood() {
        let template = Template::parse("/v1/{a.b=shelves/*}/x/{rest=**}:cancel").unwrap();
        assert_eq!(
            template.segments,
            [
                Segment::Literal("v1".into()),
                Segment::Literal("shelves".into()),
                Segment::One,
                Segment::Literal("x".into()),
                Segment::Rest
            ]
        );
        let [shelf, rest] = &*template.variables else { panic!("two variables: {template:?}") };
        assert_eq!((&*shelf.field, shelf.start, shelf.end, shelf.to_end), ("a.b", 1, 3, false));
        assert_eq!((&*rest.field, rest.start, rest.end, rest.to_end), ("rest", 4, 5, true));
        assert_eq!(template.verb.as_deref(), Some("cancel"));
        assert_eq!(shape("/v1/{id}"), shape("/v1/{id=*}"));
    }

    #[test]
    fn what_the_grammar_does_not_have_is_refused_with_a_reason() {
        for (text, problem) in [
            ("", "does not start with `/`"),
            ("v1", "does not start with `/`"),
            ("/", "has an empty segment"),
            ("/v1//x", "has an empty segment"),
            ("/v1/", "has an empty segment"),
            ("/v1/{id", "has no `}` after the variable `id`"),
            ("/v1/{}", "has `` where a field was expected"),
            ("/v1/{1a}", "has `1a` where a field was expected"),
            ("/v1/{a={b}}", "has a variable within a variable"),
            ("/v1/**/x", "has `**` before its last segment"),
            ("/v1/{a}/{a}", "has the variable `a` twice"),
            ("/v1:", "has `:` without a verb after it"),
            ("/v1/a*", "has `*` where `/`, `:` or the end was expected"),
            ("/v1/%FF", "has `%FF`, which is not UTF-8"),
        ] {
            assert_eq!(shape(text), problem, "{text}");
        }
    }
}
