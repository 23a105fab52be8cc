//! The target of the request that one endpoint gets.

use std::borrow::Cow;

use http::Uri;
use schemas::{Class, Fault};

/// Bytes of a path together with the endpoint's own.
const PATH_BYTES_MAX: usize = 65_534;

/// What stands behind the endpoint's own path: path and query in origin form.
pub(crate) fn path<'u>(uri: &'u Uri, base: &str) -> Result<Cow<'u, str>, Fault> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if base.len() + path.len() > PATH_BYTES_MAX {
        let what = "the path is too long together with the upstream's own";
        return Err(Fault::new(Class::UriTooLong, what));
    }
    Ok(match path {
        // `*` (OPTIONS) speaks of the whole server, so here of the service.
        "*" if !base.is_empty() => Cow::Borrowed(""),
        // An empty path is `/`.
        path if path.starts_with('?') => Cow::Owned(format!("/{path}")),
        path => Cow::Borrowed(path),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, base: &str, expected: &str) {
        let uri = uri.parse().unwrap();
        assert_eq!(format!("{base}{}", path(&uri, base).unwrap()), expected);
    }

    #[test]
    fn a_target_in_origin_form_is_used_as_it_is() {
        check("/a/b?c=d", "", "/a/b?c=d");
        check("/", "", "/");
        check("*", "", "*");
    }

    #[test]
    fn the_endpoints_path_goes_in_front_and_nothing_is_decoded() {
        check("/a%2Fb//c?d=%20", "/base", "/base/a%2Fb//c?d=%20");
        check("/", "/base", "/base/");
        check("*", "/base", "/base");
    }

    #[test]
    fn scheme_and_authority_are_left_out() {
        check("http://other/a?b", "", "/a?b");
        check("http://other", "", "/");
        check("http://other?b", "/base", "/base/?b");
    }

    #[test]
    fn a_target_that_is_too_long_with_its_base_is_refused() {
        let uri = format!("/{}", "a".repeat(65_000)).parse().unwrap();
        let fault = path(&uri, &"/b".repeat(500)).unwrap_err();
        assert_eq!(fault.class, Class::UriTooLong);
    }
}
