//! Filters of the CloudEvents Subscriptions API, and CESQL.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One filter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Filter {}
