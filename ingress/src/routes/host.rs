//! Hosts, as a route names them and as a request asks for them.

use std::{
    borrow::Cow,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// The longest name that DNS knows. Longer ones are not looked up.
const NAME_BYTES_MAX: usize = 253;

/// A host, exact or `*.suffix`. The wildcard stands for one label or more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    wildcard: bool,
    /// In lower case; without the `*.` of a wildcard; an IPv6 address in brackets.
    name: Box<str>,
}

impl Host {
    /// The whole name, or what has to stand behind the wildcard's labels.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it stands for all hosts below its name.
    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether a host, as [`asked`] gives it, is this one.
    pub(super) fn fits(&self, asked: &str) -> bool {
        if self.wildcard {
            below(asked, self.name.len()).is_some_and(|suffix| suffix == &*self.name)
        } else {
            asked == &*self.name
        }
    }
}

/// The host that a request asks for, without its port and in the form of [`Host`]: borrowed unless
/// it has capitals or is an IPv6 address; none if it cannot be the name of a host.
pub(super) fn asked(host: &str) -> Option<Cow<'_, str>> {
    if let Some(inside) = host.strip_prefix('[') {
        let (address, after) = inside.split_once(']')?;
        let port_or_nothing = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        let address: Ipv6Addr = address.parse().ok()?;
        return port_or_nothing.then(|| Cow::Owned(format!("[{address}]")));
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return None,
        None => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        None
    } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some(Cow::Owned(name.to_ascii_lowercase()))
    } else {
        Some(Cow::Borrowed(name))
    }
}

/// The last `length` bytes of a host, if a dot and something before it precede them.
pub(super) fn below(host: &str, length: usize) -> Option<&str> {
    let (labels, suffix) = host.split_at_checked(host.len().checked_sub(length)?)?;
    (labels.len() > 1 && labels.ends_with('.')).then_some(suffix)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Err("`*` is every host; leave `hosts` out instead".to_owned());
        }
        if text.contains("://") || text.contains('/') {
            return Err(format!(
                "`{text}` is not a host; write its name alone, as in shop.example.com"
            ));
        }
        if let Some(inside) = text.strip_prefix('[') {
            let address: Ipv6Addr = inside
                .strip_suffix(']')
                .and_then(|address| address.parse().ok())
                .ok_or_else(|| format!("`{text}` is not an IPv6 address; write it as in [::1]"))?;
            return Ok(Self { wildcard: false, name: format!("[{address}]").into() });
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(format!("an IPv6 address stands in brackets; write [{text}]"));
        }
        if let Some((name, _)) = text.split_once(':') {
            return Err(format!("a host has no port here; write {name}, and ports under `listen`"));
        }
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        check_name(text, &name, wildcard)?;
        Ok(Self { wildcard, name: name.into() })
    }
}

/// Checks the name of a host, which `text` wrote.
fn check_name(text: &str, name: &str, wildcard: bool) -> Result<(), String> {
    if name.contains('*') {
        return Err(format!(
            "`{text}` has a `*` where none can be; it may only be the first label, as in *.example.com"
        ));
    }
    if !name.is_ascii() {
        return Err(format!("`{text}` is not in ASCII; write it as it is in DNS, with xn--"));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(label) {
        return Err(format!(
            "`{text}` is not a host; write labels of letters, digits and -, as in shop.example.com"
        ));
    }
    // A name whose last label is a number is read as an IPv4 address everywhere.
    let number = name.rsplit('.').next().is_some_and(is_port);
    if number && (wildcard || name.parse::<Ipv4Addr>().is_err()) {
        return Err(format!("`{text}` is not an IPv4 address; write it as in 192.0.2.1"));
    }
    Ok(())
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            out.write_str("*.")?;
        }
        out.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_prints_as_it_is_compared() {
        for (written, printed) in [
            ("shop.example.com", "shop.example.com"),
            ("Shop.Example.COM.", "shop.example.com"),
            ("*.Example.com", "*.example.com"),
            ("localhost", "localhost"),
            ("my_service", "my_service"),
            ("192.0.2.1", "192.0.2.1"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("*.localhost", "*.localhost"),
        ] {
            assert_eq!(written.parse::<Host>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_what_to_write() {
        for (written, hint) in [
            ("", "is not a host"),
            ("*", "leave `hosts` out"),
            ("a.com:80", "write a.com, and ports under `listen`"),
            ("https://a.com", "write its name alone"),
            ("a.com/x", "write its name alone"),
            ("a.*.com", "only be the first label"),
            ("*a.com", "only be the first label"),
            ("*.*.com", "only be the first label"),
            ("*.", "is not a host"),
            ("a..com", "is not a host"),
            ("a com", "is not a host"),
            ("bücher.de", "xn--"),
            ("::1", "write [::1]"),
            ("[::1", "IPv6"),
            ("[::1]:80", "IPv6"),
            ("1.2.3", "IPv4"),
            ("256.1.1.1", "IPv4"),
            ("*.0.0.1", "IPv4"),
        ] {
            let error = written.parse::<Host>().unwrap_err();
            assert!(error.contains(hint), "{written}: {error}");
        }
        assert!("a".repeat(64).parse::<Host>().is_err());
        assert!(["a"; 128].join(".").parse::<Host>().is_err());
    }

    #[test]
    fn a_request_may_write_its_host_in_many_ways() {
        for (came, read) in [
            ("shop.example.com", Some("shop.example.com")),
            ("SHOP.example.COM:8443", Some("shop.example.com")),
            ("shop.example.com.", Some("shop.example.com")),
            ("shop.example.com.:80", Some("shop.example.com")),
            ("shop.example.com:", Some("shop.example.com")),
            ("[::1]", Some("[::1]")),
            ("[0:0::1]:8080", Some("[::1]")),
            ("[2001:DB8::1]:1", Some("[2001:db8::1]")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("", None),
            (".", None),
            (":80", None),
            ("a:b", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[x]", None),
        ] {
            assert_eq!(asked(came).as_deref(), read, "{came}");
        }
        assert_eq!(asked(&"a.".repeat(200)), None);
        assert!(matches!(asked("a.b:80"), Some(Cow::Borrowed("a.b"))));
    }

    #[test]
    fn a_wildcard_stands_for_one_label_or_more() {
        let host: Host = "*.example.com".parse().unwrap();
        for (asked, fits) in [
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            (".example.com", false),
            ("aexample.com", false),
            ("a.example.org", false),
            ("com", false),
        ] {
            assert_eq!(host.fits(asked), fits, "{asked}");
        }
    }
}
