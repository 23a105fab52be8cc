//! A tree and an event become a value. An operator casts its operands to the types that it is
//! defined for (section 3.7); what cannot be cast counts as the zero value, and an error is noted.
//!
//! An operator or function with an operand that met an error comes to its own zero value. Section
//! 3.2 says so of missing attributes (`1 / missing` is 0 and no division by zero), and the
//! conformance suite of every error. The errors noted so far are therefore the evaluator's state:
//! more of them after an operand than before it means that the operand failed.

use std::borrow::Cow;

use schemas::Attributes;

use super::{
    Evaluated, EvaluationError, Value,
    tree::{Node, Operator, Test, TestKind},
};
use crate::filters::attribute::{Attribute, Found};

/// Evaluates a whole tree.
pub(super) fn evaluate<'a>(root: &'a Node, event: &'a Attributes) -> Evaluated<'a> {
    let mut evaluation = Evaluation { event, errors: Vec::new() };
    let value = evaluation.value(root);
    Evaluated { value, errors: evaluation.errors }
}

/// An event under evaluation, and the errors so far.
pub(super) struct Evaluation<'a> {
    event: &'a Attributes,
    errors: Vec<EvaluationError>,
}

impl<'a> Evaluation<'a> {
    /// The value of a node; `false` for an attribute that the event lacks.
    pub(super) fn value(&mut self, node: &'a Node) -> Value<'a> {
        match node {
            Node::Text(text) => Value::Text(Cow::Borrowed(text)),
            Node::Integer(number) => Value::Integer(*number),
            Node::Boolean(truth) => Value::Boolean(*truth),
            Node::Attribute(attribute) => self.attribute(attribute),
            Node::Exists(attribute) => Value::Boolean(attribute.find(self.event).is_some()),
            Node::Not(node) => Value::Boolean(self.not(node)),
            Node::Minus(node) => Value::Integer(self.minus(node)),
            Node::Tested(node, tests) => {
                let start = self.mark();
                let first = self.value(node);
                tests.iter().fold(first, |value, test| {
                    Value::Boolean(!self.failed(start) && self.test(&value, test))
                })
            }
            Node::Chain(first, rest) => {
                let start = self.mark();
                let first = self.value(first);
                rest.iter().fold(first, |left, (operator, operand)| {
                    self.apply(*operator, start, &left, operand)
                })
            }
            Node::Call { function: Some(function), arguments, .. } => {
                self.call(*function, arguments)
            }
            Node::Call { name, function: None, arguments } => {
                self.error(EvaluationError::MissingFunction {
                    name: name.clone(),
                    arguments: arguments.len(),
                });
                Value::Boolean(false)
            }
        }
    }

    /// A point to look back at with [`Self::failed`].
    pub(super) fn mark(&self) -> usize {
        self.errors.len()
    }

    /// Whether anything has gone wrong since this point.
    pub(super) fn failed(&self, since: usize) -> bool {
        self.errors.len() > since
    }

    pub(super) fn error(&mut self, error: EvaluationError) {
        self.errors.push(error);
    }

    fn attribute(&mut self, attribute: &Attribute) -> Value<'a> {
        match attribute.find(self.event) {
            Some(Found::Text(text)) => Value::Text(Cow::Borrowed(text)),
            Some(Found::Integer(number)) => Value::Integer(number),
            Some(Found::Boolean(truth)) => Value::Boolean(truth),
            None => {
                self.error(EvaluationError::MissingAttribute(attribute.to_string().into()));
                Value::Boolean(false)
            }
        }
    }

    fn not(&mut self, node: &'a Node) -> bool {
        let start = self.mark();
        let value = self.value(node);
        if self.failed(start) {
            return false;
        }
        // The prose would cast an integer here as everywhere; the conformance suite wants the
        // error for NOT alone.
        if matches!(value, Value::Integer(_)) {
            self.error(EvaluationError::Cast("a boolean"));
            return true;
        }
        !self.boolean(&value)
    }

    fn minus(&mut self, node: &'a Node) -> i32 {
        let start = self.mark();
        let value = self.value(node);
        if self.failed(start) {
            return 0;
        }
        let result = fitting(self.integer(&value).checked_neg());
        self.or_zero(result)
    }

    fn test(&mut self, value: &Value<'a>, test: &'a Test) -> bool {
        let holds = match &test.kind {
            TestKind::Like(pattern) => Some(pattern.fits(&value.text())),
            TestKind::In(set) => self.contains(value, set),
        };
        holds.is_some_and(|holds| holds != test.negated)
    }

