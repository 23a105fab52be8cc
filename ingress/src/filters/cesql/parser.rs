//! Pieces become a tree, by recursive descent: an operand is a value with prefixes before it and
//! LIKE and IN behind it; operands join in chains, one rank of operators after the other.
//!
//! Two places where the specification's prose and its grammar file disagree are read by the prose.
//! A sign belongs to a number only where a value may start, so `4 -1` is a subtraction. AND, OR
//! and XOR have one rank and go from left to right; as the grammar file says from right to left, a
//! filter that mixes them is refused ([`super::Expression::for_filter`]).

use super::{
    EXPRESSION_BYTES_MAX, Mistake,
    functions::{self, Function},
    lexer::{Piece, Token, pieces},
    pattern::Pattern,
    tree::{Node, Operator, RANKS, Test, TestKind},
};
use crate::filters::attribute::Attribute;

/// How deep parentheses, prefixes, sets and calls may stand in each other. Parsing recurses.
pub(super) const DEPTH_MAX: usize = 64;

const KEYWORDS: [&str; 9] = ["AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"];

/// Parses an expression; beside it stands what the language allows and yet cannot be meant.
pub(super) fn parse(text: &str) -> Result<(Node, Option<Mistake>), Mistake> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(Mistake::new(
            text,
            0,
            format!(
                "the expression is longer than {EXPRESSION_BYTES_MAX} bytes; \
                 write several in `all` or `any`"
            ),
        ));
    }
    let mut parser = Parser { text, pieces: pieces(text)?, next: 0, depth: 0, doubt: None };
    let root = parser.expression()?;
    match parser.peek() {
        None => Ok((root, parser.doubt)),
        Some(Token::Text(_)) => Err(parser.mistake(
            "an operator is missing before this text; a quote inside a text is written with a \
             backslash before it",
        )),
        Some(_) => Err(parser.mistake("the expression has ended before this; write an operator")),
    }
}

struct Parser<'t> {
    text: &'t str,
    pieces: Vec<Piece<'t>>,
    next: usize,
    depth: usize,
    doubt: Option<Mistake>,
}

impl<'t> Parser<'t> {
    /// A whole expression, at the top or inside something.
    fn expression(&mut self) -> Result<Node, Mistake> {
        self.deeper(|parser| parser.chain(0))
    }

    /// Operands joined by the operators of one rank or a tighter one.
    fn chain(&mut self, rank: usize) -> Result<Node, Mistake> {
        let Some(operators) = RANKS.get(rank) else { return self.operand() };
        let first = self.chain(rank + 1)?;
        let mut rest: Vec<(Operator, Node)> = Vec::new();
        while let Some(operator) = self.operator(operators) {
            if rank == 0 && rest.last().is_some_and(|(before, _)| *before != operator) {
                self.doubt(
                    "two of AND, OR and XOR side by side; \
                     write parentheses to say which comes first",
                );
            }
            self.next += 1;
            rest.push((operator, self.chain(rank + 1)?));
        }
        Ok(if rest.is_empty() { first } else { Node::Chain(Box::new(first), rest) })
    }

