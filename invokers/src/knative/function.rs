//! What an address names: a service, a broker or a channel, in a namespace.

use crate::platform::is_label;

/// What kind of thing is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A service, which answers requests.
    Service,
    /// A broker, which takes events for its triggers.
    Broker,
    /// A channel, which takes events for its subscriptions.
    Channel,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function<'f> {
    pub(super) role: Role,
    pub(super) name: &'f str,
    pub(super) namespace: Option<&'f str>,
}

impl Role {
    /// What stands in front of its name.
    fn prefix(self) -> &'static str {
        match self {
            Self::Service => "",
            Self::Broker => "broker:",
            Self::Channel => "channel:",
        }
    }

    /// The role that a function part begins with.
    pub(super) fn of(function: &str) -> Self {
        let begins = |role: &Self| function.starts_with(role.prefix());
        [Self::Broker, Self::Channel].into_iter().find(begins).unwrap_or(Self::Service)
    }
}

impl<'f> Function<'f> {
    /// Reads `name[.namespace]`, `broker:name[.namespace]` or `channel:name[.namespace]`.
    pub(super) fn parse(text: &'f str) -> Option<Self> {
        let role = Role::of(text);
        Self::of(role, text.strip_prefix(role.prefix())?)
    }

    /// Reads `name[.namespace]`.
    pub(super) fn of(role: Role, text: &'f str) -> Option<Self> {
        let (name, namespace) = match text.split_once('.') {
            Some((name, namespace)) => (name, Some(namespace)),
            None => (text, None),
        };
        let good = is_label(name) && namespace.is_none_or(is_label);
        good.then_some(Self { role, name, namespace })
    }

    /// It, as an address names it, with its namespace.
    pub(super) fn full_name(&self, usual: &str) -> String {
        format!("{}{}.{}", self.role.prefix(), self.name, self.namespace.unwrap_or(usual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_part_is_a_role_a_name_and_perhaps_a_namespace() {
        for (text, full) in [
            ("hello", "hello.shop"),
            ("hello.other", "hello.other"),
            ("broker:default", "broker:default.shop"),
            ("channel:orders.other", "channel:orders.other"),
        ] {
            assert_eq!(Function::parse(text).unwrap().full_name("shop"), full);
        }
        for bad in ["", "A", "a.b.c", "broker:", "broker:a/b", "topic:a", "a:b", "../x", "a?b"] {
            assert_eq!(Function::parse(bad), None, "{bad}");
        }
    }
}
