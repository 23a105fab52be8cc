//! `gusset explain`: what would become of a request, and why.

use admin::{
    data::Data,
    explain::{Asked, question},
};
use http::Method;
use serde_json::Value;

use crate::{
    cli::{
        Done, Stop,
        arguments::{self, Format, Header, Source},
        print,
    },
    client::{Admin, block_on},
    files,
};

const EXAMPLES: &str = "\
Examples:
  gusset explain GET /shop/cart
  gusset explain POST http://shop.example.com/orders/7 -d @order.json
  gusset explain POST /events -H 'ce-id: 1' -H 'ce-source: /s' -H 'ce-type: com.acme.order.made' \\
      -H 'ce-specversion: 1.0'
  gusset explain GET / -c gateway.yaml -o json           of a file, without a gateway

Nothing is sent anywhere. It says which route serves the request and why, why the others do not,
where each value of the policy comes from, and the call that would be made, secrets hidden. Exit
code 0: it would be served; 1: it would be refused.";

/// Explain what would become of a request
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The request's method
    method: String,
    /// Its URL, or path and query alone
    url: String,
    /// A header, 'name: value'; may be repeated
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<Header>,
    /// The body: a text, @FILE, or - for standard input
    #[arg(short, long, value_name = "TEXT|@FILE|-")]
    data: Option<String>,
    /// The listener on which it arrives [default: the first]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    source: Source,
}

/// Asks, and prints what would become of it.
pub(crate) fn run(args: &Args) -> Done {
    let asked = args.asked()?;
    let explained: Value = match &args.source.config {
        Some(path) => {
            let (loaded, _) = files::load_any(path)?;
            let question = question(&asked).map_err(|problem| Stop::unusable(problem.detail()))?;
            serde_json::to_value(ingress::explain::explain(&loaded.table, question))
                .map_err(|error| Stop::failed(error.to_string()))?
        }
        None => {
            let body =
                serde_json::to_vec(&asked).map_err(|error| Stop::failed(error.to_string()))?;
            let admin = Admin::new(&args.source.admin)?;
            block_on(admin.ask(Method::POST, "/api/v1/explain", body.into()))??.document()?
        }
    };
    print::line(&match args.output {
        Format::Json => format!("{explained:#}"),
        Format::Text => in_words(&asked, &explained),
    })?;
    let served = explained["refused"].is_null()
        && explained["calls"].as_array().is_none_or(|calls| {
            calls.is_empty() || calls.iter().any(|call| call["refused"].is_null())
        });
    if served { Ok(()) } else { Err(Stop::Said(1)) }
}

impl Args {
    fn asked(&self) -> Result<Asked, Stop> {
        let data = self.data.as_deref().map(arguments::data).transpose()?;
        let Data { data, data_base64 } = Data::from(data.as_deref().unwrap_or_default());
        let headers = self.headers.iter().map(|Header(name, value)| (name.clone(), value.clone()));
        Ok(Asked {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: headers.collect(),
            data,
            data_base64,
            listener: self.listener.clone(),
        })
    }
}

/// The account for people. It is made of the document, so that a gateway of another version can
/// say more without being misunderstood.
fn in_words(asked: &Asked, explained: &Value) -> String {
    let mut lines = vec![format!("{} {}", asked.method, asked.url)];
    match (explained["route"].as_str(), explained["place"].as_str()) {
        (Some(route), place) => {
            lines.push(format!("  is served by `{route}`, written at {}", place.unwrap_or("?")));
        }
        (None, _) => lines.push("  is served by no route".to_owned()),
    }
    if !explained["refused"].is_null() {
        lines.push(format!("  refused with {}", refusal(&explained["refused"])));
    }
    if let Some(action) = explained["action"].as_str().filter(|action| *action != "forward") {
        lines.push(format!("  and answered here: {action}"));
    }
    section(&mut lines, "routes", routes(&explained["matching"]));
    section(&mut lines, "policy", policy(&explained["policy"]));
    for call in explained["calls"].as_array().into_iter().flatten() {
        let title = format!("call of {}", text(&call["address"]));
        section(&mut lines, &title, self::call(call));
        let title = format!("guards of {}", text(&call["address"]));
        section(&mut lines, &title, policy(&call["guards"]));
    }
    lines.join("\n")
}