    fn operator(&self, operators: &[(&str, Operator)]) -> Option<Operator> {
        let &(Token::Word(spelling) | Token::Sign(spelling)) = self.peek()? else { return None };
        operators
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(spelling))
            .map(|(_, operator)| *operator)
    }

    /// A value and the LIKE and IN behind it.
    fn operand(&mut self) -> Result<Node, Mistake> {
        let value = self.prefixed()?;
        let mut tests = Vec::new();
        loop {
            let negated = self.keyword("NOT");
            if self.keyword("LIKE") {
                tests.push(Test { negated, kind: TestKind::Like(self.pattern()?) });
            } else if self.keyword("IN") {
                tests.push(Test { negated, kind: TestKind::In(self.set()?) });
            } else if negated {
                return Err(self.mistake("NOT stands before LIKE or IN here; write one of them"));
            } else {
                break;
            }
        }
        Ok(if tests.is_empty() { value } else { Node::Tested(Box::new(value), tests) })
    }

    fn prefixed(&mut self) -> Result<Node, Mistake> {
        if self.keyword("NOT") {
            return Ok(Node::Not(Box::new(self.deeper(Self::prefixed)?)));
        }
        if self.keyword("EXISTS") {
            let attribute = match self.peek() {
                Some(Token::Word(word)) if !is_keyword(word) => self.attribute(word)?,
                _ => return Err(self.mistake("EXISTS takes the name of an attribute; write one")),
            };
            return Ok(Node::Exists(attribute));
        }
        if let Some(sign @ ("-" | "+")) = self.sign() {
            let end = self.pieces.get(self.next).map(|piece| piece.end);
            let behind = self.pieces.get(self.next + 1);
            if let Some(Piece { token: Token::Number(digits), start, .. }) = behind
                && Some(*start) == end
            {
                let written = format!("{sign}{digits}");
                let number = self.integer(&written)?;
                self.next += 2;
                return Ok(Node::Integer(number));
            }
            if sign == "-" {
                self.next += 1;
                return Ok(Node::Minus(Box::new(self.deeper(Self::prefixed)?)));
            }
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Node, Mistake> {
        match self.pieces.get(self.next).map(|piece| &piece.token) {
            Some(Token::Sign("(")) => {
                self.next += 1;
                let inside = self.expression()?;
                self.closing()?;
                Ok(inside)
            }
            Some(Token::Number(digits)) => {
                let number = self.integer(digits)?;
                self.next += 1;
                Ok(Node::Integer(number))
            }
            Some(Token::Text(text)) => {
                let text = text.as_str().into();
                self.next += 1;
                Ok(Node::Text(text))
            }
            Some(&Token::Word(word)) => self.word(word),
            Some(Token::Sign(sign)) => {
                Err(self.mistake(format!("`{sign}` stands where a value is missing; write one")))
            }
            None => Err(self.mistake("a value is missing; write one")),
        }
    }

    fn word(&mut self, word: &'t str) -> Result<Node, Mistake> {
        if word.eq_ignore_ascii_case("TRUE") || word.eq_ignore_ascii_case("FALSE") {
            self.next += 1;
            return Ok(Node::Boolean(word.eq_ignore_ascii_case("TRUE")));
        }
        if is_keyword(word) {
            return Err(
                self.mistake(format!("`{word}` stands where a value is missing; write one"))
            );
        }
        match self.pieces.get(self.next + 1).map(|piece| &piece.token) {
            Some(Token::Sign("(")) => self.call(word),
            _ => Ok(Node::Attribute(self.attribute(word)?)),
        }
    }

    /// Takes the name of an attribute. Names are in lower case, but as keywords may be written in
    /// either, so may these.
    fn attribute(&mut self, word: &str) -> Result<Attribute, Mistake> {
        if word.contains('_') {
            return Err(self.mistake(format!(
                "`{word}` is not the name of an attribute; write letters and digits"
            )));
        }
        let name = word.to_ascii_lowercase();
        if let Err(why) = name.parse::<Attribute>() {
            self.doubt(&why);
        }
        self.next += 1;
        Ok(Attribute::named(&name))
    }

    fn call(&mut self, name: &str) -> Result<Node, Mistake> {
        let letter_first = name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !letter_first || name.contains(|c: char| c.is_ascii_digit()) {
            return Err(self.mistake(format!(
                "`{name}` is not the name of a function; write one of {}",
                functions::names()
            )));
        }
        let place = self.next;
        self.next += 2;
        let mut arguments = Vec::new();
        if self.sign() == Some(")") {
            self.next += 1;
        } else {
            arguments = self.list()?;
        }
        let function = Function::find(name, arguments.len());
        if function.is_none() {
            let start = self.pieces.get(place).map_or(0, |piece| piece.start);
            let why = format!(
                "there is no function `{name}` of {} arguments; write one of {}",
                arguments.len(),
                functions::names()
            );
            self.doubt.get_or_insert_with(|| Mistake::new(self.text, start, why));
        }
        Ok(Node::Call { name: name.into(), function, arguments })
    }

    fn pattern(&mut self) -> Result<Pattern, Mistake> {
        let Some(Token::Text(text)) = self.peek() else {
            return Err(self.mistake("the pattern of LIKE is a text in quotes; write one"));
        };
        let pattern = Pattern::new(text);
        self.next += 1;
        Ok(pattern)
    }

    fn set(&mut self) -> Result<Vec<Node>, Mistake> {
        if self.sign() != Some("(") {
            return Err(self.mistake("IN takes values in parentheses; write (1, 2)"));
        }
        self.next += 1;
        self.list()
    }

    /// One or more expressions and the closing parenthesis.
    fn list(&mut self) -> Result<Vec<Node>, Mistake> {
        let mut list = vec![self.expression()?];
        while self.sign() == Some(",") {
            self.next += 1;
            list.push(self.expression()?);
        }
        self.closing()?;
        Ok(list)
    }

    fn closing(&mut self) -> Result<(), Mistake> {
        if self.sign() != Some(")") {
            return Err(self.mistake("a parenthesis is open; write )"));
        }
        self.next += 1;
        Ok(())
    }

    fn integer(&self, written: &str) -> Result<i32, Mistake> {
        written.parse().map_err(|_| {
            self.mistake(format!(
                "{written} is not an integer of 32 bits; write one from {} to {}",
                i32::MIN,
                i32::MAX
            ))
        })
    }

    fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, Mistake>,
    ) -> Result<T, Mistake> {
        if self.depth == DEPTH_MAX {
            return Err(self.mistake(format!(
                "the expression is more than {DEPTH_MAX} deep here; write a flatter one"
            )));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn peek(&self) -> Option<&Token<'t>> {
        self.pieces.get(self.next).map(|piece| &piece.token)
    }

    fn sign(&self) -> Option<&'static str> {
        match self.peek() {
            Some(Token::Sign(sign)) => Some(sign),
            _ => None,
        }
    }

    /// Takes a keyword if it is next.
    fn keyword(&mut self, keyword: &str) -> bool {
        let found =
            matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.next += usize::from(found);
        found
    }

    /// A mistake at the next piece.
    fn mistake(&self, what: impl Into<String>) -> Mistake {
        let at = self.pieces.get(self.next).map_or(self.text.len(), |piece| piece.start);
        Mistake::new(self.text, at, what)
    }

    /// Notes the first thing, at the next piece, that cannot be meant.
    fn doubt(&mut self, what: &str) {
        if self.doubt.is_none() {
            self.doubt = Some(self.mistake(what));
        }
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}
