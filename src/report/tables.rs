//! The table of arms for papers and programs: CSV with unrounded numbers, Markdown, LaTeX (booktabs).

use std::fmt::Write;

use super::view::{ArmView, Report};

/// Unrounded numbers in the metric's own unit, RFC 4180.
#[must_use]
pub fn csv(report: &Report) -> String {
    let mut head: Vec<String> = [
        "arm",
        "label",
        "changes",
        "n",
        "mean",
        "mean_low95",
        "mean_high95",
        "pairs",
        "difference",
        "difference_low95",
        "difference_high95",
        "difference_low90",
        "difference_high90",
        "p_sign_flip",
        "p_holm",
        "hedges_g_z",
        "diverged",
        "verdict",
    ]
    .map(str::to_owned)
    .to_vec();
    head.extend(report.secondary.iter().cloned());
    let mut out = line(&head);
    for arm in &report.arms {
        let raw = &arm.raw;
        let number = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        let low = |v: Option<(f64, f64)>| number(v.map(|v| v.0));
        let high = |v: Option<(f64, f64)>| number(v.map(|v| v.1));
        let mut cells = vec![
            arm.name.clone(),
            arm.label.clone().unwrap_or_default(),
            arm.changes.join("; "),
            raw.n.to_string(),
            number(raw.mean),
            low(raw.interval),
            high(raw.interval),
            raw.pairs.to_string(),
            number(raw.difference),
            low(raw.difference_interval),
            high(raw.difference_interval),
            low(raw.difference_interval_90),
            high(raw.difference_interval_90),
            number(raw.p),
            number(raw.p_holm),
            number(raw.g_z),
            raw.diverged.to_string(),
            arm.verdict.clone(),
        ];
        cells.extend(raw.secondary.iter().map(|v| number(*v)));
        out.push_str(&line(&cells));
    }
    out
}

fn line(cells: &[String]) -> String {
    let cell = |text: &String| {
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.clone()
        }
    };
    let mut out = cells.iter().map(cell).collect::<Vec<_>>().join(",");
    out.push_str("\r\n");
    out
}

fn heads(report: &Report) -> Vec<String> {
    let mut heads = vec![
        "arm".to_owned(),
        "n".to_owned(),
        report.primary.clone(),
        "95 % interval".to_owned(),
        "difference".to_owned(),
        "95 % interval".to_owned(),
        "p".to_owned(),
        "verdict".to_owned(),
    ];
    heads.extend(report.secondary.iter().cloned());
    heads
}

fn cells(arm: &ArmView) -> Vec<String> {
    let p = match arm.p_note.as_str() {
        note if note.starts_with("exploratory") => format!("({})", arm.p),
        _ => arm.p.clone(),
    };
    let verdict = match arm.verdict_note.as_str() {
        "" => arm.verdict.clone(),
        note => format!("{}, {note}", arm.verdict),
    };
    let mut cells = vec![
        arm.name.clone(),
        arm.seeds.clone(),
        arm.mean.clone(),
        arm.interval.clone(),
        arm.difference.clone(),
        arm.difference_interval.clone(),
        p,
        verdict,
    ];
    cells.extend(arm.secondary.iter().cloned());
    cells
}

/// A Markdown table; p values in brackets are exploratory.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let row = |cells: Vec<String>| {
        let safe = |text: String| {
            let text = text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ");
            text.replace('&', "&amp;").replace('<', "&lt;")
        };
        format!("| {} |\n", cells.into_iter().map(safe).collect::<Vec<_>>().join(" | "))
    };
    let heads = heads(report);
    let mut rule = String::from("|");
    for place in 0..heads.len() {
        rule.push_str(if place == 0 || place == 7 { " --- |" } else { " ---: |" });
    }
    let mut out = row(heads);
    let _ = writeln!(out, "{rule}");
    for arm in &report.arms {
        out.push_str(&row(cells(arm)));
    }
    out
}

/// A LaTeX table for `booktabs`; p values in brackets are exploratory.
#[must_use]
pub fn latex(report: &Report) -> String {
    let row = |cells: Vec<String>| {
        format!("{} \\\\\n", cells.iter().map(|c| tex(c)).collect::<Vec<_>>().join(" & "))
    };
    let numbers = "r".repeat(report.secondary.len());
    let mut out =
        format!("% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{lrrlrlrl{numbers}}}\n\\toprule\n");
    out.push_str(&row(heads(report)));
    out.push_str("\\midrule\n");
    for arm in &report.arms {
        out.push_str(&row(cells(arm)));
    }
    out.push_str("\\bottomrule\n\\end{tabular}\n");
    out
}

fn tex(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(letter);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '\u{2212}' => out.push_str("$-$"),
            '\u{b1}' => out.push_str("$\\pm$"),
            '\u{2013}' => out.push_str("--"),
            '\u{2009}' => out.push_str("\\,"),
            '\n' | '\r' => out.push(' '),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latex_and_csv_quote_what_would_break_them() {
        assert_eq!(tex("50 %_\\x \u{2212}1"), "50 \\%\\_\\textbackslash{}x $-$1");
        assert_eq!(line(&["a,\"b\"".into(), "c".into()]), "\"a,\"\"b\"\"\",c\r\n");
    }
}
