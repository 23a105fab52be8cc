//! An expression as a tree. Operators of one rank stand in one flat chain, so that a long list of
//! conditions is wide and not deep, and walking or dropping it cannot exhaust the stack.

use super::{functions::Function, pattern::Pattern};
use crate::filters::attribute::Attribute;

/// An expression or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Text(Box<str>),
    Integer(i32),
    Boolean(bool),
    Attribute(Attribute),
    Exists(Attribute),
    Not(Box<Node>),
    Minus(Box<Node>),
    /// LIKE and IN, each applied to what the one before came to.
    Tested(Box<Node>, Vec<Test>),
    /// Operators of one rank, from left to right.
    Chain(Box<Node>, Vec<(Operator, Node)>),
    /// A call; `function` is none where no function has this name and so many arguments.
    Call {
        name: Box<str>,
        function: Option<Function>,
        arguments: Vec<Node>,
    },
}

/// LIKE or IN, and whether NOT stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) negated: bool,
    pub(super) kind: TestKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TestKind {
    Like(Pattern),
    In(Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    And,
    Or,
    Xor,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// The binary operators by rank, the loosest first (section 3.6).
pub(super) const RANKS: [&[(&str, Operator)]; 4] = [
    &[("AND", Operator::And), ("OR", Operator::Or), ("XOR", Operator::Xor)],
    &[
        ("=", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<>", Operator::NotEqual),
        ("<", Operator::Less),
        ("<=", Operator::LessOrEqual),
        (">", Operator::Greater),
        (">=", Operator::GreaterOrEqual),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];