/// A headline and pairs below it, lined up.
fn section(lines: &mut Vec<String>, title: &str, pairs: Vec<(String, String)>) {
    if pairs.is_empty() {
        return;
    }
    lines.push(format!("\n{title}"));
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    lines.extend(pairs.iter().map(|(name, said)| format!("  {name:<width$}  {said}")));
}

fn routes(matching: &Value) -> Vec<(String, String)> {
    let all = matching["routes"].as_array().into_iter().flatten();
    all.map(|route| {
        let mark = if route["chosen"] == true { "→" } else { " " };
        (format!("{mark} {}", text(&route["route"])), text(&route["why"]))
    })
    .collect()
}

fn policy(policy: &Value) -> Vec<(String, String)> {
    let leaves: Vec<_> = policy.as_object().into_iter().flatten().collect();
    let values: Vec<String> = leaves.iter().map(|(_, leaf)| text(&leaf["value"])).collect();
    let width = values.iter().map(|value| value.chars().count()).max().unwrap_or(0);
    leaves
        .iter()
        .zip(&values)
        .map(|((name, leaf), value)| {
            ((*name).clone(), format!("{value:<width$}  from {}", text(&leaf["from"])))
        })
        .collect()
}

fn call(call: &Value) -> Vec<(String, String)> {
    let mut pairs = vec![("kind".to_owned(), text(&call["kind"]))];
    if !call["refused"].is_null() {
        pairs.push(("refused with".to_owned(), refusal(&call["refused"])));
        return pairs;
    }
    let mut put = |name: &str, value: &Value| {
        if !value.is_null() {
            pairs.push((name.to_owned(), text(value)));
        }
    };
    put("request", &call["request"]);
    put("function", &call["function"]);
    put("format", &call["format"]);
    put("answers", &call["ack"]);
    put("weight", &call["weight"]);
    if let Some(within) = call["deadline_ms"].as_u64() {
        pairs.push(("within".to_owned(), format!("{within} ms")));
    }
    for (name, value) in call["event"].as_object().into_iter().flatten() {
        pairs.push((format!("event {name}"), text(value)));
    }
    for header in call["headers"].as_array().into_iter().flatten() {
        pairs.push((format!("header {}", text(&header[0])), text(&header[1])));
    }
    pairs
}

fn refusal(refused: &Value) -> String {
    format!("{} {}: {}", refused["status"], text(&refused["code"]), text(&refused["detail"]))
}

/// A value without the quotes of JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_names_the_route_the_losers_the_policy_and_the_call() {
        let asked = Asked { method: "POST".into(), url: "/x".into(), ..Asked::default() };
        let explained = json!({
            "route": "a", "place": "g.yaml:3:5", "action": "forward",
            "matching": {"routes": [
                {"route": "a", "chosen": true, "why": "path /x"},
                {"route": "other", "chosen": false, "why": "path /x does not fit /y"},
            ]},
            "policy": {
                "retry.on": {"value": ["connect", 503], "from": "policies.p"},
                "timeout": {"value": "15s", "from": "built in"},
            },
            "calls": [{
                "address": "bus/{event.type}", "kind": "nats", "function": "a.b", "weight": 1,
                "ack": "published", "format": "binary", "deadline_ms": 15000,
                "event": {"id": "1"}, "headers": [["authorization", "(hidden)"]],
                "guards": {"breaker.open": {"value": "5s", "from": "upstreams.bus"}},
            }],
        });
        assert_eq!(
            in_words(&asked, &explained),
            "\
POST /x
  is served by `a`, written at g.yaml:3:5

routes
  → a      path /x
    other  path /x does not fit /y

policy
  retry.on  [connect, 503]  from policies.p
  timeout   15s             from built in

call of bus/{event.type}
  kind                  nats
  function              a.b
  format                binary
  answers               published
  weight                1
  within                15000 ms
  event id              1
  header authorization  (hidden)

guards of bus/{event.type}
  breaker.open  5s  from upstreams.bus"
        );
    }

    #[test]
    fn a_refusal_is_said_with_its_status() {
        let asked = Asked { method: "GET".into(), url: "/x".into(), ..Asked::default() };
        let explained = json!({
            "matching": {"routes": []}, "policy": {}, "calls": [],
            "refused": {"status": 404, "code": "no_route", "detail": "no route serves this"},
        });
        assert_eq!(
            in_words(&asked, &explained),
            "GET /x\n  is served by no route\n  refused with 404 no_route: no route serves this"
        );
    }
}
