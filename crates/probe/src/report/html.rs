//! One page of one or several runs: no network, nothing beside the file. The data lies in it as JSON; the script draws it.
//!
//! The page's parts are in `html/page/`; this file puts them together.

mod data;

use crate::record::Report;

const PAGE: &str = include_str!("html/page/page.html");
const STYLE: [&str; 2] = [include_str!("html/page/page.css"), include_str!("html/page/charts.css")];
const SCRIPT: [&str; 8] = [
    include_str!("html/page/base.js"),
    include_str!("html/page/data.js"),
    include_str!("html/page/header.js"),
    include_str!("html/page/bars.js"),
    include_str!("html/page/series.js"),
    include_str!("html/page/heat.js"),
    include_str!("html/page/table.js"),
    include_str!("html/page/main.js"),
];

/// The page of `reports`; the first is shown first.
///
/// # Errors
/// Numbers that JSON cannot hold.
pub fn page(reports: &[Report]) -> serde_json::Result<String> {
    let data = serde_json::to_string(&data::Data::of(reports))?;
    // Inside a script element only "<" could end the data.
    let data = data.replace('<', "\\u003c");
    let title = reports.first().map_or_else(String::new, |r| escaped(&r.header.description));
    let parts = [
        ("TITLE", title),
        ("STYLE", STYLE.join("\n")),
        ("DATA", data),
        ("SCRIPT", format!("\"use strict\";\n{}", SCRIPT.join("\n"))),
    ];
    Ok(filled(PAGE, &parts))
}

/// `template` with each `{{NAME}}` replaced; what is put in is not looked at again.
fn filled(template: &str, parts: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out += before;
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        out += parts.iter().find(|(n, _)| *n == name).map_or("", |(_, text)| text);
        rest = after;
    }
    out + rest
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod browser;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::report;

    #[test]
    fn one_file_with_everything_in_it() {
        let mut r = report(1, &[]);
        r.problems[0].title = "</script><b>&\"".to_owned();
        let page = page(&[r, report(2, &[])]).unwrap();
        for foreign in ["http:", "https:", "<link", "@import", "url(\"", "url(h", "src=", "{{"] {
            let allowed = if foreign == "http:" { page.matches("http://www.w3.org/").count() } else { 0 };
            assert_eq!(page.matches(foreign).count(), allowed, "{foreign}");
        }
        assert_eq!(page.matches("</script>").count(), page.matches("<script").count());
        assert!(!page.contains("<b>&\""));
    }

    #[test]
    fn what_is_put_in_is_not_a_template() {
        let parts = [("A", "{{B}}".to_owned()), ("B", "b".to_owned())];
        assert_eq!(filled("x{{A}}y{{B}}z{{C}}", &parts), "x{{B}}ybz");
    }
}
