//! What does a language model read, and what does it have to guess? (`mini_gpt_train` cuts its page
//! like this.)
//!
//! A text of N ids becomes windows of T ids. Window s reads x = ids[s], ..., ids[s + T - 1] and has to
//! guess y, which is x moved by one place: after each id of x, the id that follows it in the text.
//! Every place from which x and y both fit into the text begins a window.

/// The pairs (x, y) of a text, the first window first.
pub fn windows_and_targets(ids: &[usize], t: usize) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut pairs = Vec::new();
    let windows =
        todo!("how many windows of t ids still have an id behind them? none is an answer");
    for s in 0..windows {
        let x = todo!("t ids from s on");
        let y = todo!("the ids that follow each of them");
        pairs.push((x, y));
    }
    pairs
}
