//! A text in pieces: words, numbers, texts in quotes and signs.

use super::Mistake;

/// A piece of an expression and where it starts and ends, in bytes.
#[derive(Debug)]
pub(super) struct Piece<'t> {
    pub(super) token: Token<'t>,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// Letters, digits and `_`: a keyword, an attribute or a function.
    Word(&'t str),
    /// Digits alone.
    Number(&'t str),
    /// A text in quotes, the quotes taken off.
    Text(String),
    Sign(&'static str),
}

/// The longer signs stand before those that they start with.
const SIGNS: [&str; 15] =
    ["<=", "<>", "<", ">=", ">", "!=", "=", "(", ")", ",", "+", "-", "*", "/", "%"];

/// Cuts an expression into pieces.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, Mistake> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let start = text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(pieces) };
        let (token, after) = if is_word(first) {
            word(rest)
        } else if first == '\'' || first == '"' {
            quoted(rest, first).ok_or_else(|| {
                Mistake::new(text, start, format!("this text has no end; write a closing {first}"))
            })?
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            (Token::Sign(sign), rest.strip_prefix(sign).unwrap_or(rest))
        } else {
            return Err(Mistake::new(text, start, unknown(first)));
        };
        pieces.push(Piece { token, start, end: text.len() - after.len() });
        rest = after;
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn word(rest: &str) -> (Token<'_>, &str) {
    let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(length);
    let digits = word.bytes().all(|b| b.is_ascii_digit());
    (if digits { Token::Number(word) } else { Token::Word(word) }, after)
}

/// A backslash keeps the next character from ending the text. It is taken off a quote of the kind
/// that the text stands in, and stays everywhere else (section 2.2), as LIKE needs it.
fn quoted(rest: &str, quote: char) -> Option<(Token<'_>, &str)> {
    let mut text = String::new();
    let mut chars = rest.chars();
    chars.next();
    loop {
        match chars.next()? {
            '\\' => {
                let next = chars.next()?;
                if next != quote {
                    text.push('\\');
                }
                text.push(next);
            }
            c if c == quote => return Some((Token::Text(text), chars.as_str())),
            c => text.push(c),
        }
    }
}

fn unknown(c: char) -> String {
    let instead = match c {
        '&' => "write AND",
        '|' => "write OR",
        '!' => "write NOT, or != between two values",
        '.' => "write a text in quotes",
        '`' | '‘' | '’' | '“' | '”' => "write a straight quote, ' or \"",
        _ => "write names, numbers, texts in quotes and operators",
    };
    format!("{c:?} is not part of the language; {instead}")
}