    /// Looks from left to right for an element that is equal, and no further than that. None: an
    /// element on the way failed.
    fn contains(&mut self, value: &Value<'a>, set: &'a [Node]) -> Option<bool> {
        for element in set {
            let start = self.mark();
            let element = self.value(element);
            if self.failed(start) {
                return None;
            }
            if self.equal(&element, value) {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Joins what stands left of an operator, evaluated since `start`, with the operand right of
    /// it.
    fn apply(
        &mut self,
        operator: Operator,
        start: usize,
        left: &Value<'a>,
        operand: &'a Node,
    ) -> Value<'a> {
        match operator {
            Operator::And => self.either(start, left, operand, false),
            Operator::Or => self.either(start, left, operand, true),
            Operator::Xor => {
                self.truth(start, left, operand, |on, l, r| on.boolean(l) != on.boolean(r))
            }
            Operator::Equal => self.truth(start, left, operand, Self::equal),
            Operator::NotEqual => self.truth(start, left, operand, |on, l, r| !on.equal(l, r)),
            Operator::Less => {
                self.truth(start, left, operand, |on, l, r| on.integer(l) < on.integer(r))
            }
            Operator::LessOrEqual => {
                self.truth(start, left, operand, |on, l, r| on.integer(l) <= on.integer(r))
            }
            Operator::Greater => {
                self.truth(start, left, operand, |on, l, r| on.integer(l) > on.integer(r))
            }
            Operator::GreaterOrEqual => {
                self.truth(start, left, operand, |on, l, r| on.integer(l) >= on.integer(r))
            }
            Operator::Add => self.number(start, left, operand, |l, r| fitting(l.checked_add(r))),
            Operator::Subtract => {
                self.number(start, left, operand, |l, r| fitting(l.checked_sub(r)))
            }
            Operator::Multiply => {
                self.number(start, left, operand, |l, r| fitting(l.checked_mul(r)))
            }
            Operator::Divide => {
                self.number(start, left, operand, |l, r| fitting(l.checked_div(divisor(r)?)))
            }
            // The smallest number leaves nothing when divided by -1, though its quotient overflows.
            Operator::Remainder => {
                self.number(start, left, operand, |l, r| Ok(l.wrapping_rem(divisor(r)?)))
            }
        }
    }

    /// AND and OR: `decided` is the left side's value that leaves the right side unread.
    fn either(
        &mut self,
        start: usize,
        left: &Value<'a>,
        operand: &'a Node,
        decided: bool,
    ) -> Value<'a> {
        if self.failed(start) {
            return Value::Boolean(false);
        }
        if self.boolean(left) == decided {
            return Value::Boolean(decided);
        }
        let start = self.mark();
        let right = self.value(operand);
        Value::Boolean(!self.failed(start) && self.boolean(&right))
    }

    fn truth(
        &mut self,
        start: usize,
        left: &Value<'a>,
        operand: &'a Node,
        holds: fn(&mut Self, &Value<'a>, &Value<'a>) -> bool,
    ) -> Value<'a> {
        let right = self.value(operand);
        Value::Boolean(!self.failed(start) && holds(self, left, &right))
    }

    fn number(
        &mut self,
        start: usize,
        left: &Value<'a>,
        operand: &'a Node,
        count: fn(i32, i32) -> Result<i32, EvaluationError>,
    ) -> Value<'a> {
        let right = self.value(operand);
        if self.failed(start) {
            return Value::Integer(0);
        }
        let result = count(self.integer(left), self.integer(&right));
        Value::Integer(self.or_zero(result))
    }

    fn or_zero(&mut self, result: Result<i32, EvaluationError>) -> i32 {
        result.unwrap_or_else(|error| {
            self.error(error);
            0
        })
    }

    /// Equality in the type of the second value, to which the first is cast.
    fn equal(&mut self, cast: &Value<'a>, to: &Value<'a>) -> bool {
        match to {
            Value::Text(text) => cast.text() == *text,
            Value::Integer(number) => self.integer(cast) == *number,
            Value::Boolean(truth) => self.boolean(cast) == *truth,
        }
    }

    pub(super) fn integer(&mut self, value: &Value<'a>) -> i32 {
        match value {
            Value::Integer(number) => *number,
            Value::Boolean(truth) => i32::from(*truth),
            // `parse` reads what section 3.7 describes: an optional sign, then digits.
            Value::Text(text) => text.parse().unwrap_or_else(|_| {
                self.error(EvaluationError::Cast("an integer of 32 bits"));
                0
            }),
        }
    }

    pub(super) fn boolean(&mut self, value: &Value<'a>) -> bool {
        match value {
            Value::Boolean(truth) => *truth,
            Value::Integer(number) => *number != 0,
            Value::Text(text) if text.eq_ignore_ascii_case("true") => true,
            Value::Text(text) if text.eq_ignore_ascii_case("false") => false,
            Value::Text(_) => {
                self.error(EvaluationError::Cast("a boolean"));
                false
            }
        }
    }
}

impl<'a> Value<'a> {
    /// The value as a string, which every value can be.
    pub(super) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
        }
    }
}

fn fitting(result: Option<i32>) -> Result<i32, EvaluationError> {
    result.ok_or(EvaluationError::Math("a result does not fit 32 bits"))
}

fn divisor(number: i32) -> Result<i32, EvaluationError> {
    if number == 0 { Err(EvaluationError::Math("a division by zero")) } else { Ok(number) }
}
