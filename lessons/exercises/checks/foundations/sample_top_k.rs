//! Golden values: Python's math module in f64.

const SCORES: [f64; 5] = [2.0, 1.0, 0.5, -1.0, 3.0];

fn checks(c: &mut Checks) {
    c.close("the two best of five", || top_k_shares(&SCORES, 2, 1.0), &TWO, 1e-9)
        .teach("softmax over the kept scores alone: they share 1 among themselves");
    c.close("the three best at T = 0.8", || top_k_shares(&SCORES, 3, 0.8), &COLDER, 1e-9)
        .teach("the temperature divides the scores before exp, not the shares after it");
    let large = || top_k_shares(&[1000.0, 1001.0, 999.0], 2, 1.0);
    c.close("large scores", large, &[0.2689414213699951, 0.7310585786300049, 0.0], 1e-9)
        .teach("exp(1000) is infinite: take the highest score away first");
    c.close("equal scores: the first ones", || top_k_shares(&[1.0; 4], 2, 1.0), &HALVES, 1e-12);
    c.equal("a draw in the middle", || draw(&[0.25, 0.5, 0.25], 0.5), 1)
        .teach("each share is a piece of the line from 0 to 1, as long as it is likely");
    c.equal("the start of a piece belongs to it", || draw(&[0.25, 0.5, 0.25], 0.25), 1)
        .teach("0.25 - 0.25 is 0, which is not below 0");
    c.equal("a share of 0 is never drawn", || draw(&[0.0, 0.0, 1.0], 0.0), 2);
    let thousand = || (0..1000).map(|n| draw(&[0.2, 0.8], f64::from(n) / 1000.0)).sum::<usize>();
    c.equal("of 1000 even draws, 800 take a share of 0.8", thousand, 800_usize);
}

const TWO: [f64; 5] = [0.2689414213699951, 0.0, 0.0, 0.0, 0.7310585786300049];
const COLDER: [f64; 5] = [0.20934307548219694, 0.05997779531511428, 0.0, 0.0, 0.7306791292026887];
const HALVES: [f64; 4] = [0.5, 0.5, 0.0, 0.0];
