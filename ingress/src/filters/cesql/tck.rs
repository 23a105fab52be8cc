//! The conformance suite of CESQL, as the CloudEvents project publishes it. It is no
//! part of this repository: `GUSSET_VECTORS` names the folder that holds `cesql-tck`. Without it the
//! test says so and returns.

use std::{env, fs, path::PathBuf};

use schemas::{Attributes, event};

use super::{EvaluationError, Expression, Value};
use crate::filters::yaml::Yaml;

/// The event of a case. Some are no valid CloudEvents, and the suite wants a value all the same.
fn attributes(case: &Yaml) -> Attributes {
    let mut attributes = Attributes::default();
    if case.get("event").is_none() {
        attributes.id = "1".to_owned();
        attributes.source = "/tck".to_owned();
        attributes.kind = "com.acme.tck".to_owned();
    }
    for given in [case.get("event"), case.get("eventOverrides")].into_iter().flatten() {
        let Yaml::Map(given) = given else { panic!("not a map: {given:?}") };
        for (name, value) in given {
            let text = || value.text().to_owned();
            match name.as_str() {
                "specversion" => assert_eq!(value.text(), "1.0"),
                "id" => attributes.id = text(),
                "source" => attributes.source = text(),
                "type" => attributes.kind = text(),
                "subject" => attributes.subject = Some(text()),
                "time" => attributes.time = Some(text()),
                "datacontenttype" => attributes.datacontenttype = Some(text()),
                "dataschema" => attributes.dataschema = Some(text()),
                name => attributes.extensions.push((name.to_owned(), value.typed())),
            }
        }
    }
    attributes
}

fn kind(error: &EvaluationError) -> &'static str {
    match error {
        EvaluationError::Math(_) => "math",
        EvaluationError::Cast(_) => "cast",
        EvaluationError::MissingAttribute(_) => "missingAttribute",
        EvaluationError::MissingFunction { .. } => "missingFunction",
        EvaluationError::FunctionEvaluation(_) => "functionEvaluation",
    }
}

/// What a case got wrong, if anything. Every error must be of the kind that it wants.
fn wrong(case: &Yaml) -> Option<String> {
    let wanted_error = case.get("error").map(Yaml::text);
    let expression: Expression = match case.get("expression").unwrap().text().parse() {
        Ok(expression) => expression,
        Err(_) if wanted_error == Some("parse") => return None,
        Err(mistake) => return Some(mistake.to_string()),
    };
    let attributes = attributes(case);
    let evaluated = expression.evaluate(&attributes);
    let value = match &evaluated.value {
        Value::Text(text) => event::Value::String(text.clone().into_owned()),
        Value::Integer(number) => event::Value::Integer(*number),
        Value::Boolean(truth) => event::Value::Boolean(*truth),
    };
    let errors: Vec<_> = evaluated.errors.iter().map(kind).collect();
    let right_errors = match wanted_error {
        None => errors.is_empty(),
        Some(wanted) => !errors.is_empty() && errors.iter().all(|found| *found == wanted),
    };
    let right_value = case.get("result").is_none_or(|wanted| wanted.typed() == value);
    (!right_errors || !right_value).then(|| format!("{evaluated:?}"))
}

#[test]
fn every_case_of_the_conformance_suite_passes() {
    let Some(folder) = env::var_os("GUSSET_VECTORS").map(PathBuf::from) else {
        println!("skipped: set GUSSET_VECTORS");
        return;
    };
    let folder = folder.join("cesql-tck");
    let mut cases = 0;
    let mut failures = Vec::new();
    for file in fs::read_dir(&folder).expect("GUSSET_VECTORS has a folder cesql-tck") {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let suite = Yaml::parse(&text);
        let Some(Yaml::List(tests)) = suite.get("tests") else { panic!("{}", path.display()) };
        for case in tests {
            cases += 1;
            if let Some(found) = wrong(case) {
                failures.push(format!("{}: {case:?}: {found}", path.display()));
            }
        }
    }
    println!("{} of {cases} cases pass", cases - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(cases >= 275, "only {cases} cases were found");
}
