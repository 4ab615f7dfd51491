// Expected values: pandas, groupby("source")["score"].mean() on the table of the lesson.
fn checks(c: &mut Checks) {
    let rows = [
        ("handbook", Some(0.9)),
        ("handbook", Some(0.8)),
        ("puzzles", None),
        ("puzzles", Some(0.6)),
        ("forum", Some(0.7)),
        ("forum", Some(0.4)),
        ("forum", Some(0.95)),
        ("letters", None),
        ("puzzles", Some(0.5)),
        ("handbook", None),
    ];
    let mean = |group| move || group_mean(&rows, group).unwrap_or(f64::NAN);
    c.close("forum, where all is known", mean("forum"), &[0.6833333333333332], 1e-12);
    c.close("puzzles, one of three unknown", mean("puzzles"), &[0.55], 1e-12);
    c.teach("an unknown score counts neither in the sum nor in the number of scores");
    c.close("handbook", mean("handbook"), &[0.85], 1e-12);
    c.equal("a group of which nothing is known", || group_mean(&rows, "letters"), None);
    c.teach("0.0 / 0.0 is NaN, not None: ask first whether there is anything to divide");
    c.equal("a group that is not there", || group_mean(&rows, "radio"), None);
    let zero = [("a", Some(0.0)), ("a", Some(1.0))];
    c.equal("a known zero counts", || group_mean(&zero, "a"), Some(0.5));
}
