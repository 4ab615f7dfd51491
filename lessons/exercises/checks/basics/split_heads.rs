// Expected values: x.reshape(T, H, D).transpose(1, 0, 2) in NumPy.
fn checks(c: &mut Checks) {
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    c.equal("6 channels, 3 heads", || head_size(6, 3), Some(2));
    c.equal("6 channels, 4 heads", || head_size(6, 4), None);
    c.teach("4 heads of 1 channel would leave 2 channels to nobody");
    c.equal("no heads", || head_size(6, 0), None);
    let heads = [0.0, 1.0, 6.0, 7.0, 2.0, 3.0, 8.0, 9.0, 4.0, 5.0, 10.0, 11.0];
    c.close("two tokens, 3 heads", || split(&x, 2, 3), &heads, 0.0);
    c.teach("if x comes out as it went in, heads were read token after token: head 0 needs the first channels of EVERY token");
    let heads = [0.0, 1.0, 2.0, 6.0, 7.0, 8.0, 3.0, 4.0, 5.0, 9.0, 10.0, 11.0];
    c.close("two tokens, 2 heads", || split(&x, 2, 2), &heads, 0.0);
    c.close("one head is x itself", || split(&x, 2, 1), &x, 0.0);
    c.close("concat undoes split", || concat(&split(&x, 3, 2), 3, 2), &x, 0.0);
}
