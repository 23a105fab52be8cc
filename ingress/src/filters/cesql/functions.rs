//! The built-in functions (section 3.5). Their arguments are cast as an operator's operands are.
//! Places in a text are counted in characters.

use std::borrow::Cow;

use super::{EvaluationError, Value, evaluator::Evaluation, tree::Node};

/// How long a text CONCAT may make. The attributes of an event and an expression that repeats
/// them could fill the memory else.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Length,
    Concat,
    ConcatWs,
    Lower,
    Upper,
    Trim,
    Left,
    Right,
    Substring,
    Abs,
    Int,
    Bool,
    String,
}

/// A function's name, and how few and how many arguments it takes.
const FUNCTIONS: [(&str, usize, usize, Function); 13] = [
    ("LENGTH", 1, 1, Function::Length),
    ("CONCAT", 0, usize::MAX, Function::Concat),
    ("CONCAT_WS", 1, usize::MAX, Function::ConcatWs),
    ("LOWER", 1, 1, Function::Lower),
    ("UPPER", 1, 1, Function::Upper),
    ("TRIM", 1, 1, Function::Trim),
    ("LEFT", 2, 2, Function::Left),
    ("RIGHT", 2, 2, Function::Right),
    ("SUBSTRING", 2, 3, Function::Substring),
    ("ABS", 1, 1, Function::Abs),
    ("INT", 1, 1, Function::Int),
    ("BOOL", 1, 1, Function::Bool),
    ("STRING", 1, 1, Function::String),
];

/// The names of all functions, for an error.
pub(super) fn names() -> String {
    FUNCTIONS.map(|(name, ..)| name).join(", ")
}

impl Function {
    /// The function of this name, in any letter case, that takes so many arguments.
    pub(super) fn find(name: &str, arguments: usize) -> Option<Self> {
        FUNCTIONS
            .into_iter()
            .find(|(known, fewest, most, _)| {
                known.eq_ignore_ascii_case(name) && (*fewest..=*most).contains(&arguments)
            })
            .map(|(.., function)| function)
    }

    /// The zero value of what the function returns.
    fn zero(self) -> Value<'static> {
        match self {
            Self::Length | Self::Abs | Self::Int => Value::Integer(0),
            Self::Bool => Value::Boolean(false),
            Self::Concat
            | Self::ConcatWs
            | Self::Lower
            | Self::Upper
            | Self::Trim
            | Self::Left
            | Self::Right
            | Self::Substring
            | Self::String => Value::Text(Cow::Borrowed("")),
        }
    }
}

impl<'a> Evaluation<'a> {
    /// Calls a function. All arguments are evaluated first, for their errors.
    pub(super) fn call(&mut self, function: Function, arguments: &'a [Node]) -> Value<'a> {
        let start = self.mark();
        let arguments: Vec<_> = arguments.iter().map(|node| self.value(node)).collect();
        if self.failed(start) {
            return function.zero();
        }
        match (function, arguments.as_slice()) {
            (Function::Length, [text]) => Value::Integer(length(&text.text())),
            (Function::Concat, texts) => self.join("", texts),
            (Function::ConcatWs, [between, texts @ ..]) => self.join(&between.text(), texts),
            (Function::Lower, [text]) => Value::Text(text.text().to_lowercase().into()),
            (Function::Upper, [text]) => Value::Text(text.text().to_uppercase().into()),
            (Function::Trim, [text]) => Value::Text(map(text.text(), str::trim)),
            (Function::Left, [text, count]) => match usize::try_from(self.integer(count)) {
                Ok(count) => Value::Text(map(text.text(), |text| before(text, count))),
                Err(_) => self.negative("LEFT: the length is negative", text),
            },
            (Function::Right, [text, count]) => match usize::try_from(self.integer(count)) {
                Ok(count) => Value::Text(map(text.text(), |text| {
                    after(text, text.chars().count().saturating_sub(count))
                })),
                Err(_) => self.negative("RIGHT: the length is negative", text),
            },
            (Function::Substring, [text, start]) => {
                let start = self.integer(start);
                self.substring(text.text(), start, i32::MAX)
            }
            (Function::Substring, [text, start, count]) => {
                let (start, count) = (self.integer(start), self.integer(count));
                self.substring(text.text(), start, count)
            }
            (Function::Abs, [number]) => Value::Integer(self.absolute(number)),
            (Function::Int, [value]) => Value::Integer(self.integer(value)),
            (Function::Bool, [value]) => Value::Boolean(self.boolean(value)),
            (Function::String, [value]) => Value::Text(value.text()),
            // `Function::find` lets no other number of arguments through.
            _ => function.zero(),
        }
    }

    fn join(&mut self, between: &str, values: &[Value<'a>]) -> Value<'a> {
        let mut joined = String::new();
        for (index, value) in values.iter().enumerate() {
            let between = if index == 0 { "" } else { between };
            let text = value.text();
            if joined.len() + between.len() + text.len() > TEXT_BYTES_MAX {
                self.error(EvaluationError::FunctionEvaluation("CONCAT: the text is too long"));
                return Value::Text(Cow::Borrowed(""));
            }
            joined.push_str(between);
            joined.push_str(&text);
        }
        Value::Text(joined.into())
    }

    /// LEFT and RIGHT give the whole text for a length below 0.
    fn negative(&mut self, what: &'static str, text: &Value<'a>) -> Value<'a> {
        self.error(EvaluationError::FunctionEvaluation(what));
        Value::Text(text.text())
    }

    fn substring(&mut self, text: Cow<'a, str>, start: i32, count: i32) -> Value<'a> {
        let length = length(&text);
        let (Ok(count), true) = (usize::try_from(count), (-length..=length).contains(&start))
        else {
            self.error(EvaluationError::FunctionEvaluation(
                "SUBSTRING: the start is outside the text or the length is negative",
            ));
            return Value::Text(Cow::Borrowed(""));
        };
        // From 1 at the front, or from -1 at the back.
        let skipped = if start < 0 { length + start } else { start - 1 };
        match usize::try_from(skipped) {
            Ok(skipped) => Value::Text(map(text, |text| before(after(text, skipped), count))),
            Err(_) => Value::Text(Cow::Borrowed("")),
        }
    }

    fn absolute(&mut self, number: &Value<'a>) -> i32 {
        self.integer(number).checked_abs().unwrap_or_else(|| {
            self.error(EvaluationError::Math("ABS: the result does not fit 32 bits"));
            i32::MAX
        })
    }
}

fn length(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX)
}

/// The first so many characters.
fn before(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(at, _)| text.split_at(at).0)
}

/// All but the first so many characters.
fn after(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or("", |(at, _)| text.split_at(at).1)
}

/// Cuts a text, without a copy if it belongs to the event.
fn map<'a>(text: Cow<'a, str>, cut: impl Fn(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
        Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
    }
}
