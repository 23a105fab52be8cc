//! Methods: how a route's methods fit a request's.

use http::Method;

/// How closely a route looks at the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MethodRank {
    /// It has no condition.
    Any,
    /// The request is HEAD, and the route names GET.
    Implied,
    /// It names the method.
    Named,
}

/// A route's methods in one word, so that matching seldom has to look at the route.
#[derive(Clone, Copy, Debug)]
pub(super) struct MethodSet {
    known: u16,
    any: bool,
    /// Whether it has methods that have no bit.
    others: bool,
}

impl MethodSet {
    /// The set of a route's methods.
    pub(super) fn of(methods: &[Method]) -> Self {
        Self {
            known: methods.iter().filter_map(bit).fold(0, |known, bit| known | bit),
            any: methods.is_empty(),
            others: methods.iter().any(|method| bit(method).is_none()),
        }
    }

    /// As [`MethodRank::of`], where `methods` gives the list that the set was made of.
    pub(super) fn rank<'m>(
        self,
        asked: &Method,
        methods: impl FnOnce() -> &'m [Method],
    ) -> Option<MethodRank> {
        if self.any {
            return Some(MethodRank::Any);
        }
        match bit(asked) {
            Some(bit) if self.known & bit != 0 => Some(MethodRank::Named),
            Some(HEAD) if self.known & GET != 0 => Some(MethodRank::Implied),
            None if self.others => MethodRank::of(methods(), asked),
            Some(_) | None => None,
        }
    }
}

const GET: u16 = 1;
const HEAD: u16 = 2;

fn bit(method: &Method) -> Option<u16> {
    Some(match *method {
        Method::GET => GET,
        Method::HEAD => HEAD,
        Method::POST => 4,
        Method::PUT => 8,
        Method::DELETE => 16,
        Method::PATCH => 32,
        Method::OPTIONS => 64,
        _ => return None,
    })
}

impl MethodRank {
    /// How a route with these methods fits, if it does. HEAD is what GET is, without the body
    /// (RFC 9110, section 9.3.2), so a route for GET serves it where none names it.
    pub(super) fn of(methods: &[Method], asked: &Method) -> Option<Self> {
        if methods.is_empty() {
            Some(Self::Any)
        } else if methods.contains(asked) {
            Some(Self::Named)
        } else if *asked == Method::HEAD && methods.contains(&Method::GET) {
            Some(Self::Implied)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_and_its_list_agree() {
        let names = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "PURGE"];
        let methods: Vec<Method> = names.iter().map(|name| name.parse().unwrap()).collect();
        for mask in 0_usize..1 << methods.len() {
            let some: Vec<Method> = methods
                .iter()
                .enumerate()
                .filter(|(at, _)| mask >> at & 1 == 1)
                .map(|(_, method)| method.clone())
                .collect();
            for asked in &methods {
                let quick = MethodSet::of(&some).rank(asked, || &some);
                assert_eq!(quick, MethodRank::of(&some, asked), "{asked} {some:?}");
            }
        }
    }
}
