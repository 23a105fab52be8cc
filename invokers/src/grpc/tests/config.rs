use schemas::units::Size;

use super::*;

#[test]
fn everything_that_is_wrong_is_said_with_its_place() {
    let written = Written {
        endpoints: Some(vec!["http://a".into(), "http://b/base".into(), "c".into()]),
        max_message: Some(Size(0)),
        ..Written::default()
    };
    let wrong =
        Target::build(&"ledger".parse().unwrap(), written, &Catalogs::default()).unwrap_err();
    let places: Vec<_> = wrong.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(places, ["endpoints[2]", "max_message"]);
    let written = Written { url: Some("https://b/base".into()), ..Written::default() };
    let wrong =
        Target::build(&"ledger".parse().unwrap(), written, &Catalogs::default()).unwrap_err();
    assert_eq!(wrong[0].0, "url");
    assert!(wrong[0].1.contains("package.Service/Method"), "{wrong:?}");
}

#[tokio::test]
async fn a_path_that_is_no_method_is_sent_nowhere() {
    let lane = lane(&["http://127.0.0.1:1"]);
    for path in ["/", "/a", "/a/", "//b", "/a/b/c", "/a/b/"] {
        let fault = fault(&lane, call(path, &[])).await;
        assert_eq!(fault.name(), "no_method", "{path}");
    }
}
